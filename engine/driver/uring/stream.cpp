// Receiving and sending.
//
// Into the host's memory: one receive in the kernel for each that is started. To be lent: the kernel picks a
// piece (pieces.hpp) when bytes arrive; who receives "again" has a multishot receive there, which runs ahead.
// What it brings while nobody asks is kept as the stream's rest, and the kernel is told to pause.
#include "driver/uring/uring_driver.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ferry::driver::uring {

static constexpr size_t kCallMax = size_t{1} << 30;

// What is smaller is copied to where small things lie close together, and its piece is used again.
static constexpr size_t kCopyMax = 1024;

// ---- receiving ----------------------------------------------------------------------------------

void UringDriver::start_receive(Socket &socket) noexcept {
    UringSocket &stream = own(socket);
    if (stream.broken) {
        stream.receive.complete({.status = FERRY_E_NO_MEMORY});
    } else if (stream.late_error != 0) {
        stream.receive.complete(failure_of(-stream.late_error));
        stream.late_error = 0;
    } else if (!stream.ring_reads) {
        arm_receive(stream);
    }
}

// Without a piece to be had libuv tells when bytes are there, and by then there may be room.
void UringDriver::arm_receive(UringSocket &stream) noexcept {
    const Receive &receive = stream.receive;
    bool pick = receive.memory == nullptr;
    if (!does(FERRY_RING_RECEIVE) ||
        (pick && (!does(FERRY_RING_LEND) || !pieces_.fill(environment_.host)))) {
        UvDriver::start_receive(stream);
        return;
    }
    if (stream.watched != 0)
        watch(stream, 0);
    io_uring_sqe *entry = ring_.next(Tag::receive, &stream);
    if (!pick)
        io_uring_prep_recv(entry, stream.fd, receive.memory, std::min(receive.size, kCallMax), 0);
    else if (receive.again)
        io_uring_prep_recv_multishot(entry, stream.fd, nullptr, 0, 0);
    else
        io_uring_prep_recv(entry, stream.fd, nullptr, Host::kPieceSize, 0);
    if (pick) {
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = Pieces::kGroup;
    }
    // Not for a multishot one: what is there already would not be told of.
    if (stream.drained && !(pick && receive.again))
        entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    stream.ring_reads = true;
}

void UringDriver::cancel_receive(Socket &socket) noexcept {
    if (own(socket).ring_reads)
        ask_for(own(socket), Tag::receive, Ask::cancel);
    else
        UvDriver::cancel_receive(socket);
}

void UringDriver::stop_receive(Socket &socket) noexcept {
    if (own(socket).ring_reads)
        ask_for(own(socket), Tag::receive, Ask::stop);
    else
        socket.receive.complete({});
}

void UringDriver::received(UringSocket &stream, const Answer &answer) noexcept {
    stream.ring_reads = answer.more();
    stream.drained = answer.result > 0 && (answer.flags & IORING_CQE_F_SOCK_NONEMPTY) == 0;
    if ((answer.flags & IORING_CQE_F_BUFFER) != 0) {
        auto piece = static_cast<uint16_t>(answer.flags >> IORING_CQE_BUFFER_SHIFT);
        if (answer.result > 0)
            take_in(stream, piece, static_cast<size_t>(answer.result));
        else
            pieces_.give_back(piece);
    } else if (answer.result > 0) {
        stream.receive.complete({.result = answer.result}); // Into the host's memory.
    }
    if (!stream.ring_reads)
        receive_ended(stream, answer.result);
}

void UringDriver::take_in(UringSocket &stream, uint16_t piece, size_t size) noexcept {
    if (stream.broken) {
        pieces_.give_back(piece);
        return;
    }
    Receive &receive = stream.receive;
    bool wanted = receive.active && stream.ask != Ask::stop;
    if (wanted && !receive.gather && lend(stream, piece, size)) {
        receive.complete({.result = static_cast<int64_t>(size)});
        return;
    }
    bool kept = environment_.host.keep(stream, pieces_[piece].memory, size);
    pieces_.give_back(piece);
    if (!kept) {
        stream.broken = true; // What comes next would not follow what came last.
        receive_failed(stream, ENOMEM);
    } else if (wanted && receive.gather) {
        receive.complete({.result = static_cast<int64_t>(size)});
    } else if (wanted) {
        receive.complete({.status = FERRY_E_FULL}); // Nothing is to be lent; it is in the rest.
    } else if (stream.ring_reads && stream.ask == Ask::nothing) {
        ask_for(stream, Tag::receive, Ask::pause);
    }
}

