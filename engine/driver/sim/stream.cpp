// Connected streams: receiving, sending, options.
#include "driver/sim/sim_driver.hpp"

#include <ferry/socket.h>
#include <ferry/status.h>

#include <algorithm>
#include <cstring>

namespace ferry::driver::sim {

static constexpr uint64_t kSecond = 1'000'000'000;
static constexpr uint32_t kProbes = 10;

// ---- faults on the way --------------------------------------------------------------------------

// Something is there to be received or accepted: false if not yet, or never.
bool SimDriver::may_go_on(SimSocket &socket, uint32_t call) noexcept {
    if (socket.judged)
        return true;
    socket.judged = true;
    socket.verdict = meet(call, *socket.machine);
    if (socket.verdict.never) {
        socket.deaf = true;
        return false;
    }
    if (socket.verdict.delay_ns == 0)
        return true;
    drop(socket.reading);
    post(socket.reading, socket.verdict.delay_ns);
    return false;
}

void SimDriver::end_canceled(SimSocket &socket) noexcept {
    Outcome canceled = {.status = FERRY_E_CANCELED};
    if (socket.is_listener) {
        if (socket.accept.active)
            end_accept(socket, canceled);
    } else if (socket.receive.active) {
        end_receive(socket, canceled);
    }
}

// ---- receiving ----------------------------------------------------------------------------------

static bool has_something(const SimSocket &stream) {
    return stream.in().arrived_bytes != 0 || stream.in().ended || stream.error.status != FERRY_OK ||
           stream.dead();
}

void SimDriver::start_receive(Socket &socket) noexcept {
    SimSocket &stream = own(socket);
    if (!has_something(stream))
        return;
    if (at_once())
        receive(stream);
    else
        wake_reader(stream);
}

void SimDriver::cancel_receive(Socket &socket) noexcept {
    SimSocket &stream = own(socket);
    if (at_once())
        end_canceled(stream);
    else if (!stream.canceling.pending)
        post(stream.canceling, 0);
}

void SimDriver::end_receive(SimSocket &stream, const Outcome &outcome) noexcept {
    drop(stream.reading);
    drop(stream.canceling);
    stream.judged = stream.deaf = false;
    stream.receive.complete(outcome);
}

void SimDriver::wake_reader(SimSocket &stream) noexcept {
    if (!stream.reading.pending)
        post(stream.reading, 0);
}

void SimDriver::receive(SimSocket &stream) noexcept {
    if (stream.transfer_in != nullptr) {
        go_on(*stream.transfer_in);
        return;
    }
    Receive &receive = stream.receive;
    if (!receive.active || (stream.deaf && !stream.dead()) || !has_something(stream))
        return;
    if (stream.dead()) {
        end_receive(stream, failure(FERRY_E_NETWORK_DOWN));
        return;
    }
    if (!may_go_on(stream, FERRY_SIM_RECEIVE))
        return;
    if (stream.verdict.reset)
        reset_both(stream);
    if (stream.verdict.fail.status != FERRY_OK) {
        end_receive(stream, stream.verdict.fail);
    } else if (stream.in().arrived_bytes != 0) {
        end_receive(stream, take_in(stream));
    } else {
        Outcome outcome = stream.error; // Told once; then it is the end.
        stream.error = {};
        end_receive(stream, outcome);
    }
}

// What has arrived into the memory of a receive.
Outcome SimDriver::take_in(SimSocket &stream) noexcept {
    Receive &receive = stream.receive;
    Span space{receive.memory, receive.size};
    bool lend = space.data == nullptr;
    int32_t status = FERRY_OK;
    if (lend)
        space = environment_.host.lend_space(stream, &status);
    if (status != FERRY_OK)
        return {.status = status};
    size_t size = space.size;
    if (stream.verdict.part)
        size = 1 + random_.below(std::min(size, stream.in().arrived_bytes));
    size = copy_out(stream, space.data, size);
    if (lend) {
        receive.memory = space.data;
        receive.buffer = environment_.host.lend(stream, size);
    }
    return {.result = static_cast<int64_t>(size)};
}

// Out of what has arrived. Bytes.
size_t SimDriver::copy_out(SimSocket &stream, void *memory, size_t capacity) noexcept {
    Pipe &in = stream.in();
    size_t copied = 0;
    while (copied < capacity && !in.arrived.empty()) {
        Segment *first = in.arrived.front();
        size_t part = std::min<size_t>(capacity - copied, first->size - first->taken);
        std::memcpy(static_cast<char *>(memory) + copied, first->data() + first->taken, part);
        first->taken += static_cast<uint32_t>(part);
        copied += part;
        if (first->taken == first->size) {
            in.arrived.pop();
            environment_.blocks.free(first, sizeof(Segment) + first->size);
        }
    }
    in.arrived_bytes -= copied;
    if (in.source != nullptr && !in.room.pending)
        post(in.room, network_.delay(in.to->number, in.from->number, random_));
    return copied;
}

// ---- sending ------------------------------------------------------------------------------------

// The source hears of room, or asks for it: probes of a window that is closed (RFC 9293, 3.8.6.1).
void SimDriver::tell_room(Pipe &pipe) noexcept {
    SimSocket &source = *pipe.source;
    bool answers = !network_.silent(pipe.to->number, pipe.from->number);
    bool heard = answers && !network_.silent(pipe.from->number, pipe.to->number);
    if (heard)
        pipe.unheard_ns = 0;
    if (source.dead() || (answers && !pipe.nobody() && room_for(source) != 0)) {
        wake_writer(source);
    } else if (!source.waits_for_room()) {
        return;
    } else if (heard && pipe.nobody()) {
        if (!pipe.coming()) // Otherwise what arrives will be answered.
            break_stream(source, FERRY_E_CONNECTION_RESET);
    } else if (!heard) {
        if (pipe.unheard_ns == 0)
            pipe.unheard_ns = now_ns();
        if (now_ns() - pipe.unheard_ns >= Network::kGiveUpNs)
            break_stream(source, FERRY_E_CONNECTION_TIMED_OUT);
        else
            post_at(pipe.room, pipe.unheard_ns + Network::kGiveUpNs);
    }
}

// Somebody waits for room who may wait in vain: nothing that arrives is going to tell.
void SimDriver::ask_for_room(SimSocket &stream) noexcept {
    Pipe &out = stream.out();
    if (!stream.waits_for_room() || out.coming())
        return;
    bool heard = !network_.silent(out.from->number, out.to->number) &&
                 !network_.silent(out.to->number, out.from->number);
    if (out.unheard_ns != 0)
        drop(out.room); // It was put off until it is given up.
    if ((!heard || out.nobody() || out.unheard_ns != 0) && !out.room.pending)
        post(out.room, Network::kRetryNs);
}

void SimDriver::wake_writer(SimSocket &stream) noexcept {
    if (!stream.writing.pending)
        post(stream.writing, 0);
}

size_t SimDriver::room_for(const SimSocket &stream) const noexcept {
    const Pipe &out = stream.out();
    uint64_t most = stream.send_buffer;
    if (out.sink != nullptr)
        most += out.sink->receive_buffer;
    uint64_t used = out.flying_bytes + out.arrived_bytes;
    return used < most ? static_cast<size_t>(most - used) : 0;
}

// 0 bytes: there is no room.
Outcome SimDriver::take(SimSocket &stream, const ConstSpan *spans, size_t count) noexcept {
    if (stream.dead())
        return failure(FERRY_E_NETWORK_DOWN);
    if (stream.error.status != FERRY_OK) {
        Outcome error = stream.error;
        stream.error = {};
        return error;
    }
    if (stream.broken || stream.shut)
        return failure(FERRY_E_BROKEN_PIPE);
    size_t room = room_for(stream);
    if (room == 0)
        return {};
    Verdict verdict = meet(FERRY_SIM_SEND, *stream.machine);
    if (verdict.reset) {
        reset_both(stream);
        stream.error = {};
        return failure(FERRY_E_CONNECTION_RESET);
    }
    if (verdict.fail.status != FERRY_OK)
        return verdict.fail;
    size_t size = 0;
    for (size_t i = 0; i < count; ++i)
        size += spans[i].size;
    room = std::min(room, size);
    if (verdict.part)
        room = 1 + random_.below(room);
    size_t taken = fly(stream.out(), spans, count, room, verdict.delay_ns);
    return taken != 0 ? Outcome{.result = static_cast<int64_t>(taken)} : failure(FERRY_E_NO_MEMORY);
}

bool SimDriver::send(Socket &socket, const ConstSpan *spans, size_t count,
                     Outcome *outcome) noexcept {
    SimSocket &stream = own(socket);
    if (count <= SimSocket::kHeldMax && !at_once()) {
        std::copy(spans, spans + count, stream.held);
        stream.held_count = count;
        wake_writer(stream);
        return false;
    }
    *outcome = take(stream, spans, count);
    stream.blocked = outcome->status == FERRY_OK && outcome->result == 0;
    ask_for_room(stream);
    return !stream.blocked;
}

void SimDriver::cancel_send(Socket &socket) noexcept {
    SimSocket &stream = own(socket);
    stream.send_canceled = true;
    if (at_once())
        finish_send(stream);
    else
        wake_writer(stream);
}

// There may be room, or it is to end.
void SimDriver::finish_send(SimSocket &stream) noexcept {
    if (stream.transfer_out != nullptr) {
        go_on(*stream.transfer_out);
        return;
    }
    if (!stream.blocked && stream.held_count == 0)
        return;
    Outcome outcome;
    if (stream.held_count != 0 && !stream.send_canceled) {
        outcome = take(stream, stream.held, stream.held_count);
        if (outcome.status == FERRY_OK && outcome.result == 0) {
            ask_for_room(stream);
            return;
        }
    }
    stream.held_count = 0;
    stream.blocked = false;
    stream.send_canceled = false;
    environment_.host.sent(stream, outcome);
}

Outcome SimDriver::shut_down(Socket &socket) noexcept {
    SimSocket &stream = own(socket);
    if (stream.dead())
        return failure(FERRY_E_NETWORK_DOWN);
    if (stream.broken)
        return failure(FERRY_E_NOT_CONNECTED);
    if (!stream.shut)
        send_end(stream);
    return {};
}

// ---- options ------------------------------------------------------------------------------------

Outcome SimDriver::set(Socket &socket, uint32_t option, int64_t value) noexcept {
    SimSocket &target = own(socket);
    if (target.dead())
        return failure(FERRY_E_NETWORK_DOWN);
    if (option == FERRY_SOCKET_RECEIVE_BUFFER) {
        target.receive_buffer = static_cast<uint64_t>(value);
        return {};
    }
    if (option == FERRY_SOCKET_SEND_BUFFER) {
        target.send_buffer = static_cast<uint64_t>(value);
        return {};
    }
    if (target.is_listener)
        return kUnsupported;
    if (option == FERRY_SOCKET_LINGER) {
        target.linger_reset = value == 0;
    } else if (option == FERRY_SOCKET_KEEP_ALIVE) {
        drop(target.probe);
        target.probe_ns = static_cast<uint64_t>(value) * kSecond;
        target.unanswered = 0;
        watch_peer(target);
    }
    return {};
}

// As long as the peer answers, probes change nothing: they are made up when the network has changed, so that
// a world in which nothing else happens has an end.
void SimDriver::watch_peer(SimSocket &stream) noexcept {
    if (stream.probe_ns != 0 && !stream.broken && !stream.dead() && !stream.probe.pending)
        post(stream.probe, stream.probe_ns);
}

void SimDriver::network_changed() noexcept {
    for (SimSocket *at = sockets_; at != nullptr; at = at->next) {
        if (at->is_listener)
            continue;
        watch_peer(*at);
        ask_for_room(*at);
    }
}

// A keep-alive probe, and its answer.
void SimDriver::look_for_peer(SimSocket &stream) noexcept {
    Pipe &out = stream.out();
    bool heard = !network_.silent(out.from->number, out.to->number) &&
                 !network_.silent(out.to->number, out.from->number);
    const Pipe &in = stream.in();
    bool closing =
        in.coming() && !in.sender_gone(); // The peer's system answers until that is done.
    if (heard && out.nobody() && !closing && !in.ended) {
        break_stream(stream, FERRY_E_CONNECTION_RESET);
        return;
    }
    stream.unanswered = heard ? 0 : stream.unanswered + 1;
    if (stream.unanswered > kProbes)
        break_stream(stream, FERRY_E_CONNECTION_TIMED_OUT);
    else if (!heard)
        post(stream.probe, std::max(stream.probe_ns / 10, kSecond));
}

Outcome SimDriver::address(Socket &socket, bool peer, ferry_address *address) noexcept {
    const SimSocket &asked = own(socket);
    if (peer && (asked.is_listener || asked.broken))
        return failure(FERRY_E_NOT_CONNECTED);
    *address = peer ? asked.peer : asked.local;
    return {};
}

} // namespace ferry::driver::sim
