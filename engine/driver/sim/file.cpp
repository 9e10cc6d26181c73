// Files, and calls on them: beginning, ending, and ending early. What they do is in file_steps.cpp.
#include "driver/sim/file.hpp"

#include "base/saturating.hpp"

#include <ferry/status.h>

#include <cstring>

namespace ferry::driver::sim {

using Step = FileJob::Step;

// The driver's lists of files and jobs.
template <class T> static void link_in(T *&first, T &element) {
    element.next = first;
    element.link = &first;
    if (first != nullptr)
        first->link = &element.next;
    first = &element;
}

template <class T> static void unlink(T &element) {
    *element.link = element.next;
    if (element.next != nullptr)
        element.next->link = element.link;
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
    link_in(files_, *file);
    return file;
}

void SimDriver::free_file(SimFile &file) noexcept {
    if (file.node != nullptr)
        file.machine->disk.close(*file.node);
    unlink(file);
    drop(file.closing);
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
    trace_.line(now_ns(), "close %s on %s: %s", file.path(), file.machine->name,
                ferry_status_name(file.outcome.status));
    environment_.host.closed(file, file.outcome);
    free_file(file);
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
    link_in(file_jobs_, *job);
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
    begin_call(*job);
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
    begin_call(*job);
}

void SimDriver::begin_call(FileJob &job) noexcept {
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

// What it holds open. A store that has failed leaves nothing behind; one that was cut off by a crash does.
void SimDriver::free_file_job(FileJob &job) noexcept {
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
    free_file_job(job);
    unlink(job);
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
        free_file_job(*job);
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

// The engine goes: what nobody has waited for, and in a fork's child all that was under way.
void SimDriver::drop_files() noexcept {
    while (FileJob *job = file_jobs_) {
        job->primitive = nullptr;
        end(*job);
    }
    while (files_ != nullptr)
        free_file(*files_);
}

} // namespace ferry::driver::sim
