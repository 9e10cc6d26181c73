// A shard: one loop on one thread, with its operations, handles, timers and buffers.
//
// A turn: take in what other threads sent, run what is ready, fire timers, publish completions, poll
// the driver. After each event of the driver what it made ready runs at once, while it is in the cache;
// sends that came together leave together.
#pragma once

#include "base/allocator.hpp"
#include "base/block_cache.hpp"
#include "base/block_pool.hpp"
#include "base/counter.hpp"
#include "base/lists.hpp"
#include "base/text.hpp"
#include "coro/fiber.hpp"
#include "driver/driver.hpp"
#include "runtime/buffers.hpp"
#include "runtime/handles.hpp"
#include "runtime/intake.hpp"
#include "runtime/op.hpp"
#include "runtime/operation.hpp"
#include "runtime/queue.hpp"
#include "runtime/rest.hpp"
#include "runtime/timer_wheel.hpp"
#include "runtime/tree.hpp"
#include "runtime/watch.hpp"

#include <ferry/completion.h>
#include <ferry/engine.h>
#include <ferry/inspect.h>
#include <ferry/request.h>
#include <ferry/trace.h>

#include <atomic>
#include <cstdint>

namespace ferry {

class Engine;

// Descriptors that no driver has: on their way between shards. The beginning of a block of the allocator's. A
// fork's child, where its owner never ends, closes its copies of them and frees it.
struct Transit {
    static constexpr uint32_t kMax = 16;

    Transit() noexcept {
        for (int64_t &none : descriptors)
            none = -1;
    }

    Transit *next = nullptr;
    Transit **link = nullptr;
    size_t size = 0; // Of the block.
    int64_t descriptors[kMax];
};

class Shard final : public coro::Scheduler, public driver::Host {
  public:
    Shard(Engine &engine, uint32_t index);
    ~Shard();
    Shard(const Shard &) = delete;
    Shard &operator=(const Shard &) = delete;

    ferry_status open() noexcept;
    // On the thread that will drive it.
    ferry_status begin() noexcept { return driver_->begin(); }

    // ---- driving, on the shard's thread ----
    // Until there is nothing left to do, or the budget is used up.
    void work() noexcept;
    void poll(uint64_t until_ns) noexcept;
    // From here on work() stops when so much time has passed; 0 = no limit. A poll that waits starts
    // the time anew.
    void set_budget(uint64_t budget_ns) noexcept;
    uint64_t budget_end_ns() const noexcept { return budget_end_ns_; }
    uint64_t progress() const noexcept { return progress_; }
    uint64_t completed() const noexcept { return completed_.get(); }
    void info(ferry_shard_info *info) noexcept;
    uint32_t left() noexcept;
    bool has_run_out() const noexcept { return out_of_time_; }
    // Which thread runs the shard; 0 = none yet.
    void bind(uintptr_t thread) noexcept { thread_.store(thread, std::memory_order_relaxed); }
    // A host-driven shard belongs to the first thread that runs it. False: it is another's.
    bool bind_once(uintptr_t thread) noexcept {
        uintptr_t none = 0;
        return thread_.compare_exchange_strong(none, thread) || none == thread;
    }
    // What this thread did is seen by the next one that binds it.
    void unbind() noexcept { thread_.store(0, std::memory_order_release); }
    uintptr_t thread() const noexcept { return thread_.load(std::memory_order_relaxed); }
    // The host sleeps on the driver's descriptor between runs.
    void settle_for_descriptor() noexcept;
    void rouse() noexcept;

    // Everything has ended after ask_to_stop().
    bool quiet() noexcept;
    // That, and the workers have ended, too.
    void settle() noexcept { driver_->settle(); }

    // ---- from any thread ----
    // knock: end its sleep, it will see what came. nudge: the same, and leave a mark to be seen.
    void knock() noexcept;
    void nudge() noexcept override;
    // On a shard's thread: knock at another one's with the end of this turn, once for all it was sent.
    void knock_later(const Shard &other) noexcept { knocks_ |= uint64_t{1} << other.index_; }
    void send_knocks() noexcept;
    void ask_to_stop() noexcept;
    ferry_status cancel(Id op) noexcept;
    ferry_status discard(Id handle) noexcept;
    ferry_status release(Id buffer) noexcept;
    Intake &intake() noexcept { return intake_; }
    // Memory for what is copied at submit and for loaded files; any thread.
    BlockCache &shared_blocks() noexcept { return shared_blocks_; }
    uint32_t index() const noexcept { return index_; }
    void free_held(Op *op) noexcept;

