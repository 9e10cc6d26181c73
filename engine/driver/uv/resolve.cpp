// Names: the system's own resolver on the names' workers.
//
// getaddrinfo and nothing else, so that the system's rules hold (hosts file, search domains, NSS, the
// order of RFC 6724). It cannot be interrupted: what is cancelled meanwhile is detached.
#include "driver/uv/status.hpp"
#include "driver/uv/uv_driver.hpp"

#include <ferry/status.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <new>

namespace ferry::driver::uv {

// One name; it lies behind. It outlives a cancelled operation.
struct ResolveJob final : UvJob {
    uint32_t family = 0;
    uint16_t port = 0;
    void *data = nullptr;

    char *name() noexcept { return reinterpret_cast<char *>(this + 1); }
};

// ---- answers ------------------------------------------------------------------------------------

static Outcome failure(int error, int system_error) {
    int32_t status = FERRY_E_NAME_FAILED;
    switch (error) {
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY:
#endif
        status = FERRY_E_NAME_NOT_FOUND;
        break;
    case EAI_AGAIN:
        status = FERRY_E_NAME_TRY_AGAIN;
        break;
    case EAI_MEMORY:
        status = FERRY_E_NO_MEMORY;
        break;
    case EAI_SYSTEM:
        status = outcome_of(system_error).status;
        break;
    default:
        break;
    }
    return {.status = status, .os_error = error};
}

// False: of a family that Ferry does not know.
static bool from_system(const addrinfo &answer, uint16_t port, ferry_address *out) {
    *out = {};
    out->port = port;
    if (answer.ai_family == AF_INET) {
        const auto *in = reinterpret_cast<const sockaddr_in *>(answer.ai_addr);
        out->family = FERRY_IPV4;
        std::memcpy(out->bytes, &in->sin_addr, 4);
        return true;
    }
    if (answer.ai_family == AF_INET6) {
        const auto *in6 = reinterpret_cast<const sockaddr_in6 *>(answer.ai_addr);
        out->family = FERRY_IPV6;
        out->scope_id = in6->sin6_scope_id;
        std::memcpy(out->bytes, &in6->sin6_addr, 16);
        return true;
    }
    return false;
}

static bool contains(const ferry_address *addresses, size_t count, const ferry_address &wanted) {
    for (size_t i = 0; i < count; ++i) {
        if (std::memcmp(&addresses[i], &wanted, sizeof wanted) == 0)
            return true;
    }
    return false;
}

// Each once, in the resolver's order, into memory of the host's. outcome.result = bytes.
static Outcome collect(Host &host, const addrinfo *answers, uint16_t port, void **data) {
    size_t most = 0;
    for (const addrinfo *at = answers; at != nullptr; at = at->ai_next)
        ++most;
    if (most == 0)
        return failure(EAI_NONAME, 0);
    void *memory;
    Outcome outcome = host.allocate_load(most * sizeof(ferry_address), &memory);
    if (outcome.status != FERRY_OK)
        return outcome;
    auto *addresses = static_cast<ferry_address *>(memory);
    size_t count = 0;
    for (const addrinfo *at = answers; at != nullptr; at = at->ai_next) {
        ferry_address address;
        if (from_system(*at, port, &address) && !contains(addresses, count, address))
            addresses[count++] = address;
    }
    if (count == most) {
        *data = memory;
        return {.result = static_cast<int64_t>(most * sizeof(ferry_address))};
    }
    // The block's size is what it will be freed by.
    outcome = count == 0 ? failure(EAI_NONAME, 0)
                         : host.allocate_load(count * sizeof(ferry_address), data);
    if (outcome.status == FERRY_OK) {
        std::memcpy(*data, memory, count * sizeof(ferry_address));
        outcome.result = static_cast<int64_t>(count * sizeof(ferry_address));
    }
    host.free_load(memory, most * sizeof(ferry_address));
    return outcome;
}

// No AI_ADDRCONFIG: it does not count the loopback as configured, so that "::1" and "localhost" would fail
// on a machine with nothing else. Addresses that cannot be reached come last by RFC 6724.
static Outcome look_up(Host &host, const char *name, uint32_t family, uint16_t port, void **data) {
    addrinfo hints = {};
    hints.ai_family = family == FERRY_IPV4 ? AF_INET : family == FERRY_IPV6 ? AF_INET6 : AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM; // Else each address comes once for every type.
    addrinfo *answers = nullptr;
    int error = getaddrinfo(name, nullptr, &hints, &answers);
    if (error != 0)
        return failure(error, errno);
    Outcome outcome = collect(host, answers, port, data);
    freeaddrinfo(answers);
    return outcome;
}

// What needs no worker: a literal address without a zone. True if it is one.
static bool literal(Host &host, const Resolve &resolve, Outcome *outcome, void **data) {
    ferry_address address = {};
    address.port = resolve.port;
    if (inet_pton(AF_INET, resolve.name, address.bytes) == 1)
        address.family = FERRY_IPV4;
    else if (inet_pton(AF_INET6, resolve.name, address.bytes) == 1)
        address.family = FERRY_IPV6;
    else
        return false;
    if (resolve.family != 0 && resolve.family != address.family) {
#ifdef EAI_ADDRFAMILY
        *outcome = failure(EAI_ADDRFAMILY, 0);
#else
        *outcome = failure(EAI_NONAME, 0);
#endif
        return true;
    }
    *outcome = host.allocate_load(sizeof address, data);
    if (outcome->status == FERRY_OK) {
        std::memcpy(*data, &address, sizeof address);
        outcome->result = sizeof address;
    }
    return true;
}

// ---- jobs ---------------------------------------------------------------------------------------

// On a worker.
static void resolve_name(UvJob &base) {
    auto &job = static_cast<ResolveJob &>(base);
    Host &host = job.driver->environment().host;
    job.outcome = look_up(host, job.name(), job.family, job.port, &job.data);
}

static void deliver(UvJob &base) {
    auto &job = static_cast<ResolveJob &>(base);
    static_cast<Resolve *>(job.primitive)->data = job.data;
}

static void drop(UvJob &base) {
    auto &job = static_cast<ResolveJob &>(base);
    if (job.data != nullptr)
        job.driver->environment().host.free_load(job.data, static_cast<size_t>(job.outcome.result));
}

void UvDriver::start_resolve(Resolve &resolve) noexcept {
    Outcome outcome;
    resolve.data = nullptr;
    if (literal(environment_.host, resolve, &outcome, &resolve.data)) {
        resolve.complete(outcome);
        return;
    }
    size_t name = std::strlen(resolve.name) + 1;
    auto *job = make_job<ResolveJob>(resolve, name);
    if (job == nullptr)
        return;
    job->pool = &environment_.names;
    job->work = resolve_name;
    job->deliver = deliver;
    job->drop = drop;
    job->family = resolve.family;
    job->port = resolve.port;
    std::memcpy(job->name(), resolve.name, name);
    resolve.job = job;
    start_job(*job);
}

void UvDriver::cancel_resolve(Resolve &resolve) noexcept {
    cancel_job(*static_cast<ResolveJob *>(resolve.job), true);
}

} // namespace ferry::driver::uv
