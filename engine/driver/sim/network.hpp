// The simulated network's map: hosts, their addresses, the ways between them, and names.
#pragma once

#include "base/allocator.hpp"
#include "driver/sim/disk.hpp"
#include "driver/sim/random.hpp"

#include <ferry/address.h>
#include <ferry/sim.h>

#include <cstddef>
#include <cstdint>

namespace ferry::driver::sim {

struct SimSocket;
struct SimFile;
struct Job;

// Whether two addresses are of the same host; ports do not matter.
bool same_host(const ferry_address &one, const ferry_address &other) noexcept;
bool is_wildcard(const ferry_address &address) noexcept;
bool is_loopback(const ferry_address &address) noexcept;
ferry_address as_ipv6(const ferry_address &address) noexcept;

struct Machine {
    Machine(const Allocator &allocator, uint32_t its_number)
        : number(its_number), disk(allocator) {}

    const uint32_t number;
    char name[FERRY_SIM_NAME_MAX + 1] = "";
    ferry_address addresses[FERRY_SIM_ADDRESSES_MAX] = {};
    size_t address_count = 0;
    bool up = true;
    uint32_t crashes = 0;       // What was opened before the last one is dead.
    uint16_t next_port = 40000; // For who does not choose.
    Disk disk;
    uint64_t disk_latency_ns = 0;
    uint64_t disk_jitter_ns = 0;
    uint64_t disk_bytes_per_second = 0;

    bool has(const ferry_address &address) const noexcept;
    // Its address of that family; null if it has none.
    const ferry_address *address_of(uint16_t family) const noexcept;
};

// How a name resolves.
struct Name {
    Name *next = nullptr;
    ferry_address addresses[FERRY_SIM_ADDRESSES_MAX] = {};
    size_t count = 0;
    int32_t status = FERRY_OK;
    uint64_t delay_ns = 0;
    size_t size = 0; // Of the text, which lies behind, with its NUL.

    char *text() noexcept { return reinterpret_cast<char *>(this + 1); }
};

class Network {
  public:
    explicit Network(const Allocator &allocator) : allocator_(allocator) {}
    ~Network();
    Network(const Network &) = delete;
    Network &operator=(const Network &) = delete;

    // Localhost. FERRY_OK or FERRY_E_NO_MEMORY.
    ferry_status open() noexcept;

    uint32_t count() const noexcept { return count_; }
    Machine &machine(uint32_t number) const noexcept { return *machines_[number]; }
    // Null: there is no such.
    Machine *find(const ferry_address &address) const noexcept;
    Machine *find(const char *name, size_t size) const noexcept;

    // Arguments checked. As ferry_sim_add_host and so on.
    ferry_status add(const char *name, const ferry_address *addresses, size_t count,
                     uint32_t *number) noexcept;
    void set_link(uint32_t from, uint32_t to, const ferry_sim_link &link) noexcept;
    void partition(uint32_t one, uint32_t other, bool cut) noexcept;
    const ferry_sim_link &link(uint32_t from, uint32_t to) const noexcept {
        return links_[from * FERRY_SIM_HOSTS_MAX + to];
    }
    // Nothing gets from one to the other: the way is cut, or the other is down.
    bool silent(uint32_t from, uint32_t to) const noexcept {
        return link(from, to).cut != 0 || !machines_[to]->up;
    }
    // How long the next packet takes, and whether it is lost.
    uint64_t latency(uint32_t from, uint32_t to, Random &random) const noexcept;
    bool loses(uint32_t from, uint32_t to, Random &random) const noexcept;
    // How long it takes until it has come through, being sent again; lost: each time, and given up then.
    uint64_t delay(uint32_t from, uint32_t to, Random &random, bool *lost = nullptr) const noexcept;

    // Packets that do not get through are sent again after 200 ms (RFC 6298 section 2 allows less than its
    // second), twice that, ... up to two minutes, and given up after 924.6 s: what Linux does by default
    // (tcp_retries2 = 15).
    static constexpr uint64_t kRetryNs = 200'000'000;
    static constexpr uint64_t kRetryMaxNs = 120'000'000'000;
    static constexpr uint64_t kGiveUpNs = 924'600'000'000;

    ferry_status set_name(const char *name, const ferry_address *addresses, size_t count,
                          int32_t status, uint64_t delay_ns) noexcept;
    const Name *name(const char *name) const noexcept;

  private:
    bool taken(const ferry_address *addresses, size_t count) const noexcept;

    const Allocator &allocator_;
    Machine *machines_[FERRY_SIM_HOSTS_MAX] = {};
    uint32_t count_ = 0;
    ferry_sim_link *links_ = nullptr; // [from][to], as many as there may be.
    ferry_sim_link common_link_ = {};
    Name *names_ = nullptr;
};

} // namespace ferry::driver::sim
