// Whole files: loading one, and storing one so that its path always names the old file or the new one.
//
// The same steps as with a real driver, in the same order: a simulated store is worth testing only if it
// does what the real one does.
#include "driver/sim/file.hpp"

#include <ferry/status.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace ferry::driver::sim {

using Step = FileJob::Step;

static constexpr int kNamesTried = 16;
static constexpr uint32_t kUmask = 022;
static constexpr uint32_t kPermissions = 0666;

// ---- loading ------------------------------------------------------------------------------------

// Memory of this size, with what was read.
Outcome SimDriver::resize_load(FileJob &job, size_t size) noexcept {
    Host &host = environment_.host;
    void *memory = nullptr;
    if (size == job.data_size)
        return {};
    if (size > job.size_max)
        return {.status = FERRY_E_LIMIT};
    if (size != 0) {
        if (Outcome outcome = host.allocate_load(size, &memory); outcome.status != FERRY_OK)
            return outcome;
        if (job.done != 0)
            std::memcpy(memory, job.data, std::min<size_t>(size, job.done));
    }
    if (job.data != nullptr)
        host.free_load(job.data, job.data_size);
    job.data = static_cast<char *>(memory);
    job.data_size = size;
    return {};
}

// The file may grow and shrink meanwhile: what counts is where it ends when the end is reached.
bool SimDriver::step_load(FileJob &job) noexcept {
    Disk &disk = job.machine->disk;
    if (job.outcome.status != FERRY_OK)
        return false;
    if (job.step == Step::open) {
        job.outcome = disk.open(job.local, FERRY_OPEN_READ, 0, now_ns(), &job.node);
        if (job.outcome.status == FERRY_OK && Disk::size_of(*job.node) > job.size_max)
            job.outcome = {.status = FERRY_E_LIMIT};
        job.step = Step::read;
        return job.outcome.status == FERRY_OK;
    }
    auto size = static_cast<size_t>(Disk::size_of(*job.node));
    if (size > job.data_size)
        job.outcome = resize_load(job, size);
    if (job.outcome.status != FERRY_OK)
        return false;
    job.outcome =
        disk.read(*job.node, job.done, job.data + job.done,
                  std::min(job.piece, job.data_size - static_cast<size_t>(job.done)), now_ns());
    job.done += static_cast<uint64_t>(job.outcome.result);
    if (job.outcome.status != FERRY_OK || job.done < size)
        return job.outcome.status == FERRY_OK;
    job.outcome = resize_load(job, static_cast<size_t>(job.done));
    if (job.outcome.status == FERRY_OK)
        job.outcome.result = static_cast<int64_t>(job.done);
    return false;
}

// ---- storing ------------------------------------------------------------------------------------

// The temporary, beside what is there.
Outcome SimDriver::open_store(FileJob &job) noexcept {
    Disk &disk = job.machine->disk;
    Disk::Place place;
    if (Outcome outcome = disk.walk(job.local, &place); outcome.status != FERRY_OK)
        return outcome;
    if (place.node == nullptr && place.slash)
        return failure(FERRY_E_NOT_FOUND);
    if (place.node != nullptr && Disk::is_folder(*place.node))
        return failure(FERRY_E_IS_DIRECTORY);
    if (place.slash)
        return failure(FERRY_E_NOT_DIRECTORY);
    uint32_t permissions = (job.call.mode != 0 ? job.call.mode : kPermissions) & ~kUmask;
    if (job.call.mode == 0 && place.node != nullptr)
        permissions = Disk::permissions_of(*place.node);
    job.folder = place.folder;
    job.name = place.name;
    disk.open(*job.folder);
    Outcome outcome = failure(FERRY_E_EXISTS);
    for (int i = 0; i < kNamesTried && outcome.status == FERRY_E_EXISTS; ++i) {
        char name[sizeof job.temporary];
        std::snprintf(name, sizeof name, ".ferry-%016llx",
                      static_cast<unsigned long long>(random_.next()));
        outcome = disk.create(*job.folder, name, permissions, now_ns(), &job.node);
        if (outcome.status == FERRY_OK)
            std::memcpy(job.temporary, name, sizeof name);
    }
    return outcome;
}

Outcome SimDriver::write_store(FileJob &job) noexcept {
    const char *data = static_cast<const char *>(job.call.slices->data);
    Outcome outcome =
        job.machine->disk.write(*job.node, job.done, data + job.done, job.piece, now_ns());
    job.done += static_cast<uint64_t>(outcome.result);
    return outcome;
}

// All that may still fail must have failed before the temporary gets the name.
bool SimDriver::step_store(FileJob &job) noexcept {
    Disk &disk = job.machine->disk;
    if (job.outcome.status != FERRY_OK) {
        // The new file is there; whether it stays nobody knows.
        if (job.step == Step::sync_folder)
            job.outcome = {.status = FERRY_E_IO,
                           .os_error = job.outcome.os_error,
                           .result = static_cast<int64_t>(job.done)};
        return false;
    }
    switch (job.step) {
    case Step::open:
        job.outcome = open_store(job);
        job.step = job.total != 0 ? Step::write : Step::sync;
        break;
    case Step::write:
        job.outcome = write_store(job);
        job.step = job.done < job.total ? Step::write : Step::sync;
        break;
    case Step::sync:
        disk.sync(*job.node);
        job.step = Step::rename;
        break;
    case Step::rename:
        job.outcome = disk.rename(*job.folder, job.temporary, job.name, now_ns());
        if (job.outcome.status == FERRY_OK)
            job.temporary[0] = '\0';
        job.step = Step::sync_folder;
        break;
    default:
        disk.sync(*job.folder);
        job.outcome.result = static_cast<int64_t>(job.done);
        return false;
    }
    job.outcome.result = 0;
    return job.outcome.status == FERRY_OK;
}

} // namespace ferry::driver::sim
