#include "driver/sim/faults.hpp"

#include "base/saturating.hpp"

#include <cerrno>
#include <cstring>
#include <netdb.h>

namespace ferry::driver::sim {

int32_t usual_error(int32_t status) noexcept {
    static constexpr struct {
        int32_t status;
        int32_t error;
    } kErrors[] = {
        {FERRY_E_INVALID, EINVAL},
        {FERRY_E_NO_MEMORY, ENOMEM},
        {FERRY_E_NOT_FOUND, ENOENT},
        {FERRY_E_ACCESS, EACCES},
        {FERRY_E_EXISTS, EEXIST},
        {FERRY_E_NOT_DIRECTORY, ENOTDIR},
        {FERRY_E_IS_DIRECTORY, EISDIR},
        {FERRY_E_NO_SPACE, ENOSPC},
        {FERRY_E_NO_DESCRIPTORS, EMFILE},
        {FERRY_E_IO, EIO},
        {FERRY_E_NAME_TOO_LONG, ENAMETOOLONG},
        {FERRY_E_LOOP, ELOOP},
        {FERRY_E_READ_ONLY, EROFS},
        {FERRY_E_FILE_TOO_LARGE, EFBIG},
        {FERRY_E_CONNECTION_REFUSED, ECONNREFUSED},
        {FERRY_E_CONNECTION_RESET, ECONNRESET},
        {FERRY_E_CONNECTION_ABORTED, ECONNABORTED},
        {FERRY_E_CONNECTION_TIMED_OUT, ETIMEDOUT},
        {FERRY_E_BROKEN_PIPE, EPIPE},
        {FERRY_E_ADDRESS_IN_USE, EADDRINUSE},
        {FERRY_E_ADDRESS_NOT_AVAILABLE, EADDRNOTAVAIL},
        {FERRY_E_HOST_UNREACHABLE, EHOSTUNREACH},
        {FERRY_E_NETWORK_UNREACHABLE, ENETUNREACH},
        {FERRY_E_NETWORK_DOWN, ENETDOWN},
        {FERRY_E_NOT_CONNECTED, ENOTCONN},
        {FERRY_E_ADDRESS_FAMILY, EAFNOSUPPORT},
        {FERRY_E_NAME_NOT_FOUND, EAI_NONAME},
        {FERRY_E_NAME_TRY_AGAIN, EAI_AGAIN},
        {FERRY_E_NAME_FAILED, EAI_FAIL},
    };
    for (const auto &known : kErrors) {
        if (known.status == status)
            return known.error;
    }
    return 0;
}

ferry_status Faults::add(const ferry_sim_fault &rule) noexcept {
    size_t path_size = rule.path != nullptr ? std::strlen(rule.path) + 1 : 0;
    auto *fault = static_cast<Fault *>(allocator_.allocate(sizeof(Fault) + path_size));
    if (fault == nullptr)
        return FERRY_E_NO_MEMORY;
    *fault = {.next = nullptr, .rule = rule, .path_size = path_size, .met = 0, .struck = 0};
    if (rule.path != nullptr) {
        char *path = reinterpret_cast<char *>(fault + 1);
        std::memcpy(path, rule.path, path_size);
        fault->rule.path = path;
    }
    *end_ = fault;
    end_ = &fault->next;
    return FERRY_OK;
}

void Faults::clear() noexcept {
    while (Fault *fault = first_) {
        first_ = fault->next;
        allocator_.free(fault, sizeof(Fault) + fault->path_size);
    }
    end_ = &first_;
}

ferry_status Faults::add_chaos(uint32_t chance_ppm) noexcept {
    static constexpr uint32_t kBytes =
        FERRY_SIM_RECEIVE | FERRY_SIM_SEND | FERRY_SIM_READ | FERRY_SIM_WRITE;
    static constexpr uint32_t kOpens = FERRY_SIM_LISTEN | FERRY_SIM_ACCEPT | FERRY_SIM_CONNECT;
    static constexpr uint64_t kMs = 1'000'000;
    static constexpr struct {
        uint32_t calls;
        int32_t status;
        uint32_t flags;
        uint64_t delay_ns;
    } kTrouble[] = {
        {kBytes, FERRY_OK, FERRY_SIM_SHORT, 0},
        {0, FERRY_OK, 0, 20 * kMs},
        {0, FERRY_OK, 0, 2000 * kMs},
        {FERRY_SIM_RECEIVE | FERRY_SIM_SEND, FERRY_OK, FERRY_SIM_RESET, 0},
        {kOpens | FERRY_SIM_OPEN, FERRY_E_NO_DESCRIPTORS, 0, 0},
        {kOpens | FERRY_SIM_SEND | FERRY_SIM_OPEN, FERRY_E_NO_MEMORY, 0, 0},
        {FERRY_SIM_CONNECT, FERRY_E_CONNECTION_REFUSED, 0, 0},
        {FERRY_SIM_CONNECT, FERRY_E_CONNECTION_TIMED_OUT, 0, 120'000 * kMs},
        {FERRY_SIM_CONNECT, FERRY_E_HOST_UNREACHABLE, 0, 3000 * kMs},
        {FERRY_SIM_CONNECT | FERRY_SIM_RESOLVE, FERRY_OK, FERRY_SIM_NEVER, 0},
        {FERRY_SIM_WRITE | FERRY_SIM_TRUNCATE | FERRY_SIM_OPEN, FERRY_E_NO_SPACE, 0, 0},
        {FERRY_SIM_READ | FERRY_SIM_WRITE | FERRY_SIM_SYNC | FERRY_SIM_CLOSE, FERRY_E_IO, 0, 0},
        {FERRY_SIM_RENAME | FERRY_SIM_STAT, FERRY_E_IO, 0, 0},
        {FERRY_SIM_RESOLVE, FERRY_E_NAME_NOT_FOUND, 0, 0},
        {FERRY_SIM_RESOLVE, FERRY_E_NAME_TRY_AGAIN, 0, 5000 * kMs},
    };
    for (const auto &trouble : kTrouble) {
        ferry_sim_fault rule = {};
        rule.calls = trouble.calls;
        rule.host = FERRY_SIM_EVERY;
        rule.chance_ppm = chance_ppm;
        rule.status = trouble.status;
        rule.flags = trouble.flags;
        rule.delay_ns = trouble.delay_ns;
        if (ferry_status status = add(rule))
            return status;
    }
    return FERRY_OK;
}

bool Faults::applies(const Fault &fault, uint32_t call, uint32_t host, const char *path,
                     uint64_t now_ns) noexcept {
    const ferry_sim_fault &rule = fault.rule;
    if (rule.calls != 0 && (rule.calls & call) == 0)
        return false;
    if (rule.host != FERRY_SIM_EVERY && rule.host != host)
        return false;
    if (now_ns < rule.from_ns || (rule.until_ns != 0 && now_ns >= rule.until_ns))
        return false;
    if (rule.path == nullptr)
        return true;
    return path != nullptr && std::strncmp(path, rule.path, fault.path_size - 1) == 0;
}

bool Faults::strikes(Fault &fault, Random &random) noexcept {
    const ferry_sim_fault &rule = fault.rule;
    if (fault.met++ < rule.skip || (rule.times != 0 && fault.struck >= rule.times))
        return false;
    if (rule.chance_ppm != 0 && !random.chance(rule.chance_ppm))
        return false;
    ++fault.struck;
    return true;
}

Verdict Faults::meet(uint32_t call, uint32_t host, const char *path, uint64_t now_ns,
                     Random &random) noexcept {
    Verdict verdict;
    for (Fault *fault = first_; fault != nullptr; fault = fault->next) {
        if (!applies(*fault, call, host, path, now_ns) || !strikes(*fault, random))
            continue;
        const ferry_sim_fault &rule = fault->rule;
        if (rule.delay_ns != 0)
            verdict.delay_ns = add_saturating(verdict.delay_ns, 1 + random.below(rule.delay_ns));
        verdict.part = verdict.part || (rule.flags & FERRY_SIM_SHORT) != 0;
        verdict.reset = verdict.reset || (rule.flags & FERRY_SIM_RESET) != 0;
        verdict.never = verdict.never || (rule.flags & FERRY_SIM_NEVER) != 0;
        if (rule.status != FERRY_OK && verdict.fail.status == FERRY_OK) {
            verdict.fail = failure(rule.status);
            if (rule.os_error != 0)
                verdict.fail.os_error = rule.os_error;
        }
    }
    return verdict;
}

} // namespace ferry::driver::sim
