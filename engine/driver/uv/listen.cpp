// Listening and accepting.
#include "driver/uv/address.hpp"
#include "driver/uv/status.hpp"
#include "driver/uv/uv_driver.hpp"

#include <ferry/status.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>
#include <unistd.h>
#include <utility>

namespace ferry::driver::uv {

Outcome UvDriver::listen(const ferry_address &address, uint32_t backlog, bool reuse_port,
                         Socket **socket) noexcept {
    sockaddr_storage name;
    socklen_t size = to_system(address, &name);
    int fd = ::socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return outcome_of(errno);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (reuse_port)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    auto *bound = reinterpret_cast<sockaddr *>(&name);
    if (bind(fd, bound, size) != 0 || ::listen(fd, static_cast<int>(backlog)) != 0 ||
        getsockname(fd, bound, &size) != 0) {
        Outcome outcome = outcome_of(errno);
        ::close(fd);
        return outcome;
    }
    Outcome outcome;
    UvSocket *made = make_socket(fd, &outcome);
    if (made == nullptr)
        return outcome;
    ferry_address local;
    from_system(name, &local);
    outcome.result = local.port;
    ::new (&made->accept) Accept();
    made->is_listener = true;
    *socket = made;
    return outcome;
}

void UvDriver::start_accept(Socket &listener) noexcept {
    restarted_ = &listener;
    if (!watch(own(listener), own(listener).watched | UV_READABLE))
        listener.accept.complete({.status = FERRY_E_NO_MEMORY});
}

// In a burst, whoever accepts on after one is given the next without asking epoll. Each is served before
// the next is taken, and the time is looked at. To ask in vain costs more than epoll does, so it is a burst
// only when the poll before this one brought a connection, too. False: the time is used up.
bool UvDriver::accept_more(const Socket &listener) noexcept {
    if (restarted_ != &listener)
        return true;
    bool burst = accepted_in_ + 1 == polls_;
    accepted_in_ = polls_;
    if (!burst)
        return true;
    for (int i = 1; i < kAcceptsAtOnce && restarted_ == &listener; ++i) {
        // It is open: closing it takes it out of restarted_.
        accept_ready(own(*std::exchange(restarted_, nullptr)));
        if (!environment_.host.run_ready())
            return false;
    }
    return true;
}

void UvDriver::cancel_accept(Socket &listener) noexcept {
    restarted_ = nullptr;
    listener.accept.complete({.status = FERRY_E_CANCELED});
}

void UvDriver::accept_ready(UvSocket &listener) noexcept {
    int fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        // ECONNABORTED: one was gone before we came; the next event tells of the next.
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            listener.accept.complete(outcome_of(errno));
        return;
    }
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    Outcome outcome;
    listener.accept.socket = make_socket(fd, &outcome);
    listener.accept.complete(outcome);
}

} // namespace ferry::driver::uv
