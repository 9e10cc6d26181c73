#include "driver/fake/fake_driver.hpp"

#include "driver/make.hpp"

#include <ferry/status.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ferry::driver {

ferry_status make(const Environment &environment, Driver **driver) noexcept {
    *driver = environment.allocator.create<fake::FakeDriver>(environment);
    return *driver != nullptr ? FERRY_OK : FERRY_E_NO_MEMORY;
}

} // namespace ferry::driver

namespace ferry::driver::fake {

static FakeSocket &own(Socket &socket) {
    return static_cast<FakeSocket &>(socket);
}

static constexpr Outcome kCanceled = {.status = FERRY_E_CANCELED};

void FakeDriver::dispose() noexcept {
    const Allocator &allocator = environment_.allocator;
    allocator.destroy(this);
}

// ---- time and events ----------------------------------------------------------------------------

void FakeDriver::poll(uint64_t until_ns) noexcept {
    if (until_ns != 0 && events_.empty())
        wait(until_ns);
    // Those that come of these have to wait for the next poll, or two ends that talk to each other
    // would keep us here.
    for (size_t left = events_.size(); left > 0 && !events_.empty(); --left) {
        if (environment_.host.out_of_time())
            return;
        Event event = events_.front();
        events_.pop_front();
        deliver(event);
        environment_.host.run_ready();
    }
}

// Nothing happens in this world any more before that time: let it be that time. Without one, only
// another thread can tell us something.
void FakeDriver::wait(uint64_t until_ns) noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    while (until_ns == UINT64_MAX && !woken_)
        woken_up_.wait(lock);
    if (!woken_ && until_ns > now_ns())
        now_ns_.store(until_ns, std::memory_order_relaxed);
    woken_ = false;
}

void FakeDriver::wake() noexcept {
    std::lock_guard<std::mutex> guard(mutex_);
    woken_ = true;
    woken_up_.notify_all();
}

void FakeDriver::post(Call call, void *subject, bool cancel) noexcept {
    events_.push_back({call, cancel, subject});
}

void FakeDriver::forget(Call call, const void *subject) noexcept {
    std::erase_if(events_, [&](const Event &event) {
        return event.call == call && event.subject == subject;
    });
}

// Nothing that was posted for this one may reach the next one in its place, a late cancel least of
// all.
void FakeDriver::end(Call call, void *subject, Primitive &primitive,
                     const Outcome &outcome) noexcept {
    forget(call, subject);
    primitive.complete(outcome);
}

bool FakeDriver::fails(Call call, Outcome *outcome) noexcept {
    for (auto at = failures_.begin(); at != failures_.end(); ++at) {
        if (at->call != call)
            continue;
        *outcome = at->outcome;
        failures_.erase(at);
        return true;
    }
    return false;
}

void FakeDriver::begin(Call call, void *subject) noexcept {
    if (eager)
        deliver({call, false, subject});
    else
        post(call, subject);
}

void FakeDriver::cancel(Call call, void *subject) noexcept {
    if (completes_later)
        post(call, subject, true);
    else
        deliver({call, true, subject});
}

