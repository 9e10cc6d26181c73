#include "driver/worker_pool.hpp"

#include <chrono>

namespace ferry::driver {

WorkerPool::~WorkerPool() {
    if (threads_ == nullptr)
        return;
    for (uint32_t i = 0; i < started_; ++i)
        threads_[i].join();
    allocator_.free_array(threads_, threads_max_);
}

bool WorkerPool::grow() noexcept {
    if (started_ == threads_max_)
        return false;
    if (threads_ == nullptr) {
        threads_ = allocator_.allocate_array<os::Thread>(threads_max_);
        if (threads_ == nullptr)
            return false;
    }
    if (!threads_[started_].start(name_, entry, this))
        return false;
    ++started_;
    ++alive_;
    return true;
}

// Have one more thread come round: an idle one, or a new one.
bool WorkerPool::call() noexcept {
    if (idle_ > called_)
        work_arrived_.notify_one();
    else if (!grow())
        return false;
    ++called_;
    return true;
}

bool WorkerPool::submit(Job *job) noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    if (stopping_)
        return false;
    jobs_.push(job);
    // Somebody to do it; if one is at it already, somebody to watch that one.
    if (called_ != 0 || (active_ != 0 && watching_))
        return true;
    if (idle_ > called_) {
        ++called_;
        lock.unlock(); // Or else whoever wakes finds it locked and sleeps once more.
        work_arrived_.notify_one();
        return true;
    }
    if (!call() && alive_ == 0) {
        jobs_.remove(job);
        return false;
    }
    return true;
}

bool WorkerPool::withdraw(Job *job) noexcept {
    std::lock_guard<std::mutex> guard(mutex_);
    return jobs_.remove(job);
}

void WorkerPool::detach(Job *job) noexcept {
    std::lock_guard<std::mutex> guard(mutex_);
    if (job->returned)
        return;
    job->detached = true;
    ++detached_;
}

void WorkerPool::returned(Job *job) noexcept {
    std::lock_guard<std::mutex> guard(mutex_);
    job->returned = true;
    if (job->detached)
        --detached_;
}

void WorkerPool::entry(void *pool) {
    static_cast<WorkerPool *>(pool)->work();
}

void WorkerPool::run_jobs(std::unique_lock<std::mutex> &lock) noexcept {
    ++active_;
    while (Job *job = jobs_.pop()) {
        ++begun_;
        // Who watched may be at work here: then somebody else must.
        if (!jobs_.empty() && !watching_ && called_ == 0)
            call();
        auto tell = job->tell;
        void *owner = job->owner;
        lock.unlock();
        job->run(job); // It is not ours any more.
        lock.lock();
        if (tell != nullptr)
            owe(tell, owner, lock);
    }
    --active_;
}

void WorkerPool::owe(void (*tell)(void *), void *owner,
                     std::unique_lock<std::mutex> &lock) noexcept {
    if (owed_ != nullptr && owed_ != owner)
        pay(lock); // Another shard's.
    owed_ = owner;
    owed_tell_ = tell;
    ++owed_count_;
    if (jobs_.empty() || !watching_ || owed_count_ >= kOwedMax)
        pay(lock);
}

void WorkerPool::pay(std::unique_lock<std::mutex> &lock) noexcept {
    void *owner = owed_;
    if (owner == nullptr)
        return;
    auto tell = owed_tell_;
    owed_ = nullptr;
    owed_count_ = 0;
    lock.unlock();
    tell(owner);
    lock.lock();
}

// Others are at work and jobs wait. Returns when that has changed, or to help.
void WorkerPool::watch(std::unique_lock<std::mutex> &lock) noexcept {
    watching_ = true;
    uint64_t begun;
    do {
        begun = begun_;
        watch_over_.wait_for(lock, std::chrono::nanoseconds(kPatienceNs));
    } while (begun_ != begun && active_ != 0 && !jobs_.empty() && !stopping_);
    watching_ = false;
    pay(lock);
}

void WorkerPool::work() noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    --called_; // It was for a job that this thread was started.
    for (;;) {
        if (!jobs_.empty() && active_ != 0 && !watching_ && !stopping_)
            watch(lock);
        if (!jobs_.empty() && (active_ == 0 || !watching_)) {
            run_jobs(lock);
            continue;
        }
        if (stopping_)
            break;
        ++idle_;
        work_arrived_.wait(lock);
        --idle_;
        if (called_ > 0)
            --called_;
    }
    --alive_;
    thread_ended_.notify_all();
}

bool WorkerPool::stop(uint64_t until_ns) noexcept {
    {
        std::unique_lock<std::mutex> lock(mutex_);
        stopping_ = true;
        work_arrived_.notify_all();
        watch_over_.notify_all();
        while (alive_ != 0) {
            uint64_t now = os::now_ns();
            if (until_ns != UINT64_MAX && now >= until_ns)
                return false;
            // Far ends are waited for in pieces: chrono overflows on them.
            uint64_t left = until_ns - now < 1000000000u ? until_ns - now : 1000000000u;
            thread_ended_.wait_for(lock, std::chrono::nanoseconds(left));
        }
    }
    for (uint32_t i = 0; i < started_; ++i)
        threads_[i].join();
    return true;
}

void WorkerPool::discard() noexcept {
    allocator_.free_array(threads_, threads_max_);
    allocator_.free(this, sizeof(WorkerPool));
}

uint32_t WorkerPool::alive() noexcept {
    std::lock_guard<std::mutex> guard(mutex_);
    return alive_;
}

uint32_t WorkerPool::detached() noexcept {
    std::lock_guard<std::mutex> guard(mutex_);
    return detached_;
}

} // namespace ferry::driver
