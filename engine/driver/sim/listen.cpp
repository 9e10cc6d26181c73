// Listening and accepting.
#include "driver/sim/sim_driver.hpp"

#include <ferry/status.h>

namespace ferry::driver::sim {

static constexpr uint16_t kFirstPort = 40000;

// ---- sockets ------------------------------------------------------------------------------------

SimSocket *SimDriver::make_socket(Machine &machine) noexcept {
    static_assert(sizeof(SimSocket) <= 2048); // What the pool keeps.
    void *memory = environment_.blocks.allocate(sizeof(SimSocket));
    if (memory == nullptr)
        return nullptr;
    auto *made = ::new (memory) SimSocket();
    made->machine = &machine;
    made->crashes = machine.crashes;
    made->reading.means<&SimDriver::look>(*made);
    made->writing.means<&SimDriver::finish_send>(*made);
    made->canceling.means<&SimDriver::end_canceled>(*made);
    made->probe.means<&SimDriver::look_for_peer>(*made);
    made->next = sockets_;
    made->link = &sockets_;
    if (sockets_ != nullptr)
        sockets_->link = &made->next;
    sockets_ = made;
    return made;
}

void SimDriver::free_socket(SimSocket &socket) noexcept {
    drop(socket.reading);
    drop(socket.writing);
    drop(socket.canceling);
    drop(socket.probe);
    *socket.link = socket.next;
    if (socket.next != nullptr)
        socket.next->link = socket.link;
    socket.~SimSocket();
    environment_.blocks.free(&socket, sizeof(SimSocket));
}

void SimDriver::close(Socket &socket) noexcept {
    SimSocket &closing = own(socket);
    if (closing.is_listener)
        close_listener(closing);
    else
        close_stream(closing);
}

// ---- listening ----------------------------------------------------------------------------------

// Of several that share a port, chance decides.
SimSocket *SimDriver::listener_at(const Machine &machine, const ferry_address &address) noexcept {
    SimSocket *found = nullptr;
    uint32_t count = 0;
    for (SimSocket *at = sockets_; at != nullptr; at = at->next) {
        if (!at->is_listener || at->machine != &machine || at->dead() ||
            at->local.port != address.port)
            continue;
        // A wildcard of IPv6 takes both families, as with Linux.
        bool every = is_wildcard(at->local) &&
                     (at->local.family == FERRY_IPV6 || address.family == FERRY_IPV4);
        if ((every || same_host(at->local, address)) && random_.below(++count) == 0)
            found = at;
    }
    return found;
}

bool SimDriver::port_taken(const Machine &machine, const ferry_address &address,
                           bool reuse_port) noexcept {
    for (SimSocket *at = sockets_; at != nullptr; at = at->next) {
        if (!at->is_listener || at->machine != &machine || at->dead() ||
            at->local.port != address.port || (reuse_port && at->reuse_port))
            continue;
        if (is_wildcard(at->local) || is_wildcard(address) || same_host(at->local, address))
            return true;
    }
    return false;
}

// 0: none is left.
uint16_t SimDriver::free_port(Machine &machine, ferry_address address) noexcept {
    for (uint32_t i = kFirstPort; i <= UINT16_MAX; ++i) {
        address.port = machine.next_port;
        machine.next_port = machine.next_port == UINT16_MAX
                                ? kFirstPort
                                : static_cast<uint16_t>(machine.next_port + 1);
        if (!port_taken(machine, address, false))
            return address.port;
    }
    return 0;
}

Outcome SimDriver::listen(const ferry_address &address, uint32_t backlog, bool reuse_port,
                          Socket **socket) noexcept {
    Machine *machine =
        is_wildcard(address) ? &network_.machine(FERRY_SIM_LOCALHOST) : network_.find(address);
    if (machine == nullptr)
        return failure(FERRY_E_ADDRESS_NOT_AVAILABLE);
    if (!machine->up)
        return failure(FERRY_E_NETWORK_DOWN);
    Verdict verdict = meet(FERRY_SIM_LISTEN, *machine);
    if (verdict.fail.status != FERRY_OK)
        return verdict.fail;
    ferry_address local = address;
    if (local.port == 0)
        local.port = free_port(*machine, local);
    if (local.port == 0 || port_taken(*machine, local, reuse_port))
        return failure(FERRY_E_ADDRESS_IN_USE);
    SimSocket *made = make_socket(*machine);
    if (made == nullptr)
        return failure(FERRY_E_NO_MEMORY);
    ::new (&made->accept) Accept();
    made->is_listener = true;
    made->local = local;
    made->backlog = backlog;
    made->reuse_port = reuse_port;
    *socket = made;
    trace_.line(now_ns(), "listen %s port %u", machine->name, local.port);
    return {.result = local.port};
}

void SimDriver::close_listener(SimSocket &listener) noexcept {
    trace_.line(now_ns(), "close listener %s port %u", listener.machine->name, listener.local.port);
    while (SimSocket *unaccepted = listener.waiting) {
        listener.waiting = unaccepted->next_waiting;
        unaccepted->linger_reset = true;
        close_stream(*unaccepted);
    }
    free_socket(listener);
}

// ---- accepting ----------------------------------------------------------------------------------

void SimDriver::start_accept(Socket &socket) noexcept {
    SimSocket &listener = own(socket);
    if (listener.waiting == nullptr && !listener.dead())
        return;
    if (at_once())
        accept(listener);
    else
        wake_reader(listener);
}

void SimDriver::cancel_accept(Socket &socket) noexcept {
    SimSocket &listener = own(socket);
    if (at_once())
        end_canceled(listener);
    else if (!listener.canceling.pending)
        post(listener.canceling, 0);
}

void SimDriver::end_accept(SimSocket &listener, const Outcome &outcome) noexcept {
    drop(listener.reading);
    drop(listener.canceling);
    listener.judged = listener.deaf = false;
    listener.accept.complete(outcome);
}

void SimDriver::accept(SimSocket &listener) noexcept {
    if (!listener.accept.active || (listener.deaf && !listener.dead()))
        return;
    if (listener.dead()) {
        end_accept(listener, failure(FERRY_E_NETWORK_DOWN));
        return;
    }
    SimSocket *oldest = listener.waiting;
    if (oldest == nullptr || !may_go_on(listener, FERRY_SIM_ACCEPT))
        return;
    if (listener.verdict.fail.status != FERRY_OK) {
        end_accept(listener, listener.verdict.fail);
        return;
    }
    listener.waiting = oldest->next_waiting;
    oldest->next_waiting = nullptr;
    listener.accept.socket = oldest;
    trace_.line(now_ns(), "accept %s port %u from %s port %u", listener.machine->name,
                listener.local.port, oldest->in().from->name, oldest->peer.port);
    end_accept(listener, {});
}

} // namespace ferry::driver::sim
