// Whole files: open, statx, read, close, each an entry of its own. Nothing of this needs our
// workers.
#include "driver/uring/uring_driver.hpp"
#include "driver/uv/status.hpp"

#include <ferry/status.h>

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <new>

namespace ferry::driver::uring {

void UringDriver::start_load(FileLoad &load) noexcept {
    size_t path = std::strlen(load.path) + 1;
    size_t block = sizeof(LoadJob) + path;
    void *memory = environment_.blocks.allocate(block);
    if (memory == nullptr) {
        load.complete({.status = FERRY_E_NO_MEMORY});
        return;
    }
    auto *job = ::new (memory) LoadJob;
    job->load = &load;
    job->block = block;
    std::memcpy(job->path(), load.path, path);
    load.job = job;
    io_uring_sqe *sqe = next();
    io_uring_prep_openat(sqe, AT_FDCWD, job->path(), O_RDONLY | O_CLOEXEC, 0);
    mark(sqe, Tag::load, job);
}

// A close that was begun must not be stopped.
void UringDriver::cancel_load(FileLoad &load) noexcept {
    auto *job = static_cast<LoadJob *>(load.job);
    job->canceling = true;
    if (job->step != LoadJob::Step::close)
        ask_to_cancel(Tag::load, job);
}

void UringDriver::step(LoadJob &job, int result) noexcept {
    Outcome outcome;
    switch (job.step) {
    case LoadJob::Step::open:
    case LoadJob::Step::stat:
        outcome = opened(job, result);
        break;
    case LoadJob::Step::read:
        outcome = read(job, result);
        break;
    case LoadJob::Step::close: {
        FileLoad &load = *job.load;
        load.data = job.data;
        outcome = job.outcome;
        environment_.blocks.free(&job, job.block);
        load.complete(outcome);
        return;
    }
    }
    if (outcome.status != FERRY_OK)
        end_load(job, outcome);
}

// The answer to open or to stat; and on to the next.
Outcome UringDriver::opened(LoadJob &job, int result) noexcept {
    if (job.step == LoadJob::Step::open && result >= 0)
        job.fd = result;
    if (job.canceling)
        return {.status = FERRY_E_CANCELED};
    if (result < 0)
        return uv::outcome_of(-result);
    if (job.step == LoadJob::Step::open) {
        job.step = LoadJob::Step::stat;
        io_uring_sqe *sqe = next();
        io_uring_prep_statx(sqe, job.fd, "", AT_EMPTY_PATH, STATX_SIZE, &job.stat);
        mark(sqe, Tag::load, &job);
        return {};
    }
    job.step = LoadJob::Step::read;
    uint64_t expected = job.stat.stx_size;
    if (expected > job.load->size_max)
        return {.status = FERRY_E_LIMIT};
    Outcome outcome = expected > 0 ? resize(job, static_cast<size_t>(expected)) : Outcome{};
    if (outcome.status == FERRY_OK)
        read_on(job);
    return outcome;
}

void UringDriver::read_on(LoadJob &job) noexcept {
    bool full = job.used == job.size;
    size_t room = full ? sizeof job.beyond : job.size - job.used;
    io_uring_sqe *sqe = next();
    io_uring_prep_read(sqe, job.fd, full ? job.beyond : job.data + job.used,
                       static_cast<unsigned>(room < (1u << 30) ? room : 1u << 30), UINT64_MAX);
    mark(sqe, Tag::load, &job);
}

Outcome UringDriver::read(LoadJob &job, int result) noexcept {
    if (job.canceling)
        return {.status = FERRY_E_CANCELED};
    if (result < 0 && result != -EINTR)
        return uv::outcome_of(-result);
    if (result == 0) {
        Outcome outcome = job.used < job.size ? resize(job, job.used) : Outcome{};
        if (outcome.status != FERRY_OK)
            return outcome;
        end_load(job, {.result = static_cast<int64_t>(job.used)});
        return {};
    }
    auto bytes = static_cast<size_t>(result > 0 ? result : 0);
    if (job.used + bytes > job.load->size_max)
        return {.status = FERRY_E_LIMIT};
    if (bytes > 0 && job.used == job.size) {
        size_t room = job.size * 2 > job.used + bytes ? job.size * 2 : job.used + bytes;
        if (room > job.load->size_max)
            room = static_cast<size_t>(job.load->size_max);
        Outcome outcome = resize(job, room);
        if (outcome.status != FERRY_OK)
            return outcome;
        std::memcpy(job.data + job.used, job.beyond, bytes);
    }
    job.used += bytes;
    read_on(job);
    return {};
}

// The block's size is what it will be freed by; 0 frees it.
Outcome UringDriver::resize(LoadJob &job, size_t wanted) noexcept {
    void *memory = nullptr;
    if (wanted > 0) {
        Outcome outcome = environment_.host.allocate_load(wanted, &memory);
        if (outcome.status != FERRY_OK)
            return outcome;
        if (job.used > 0)
            std::memcpy(memory, job.data, job.used);
    }
    if (job.data != nullptr)
        environment_.host.free_load(job.data, job.size);
    job.data = static_cast<char *>(memory);
    job.size = wanted;
    return {};
}

void UringDriver::end_load(LoadJob &job, const Outcome &outcome) noexcept {
    job.outcome = outcome;
    if (outcome.status != FERRY_OK)
        resize(job, 0);
    job.step = LoadJob::Step::close;
    if (job.fd < 0) {
        step(job, 0);
        return;
    }
    io_uring_sqe *sqe = next();
    io_uring_prep_close(sqe, job.fd);
    mark(sqe, Tag::load, &job);
}

} // namespace ferry::driver::uring
