// The calls of sim.h: arguments are checked here, the rest is the simulated driver's.
#include "driver/sim/sim_driver.hpp"
#include "objects.hpp"
#include "runtime/shard.hpp"

#include <ferry/name.h>
#include <ferry/sim.h>

#include <cstring>

using namespace ferry;
using driver::sim::Machine;
using driver::sim::SimDriver;

static constexpr uint32_t kCalls = FERRY_SIM_CLOSE * 2 - 1;
static constexpr uint32_t kFlags = FERRY_SIM_SHORT | FERRY_SIM_RESET | FERRY_SIM_NEVER;
static constexpr uint32_t kMillion = 1'000'000;
static constexpr size_t kTraceMax = size_t{1} << 30;

static ferry_status find_world(ferry_engine *engine, SimDriver **world) {
    ferry_status status = capi::check(engine);
    return status == FERRY_OK ? engine->engine.simulated(world) : status;
}

// The world, and that its host is there.
static ferry_status find_host(ferry_engine *engine, uint32_t host, bool or_every,
                              SimDriver **world) {
    ferry_status status = find_world(engine, world);
    if (status != FERRY_OK || (or_every && host == FERRY_SIM_EVERY))
        return status;
    return host < (*world)->network().count() ? FERRY_OK : FERRY_E_NOT_FOUND;
}

// 0: it is none, or too long.
static size_t size_of_name(const char *name, size_t most) {
    if (name == nullptr)
        return 0;
    size_t size = strnlen(name, most + 1);
    return size <= most ? size : 0;
}

static bool are_addresses(const ferry_address *addresses, size_t count) {
    if (count > FERRY_SIM_ADDRESSES_MAX || (addresses == nullptr && count != 0))
        return false;
    for (size_t i = 0; i < count; ++i) {
        if (addresses[i].family != FERRY_IPV4 && addresses[i].family != FERRY_IPV6)
            return false;
    }
    return true;
}

// ---- time ---------------------------------------------------------------------------------------

ferry_status ferry_sim_now(ferry_engine *engine, uint64_t *now_out) {
    if (now_out == nullptr)
        return FERRY_E_INVALID;
    *now_out = 0;
    ferry_status status = capi::check(engine);
    if (status != FERRY_OK)
        return status;
    driver::Driver &driver = engine->engine.shard(0).driver();
    if (driver.simulated() == nullptr)
        return FERRY_E_UNSUPPORTED;
    *now_out = driver.now_ns();
    return FERRY_OK;
}

ferry_status ferry_sim_advance(ferry_engine *engine, uint64_t duration_ns) {
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    if (status == FERRY_OK)
        world->advance(duration_ns);
    return status;
}

// ---- hosts and the network ----------------------------------------------------------------------

static bool any_wildcard(const ferry_address *addresses, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        if (driver::sim::is_wildcard(addresses[i]))
            return true;
    }
    return false;
}

ferry_status ferry_sim_add_host(ferry_engine *engine, const char *name,
                                const ferry_address *addresses, size_t count, uint32_t *host_out) {
    if (size_of_name(name, FERRY_SIM_NAME_MAX) == 0 || std::strchr(name, '/') != nullptr ||
        count == 0 || !are_addresses(addresses, count) || any_wildcard(addresses, count))
        return FERRY_E_INVALID;
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    return status == FERRY_OK ? world->network().add(name, addresses, count, host_out) : status;
}

ferry_status ferry_sim_set_link(ferry_engine *engine, uint32_t from, uint32_t to,
                                const ferry_sim_link *link) {
    if (link == nullptr || link->struct_size < sizeof *link || link->cut > 1 ||
        link->loss_ppm > kMillion)
        return FERRY_E_INVALID;
    SimDriver *world;
    ferry_status status = find_host(engine, from, true, &world);
    if (status == FERRY_OK)
        status = find_host(engine, to, true, &world);
    if (status == FERRY_OK && link->reserved != 0)
        status = FERRY_E_UNSUPPORTED;
    if (status != FERRY_OK)
        return status;
    world->network().set_link(from, to, *link);
    world->network_changed();
    return FERRY_OK;
}

ferry_status ferry_sim_partition(ferry_engine *engine, uint32_t one, uint32_t other, bool cut) {
    SimDriver *world;
    ferry_status status = find_host(engine, one, true, &world);
    if (status == FERRY_OK)
        status = find_host(engine, other, true, &world);
    if (status == FERRY_OK)
        world->partition(one, other, cut);
    return status;
}

ferry_status ferry_sim_set_name(ferry_engine *engine, const char *name,
                                const ferry_address *addresses, size_t count,
                                ferry_status name_status, uint64_t delay_ns) {
    bool fails = name_status == FERRY_E_NAME_NOT_FOUND || name_status == FERRY_E_NAME_TRY_AGAIN ||
                 name_status == FERRY_E_NAME_FAILED;
    if (size_of_name(name, FERRY_NAME_MAX) == 0 || !are_addresses(addresses, count) ||
        (count == 0 ? !fails : name_status != FERRY_OK))
        return FERRY_E_INVALID;
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    if (status != FERRY_OK)
        return status;
    return world->network().set_name(name, addresses, count, name_status, delay_ns);
}

