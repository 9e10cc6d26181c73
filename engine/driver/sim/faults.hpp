// Faults that were ordered, and what of them meets a call.
#pragma once

#include "base/allocator.hpp"
#include "driver/driver.hpp"
#include "driver/sim/random.hpp"

#include <ferry/sim.h>

#include <cstddef>
#include <cstdint>

namespace ferry::driver::sim {

// What meets one call.
struct Verdict {
    Outcome fail; // FERRY_OK: it does not fail.
    uint64_t delay_ns = 0;
    bool part = false;  // No more than a part of the bytes.
    bool reset = false; // The connection is reset.
    bool never = false; // No answer comes.
};

// A part of so many bytes, where a fault says so.
inline size_t shortened(const Verdict &verdict, size_t size, Random &random) noexcept {
    return verdict.part && size > 1 ? 1 + static_cast<size_t>(random.below(size - 1)) : size;
}

// The usual number of the system's for a status; 0: it has none.
int32_t usual_error(int32_t status) noexcept;
inline Outcome failure(int32_t status) noexcept {
    return {.status = status, .os_error = usual_error(status)};
}

class Faults {
  public:
    explicit Faults(const Allocator &allocator) : allocator_(allocator) {}
    ~Faults() { clear(); }
    Faults(const Faults &) = delete;
    Faults &operator=(const Faults &) = delete;

    // rule: checked. FERRY_OK or FERRY_E_NO_MEMORY.
    ferry_status add(const ferry_sim_fault &rule) noexcept;
    ferry_status add_chaos(uint32_t chance_ppm) noexcept;
    void clear() noexcept;
    bool empty() const noexcept { return first_ == nullptr; }

    // call: a FERRY_SIM_ bit. path: the path or name that it is about; null = none. "//host/" included.
    Verdict meet(uint32_t call, uint32_t host, const char *path, uint64_t now_ns,
                 Random &random) noexcept;

  private:
    struct Fault {
        Fault *next;
        ferry_sim_fault rule; // path: what lies behind this, or null.
        size_t path_size;
        uint64_t met;
        uint64_t struck;
    };
    static bool applies(const Fault &fault, uint32_t call, uint32_t host, const char *path,
                        uint64_t now_ns) noexcept;
    static bool strikes(Fault &fault, Random &random) noexcept;

    const Allocator &allocator_;
    Fault *first_ = nullptr;
    Fault **end_ = &first_;
};

} // namespace ferry::driver::sim
