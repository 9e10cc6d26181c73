// An engine: its shards and their threads, its workers, its queues, its life cycle.
#pragma once

#include "base/allocator.hpp"
#include "base/counter.hpp"
#include "base/spin_lock.hpp"
#include "base/text.hpp"
#include "driver/driver.hpp"
#include "driver/os.hpp"
#include "driver/worker_pool.hpp"
#include "runtime/buffers.hpp"
#include "runtime/condition.hpp"
#include "runtime/operation.hpp"
#include "runtime/queue.hpp"
#include "runtime/thread_table.hpp"
#include "runtime/watchdog.hpp"

#include <ferry/engine.h>
#include <ferry/inspect.h>
#include <ferry/queue.h>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace ferry {

class Shard;
struct DumpRequest;

class Engine {
  public:
    // options: complete and checked.
    Engine(const ferry_engine_options &options, const OpTable &operations);
    ~Engine();
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;

    ferry_status open() noexcept;

    const Allocator &allocator() const noexcept { return allocator_; }
    const ferry_engine_options &options() const noexcept { return options_; }
    const OpTable &operations() const noexcept { return operations_; }
    driver::WorkerPool &workers() noexcept { return *workers_; }
    driver::WorkerPool &names() noexcept { return *names_; }
    LoadBudget &loads() noexcept { return loads_; }
    uint32_t tag() const noexcept { return tag_; }
    uint32_t shard_count() const noexcept { return shard_count_; }
    Shard &shard(uint32_t index) const noexcept { return *shards_[index]; }
    uint64_t now_ns() const noexcept;
    bool host_driven() const noexcept { return options_.shards == 0; }
    bool simulates() const noexcept { return options_.driver == FERRY_DRIVER_SIM; }
    bool any_thread() const noexcept { return (options_.flags & FERRY_ENGINE_ANY_THREAD) != 0; }
    uint32_t state() const noexcept { return state_.load(std::memory_order_acquire); }
    // FERRY_OK, FERRY_E_FORKED or FERRY_E_INTERNAL.
    ferry_status usable() const noexcept {
        if (fork_mark_.forked())
            return FERRY_E_FORKED;
        return poisoned_.load(std::memory_order_relaxed) ? FERRY_E_INTERNAL : FERRY_OK;
    }
    bool forked() const noexcept { return fork_mark_.forked(); }
    // An invariant broke: nothing is to be trusted any more.
    void poison(const char *what) noexcept;

    // Where the next submission's requests without a target run.
    uint32_t next_home() noexcept {
        return shard_count_ == 1
                   ? 0
                   : next_home_.fetch_add(1, std::memory_order_relaxed) % shard_count_;
    }

    ferry_status run(uint64_t wait_ns, uint64_t budget_ns, ferry_run_report *report) noexcept;
    ferry_status descriptor(int32_t *fd) noexcept;
    ferry_status shut_down(uint64_t timeout_ns) noexcept;
    // Whether the engine can be freed now.
    ferry_status can_destroy() noexcept;
    void info(ferry_engine_info *info) noexcept;
    // FERRY_E_INVALID: there is no such shard.
    ferry_status shard_info(uint32_t index, ferry_shard_info *info) noexcept;

    // All that is in flight, as JSON. A shard that does not answer in time is told of as such.
    void dump(uint64_t timeout_ns, Text &text) noexcept;
    // Between those who ask shards and these; nobody else takes it.
    std::mutex &inspect_lock() noexcept { return inspect_lock_; }
    // The shard tells all who ask.
    void answer_locked(Shard &shard) noexcept;

    // Counts and depths, of this moment and since creation.
    void metrics(ferry_metrics *metrics) noexcept;
    void walk_metrics(ferry_metric_fn each, void *user_data) noexcept;
    // A submit that was refused. Any thread.
    void note_refused(ferry_status status) noexcept;

    // The watchdog: tasks that take longer than options().stall_ns.
    bool watches() const noexcept { return options_.stall_ns != 0; }
    void end_task(Watch &watch, const Task &task, const char *whose, uint32_t number,
                  uint64_t now_ns) const noexcept;
    void report_stall(const Task &task, const char *verb, const char *whose, uint32_t number,
                      uint64_t length_ns) const noexcept;
    // Queues stay until the engine goes; a new one comes at the front.
    Queue *first_queue() noexcept {
        SpinGuard guard(queues_lock_);
        return queues_;
    }

    ferry_status create_queue(const ferry_queue_options &options, Queue **queue) noexcept;
    ferry_status submit(Queue &queue, const ferry_request *requests, size_t count, ferry_op *ops,
                        size_t *accepted) noexcept;
    ferry_status cancel(ferry_op op) noexcept;
    ferry_status discard(ferry_handle handle) noexcept;
    ferry_status release(ferry_buffer buffer) noexcept;
    // Whatever a completion lends, that of a composition's children included.
    void release_all(const ferry_completion &completion) noexcept;

