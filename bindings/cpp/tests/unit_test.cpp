/**
 * @file
 * Result, Task, all, race, scopes, stopping, and what a loop does with tasks that are not done: the
 * C++ layer's own promises. IO is the conformance program's matter.
 */
#include "second.hpp"

#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace ferry;
using namespace std::chrono_literals;

namespace {

int failures_of_test = 0;

void check(bool condition, const char *what, int line) {
    if (condition)
        return;
    ++failures_of_test;
    std::printf("unit_test.cpp:%d: not so: %s\n", line, what);
}
#define CHECK(condition) check(static_cast<bool>(condition), #condition, __LINE__)

std::unique_ptr<Loop> make_loop(const EngineOptions &options = {}) {
    auto loop = Loop::create(options);
    CHECK(loop);
    return std::move(*loop);
}

/** Counts those that live: a frame that is not freed, or freed twice, shows. */
struct Guest {
    static inline int living = 0;
    Guest() { ++living; }
    Guest(const Guest &) { ++living; }
    Guest(Guest &&) noexcept { ++living; }
    Guest &operator=(const Guest &) = default;
    Guest &operator=(Guest &&) = default;
    ~Guest() { --living; }
};

// ---- Result -------------------------------------------------------------------------------------

void result() {
    Result<int> good = 5;
    CHECK(good && good.ok() && *good == 5 && good.status() == FERRY_OK);
    Result<int> bad = Error{FERRY_E_OS, 42, 7, FERRY_REUSABLE};
    CHECK(!bad && bad.status() == FERRY_E_OS && bad.os_error() == 42);
    CHECK(bad.count() == 7 && bad.reusable());
    CHECK(std::move(bad).value_or(3) == 3);
    Result<std::string> other = bad.error();
    CHECK(other.status() == FERRY_E_OS && std::string(other.message()).size() > 3);
    Result<std::unique_ptr<int>> moved = std::make_unique<int>(9);
    std::unique_ptr<int> taken = std::move(*moved);
    CHECK(taken && *taken == 9);
    CHECK(Result<void>().ok() && !Result<void>(Error{FERRY_E_FULL}));
}

// ---- Task ---------------------------------------------------------------------------------------

Task<int> sets(bool &begun, Guest) {
    begun = true;
    co_return 1;
}
void task_is_lazy() {
    bool begun = false;
    {
        auto task = sets(begun, Guest());
        CHECK(!begun && Guest::living == 1);
        auto moved = std::move(task);
        CHECK(Guest::living == 1);
    }
    CHECK(!begun && Guest::living == 0);
}

Task<int> value(int number) {
    co_return number;
}
Task<std::unique_ptr<int>> pointer() {
    co_return std::make_unique<int>(8);
}
Task<int> sum() {
    int total = 0;
    for (int i = 0; i < 10; ++i)
        total += co_await value(i);
    auto owned = co_await pointer();
    co_return total + *owned + co_await elsewhere(2);
}
void task_brings_its_value() {
    auto loop = make_loop();
    auto total = loop->run_until(sum());
    CHECK(total && *total == 55);
}

Task<int> deep(int levels) {
    if (levels == 0)
        co_return 0;
    co_return 1 + co_await deep(levels - 1);
}
Task<long> many_at_once(long count) {
    long total = 0;
    for (long i = 0; i < count; ++i)
        total += co_await value(1);
    co_return total;
}
void awaiting_takes_no_stack() {
    auto loop = make_loop();
    auto levels = loop->run_until(deep(100000));
    CHECK(levels && *levels == 100000);
    auto total = loop->run_until(many_at_once(1000000));
    CHECK(total && *total == 1000000);
}

// ---- all and race -------------------------------------------------------------------------------

Task<Result<void>> naps(Nanoseconds time, Guest = {}) {
    co_return co_await sleep(time);
}
Task<int> naps_then(Nanoseconds time, int number, std::vector<int> *order = nullptr) {
    (void)co_await sleep(time);
    if (order != nullptr)
        order->push_back(number);
    co_return number;
}
Task<> all_tuple() {
    std::vector<int> order;
    auto [a, b, c] = co_await all(naps_then(6ms, 1, &order), naps(0ms), naps_then(1ms, 2, &order));
    CHECK(a == 1 && b.ok() && c == 2);
    CHECK((order == std::vector{2, 1}));
}
Task<> all_vector() {
    std::vector<Task<int>> tasks;
    CHECK((co_await all(std::vector<Task<int>>())).empty());
    for (int i = 0; i < 50; ++i)
        tasks.push_back(naps_then((i % 5) * 1ms, i));
    auto values = co_await all(std::move(tasks));
    CHECK(values.size() == 50);
    for (int i = 0; i < 50; ++i)
        CHECK(values[static_cast<std::size_t>(i)] == i);
}
Task<> all_goes_on_after_a_failure() {
    auto failing = []() -> Task<Result<void>> { co_return Error{FERRY_E_IO}; };
    auto [bad, good] = co_await all(failing(), naps(2ms));
    CHECK(bad.status() == FERRY_E_IO && good.ok());
}
Task<> race_waits_for_the_losers() {
    auto winner = co_await race(naps(1h), naps_then(1ms, 4), naps(2h));
    CHECK(winner.index() == 1 && std::get<1>(winner) == 4);
    CHECK(Guest::living == 0);
}
Task<> notes(Result<void> &result) {
    result = co_await sleep(1h);
}
Task<> race_tells_the_losers() {
    Result<void> loser;
    auto winner = co_await race(notes(loser), value(1));
    CHECK(winner.index() == 1);
    CHECK(loser.status() == FERRY_E_CANCELED);
}
Task<> race_vector() {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 10; ++i)
        tasks.push_back(naps_then(i == 6 ? Nanoseconds(1ms) : Nanoseconds(1h), i));
    auto winner = co_await race(std::move(tasks));
    CHECK(winner.index == 6 && winner.value == 6);
}
Task<> race_within_a_race() {
    auto inner = [](Result<void> &a, Result<void> &b) -> Task<> {
        (void)co_await race(notes(a), notes(b));
    };
    Result<void> a, b;
    auto winner = co_await race(inner(a, b), naps(1ms));
    CHECK(winner.index() == 1);
    CHECK(a.status() == FERRY_E_CANCELED && b.status() == FERRY_E_CANCELED);
}
Task<> shielded_goes_on() {
    Result<void> kept = Error{FERRY_E_IO};
    auto body = [&]() -> Task<> { kept = co_await sleep(5ms).shielded(); };
    auto winner = co_await race(body(), naps(0ms));
    CHECK(winner.index() == 1);
    CHECK(kept.ok());
}
template <Task<> (*scenario)()> void on_loop() {
    auto loop = make_loop();
    CHECK(loop->run_until(scenario()));
    CHECK(Guest::living == 0);
}

