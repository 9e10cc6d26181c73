// What calls on files do, a step at a time, and what is done to disks from outside the world.
#include "base/saturating.hpp"
#include "driver/sim/file.hpp"

#include <ferry/status.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ferry::driver::sim {

using Step = FileJob::Step;

// Most of one step.
static constexpr size_t kPieceMax = size_t{1} << 20;
static constexpr uint64_t kSecond = 1'000'000'000;
static constexpr Outcome kNotOpenedForThis = {.status = FERRY_E_ACCESS, .os_error = EBADF};

// ---- whose disk ---------------------------------------------------------------------------------

// "//name/..." is on that host's disk. Three slashes are one, as everywhere. Null: there is no such host.
Machine *SimDriver::find_disk(const char *path, const char **local) noexcept {
    *local = path;
    if (path[0] != '/' || path[1] != '/' || path[2] == '/' || path[2] == '\0')
        return &network_.machine(FERRY_SIM_LOCALHOST);
    size_t size = std::strcspn(path + 2, "/");
    *local = path[2 + size] != '\0' ? path + 2 + size : "/";
    return network_.find(path + 2, size);
}

// How long a call on the disk takes.
uint64_t SimDriver::disk_delay(const Machine &machine, uint64_t bytes) noexcept {
    uint64_t delay = machine.disk_latency_ns;
    if (machine.disk_jitter_ns != 0)
        delay = add_saturating(delay, random_.below(add_saturating(machine.disk_jitter_ns, 1)));
    if (machine.disk_bytes_per_second != 0)
        delay = add_saturating(delay, bytes * kSecond / machine.disk_bytes_per_second);
    return delay;
}

// ---- pieces -------------------------------------------------------------------------------------

Outcome SimDriver::read_now(SimFile &file, uint64_t offset, void *memory, size_t size) noexcept {
    if (file.dead())
        return failure(FERRY_E_IO);
    if ((file.flags & FERRY_OPEN_READ) == 0)
        return kNotOpenedForThis;
    bool moves = offset == FERRY_AT_POSITION;
    Outcome outcome =
        file.machine->disk.read(*file.node, moves ? file.position : offset, memory, size, now_ns());
    if (moves)
        file.position += static_cast<uint64_t>(outcome.result);
    return outcome;
}

Outcome SimDriver::write_now(SimFile &file, uint64_t offset, const void *data,
                             size_t size) noexcept {
    if (file.dead())
        return failure(FERRY_E_IO);
    if ((file.flags & FERRY_OPEN_WRITE) == 0)
        return kNotOpenedForThis;
    bool moves = offset == FERRY_AT_POSITION;
    if (moves)
        offset = file.position;
    if ((file.flags & FERRY_OPEN_APPEND) != 0)
        offset = Disk::size_of(*file.node);
    Outcome outcome = file.machine->disk.write(*file.node, offset, data, size, now_ns());
    if (moves && outcome.status == FERRY_OK)
        file.position = offset + static_cast<uint64_t>(outcome.result);
    return outcome;
}

// ---- steps --------------------------------------------------------------------------------------

// What meets the next step, and how long it takes.
uint64_t SimDriver::prepare(FileJob &job) noexcept {
    static constexpr uint32_t kCalls[] = {FERRY_SIM_OPEN,   FERRY_SIM_STAT,     FERRY_SIM_READ,
                                          FERRY_SIM_WRITE,  FERRY_SIM_TRUNCATE, FERRY_SIM_SYNC,
                                          FERRY_SIM_RENAME, FERRY_SIM_SYNC};
    job.verdict = meet(kCalls[static_cast<size_t>(job.step)], *job.machine, job.path);
    job.piece = 0;
    if (job.step == Step::read || job.step == Step::write) {
        uint64_t left = job.loads ? std::max(Disk::size_of(*job.node), job.done) : job.total;
        job.piece = static_cast<size_t>(std::min<uint64_t>(left - job.done, kPieceMax));
        job.piece = shortened(job.verdict, job.piece, random_);
    }
    return add_saturating(disk_delay(*job.machine, job.piece), job.verdict.delay_ns);
}

void SimDriver::run_steps(FileJob &job) noexcept {
    while (step(job)) {
        uint64_t delay = prepare(job);
        if (delay != 0 || !at_once()) {
            post(job, delay);
            return;
        }
    }
    end(job);
}

// False: it ends.
bool SimDriver::step(FileJob &job) noexcept {
    static constexpr const char *kNames[] = {"open",     "stat", "read",   "write",
                                             "truncate", "sync", "rename", "sync folder"};
    if (job.step == Step::end)
        return false;
    const char *name = kNames[static_cast<size_t>(job.step)];
    job.begun = true;
    job.outcome = job.machine->up ? job.verdict.fail : failure(FERRY_E_IO);
    bool more;
    if (job.loads)
        more = step_load(job);
    else if (job.is_store())
        more = step_store(job);
    else if (job.step == Step::read)
        more = read_step(job);
    else if (job.step == Step::write)
        more = write_step(job);
    else
        more = job.step == Step::open ? open_step(job) : other_step(job);
    trace_.line(now_ns(), "%s%s %s on %s: %s, %llu bytes done",
                job.loads        ? "load: "
                : job.is_store() ? "store: "
                                 : "",
                name, job.path, job.machine->name, ferry_status_name(job.outcome.status),
                static_cast<unsigned long long>(job.done));
    return more;
}

