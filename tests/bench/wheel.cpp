// Standing timers in the engine's wheel alone: the same delays and the same order as timers_libuv.
//
//     wheel [count]
//
// prints {"start_ns":..,"stop_ns":..}, each for one timer.
#include "runtime/timer_wheel.hpp"
#include "support.h"

#include <uv.h>

#include <cinttypes>
#include <cstdio>
#include <new>

namespace {

// As far apart as libuv's: a wheel of bare nodes would fit better into the caches, but a timer
// always lies in something larger.
struct Timer {
    ferry::TimerWheel::Node node;
    char rest[sizeof(uv_timer_t) - sizeof(ferry::TimerWheel::Node)];
};

} // namespace

int main(int argc, char **argv) {
    bench_start(120);
    auto count = static_cast<uint32_t>(bench_number(argc, argv, 1, 1000000));
    auto *timers = static_cast<Timer *>(bench_allocate(count * sizeof(Timer)));
    uint64_t *delays_ms = bench_delays_ms(count);
    uint32_t *order = bench_order(count);
    uint64_t now = bench_now_ns();
    ferry::TimerWheel wheel(now);
    for (uint32_t i = 0; i < count; i++)
        new (&timers[i]) Timer();

    uint64_t start = bench_now_ns();
    for (uint32_t i = 0; i < count; i++)
        wheel.insert(&timers[i].node, now + delays_ms[i] * 1000000);
    uint64_t standing = bench_now_ns();
    for (uint32_t i = 0; i < count; i++)
        wheel.remove(&timers[order[i]].node);
    uint64_t end = bench_now_ns();
    if (!wheel.empty())
        bench_die("the wheel is not empty");
    std::printf("{\"start_ns\":%.2f,\"stop_ns\":%.2f}\n",
                static_cast<double>(standing - start) / count,
                static_cast<double>(end - standing) / count);
    return 0;
}
