/**
 * @file
 * What ferry.hpp costs: to take one completion from the mapped ring and hand it to a function (a
 * posted message), and a nop from co_await to the coroutine's next step, 64 at a time.
 *
 *     reap_cpp COUNT      prints {"reap_ns":..,"await_ns":..}
 */
#include "ferry.hpp"
#include "support.h"

#include <cstdio>
#include <vector>

using namespace ferry;

static constexpr std::uint64_t batch = 1000, at_once = 64;

static Task<> nothing() {
    co_return;
}

static double reap_ns(Loop &loop, std::uint64_t count) {
    std::uint64_t sum = 0, expected = 0, elapsed = 0;
    loop.on_message([&sum](const Message &message) { sum += message.tag; });
    for (std::uint64_t done = 0; done < count; done += batch) {
        for (std::uint64_t i = 0; i < batch; ++i) {
            expected += i;
            if (!loop.post({i, 0, 0}))
                bench_die("the ring is full");
        }
        std::uint64_t start = bench_now_ns();
        auto ended = loop.run_until(nothing()); // what waits is delivered with it
        elapsed += bench_now_ns() - start;
        if (!ended)
            bench_die("%s", ended.message());
    }
    if (sum != expected)
        bench_die("not every message came");
    return static_cast<double>(elapsed) / static_cast<double>(count);
}

static Task<> nops(std::uint64_t count) {
    while (count-- > 0) {
        auto done = co_await nop();
        if (!done)
            bench_die("nop: %s", done.message());
    }
}
static Task<> many_nops(std::uint64_t count) {
    std::vector<Task<>> tasks;
    for (std::uint64_t i = 0; i < at_once; ++i)
        tasks.push_back(nops(count / at_once));
    (void)co_await all(std::move(tasks));
}

int main(int argc, char **argv) {
    bench_start(120);
    std::uint64_t count = bench_number(argc, argv, 1, 2000000);
    auto loop = Loop::create();
    if (!loop)
        bench_die("no loop");
    double reap = reap_ns(**loop, count);
    std::uint64_t start = bench_now_ns();
    auto done = (*loop)->run_until(many_nops(count));
    if (!done)
        bench_die("%s", done.message());
    double await = static_cast<double>(bench_now_ns() - start) / static_cast<double>(count);
    std::printf("{\"reap_ns\": %.2f, \"await_ns\": %.2f}\n", reap, await);
}
