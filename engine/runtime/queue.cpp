#include "runtime/queue.hpp"

#include "base/saturating.hpp"
#include "runtime/engine.hpp"
#include "runtime/shard.hpp"

#include <ferry/opcode.h>
#include <ferry/status.h>

#include <bit>
#include <cstring>
#include <new>
#include <thread>

namespace ferry {

// Held finals that one publish moves up: the shard has a budget, and the consumer moves up the rest.
static constexpr uint32_t kMoveUpMax = 256;

ferry_completion &held_completion(Op &op) noexcept {
    static_assert(sizeof(ferry_completion) <= sizeof(op.params));
    return *reinterpret_cast<ferry_completion *>(&op.params);
}

static uint32_t ring_places(const ferry_queue_options &options) {
    if (options.mode == FERRY_QUEUE_INLINE)
        return 0;
    uint32_t wanted = options.capacity == 0 ? 1024 : options.capacity;
    uint32_t places = 1;
    while (places < wanted)
        places <<= 1;
    return places;
}

Queue::Queue(Engine &engine, const ferry_queue_options &options)
    : engine_(engine), mode_(options.mode), home_(options.shard), wake_(options.wake),
      user_data_(options.user_data), capacity_(ring_places(options)) {
    armed_.store(wake_ != nullptr ? 1 : 0, std::memory_order_relaxed);
}

ferry_status Queue::open() noexcept {
    const Allocator &allocator = engine_.allocator();
    links_ = allocator.allocate_array<Link>(engine_.shard_count());
    if (links_ == nullptr)
        return FERRY_E_NO_MEMORY;
    for (uint32_t i = 0; i < engine_.shard_count(); ++i)
        links_[i].queue = this;
    if (capacity_ == 0)
        return FERRY_OK;
    records_ = allocator.allocate_array<ferry_completion>(capacity_);
    if (records_ == nullptr)
        return FERRY_E_NO_MEMORY;
    if (mode_ == FERRY_QUEUE_REAP) {
        deliveries_ = allocator.allocate_array<Delivery>(capacity_);
        if (deliveries_ == nullptr)
            return FERRY_E_NO_MEMORY;
    }
    return FERRY_OK;
}

Queue::~Queue() {
    free_ring();
    engine_.allocator().free_array(links_, engine_.shard_count());
}

void Queue::free_ring() noexcept {
    engine_.allocator().free_array(deliveries_, capacity_);
    engine_.allocator().free_array(records_, capacity_);
    deliveries_ = nullptr;
    records_ = nullptr;
}

// ---- producers ----------------------------------------------------------------------------------

ferry_completion *Queue::next_record(ferry_completion_fn callback, void *user_data) noexcept {
    uint32_t place = written_++ & (capacity_ - 1);
    if (deliveries_ != nullptr)
        deliveries_[place] = Delivery{callback, user_data};
    return &records_[place];
}

void Queue::put(const ferry_completion &completion, ferry_completion_fn callback,
                void *user_data) noexcept {
    *next_record(callback, user_data) = completion;
}

bool Queue::write_more(const ferry_completion &completion, const Op &op, uint32_t shard) noexcept {
    SpinGuard guard(lock_);
    if (!held_.empty() || !room()) {
        starved_.fetch_or(uint64_t{1} << shard, std::memory_order_seq_cst);
        flags_.store(FERRY_QUEUE_HELD, std::memory_order_seq_cst);
        // The consumer may have made room just before it could see the bit.
        if (!held_.empty() || !room())
            return false;
    }
    put(completion, op.callback, op.user_data);
    return true;
}

bool Queue::write_final(Op *op, uint64_t id, const Ending &how, uint32_t shard) noexcept {
    SpinGuard guard(lock_);
    links_[shard].ended.add(1);
    if (held_.empty() && room()) {
        // Straight into the ring: a copy of what was written just before would wait for it.
        write_completion(*op, id, how, 0, next_record(op->callback, op->user_data));
        return true;
    }
    write_completion(*op, id, how, 0, &held_completion(*op));
    op->held.store(true, std::memory_order_relaxed);
    held_.push(op);
    held_count_.add(1);
    flags_.store(FERRY_QUEUE_HELD, std::memory_order_seq_cst);
    return false;
}

ferry_status Queue::post(const ferry_completion &completion) noexcept {
    {
        SpinGuard guard(lock_);
        if (!held_.empty() || !room())
            return FERRY_E_FULL;
        put(completion, nullptr, nullptr);
    }
    publish();
    engine_.note_post();
    return FERRY_OK;
}

void Queue::publish() noexcept {
    bool taken;
    {
        SpinGuard guard(lock_);
        if (!held_.empty())
            move_up_locked(kMoveUpMax);
        tail_.store(written_, std::memory_order_seq_cst);
        // Under the lock, so that retire() knows of everybody who is about to signal.
        taken = armed_.load(std::memory_order_seq_cst) != 0 &&
                armed_.exchange(0, std::memory_order_seq_cst) != 0;
    }
    if (taken)
        tell();
}

void Queue::signal() noexcept {
    if (armed_.exchange(0, std::memory_order_seq_cst) != 0)
        tell();
}

void Queue::tell() noexcept {
    // The consumer waits for signaled_ before it clears the descriptor, so no signal comes too late.
    if (event_.descriptor() >= 0)
        event_.signal();
    if (wake_ != nullptr)
        wake_(user_data_);
    signaled_.store(1, std::memory_order_release);
}

// Held finals into the ring, as far as there is room. Their slots are free then.
bool Queue::move_up_locked(uint32_t max) noexcept {
    bool moved = false;
    for (; max != 0 && !held_.empty() && room(); --max) {
        auto *op = static_cast<Op *>(held_.pop());
        held_count_.subtract(1);
        put(held_completion(*op), op->callback, op->user_data);
        op->shard().free_held(op);
        moved = true;
    }
    // Only the consumer's nudge takes a paused operation out of starved_: until then it must be told.
    if (held_.empty() && starved_.load(std::memory_order_seq_cst) == 0)
        flags_.store(0, std::memory_order_seq_cst);
    return moved;
}

// ---- the consumer -------------------------------------------------------------------------------

uint32_t Queue::waiting() const noexcept {
    return tail_.load(std::memory_order_seq_cst) - head_.load(std::memory_order_relaxed);
}

void Queue::nudge_starved() noexcept {
    if (starved_.load(std::memory_order_seq_cst) == 0)
        return;
    uint64_t shards = starved_.exchange(0, std::memory_order_seq_cst);
    while (shards != 0) {
        engine_.shard(static_cast<uint32_t>(std::countr_zero(shards))).nudge();
        shards &= shards - 1;
    }
}

// After records were taken: let held finals move up and paused operations go on.
void Queue::advance_head(uint32_t head) noexcept {
    head_.store(head, std::memory_order_seq_cst);
    nudge_starved();
    if (flags_.load(std::memory_order_seq_cst) != 0) {
        SpinGuard guard(lock_);
        if (move_up_locked(UINT32_MAX))
            tail_.store(written_, std::memory_order_seq_cst);
    }
}

int32_t Queue::reap(ferry_completion *out, uint32_t capacity) noexcept {
    if (dispatching())
        return FERRY_E_BUSY;
    uint32_t total = 0;
    for (;;) {
        uint32_t head = head_.load(std::memory_order_relaxed);
        uint32_t count = waiting();
        if (count > capacity - total)
            count = capacity - total;
        if (count > 0) {
            uint32_t place = head & (capacity_ - 1);
            uint32_t first = capacity_ - place < count ? capacity_ - place : count;
            std::memcpy(out + total, records_ + place, first * sizeof(ferry_completion));
            std::memcpy(out + total + first, records_, (count - first) * sizeof(ferry_completion));
            advance_head(head + count);
            total += count;
        }
        if (total == capacity || (waiting() == 0 && arm() == 0))
            return static_cast<int32_t>(total);
    }
}

int32_t Queue::arm() noexcept {
    // A mapped reader has only released its head; the flags must not be looked at before others see it.
    head_.fetch_add(0, std::memory_order_seq_cst);
    nudge_starved();
    if (flags_.load(std::memory_order_seq_cst) != 0) {
        SpinGuard guard(lock_);
        move_up_locked(UINT32_MAX);
        tail_.store(written_, std::memory_order_seq_cst);
    }
    if (waiting() != 0)
        return 1; // Armed or signalled already, whichever it was: it stays readable.
    if (!signals())
        return 0;
    if (armed_.load(std::memory_order_seq_cst) == 0) {
        // A producer took the arm: its signal has come or is about to.
        while (signaled_.load(std::memory_order_acquire) == 0)
            std::this_thread::yield();
        signaled_.store(0, std::memory_order_relaxed);
        if (event_.descriptor() >= 0)
            event_.clear();
        armed_.store(1, std::memory_order_seq_cst);
    }
    if (waiting() == 0)
        return 0;
    signal();
    return 1;
}

ferry_status Queue::open_fd(int32_t *fd) noexcept {
    if (event_.descriptor() < 0) {
        // Producers read the descriptor only after they took the arm, which is given below; but with a
        // wake hook it may be out already.
        while (wake_ != nullptr && armed_.exchange(0, std::memory_order_seq_cst) == 0 &&
               signaled_.load(std::memory_order_acquire) == 0)
            std::this_thread::yield();
        ferry_status status = event_.open();
        if (status == FERRY_OK)
            event_.signal();
        signaled_.store(1, std::memory_order_release);
        if (status != FERRY_OK)
            return status;
        arm();
    }
    *fd = event_.descriptor();
    return FERRY_OK;
}

int32_t Queue::wait(ferry_completion *out, uint32_t capacity, uint64_t timeout_ns) noexcept {
    uint64_t until = 0;
    for (;;) {
        int32_t count = reap(out, capacity);
        if (count != 0 || timeout_ns == 0)
            return count;
        int32_t fd;
        if (event_.descriptor() < 0) {
            ferry_status status = open_fd(&fd);
            if (status != FERRY_OK)
                return status;
            continue; // Something may have come before the descriptor was there.
        }
        if (timeout_ns == FERRY_FOREVER) {
            event_.wait(UINT64_MAX);
            continue;
        }
        uint64_t now = os::now_ns();
        if (until == 0)
            until = timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX - 1;
        if (now >= until)
            return 0;
        event_.wait(until - now);
    }
}

int32_t Queue::dispatch(uint32_t max, uint64_t budget_ns) noexcept {
    if (dispatching())
        return FERRY_E_BUSY;
    uint32_t count = waiting();
    if (count == 0) {
        arm();
        count = waiting();
    }
    if (max != 0 && count > max)
        count = max;
    if (count > INT32_MAX)
        count = INT32_MAX;
    uint64_t end = budget_ns != 0 ? add_saturating(engine_.now_ns(), budget_ns) : 0;
    uint32_t done = 0;
    dispatcher_.store(os::thread_self(), std::memory_order_relaxed);
    engine_.count_dispatch(1);
    while (done < count) {
        uint32_t head = head_.load(std::memory_order_relaxed);
        uint32_t place = head & (capacity_ - 1);
        // Copied: the callback may submit, and its place may be written again.
        ferry_completion completion = records_[place];
        Delivery delivery = deliveries_[place];
        advance_head(head + 1);
        ++done;
        if (delivery.callback != nullptr && engine_.watches()) [[unlikely]]
            call_observed(delivery, completion);
        else if (delivery.callback != nullptr)
            delivery.callback(&completion, delivery.user_data);
        else
            engine_.release_all(completion); // Nobody else will.
        if (end != 0 && engine_.now_ns() >= end)
            break;
    }
    engine_.count_dispatch(-1);
    dispatcher_.store(0, std::memory_order_relaxed);
    if (waiting() == 0)
        arm();
    return static_cast<int32_t>(done);
}

[[gnu::noinline, gnu::cold]] void
Queue::call_observed(const Delivery &delivery, const ferry_completion &completion) noexcept {
    Task task = {.since_ns = os::now_ns(),
                 .op = completion.op,
                 .tag = completion.tag,
                 .opcode = completion.opcode,
                 .what = Task::What::dispatched};
    watch_.begin(task);
    delivery.callback(&completion, delivery.user_data);
    engine_.end_task(watch_, task, "who dispatches queue ", number_, os::now_ns());
}

void Queue::map(ferry_queue_mapping *mapping) noexcept {
    static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
    mapping->capacity = capacity_;
    mapping->records = records_;
    mapping->head = reinterpret_cast<uint32_t *>(&head_);
    mapping->tail = reinterpret_cast<const uint32_t *>(&tail_);
    mapping->flags = reinterpret_cast<const uint32_t *>(&flags_);
}

const char *Queue::mode_name() const noexcept {
    static constexpr const char *kNames[] = {"reap", "mapped", "inline"};
    return kNames[mode_];
}

uint32_t Queue::depth() const noexcept {
    // The tail first: read the other way round, the head may have passed it meanwhile.
    uint32_t tail = tail_.load(std::memory_order_acquire);
    uint32_t depth = tail - head_.load(std::memory_order_acquire);
    return depth <= capacity_ ? depth : 0;
}

uint64_t Queue::accepted() const noexcept {
    uint64_t accepted = accepted_remote_.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < engine_.shard_count(); ++i)
        accepted += links_[i].accepted.get();
    return accepted;
}