// ---- scopes and the loop ------------------------------------------------------------------------

Task<> scope_waits() {
    int ended = 0;
    auto child = [&](Nanoseconds time, Guest) -> Task<> {
        (void)co_await sleep(time);
        ++ended;
    };
    auto body = [&](Scope &scope) -> Task<int> {
        for (int i = 0; i < 20; ++i)
            scope.spawn(child(i * 100us, Guest()));
        co_return 3;
    };
    int given = co_await with_scope(body);
    CHECK(given == 3 && ended == 20 && Guest::living == 0);
}
Task<> a_stop_reaches_a_scope() {
    Result<void> result;
    auto parent = [&]() -> Task<> {
        auto body = [&](Scope &scope) -> Task<> {
            scope.spawn(notes(result));
            co_return;
        };
        co_await with_scope(body);
    };
    (void)co_await race(parent(), naps(1ms));
    CHECK(result.status() == FERRY_E_CANCELED);
}

void a_loop_waits_for_its_tasks() {
    Result<void> result;
    {
        auto loop = make_loop();
        CHECK(loop->spawn(notes(result)));
        CHECK(loop->spawn(naps(1h)));
        CHECK(loop->run_until(naps(0ms)));
        CHECK(loop->info().ops_in_flight == 2);
    }
    CHECK(result.status() == FERRY_E_CANCELED);
    CHECK(Guest::living == 0);
}

struct Never {
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<>) const {}
    void await_resume() const {}
};
Task<> waits_for_nothing(Guest) {
    co_await Never();
}
void a_loop_ends_who_waits_for_nothing_of_its() {
    auto loop = make_loop();
    CHECK(loop->spawn(waits_for_nothing(Guest())));
    CHECK(loop->run_until(naps(0ms)));
    CHECK(Guest::living == 1);
    loop.reset();
    CHECK(Guest::living == 0);
}

Task<> runs_inside(Loop &loop) {
    CHECK(loop.run_until(value(1)).status() == FERRY_E_BUSY);
    CHECK(loop.step(1ms).status() == FERRY_E_BUSY);
    co_return;
}
void a_loop_within_itself_is_busy() {
    auto loop = make_loop();
    CHECK(loop->run_until(runs_inside(*loop)));
}

Task<> handle_outlives(std::optional<File> &file, std::optional<LentBuffer> &lent) {
    auto opened = co_await File::open("/dev/null", FERRY_OPEN_READ);
    auto loaded = co_await File::load("/proc/self/stat");
    CHECK(opened && loaded);
    file.emplace(std::move(*opened));
    lent.emplace(std::move(*loaded));
}
void handles_and_buffers_may_outlive_their_engine() {
    std::optional<File> file;
    std::optional<LentBuffer> lent;
    auto loop = make_loop();
    CHECK(loop->run_until(handle_outlives(file, lent)));
    loop.reset();
    CHECK(file && lent && lent->size() > 0 && lent->bytes()[0] != std::byte{0});
}

