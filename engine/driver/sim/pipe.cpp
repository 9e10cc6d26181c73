// Connections: bytes that fly, ends and resets that follow them.
#include "base/saturating.hpp"
#include "driver/sim/sim_driver.hpp"

#include <ferry/status.h>

#include <algorithm>
#include <cstring>

namespace ferry::driver::sim {

static constexpr uint64_t kSecond = 1'000'000'000;
// A packet's bytes. With its head it fits the pool.
static constexpr size_t kPacket = 1460;
static_assert(sizeof(Segment) + kPacket <= 2048);

// ---- connections --------------------------------------------------------------------------------

static void open_pipe(Pipe &pipe, Pipe &back, SimSocket &source, SimSocket &sink) {
    pipe.back = &back;
    pipe.from = source.machine;
    pipe.to = sink.machine;
    pipe.from_crashes = source.crashes;
    pipe.source = &source;
    pipe.sink = &sink;
    pipe.arrival.means<&SimDriver::arrive>(pipe);
    pipe.room.means<&SimDriver::tell_room>(pipe);
    pipe.reset.means<&SimDriver::reset_arrived>(pipe);
}

bool SimDriver::join(SimSocket &near, SimSocket &far) noexcept {
    static_assert(sizeof(Connection) <= 2048);
    void *memory = environment_.blocks.allocate(sizeof(Connection));
    if (memory == nullptr)
        return false;
    auto *made = ::new (memory) Connection();
    near.connection = far.connection = made;
    near.side = 0;
    far.side = 1;
    open_pipe(made->pipes[0], made->pipes[1], near, far);
    open_pipe(made->pipes[1], made->pipes[0], far, near);
    return true;
}

void SimDriver::free_segments(Pipe &pipe) noexcept {
    while (Segment *segment = pipe.flying.pop())
        environment_.blocks.free(segment, sizeof(Segment) + segment->size);
    pipe.flying_bytes = 0;
}

void SimDriver::close_stream(SimSocket &stream) noexcept {
    Pipe &out = stream.out();
    Pipe &in = stream.in();
    trace_.line(now_ns(), "close %s port %u", stream.machine->name, stream.local.port);
    if (!stream.dead() && !stream.broken) {
        // Who closes with bytes unread has not heard all: the peer is told (RFC 1122, 4.2.2.13).
        if (stream.linger_reset || in.arrived_bytes != 0) {
            free_segments(out);
            send_reset(out);
        } else if (!stream.shut) {
            send_end(stream);
        }
    }
    while (Segment *segment = in.arrived.pop())
        environment_.blocks.free(segment, sizeof(Segment) + segment->size);
    in.arrived_bytes = 0;
    out.source = nullptr;
    in.sink = nullptr;
    drop(out.room);
    drop(in.reset);
    Connection *connection = stream.connection;
    bool last = out.sink == nullptr;
    free_socket(stream);
    if (!last)
        return;
    for (Pipe &pipe : connection->pipes) {
        free_segments(pipe);
        drop(pipe.arrival);
        drop(pipe.room);
        drop(pipe.reset);
    }
    connection->~Connection();
    environment_.blocks.free(connection, sizeof(Connection));
}

// ---- what flies ---------------------------------------------------------------------------------

// The next thing that arrives has its time.
void SimDriver::expect(Pipe &pipe) noexcept {
    if (pipe.arrival.pending)
        return;
    if (Segment *first = pipe.flying.front())
        post_at(pipe.arrival, std::max(first->due_ns, now_ns()));
    else if (pipe.ending && !pipe.ended)
        post_at(pipe.arrival, std::max(pipe.last_due_ns, now_ns()));
}

// Nothing gets through: later again, or never. What a crashed host has sent is not sent again.
bool SimDriver::stuck(Pipe &pipe) noexcept {
    if (!network_.silent(pipe.from->number, pipe.to->number)) {
        pipe.tries = 0;
        pipe.stuck_ns = 0;
        return false;
    }
    if (pipe.stuck_ns == 0)
        pipe.stuck_ns = now_ns();
    if (pipe.sender_gone() || now_ns() - pipe.stuck_ns >= Network::kGiveUpNs) {
        give_up(pipe);
        return true;
    }
    uint64_t again = Network::kRetryNs << std::min(pipe.tries++, 10u);
    post(pipe.arrival, std::min(again, Network::kRetryMaxNs));
    return true;
}

// Its source hears nothing of what it has sent.
void SimDriver::give_up(Pipe &pipe) noexcept {
    free_segments(pipe);
    pipe.ending = false;
    if (pipe.source != nullptr && !pipe.sender_gone())
        break_stream(*pipe.source, FERRY_E_CONNECTION_TIMED_OUT);
}

void SimDriver::arrive(Pipe &pipe) noexcept {
    if (stuck(pipe))
        return;
    bool nobody = pipe.nobody();
    size_t bytes = 0;
    while (Segment *first = pipe.flying.front()) {
        if (first->due_ns > now_ns())
            break;
        if (first->lost) {
            give_up(pipe);
            break;
        }
        pipe.flying.pop();
        pipe.flying_bytes -= first->size;
        bytes += first->size;
        if (nobody) {
            environment_.blocks.free(first, sizeof(Segment) + first->size);
        } else {
            pipe.arrived.push(first);
            pipe.arrived_bytes += first->size;
        }
    }
    bool all = pipe.flying.empty() && pipe.ending && pipe.last_due_ns <= now_ns();
    if (trace_.on())
        trace_.line(now_ns(), "%zu bytes%s from %s arrive at %s%s", bytes,
                    all ? " and the end" : "", pipe.from->name, pipe.to->name,
                    nobody ? ", where nobody is" : "");
    if (all)
        pipe.ended = true;
    else
        expect(pipe);
    if (pipe.source != nullptr)
        ask_for_room(*pipe.source);
    if (!nobody)
        wake_reader(*pipe.sink);
    else if (bytes != 0 || (pipe.sink != nullptr && pipe.sink->dead()))
        send_reset(*pipe.back);
}

// Bytes into packets; how many were taken. FERRY_E_NO_MEMORY's case: none.
size_t SimDriver::fly(Pipe &pipe, const ConstSpan *spans, size_t count, size_t room,
                      uint64_t delay_ns) noexcept {
    const ferry_sim_link &link = network_.link(pipe.from->number, pipe.to->number);
    size_t taken = 0;
    size_t at = 0; // In the first span.
    while (count != 0 && taken < room) {
        if (at == spans->size) {
            ++spans;
            --count;
            at = 0;
            continue;
        }
        size_t size = std::min({kPacket, room - taken, spans->size - at});
        auto *segment =
            static_cast<Segment *>(environment_.blocks.allocate(sizeof(Segment) + size));
        if (segment == nullptr)
            break;
        ::new (segment) Segment();
        segment->size = static_cast<uint32_t>(size);
        std::memcpy(segment->data(), static_cast<const char *>(spans->data) + at, size);
        at += size;
        taken += size;
        pipe.clear_ns = std::max(pipe.clear_ns, now_ns());
        if (link.bytes_per_second != 0)
            pipe.clear_ns += size * kSecond / link.bytes_per_second;
        uint64_t way = network_.delay(pipe.from->number, pipe.to->number, random_, &segment->lost);
        uint64_t due = add_saturating(pipe.clear_ns, add_saturating(delay_ns, way));
        pipe.last_due_ns = std::max(pipe.last_due_ns, due);
        segment->due_ns = pipe.last_due_ns;
        pipe.flying.push(segment);
        pipe.flying_bytes += size;
    }
    expect(pipe);
    return taken;
}

void SimDriver::send_end(SimSocket &stream) noexcept {
    Pipe &out = stream.out();
    stream.shut = true;
    out.ending = true;
    uint64_t due =
        add_saturating(now_ns(), network_.delay(out.from->number, out.to->number, random_));
    out.last_due_ns = std::max(out.last_due_ns, due);
    expect(out);
}

// Along a pipe, to its sink. It may get lost.
void SimDriver::send_reset(Pipe &pipe) noexcept {
    if (pipe.sink != nullptr && !pipe.reset.pending)
        post(pipe.reset, network_.delay(pipe.from->number, pipe.to->number, random_));
}

void SimDriver::reset_arrived(Pipe &pipe) noexcept {
    if (network_.silent(pipe.from->number, pipe.to->number) || pipe.sink->dead())
        return;
    trace_.line(now_ns(), "a reset from %s arrives at %s port %u", pipe.from->name, pipe.to->name,
                pipe.sink->local.port);
    break_stream(*pipe.sink, FERRY_E_CONNECTION_RESET);
}

// Its connection is no more. What has arrived can still be read.
void SimDriver::break_stream(SimSocket &stream, int32_t status) noexcept {
    if (stream.broken)
        return;
    // To whom the peer's end has come already a reset says only that nothing can be sent, as with Linux.
    if (status != FERRY_E_CONNECTION_RESET || !stream.in().ended)
        stream.error = failure(status);
    stream.broken = true;
    Pipe &out = stream.out();
    free_segments(out);
    drop(out.arrival);
    stream.in().ended = true;
    drop(stream.probe);
    wake_reader(stream);
    wake_writer(stream);
}

// A fault: both ends see it.
void SimDriver::reset_both(SimSocket &stream) noexcept {
    send_reset(stream.out());
    break_stream(stream, FERRY_E_CONNECTION_RESET);
}

// A host has crashed: nobody there waits any more.
void SimDriver::end_all_of(SimSocket &socket) noexcept {
    drop(socket.reading); // A fault may have put it off.
    wake_reader(socket);
    if (socket.is_listener) {
        while (SimSocket *unaccepted = socket.waiting) {
            socket.waiting = unaccepted->next_waiting;
            close_stream(*unaccepted);
        }
        return;
    }
    drop(socket.probe);
    wake_writer(socket);
}

} // namespace ferry::driver::sim