uint64_t Queue::in_flight() const noexcept {
    // What has ended first: read the other way round, more might have ended than were accepted.
    uint64_t ended_ones = 0;
    for (uint32_t i = 0; i < engine_.shard_count(); ++i)
        ended_ones += ended(i);
    uint64_t all = accepted();
    return all > ended_ones ? all - ended_ones : 0;
}

ferry_status Queue::retire(bool stopped) noexcept {
    if (dispatching())
        return FERRY_E_BUSY;
    if (!stopped) {
        SpinGuard guard(lock_);
        bool unread = written_ != head_.load(std::memory_order_relaxed);
        if (in_flight() != 0 || unread || !held_.empty())
            return FERRY_E_BUSY;
    }
    alive_.store(false, std::memory_order_release);
    {
        // Nobody will ever reap what was held back; its slots are free all the same.
        SpinGuard guard(lock_);
        while (!held_.empty()) {
            auto *op = static_cast<Op *>(held_.pop());
            held_count_.subtract(1);
            op->shard().free_held(op);
        }
    }
    // Whoever took the arm is about to signal, or has.
    while (signals() && armed_.exchange(0, std::memory_order_seq_cst) == 0 &&
           signaled_.load(std::memory_order_acquire) == 0)
        std::this_thread::yield();
    // The husk stays with the engine, so that a stale pointer is answered; the ring need not.
    free_ring();
    event_.close();
    return FERRY_OK;
}

} // namespace ferry
