// TCP sockets on the ring. The descriptors are blocking ones: the kernel waits, not we.
#include "driver/uring/uring_driver.hpp"
#include "driver/uv/status.hpp"

#include <ferry/status.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <unistd.h>

namespace ferry::driver::uring {

// So many connections may wait here unasked for; then the kernel keeps the next ones in its
// backlog.
static constexpr uint32_t kWaitingMax = 8;
static constexpr size_t kReceiveMax = 1u << 30;

static UringSocket &own(Socket &socket) {
    return static_cast<UringSocket &>(socket);
}

static Outcome outcome_of(int error) {
    return error == ECANCELED ? Outcome{.status = FERRY_E_CANCELED} : uv::outcome_of(error);
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
Outcome UringDriver::make_socket(int fd, UringSocket **socket) noexcept {
    void *memory = environment_.blocks.allocate(sizeof(UringSocket));
    if (memory == nullptr) {
        ::close(fd);
        return {.status = FERRY_E_NO_MEMORY};
    }
    *socket = ::new (memory) UringSocket(fd);
    return {};
}

void UringDriver::free_socket(UringSocket &socket) noexcept {
    environment_.blocks.free(&socket, sizeof(UringSocket));
}

void UringDriver::close(Socket &socket) noexcept {
    UringSocket &closing = own(socket);
    if (closing.arrived_begin != closing.arrived_end)
        provide(closing.arrived_id);
    if (closing.is_listener) {
        while (UringSocket *waiting = closing.waiting) {
            closing.waiting = waiting->next_waiting;
            close(*waiting);
        }
    }
    // The kernel's accept holds the listener open beyond our close.
    if (closing.accepting) {
        shutdown(closing.fd, SHUT_RDWR);
        ask_to_cancel(Tag::accept, &closing);
    }
    ::close(closing.fd);
    closing.closed = true;
    if (!closing.accepting)
        free_socket(closing);
}

// ---- listening and accepting --------------------------------------------------------------------

Outcome UringDriver::listen(const ferry_address &address, uint32_t backlog, bool reuse_port,
                            Socket **socket) noexcept {
    sockaddr_storage name;
    socklen_t size = to_system(address, &name);
    int fd = ::socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return outcome_of(errno);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY); // Inherited by what is accepted.
    if (reuse_port)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    auto *bound = reinterpret_cast<sockaddr *>(&name);
    if (bind(fd, bound, size) != 0 || ::listen(fd, static_cast<int>(backlog)) != 0 ||
        getsockname(fd, bound, &size) != 0) {
        Outcome outcome = outcome_of(errno);
        ::close(fd);
        return outcome;
    }
    UringSocket *made;
    Outcome outcome = make_socket(fd, &made);
    if (outcome.status != FERRY_OK)
        return outcome;
    outcome.result =
        ntohs(name.ss_family == AF_INET ? reinterpret_cast<sockaddr_in *>(&name)->sin_port
                                        : reinterpret_cast<sockaddr_in6 *>(&name)->sin6_port);
    ::new (&made->accept) Accept();
    made->is_listener = true;
    made->waiting = nullptr;
    *socket = made;
    return outcome;
}

void UringDriver::start_accept(Socket &socket) noexcept {
    UringSocket &listener = own(socket);
    if (listener.waiting != nullptr)
        give_waiting(listener);
    else if (!listener.accepting)
        arm_accept(listener);
}

void UringDriver::arm_accept(UringSocket &listener) noexcept {
    io_uring_sqe *sqe = next();
    io_uring_prep_multishot_accept(sqe, listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
    mark(sqe, Tag::accept, &listener);
    listener.accepting = true;
}

// The kernel writes nowhere: it can be over at once. What it accepts until it hears of this waits.
void UringDriver::cancel_accept(Socket &socket) noexcept {
    UringSocket &listener = own(socket);
    if (listener.accepting)
        ask_to_cancel(Tag::accept, &listener);
    listener.accept.complete({.status = FERRY_E_CANCELED});
}

void UringDriver::give_waiting(UringSocket &listener) noexcept {
    UringSocket *connection = listener.waiting;
    listener.waiting = connection->next_waiting;
    connection->next_waiting = nullptr;
    --listener.waiting_count;
    listener.accept.socket = connection;
    listener.accept.complete({});
}

void UringDriver::accepted(UringSocket &listener, int result, bool more) noexcept {
    listener.accepting = more;
    Outcome outcome = result < 0 ? outcome_of(-result) : Outcome{};
    UringSocket *made;
    if (result >= 0)
        outcome = make_socket(result, &made);
    if (listener.closed) {
        if (outcome.status == FERRY_OK)
            close(*made);
        if (!more)
            free_socket(listener);
        return;
    }
    if (outcome.status == FERRY_OK) {
        UringSocket **link = &listener.waiting;
        while (*link != nullptr)
            link = &(*link)->next_waiting;
        *link = made;
        ++listener.waiting_count;
        if (listener.accept.active)
            give_waiting(listener);
        else if (more && listener.waiting_count == kWaitingMax)
            ask_to_cancel(Tag::accept, &listener);
    } else if (listener.accept.active && result != -ECANCELED && result != -ECONNABORTED) {
        listener.accept.complete(outcome);
    }
    // It ended for a reason that is over, while a new accept was started.
    if (listener.accept.active && !listener.accepting)
        arm_accept(listener);
}

// ---- connecting ---------------------------------------------------------------------------------

void UringDriver::start_connect(Connect &connect) noexcept {
    sockaddr_storage name;
    socklen_t size = to_system(connect.address, &name);
    int fd = ::socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        connect.complete(outcome_of(errno));
        return;
    }
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    UringSocket *made;
    Outcome outcome = make_socket(fd, &made);
    if (outcome.status != FERRY_OK) {
        connect.complete(outcome);
        return;
    }
    made->block = environment_.blocks.allocate(sizeof name);
    if (made->block == nullptr) {
        close(*made);
        connect.complete({.status = FERRY_E_NO_MEMORY});
        return;
    }
    std::memcpy(made->block, &name, sizeof name);
    connect.socket = made;
    made->connecting = &connect;
    io_uring_sqe *sqe = next();
    io_uring_prep_connect(sqe, fd, static_cast<sockaddr *>(made->block), size);
    mark(sqe, Tag::connect, made);
}

void UringDriver::cancel_connect(Connect &connect) noexcept {
    ask_to_cancel(Tag::connect, &own(*connect.socket));
}

void UringDriver::connected(UringSocket &socket, int result) noexcept {
    Connect &connect = *socket.connecting;
    environment_.blocks.free(socket.block, sizeof(sockaddr_storage));
    socket.block = nullptr;
    socket.connecting = nullptr;
    if (result < 0) {
        connect.socket = nullptr;
        close(socket);
    }
    connect.complete(result < 0 ? outcome_of(-result) : Outcome{});
}

// ---- receiving ----------------------------------------------------------------------------------

void UringDriver::provide(uint16_t id) noexcept {
    io_uring_buf_ring_add(buffer_ring_, buffers_ + id * kBufferSize, kBufferSize, id,
                          kBufferCount - 1, 0);
    io_uring_buf_ring_advance(buffer_ring_, 1);
}

void UringDriver::start_receive(Socket &socket) noexcept {
    UringSocket &stream = own(socket);
    stream.canceling = false;
    if (stream.arrived_begin != stream.arrived_end)
        hand_out(stream);
    else
        arm_receive(stream);
}

// Into the host's memory directly. For what is to be lent the kernel picks one of our buffers when
// bytes arrive; they are copied to where they are lent from, see docs/design/002-driver-seam.md.
void UringDriver::arm_receive(UringSocket &stream) noexcept {
    Receive &receive = stream.receive;
    io_uring_sqe *sqe = next();
    if (receive.memory != nullptr) {
        io_uring_prep_recv(sqe, stream.fd, receive.memory, std::min(receive.size, kReceiveMax), 0);
    } else {
        io_uring_prep_recv(sqe, stream.fd, nullptr, kBufferSize, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = 0;
    }
    mark(sqe, Tag::receive, &stream);
}

void UringDriver::cancel_receive(Socket &socket) noexcept {
    own(socket).canceling = true;
    ask_to_cancel(Tag::receive, &own(socket));
}

void UringDriver::received(UringSocket &stream, int result, uint32_t flags) noexcept {
    Receive &receive = stream.receive;
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        stream.arrived_id = static_cast<uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
        stream.arrived_begin = 0;
        stream.arrived_end = result > 0 ? static_cast<uint32_t>(result) : 0;
        if (result > 0) {
            hand_out(stream);
            return;
        }
        provide(stream.arrived_id);
    }
    if (result >= 0)
        receive.complete({.result = result});
    else if (stream.canceling && (result == -ENOBUFS || result == -EINTR))
        receive.complete({.status = FERRY_E_CANCELED});
    else if (int32_t status; result == -ENOBUFS &&
                             (environment_.host.lend_space(stream, &status), status != FERRY_OK))
        receive.complete({.status = status});
    else if (result == -ENOBUFS || result == -EINTR)
        arm_receive(stream); // Many came at once; our buffers are free again by now.
    else
        receive.complete(outcome_of(-result));
}

// What has arrived, as much of it as there is room for.
void UringDriver::hand_out(UringSocket &stream) noexcept {
    Receive &receive = stream.receive;
    Span space{receive.memory, receive.size};
    bool lend = space.data == nullptr;
    int32_t status = FERRY_OK;
    if (lend)
        space = environment_.host.lend_space(stream, &status);
    if (status != FERRY_OK) {
        receive.complete({.status = status});
        return;
    }
    size_t size = std::min<size_t>(space.size, stream.arrived_end - stream.arrived_begin);
    std::memcpy(space.data, buffers_ + stream.arrived_id * kBufferSize + stream.arrived_begin,
                size);
    stream.arrived_begin += static_cast<uint32_t>(size);
    if (stream.arrived_begin == stream.arrived_end)
        provide(stream.arrived_id);
    if (lend) {
        receive.memory = space.data;
        receive.buffer = environment_.host.lend(stream, size);
    }
    receive.complete({.result = static_cast<int64_t>(size)});
}

// ---- sending ------------------------------------------------------------------------------------

bool UringDriver::send(Socket &socket, const ConstSpan *spans, size_t count,
                       Outcome *outcome) noexcept {
    UringSocket &stream = own(socket);
    Message *message = nullptr;
    count = std::min(count, kPartsMax);
    if (count > 1) {
        message = static_cast<Message *>(environment_.blocks.allocate(sizeof(Message)));
        if (message == nullptr) {
            *outcome = {.status = FERRY_E_NO_MEMORY};
            return true;
        }
        std::memset(&message->header, 0, sizeof message->header);
        for (size_t i = 0; i < count; ++i)
            message->parts[i] = {const_cast<void *>(spans[i].data), spans[i].size};
        message->header.msg_iov = message->parts;
        message->header.msg_iovlen = count;
    }
    stream.block = message;
    io_uring_sqe *sqe = next();
    if (message != nullptr)
        io_uring_prep_sendmsg(sqe, stream.fd, &message->header, MSG_NOSIGNAL);
    else
        io_uring_prep_send(sqe, stream.fd, spans[0].data, std::min(spans[0].size, kReceiveMax),
                           MSG_NOSIGNAL);
    mark(sqe, Tag::send, &stream);
    return false;
}

void UringDriver::cancel_send(Socket &stream) noexcept {
    ask_to_cancel(Tag::send, &own(stream));
}

void UringDriver::sent(UringSocket &stream, int result) noexcept {
    if (stream.block != nullptr)
        environment_.blocks.free(stream.block, sizeof(Message));
    stream.block = nullptr;
    bool nothing = result == -ECANCELED || result == -EINTR;
    environment_.host.sent(stream, nothing      ? Outcome{}
                                   : result < 0 ? outcome_of(-result)
                                                : Outcome{.result = result});
}

} // namespace ferry::driver::uring
