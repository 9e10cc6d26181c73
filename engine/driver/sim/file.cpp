// Files: calls on them as steps in simulated time, and what is done to disks from outside the world.
#include "driver/sim/file.hpp"

#include "base/saturating.hpp"

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

// ---- open files ---------------------------------------------------------------------------------

SimFile *SimDriver::make_file(const char *path) noexcept {
    size_t path_size = std::strlen(path) + 1;
    void *memory = environment_.blocks.allocate(sizeof(SimFile) + path_size);
    if (memory == nullptr)
        return nullptr;
    auto *file = ::new (memory) SimFile();
    file->size = sizeof(SimFile) + path_size;
    std::memcpy(file->path(), path, path_size);
    return file;
}

void SimDriver::free_file(SimFile &file) noexcept {
    if (file.node != nullptr)
        file.machine->disk.close(*file.node);
    size_t size = file.size;
    file.~SimFile();
    environment_.blocks.free(&file, size);
}

// Always later, as the seam says, and whatever has become of the disk.
void SimDriver::close(File &file) noexcept {
    auto &closing = static_cast<SimFile &>(file);
    Verdict verdict = meet(FERRY_SIM_CLOSE, *closing.machine, closing.path());
    closing.outcome = verdict.fail;
    closing.closing.means<&SimDriver::finish_close>(closing);
    post(closing.closing, add_saturating(disk_delay(*closing.machine, 0), verdict.delay_ns));
}

void SimDriver::finish_close(SimFile &file) noexcept {
    trace_.line(now_ns(), "close %s on %s: status %d", file.path(), file.machine->name,
                file.outcome.status);
    environment_.host.closed(file, file.outcome);
    free_file(file);
}

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

// A part of a piece, where a fault says so.
static size_t shortened(const Verdict &verdict, size_t size, Random &random) {
    return verdict.part && size > 1 ? 1 + static_cast<size_t>(random.below(size - 1)) : size;
}

Outcome SimDriver::read_piece(SimFile &file, uint64_t offset, void *memory, size_t size) noexcept {
    Verdict verdict = meet(FERRY_SIM_READ, *file.machine, file.path());
    if (verdict.fail.status != FERRY_OK)
        return verdict.fail;
    return read_now(file, offset, memory, shortened(verdict, size, random_));
}

Outcome SimDriver::write_piece(SimFile &file, uint64_t offset, const void *data,
                               size_t size) noexcept {
    Verdict verdict = meet(FERRY_SIM_WRITE, *file.machine, file.path());
    if (verdict.fail.status != FERRY_OK)
        return verdict.fail;
    return write_now(file, offset, data, shortened(verdict, size, random_));
}

// ---- jobs ---------------------------------------------------------------------------------------

static Step first_step(const FileCall &call) {
    using What = FileCall::What;
    switch (call.what) {
    case What::read:
        return Step::read;
    case What::write:
        return Step::write;
    case What::stat:
    case What::path_stat:
        return Step::stat;
    case What::sync:
        return Step::sync;
    case What::truncate:
        return Step::truncate;
    default:
        return Step::open;
    }
}

FileJob *SimDriver::make_file_job(Primitive &primitive, const char *path) noexcept {
    size_t path_size = path != nullptr ? std::strlen(path) + 1 : 0;
    auto *job = make_job<FileJob>(primitive, path_size);
    if (job == nullptr)
        return nullptr;
    job->means<&SimDriver::run_steps>(*job);
    if (path != nullptr) {
        std::memcpy(job->own_path(), path, path_size);
        job->path = job->own_path();
        job->machine = find_disk(job->path, &job->local);
    }
    job->next = file_jobs_;
    job->link = &file_jobs_;
    if (job->next != nullptr)
        job->next->link = &job->next;
    file_jobs_ = job;
    return job;
}

void SimDriver::start_file(FileCall &call) noexcept {
    FileJob *job = make_file_job(call, call.path);
    if (job == nullptr)
        return;
    job->call = call;
    job->call.path = job->local;
    job->step = first_step(call);
    call.job = job;
    for (size_t i = 0; i < call.slice_count; ++i)
        job->total += call.slices[i].size;
    if (call.file != nullptr) {
        job->file = static_cast<SimFile *>(call.file);
        job->path = job->file->path();
        job->machine = job->file->machine;
    } else if (call.what == FileCall::What::open) {
        job->file = make_file(job->path);
    }
    if (call.what == FileCall::What::open && job->file == nullptr) {
        job->outcome = failure(FERRY_E_NO_MEMORY);
        end(*job);
        return;
    }
    begin(*job);
}