// What it was posted for may not hold any more.
void FakeDriver::deliver(const Event &event) noexcept {
    auto *socket = static_cast<FakeSocket *>(event.subject);
    Outcome outcome = kCanceled;
    bool ends = event.cancel;
    switch (event.call) {
    case Call::listen:
        break;
    case Call::accept:
        if (!socket->accept.active)
            break;
        if (ends || fails(event.call, &outcome))
            end(event.call, socket, socket->accept, outcome);
        else
            accept(*socket);
        break;
    case Call::receive:
        if (!socket->receive.active)
            break;
        if (ends || fails(event.call, &outcome))
            end(event.call, socket, socket->receive, outcome);
        else
            receive(*socket);
        break;
    case Call::connect: {
        auto *connecting = static_cast<Connect *>(event.subject);
        if (ends || fails(event.call, &outcome)) {
            std::erase(connecting_, connecting);
            end(event.call, connecting, *connecting, outcome);
        } else {
            connect(*connecting);
        }
        break;
    }
    case Call::load: {
        auto *loading = static_cast<FileLoad *>(event.subject);
        if (!ends && !fails(event.call, &outcome))
            outcome = load(*loading);
        end(event.call, loading, *loading, outcome);
        break;
    }
    case Call::file: {
        auto *call = static_cast<FileCall *>(event.subject);
        if (!ends && !fails(event.call, &outcome))
            outcome = make_call(*call);
        end(event.call, call, *call, outcome);
        break;
    }
    case Call::close:
        finish_close(*static_cast<FakeFile *>(event.subject));
        break;
    case Call::send:
        if (!socket->sending)
            break;
        if (ends)
            socket->held.clear();
        finish_send(*socket);
        break;
    }
}

// ---- listening and connecting -------------------------------------------------------------------

FakeSocket *FakeDriver::make_socket() noexcept {
    auto *made = environment_.allocator.create<FakeSocket>();
    sockets_ += made != nullptr;
    return made;
}

void FakeDriver::destroy(FakeSocket *socket) noexcept {
    sockets_ -= socket != nullptr;
    environment_.allocator.destroy(socket);
}

Outcome FakeDriver::listen(const ferry_address &address, uint32_t backlog, bool,
                           Socket **socket) noexcept {
    Outcome outcome;
    if (fails(Call::listen, &outcome))
        return outcome;
    uint16_t port = address.port != 0 ? address.port : next_port_++;
    if (listeners_.count(port) != 0)
        return {.status = FERRY_E_ADDRESS_IN_USE, .os_error = EADDRINUSE};
    FakeSocket *made = make_socket();
    if (made == nullptr)
        return {.status = FERRY_E_NO_MEMORY};
    ::new (&made->accept) Accept();
    made->is_listener = true;
    made->port = port;
    made->backlog = backlog;
    listeners_[port] = made;
    *socket = made;
    return {.result = port};
}

void FakeDriver::start_accept(Socket &listener) noexcept {
    begin(Call::accept, &own(listener));
}

void FakeDriver::cancel_accept(Socket &listener) noexcept {
    cancel(Call::accept, &own(listener));
}

void FakeDriver::accept(FakeSocket &listener) noexcept {
    if (listener.waiting.empty())
        return;
    listener.accept.socket = listener.waiting.front();
    listener.waiting.pop_front();
    retry_connects();
    end(Call::accept, &listener, listener.accept, {});
}

// A backlog has room, or its listener has gone.
void FakeDriver::retry_connects() noexcept {
    for (Connect *waiting : connecting_)
        post(Call::connect, waiting);
    connecting_.clear();
}

void FakeDriver::start_connect(Connect &connect) noexcept {
    begin(Call::connect, &connect);
}

void FakeDriver::cancel_connect(Connect &connect) noexcept {
    cancel(Call::connect, &connect);
}

void FakeDriver::connect(Connect &connect) noexcept {
    auto found = listeners_.find(connect.address.port);
    if (found == listeners_.end()) {
        end(Call::connect, &connect, connect,
            {.status = FERRY_E_CONNECTION_REFUSED, .os_error = ECONNREFUSED});
        return;
    }
    FakeSocket &listener = *found->second;
    if (listener.waiting.size() >= listener.backlog) {
        connecting_.push_back(&connect);
        return;
    }
    FakeSocket *near = make_socket();
    FakeSocket *far = make_socket();
    if (near == nullptr || far == nullptr) {
        destroy(near);
        destroy(far);
        end(Call::connect, &connect, connect, {.status = FERRY_E_NO_MEMORY});
        return;
    }
    near->peer = far;
    far->peer = near;
    listener.waiting.push_back(far);
    post(Call::accept, &listener);
    connect.socket = near;
    end(Call::connect, &connect, connect, {});
}

