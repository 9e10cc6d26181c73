// Calls that block, on the engine's workers: what loads and file calls have in common.
//
// Life of a job:   make_job --> start_job --> [queued] --> work() on a worker --> [done] --> back on the
// shard's thread, in finish_jobs(): deliver(), or drop() if it was detached meanwhile --> freed
#pragma once

#include "driver/driver.hpp"
#include "driver/worker_pool.hpp"

#include <uv.h>

#include <atomic>

namespace ferry::driver::uv {

class UvDriver;

struct UvJob : Job {
    UvDriver *driver = nullptr;
    WorkerPool *pool = nullptr;     // Where it runs.
    Primitive *primitive = nullptr; // Null: nobody waits, or any more. The shard's thread only.
    Outcome outcome;
    void (*work)(UvJob &job) = nullptr;    // On a worker.
    void (*deliver)(UvJob &job) = nullptr; // Hand over what it brought; the outcome follows.
    void (*drop)(UvJob &job) = nullptr;    // Nobody wants what it brought.
    UvJob *next_done = nullptr;
    // Size of its block, what lies behind it included; 0: its drop() frees it.
    size_t block = 0;
};

// A whole-file load; the path lies behind it.
struct LoadJob final : UvJob {
    uint64_t size_max = 0;
    void *data = nullptr;
    int held = -1;      // Open already.
    bool again = false; // But it must be opened once more, which may wait for somebody.

    char *path() noexcept { return reinterpret_cast<char *>(this + 1); }
};

// An open file. It is the job that will close it, too: closing must not fail for want of memory.
struct UvFile final : File, UvJob {
    // -1 once it is being closed: a fork's child must not close whatever has its number by then.
    std::atomic<int> fd{-1};
    bool regular = false;     // It has a size and never keeps one waiting for somebody else.
    bool ring_blocks = false; // The kernel cannot write to it without blocking.
};

// A call on a file or a path; the path lies behind it.
struct CallJob final : UvJob {
    FileCall call;            // A copy: the operation may be gone when a worker looks.
    int fd = -1;              // Of the file, or of what was opened.
    UvFile *opened = nullptr; // open: its memory, so that what is open cannot fail any more.
    int held = -1;            // open: so long it stays open, whoever may write to it.
    ferry_file_info info;     // stat, path_stat.

    char *path() noexcept { return reinterpret_cast<char *>(this + 1); }
};

// A libuv file call made at once: its result, or a negative error.
template <class Call> ssize_t at_once(Call &&call) {
    ssize_t result;
    do {
        uv_fs_t request;
        call(&request);
        result = request.result;
        uv_fs_req_cleanup(&request);
    } while (result == UV_EINTR);
    return result;
}

} // namespace ferry::driver::uv
