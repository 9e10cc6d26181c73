// The engine's own threads for calls that block.
//
// libuv's pool is not used: it outlives the loop, is sized by an environment variable and aborts when a
// thread is refused. Threads start when there is work for them, up to the ceiling. A job runs once
// begun; one that has not begun can be withdrawn.
//
// One worker does what comes as long as it gets on: most calls end in a few microseconds, and waking a
// thread for each costs more than the call. While jobs wait, a second worker watches; when nothing was
// begun for kPatienceNs, the others are stuck, and it goes to work, too, until the jobs are done.
//
// Waking a sleeping shard costs as much as a job, so while more jobs wait the news of a few are told
// together; if a job gets stuck meanwhile, the watcher tells.
#pragma once

#include "base/allocator.hpp"
#include "base/lists.hpp"
#include "driver/os.hpp"

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace ferry::driver {

struct Job {
    Job *next = nullptr;
    // On a worker; calls returned() when the system let it go, and hands the job back to its shard, all
    // but waking that: the pool does, with tell() of whoever the job belongs to.
    void (*run)(Job *job) = nullptr;
    void (*tell)(void *owner) = nullptr;
    void *owner = nullptr;
    bool returned = false; // Under the pool's lock.
    bool detached = false; // Under the pool's lock.
};

class WorkerPool {
  public:
    // name: what its threads are called; at most 15 characters, static.
    WorkerPool(const Allocator &allocator, uint32_t threads_max, const char *name = "ferry-worker")
        : allocator_(allocator), threads_max_(threads_max), name_(name) {}
    ~WorkerPool();

    // False: no thread could be started and there is none.
    bool submit(Job *job) noexcept;

    // True: it had not begun and will not.
    bool withdraw(Job *job) noexcept;

    // The operation has ended while the system still holds the job: count it until it returns.
    void detach(Job *job) noexcept;
    void returned(Job *job) noexcept;

    // Let the threads end when their work is done; false if some still work when the time is over.
    bool stop(uint64_t until_ns) noexcept;

    // In a fork's child: free the pool without touching what a vanished thread may have held.
    void discard() noexcept;

    uint32_t alive() noexcept;
    uint32_t detached() noexcept;

  private:
    static constexpr uint64_t kPatienceNs = 200'000;
    static constexpr uint32_t kOwedMax = 8;

    static void entry(void *pool);
    void work() noexcept;
    bool grow() noexcept;
    bool call() noexcept;
    void run_jobs(std::unique_lock<std::mutex> &lock) noexcept;
    void watch(std::unique_lock<std::mutex> &lock) noexcept;
    void owe(void (*tell)(void *), void *owner, std::unique_lock<std::mutex> &lock) noexcept;
    void pay(std::unique_lock<std::mutex> &lock) noexcept;

    const Allocator &allocator_;
    const uint32_t threads_max_;
    const char *const name_;
    std::mutex mutex_;
    std::condition_variable work_arrived_; // For idle threads, one for each call.
    std::condition_variable watch_over_;   // For the one that watches.
    std::condition_variable thread_ended_;
    Fifo<Job, &Job::next> jobs_;
    os::Thread *threads_ = nullptr; // threads_max_ of them, allocated with the first job.
    uint32_t started_ = 0;
    uint32_t alive_ = 0;
    uint32_t idle_ = 0;   // Waiting for work, those included that were called.
    uint32_t called_ = 0; // Signalled or started, and not come round yet.
    uint32_t active_ = 0; // Running jobs.
    uint64_t begun_ = 0;  // Jobs ever.
    bool watching_ = false;
    void *owed_ = nullptr; // The owner of jobs that are done and not told of yet.
    void (*owed_tell_)(void *) = nullptr;
    uint32_t owed_count_ = 0;
    uint32_t detached_ = 0;
    bool stopping_ = false;
};

} // namespace ferry::driver
