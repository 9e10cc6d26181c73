// Sockets on libuv's readiness: watching, receiving, sending, closing.
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

static constexpr size_t kSocketBlock = sizeof(UvSocket) + sizeof(uv_poll_t);

// Takes the descriptor: closed on failure.
UvSocket *UvDriver::make_socket(int fd, Outcome *outcome) noexcept {
    UvSocket *made = wrap(fd, outcome);
    if (made == nullptr)
        ::close(fd);
    return made;
}

// It and its watch are one block.
UvSocket *UvDriver::wrap(int fd, Outcome *outcome) noexcept {
    void *memory = environment_.blocks.allocate(kSocketBlock);
    if (memory == nullptr) {
        *outcome = {.status = FERRY_E_NO_MEMORY};
        return nullptr;
    }
    auto *made = ::new (memory) UvSocket(fd);
    made->poll = reinterpret_cast<uv_poll_t *>(made + 1);
    int error = uv_poll_init(&loop_, made->poll, fd);
    if (error != 0) {
        environment_.blocks.free(made, kSocketBlock);
        *outcome = outcome_of(-error);
        return nullptr;
    }
    made->poll->data = made;
    *outcome = {};
    return made;
}

void UvDriver::free_socket(UvSocket &socket) noexcept {
    environment_.blocks.free(&socket, kSocketBlock);
}

// The descriptor stays open; libuv has taken it out of its epoll set.
int UvDriver::unwrap(UvSocket &socket) noexcept {
    if (restarted_ == &socket)
        restarted_ = nullptr;
    int fd = socket.fd;
    if (socket.poll == nullptr) {
        free_socket(socket);
        return fd;
    }
    uv_close(reinterpret_cast<uv_handle_t *>(socket.poll), [](uv_handle_t *handle) {
        auto *socket = static_cast<UvSocket *>(handle->data);
        if (socket->deferred != 0)
            socket->gone = true; // deliver_deferred() frees it.
        else
            driver_of(handle->loop).free_socket(*socket);
    });
    return fd;
}

void UvDriver::close(Socket &socket) noexcept {
    bool lingers = own(socket).lingers;
    int fd = unwrap(own(socket));
    if (!lingers || !close_on_worker(fd))
        ::close(fd);
}

Outcome UvDriver::shut_down(Socket &stream) noexcept {
    return ::shutdown(own(stream).fd, SHUT_WR) == 0 ? Outcome{} : outcome_of(errno);
}

// For a driver that seldom watches.
bool UvDriver::make_watch(UvSocket &socket) noexcept {
    auto *poll = static_cast<uv_poll_t *>(environment_.blocks.allocate(sizeof(uv_poll_t)));
    if (poll == nullptr)
        return false;
    if (uv_poll_init(&loop_, poll, socket.fd) != 0) {
        environment_.blocks.free(poll, sizeof(uv_poll_t));
        return false;
    }
    poll->data = &socket;
    socket.poll = poll;
    return true;
}

bool UvDriver::watch(UvSocket &socket, int events) noexcept {
    if (socket.watched == events)
        return true;
    if (socket.poll == nullptr && !make_watch(socket))
        return false;
    watch_changed_ = true;
    socket.watched = static_cast<uint8_t>(events);
    if (events == 0)
        uv_poll_stop(socket.poll);
    else
        uv_poll_start(socket.poll, events, on_socket);
    return true;
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
    bool time_left = driver.deliver_events(*socket, events);
    if (!time_left || driver.full_)
        driver.cut_short();
}

// The socket must not be touched any more once something has run: it may be closed. False: the time is
// used up.
bool UvDriver::deliver_events(UvSocket &socket, int events) noexcept {
    if ((events & UV_WRITABLE) != 0)
        writable(socket);
    if ((events & UV_READABLE) != 0)
        readable(socket);
    restarted_ = nullptr;
    return environment_.host.run_ready() && accept_more(socket);
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
            free_socket(*socket);
            continue;
        }
        if (uv_is_closing(reinterpret_cast<uv_handle_t *>(socket->poll)))
            continue;
        if (!deliver_events(*socket, events))
            return false;
    }
    deferred_first_ = 0;
    deferred_end_ = 0;
    return true;
}

// ---- receiving ----------------------------------------------------------------------------------

void UvDriver::start_receive(Socket &stream) noexcept {
    own(stream).unwanted = false;
    if (!watch(own(stream), own(stream).watched | UV_READABLE))
        stream.receive.complete({.status = FERRY_E_NO_MEMORY});
}

void UvDriver::cancel_receive(Socket &stream) noexcept {
    stream.receive.complete({.status = FERRY_E_CANCELED});
}

void UvDriver::readable(UvSocket &socket) noexcept {
    if (socket.ring_reads)
        watch(socket, socket.watched & ~UV_READABLE);
    else if (socket.feeds)
        input_ready(socket);
    else if (socket.is_listener && socket.accept.active)
        accept_ready(socket);
    else if (!socket.is_listener && socket.receive.active)
        receive_ready(socket);
    else if (!socket.unwanted)
        socket.unwanted = true; // The next receive is on its way, most likely.
    else
        watch(socket, socket.watched & ~UV_READABLE);
}

void UvDriver::receive_ready(UvSocket &stream) noexcept {
    Receive &receive = stream.receive;
    Span space{receive.memory, receive.size};
    bool lend = space.data == nullptr;
    if (lend) {
        int32_t status;
        space = environment_.host.lend_space(stream, &status);
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
        receive.buffer = environment_.host.lend(stream, static_cast<size_t>(got));
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
            static_assert(sizeof(ConstSpan) == sizeof(iovec) &&
                          offsetof(ConstSpan, size) == offsetof(iovec, iov_len));
            msghdr message = {};
            message.msg_iov = reinterpret_cast<iovec *>(const_cast<ConstSpan *>(spans));
            message.msg_iovlen = count;
            sent = sendmsg(socket.fd, &message, MSG_NOSIGNAL);
        }
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN) {
        if (watch(socket, socket.watched | UV_WRITABLE))
            return false;
        *outcome = {.status = FERRY_E_NO_MEMORY};
        return true;
    }
    *outcome = sent < 0 ? outcome_of(errno) : Outcome{.result = sent};
    return true;
}

void UvDriver::cancel_send(Socket &stream) noexcept {
    watch(own(stream), own(stream).watched & ~UV_WRITABLE);
    environment_.host.sent(stream, {}); // The kernel holds nothing of it.
}

void UvDriver::writable(UvSocket &socket) noexcept {
    if (socket.connects) {
        connect_ready(socket);
        return;
    }
    watch(socket, socket.watched & ~UV_WRITABLE);
    if (socket.drains)
        output_ready(socket);
    else if (socket.sending && !socket.ring_sends)
        environment_.host.sent(socket, {}); // Nothing taken, but it can be tried again now.
}

} // namespace ferry::driver::uv
