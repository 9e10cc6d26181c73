// Jobs on their way to a worker and back.
#include "driver/uv/uv_driver.hpp"

#include <ferry/status.h>

namespace ferry::driver::uv {

// On a worker.
static void run(Job *base) {
    auto &job = static_cast<UvJob &>(*base);
    job.work(job);
    job.driver->job_done(job);
}

void UvDriver::job_done(UvJob &job) noexcept {
    job.pool->returned(&job);
    done_.push(&job); // From here on the job is the shard's.
}

bool UvDriver::submit(UvJob &job) noexcept {
    job.run = run;
    job.tell = [](void *host) { static_cast<Host *>(host)->nudge(); };
    job.owner = &environment_.host;
    job.driver = this;
    job.returned = false;
    if (job.pool == nullptr)
        job.pool = &environment_.workers;
    ++jobs_;
    if (job.pool->submit(&job))
        return true;
    --jobs_;
    return false;
}

void UvDriver::start_job(UvJob &job) noexcept {
    if (!submit(job))
        end_without(job, {.status = FERRY_E_NO_MEMORY}); // No thread to be had.
}

// It was never begun.
void UvDriver::end_without(UvJob &job, const Outcome &outcome) noexcept {
    Primitive &primitive = *job.primitive;
    job.drop(job);
    free_job(job);
    primitive.complete(outcome);
}

void UvDriver::cancel_job(UvJob &job, bool may_detach) noexcept {
    constexpr Outcome kCanceled = {.status = FERRY_E_CANCELED};
    if (job.pool->withdraw(&job)) {
        --jobs_;
        end_without(job, kCanceled);
    } else if (may_detach) {
        job.pool->detach(&job); // Until it comes back; nothing of the host's is in it.
        Primitive &primitive = *job.primitive;
        job.primitive = nullptr;
        primitive.complete(kCanceled);
    }
}

void UvDriver::free_job(UvJob &job) noexcept {
    environment_.blocks.free(&job, job.block);
}

void UvDriver::finish(UvJob &job) noexcept {
    size_t block = job.block;
    if (Primitive *primitive = disposing_ ? nullptr : job.primitive) {
        job.deliver(job);
        primitive->complete(job.outcome);
    } else {
        job.drop(job);
    }
    if (block != 0)
        environment_.blocks.free(&job, block);
}

// Those that have come back. False: the time was used up.
bool UvDriver::finish_jobs() noexcept {
    jobs_late_ = false;
    if (finished_ == nullptr)
        finished_ = done_.take_all();
    while (UvJob *job = finished_) {
        finished_ = job->next_done;
        --jobs_;
        finish(*job);
        if (disposing_ || environment_.host.run_ready())
            continue;
        jobs_late_ = finished_ != nullptr || !done_.empty();
        return false;
    }
    return true;
}

// What came back after the last poll, or in a fork's child.
void UvDriver::settle() noexcept {
    disposing_ = true;
    while (finished_ != nullptr || !done_.empty())
        finish_jobs();
    FERRY_ASSERT(jobs_ == 0 || abandoned_);
}

} // namespace ferry::driver::uv
