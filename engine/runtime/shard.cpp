#include "runtime/shard.hpp"

#include "base/assert.hpp"
#include "base/prefetch.hpp"
#include "base/saturating.hpp"
#include "driver/make.hpp"
#include "runtime/channel.hpp"
#include "runtime/engine.hpp"

#include <ferry/opcode.h>
#include <ferry/status.h>

#include <bit>
#include <cstring>

namespace ferry {

// ---- coroutine frames ---------------------------------------------------------------------------

// A frame's block begins with the pool it goes back to.
static constexpr size_t kFrameHead = 16;

void *Operation::promise_type::operator new(size_t size, Op *op) noexcept {
    BlockPool &pool = op->shard().blocks();
    void *block = pool.allocate(size + kFrameHead);
    if (block == nullptr)
        return nullptr;
    *static_cast<BlockPool **>(block) = &pool;
    return static_cast<char *>(block) + kFrameHead;
}

void Operation::promise_type::operator delete(void *frame, size_t size) noexcept {
    void *block = static_cast<char *>(frame) - kFrameHead;
    (*static_cast<BlockPool **>(block))->free(block, size + kFrameHead);
}

void Operation::promise_type::return_value(const Ending &ending) noexcept {
    op_->shard().finish(op_, ending);
}

// ---- life ---------------------------------------------------------------------------------------

Shard::Shard(Engine &engine, uint32_t index)
    : engine_(engine), index_(index), blocks_(engine.allocator()),
      shared_blocks_(engine.allocator()),
      buffers_(engine.allocator(), shared_blocks_, engine.loads(), engine.tag(), index),
      handles_(engine.allocator(), engine.tag(), index), intake_(engine.allocator()),
      ids_(Id::make(Kind::op, engine.tag(), index, 0, 0).value),
      trace_(engine.simulates() ? tell_world : engine.options().trace),
      trace_user_data_(engine.simulates() ? this : engine.options().trace_user_data),
      watched_(engine.watches()), observed_(trace_ != nullptr || watched_) {}

Shard::~Shard() {
    // Of operations that never end, or never begin, in a fork's child.
    for (uint32_t i = 0; ops_ != nullptr && i < intake_.made(); ++i) {
        if (ops_[i].live)
            free_copy(ops_[i].opcode, ops_[i].copy, ops_[i].params);
    }
    uint64_t id;
    while (InboxEntry *entry = driver_ != nullptr ? intake_.front(&id) : nullptr) {
        free_copy(entry->request.opcode, entry->request.reserved, entry->request.params);
        intake_.pop();
    }
    if (driver_ != nullptr)
        driver_->dispose();
    engine_.allocator().free_array(ops_, ops_max_);
}

const Allocator &Shard::allocator() const noexcept {
    return engine_.allocator();
}

ferry_status Shard::open() noexcept {
    const ferry_engine_options &options = engine_.options();
    ops_max_ = options.ops_max;
    ops_ = engine_.allocator().allocate_array<Op>(ops_max_);
    if (ops_ == nullptr || !intake_.open(ops_max_) || !handles_.open(options.handles_max) ||
        !buffers_.open(options.buffer_bytes_max))
        return FERRY_E_NO_MEMORY;
    driver::Environment environment{
        *this, engine_.workers(), engine_.names(), engine_.allocator(), blocks_, options};
    return driver::make(environment, &driver_);
}

// ---- the turn -----------------------------------------------------------------------------------

void Shard::work() noexcept {
    turns_.add(1);
    stamp_ = 0;
    if (watched_) [[unlikely]]
        begin_turn();
    if (behind_)
        look_around();
    take_in();
    bool time_left = run_ready();
    if (time_left && discarded_ != nullptr) {
        // What was submitted before a discard is at work now, and ends by it.
        close_discarded();
        time_left = run_ready();
    }
    if (time_left && !wheel_.empty()) {
        fire_timers();
        run_ready();
    }
    publish();
    if (dump_due_) [[unlikely]]
        answer_dumps();
    if (watched_) [[unlikely]]
        end_turn();
}

// With a budget, whatever has no end of its own stops when the time is used up, and goes on in the next
// run. That one begins here, with a quarter of its time for each of what it would come to last: or a host
// that is always behind would never hear of its timers and sockets. Each does at least one step.
void Shard::look_around() noexcept {
    behind_ = false;
    const uint64_t end = budget_end_ns_;
    const uint64_t quarter = budget_ns_ / 4;
    gathering_ = true;
    budget_end_ns_ = end - 3 * quarter;
    flush();
    out_of_time_ = false;
    budget_end_ns_ += quarter;
    if (!wheel_.empty())
        fire_timers();
    out_of_time_ = false;
    budget_end_ns_ += quarter;
    driver_->poll(0);
    out_of_time_ = false;
    budget_end_ns_ = end;
    gathering_ = false;
}

void Shard::poll(uint64_t until_ns) noexcept {
    if (until_ns != 0) {
        if (!empty())
            until_ns = 0;
        else if (!wheel_.empty() && wheel_.next_ns() < until_ns)
            until_ns = wheel_.next_ns();
    }
    if (until_ns == 0 && !time_for(driver_->step_ns())) {
        out_of_time_ = true; // look_around() polls when there is time.
        return;
    }
    if (until_ns != 0) {
        lie_down();
        if (arrived() || unfinished())
            until_ns = 0;
        budget_end_ns_ = 0;
        out_of_time_ = false;
    }
    driver_->poll(until_ns);
    rouse();
}

void Shard::lie_down() noexcept {
    lies_down_ = true;
    stamp_ = 0;
    sleeping_.store(true, std::memory_order_seq_cst);
}

// Whoever took the mark away has sent a wake-up for it. One that comes in the midst of this goes uncounted.
void Shard::rouse() noexcept {
    if (!lies_down_)
        return;
    lies_down_ = false;
    if (sleeping_.load(std::memory_order_relaxed))
        sleeping_.store(false, std::memory_order_relaxed);
    else
        wakeups_.add(1);
}

// Whether other threads sent something since take_in(); looked at after sleeping_ was set.
bool Shard::arrived() noexcept {
    return !intake_.inbox_empty() || nudged_.load(std::memory_order_seq_cst) ||
           local_cancel_count_ != 0 || !cancels_.empty() || !discards_.empty() ||
           !arrivals_.empty() ||
           (hungry_.load(std::memory_order_seq_cst) && buffers_.handed_back());
}

// What was taken in and not dealt with, because the time was used up.
bool Shard::unfinished() noexcept {
    return cancelled_ != nullptr || discarded_ != nullptr || dirty_ != nullptr || room_due_ != 0 ||
           memory_due_ != 0;
}

void Shard::take_in() noexcept {
    if (nudged_.load(std::memory_order_relaxed)) {
        nudged_.exchange(false, std::memory_order_seq_cst);
        ++progress_; // A host-driven run returns, so that the host can look at its queues.
        room_due_ = room_.count();
        dump_due_ = dump_asked_.load(std::memory_order_relaxed);
    }
    cancel_locals();
    take_wishes();
    take_buffers_back();
    wake_waiting();
    if (stop_asked_.load(std::memory_order_relaxed) && !stopping_)
        stop();
}

void Shard::take_buffers_back() noexcept {
    while (buffers_.take_back(kPiece)) {
        reclaimed_ = true;
        if (spent())
            break;
    }
    if (!reclaimed_)
        return;
    reclaimed_ = false;
    hungry_.store(false, std::memory_order_relaxed);
    memory_due_ = memory_.count();
}

// Those who wait for room and memory look again, each once for what has come.
void Shard::wake_waiting() noexcept {
    while (room_due_ != 0 || memory_due_ != 0) {
        uint32_t room = room_due_ < kPiece ? room_due_ : kPiece;
        uint32_t memory = memory_due_ < kPiece ? memory_due_ : kPiece;
        room_due_ -= room;
        memory_due_ -= memory;
        room_.wake(room);
        memory_.wake(memory);
        if (spent())
            return;
    }
}

// Cancels are taken before the inbox and the children, and looked at after them: a request is seen before
// its cancel. If the time does not suffice for the inbox, its claim() finds the cancel.
void Shard::take_wishes() noexcept {
    if (cancelled_ == nullptr)
        cancelled_ = cancels_.take_all();
    if (discarded_ == nullptr)
        discarded_ = discards_.take_all();
    drain_inbox();
    take_children();
    while (Op *op = cancelled_) {
        cancelled_ = op->next_cancel;
        if (op->child)
            cancel_child(static_cast<Child &>(*op));
        else if (op->cancel.taken(op->generation.load(std::memory_order_relaxed), op->live))
            interrupt(*op, FERRY_E_CANCELED);
        ++progress_;
        if (spent())
            return;
    }
}

void Shard::close_discarded() noexcept {
    while (HandleSlot *slot = discarded_) {
        discarded_ = slot->next_discard;
        // While a file closes, its slot has the generation of its next handle, and a forged one may
        // name that.
        bool live = slot->resource != nullptr && !slot->resource->closing;
        if (slot->discard.taken(slot->generation.load(std::memory_order_relaxed), live))
            close(*slot, nullptr);
        ++progress_;
        if (spent())
            return;
    }
}

void Shard::drain_inbox() noexcept {
    uint64_t id;
    uint32_t count = 0;
    while (InboxEntry *entry = intake_.front(&id)) {
        enter(fill(id, entry->request, *entry->queue));
        intake_.pop();
        if (++count % kPiece == 0 && spent())
            return;
    }
}

// False: the time is used up.
bool Shard::run_ready() noexcept {
    if (gathering_)
        return !spent();
    for (;;) {
        while (coro::Fiber *fiber = pop()) {
            run(static_cast<Op *>(fiber));
            if (spent())
                return false;
        }
        if (dirty_ == nullptr)
            return !out_of_time_;
        flush();
        if (out_of_time_)
            return false;
    }
}

void Shard::run(Op *op) noexcept {
    ++progress_;
    // One predictable branch where nobody traces or watches.
    if (observed_) [[unlikely]]
        run_observed(op);
    else
        go_on(op);
}

void Shard::go_on(Op *op) noexcept {
    if (op->started) {
        op->frame.resume();
        return;
    }
    if (op->interrupted != 0) {
        finish(op, Ending{.status = op->interrupted, .flags = FERRY_REUSABLE});
        return;
    }
    op->started = true;
    if (!spec(*op).start(op).started())
        finish(op, Ending{.status = FERRY_E_NO_MEMORY, .flags = FERRY_REUSABLE});
}

void Shard::fire_timers() noexcept {
    uint64_t now = now_ns();
    auto fire = [this](TimerWheel::Node *node) {
        auto *op = static_cast<Op *>(node);
        if (!op->sleeping) {
            interrupt(*op, FERRY_E_TIMED_OUT);
            return;
        }
        op->sleeping = false;
        if (op->deadline_ns != 0)
            set_alarm(op, op->deadline_ns);
        op->waiting->wake();
    };
    wheel_.advance(now, fire, [this] { return !spent(); });
}

void Shard::set_alarm(Op *op, uint64_t expiry_ns) noexcept {
    if (wheel_.empty())
        wheel_.catch_up(now_ns());
    wheel_.insert(op, expiry_ns);
}

void Shard::set_sleep(Op *op, uint64_t until_ns) noexcept {
    // A deadline that comes first ends the sleep.
    if (op->deadline_ns != 0 && op->deadline_ns <= until_ns)
        return;
    if (op->linked())
        wheel_.remove(op);
    set_alarm(op, until_ns);
    op->sleeping = true;
}

void Shard::end_sleep(Op *op) noexcept {
    if (!op->sleeping)
        return;
    op->sleeping = false;
    wheel_.remove(op);
    if (op->deadline_ns != 0)
        set_alarm(op, op->deadline_ns);
}

void Shard::set_budget(uint64_t budget_ns) noexcept {
    stamp_ = 0; // Between two runs nobody knows how much time passes.
    if (budget_ns == 0)
        behind_ = out_of_time_; // So ends a run; the next one begins with what this one left over.
    budget_ns_ = budget_ns;
    limited_ = budget_ns != 0;
    out_of_time_ = false;
    budget_end_ns_ = budget_ns != 0 ? add_saturating(now_ns(), budget_ns) : 0;
}

bool Shard::time_for(uint64_t step_ns) noexcept {
    return budget_ns_ == 0 || budget_end_ns_ == 0 || now_ns() + step_ns < budget_end_ns_;
}

bool Shard::look_at_clock() noexcept {
    uint64_t now = now_ns();
    if (budget_end_ns_ == 0)
        budget_end_ns_ = add_saturating(now, budget_ns_); // The wait is over, the work begins.
    out_of_time_ = now >= budget_end_ns_;
    return out_of_time_;
}

uint32_t Shard::left() noexcept {
    uint32_t ready = ready_count();
    return ready == 0 && out_of_time_ && (arrived() || unfinished()) ? 1 : ready;
}

void Shard::settle_for_descriptor() noexcept {
    // The driver's descriptor tells only of what the driver has been told: let it take in what the
    // last work began, until nothing more comes of it. With the time used up, the next run does.
    uint64_t before = progress_;
    while (!out_of_time_) {
        before = progress_;
        poll(0);
        work();
        if (progress_ == before)
            break;
    }
    driver_->keep_until(wheel_.empty() ? UINT64_MAX : wheel_.next_ns());
    lie_down();
    if (out_of_time_ || !empty() || progress_ != before || arrived())
        driver_->wake();
}

// ---- from any thread ----------------------------------------------------------------------------

void Shard::knock() noexcept {
    if (sleeping_.load(std::memory_order_seq_cst) &&
        sleeping_.exchange(false, std::memory_order_seq_cst))
        driver_->wake();
}

void Shard::send_knocks() noexcept {
    for (; knocks_ != 0; knocks_ &= knocks_ - 1)
        engine_.shard(static_cast<uint32_t>(std::countr_zero(knocks_))).knock();
}

void Shard::nudge() noexcept {
    nudged_.store(true, std::memory_order_seq_cst);
    knock();
}

ferry_status Shard::cancel(Id id) noexcept {
    if (id.slot() >= intake_.made())
        return FERRY_E_UNKNOWN;
    Op &op = ops_[id.slot()];
    switch (age_of(id.generation(), op.generation.load(std::memory_order_acquire))) {
    case Age::passed:
        return FERRY_E_TOO_LATE;
    case Age::never_issued:
        return FERRY_E_UNKNOWN;
    case Age::current:
        break;
    }
    if (os::thread_self() == thread()) {
        if (!op.live)
            drain_inbox(); // It may be on its way in.
        if (!op.live)
            return FERRY_E_UNKNOWN;
        if (local_cancel_count_ == kLocalCancels)
            cancel_locals(); // Host code never runs while the shard is halfway through something.
        prefetch(&op, sizeof op);
        local_cancels_[local_cancel_count_++] = {&op, id.generation()};
        knock(); // A host that sleeps on the descriptor between runs has to run once more.
        return FERRY_OK;
    }
    if (op.cancel.ask(id.generation())) {
        cancels_.push(&op);
        knock();
    }
    return FERRY_OK;
}

// Cancels of the shard's own thread, collected so that their operations' memory, cold more often than not,
// is fetched for all of them at once rather than one after the other.
void Shard::cancel_locals() noexcept {
    uint32_t count = local_cancel_count_;
    if (count == 0)
        return;
    ++progress_;
    for (uint32_t i = 0; i < count; ++i) {
        const Op *op = local_cancels_[i].op;
        prefetch(op->frame.address(), 128);
        prefetch(op->waiting);
        prefetch(op->link);
        prefetch(op->next);
    }
    for (uint32_t i = 0; i < count; ++i) {
        Op *op = local_cancels_[i].op;
        if (op->live &&
            op->generation.load(std::memory_order_relaxed) == local_cancels_[i].generation)
            interrupt(*op, FERRY_E_CANCELED);
        if (spent()) {
            drop_local_cancels(i + 1);
            return;
        }
    }
    local_cancel_count_ = 0;
}

void Shard::drop_local_cancels(uint32_t done) noexcept {
    local_cancel_count_ -= done;
    for (uint32_t i = 0; i < local_cancel_count_; ++i)
        local_cancels_[i] = local_cancels_[done + i];
}

ferry_status Shard::discard(Id id) noexcept {
    HandleSlot *slot = handles_.slot(id);
    if (slot == nullptr)
        return FERRY_E_BAD_HANDLE;
    switch (Handles::age(*slot, id)) {
    case Age::passed:
        return FERRY_OK;
    case Age::never_issued:
        return FERRY_E_BAD_HANDLE;
    case Age::current:
        break;
    }
    // One of another kind was never issued. If the slot is another's by now, nothing will come of it.
    if (slot->kind.load(std::memory_order_relaxed) != static_cast<uint8_t>(id.kind()))
        return FERRY_E_BAD_HANDLE;
    if (slot->discard.ask(id.generation())) {
        discards_.push(slot);
        knock();
    }
    return FERRY_OK;
}

// ---- slots --------------------------------------------------------------------------------------

bool Shard::take_slot(uint64_t *id) noexcept {
    uint64_t spare = freed_count_.get();
    if (spare == 0) {
        // A handful at once saves locks; but not when other threads could miss them.
        uint32_t wanted = intake_.free_hint() > 4 * kFreedMax ? kFreedMax / 2 : 1;
        spare = intake_.take(freed_, wanted);
        if (spare == 0)
            return false;
    }
    *id = freed_[--spare];
    freed_count_.set(spare);
    if (spare >= kAhead)
        prefetch(&ops_[freed_[spare - kAhead] & kSlotsMax], sizeof(Op));
    return true;
}

void Shard::give_slot(uint64_t id) noexcept {
    if (freed_count_.get() == kFreedMax)
        flush_freed(kFreedMax / 2);
    freed_[freed_count_.get()] = id;
    freed_count_.add(1);
}

// Give all but so many back to everybody.
void Shard::flush_freed(uint32_t keep) noexcept {
    auto spare = static_cast<uint32_t>(freed_count_.get());
    if (spare <= keep)
        return;
    // The newest stay: they are still in the cache.
    intake_.give(freed_, spare - keep);
    for (uint32_t i = 0; i < keep; ++i)
        freed_[i] = freed_[spare - keep + i];
    freed_count_.set(keep);
}

Op *Shard::fill(uint64_t id, const ferry_request &request, Queue &queue) noexcept {
    Op *op = &ops_[id & kSlotsMax];
    FERRY_ASSERT(!op->live);
    op->scheduler = this;
    op->queue = &queue;
    describe(op, request);
    return op;
}

void Shard::describe(Op *op, const ferry_request &request) noexcept {
    op->frame = nullptr;
    op->interrupted = 0;
    op->started = false;
    op->sleeping = false;
    op->opcode = request.opcode;
    op->copy = request.reserved;
    op->flags = request.flags;
    op->tag = request.tag;
    op->target = request.target;
    op->callback = request.callback;
    op->user_data = request.user_data;
    op->params = request.params;
    op->deadline_ns = request.deadline_ns;
}

void Shard::enter(Op *op) noexcept {
    op->live = true;
    ++active_;
    if (op->copy == kCopyInline)
        op->params.words[0] = reinterpret_cast<uintptr_t>(&op->params.words[spec(*op).words]);
    if (op->deadline_ns != 0)
        set_alarm(op, op->deadline_ns);
    if (stopping_)
        op->interrupted = FERRY_E_SHUTDOWN;
    else if (op->cancel.claim(op->generation.load(std::memory_order_relaxed)))
        op->interrupted = FERRY_E_CANCELED;
    push(op);
    // One branch for both: while somebody traces, there is no stamp.
    op->born = stamp_ != 0 ? stamp_ : first_stamp(op);
}

[[gnu::noinline, gnu::cold]] uint32_t Shard::first_stamp(const Op *op) noexcept {
    trace(FERRY_TRACE_BEGIN, op);
    return take_stamp();
}

[[gnu::noinline, gnu::cold]] uint32_t Shard::take_stamp() noexcept {
    uint32_t stamp = stamp_of(driver_->coarse_ns());
    if (trace_ == nullptr)
        stamp_ = stamp;
    return stamp;
}

static uint64_t slot_id(const Op &op, const Op *ops) {
    return uint64_t{op.generation.load(std::memory_order_relaxed)} << kSlotBits |
           static_cast<uint64_t>(&op - ops);
}

void Shard::outdate(Op *op) noexcept {
    uint32_t generation = op->generation.load(std::memory_order_relaxed);
    op->generation.store((generation + 1) & kGenerationMask, std::memory_order_release);
}

void Shard::free_slot(Op *op) noexcept {
    give_slot(slot_id(*op, ops_));
}

void Shard::free_held(Op *op) noexcept {
    op->held.store(false, std::memory_order_relaxed);
    uint64_t id = slot_id(*op, ops_);
    intake_.give(&id, 1);
}

uint64_t Shard::ops_taken() noexcept {
    uint64_t taken = intake_.taken();
    uint64_t spare = freed_count_.get();
    return taken > spare ? taken - spare : 0;
}

void Shard::info(ferry_shard_info *info) noexcept {
    info->index = index_;
    info->ops_in_flight = ops_taken();
    info->handles_open = handles_open();
    info->buffers_lent = buffers_lent();
    info->completions = completed_.get();
    info->connections = accepted_.get();
    info->turns = turns_.get();
    info->wakeups = wakeups_.get();
}

// ---- completions --------------------------------------------------------------------------------

static ferry_completion completion_of(const Op &op, uint64_t id, const Ending &what,
                                      uint32_t flags) {
    ferry_completion completion;
    write_completion(op, id, what, flags, &completion);
    return completion;
}

uint64_t Shard::id_of(const Op &op) const noexcept {
    return public_id(slot_id(op, ops_));
}

const OpSpec &Shard::spec(const Op &op) const noexcept {
    return engine_.operations()[op.opcode];
}

void Shard::touch(Queue &queue) noexcept {
    Queue::Link &link = queue.link(index_);
    if (link.touched)
        return;
    link.touched = true;
    link.next_touched = touched_;
    touched_ = &link;
}

void Shard::publish() noexcept {
    // First the slots: who sees a completion may count on its slot.
    if (freed_count_.get() != 0 && intake_.free_hint() < 2 * kFreedMax)
        flush_freed(0);
    if (leaving_ != nullptr)
        send_home();
    send_knocks();
    while (Queue::Link *link = touched_) {
        touched_ = link->next_touched;
        link->touched = false;
        link->queue->publish();
    }
}

// A queue made inline: what no callback wants is given back.
void Shard::call(ferry_completion_fn callback, const ferry_completion &completion,
                 void *user_data) noexcept {
    if (callback != nullptr && watched_) [[unlikely]]
        call_observed(callback, completion, user_data);
    else if (callback != nullptr)
        callback(&completion, user_data);
    else
        engine_.release_all(completion);
}

ferry_completion Shard::more_of(const Op &op, const Ending &what) const noexcept {
    return completion_of(op, id_of(op), what, FERRY_MORE);
}

bool Shard::emit(Op *op, const ferry_completion &completion) noexcept {
    Queue &queue = *op->queue;
    if (queue.is_inline()) {
        completed_.add(1);
        trace_more(op, completion);
        telling_ = op;
        call(op->callback, completion, op->user_data);
        telling_ = nullptr;
        return true;
    }
    if (!queue.write_more(completion, *op, index_)) {
        // What is written already must be seen, or nobody makes room.
        queue.publish();
        return false;
    }
    completed_.add(1);
    trace_more(op, completion);
    touch(queue);
    return true;
}

void Shard::free_copy(uint16_t opcode, uint16_t copy, const decltype(Op::params) &params) noexcept {
    if (copy == kCopyOwned)
        shared_blocks_.free(reinterpret_cast<void *>(params.words[0]),
                            params.words[engine_.operations()[opcode].words]);
}

void Shard::finish(Op *op, const Ending &how) noexcept {
    if (!op->live) {
        engine_.poison("an operation ended twice");
        return;
    }
    if (op->linked())
        wheel_.remove(op);
    free_copy(op->opcode, op->copy, op->params);
    trace(FERRY_TRACE_END, op, &how);
    op->live = false;
    --active_;
    if (op->child) {
        finish_child(static_cast<Child &>(*op), completion_of(*op, FERRY_NONE, how, 0));
        return;
    }
    const uint64_t id = id_of(*op);
    outdate(op); // A cancel comes too late from now on, also while the completion is held back.
    Queue &queue = *op->queue;
    const int32_t status = how.status; // Not to be asked for when the slot is free.
    completed_.add(1);
    if (queue.is_inline()) {
        ferry_completion completion = completion_of(*op, id, how, 0);
        ferry_completion_fn callback = op->callback;
        void *user_data = op->user_data;
        // Free before the callback: it may want the slot.
        free_slot(op);
        call(callback, completion, user_data);
        queue.link(index_).ended.add(1);
    } else {
        if (queue.write_final(op, id, how, index_))
            free_slot(op);
        touch(queue);
    }
    if (status != FERRY_OK) [[unlikely]]
        count_failure(status); // They are part of those that ended, so never counted before.
}

void Shard::interrupt(coro::Fiber &fiber, int32_t status) noexcept {
    if (fiber.interrupted != 0)
        return;
    fiber.interrupted = status;
    if (fiber.waiting != nullptr)
        fiber.waiting->interrupt();
}

// ---- driver::Host -------------------------------------------------------------------------------

driver::Outcome Shard::allocate_load(size_t size, void **memory) noexcept {
    *memory = nullptr;
    if (!engine_.loads().take(size))
        return {.status = FERRY_E_LIMIT};
    *memory = shared_blocks_.allocate(size);
    if (*memory != nullptr)
        return {};
    engine_.loads().give(size);
    return {.status = FERRY_E_NO_MEMORY};
}

void Shard::lend_record(const void *record, size_t size, Ending *what) noexcept {
    driver::Span space;
    what->status = buffers_.space(&space);
    if (what->status != FERRY_OK && buffers_.take_back())
        what->status = buffers_.space(&space);
    if (what->status != FERRY_OK)
        return;
    std::memcpy(space.data, record, size);
    what->data = space.data;
    what->result = static_cast<int64_t>(size);
    what->buffer = buffers_.lend(size);
    what->flags |= FERRY_BUFFER;
}

void Shard::free_load(void *memory, size_t size) noexcept {
    shared_blocks_.free(memory, size);
    engine_.loads().give(size);
}

// ---- the end ------------------------------------------------------------------------------------

void Shard::ask_to_stop() noexcept {
    intake_.close();
    stop_asked_.store(true, std::memory_order_relaxed);
    nudge();
}

void Shard::stop() noexcept {
    stopping_ = true;
    engine_.shard_stopping();
    for (uint32_t i = 0; i < intake_.made(); ++i) {
        if (ops_[i].live)
            interrupt(ops_[i], FERRY_E_SHUTDOWN);
    }
    handles_.for_each([this](HandleSlot &slot) {
        if (!slot.resource->closing)
            close(slot, nullptr);
    });
}

bool Shard::quiet() noexcept {
    if (!stopping_ || active_ != 0 || !empty() || !intake_.drained() || !engine_.all_at_home())
        return false;
    // Connections that an operation opened after the first round.
    handles_.for_each([this](HandleSlot &slot) {
        if (!slot.resource->closing)
            close(slot, nullptr);
    });
    return handles_.open_count() == 0 && dirty_ == nullptr && !driver_->closing();
}

void Shard::abandon(driver::Resource &resource) noexcept {
    switch (Id{resource.handle}.kind()) {
    case Kind::file:
        driver_->abandon(static_cast<driver::File &>(resource));
        break;
    case Kind::channel:
        engine_.allocator().destroy(static_cast<Channel *>(&resource));
        break;
    default:
        free_rest(static_cast<driver::Socket &>(resource));
        driver_->abandon(static_cast<driver::Socket &>(resource));
    }
}

void Shard::abandon() noexcept {
    if (driver_ == nullptr)
        return;
    while (Transit *transit = transits_) {
        transits_ = transit->next;
        for (int64_t descriptor : transit->descriptors)
            os::close_descriptor(descriptor);
        allocator().free(transit, transit->size);
    }
    handles_.for_each([this](HandleSlot &slot) { abandon(*slot.resource); });
    driver_->abandon_all();
}

} // namespace ferry
