// TCP sockets on libuv's readiness.
#include "driver/uv/status.hpp"
#include "driver/uv/uv_driver.hpp"

#include <ferry/status.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <unistd.h>

namespace ferry::driver::uv {

static UvSocket &own(Socket &socket) {
    return static_cast<UvSocket &>(socket);
}

static socklen_t to_system(const ferry_address &address, sockaddr_storage *out) {
    std::memset(out, 0, sizeof *out);
    if (address.family == FERRY_IPV4) {
        auto *in = reinterpret_cast<sockaddr_in *>(out);
        in->sin_family = AF_INET;
        in->sin_port = htons(address.port);
        std::memcpy(&in->sin_addr, address.bytes, 4);
        return sizeof *in;
    }
    auto *in6 = reinterpret_cast<sockaddr_in6 *>(out);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address.port);
    in6->sin6_scope_id = address.scope_id;
    std::memcpy(&in6->sin6_addr, address.bytes, 16);
    return sizeof *in6;
}

static void set_option(int fd, int level, int option) {
    int on = 1;
    setsockopt(fd, level, option, &on, sizeof on);
}

// Takes the descriptor: closed on failure.
UvSocket *UvDriver::make_socket(int fd, Outcome *outcome) noexcept {
    void *memory = environment_.blocks.allocate(sizeof(UvSocket));
    if (memory == nullptr) {
        ::close(fd);
        *outcome = {.status = FERRY_E_NO_MEMORY};
        return nullptr;
    }
    auto *made = ::new (memory) UvSocket(fd);
    int error = uv_poll_init(&loop_, &made->poll, fd);
    if (error != 0) {
        environment_.blocks.free(made, sizeof(UvSocket));
        ::close(fd);
        *outcome = outcome_of(-error);
        return nullptr;
    }
    made->poll.data = made;
    *outcome = {};
    return made;
}

void UvDriver::close(Socket &socket) noexcept {
    UvSocket &closing = own(socket);
    uv_close(reinterpret_cast<uv_handle_t *>(&closing.poll), [](uv_handle_t *handle) {
        auto *socket = static_cast<UvSocket *>(handle->data);
        if (socket->deferred != 0)
            socket->gone = true; // deliver_deferred() frees it.
        else
            driver_of(handle->loop).environment_.blocks.free(socket, sizeof(UvSocket));
    });
    ::close(closing.fd); // libuv has taken it out of its epoll set.
}

void UvDriver::watch(UvSocket &socket, int events) noexcept {
    if (socket.watched == events)
        return;
    socket.watched = static_cast<uint8_t>(events);
    if (events == 0)
        uv_poll_stop(&socket.poll);
    else
        uv_poll_start(&socket.poll, events, on_socket);
}

void UvDriver::on_socket(uv_poll_t *handle, int status, int events) {
    auto *socket = static_cast<UvSocket *>(handle->data);
    UvDriver &driver = driver_of(handle->loop);
    if (status < 0) {
        // libuv has stopped watching a descriptor with an error; the calls will tell which.
        events = UV_READABLE | UV_WRITABLE;
        socket->watched = 0;
    }
    driver.note_event();
    if (driver.cut_fd_ >= 0 || driver.environment_.host.out_of_time()) {
        driver.defer(*socket, events);
        return;
    }
    bool time_left = driver.deliver(*socket, events);
    if (!time_left || driver.full_)
        driver.cut_short();
}

// The socket must not be touched any more once something has run: it may be closed. False: the time is
// used up.
bool UvDriver::deliver(UvSocket &socket, int events) noexcept {
    if ((events & UV_WRITABLE) != 0)
        writable(socket);
    if ((events & UV_READABLE) != 0)
        readable(socket);
    return environment_.host.run_ready();
}

// Being level-triggered it would come again, but so would those that were served this time: whoever had
// to wait is served before them. Without a place here it comes again.
void UvDriver::defer(UvSocket &socket, int events) noexcept {
    if (socket.deferred == 0) {
        if (deferred_end_ == kBatch)
            return;
        deferred_[deferred_end_++] = &socket;
    }
    socket.deferred |= static_cast<uint8_t>(events);
}

bool UvDriver::deliver_deferred() noexcept {
    while (deferred_first_ != deferred_end_) {
        UvSocket *socket = deferred_[deferred_first_++];
        int events = socket->deferred;
        socket->deferred = 0;
        if (socket->gone) {
            environment_.blocks.free(socket, sizeof(UvSocket));
            continue;
        }
        if (uv_is_closing(reinterpret_cast<uv_handle_t *>(&socket->poll)))
            continue;
        if (!deliver(*socket, events))
            return false;
    }
    deferred_first_ = 0;
    deferred_end_ = 0;
    return true;
}

// ---- listening and accepting --------------------------------------------------------------------

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
    outcome.result =
        ntohs(name.ss_family == AF_INET ? reinterpret_cast<sockaddr_in *>(&name)->sin_port
                                        : reinterpret_cast<sockaddr_in6 *>(&name)->sin6_port);
    ::new (&made->accept) Accept();
    made->is_listener = true;
    *socket = made;
    return outcome;
}

