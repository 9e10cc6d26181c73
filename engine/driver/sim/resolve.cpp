// Names: by the network's table.
#include "base/saturating.hpp"
#include "driver/sim/sim_driver.hpp"

#include <ferry/status.h>

#include <arpa/inet.h>

#include <cstring>

namespace ferry::driver::sim {

// An answer from a server nearby.
static constexpr uint64_t kAnswerNs = 1'000'000;

// The name lies behind.
struct ResolveJob final : Job {
    uint32_t family = 0;
    uint16_t port = 0;
    Outcome outcome; // How it ends, if that is decided.

    Resolve &resolve() const noexcept { return *static_cast<Resolve *>(primitive); }
    char *name() noexcept { return reinterpret_cast<char *>(this + 1); }
};

// Null: it is none.
static const ferry_address *literal(const char *name, ferry_address *address) {
    *address = {};
    if (inet_pton(AF_INET, name, address->bytes) == 1)
        address->family = FERRY_IPV4;
    else if (inet_pton(AF_INET6, name, address->bytes) == 1)
        address->family = FERRY_IPV6;
    else
        return nullptr;
    return address;
}

// Those of the family, into memory of the host's.
static Outcome collect(Host &host, Resolve &resolve, const ferry_address *addresses, size_t count) {
    ferry_address found[FERRY_SIM_ADDRESSES_MAX];
    size_t wanted = 0;
    for (size_t i = 0; i < count; ++i) {
        if (resolve.family != 0 && addresses[i].family != resolve.family)
            continue;
        found[wanted] = addresses[i];
        found[wanted++].port = resolve.port;
    }
    if (wanted == 0)
        return failure(FERRY_E_NAME_NOT_FOUND);
    Outcome outcome = host.allocate_load(wanted * sizeof *found, &resolve.data);
    if (outcome.status != FERRY_OK)
        return outcome;
    std::memcpy(resolve.data, found, wanted * sizeof *found);
    return {.result = static_cast<int64_t>(wanted * sizeof *found)};
}

void SimDriver::start_resolve(Resolve &resolve) noexcept {
    ferry_address address;
    resolve.data = nullptr;
    if (literal(resolve.name, &address) != nullptr) {
        resolve.complete(collect(environment_.host, resolve, &address, 1));
        return;
    }
    size_t size = std::strlen(resolve.name) + 1;
    auto *job = make_job<ResolveJob>(resolve, size);
    if (job == nullptr)
        return;
    job->means<&SimDriver::answer>(*job);
    std::memcpy(job->name(), resolve.name, size);
    resolve.job = job;
    Verdict verdict = meet(FERRY_SIM_RESOLVE, network_.machine(FERRY_SIM_LOCALHOST), resolve.name);
    const Name *name = network_.name(resolve.name);
    uint64_t delay = name != nullptr ? name->delay_ns : 0;
    if (verdict.never || delay == FERRY_FOREVER)
        return;
    job->outcome = verdict.fail;
    post(*job, add_saturating(delay, add_saturating(kAnswerNs, verdict.delay_ns)));
}

void SimDriver::answer(ResolveJob &job) noexcept {
    Resolve &resolve = job.resolve();
    Outcome outcome = job.outcome;
    if (outcome.status == FERRY_OK) {
        const Name *name = network_.name(job.name());
        if (name == nullptr)
            outcome = failure(FERRY_E_NAME_NOT_FOUND);
        else if (name->status != FERRY_OK)
            outcome = failure(name->status);
        else
            outcome = collect(environment_.host, resolve, name->addresses, name->count);
    }
    trace_.line(now_ns(), "resolve %s: %s", job.name(), ferry_status_name(outcome.status));
    free_job(job);
    resolve.complete(outcome);
}

void SimDriver::cancel_resolve(Resolve &resolve) noexcept {
    auto &job = *static_cast<ResolveJob *>(resolve.job);
    job.outcome = {.status = FERRY_E_CANCELED};
    drop(job);
    if (at_once())
        answer(job);
    else
        post(job, 0);
}

} // namespace ferry::driver::sim