    // ---- submit on the shard's own thread ----
    // An id for a free slot; false = none.
    bool take_slot(uint64_t *id) noexcept;
    void give_slot(uint64_t id) noexcept;
    // Fill the slot; what submit changes of a request (times, borrowed bytes) may then still be
    // changed in it. The slot is live after enter().
    Op *fill(uint64_t id, const ferry_request &request, Queue &queue) noexcept;
    void enter(Op *op) noexcept;
    // A timed operation is about to be entered.
    void expect_alarm(uint64_t expiry_ns) noexcept { wheel_.prepare(expiry_ns); }
    uint64_t public_id(uint64_t id) const noexcept { return ids_ | id; }
    uint64_t id_of(const Op &op) const noexcept;

    // ---- for operations ----
    Engine &engine() noexcept { return engine_; }
    driver::Driver &driver() noexcept { return *driver_; }
    BlockPool &blocks() noexcept { return blocks_; }
    const Allocator &allocator() const noexcept;
    Buffers &buffers() noexcept { return buffers_; }
    Handles &handles() noexcept { return handles_; }
    coro::WaitList &room() noexcept { return room_; }
    coro::WaitList &memory() noexcept { return memory_; }
    uint64_t now_ns() const noexcept { return driver_->now_ns(); }

    // A completion with FERRY_MORE; false = no room, wait for room() and try again. Who has many that
    // differ in little makes the first with more_of() and changes it.
    bool emit(Op *op, const Ending &what) noexcept { return emit(op, more_of(*op, what)); }
    bool emit(Op *op, const ferry_completion &completion) noexcept;
    ferry_completion more_of(const Op &op, const Ending &what) const noexcept;
    // The final completion; the slot may be free afterwards.
    void finish(Op *op, const Ending &how) noexcept;
    static void interrupt(coro::Fiber &fiber, int32_t status) noexcept;

    // FERRY_OK and the slot, or why the handle is not to be had.
    ferry_status look_up(uint64_t handle, HandleSlot **slot) noexcept;
    void hold(driver::Resource &resource) noexcept { ++resource.holds; }
    void let_go(driver::Resource &resource) noexcept;
    // What is pending on it ends with FERRY_E_CLOSED, then it closes. True: it is closed already.
    bool close(HandleSlot &slot, driver::Closer *closer) noexcept;

    // Give its descriptor up: outcome.result. Nothing is at work on it. The handle is stale afterwards.
    driver::Outcome release_resource(HandleSlot &slot) noexcept;

    void enqueue(driver::Socket &socket, driver::Outgoing &outgoing) noexcept;
    // Take out those sends whose fiber was interrupted.
    void drop_interrupted(driver::Socket &socket) noexcept;
    // One that had its turn leaves the front to those behind it.
    void pass(driver::Socket &socket, driver::Outgoing &outgoing) noexcept;

    // A stream's rest: see rest.hpp. receive_rest: complete its receive from there; false = there is none.
    static driver::Span rest(const driver::Socket &socket) noexcept {
        const driver::Rest *rest = socket.rest;
        return rest != nullptr ? driver::Span{rest->data, rest->size} : driver::Span{};
    }
    bool receive_rest(driver::Socket &socket) noexcept;
    void drop_rest(driver::Socket &socket, size_t size) noexcept {
        driver::Rest &rest = *socket.rest;
        FERRY_ASSERT(size <= rest.size);
        rest.data += size;
        rest.size -= size;
        if (rest.size == 0)
            free_rest(socket);
    }
    // The stream is going to wait: hold no more memory than needed.
    void settle_rest(driver::Socket &socket) noexcept;
    // Its beginning as a lent buffer, which drop_rest() must follow, or unlend(). FERRY_E_FULL: no room.
    struct Lent {
        const void *data;
        uint64_t buffer;
    };
    int32_t lend_rest(driver::Socket &socket, size_t size, Lent *lent) noexcept;
    void unlend(uint64_t buffer) noexcept;

