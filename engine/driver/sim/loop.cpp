// Time, and what happens in it.
#include "base/id.hpp"
#include "base/saturating.hpp"
#include "driver/sim/sim_driver.hpp"

#include <ferry/opcode.h>

#include <cinttypes>
#include <cstdio>

namespace ferry::driver::sim {

// Far from where times would overflow when something is added to them.
// Where the clock stops, and behind it, where what never happens waits.
static constexpr uint64_t kLastNs = UINT64_MAX / 2;
static constexpr uint64_t kEndOfTime = kLastNs + 1;

SimDriver::SimDriver(const Environment &environment)
    : environment_(environment), random_(environment.options.seed), network_(environment.allocator),
      faults_(environment.allocator), trace_(environment.allocator) {}

ferry_status SimDriver::open() noexcept {
    return network_.open();
}

void SimDriver::dispose() noexcept {
    drop_files();
    environment_.allocator.destroy(this);
}

void SimDriver::post(Event &event, uint64_t delay_ns) noexcept {
    post_at(event, add_saturating(now_ns(), delay_ns));
}

void SimDriver::post_at(Event &event, uint64_t at_ns) noexcept {
    events_.insert(event, at_ns < kEndOfTime ? at_ns : kEndOfTime, random_.next());
}

void SimDriver::advance(uint64_t duration_ns) noexcept {
    uint64_t to = add_saturating(now_ns(), duration_ns);
    now_ns_.store(to < kLastNs ? to : kLastNs, std::memory_order_relaxed);
    trace_.line(now_ns(), "advance %" PRIu64 " ns", duration_ns);
}

void SimDriver::poll(uint64_t until_ns) noexcept {
    more_ = false;
    stands_still_ = false;
    if (woken_.exchange(false, std::memory_order_seq_cst))
        until_ns = 0;
    if (until_ns != 0 && (events_.empty() || events_.next_ns() > now_ns())) {
        uint64_t next = events_.empty() ? UINT64_MAX : events_.next_ns();
        uint64_t to = next < until_ns ? next : until_ns;
        if (to >= kEndOfTime) {
            // Nothing will ever happen by itself: the host must do something.
            stands_still_ = true;
            environment_.host.nudge();
            return;
        }
        if (to > now_ns())
            now_ns_.store(to, std::memory_order_relaxed);
    }
    while (!events_.empty() && events_.next_ns() <= now_ns()) {
        Event &event = events_.pop();
        event.happen(*this, event.subject);
        if (!environment_.host.run_ready()) {
            more_ = true;
            return;
        }
    }
}

// ---- operations ---------------------------------------------------------------------------------

// By numbers that are the same in each engine: slot and generation.
void SimDriver::note(const ferry_trace_event &event) noexcept {
    if (!trace_.on() || event.kind == FERRY_TRACE_STEP)
        return;
    Id op{event.op};
    const char *name = ferry_opcode_name(event.opcode);
    char child[16] = "";
    if (event.child != 0)
        std::snprintf(child, sizeof child, "/%u", event.child);
    if (event.kind == FERRY_TRACE_BEGIN)
        trace_.line(now_ns(), "op %u.%u%s begins: %s, tag %" PRIu64, op.slot(), op.generation(),
                    child, name, event.tag);
    else
        trace_.line(now_ns(), "op %u.%u%s %s: %s, %s, result %" PRId64, op.slot(), op.generation(),
                    child, event.kind == FERRY_TRACE_MORE ? "tells" : "ends", name,
                    ferry_status_name(event.status), event.result);
}

// ---- faults -------------------------------------------------------------------------------------

static const char *name_of(uint32_t call) {
    static constexpr const char *kNames[] = {"listen",  "accept",   "connect", "receive", "send",
                                             "resolve", "open",     "read",    "write",   "sync",
                                             "stat",    "truncate", "rename",  "close"};
    return kNames[__builtin_ctz(call)];
}

Verdict SimDriver::meet(uint32_t call, const Machine &machine, const char *path) noexcept {
    if (faults_.empty())
        return {};
    Verdict verdict = faults_.meet(call, machine.number, path, now_ns(), random_);
    if (trace_.on() && (verdict.fail.status != FERRY_OK || verdict.delay_ns != 0 || verdict.part ||
                        verdict.reset || verdict.never))
        trace_.line(now_ns(), "fault: %s on %s%s%s%s%s%s, %s, delay %" PRIu64 " ns", name_of(call),
                    machine.name, path != nullptr ? " of " : "", path != nullptr ? path : "",
                    verdict.part ? ", short" : "", verdict.reset ? ", reset" : "",
                    verdict.never ? ", never" : "", ferry_status_name(verdict.fail.status),
                    verdict.delay_ns);
    return verdict;
}

// ---- hosts that go down -------------------------------------------------------------------------

ferry_status SimDriver::crash(Machine &machine) noexcept {
    if (!machine.up)
        return FERRY_E_BUSY;
    trace_.line(now_ns(), "crash of %s", machine.name);
    machine.up = false;
    ++machine.crashes;
    for (SimSocket *socket = sockets_; socket != nullptr; socket = socket->next) {
        if (socket->machine == &machine)
            end_all_of(*socket);
    }
    crash_connects(machine);
    network_changed();
    return crash_disk(machine);
}

void SimDriver::partition(uint32_t one, uint32_t other, bool cut) noexcept {
    trace_.line(now_ns(), "%s %u and %u", cut ? "part" : "join", one, other);
    network_.partition(one, other, cut);
    network_changed();
}

void SimDriver::restart(Machine &machine) noexcept {
    trace_.line(now_ns(), "restart of %s", machine.name);
    machine.up = true;
    network_changed();
}

} // namespace ferry::driver::sim