void SimDriver::start_load(FileLoad &load) noexcept {
    FileJob *job = make_file_job(load, load.path);
    if (job == nullptr)
        return;
    load.data = nullptr;
    load.job = job;
    job->loads = true;
    job->size_max = load.size_max;
    job->step = Step::open;
    begin(*job);
}

void SimDriver::begin(FileJob &job) noexcept {
    if (job.machine == nullptr) {
        job.outcome = failure(FERRY_E_NOT_FOUND);
        end(job);
        return;
    }
    uint64_t delay = prepare(job);
    if (delay == 0 && at_once())
        run_steps(job);
    else
        post(job, delay);
}

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
    trace_.line(now_ns(), "%s%s %s on %s: status %d, %llu bytes done",
                job.loads        ? "load: "
                : job.is_store() ? "store: "
                                 : "",
                name, job.path, job.machine->name, job.outcome.status,
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
    if (job.step == Step::sync) {
        disk.sync(*file->node);
    } else if (job.step == Step::truncate) {
        job.outcome = (file->flags & FERRY_OPEN_WRITE) != 0
                          ? disk.truncate(*file->node, job.call.offset, now_ns())
                          : failure(FERRY_E_INVALID);
    } else {
        ferry_file_info &info = *job.call.info;
        if (file != nullptr)
            disk.stat(*file->node, &info);
        else
            job.outcome = disk.stat(job.local, &info);
        info.device = job.machine->number + uint64_t{1};
    }
    return false;
}

// What it holds open. A store that has failed leaves nothing behind; one that was cut off by a crash does.
void SimDriver::release(FileJob &job) noexcept {
    if (job.data != nullptr)
        environment_.host.free_load(job.data, job.data_size);
    job.data = nullptr;
    if (job.temporary[0] != '\0' && job.machine->up)
        job.machine->disk.unlink(*job.folder, job.temporary, now_ns());
    job.temporary[0] = '\0';
    if (job.node != nullptr)
        job.machine->disk.close(*job.node);
    if (job.folder != nullptr)
        job.machine->disk.close(*job.folder);
    job.node = job.folder = nullptr;
    if (job.file != nullptr && job.call.what == FileCall::What::open)
        free_file(*job.file);
    job.file = nullptr;
}

void SimDriver::end(FileJob &job) noexcept {
    Primitive *primitive = job.primitive;
    Outcome outcome = job.outcome;
    if (primitive != nullptr && outcome.status == FERRY_OK && job.loads) {
        static_cast<FileLoad *>(primitive)->data = job.data;
        job.data = nullptr;
    } else if (primitive != nullptr && outcome.status == FERRY_OK &&
               job.call.what == FileCall::What::open) {
        static_cast<FileCall *>(primitive)->file = job.file;
        job.file = nullptr;
    }
    release(job);
    *job.link = job.next;
    if (job.next != nullptr)
        job.next->link = job.link;
    free_job(job);
    if (primitive != nullptr)
        primitive->complete(outcome);
}

// ---- ending early -------------------------------------------------------------------------------

// It ends as its outcome says, and nothing more is done. Now or later.
void SimDriver::withdraw(FileJob &job) noexcept {
    drop(job);
    job.step = Step::end;
    job.begun = true;
    if (at_once())
        end(job);
    else
        post(job, 0);
}

// What uses nothing of the host's need not be waited for: by chance it happens all the same, when nobody
// asks any more. What does ends early only if it has not begun, and that is left to chance, too: a real
// one may be on its way to the disk.
void SimDriver::cancel_file(FileCall &call) noexcept {
    auto &job = *static_cast<FileJob *>(call.job);
    if (job.detachable()) {
        if (job.step == Step::open && !job.begun && at_once()) {
            job.primitive = nullptr;
            call.complete({.status = FERRY_E_CANCELED});
            return;
        }
    } else if (job.begun || at_once()) {
        job.begun = true;
        return;
    }
    job.outcome = {.status = FERRY_E_CANCELED};
    withdraw(job);
}

void SimDriver::cancel_load(FileLoad &load) noexcept {
    auto &job = *static_cast<FileJob *>(load.job);
    job.outcome = {.status = FERRY_E_CANCELED};
    drop(job);
    end(job);
}

ferry_status SimDriver::crash_disk(Machine &machine) noexcept {
    for (FileJob *job = file_jobs_, *next; job != nullptr; job = next) {
        next = job->next;
        if (job->machine != &machine)
            continue;
        release(*job);
        job->outcome = failure(FERRY_E_IO);
        if (!job->loads && !job->is_store())
            job->outcome.result = static_cast<int64_t>(job->done);
        drop(*job);
        job->step = Step::end;
        job->begun = true;
        post(*job, 0);
    }
    machine.disk.crash(random_);
    return FERRY_OK;
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
