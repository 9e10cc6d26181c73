#include "runtime/watchdog.hpp"

#include "base/text.hpp"
#include "runtime/engine.hpp"
#include "runtime/shard.hpp"

#include <ferry/opcode.h>

namespace ferry {

static constexpr uint64_t kMs = 1'000'000;

ferry_status Watchdog::start(uint64_t limit_ns) noexcept {
    limit_ns_ = limit_ns;
    ferry_status status = moved_.open();
    if (status != FERRY_OK)
        return status;
    return thread_.start("ferry-watchdog", entry, this) ? FERRY_OK : FERRY_E_NO_MEMORY;
}

void Watchdog::stop() noexcept {
    if (!thread_.started())
        return;
    stopping_.store(true, std::memory_order_release);
    moved_.signal();
    thread_.join();
    moved_.close();
}

void Watchdog::entry(void *watchdog) {
    static_cast<Watchdog *>(watchdog)->run();
}

void Watchdog::run() noexcept {
    uint64_t pause = limit_ns_ / 4;
    pause = pause < kMs ? kMs : pause;
    pause = pause > 250 * kMs ? 250 * kMs : pause;
    while (!stopping_.load(std::memory_order_acquire)) {
        moved_.wait(pause);
        for (uint32_t i = 0; i < engine_.shard_count(); ++i)
            look(engine_.shard(i).watch(), "shard ", i);
        for (Queue *queue = engine_.first_queue(); queue != nullptr; queue = queue->next)
            look(queue->watch(), "who dispatches queue ", queue->number());
    }
}

void Watchdog::look(Watch &watch, const char *whose, uint32_t number) noexcept {
    Task task;
    uint64_t seen = watch.look(&task);
    uint64_t now = os::now_ns();
    if (seen == 0 || seen == watch.reported || now < task.since_ns ||
        now - task.since_ns < limit_ns_)
        return;
    watch.reported = seen;
    engine_.report_stall(task, "holds ", whose, number, now - task.since_ns);
}

void Watchdog::describe(Text &text, const Task &task) noexcept {
    static constexpr const char *kWhats[] = {"a coroutine", "a callback", "a dispatched callback"};
    text.add(kWhats[static_cast<uint32_t>(task.what)]).add(" of ");
    text.add(ferry_opcode_name(task.opcode)).add(" (");
    if (task.child != 0)
        text.add("child ").number(task.child).add(" of ");
    text.add("op ").hex(task.op).add(", tag ").number(task.tag).add(")");
}

// ---- the engine's part --------------------------------------------------------------------------

void Engine::report_stall(const Task &task, const char *verb, const char *whose, uint32_t number,
                          uint64_t length_ns) const noexcept {
    if (options_.log == nullptr)
        return;
    char line[256];
    Text text(line, sizeof line - 1);
    text.add("stall: ");
    Watchdog::describe(text, task);
    text.add(" ").add(verb).add(whose).number(number).add(" for ");
    text.fraction(length_ns, 6).add(" ms");
    line[text.fits() ? text.size() : sizeof line - 1] = 0;
    options_.log(FERRY_LOG_WARNING, line, options_.user_data);
}

void Engine::end_task(Watch &watch, const Task &task, const char *whose, uint32_t number,
                      uint64_t now_ns) const noexcept {
    watch.end();
    if (now_ns - task.since_ns < options_.stall_ns)
        return;
    watch.stalls.add(1);
    report_stall(task, "held ", whose, number, now_ns - task.since_ns);
}

// ---- the shard's part ---------------------------------------------------------------------------

// Who traces, or watches, gets here.
[[gnu::noinline, gnu::cold]] void Shard::run_observed(Op *op) noexcept {
    if (op->started)
        trace(FERRY_TRACE_STEP, op);
    if (!watched_) {
        go_on(op);
        return;
    }
    const Op &root = root_of(*op);
    task_ = {.since_ns = os::now_ns(),
             .op = root.shard().id_of(root),
             .tag = op->tag,
             .opcode = op->opcode,
             .what = Task::What::coroutine,
             .child = op->child ? static_cast<const Child *>(op)->number : 0};
    uint64_t begun = task_.since_ns;
    watch_.begin(task_);
    go_on(op); // Its slot may be another's afterwards.
    uint64_t now = os::now_ns();
    engine_.end_task(watch_, task_, "shard ", index_, now);
    if (!working_)
        turn_part_ns_ += now - begun;
}

// In the midst of its coroutine's step: the host's part is told of apart.
[[gnu::noinline, gnu::cold]] void Shard::call_observed(ferry_completion_fn callback,
                                                       const ferry_completion &completion,
                                                       void *user_data) noexcept {
    uint64_t now = os::now_ns();
    engine_.end_task(watch_, task_, "shard ", index_, now);
    task_.since_ns = now;
    task_.what = Task::What::callback;
    watch_.begin(task_);
    callback(&completion, user_data);
    now = os::now_ns();
    engine_.end_task(watch_, task_, "shard ", index_, now);
    task_.since_ns = now;
    task_.what = Task::What::coroutine;
    watch_.begin(task_);
}

[[gnu::noinline, gnu::cold]] void Shard::begin_turn() noexcept {
    working_ = true;
    turn_begun_ns_ = os::now_ns();
}

// With what events of the driver's made ready before it, and ran at once.
[[gnu::noinline, gnu::cold]] void Shard::end_turn() noexcept {
    working_ = false;
    uint64_t length = os::now_ns() - turn_begun_ns_ + turn_part_ns_;
    turn_part_ns_ = 0;
    turn_ns_.add(length);
    if (length > turn_worst_ns_.get())
        turn_worst_ns_.set(length);
}

} // namespace ferry
