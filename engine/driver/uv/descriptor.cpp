// Descriptors that come from elsewhere, go elsewhere, or take their time to be closed; a worker's jobs.
#include "driver/uv/status.hpp"
#include "driver/uv/uv_driver.hpp"

#include <ferry/descriptor.h>
#include <ferry/status.h>

#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <fcntl.h>
#include <new>
#include <unistd.h>

namespace ferry::driver::uv {

static constexpr Outcome kWrongKind = {.status = FERRY_E_WRONG_KIND};

namespace {

struct CloseJob final : ShardJob {
    int fd = -1;
    UvFile *file = nullptr;
    Outcome outcome;
};

// A file and what closing it will need, so that it cannot fail for want of memory.
struct FileBlock {
    explicit FileBlock(int fd) : file(fd) {}
    UvFile file;
    CloseJob closing;
};

FileBlock &block_of(UvFile &file) {
    return reinterpret_cast<FileBlock &>(file); // Its first member.
}

} // namespace

// ---- adopting -----------------------------------------------------------------------------------

static int option_of(int fd, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static bool is_stream_socket(int fd, bool listens) {
    int domain = option_of(fd, SO_DOMAIN);
    return option_of(fd, SO_TYPE) == SOCK_STREAM && option_of(fd, SO_ACCEPTCONN) == listens &&
           (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);
}

// How long its close may take is an option that it may bring along.
static bool lingers(int fd) {
    linger value = {};
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_LINGER, &value, &size) == 0 && value.l_onoff != 0 &&
           value.l_linger != 0;
}

Outcome UvDriver::adopt_socket(int fd, bool listens, Resource **resource) noexcept {
    if (!is_stream_socket(fd, listens))
        return kWrongKind;
    int flags = fcntl(fd, F_GETFL);
    Outcome outcome;
    UvSocket *made = wrap(fd, &outcome); // libuv makes it non-blocking.
    if (made == nullptr) {
        fcntl(fd, F_SETFL, flags);
        return outcome;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    made->lingers = !listens && lingers(fd);
    if (listens) {
        ::new (&made->accept) Accept();
        made->is_listener = true;
    }
    *resource = made;
    return {};
}

Outcome UvDriver::adopt_file(int fd, Resource **resource) noexcept {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return outcome_of(errno);
    if (S_ISSOCK(status.st_mode) || S_ISDIR(status.st_mode))
        return kWrongKind;
    void *memory = environment_.blocks.allocate(sizeof(FileBlock));
    if (memory == nullptr)
        return {.status = FERRY_E_NO_MEMORY};
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    *resource = &(::new (memory) FileBlock(fd))->file;
    return {};
}

Outcome UvDriver::adopt(int64_t descriptor, uint64_t kind, Resource **resource) noexcept {
    auto fd = static_cast<int>(descriptor);
    if (fcntl(fd, F_GETFD) < 0)
        return {.status = FERRY_E_INVALID, .os_error = errno};
    if (kind == FERRY_DESCRIPTOR_FILE)
        return adopt_file(fd, resource);
    return adopt_socket(fd, kind == FERRY_DESCRIPTOR_LISTENER, resource);
}

Outcome UvDriver::release(Resource &resource) noexcept {
    if (Id{resource.handle}.kind() != Kind::file)
        return {.result = unwrap(own(static_cast<Socket &>(resource)))};
    auto &file = static_cast<UvFile &>(resource);
    int fd = file.fd;
    environment_.blocks.free(&block_of(file), sizeof(FileBlock));
    return {.result = fd};
}

// ---- jobs ---------------------------------------------------------------------------------------

bool UvDriver::submit(ShardJob &job) noexcept {
    job.run = run_job;
    job.tell = [](void *host) { static_cast<Host *>(host)->nudge(); };
    job.owner = &environment_.host;
    job.driver = this;
    job.returned = false;
    return environment_.workers.submit(&job);
}

// On a worker.
void UvDriver::run_job(Job *base) {
    auto &job = static_cast<ShardJob &>(*base);
    UvDriver &driver = *job.driver;
    job.work(job);
    driver.environment_.workers.returned(&job);
    driver.jobs_done_.push(&job); // From here on the job is the shard's.
}

void UvDriver::finish_jobs() noexcept {
    ShardJob *job = jobs_done_.take_all();
    while (job != nullptr) {
        ShardJob *next = job->next_done;
        job->finish(*job);
        job = next;
    }
}

// ---- closing ------------------------------------------------------------------------------------

// On a worker.
static void close_descriptor(ShardJob &job) {
    auto &closing = static_cast<CloseJob &>(job);
    if (::close(closing.fd) != 0 && errno != EINTR)
        closing.outcome = outcome_of(errno);
}

// A socket whose close may take its time. False: no worker to be had.
bool UvDriver::close_on_worker(int fd) noexcept {
    void *memory = environment_.blocks.allocate(sizeof(CloseJob));
    if (memory == nullptr)
        return false;
    auto *job = ::new (memory) CloseJob();
    job->fd = fd;
    job->work = close_descriptor;
    job->finish = [](ShardJob &closed) {
        closed.driver->environment_.blocks.free(&closed, sizeof(CloseJob));
    };
    if (submit(*job))
        return true;
    environment_.blocks.free(job, sizeof(CloseJob));
    return false;
}

void UvDriver::close(File &file) noexcept {
    CloseJob &job = block_of(static_cast<UvFile &>(file)).closing;
    job.file = static_cast<UvFile *>(&file);
    job.fd = job.file->fd;
    job.work = close_descriptor;
    job.finish = [](ShardJob &base) {
        auto &closed = static_cast<CloseJob &>(base);
        Environment &environment = closed.driver->environment_;
        environment.host.closed(*closed.file, closed.outcome);
        environment.blocks.free(&block_of(*closed.file), sizeof(FileBlock));
    };
    if (submit(job))
        return;
    // Without a worker the loop has to wait for it: better than a descriptor that stays open.
    close_descriptor(job);
    jobs_done_.push(&job);
}

void UvDriver::abandon(File &file) noexcept {
    ::close(static_cast<UvFile &>(file).fd);
}

} // namespace ferry::driver::uv