    // A record of the engine's as a lent buffer: fills what->data, result, buffer and flags, or status.
    void lend_record(const void *record, size_t size, Ending *what) noexcept;

    void set_sleep(Op *op, uint64_t until_ns) noexcept;
    void end_sleep(Op *op) noexcept;
    // Children of a composition that runs here; see tree.hpp.
    void begin(Child &child, Shard *place) noexcept;
    // Its own, that are elsewhere or on their way. Any thread.
    uint64_t children_away() const noexcept { return children_away_.load(); }
    void interrupt_child(Child &child, int32_t status) noexcept;

    // Whether a handle can be made there, most likely. Any thread.
    bool has_handles() const noexcept { return handles_.open_count() < handles_.capacity(); }
    void keep_in_mind(Transit &transit) noexcept;
    static void forget(const Transit &transit) noexcept;

    void note_hunger() noexcept { hungry_.store(true, std::memory_order_seq_cst); }

    // ---- for those who look on ----
    Watch &watch() noexcept { return watch_; }
    // Its part of the engine's. Any thread.
    void add_metrics(ferry_metrics *sum) noexcept;
    // Bytes, as the host was told of them.
    struct Traffic {
        Counter received;
        Counter sent;
        Counter read;
        Counter written;
    };
    Traffic &traffic() noexcept { return traffic_; }
    // All that can be told of it, as JSON: on its thread, or when it does not run any more.
    void dump(Text &text) noexcept;
    // Under the engine's inspect lock: who asks, and what its thread has to answer when it is nudged.
    bool over() const noexcept { return over_; }
    void ask_for_dump() noexcept {
        dump_asked_.store(true, std::memory_order_relaxed);
        nudge();
    }
    void end() noexcept;

    // ---- in a fork's child ----
    void abandon() noexcept;

    void note_accepted() noexcept { accepted_.add(1); }
    uint64_t handles_open() const noexcept { return handles_.open_count(); }
    uint64_t buffers_lent() const noexcept { return buffers_.lent(); }
    uint64_t ops_taken() noexcept;

    // ---- driver::Host ----
    driver::Span lend_space(driver::Socket &stream, int32_t *status) noexcept override;
    uint64_t lend(driver::Socket &stream, size_t used) noexcept override;
    Piece take_piece() noexcept override;
    uint64_t lend_piece(const Piece &piece) noexcept override;
    void drop_piece(const Piece &piece) noexcept override;
    bool keep(driver::Socket &stream, const void *data, size_t size) noexcept override;
    driver::Outcome allocate_load(size_t size, void **memory) noexcept override;
    void free_load(void *memory, size_t size) noexcept override;
    void sent(driver::Socket &socket, driver::Outcome outcome) noexcept override;
    void closed(driver::File &file, driver::Outcome outcome) noexcept override;
    bool run_ready() noexcept override;

  private:
    static constexpr uint32_t kFreedMax = 64;
    static constexpr uint32_t kLocalCancels = 64;
    static constexpr uint32_t kAhead = 4; // So many slots are fetched before they are taken.
    static constexpr uint32_t kPiece =
        16; // Of small things, so many between two looks at the clock.

