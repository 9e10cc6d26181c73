// What waits to be sent on the shard's streams: sends of one turn leave together.
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
        if (spent())
            return;
    }
}

void Shard::flush_socket(driver::Socket &socket) noexcept {
    while (socket.unsent != nullptr && !socket.sending) {
        driver::ConstSpan spans[driver::kSendSpansMax];
        size_t count = 0;
        for (driver::Outgoing *at = socket.unsent; at != nullptr && count < driver::kSendSpansMax;
             at = at->next)
            spans[count++] = {at->data + at->taken, at->size - at->taken};
        driver::Outcome outcome;
        socket.sending = true;
        if (!driver_->send(socket, spans, count, &outcome))
            return;
        socket.sending = false;
        distribute(socket, outcome);
    }
}

// Tell the sends what was taken of them; an error is the stream's and ends them all.
void Shard::distribute(driver::Socket &socket, const driver::Outcome &outcome) noexcept {
    auto left = static_cast<uint64_t>(outcome.result);
    while (driver::Outgoing *front = socket.unsent) {
        uint64_t wanted = front->size - front->taken;
        uint64_t part = left < wanted ? left : wanted;
        front->taken += part;
        left -= part;
        if (front->taken < front->size && outcome.status == FERRY_OK)
            break;
        socket.unsent = front->next;
        if (front->taken < front->size)
            front->outcome = outcome;
        front->wait->wake();
    }
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
        if (at->fiber->interrupted != 0) {
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
