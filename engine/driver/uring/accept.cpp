// Accepting and connecting.
//
// Who accepts "again" has a multishot accept in the kernel, which runs ahead: what it brings while nobody asks
// waits with the listener, and the kernel is told to pause. A single accept takes one connection.
#include "driver/uring/uring_driver.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <unistd.h>

namespace ferry::driver::uring {

// ---- sockets ------------------------------------------------------------------------------------

uv::UvSocket *UringDriver::wrap(int fd, Outcome *outcome) noexcept {
    void *memory = environment_.blocks.allocate(sizeof(UringSocket));
    *outcome = {.status = memory != nullptr ? FERRY_OK : FERRY_E_NO_MEMORY};
    return memory != nullptr ? ::new (memory) UringSocket(fd) : nullptr;
}

void UringDriver::free_socket(uv::UvSocket &socket) noexcept {
    if (socket.poll != nullptr)
        environment_.blocks.free(socket.poll, sizeof(uv_poll_t));
    environment_.blocks.free(&socket, sizeof(UringSocket));
}

void UringDriver::close(Socket &socket) noexcept {
    FERRY_ASSERT(!own(socket).ring_reads && !own(socket).ring_sends);
    drop_waiting(own(socket));
    UvDriver::close(socket);
}

Outcome UringDriver::release(Resource &resource) noexcept {
    if (Id{resource.handle}.kind() != Kind::file)
        drop_waiting(own(static_cast<Socket &>(resource)));
    return UvDriver::release(resource);
}

// Ask the kernel, once, to let go of what is read from this one.
void UringDriver::ask_for(UringSocket &socket, Tag tag, Ask what) noexcept {
    if (socket.ask == Ask::nothing)
        ring_.cancel(tag, &socket);
    socket.ask = what;
}

// ---- accepting ----------------------------------------------------------------------------------

void UringDriver::start_accept(Socket &socket) noexcept {
    UringSocket &listener = own(socket);
    if (listener.waiting != nullptr)
        give_waiting(listener);
    else if (!does(FERRY_RING_ACCEPT))
        UvDriver::start_accept(socket);
    else if (!listener.ring_reads)
        arm_accept(listener);
}

void UringDriver::arm_accept(UringSocket &listener) noexcept {
    constexpr int kFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    io_uring_sqe *entry = ring_.next(Tag::accept, &listener);
    if (listener.accept.again && ring_.is_recent())
        io_uring_prep_multishot_accept(entry, listener.fd, nullptr, nullptr, kFlags);
    else
        io_uring_prep_accept(entry, listener.fd, nullptr, nullptr, kFlags);
    listener.ring_reads = true;
}

void UringDriver::cancel_accept(Socket &socket) noexcept {
    if (own(socket).ring_reads)
        ask_for(own(socket), Tag::accept, Ask::cancel);
    else
        UvDriver::cancel_accept(socket);
}

void UringDriver::stop_accept(Socket &socket) noexcept {
    if (own(socket).ring_reads)
        ask_for(own(socket), Tag::accept, Ask::stop);
    else
        socket.accept.complete({});
}

void UringDriver::give_waiting(UringSocket &listener) noexcept {
    Socket *connection = listener.waiting;
    listener.waiting = connection->next_dirty;
    connection->next_dirty = nullptr;
    listener.accept.socket = connection;
    listener.accept.complete({});
}

void UringDriver::drop_waiting(UringSocket &listener) noexcept {
    while (Socket *connection = listener.waiting) {
        listener.waiting = connection->next_dirty;
        connection->next_dirty = nullptr;
        UvDriver::close(*connection);
    }
}

void UringDriver::accepted(UringSocket &listener, const Answer &answer) noexcept {
    listener.ring_reads = answer.more();
    Accept &accept = listener.accept;
    bool wanted = accept.active && listener.ask != Ask::stop;
    if (answer.result < 0) {
        // ECONNABORTED: one was gone before it came.
        bool passes = answer.result == -ECANCELED || answer.result == -ECONNABORTED ||
                      answer.result == -EINTR || answer.result == -EAGAIN;
        if (wanted && !passes)
            accept.complete(failure_of(answer.result));
    } else {
        int on = 1;
        setsockopt(answer.result, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Outcome outcome;
        auto *made = static_cast<UringSocket *>(make_socket(answer.result, &outcome));
        if (made != nullptr) {
            Socket **link = &listener.waiting;
            while (*link != nullptr)
                link = &(*link)->next_dirty;
            *link = made;
            if (wanted)
                give_waiting(listener);
            else if (listener.ring_reads && listener.ask == Ask::nothing)
                ask_for(listener, Tag::accept, Ask::pause);
        } else if (wanted) {
            accept.complete(outcome);
        }
    }
    if (!listener.ring_reads)
        accept_ended(listener);
}

void UringDriver::accept_ended(UringSocket &listener) noexcept {
    Ask ask = listener.ask;
    listener.ask = Ask::nothing;
    if (!listener.accept.active)
        return;
    if (ask == Ask::cancel)
        listener.accept.complete({.status = FERRY_E_CANCELED});
    else if (ask == Ask::stop)
        listener.accept.complete({});
    else
        arm_accept(listener);
}

// ---- connecting ---------------------------------------------------------------------------------

void UringDriver::start_connect(Connect &connect) noexcept {
    if (!does(FERRY_RING_CONNECT)) {
        UvDriver::start_connect(connect);
        return;
    }
    sockaddr_storage name;
    socklen_t size;
    uv::UvSocket *made = make_connecting(connect, &name, &size);
    if (made == nullptr)
        return;
    note_connect(*made, connect);
    void *address;
    io_uring_sqe *entry = ring_.next(Tag::connect, made, size, &address);
    std::memcpy(address, &name, size);
    io_uring_prep_connect(entry, made->fd, static_cast<sockaddr *>(address), size);
    made->ring_reads = true;
}

void UringDriver::cancel_connect(Connect &connect) noexcept {
    if (own(*connect.socket).ring_reads)
        ring_.cancel(Tag::connect, connect.socket);
    else
        UvDriver::cancel_connect(connect);
}

void UringDriver::connected(UringSocket &socket, int result) noexcept {
    Connect &connect = *socket.connecting;
    socket.ring_reads = false;
    forget_connect(socket);
    if (result < 0) {
        connect.socket = nullptr;
        close(socket);
    }
    connect.complete(result < 0 ? failure_of(result) : Outcome{});
}

} // namespace ferry::driver::uring
