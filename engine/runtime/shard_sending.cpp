// What waits to be sent on the shard's streams: sends of one turn leave together.
#include "base/assert.hpp"
#include "runtime/shard.hpp"

#include <ferry/status.h>

namespace ferry {

void Shard::mark_dirty(driver::Socket &socket) noexcept {
    if (socket.dirty)
        return;
    socket.dirty = true;
    // The list holds it, too: it must not go before it is flushed.
    hold(socket);
    socket.next_dirty = dirty_;
    dirty_ = &socket;
}

void Shard::enqueue(driver::Socket &socket, driver::Outgoing &outgoing) noexcept {
    outgoing.next = nullptr;
    if (socket.unsent == nullptr)
        socket.unsent = &outgoing;
    else
        socket.unsent_last->next = &outgoing;
    socket.unsent_last = &outgoing;
    if (!socket.sending)
        mark_dirty(socket);
}

void Shard::flush() noexcept {
    while (driver::Socket *socket = dirty_) {
        dirty_ = socket->next_dirty;
        socket->dirty = false;
        flush_socket(*socket);
        let_go(*socket);
        if (spent())
            return;
    }
}

// Those at the front that have bytes, as spans; how many.
static size_t collect(const driver::Outgoing *at, driver::ConstSpan *spans) {
    size_t count = 0;
    for (; at != nullptr && !at->turn; at = at->next) {
        uint64_t part = at->part;
        uint64_t left = at->left;
        for (const ferry_slice *slice = at->slices; left != 0; ++slice, part = 0) {
            uint64_t size = slice->size - part;
            if (size == 0)
                continue;
            if (count == driver::kSendSpansMax)
                return count;
            spans[count++] = {static_cast<const char *>(slice->data) + part, size};
            left -= size;
        }
    }
    return count;
}

void Shard::flush_socket(driver::Socket &socket) noexcept {
    while (socket.unsent != nullptr && !socket.sending) {
        driver::Outgoing &front = *socket.unsent;
        if (front.turn) {
            if (!front.has_turn) {
                front.has_turn = true;
                front.wait->wake();
            }
            return;
        }
        driver::ConstSpan spans[driver::kSendSpansMax];
        size_t count = collect(&front, spans);
        driver::Outcome outcome;
        socket.sending = true;
        if (!driver_->send(socket, spans, count, &outcome))
            return;
        socket.sending = false;
        distribute(socket, outcome);
    }
}

static void take(driver::Outgoing &outgoing, uint64_t bytes) {
    outgoing.taken += bytes;
    outgoing.left -= bytes;
    while (bytes != 0) {
        uint64_t size = outgoing.slices->size - outgoing.part;
        if (bytes < size) {
            outgoing.part += bytes;
            return;
        }
        bytes -= size;
        ++outgoing.slices;
        outgoing.part = 0;
    }
}

// Tell the sends what was taken of them; an error is the stream's and ends them all.
void Shard::distribute(driver::Socket &socket, const driver::Outcome &outcome) noexcept {
    auto bytes = static_cast<uint64_t>(outcome.result);
    bool failed = outcome.status != FERRY_OK;
    traffic_.sent.add(bytes);
    while (driver::Outgoing *front = socket.unsent) {
        uint64_t part = bytes < front->left ? bytes : front->left;
        take(*front, part);
        bytes -= part;
        bool done = front->left == 0 && !front->turn;
        if (!done && !failed)
            break;
        socket.unsent = front->next;
        if (!done)
            front->outcome = outcome;
        front->wait->wake();
    }
}

void Shard::pass(driver::Socket &socket, driver::Outgoing &outgoing) noexcept {
    FERRY_ASSERT(socket.unsent == &outgoing && outgoing.has_turn);
    socket.unsent = outgoing.next;
    if (socket.unsent != nullptr)
        mark_dirty(socket);
}

void Shard::sent(driver::Socket &socket, driver::Outcome outcome) noexcept {
    socket.sending = false;
    distribute(socket, outcome);
    drop_interrupted(socket);
    if (socket.unsent != nullptr)
        mark_dirty(socket);
}

void Shard::drop_interrupted(driver::Socket &socket) noexcept {
    if (socket.sending) {
        driver_->cancel_send(socket); // sent() comes back here.
        return;
    }
    driver::Outgoing **link = &socket.unsent;
    driver::Outgoing *last = nullptr;
    while (driver::Outgoing *at = *link) {
        if (at->fiber->interrupted != 0 && !at->has_turn) {
            *link = at->next;
            at->wait->wake();
        } else {
            last = at;
            link = &at->next;
        }
    }
    socket.unsent_last = last;
}

} // namespace ferry