void UvDriver::start_accept(Socket &listener) noexcept {
    watch(own(listener), own(listener).watched | UV_READABLE);
}

void UvDriver::cancel_accept(Socket &listener) noexcept {
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

// ---- connecting ---------------------------------------------------------------------------------

void UvDriver::start_connect(Connect &connect) noexcept {
    sockaddr_storage name;
    socklen_t size = to_system(connect.address, &name);
    int fd = ::socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        connect.complete(outcome_of(errno));
        return;
    }
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    Outcome outcome;
    UvSocket *made = make_socket(fd, &outcome);
    if (made == nullptr) {
        connect.complete(outcome);
        return;
    }
    int error = ::connect(fd, reinterpret_cast<sockaddr *>(&name), size) == 0 ? 0 : errno;
    if (error != 0 && error != EINPROGRESS && error != EINTR) {
        close(*made);
        connect.complete(outcome_of(error));
        return;
    }
    connect.socket = made;
    made->connecting = &connect;
    made->next_dirty = connecting_;
    connecting_ = made;
    watch(*made, UV_WRITABLE);
}

void UvDriver::forget_connect(UvSocket &socket) noexcept {
    Socket **link = &connecting_;
    while (*link != &socket)
        link = &(*link)->next_dirty;
    *link = socket.next_dirty;
    socket.next_dirty = nullptr;
    socket.connecting = nullptr;
}

void UvDriver::cancel_connect(Connect &connect) noexcept {
    forget_connect(own(*connect.socket));
    close(*connect.socket);
    connect.socket = nullptr;
    connect.complete({.status = FERRY_E_CANCELED});
}

void UvDriver::connect_ready(UvSocket &socket) noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    Connect &connect = *socket.connecting;
    forget_connect(socket);
    watch(socket, 0);
    if (error != 0) {
        connect.socket = nullptr;
        close(socket);
    }
    connect.complete(error != 0 ? outcome_of(error) : Outcome{});
}

// ---- receiving ----------------------------------------------------------------------------------

void UvDriver::start_receive(Socket &stream) noexcept {
    watch(own(stream), own(stream).watched | UV_READABLE);
}

void UvDriver::cancel_receive(Socket &stream) noexcept {
    stream.receive.complete({.status = FERRY_E_CANCELED});
}

void UvDriver::readable(UvSocket &socket) noexcept {
    if (socket.is_listener && socket.accept.active)
        accept_ready(socket);
    else if (!socket.is_listener && socket.receive.active)
        receive_ready(socket);
    else
        watch(socket, socket.watched & ~UV_READABLE);
}

void UvDriver::receive_ready(UvSocket &stream) noexcept {
    Receive &receive = stream.receive;
    Span space{receive.memory, receive.size};
    bool lend = space.data == nullptr;
    if (lend) {
        int32_t status;
        space = environment_.host.lend_space(&status);
        if (status != FERRY_OK) {
            receive.complete({.status = status});
            return;
        }
    }
    ssize_t got = recv(stream.fd, space.data, space.size, 0);
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR)
            receive.complete(outcome_of(errno));
        return;
    }
    if (lend && got > 0) {
        receive.memory = space.data;
        receive.buffer = environment_.host.lend(static_cast<size_t>(got));
    }
    receive.complete({.result = got});
}

// ---- sending ------------------------------------------------------------------------------------

bool UvDriver::send(Socket &stream, const ConstSpan *spans, size_t count,
                    Outcome *outcome) noexcept {
    UvSocket &socket = own(stream);
    ssize_t sent;
    do {
        if (count == 1) {
            sent = ::send(socket.fd, spans[0].data, spans[0].size, MSG_NOSIGNAL);
        } else {
            iovec parts[kSendSpansMax];
            for (size_t i = 0; i < count; ++i)
                parts[i] = {const_cast<void *>(spans[i].data), spans[i].size};
            msghdr message = {};
            message.msg_iov = parts;
            message.msg_iovlen = count;
            sent = sendmsg(socket.fd, &message, MSG_NOSIGNAL);
        }
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN) {
        watch(socket, socket.watched | UV_WRITABLE);
        return false;
    }
    *outcome = sent < 0 ? outcome_of(errno) : Outcome{.result = sent};
    return true;
}

void UvDriver::cancel_send(Socket &stream) noexcept {
    watch(own(stream), own(stream).watched & ~UV_WRITABLE);
    environment_.host.sent(stream, {}); // The kernel holds nothing of it.
}

void UvDriver::writable(UvSocket &socket) noexcept {
    if (socket.connecting != nullptr) {
        connect_ready(socket);
        return;
    }
    watch(socket, socket.watched & ~UV_WRITABLE);
    if (socket.sending)
        environment_.host.sent(socket, {}); // Nothing taken, but it can be tried again now.
}

} // namespace ferry::driver::uv