bool SimDriver::open_step(FileJob &job) noexcept {
    if (job.outcome.status != FERRY_OK)
        return false;
    SimFile &file = *job.file;
    file.machine = job.machine;
    file.crashes = job.machine->crashes;
    file.flags = job.call.open_flags;
    job.outcome =
        job.machine->disk.open(job.local, file.flags, job.call.mode, now_ns(), &file.node);
    return false;
}

// What is left of the host's next slice, at most as much as given.
static size_t next_part(FileJob &job, size_t most, char **memory) {
    while (job.slice_used == job.call.slices[job.slice].size) {
        ++job.slice;
        job.slice_used = 0;
    }
    const ferry_slice &slice = job.call.slices[job.slice];
    *memory = static_cast<char *>(slice.data) + job.slice_used;
    return static_cast<size_t>(std::min<uint64_t>(most, slice.size - job.slice_used));
}

static uint64_t place_of(const FileJob &job) {
    return job.call.offset == FERRY_AT_POSITION ? FERRY_AT_POSITION : job.call.offset + job.done;
}

// Short reads are repeated: only one of nothing is the end.
bool SimDriver::read_step(FileJob &job) noexcept {
    size_t left = job.piece;
    while (job.outcome.status == FERRY_OK && left != 0) {
        char *memory;
        size_t part = next_part(job, left, &memory);
        job.outcome = read_now(*job.file, place_of(job), memory, part);
        auto got = static_cast<size_t>(job.outcome.result);
        job.done += got;
        job.slice_used += got;
        left -= got;
        if (got < part)
            break;
    }
    job.outcome.result = static_cast<int64_t>(job.done);
    return job.outcome.status == FERRY_OK && left == 0 && job.done < job.total;
}

// What does not fit fails with the step that has nothing but that.
bool SimDriver::write_step(FileJob &job) noexcept {
    size_t left = job.piece;
    while (job.outcome.status == FERRY_OK && left != 0) {
        char *memory;
        size_t part = next_part(job, left, &memory);
        job.outcome = write_now(*job.file, place_of(job), memory, part);
        auto put = static_cast<size_t>(job.outcome.result);
        job.done += put;
        job.slice_used += put;
        left -= put;
        if (put < part)
            break;
    }
    job.outcome.result = static_cast<int64_t>(job.done);
    return job.outcome.status == FERRY_OK && job.done < job.total;
}

bool SimDriver::other_step(FileJob &job) noexcept {
    SimFile *file = job.file;
    Disk &disk = job.machine->disk;
    if (file != nullptr && file->dead())
        job.outcome = failure(FERRY_E_IO);
    if (job.outcome.status != FERRY_OK)
        return false;
    if (file == nullptr)
        job.outcome = disk.stat(job.local, job.call.info);
    else if (job.step == Step::sync)
        disk.sync(*file->node);
    else if (job.step == Step::truncate)
        job.outcome = (file->flags & FERRY_OPEN_WRITE) != 0
                          ? disk.truncate(*file->node, job.call.offset, now_ns())
                          : failure(FERRY_E_INVALID);
    else
        disk.stat(*file->node, job.call.info);
    if (job.step == Step::stat)
        job.call.info->device = job.machine->number + uint64_t{1};
    return false;
}

// ---- from outside the world ---------------------------------------------------------------------

void SimDriver::set_disk(uint32_t host, const ferry_sim_disk &disk) noexcept {
    for (uint32_t i = 0; i < network_.count(); ++i) {
        if (host != FERRY_SIM_EVERY && host != i)
            continue;
        Machine &machine = network_.machine(i);
        machine.disk.set_bytes_max(disk.bytes_max != 0 ? disk.bytes_max : Disk::kBytesMax);
        machine.disk_latency_ns = disk.latency_ns;
        machine.disk_jitter_ns = disk.jitter_ns;
        machine.disk_bytes_per_second = disk.bytes_per_second;
    }
}

ferry_status SimDriver::put_file(const char *path, const void *data, size_t size) noexcept {
    const char *local;
    Machine *machine = find_disk(path, &local);
    return machine != nullptr ? machine->disk.put(local, data, size, now_ns()).status
                              : FERRY_E_NOT_FOUND;
}

ferry_status SimDriver::get_file(const char *path, void *data, size_t capacity,
                                 size_t *size) noexcept {
    const char *local;
    Machine *machine = find_disk(path, &local);
    uint64_t its_size = 0;
    ferry_status status = machine != nullptr
                              ? machine->disk.get(local, data, capacity, &its_size).status
                              : FERRY_E_NOT_FOUND;
    *size = static_cast<size_t>(its_size);
    return status;
}

ferry_status SimDriver::remove_file(const char *path) noexcept {
    const char *local;
    Machine *machine = find_disk(path, &local);
    return machine != nullptr ? machine->disk.remove(local, now_ns()).status : FERRY_E_NOT_FOUND;
}

} // namespace ferry::driver::sim