void a_frame_at_a_time() {
    for (std::uint32_t shards : {0u, 1u}) {
        auto loop = make_loop({.shards = shards});
        bool done = false;
        auto body = [&]() -> Task<> {
            for (int i = 0; i < 5; ++i)
                (void)co_await sleep(1ms);
            done = true;
        };
        CHECK(loop->spawn(body()));
        std::uint64_t resumed = 0;
        while (!done) {
            auto step = loop->step(2ms);
            CHECK(step);
            if (!step)
                break;
            resumed += step->resumed;
        }
        CHECK(resumed == 5);
    }
}

Task<> yields(std::string &text, char mark) {
    for (int i = 0; i < 3; ++i) {
        text += mark;
        co_await yield();
    }
}
Task<> by_turns() {
    std::string text;
    (void)co_await all(yields(text, 'a'), yields(text, 'b'));
    CHECK(text.size() == 6 && text[0] != text[1] && text[2] != text[3]);
}

Task<> interval_counts() {
    auto ticks = interval(1ms);
    (void)co_await ticks.next();
    (void)co_await sleep(10ms);
    auto late = co_await ticks.next();
    CHECK(late && *late >= 5);
}

Task<> whole_gives_back() {
    Loop &loop = co_await this_loop();
    {
        Whole whole = co_await compose::all(File::load("/proc/self/stat"),
                                            File::open("/dev/null", FERRY_OPEN_READ),
                                            compose::chain(File::load("/proc/self/stat")));
        CHECK(whole.ok() && whole.children().size() == 3);
        auto lent = whole.take_lent(whole[0]);
        CHECK(lent && !lent->empty());
        CHECK(!whole.take_lent(whole[0]));
        CHECK(Whole::children(whole[2]).size() == 1);
        auto file = whole.take<File>(whole[1]);
        CHECK(file && !whole.take<File>(whole[1]));
        CHECK((co_await file->stat()).ok());
    }
    (void)co_await sleep(1ms);
    CHECK(loop.info().buffers_lent == 0 && loop.info().buffer_bytes_lent == 0);
}

void the_driver_is_an_option() {
    auto chosen = make_loop({.driver = FERRY_DRIVER_UV});
    CHECK(std::string(chosen->info().driver) == "uv" && chosen->info().ring == 0);
    auto without = make_loop({.ring_without = FERRY_RING_SEND});
    CHECK((without->info().ring & FERRY_RING_SEND) == 0);
    auto unknown = Loop::create({.driver = 99});
    CHECK(!unknown && unknown.status() == FERRY_E_UNSUPPORTED);
}

struct Named {
    const char *name;
    void (*run)();
};
const Named tests[] = {
    {"result", result},
    {"task_is_lazy", task_is_lazy},
    {"task_brings_its_value", task_brings_its_value},
    {"awaiting_takes_no_stack", awaiting_takes_no_stack},
    {"all_tuple", on_loop<all_tuple>},
    {"all_vector", on_loop<all_vector>},
    {"all_goes_on_after_a_failure", on_loop<all_goes_on_after_a_failure>},
    {"race_waits_for_the_losers", on_loop<race_waits_for_the_losers>},
    {"race_tells_the_losers", on_loop<race_tells_the_losers>},
    {"race_vector", on_loop<race_vector>},
    {"race_within_a_race", on_loop<race_within_a_race>},
    {"shielded_goes_on", on_loop<shielded_goes_on>},
    {"scope_waits", on_loop<scope_waits>},
    {"a_stop_reaches_a_scope", on_loop<a_stop_reaches_a_scope>},
    {"a_loop_waits_for_its_tasks", a_loop_waits_for_its_tasks},
    {"a_loop_ends_who_waits_for_nothing_of_its", a_loop_ends_who_waits_for_nothing_of_its},
    {"a_loop_within_itself_is_busy", a_loop_within_itself_is_busy},
    {"handles_and_buffers_may_outlive_their_engine", handles_and_buffers_may_outlive_their_engine},
    {"a_frame_at_a_time", a_frame_at_a_time},
    {"by_turns", on_loop<by_turns>},
    {"interval_counts", on_loop<interval_counts>},
    {"whole_gives_back", on_loop<whole_gives_back>},
    {"the_driver_is_an_option", the_driver_is_an_option},
};

} // namespace

int main() {
    int failed = 0;
    for (const Named &test : tests) {
        failures_of_test = 0;
        test.run();
        std::printf("%s %s\n", failures_of_test ? "[  FAILED  ]" : "[       OK ]", test.name);
        std::fflush(stdout);
        failed += failures_of_test ? 1 : 0;
    }
    return failed ? 1 : 0;
}