    // No shard may end before all children of compositions are back and no further one can leave. Its last
    // one has come back to a shard.
    void children_back() noexcept {
        if (all_stopping())
            nudge_all();
    }
    void shard_stopping() noexcept {
        if (stopping_shards_.fetch_add(1) + 1 == shard_count_)
            nudge_all();
    }
    bool all_stopping() const noexcept { return stopping_shards_.load() == shard_count_; }
    bool all_at_home() const noexcept;

    // Queues inside dispatch().
    void count_dispatch(int change) noexcept {
        dispatching_.fetch_add(change, std::memory_order_relaxed);
    }

    // On the thread of a host-driven engine, which may go to sleep on the descriptor: its own requests
    // make that readable, too.
    void note_own_work() noexcept;

    // A message was posted into one of the queues. It is no work for a host-driven engine, but for its
    // host, who sleeps in the run or on the engine's descriptor.
    void note_post() noexcept;

    // The simulated world, for a call on the engine's thread. FERRY_E_UNSUPPORTED: there is none.
    ferry_status simulated(driver::sim::SimDriver **world) noexcept;

    // The shard that runs on this thread, or null.
    Shard *shard_here() const noexcept;

  private:
    struct ShardThread {
        os::Thread thread;
        Shard *shard = nullptr;
        Engine *engine = nullptr;
        bool begun = false; // Under life_mutex_, like the next two.
        ferry_status status = FERRY_OK;
        bool ended = false;
    };

    static void thread_entry(void *shard_thread);
    ferry_status start_threads() noexcept;
    ferry_status wait_until_begun(ShardThread &one) noexcept;
    bool wait_for_threads(uint64_t until_ns) noexcept;
    bool stop_workers(uint64_t until_ns) noexcept;
    void free_workers(driver::WorkerPool *workers, bool child) noexcept;
    bool drain_host_driven(uint64_t timeout_ns) noexcept;
    bool claim_shard() noexcept;
    ferry_status bind_host_thread() noexcept;
    void unbind_host_thread() noexcept;
    void run_bound(uint64_t wait_ns, uint64_t budget_ns, ferry_run_report *report) noexcept;
    int32_t descriptor_bound() noexcept;
    ferry_status shut_down_bound(uint64_t timeout_ns) noexcept;
    bool in_callback() noexcept;
    void nudge_all() noexcept;
    void tell_idle_locked(DumpRequest &request) noexcept;
    void gather(DumpRequest &request, uint64_t until_ns) noexcept;
    void dump_queues(Text &text) noexcept;
    void note_budget(uint64_t end_ns, uint64_t now_ns) noexcept;
    void fill_report(Shard &shard, uint64_t completed_before, ferry_run_report *report) noexcept;

    ferry_engine_options options_;
    const OpTable &operations_;
    Allocator allocator_;
    LoadBudget loads_;
    os::ForkMark fork_mark_;
    const uint32_t tag_;
    const uint32_t shard_count_;
    Shard **shards_ = nullptr;
    ThreadTable threads_here_; // Of an engine with threads of its own.
    ShardThread *threads_ = nullptr;
    driver::WorkerPool *workers_ = nullptr; // For files.
    driver::WorkerPool *names_ = nullptr;   // For names, so that neither waits for the other.
    SpinLock queues_lock_;
    Queue *queues_ = nullptr;
    uint32_t queues_made_ = 0; // Under queues_lock_.
    std::mutex inspect_lock_;
    DumpRequest *dump_requests_ = nullptr; // Under inspect_lock_.
    Condition dump_moved_;                 // There is a new one, or a shard has told of itself.
    Watchdog watchdog_{*this};
    std::atomic<uint32_t> stopping_shards_{0};
    std::atomic<uint32_t> state_{FERRY_ENGINE_RUNNING};
    std::atomic<bool> poisoned_{false};
    std::atomic<bool> shutting_down_{false}; // One shutdown call at a time.
    bool running_ = false;                   // Inside a host-driven run.
    std::atomic<int> dispatching_{0};
    bool descriptor_wanted_ = false;
    uint64_t left_since_ns_ = 0;
    Counter overruns_; // Of budgets.
    Counter overrun_worst_ns_;
    std::atomic<uint64_t> refused_full_{0};
    std::atomic<uint64_t> refused_{0}; // For other reasons.
    std::mutex life_mutex_;
    Condition thread_moved_; // Begun or ended.

    alignas(64) std::atomic<uint32_t> next_home_{0}; // Every submitter's.
};

} // namespace ferry
