// Whole files: open, then read and close as one chain. statx is called on the loop: on an open descriptor
// it need not ask anybody, while the ring's would fall to a thread of the kernel's.
#include "driver/uring/uring_driver.hpp"
#include "driver/uv/status.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <new>

namespace ferry::driver::uring {

// The path lies behind it.
struct LoadSteps {
    FileLoad *load;
    size_t block;
    bool reading = false;
    bool unwanted = false; // It is to end early.
    char *data = nullptr;
    size_t size = 0;
    iovec parts[2] = {};
    char beyond =
        0; // Where to read once data is full: the file may have grown, or its size be old.
    Outcome outcome;

    char *path() noexcept { return reinterpret_cast<char *>(this + 1); }
};

// Without asking a server: what is old shows when it is read. (Not fstat: ThreadSanitizer watches that, and does
// not see the ring close the descriptor.)
static bool describe(int fd, struct statx *status) {
    constexpr int kFlags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
    return statx(fd, "", kFlags, STATX_TYPE | STATX_SIZE, status) == 0;
}

// Larger ones are read by a worker, in pieces.
static constexpr uint64_t kLoadMax = uint64_t{1} << 30;

void UringDriver::start_load(FileLoad &load) noexcept {
    if (!does(FERRY_RING_LOAD)) {
        UvDriver::start_load(load);
        return;
    }
    size_t path = std::strlen(load.path) + 1;
    size_t block = sizeof(LoadSteps) + path;
    void *memory = environment_.blocks.allocate(block);
    if (memory == nullptr) {
        load.complete({.status = FERRY_E_NO_MEMORY});
        return;
    }
    auto *steps = ::new (memory) LoadSteps{.load = &load, .block = block, .outcome = {}};
    std::memcpy(steps->path(), load.path, path);
    load.job = nullptr;
    load.steps = steps;
    io_uring_prep_openat(ring_.next(Tag::load, steps), AT_FDCWD, steps->path(),
                         O_RDONLY | O_CLOEXEC, 0);
}

// It is in the ring where it has no job.
void UringDriver::cancel_load(FileLoad &load) noexcept {
    if (load.job != nullptr) {
        UvDriver::cancel_load(load);
        return;
    }
    auto *steps = static_cast<LoadSteps *>(load.steps);
    steps->unwanted = true; // What the kernel has done already must not be gone on with.
    ring_.cancel(Tag::load, steps);
}

void UringDriver::load_step(LoadSteps &steps, int result) noexcept {
    if (!steps.reading) {
        if (result < 0)
            end_load(steps, failure_of(result));
        else
            load_opened(steps, result);
        return;
    }
    // The file is closed next, whatever this says.
    if (result < 0)
        steps.outcome = failure_of(result);
    else
        steps.outcome = {.result = result};
}

void UringDriver::load_opened(LoadSteps &steps, int fd) noexcept {
    if (steps.unwanted) {
        steps.reading = true;
        steps.outcome = {.status = FERRY_E_CANCELED};
        io_uring_prep_close(ring_.next(Tag::load_close, &steps), fd);
        return;
    }
    struct statx status = {};
    bool regular = describe(fd, &status) && S_ISREG(status.stx_mode);
    uint64_t size = status.stx_size;
    if (!regular || size == 0 || size > kLoadMax || size > steps.load->size_max) {
        // Empty, or a file of /proc that does not tell; a pipe, which has to be waited for; too large.
        FileLoad &load = *steps.load;
        environment_.blocks.free(&steps, steps.block);
        UvDriver::start_load(load, fd, S_ISFIFO(status.stx_mode));
        return;
    }
    void *memory;
    Outcome outcome = environment_.host.allocate_load(size, &memory);
    steps.reading = true;
    if (outcome.status == FERRY_OK) {
        steps.data = static_cast<char *>(memory);
        steps.size = size;
        steps.parts[0] = {memory, size};
        steps.parts[1] = {&steps.beyond, sizeof steps.beyond};
        io_uring_sqe *entry = ring_.next_of(2, Tag::load, &steps);
        io_uring_prep_readv(entry, fd, steps.parts, 2, 0);
        entry->flags |= IOSQE_IO_HARDLINK; // It is closed also when it could not be read.
    } else {
        steps.outcome = outcome;
    }
    io_uring_prep_close(ring_.next(Tag::load_close, &steps), fd);
}

// The block's size is what it will be freed by.
void UringDriver::load_closed(LoadSteps &steps) noexcept {
    Host &host = environment_.host;
    bool grown =
        steps.outcome.status == FERRY_OK && static_cast<size_t>(steps.outcome.result) > steps.size;
    if (grown && !steps.unwanted) {
        FileLoad &load = *steps.load;
        host.free_load(steps.data, steps.size);
        environment_.blocks.free(&steps, steps.block);
        UvDriver::start_load(load); // A worker reads it in pieces.
        return;
    }
    if (grown)
        steps.outcome = {.status = FERRY_E_CANCELED};
    Outcome outcome = steps.outcome;
    auto used = static_cast<size_t>(outcome.result);
    if (outcome.status == FERRY_OK && used < steps.size) {
        void *memory = nullptr;
        if (used != 0)
            outcome = host.allocate_load(used, &memory);
        if (memory != nullptr)
            std::memcpy(memory, steps.data, used);
        host.free_load(steps.data, steps.size);
        steps.data = static_cast<char *>(memory);
        steps.size = used;
        if (outcome.status == FERRY_OK)
            outcome.result = static_cast<int64_t>(used);
    }
    end_load(steps, outcome);
}

void UringDriver::end_load(LoadSteps &steps, const Outcome &outcome) noexcept {
    FileLoad &load = *steps.load;
    if (outcome.status == FERRY_OK)
        load.data = steps.data;
    else if (steps.data != nullptr)
        environment_.host.free_load(steps.data, steps.size);
    environment_.blocks.free(&steps, steps.block);
    load.complete(outcome);
}

} // namespace ferry::driver::uring
