// Files in the ring: what the kernel can do at once, or without a thread of its own.
//
// What it would hand to one goes to our workers, where it can be counted: files that are made or cut when
// opened, syncs, and writes on file systems that can only block.
#include "driver/uring/uring_driver.hpp"
#include "driver/uv/file_calls.hpp"
#include "driver/uv/status.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace ferry::driver::uring {

using uv::UvFile;
using What = FileCall::What;

// Most bytes of one entry.
static constexpr uint64_t kCallMax = uint64_t{1} << 30;

static bool fits(const FileCall &call) {
    uint64_t size = 0;
    for (size_t i = 0; i < call.slice_count; ++i) {
        if (call.slices[i].size > kCallMax - size)
            return false;
        size += call.slices[i].size;
    }
    return size != 0;
}

// A pipe opened so waits for nobody.
static bool opens_both_ends(const FileCall &call) {
    return (call.open_flags & FERRY_OPEN_READ) != 0 && (call.open_flags & FERRY_OPEN_WRITE) != 0;
}

static bool opens_only(const FileCall &call) {
    return (call.open_flags & (FERRY_OPEN_CREATE | FERRY_OPEN_TRUNCATE)) == 0;
}

// Writing to a pipe without a reader would signal the thread that owns the ring, which may be the host's, and what
// waits for somebody else in a pipe or a terminal is the same on both ways.
bool UringDriver::in_ring(const FileCall &call) const noexcept {
    switch (call.what) {
    case What::open:
        return does(FERRY_RING_OPEN) && opens_only(call);
    case What::read:
        return does(FERRY_RING_READ) && uv::own(*call.file).regular && fits(call);
    case What::write: {
        const UvFile &file = uv::own(*call.file);
        return does(FERRY_RING_WRITE) && file.regular && !file.ring_blocks && fits(call);
    }
    default:
        return false;
    }
}

void UringDriver::start_file(FileCall &call) noexcept {
    if (!in_ring(call)) {
        UvDriver::start_file(call);
        return;
    }
    call.job = nullptr;
    call.done = 0;
    call.unwanted = false;
    if (call.what == What::open && (call.file = make_file()) == nullptr)
        call.complete({.status = FERRY_E_NO_MEMORY});
    else
        arm_call(call);
}

// It is in the ring where it has no job.
void UringDriver::cancel_file(FileCall &call) noexcept {
    if (call.job != nullptr) {
        UvDriver::cancel_file(call);
        return;
    }
    call.unwanted = true; // What the kernel has done already must not be gone on with.
    ring_.cancel(Tag::file, &call);
}

// What is left of the slices, read or written.
void UringDriver::arm_transfer(FileCall &call, int fd) noexcept {
    const ferry_slice *at = call.slices;
    const ferry_slice *end = at + call.slice_count;
    uint64_t used = call.done;
    while (used >= at->size) // Not all of them: there is something left.
        used -= at++->size;
    uint64_t offset = call.offset == FERRY_AT_POSITION ? UINT64_MAX : call.offset + call.done;
    bool write = call.what == What::write;
    int flags = write ? RWF_NOWAIT : 0;
    if (end - at == 1) {
        char *data = static_cast<char *>(at->data) + used;
        auto size = static_cast<unsigned>(at->size - used);
        io_uring_sqe *entry = ring_.next(Tag::file, &call);
        io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, entry, fd, data, size, offset);
        entry->rw_flags = flags;
        return;
    }
    auto count = static_cast<unsigned>(end - at);
    void *memory;
    io_uring_sqe *entry = ring_.next(Tag::file, &call, count * sizeof(iovec), &memory);
    auto *parts = static_cast<iovec *>(memory);
    for (unsigned i = 0; i < count; ++i)
        parts[i] = {at[i].data, at[i].size};
    parts[0] = {static_cast<char *>(at->data) + used, at->size - used};
    io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, entry, fd, parts, count, offset);
    entry->rw_flags = flags;
}

