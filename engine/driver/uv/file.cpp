// Open files: calls on them as jobs, and their end.
#include "driver/uv/file_calls.hpp"
#include "driver/uv/uv_driver.hpp"

#include <cstring>
#include <unistd.h>

namespace ferry::driver::uv {

// ---- calls --------------------------------------------------------------------------------------

// On a worker.
static void make_call(UvJob &base) {
    using What = FileCall::What;
    auto &job = static_cast<CallJob &>(base);
    switch (job.call.what) {
    case What::open:
        job.outcome = open_file(job.call);
        if (job.outcome.status == FERRY_OK)
            job.opened->fd.store(static_cast<int>(job.outcome.result), std::memory_order_relaxed);
        job.outcome.result = 0;
        break;
    case What::store:
        job.outcome = store_file(job.call);
        break;
    case What::read:
        job.outcome = read_file(job.fd, job.call);
        break;
    case What::write:
        job.outcome = write_file(job.fd, job.call);
        break;
    case What::stat:
        job.outcome = stat_file(job.fd, &job.info);
        break;
    case What::path_stat:
        job.outcome = stat_path(job.call, &job.info);
        break;
    case What::sync:
        job.outcome = sync_file(job.fd, job.call.data_only);
        break;
    case What::truncate:
        job.outcome = truncate_file(job.fd, job.call.offset);
        break;
    }
}

void free_file(UvFile &file) noexcept {
    BlockPool &blocks = file.driver->environment().blocks;
    file.~UvFile();
    blocks.free(&file, sizeof(UvFile));
}

int take_descriptor(UvFile &file) noexcept {
    return file.fd.exchange(-1, std::memory_order_relaxed);
}

static void let_go(CallJob &job) {
    if (job.held >= 0)
        ::close(job.held);
    job.held = -1;
}

static void drop(UvJob &base) {
    auto &job = static_cast<CallJob &>(base);
    let_go(job);
    UvFile *file = job.opened;
    if (file == nullptr)
        return;
    if (file->fd.load(std::memory_order_relaxed) < 0) {
        free_file(*file);
    } else if (job.driver->disposing()) {
        ::close(take_descriptor(*file));
        free_file(*file);
    } else {
        job.driver->close(*file); // Opened too late; it takes its time.
    }
    job.opened = nullptr;
}

static void deliver(UvJob &base) {
    auto &job = static_cast<CallJob &>(base);
    auto &call = *static_cast<FileCall *>(job.primitive);
    let_go(job);
    if (job.outcome.status != FERRY_OK) {
        drop(job);
    } else if (job.opened != nullptr) {
        call.file = job.opened;
    } else if (call.info != nullptr) {
        *call.info = job.info;
    }
}

void UvDriver::start_file(FileCall &call) noexcept {
    start_file(call, -1);
}

void UvDriver::start_file(FileCall &call, int held) noexcept {
    size_t path = call.path != nullptr ? std::strlen(call.path) + 1 : 0;
    auto *job = make_job<CallJob>(call, path);
    if (job == nullptr) {
        if (held >= 0)
            ::close(held);
        return;
    }
    job->work = make_call;
    job->deliver = deliver;
    job->drop = drop;
    job->call = call;
    job->held = held;
    if (path != 0)
        std::memcpy(job->path(), call.path, path);
    job->call.path = job->path();
    if (call.file != nullptr)
        job->fd = own(*call.file).fd.load(std::memory_order_relaxed);
    call.job = job;
    if (call.what == FileCall::What::open && (job->opened = make_file()) == nullptr)
        end_without(*job, {.status = FERRY_E_NO_MEMORY});
    else
        start_job(*job);
}

// What uses nothing of the host's need not be waited for.
void UvDriver::cancel_file(FileCall &call) noexcept {
    using What = FileCall::What;
    bool detachable =
        call.what == What::open || call.what == What::stat || call.what == What::path_stat;
    cancel_job(*static_cast<CallJob *>(call.job), detachable);
}

// ---- files --------------------------------------------------------------------------------------

// On a worker.
static void close_now(UvJob &job) {
    auto &file = static_cast<UvFile &>(job);
    file.outcome = close_file(take_descriptor(file));
}

static void closed(UvJob &job) {
    auto &file = static_cast<UvFile &>(job);
    UvDriver &driver = *file.driver;
    if (!driver.disposing())
        driver.environment().host.closed(file, file.outcome);
    free_file(file);
}

UvFile *UvDriver::make_file() noexcept {
    void *memory = environment_.blocks.allocate(sizeof(UvFile));
    if (memory == nullptr)
        return nullptr;
    auto *file = ::new (memory) UvFile();
    file->driver = this;
    file->work = close_now;
    file->drop = closed;
    return file;
}

void UvDriver::close(File &file) noexcept {
    UvFile &closing = own(file);
    if (submit(closing))
        return;
    // No thread to be had. Poll tells all the same.
    ++jobs_;
    close_now(closing);
    done_.push(&closing);
    environment_.host.nudge();
}

// The descriptor stays open.
int UvDriver::unwrap(UvFile &file) noexcept {
    int fd = take_descriptor(file);
    free_file(file);
    return fd;
}

void UvDriver::abandon(File &file) noexcept {
    int fd = take_descriptor(own(file));
    if (fd >= 0)
        ::close(fd);
}

} // namespace ferry::driver::uv