ferry_status ferry_sim_crash(ferry_engine *engine, uint32_t host) {
    SimDriver *world;
    ferry_status status = find_host(engine, host, false, &world);
    if (status != FERRY_OK)
        return status;
    Machine &machine = world->network().machine(host);
    return machine.up ? world->crash(machine) : FERRY_E_BUSY;
}

ferry_status ferry_sim_restart(ferry_engine *engine, uint32_t host) {
    SimDriver *world;
    ferry_status status = find_host(engine, host, false, &world);
    if (status != FERRY_OK)
        return status;
    Machine &machine = world->network().machine(host);
    if (machine.up)
        return FERRY_E_BUSY;
    world->restart(machine);
    return FERRY_OK;
}

// ---- disks --------------------------------------------------------------------------------------

ferry_status ferry_sim_set_disk(ferry_engine *engine, uint32_t host, const ferry_sim_disk *disk) {
    if (disk == nullptr || disk->struct_size < sizeof *disk)
        return FERRY_E_INVALID;
    SimDriver *world;
    ferry_status status = find_host(engine, host, true, &world);
    if (status == FERRY_OK && disk->reserved != 0)
        status = FERRY_E_UNSUPPORTED;
    if (status == FERRY_OK)
        world->set_disk(host, *disk);
    return status;
}

ferry_status ferry_sim_put_file(ferry_engine *engine, const char *path, const void *data,
                                size_t size) {
    if (path == nullptr || (data == nullptr && size != 0))
        return FERRY_E_INVALID;
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    return status == FERRY_OK ? world->put_file(path, data, size) : status;
}

ferry_status ferry_sim_get_file(ferry_engine *engine, const char *path, void *data, size_t capacity,
                                size_t *size_out) {
    if (path == nullptr || (data == nullptr && capacity != 0))
        return FERRY_E_INVALID;
    size_t size = 0;
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    if (status == FERRY_OK)
        status = world->get_file(path, data, capacity, &size);
    if (size_out != nullptr)
        *size_out = size;
    return status;
}

ferry_status ferry_sim_remove_file(ferry_engine *engine, const char *path) {
    if (path == nullptr)
        return FERRY_E_INVALID;
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    return status == FERRY_OK ? world->remove_file(path) : status;
}

// ---- faults -------------------------------------------------------------------------------------

static ferry_status check_fault(const ferry_sim_fault &fault) {
    if ((fault.calls & ~kCalls) != 0 || (fault.flags & ~kFlags) != 0 || fault.reserved != 0)
        return FERRY_E_UNSUPPORTED;
    bool of_system = fault.status <= FERRY_E_OS && fault.status > FERRY_E_INTERNAL;
    if (fault.status != FERRY_OK && fault.status != FERRY_E_NO_MEMORY && !of_system)
        return FERRY_E_INVALID;
    return fault.chance_ppm <= kMillion ? FERRY_OK : FERRY_E_INVALID;
}

ferry_status ferry_sim_add_fault(ferry_engine *engine, const ferry_sim_fault *fault) {
    if (fault == nullptr || fault->struct_size < sizeof *fault)
        return FERRY_E_INVALID;
    SimDriver *world;
    ferry_status status = find_host(engine, fault->host, true, &world);
    if (status == FERRY_OK)
        status = check_fault(*fault);
    return status == FERRY_OK ? world->faults().add(*fault) : status;
}

ferry_status ferry_sim_add_chaos(ferry_engine *engine, uint32_t chance_ppm) {
    if (chance_ppm > kMillion)
        return FERRY_E_INVALID;
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    if (status != FERRY_OK || chance_ppm == 0)
        return status;
    return world->faults().add_chaos(chance_ppm);
}

ferry_status ferry_sim_clear_faults(ferry_engine *engine) {
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    if (status == FERRY_OK)
        world->faults().clear();
    return status;
}

// ---- the trace ----------------------------------------------------------------------------------

ferry_status ferry_sim_keep_trace(ferry_engine *engine, size_t bytes_max) {
    if (bytes_max > kTraceMax)
        return FERRY_E_INVALID;
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    return status == FERRY_OK ? world->trace().keep(bytes_max) : status;
}

ferry_status ferry_sim_read_trace(ferry_engine *engine, char *text, size_t capacity,
                                  size_t *size_out) {
    if (size_out == nullptr || (text == nullptr && capacity != 0))
        return FERRY_E_INVALID;
    *size_out = 0;
    SimDriver *world;
    ferry_status status = find_world(engine, &world);
    if (status == FERRY_OK)
        *size_out = world->trace().read(text, capacity);
    return status;
}