void UringDriver::arm_call(FileCall &call) noexcept {
    if (call.what == What::open) {
        int flags = uv::open_flags(call.open_flags);
        mode_t mode = call.mode != 0 ? call.mode : 0666;
        io_uring_prep_openat(ring_.next(Tag::file, &call), AT_FDCWD, call.path, flags, mode);
        return;
    }
    arm_transfer(call, uv::own(*call.file).fd.load(std::memory_order_relaxed));
}

void UringDriver::called(FileCall &call, int result) noexcept {
    bool again = result == -EINTR || result == -EAGAIN || result == -EOPNOTSUPP;
    if (call.unwanted && again)
        result = -ECANCELED;
    if (result == -EINTR) {
        arm_call(call);
    } else if (call.what == What::open) {
        opened(call, result);
    } else if (result == -ECANCELED) {
        call.complete({.status = FERRY_E_CANCELED, .result = static_cast<int64_t>(call.done)});
    } else if (call.what == What::write && (result == -EAGAIN || result == -EOPNOTSUPP)) {
        uv::own(*call.file).ring_blocks = true;
        UvDriver::start_file(call); // A worker goes on with it.
    } else if (result < 0) {
        call.complete(uv::file_failure(-result, static_cast<int64_t>(call.done)));
    } else {
        moved(call, static_cast<uint64_t>(result));
    }
}

// A read that gets less than it asked for has come to the end; a write goes on.
void UringDriver::moved(FileCall &call, uint64_t bytes) noexcept {
    call.done += bytes;
    uint64_t wanted = 0;
    for (size_t i = 0; i < call.slice_count; ++i)
        wanted += call.slices[i].size;
    if (call.what != What::write || call.done == wanted)
        call.complete({.result = static_cast<int64_t>(call.done)});
    else if (call.unwanted)
        call.complete({.status = FERRY_E_CANCELED, .result = static_cast<int64_t>(call.done)});
    else if (bytes == 0)
        call.complete(uv::file_failure(EIO, static_cast<int64_t>(call.done)));
    else
        arm_call(call);
}

// What the kernel opens without blocking it opens as if nobody had to be waited for: a pipe then has no other
// end. A worker opens it once more; meanwhile it stays open, so that who came finds a reader.
void UringDriver::opened(FileCall &call, int result) noexcept {
    UvFile &file = uv::own(*call.file);
    // Not fstat: ThreadSanitizer watches that, and does not see the ring close the descriptor.
    struct statx status = {};
    if (result >= 0)
        statx(result, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status);
    bool pipe = result == -ENXIO || (S_ISFIFO(status.stx_mode) && !opens_both_ends(call));
    if (result < 0 || pipe) {
        uv::free_file(file);
        call.file = nullptr;
    }
    if (pipe && call.unwanted) {
        if (result >= 0)
            ::close(result);
        call.complete({.status = FERRY_E_CANCELED});
    } else if (pipe) {
        UvDriver::start_file(call, result >= 0 ? result : -1);
    } else if (result < 0) {
        call.complete(failure_of(result));
    } else {
        file.fd.store(result, std::memory_order_relaxed);
        file.regular = S_ISREG(status.stx_mode);
        call.complete({});
    }
}

// ---- closing ------------------------------------------------------------------------------------

void UringDriver::close(File &file) noexcept {
    if (!does(FERRY_RING_CLOSE)) {
        UvDriver::close(file);
        return;
    }
    UvFile &closing = uv::own(file);
    ++closing_;
    io_uring_prep_close(ring_.next(Tag::close, &closing), take_descriptor(closing));
}

void UringDriver::closed(UvFile &file, int result) noexcept {
    --closing_;
    bool gone = result >= 0 || result == -EINTR;
    environment_.host.closed(file, gone ? Outcome{} : failure_of(result));
    uv::free_file(file);
}

} // namespace ferry::driver::uring
