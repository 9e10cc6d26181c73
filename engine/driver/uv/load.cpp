// Whole-file loads: each is one job.
#include "driver/uv/file_calls.hpp"
#include "driver/uv/status.hpp"
#include "driver/uv/uv_driver.hpp"

#include <ferry/status.h>

#include <sys/stat.h>

#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace ferry::driver::uv {

namespace {

// Memory that a file is read into; grows while the file does.
struct Growing {
    Host &host;
    char *data = nullptr;
    size_t size = 0;

    Outcome resize(size_t wanted) {
        void *memory;
        Outcome outcome = host.allocate_load(wanted, &memory);
        if (outcome.status != FERRY_OK)
            return outcome;
        if (data != nullptr)
            std::memcpy(memory, data, wanted < size ? wanted : size);
        drop();
        data = static_cast<char *>(memory);
        size = wanted;
        return {};
    }
    void drop() {
        if (data != nullptr)
            host.free_load(data, size);
        data = nullptr;
        size = 0;
    }
};

// Into the memory that is left and, what is more than that, beyond it.
ssize_t read_some(uv_file file, char *data, size_t size, char *beyond, size_t beyond_size) {
    constexpr size_t kMost = size_t{1} << 30;
    if (size > kMost) {
        size = kMost;
        beyond_size = 0;
    }
    uv_buf_t parts[2] = {uv_buf_init(data, static_cast<unsigned>(size)),
                         uv_buf_init(beyond, static_cast<unsigned>(beyond_size))};
    return at_once([&](uv_fs_t *r) {
        if (size == 0)
            uv_fs_read(nullptr, r, file, parts + 1, 1, -1, nullptr);
        else
            uv_fs_read(nullptr, r, file, parts, beyond_size != 0 ? 2 : 1, -1, nullptr);
    });
}

// What fstat says of its size is where to begin: files of /proc say 0, and a file may change meanwhile. A
// regular file that gives less than was asked for has ended, so most are read in one call.
Outcome read_all(uv_file file, bool regular, uint64_t expected, uint64_t size_max,
                 Growing &memory) {
    size_t used = 0;
    if (expected > size_max)
        return {.status = FERRY_E_LIMIT};
    if (expected > 0) {
        Outcome outcome = memory.resize(static_cast<size_t>(expected));
        if (outcome.status != FERRY_OK)
            return outcome;
    }
    for (bool ended = false; !ended;) {
        char beyond[4096];
        size_t room = memory.size - used;
        ssize_t got = read_some(file, memory.data + used, room, beyond, sizeof beyond);
        if (got < 0)
            return outcome_of(static_cast<int>(-got));
        auto bytes = static_cast<size_t>(got);
        ended = bytes == 0 || (regular && bytes == room);
        if (used + bytes > size_max)
            return {.status = FERRY_E_LIMIT};
        if (bytes > room) {
            size_t wanted = memory.size * 2 > used + bytes ? memory.size * 2 : used + bytes;
            if (wanted > size_max)
                wanted = static_cast<size_t>(size_max);
            Outcome outcome = memory.resize(wanted);
            if (outcome.status != FERRY_OK)
                return outcome;
            std::memcpy(memory.data + used + room, beyond, bytes - room);
        }
        used += bytes;
    }
    if (used == 0)
        memory.drop();
    else if (used < memory.size) {
        Outcome outcome = memory.resize(used); // The block's size is what it will be freed by.
        if (outcome.status != FERRY_OK)
            return outcome;
    }
    return {.result = static_cast<int64_t>(used)};
}

// What was opened without waiting is opened again if that would have had to; meanwhile it stays open.
ssize_t open_to_load(LoadJob &job) {
    if (job.held >= 0 && !job.again)
        return std::exchange(job.held, -1);
    ssize_t opened = at_once(
        [&](uv_fs_t *r) { uv_fs_open(nullptr, r, job.path(), O_RDONLY | O_CLOEXEC, 0, nullptr); });
    if (job.held >= 0)
        ::close(std::exchange(job.held, -1));
    return opened;
}

void load_file(UvJob &base) {
    auto &job = static_cast<LoadJob &>(base);
    ssize_t opened = open_to_load(job);
    if (opened < 0) {
        job.outcome = outcome_of(static_cast<int>(-opened));
        return;
    }
    auto file = static_cast<uv_file>(opened);
    uint64_t size = 0;
    bool regular = false;
    ssize_t error = at_once([&](uv_fs_t *r) {
        uv_fs_fstat(nullptr, r, file, nullptr);
        size = r->statbuf.st_size;
        regular = (r->statbuf.st_mode & S_IFMT) == S_IFREG;
    });
    Growing memory{job.driver->environment().host};
    job.outcome = error < 0 ? outcome_of(static_cast<int>(-error))
                            : read_all(file, regular, size, job.size_max, memory);
    close_file(file); // libuv's own call is one that TSan does not see: it would think it open.
    if (job.outcome.status == FERRY_OK)
        job.data = memory.data;
    else
        memory.drop();
}

void deliver(UvJob &base) {
    auto &job = static_cast<LoadJob &>(base);
    static_cast<FileLoad *>(job.primitive)->data = job.data;
}

void drop(UvJob &base) {
    auto &job = static_cast<LoadJob &>(base);
    if (job.held >= 0)
        ::close(job.held);
    if (job.data != nullptr)
        job.driver->environment().host.free_load(job.data, static_cast<size_t>(job.outcome.result));
}

} // namespace

void UvDriver::start_load(FileLoad &load) noexcept {
    start_load(load, -1, false);
}

void UvDriver::start_load(FileLoad &load, int held, bool again) noexcept {
    size_t path = std::strlen(load.path) + 1;
    auto *job = make_job<LoadJob>(load, path);
    if (job == nullptr) {
        if (held >= 0)
            ::close(held);
        return;
    }
    job->held = held;
    job->again = again;
    job->work = load_file;
    job->deliver = deliver;
    job->drop = drop;
    job->size_max = load.size_max;
    std::memcpy(job->path(), load.path, path);
    load.job = job;
    start_job(*job);
}

void UvDriver::cancel_load(FileLoad &load) noexcept {
    cancel_job(*static_cast<LoadJob *>(load.job), true);
}

} // namespace ferry::driver::uv