// False: there is no room, and the piece is still to be used.
bool UringDriver::lend(UringSocket &stream, uint16_t piece, size_t size) noexcept {
    Host &host = environment_.host;
    Receive &receive = stream.receive;
    if (size > kCopyMax) {
        uint64_t buffer = host.lend_piece(pieces_[piece]);
        if (buffer == 0)
            return false;
        receive.memory = pieces_[piece].memory;
        receive.buffer = buffer;
        pieces_.replace(piece, host);
        return true;
    }
    int32_t status;
    Span space = host.lend_space(stream, &status);
    if (status != FERRY_OK)
        return false;
    std::memcpy(space.data, pieces_[piece].memory, size);
    pieces_.give_back(piece);
    receive.memory = space.data;
    receive.buffer = host.lend(stream, size);
    return true;
}

// An error that nobody waits for is told to the next who receives.
void UringDriver::receive_failed(UringSocket &stream, int error) noexcept {
    if (stream.receive.active && stream.ask != Ask::stop)
        stream.receive.complete(failure_of(-error));
    else
        stream.late_error = error;
}

// The kernel has let go of it; result is its last answer's.
void UringDriver::receive_ended(UringSocket &stream, int result) noexcept {
    Ask ask = stream.ask;
    bool failed = result < 0 && result != -ECANCELED && result != -ENOBUFS && result != -EINTR &&
                  result != -EAGAIN;
    if (failed)
        receive_failed(stream, -result);
    stream.ask = Ask::nothing;
    Receive &receive = stream.receive;
    if (!receive.active)
        return;
    if (ask == Ask::stop)
        receive.complete({});
    else if (result == 0)
        receive.complete({.result = 0});
    else if (ask == Ask::cancel)
        receive.complete({.status = FERRY_E_CANCELED});
    else
        arm_receive(stream);
}

// ---- sending ------------------------------------------------------------------------------------

bool UringDriver::send(Socket &socket, const ConstSpan *spans, size_t count,
                       Outcome *outcome) noexcept {
    if (!does(FERRY_RING_SEND))
        return UvDriver::send(socket, spans, count, outcome);
    UringSocket &stream = own(socket);
    stream.ring_sends = true;
    if (count == 1) {
        io_uring_prep_send(ring_.next(Tag::send, &stream), stream.fd, spans[0].data,
                           std::min(spans[0].size, kCallMax), MSG_NOSIGNAL);
        return false;
    }
    static_assert(sizeof(msghdr) + kSendSpansMax * sizeof(iovec) <= Ring::kScratch);
    void *memory;
    io_uring_sqe *entry =
        ring_.next(Tag::send, &stream, sizeof(msghdr) + count * sizeof(iovec), &memory);
    auto *message = static_cast<msghdr *>(memory);
    auto *parts = reinterpret_cast<iovec *>(message + 1);
    static_assert(sizeof(ConstSpan) == sizeof(iovec) &&
                  offsetof(ConstSpan, size) == offsetof(iovec, iov_len));
    std::memcpy(static_cast<void *>(parts), spans, count * sizeof(iovec));
    *message = {};
    message->msg_iov = parts;
    message->msg_iovlen = count;
    io_uring_prep_sendmsg(entry, stream.fd, message, MSG_NOSIGNAL);
    return false;
}

void UringDriver::cancel_send(Socket &socket) noexcept {
    if (own(socket).ring_sends)
        ring_.cancel(Tag::send, &own(socket));
    else
        UvDriver::cancel_send(socket);
}

void UringDriver::sent(UringSocket &stream, int result) noexcept {
    stream.ring_sends = false;
    bool nothing = result == -ECANCELED || result == -EINTR || result == -EAGAIN;
    environment_.host.sent(stream, nothing      ? Outcome{}
                                   : result < 0 ? failure_of(result)
                                                : Outcome{.result = result});
}

} // namespace ferry::driver::uring