void FakeDriver::close(Socket &socket) noexcept {
    FakeSocket &closing = own(socket);
    std::erase_if(events_, [&](const Event &event) { return event.subject == &closing; });
    if (closing.is_listener) {
        listeners_.erase(closing.port);
        retry_connects();
    }
    for (FakeSocket *unaccepted : closing.waiting)
        close(*unaccepted);
    if (FakeSocket *peer = closing.peer) {
        peer->peer = nullptr;
        post(Call::receive, peer);
        if (peer->blocked)
            post(Call::send, peer);
    }
    destroy(&closing);
}

// ---- receiving and sending ----------------------------------------------------------------------

void FakeDriver::start_receive(Socket &stream) noexcept {
    begin(Call::receive, &own(stream));
}

void FakeDriver::cancel_receive(Socket &stream) noexcept {
    cancel(Call::receive, &own(stream));
}

void FakeDriver::receive(FakeSocket &stream) noexcept {
    Receive &receive = stream.receive;
    if (stream.arrived.empty()) {
        if (stream.peer == nullptr)
            end(Call::receive, &stream, receive, {});
        return;
    }
    Span space{receive.memory, receive.size};
    bool lend = space.data == nullptr;
    int32_t status = FERRY_OK;
    if (lend)
        space = environment_.host.lend_space(stream, &status);
    if (status != FERRY_OK) {
        end(Call::receive, &stream, receive, {.status = status});
        return;
    }
    size_t size = std::min(space.size, stream.arrived.size());
    std::memcpy(space.data, stream.arrived.data(), size);
    stream.arrived.erase(0, size);
    if (lend) {
        receive.memory = space.data;
        receive.buffer = environment_.host.lend(stream, size);
    }
    if (stream.peer != nullptr && stream.peer->blocked)
        post(Call::send, stream.peer);
    end(Call::receive, &stream, receive, {.result = static_cast<int64_t>(size)});
}

// What fits; 0 bytes if nothing does.
Outcome FakeDriver::take(FakeSocket &stream, const ConstSpan *spans, size_t count) noexcept {
    Outcome outcome;
    if (fails(Call::send, &outcome))
        return outcome;
    FakeSocket *peer = stream.peer;
    if (peer == nullptr)
        return {.status = FERRY_E_BROKEN_PIPE, .os_error = EPIPE};
    size_t used = peer->arrived.size();
    size_t room = used < pipe_size ? std::min(pipe_size - used, send_max) : 0;
    for (size_t i = 0; i < count && room > 0; ++i) {
        size_t part = std::min(room, spans[i].size);
        peer->arrived.append(static_cast<const char *>(spans[i].data), part);
        room -= part;
        outcome.result += static_cast<int64_t>(part);
    }
    if (outcome.result != 0)
        post(Call::receive, peer);
    return outcome;
}

bool FakeDriver::send(Socket &socket, const ConstSpan *spans, size_t count,
                      Outcome *outcome) noexcept {
    FakeSocket &stream = own(socket);
    if (completes_later) {
        stream.held.assign(spans, spans + count);
        post(Call::send, &stream);
        return false;
    }
    *outcome = take(stream, spans, count);
    stream.blocked = outcome->status == FERRY_OK && outcome->result == 0;
    return !stream.blocked;
}

void FakeDriver::cancel_send(Socket &socket) noexcept {
    cancel(Call::send, &own(socket));
}

// Cancelled, or there may be room now, or the peer has gone.
void FakeDriver::finish_send(FakeSocket &stream) noexcept {
    Outcome outcome;
    if (!stream.held.empty()) {
        outcome = take(stream, stream.held.data(), stream.held.size());
        if (outcome.status == FERRY_OK && outcome.result == 0) {
            stream.blocked = true;
            return;
        }
    }
    stream.held.clear();
    stream.blocked = false;
    forget(Call::send, &stream);
    environment_.host.sent(stream, outcome);
}

} // namespace ferry::driver::fake
