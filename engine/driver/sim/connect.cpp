// Connecting.
#include "base/saturating.hpp"
#include "driver/sim/sim_driver.hpp"

#include <ferry/status.h>

namespace ferry::driver::sim {

static constexpr uint64_t kSecond = 1'000'000'000;
// A SYN is sent again after 1 s, 2 s, 4 s ...: six times, and given up after 127 s, as with Linux.
static constexpr uint32_t kTriesMax = 6;
// Nobody on the way knows the address.
static constexpr uint64_t kUnreachableNs = 3 * kSecond;

struct ConnectJob final : Job {
    ConnectJob *next = nullptr;
    ConnectJob **link = nullptr;
    Machine *from = nullptr;
    Machine *to = nullptr; // Null: there is no such.
    ferry_address local = {};
    bool answered = false; // The peer has said yes.
    bool decided = false;  // It ends with the outcome when its time comes.
    uint32_t tries = 0;
    Outcome outcome;

    Connect &connect() const noexcept { return *static_cast<Connect *>(primitive); }
};

// ---- connecting ---------------------------------------------------------------------------------

bool SimDriver::connection_exists(const Machine &machine, const ferry_address &local,
                                  const ferry_address &peer) noexcept {
    for (SimSocket *at = sockets_; at != nullptr; at = at->next) {
        if (!at->is_listener && at->machine == &machine && !at->dead() &&
            at->local.port == local.port && at->peer.port == peer.port &&
            same_host(at->peer, peer) && same_host(at->local, local))
            return true;
    }
    return false;
}

// Who connects to whom, from which address.
Outcome SimDriver::find_ends(ConnectJob &job) noexcept {
    const Connect &connect = job.connect();
    bool chosen = connect.local.family != 0 && !is_wildcard(connect.local);
    job.from = chosen ? network_.find(connect.local) : &network_.machine(FERRY_SIM_LOCALHOST);
    if (job.from == nullptr)
        return failure(FERRY_E_ADDRESS_NOT_AVAILABLE);
    if (!job.from->up)
        return failure(FERRY_E_NETWORK_DOWN);
    job.to = is_wildcard(connect.address) ? job.from : network_.find(connect.address);
    job.local = connect.local;
    if (!chosen) {
        uint16_t port = connect.local.port;
        const ferry_address *own_address = job.from->address_of(connect.address.family);
        if (own_address == nullptr)
            return failure(FERRY_E_NETWORK_UNREACHABLE);
        job.local = *own_address;
        job.local.port = port;
    }
    if (job.local.port == 0)
        job.local.port = free_port(*job.from, job.local);
    if (job.local.port == 0)
        return failure(FERRY_E_ADDRESS_NOT_AVAILABLE);
    if (connect.local.port == 0)
        return {};
    if (port_taken(*job.from, job.local, false) ||
        connection_exists(*job.from, job.local, connect.address))
        return failure(FERRY_E_ADDRESS_IN_USE);
    return {};
}

void SimDriver::start_connect(Connect &connect) noexcept {
    connect.socket = nullptr;
    auto *job = make_job<ConnectJob>(connect);
    if (job == nullptr)
        return;
    job->means<&SimDriver::step_connect>(*job);
    Outcome outcome = find_ends(*job);
    if (outcome.status != FERRY_OK) {
        free_job(*job);
        connect.complete(outcome);
        return;
    }
    connect.job = job;
    job->next = connecting_;
    job->link = &connecting_;
    if (connecting_ != nullptr)
        connecting_->link = &job->next;
    connecting_ = job;
    Verdict verdict = meet(FERRY_SIM_CONNECT, *job->from);
    if (verdict.never)
        return;
    job->outcome = verdict.fail;
    job->decided = verdict.fail.status != FERRY_OK;
    uint64_t delay = verdict.delay_ns;
    if (job->to == nullptr && !job->decided) {
        job->outcome = failure(FERRY_E_HOST_UNREACHABLE);
        job->decided = true;
        delay = add_saturating(delay, kUnreachableNs);
    }
    if (!job->decided)
        delay =
            add_saturating(delay, network_.latency(job->from->number, job->to->number, random_));
    post(*job, delay);
}

void SimDriver::end_connect(ConnectJob &job, const Outcome &outcome) noexcept {
    Connect &connect = job.connect();
    trace_.line(now_ns(), "connect from %s port %u to port %u: %s", job.from->name, job.local.port,
                connect.address.port, ferry_status_name(outcome.status));
    *job.link = job.next;
    if (job.next != nullptr)
        job.next->link = job.link;
    free_job(job);
    connect.job = nullptr;
    connect.complete(outcome);
}

void SimDriver::cancel_connect(Connect &connect) noexcept {
    auto &job = *static_cast<ConnectJob *>(connect.job);
    Outcome canceled = {.status = FERRY_E_CANCELED};
    if (at_once()) {
        end_connect(job, canceled);
        return;
    }
    job.outcome = canceled;
    job.decided = true;
    drop(job);
    post(job, 0);
}

// The SYN has come, or the answer to it.
void SimDriver::step_connect(ConnectJob &job) noexcept {
    if (job.decided) {
        end_connect(job, job.outcome);
        return;
    }
    uint32_t from = job.from->number;
    uint32_t to = job.to->number;
    bool lost =
        job.answered ? network_.loses(to, from, random_) : network_.loses(from, to, random_);
    if (lost || network_.silent(from, to) || network_.silent(to, from)) {
        retry_connect(job);
        return;
    }
    ferry_address peer = job.connect().address;
    if (is_wildcard(peer)) {
        peer = *job.to->address_of(peer.family);
        peer.port = job.connect().address.port;
    }
    SimSocket *listener = listener_at(*job.to, peer);
    if (listener == nullptr) {
        job.outcome = failure(FERRY_E_CONNECTION_REFUSED);
        job.decided = true;
        post(job, job.answered ? 0 : network_.latency(to, from, random_));
        return;
    }
    if (job.answered) {
        establish(job, *listener, peer);
        return;
    }
    uint32_t waiting = 0;
    for (SimSocket *at = listener->waiting; at != nullptr; at = at->next_waiting)
        ++waiting;
    if (waiting >= listener->backlog) {
        retry_connect(job); // Linux says nothing, the SYN comes again.
        return;
    }
    job.answered = true;
    post(job, network_.latency(to, from, random_));
}

void SimDriver::retry_connect(ConnectJob &job) noexcept {
    if (job.tries == kTriesMax) {
        job.outcome = failure(FERRY_E_CONNECTION_TIMED_OUT);
        job.decided = true;
    }
    job.answered = false;
    post(job, kSecond << job.tries++);
}

void SimDriver::establish(ConnectJob &job, SimSocket &listener,
                          const ferry_address &peer) noexcept {
    SimSocket *near = make_socket(*job.from);
    SimSocket *far = make_socket(*job.to);
    if (near == nullptr || far == nullptr || !join(*near, *far)) {
        if (near != nullptr)
            free_socket(*near);
        if (far != nullptr)
            free_socket(*far);
        end_connect(job, failure(FERRY_E_NO_MEMORY));
        return;
    }
    near->local = far->peer = job.local;
    near->peer = far->local = peer;
    if (listener.local.family == FERRY_IPV6) {
        far->peer = as_ipv6(far->peer);
        far->local = as_ipv6(far->local);
    }
    far->receive_buffer = listener.receive_buffer;
    far->send_buffer = listener.send_buffer;
    SimSocket **end = &listener.waiting;
    while (*end != nullptr)
        end = &(*end)->next_waiting;
    *end = far;
    if (!listener.reading.pending)
        post(listener.reading, network_.delay(job.from->number, job.to->number, random_));
    job.connect().socket = near;
    end_connect(job, {});
}

void SimDriver::crash_connects(Machine &machine) noexcept {
    for (ConnectJob *job = connecting_; job != nullptr; job = job->next) {
        if (job->from != &machine)
            continue;
        job->outcome = failure(FERRY_E_NETWORK_DOWN);
        job->decided = true;
        drop(*job);
        post(*job, 0);
    }
}

} // namespace ferry::driver::sim