    static void describe(Op *op, const ferry_request &request) noexcept;
    ferry_status settle_handles(Child &child, Shard **place) noexcept;
    void admit(Child &child) noexcept;
    void welcome(Child &child) noexcept;
    void take_children() noexcept;
    void cancel_child(Child &child) noexcept;
    void finish_child(Child &child, const ferry_completion &completion) noexcept;
    void leave(Child &child) noexcept;
    void send_home() noexcept;
    void take_in() noexcept;
    void look_around() noexcept;
    void wake_waiting() noexcept;
    void take_buffers_back() noexcept;
    void drain_inbox() noexcept;
    void take_wishes() noexcept;
    void cancel_locals() noexcept;
    void drop_local_cancels(uint32_t done) noexcept;
    void close_discarded() noexcept;
    void run(Op *op) noexcept;
    void go_on(Op *op) noexcept;
    void run_observed(Op *op) noexcept;
    void call_observed(ferry_completion_fn callback, const ferry_completion &completion,
                       void *user_data) noexcept;
    void begin_turn() noexcept;
    void count_failure(int32_t status) noexcept;
    void end_turn() noexcept;
    static const Op &root_of(const Op &op) noexcept;
    void fire_timers() noexcept;
    void set_alarm(Op *op, uint64_t expiry_ns) noexcept;
    void publish() noexcept;
    // One predictable branch where nobody traces. what: the completion's, for MORE and END.
    void trace(uint16_t kind, const Op *op, const Ending *what = nullptr) const noexcept {
        if (trace_ != nullptr) [[unlikely]]
            tell(kind, op, what);
    }
    void trace_more(const Op *op, const ferry_completion &completion) const noexcept {
        if (trace_ != nullptr) [[unlikely]]
            tell_more(op, completion);
    }
    void tell(uint16_t kind, const Op *op, const Ending *what) const noexcept;
    static void tell_world(const ferry_trace_event *event, void *shard);
    void tell_more(const Op *op, const ferry_completion &completion) const noexcept;
    void call(ferry_completion_fn callback, const ferry_completion &completion,
              void *user_data) noexcept;
    void touch(Queue &queue) noexcept;
    static void outdate(Op *op) noexcept;
    void free_slot(Op *op) noexcept;
    void flush_freed(uint32_t keep) noexcept;
    void flush() noexcept;
    void flush_socket(driver::Socket &socket) noexcept;
    void distribute(driver::Socket &socket, const driver::Outcome &outcome) noexcept;
    void mark_dirty(driver::Socket &socket) noexcept;
    ferry_status space_for(driver::Socket &socket, driver::Span *span) noexcept;
    ferry_status gather_space(driver::Socket &socket, driver::Span *span) noexcept;
    ferry_status space_in_block(driver::Rest &rest, driver::Span *span) noexcept;
    ferry_status space_in_chunk(driver::Rest &rest, driver::Span *span) noexcept;
    void gather(driver::Rest &rest, size_t used) noexcept;
    void free_rest_memory(driver::Rest &rest) noexcept;
    void free_rest(driver::Socket &socket) noexcept;
    void interrupt_users(driver::Resource &resource) noexcept;
    bool finish_close(HandleSlot &slot) noexcept;
    void abandon(driver::Resource &resource) noexcept;
    const OpSpec &spec(const Op &op) const noexcept;
    void free_copy(uint16_t opcode, uint16_t copy, const decltype(Op::params) &params) noexcept;
    bool arrived() noexcept;
    bool unfinished() noexcept;
    // When this turn's operations were taken in, in steps of a millisecond: see Op::born. 0 = not asked yet.
    static constexpr uint32_t kStampBits = 20;
    uint32_t stamp() noexcept { return stamp_ != 0 ? stamp_ : take_stamp(); }
    uint32_t take_stamp() noexcept;
    uint32_t first_stamp(const Op *op) noexcept;
    static uint32_t stamp_of(uint64_t ns) noexcept {
        auto stamp = static_cast<uint32_t>(ns >> kStampBits);
        return stamp != 0 ? stamp : 1;
    }
    void answer_dumps() noexcept;
    void dump_operations(Text &text) noexcept;
    void dump_guests(Text &text) noexcept;
    void dump_handles(Text &text) noexcept;
    void dump_life(Text &text, const Op &op) noexcept;
    void dump_children(Text &text, const Op &op) noexcept;
    void dump_child(Text &text, const Child &child) noexcept;
    void stop() noexcept;
    void lie_down() noexcept;
    bool look_at_clock() noexcept;
    bool time_for(uint64_t step_ns) noexcept;
    // Whether the budget, if there is one, is used up. Once it is, the clock is not asked again.
    bool spent() noexcept { return budget_ns_ != 0 && (out_of_time_ || look_at_clock()); }

    Engine &engine_;
    const uint32_t index_;
    BlockPool blocks_;
    BlockCache shared_blocks_;
    Buffers buffers_;
    Handles handles_;
    Intake intake_;
    const uint64_t ids_; // What all ids of its operations have in common.
    driver::Driver *driver_ = nullptr;
    Op *ops_ = nullptr;
    uint32_t ops_max_ = 0;

