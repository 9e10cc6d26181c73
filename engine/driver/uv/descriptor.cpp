// Descriptors that come from elsewhere, go elsewhere, or take their time to be closed.
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

// A socket's descriptor that takes its time.
struct CloseJob final : UvJob {
    int fd = -1;
};

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
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    UvSocket *made = wrap(fd, &outcome);
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
    UvFile *file = make_file();
    if (file == nullptr)
        return {.status = FERRY_E_NO_MEMORY};
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    file->fd.store(fd, std::memory_order_relaxed);
    file->regular = S_ISREG(status.st_mode);
    *resource = file;
    return {};
}

Outcome UvDriver::adopt(int64_t descriptor, uint64_t kind, Resource **resource) noexcept {
    auto fd = static_cast<int>(descriptor);
    if (kind == kAcceptedStream) {
        Outcome outcome;
        *resource = wrap(fd, &outcome);
        return outcome;
    }
    if (fcntl(fd, F_GETFD) < 0)
        return {.status = FERRY_E_INVALID, .os_error = errno};
    if (kind == FERRY_DESCRIPTOR_FILE)
        return adopt_file(fd, resource);
    return adopt_socket(fd, kind == FERRY_DESCRIPTOR_LISTENER, resource);
}

Outcome UvDriver::release(Resource &resource) noexcept {
    if (Id{resource.handle}.kind() != Kind::file)
        return {.result = unwrap(own(static_cast<Socket &>(resource)))};
    return {.result = unwrap(own(static_cast<File &>(resource)))};
}

// ---- closing ------------------------------------------------------------------------------------

// A socket whose close may take its time. False: no worker to be had.
bool UvDriver::close_on_worker(int fd) noexcept {
    void *memory = environment_.blocks.allocate(sizeof(CloseJob));
    if (memory == nullptr)
        return false;
    auto *job = ::new (memory) CloseJob();
    job->fd = fd;
    job->block = sizeof(CloseJob);
    job->work = [](UvJob &closing) { ::close(static_cast<CloseJob &>(closing).fd); };
    job->drop = [](UvJob &) {}; // Nobody wants to know.
    if (submit(*job))
        return true;
    free_job(*job);
    return false;
}

} // namespace ferry::driver::uv
