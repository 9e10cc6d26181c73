#include "driver/sim/network.hpp"

#include "base/saturating.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <strings.h>

namespace ferry::driver::sim {

static constexpr uint64_t kLatencyNs = 50'000;

bool same_host(const ferry_address &one, const ferry_address &other) noexcept {
    return one.family == other.family && std::memcmp(one.bytes, other.bytes, sizeof one.bytes) == 0;
}

bool is_wildcard(const ferry_address &address) noexcept {
    static constexpr uint8_t kNone[16] = {};
    return std::memcmp(address.bytes, kNone, sizeof kNone) == 0;
}

bool is_loopback(const ferry_address &address) noexcept {
    static constexpr uint8_t kOne[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return address.family == FERRY_IPV4 ? address.bytes[0] == 127
                                        : std::memcmp(address.bytes, kOne, sizeof kOne) == 0;
}

// How a socket of IPv6 tells of an address of IPv4 (RFC 4291, 2.5.5.2).
ferry_address as_ipv6(const ferry_address &address) noexcept {
    if (address.family != FERRY_IPV4)
        return address;
    ferry_address mapped = {};
    mapped.family = FERRY_IPV6;
    mapped.port = address.port;
    mapped.bytes[10] = mapped.bytes[11] = 0xff;
    std::memcpy(mapped.bytes + 12, address.bytes, 4);
    return mapped;
}

// ---- hosts --------------------------------------------------------------------------------------

// All of 127.0.0.0/8 is localhost's, as with Linux.
bool Machine::has(const ferry_address &address) const noexcept {
    if (number == FERRY_SIM_LOCALHOST && is_loopback(address))
        return true;
    for (size_t i = 0; i < address_count; ++i) {
        if (same_host(addresses[i], address))
            return true;
    }
    return false;
}

const ferry_address *Machine::address_of(uint16_t family) const noexcept {
    for (size_t i = 0; i < address_count; ++i) {
        if (addresses[i].family == family)
            return &addresses[i];
    }
    return nullptr;
}

Network::~Network() {
    while (Name *name = names_) {
        names_ = name->next;
        allocator_.free(name, sizeof(Name) + name->size);
    }
    for (uint32_t i = 0; i < count_; ++i)
        allocator_.destroy(machines_[i]);
    allocator_.free_array(links_, size_t{FERRY_SIM_HOSTS_MAX} * FERRY_SIM_HOSTS_MAX);
}

ferry_status Network::open() noexcept {
    // Untouched memory costs nothing.
    links_ = allocator_.allocate_array<ferry_sim_link>(size_t{FERRY_SIM_HOSTS_MAX} *
                                                       FERRY_SIM_HOSTS_MAX);
    if (links_ == nullptr)
        return FERRY_E_NO_MEMORY;
    common_link_.struct_size = sizeof common_link_;
    common_link_.latency_ns = kLatencyNs;
    ferry_address both[2] = {};
    both[0].family = FERRY_IPV4;
    both[0].bytes[0] = 127;
    both[0].bytes[3] = 1;
    both[1].family = FERRY_IPV6;
    both[1].bytes[15] = 1;
    return add("localhost", both, 2, nullptr);
}

Machine *Network::find(const ferry_address &address) const noexcept {
    for (uint32_t i = 0; i < count_; ++i) {
        if (machines_[i]->has(address))
            return machines_[i];
    }
    return nullptr;
}

Machine *Network::find(const char *name, size_t size) const noexcept {
    for (uint32_t i = 0; i < count_; ++i) {
        if (std::strlen(machines_[i]->name) == size &&
            std::memcmp(machines_[i]->name, name, size) == 0)
            return machines_[i];
    }
    return nullptr;
}

bool Network::taken(const ferry_address *addresses, size_t count) const noexcept {
    for (size_t i = 0; i < count; ++i) {
        if (find(addresses[i]) != nullptr)
            return true;
        for (size_t j = 0; j < i; ++j) {
            if (same_host(addresses[i], addresses[j]))
                return true;
        }
    }
    return false;
}

ferry_status Network::add(const char *name, const ferry_address *addresses, size_t count,
                          uint32_t *number) noexcept {
    if (count_ == FERRY_SIM_HOSTS_MAX)
        return FERRY_E_LIMIT;
    if (find(name, std::strlen(name)) != nullptr)
        return FERRY_E_EXISTS;
    if (taken(addresses, count))
        return FERRY_E_ADDRESS_IN_USE;
    auto *machine = allocator_.create<Machine>(allocator_, count_);
    if (machine == nullptr)
        return FERRY_E_NO_MEMORY;
    ferry_status status = machine->disk.open();
    if (status == FERRY_OK)
        status = set_name(name, addresses, count, FERRY_OK, 0);
    if (status != FERRY_OK) {
        allocator_.destroy(machine);
        return status;
    }
    std::memcpy(machine->name, name, std::strlen(name) + 1);
    for (size_t i = 0; i < count; ++i) {
        machine->addresses[i] = addresses[i];
        machine->addresses[i].port = 0;
    }
    machine->address_count = count;
    for (uint32_t i = 0; i <= count_; ++i) {
        links_[i * FERRY_SIM_HOSTS_MAX + count_] = common_link_;
        links_[count_ * FERRY_SIM_HOSTS_MAX + i] = common_link_;
    }
    machines_[count_] = machine;
    if (number != nullptr)
        *number = count_;
    ++count_;
    return FERRY_OK;
}

// ---- links --------------------------------------------------------------------------------------

void Network::set_link(uint32_t from, uint32_t to, const ferry_sim_link &link) noexcept {
    bool all_from = from == FERRY_SIM_EVERY;
    bool all_to = to == FERRY_SIM_EVERY;
    if (all_from && all_to)
        common_link_ = link; // Hosts that come later have it, too.
    for (uint32_t i = all_from ? 0 : from; i < (all_from ? count_ : from + 1); ++i) {
        for (uint32_t j = all_to ? 0 : to; j < (all_to ? count_ : to + 1); ++j)
            links_[i * FERRY_SIM_HOSTS_MAX + j] = link;
    }
}

void Network::partition(uint32_t one, uint32_t other, bool cut) noexcept {
    bool every = one == FERRY_SIM_EVERY || other == FERRY_SIM_EVERY;
    for (uint32_t i = 0; i < count_; ++i) {
        for (uint32_t j = 0; j < count_; ++j) {
            bool there =
                (one == FERRY_SIM_EVERY || one == i) && (other == FERRY_SIM_EVERY || other == j);
            if (!there || (every && i == j))
                continue;
            links_[i * FERRY_SIM_HOSTS_MAX + j].cut = cut;
            links_[j * FERRY_SIM_HOSTS_MAX + i].cut = cut;
        }
    }
}

uint64_t Network::latency(uint32_t from, uint32_t to, Random &random) const noexcept {
    const ferry_sim_link &way = link(from, to);
    uint64_t jitter = way.jitter_ns != 0 ? random.below(way.jitter_ns) : 0;
    return add_saturating(way.latency_ns, jitter);
}

bool Network::loses(uint32_t from, uint32_t to, Random &random) const noexcept {
    uint32_t loss_ppm = link(from, to).loss_ppm;
    return loss_ppm != 0 && random.chance(loss_ppm);
}

uint64_t Network::delay(uint32_t from, uint32_t to, Random &random, bool *lost) const noexcept {
    uint64_t late = 0;
    for (uint64_t again = kRetryNs; late < kGiveUpNs && loses(from, to, random);) {
        late += again;
        again = std::min(again * 2, kRetryMaxNs);
    }
    if (lost != nullptr)
        *lost = late >= kGiveUpNs;
    return add_saturating(latency(from, to, random), late);
}

// ---- names --------------------------------------------------------------------------------------

ferry_status Network::set_name(const char *text, const ferry_address *addresses, size_t count,
                               int32_t status, uint64_t delay_ns) noexcept {
    auto *entry = const_cast<Name *>(name(text));
    if (entry == nullptr) {
        size_t size = std::strlen(text) + 1;
        void *memory = allocator_.allocate(sizeof(Name) + size);
        if (memory == nullptr)
            return FERRY_E_NO_MEMORY;
        entry = ::new (memory) Name();
        entry->size = size;
        std::memcpy(entry->text(), text, size);
        entry->next = names_;
        names_ = entry;
    }
    for (size_t i = 0; i < count; ++i)
        entry->addresses[i] = addresses[i];
    entry->count = count;
    entry->status = status;
    entry->delay_ns = delay_ns;
    return FERRY_OK;
}

const Name *Network::name(const char *text) const noexcept {
    for (Name *at = names_; at != nullptr; at = at->next) {
        if (strcasecmp(at->text(), text) == 0) // RFC 4343
            return at;
    }
    return nullptr;
}

} // namespace ferry::driver::sim