    TimerWheel wheel_;
    coro::WaitList room_{"room in queue"}; // Multishot operations whose queue is full.
    coro::WaitList memory_{"buffer"};      // Receives for which every buffer is lent.
    driver::Socket *dirty_ = nullptr;
    Queue::Link *touched_ = nullptr;
    HandleSlot *discarded_ = nullptr; // Taken from the mailbox.
    Child *leaving_ = nullptr;        // Ended here, to go back to their shards.
    Child *guests_ = nullptr;         // Running here, of parents elsewhere.
    const Op *telling_ = nullptr; // The one whose callback hears of a completion with FERRY_MORE.
    Op *cancelled_ = nullptr;     // The same.
    Transit *transits_ = nullptr;
    uint32_t room_due_ = 0;   // So many of room_ are to be woken.
    uint32_t memory_due_ = 0; // So many of memory_.
    uint64_t freed_[kFreedMax];
    Counter freed_count_; // Free slots kept at hand.
    struct LocalCancel {
        Op *op;
        uint32_t generation;
    };
    LocalCancel local_cancels_[kLocalCancels];
    uint32_t local_cancel_count_ = 0;
    const ferry_trace_fn trace_;
    void *const trace_user_data_;
    const bool watched_;
    const bool observed_;        // Watched or traced.
    bool working_ = false;       // Watched: in the midst of work(), not of poll().
    Task task_;                  // The same: what it is at.
    uint64_t turn_begun_ns_ = 0; // The same.
    uint64_t turn_part_ns_ = 0;
    Counter turn_ns_;
    Counter turn_worst_ns_;
    Watch watch_;
    uint64_t budget_ns_ = 0;
    uint64_t budget_end_ns_ = 0;
    bool behind_ = false;    // The last run was cut short.
    bool gathering_ = false; // Events are taken in, nothing is run.
    uint64_t progress_ = 0;  // Rises whenever anything was done.
    uint64_t active_ = 0;    // Operations admitted and not ended.
    uint32_t stamp_ = 0;
    bool stopping_ = false;
    bool dump_due_ = false;
    bool lies_down_ = false; // It has marked itself as sleeping.
    bool reclaimed_ = false; // Buffers were released on this thread while receives wait for one.
    uint64_t knocks_ = 0;    // Shards that were sent something in this turn, a bit each.
    std::atomic<uint64_t> children_away_{0}; // Only this shard changes it.
    Counter completed_;
    Counter accepted_; // Connections.
    Counter failed_; // Final completions, not of children, and not for one of the next two reasons.
    Counter canceled_;
    Counter timed_out_;
    Traffic traffic_;
    Counter turns_;
    Counter wakeups_; // Times it slept, or was about to, and was knocked at.
    std::atomic<uintptr_t> thread_{0};

    // Other threads knock here.
    alignas(64) std::atomic<bool> sleeping_{false};
    std::atomic<bool> nudged_{false};
    std::atomic<bool> stop_asked_{false};
    std::atomic<bool> hungry_{false}; // A release by another thread should nudge.
    std::atomic<bool> dump_asked_{false};
    bool over_ = false; // Under the inspect lock.
    Mailbox<Op, &Op::next_cancel> cancels_;
    Mailbox<HandleSlot, &HandleSlot::next_discard> discards_;
    Mailbox<Child, &Child::next_hop> arrivals_; // Children to be run here, or back from elsewhere.
};

inline ferry_status Shard::release(Id id) noexcept {
    ferry_status status = buffers_.release(id);
    if (status != FERRY_OK)
        return status;
    if (os::thread_self() == thread()) {
        buffers_.reclaim(id);
        if (!memory_.empty()) {
            reclaimed_ = true; // Their turn comes with the next take_in().
            nudge();
        }
        return FERRY_OK;
    }
    buffers_.hand_back(id);
    if (hungry_.load(std::memory_order_seq_cst))
        nudge();
    return FERRY_OK;
}

// The operation that has an id: a child is known by its place in the tree of that one.
inline const Op &Shard::root_of(const Op &op) noexcept {
    const Op *root = &op;
    while (root->child)
        root = static_cast<const Child *>(root)->parent;
    return *root;
}

inline Shard &Op::shard() const noexcept {
    return *static_cast<Shard *>(scheduler);
}

} // namespace ferry
