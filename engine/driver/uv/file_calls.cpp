// System calls on files, made at once on a worker: libuv's synchronous forms.
#include "driver/uv/file_calls.hpp"

#include "driver/uv/jobs.hpp"
#include "driver/uv/status.hpp"

#include <ferry/status.h>

#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <unistd.h>

namespace ferry::driver::uv {

namespace {

// Most of one system call: the system takes no more than 2 GiB, whatever it is asked for.
constexpr size_t kBytesMax = size_t{1} << 30;
constexpr size_t kPartsMax = 1024;
static_assert(kPartsMax <= IOV_MAX);

// What is left of some slices, one system call's worth at a time.
class Remaining {
  public:
    Remaining(const ferry_slice *slices, size_t count) : at_(slices), end_(slices + count) {
        skip();
    }

    bool none() const { return at_ == end_; }

    // The next parts; returns how many.
    unsigned next(uv_buf_t *parts, size_t *bytes) const {
        unsigned count = 0;
        uint64_t used = used_;
        *bytes = 0;
        for (const ferry_slice *at = at_; at != end_ && count < kPartsMax && *bytes < kBytesMax;
             ++at, used = 0) {
            if (at->size == 0)
                continue;
            uint64_t left = at->size - used;
            size_t size = left < kBytesMax - *bytes ? left : kBytesMax - *bytes;
            parts[count].base = static_cast<char *>(at->data) + used;
            parts[count++].len = size;
            *bytes += size;
        }
        return count;
    }

    void advance(size_t bytes) {
        while (bytes > 0) {
            uint64_t left = at_->size - used_;
            if (bytes < left) {
                used_ += bytes;
                return;
            }
            bytes -= left;
            used_ = 0;
            ++at_;
        }
        skip();
    }

  private:
    void skip() {
        while (at_ != end_ && at_->size == 0)
            ++at_;
    }

    const ferry_slice *at_;
    const ferry_slice *end_;
    uint64_t used_ = 0; // Of the first.
};

Outcome failed(ssize_t result, int64_t before = 0) {
    return file_failure(static_cast<int>(-result), before);
}

Outcome done(ssize_t result) {
    return result < 0 ? failed(result) : Outcome{};
}

int64_t offset_of(const FileCall &call, int64_t moved) {
    return call.offset == FERRY_AT_POSITION ? -1 : static_cast<int64_t>(call.offset) + moved;
}

bool is_regular(int fd) {
    bool regular = false;
    at_once([&](uv_fs_t *r) {
        uv_fs_fstat(nullptr, r, fd, nullptr);
        regular = r->result == 0 && (r->statbuf.st_mode & S_IFMT) == S_IFREG;
    });
    return regular;
}

int64_t nanoseconds(const uv_timespec_t &time) {
    int64_t ns;
    if (__builtin_mul_overflow(int64_t{time.tv_sec}, int64_t{1000000000}, &ns) ||
        __builtin_add_overflow(ns, int64_t{time.tv_nsec}, &ns))
        return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

uint32_t type_of(uint64_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return FERRY_FILE_REGULAR;
    case S_IFDIR:
        return FERRY_FILE_DIRECTORY;
    case S_IFLNK:
        return FERRY_FILE_LINK;
    case S_IFIFO:
        return FERRY_FILE_FIFO;
    case S_IFSOCK:
        return FERRY_FILE_SOCKET;
    case S_IFCHR:
        return FERRY_FILE_CHARACTER;
    case S_IFBLK:
        return FERRY_FILE_BLOCK;
    default:
        return FERRY_FILE_OTHER;
    }
}

void tell(const uv_stat_t &from, ferry_file_info *info) {
    *info = {};
    info->size = from.st_size;
    info->allocated = from.st_blocks * 512;
    info->modified_ns = nanoseconds(from.st_mtim);
    info->changed_ns = nanoseconds(from.st_ctim);
    info->accessed_ns = nanoseconds(from.st_atim);
    info->created_ns = nanoseconds(from.st_birthtim);
    info->device = from.st_dev;
    info->inode = from.st_ino;
    info->links = from.st_nlink;
    info->type = type_of(from.st_mode);
    info->permissions = static_cast<uint32_t>(from.st_mode & 07777);
    info->user = static_cast<uint32_t>(from.st_uid);
    info->group = static_cast<uint32_t>(from.st_gid);
    info->block_size = static_cast<uint32_t>(from.st_blksize);
}

} // namespace

int open_flags(uint32_t wanted) noexcept {
    bool reads = (wanted & FERRY_OPEN_READ) != 0;
    bool writes = (wanted & FERRY_OPEN_WRITE) != 0;
    int flags = O_CLOEXEC | O_NOCTTY | (!writes ? O_RDONLY : reads ? O_RDWR : O_WRONLY);
    if ((wanted & FERRY_OPEN_CREATE) != 0)
        flags |= O_CREAT;
    if ((wanted & FERRY_OPEN_EXCLUSIVE) != 0)
        flags |= O_EXCL;
    if ((wanted & FERRY_OPEN_TRUNCATE) != 0)
        flags |= O_TRUNC;
    if ((wanted & FERRY_OPEN_APPEND) != 0)
        flags |= O_APPEND;
    if ((wanted & FERRY_OPEN_NO_FOLLOW) != 0)
        flags |= O_NOFOLLOW;
    return flags;
}

Outcome open_file(const FileCall &call) noexcept {
    int flags = open_flags(call.open_flags);
    int mode = static_cast<int>(call.mode != 0 ? call.mode : 0666);
    ssize_t fd =
        at_once([&](uv_fs_t *r) { uv_fs_open(nullptr, r, call.path, flags, mode, nullptr); });
    return fd < 0 ? outcome_of(static_cast<int>(-fd)) : Outcome{.result = fd};
}

// One system call is enough unless it cannot take all: a regular file that gives less than was asked for
// has ended, and anything else is not asked twice, since it might block.
Outcome read_file(int fd, const FileCall &call) noexcept {
    Remaining left(call.slices, call.slice_count);
    int64_t done = 0;
    do {
        uv_buf_t parts[kPartsMax];
        size_t wanted;
        unsigned count = left.next(parts, &wanted);
        ssize_t got = at_once([&](uv_fs_t *r) {
            uv_fs_read(nullptr, r, fd, parts, count, offset_of(call, done), nullptr);
        });
        if (got < 0)
            return failed(got, done);
        done += got;
        if (static_cast<size_t>(got) < wanted)
            break;
        left.advance(wanted);
    } while (!left.none() && is_regular(fd));
    return {.result = done};
}

Outcome file_failure(int error, int64_t before) noexcept {
    Outcome outcome = outcome_of(error);
    if (error == EBADF)
        outcome.status = FERRY_E_ACCESS; // The descriptor is ours: it was not opened for this.
    outcome.result = before;
    return outcome;
}

// From call.done on.
Outcome write_file(int fd, const FileCall &call) noexcept {
    Remaining left(call.slices, call.slice_count);
    left.advance(call.done);
    auto done = static_cast<int64_t>(call.done);
    while (!left.none()) {
        uv_buf_t parts[kPartsMax];
        size_t wanted;
        unsigned count = left.next(parts, &wanted);
        ssize_t put = at_once([&](uv_fs_t *r) {
            uv_fs_write(nullptr, r, fd, parts, count, offset_of(call, done), nullptr);
        });
        if (put <= 0)
            return failed(put < 0 ? put : -EIO, done); // Nothing taken would go on for ever.
        done += put;
        left.advance(static_cast<size_t>(put));
    }
    return {.result = done};
}

Outcome stat_file(int fd, ferry_file_info *info) noexcept {
    return done(at_once([&](uv_fs_t *r) {
        uv_fs_fstat(nullptr, r, fd, nullptr);
        if (r->result == 0)
            tell(r->statbuf, info);
    }));
}

Outcome stat_path(const FileCall &call, ferry_file_info *info) noexcept {
    return done(at_once([&](uv_fs_t *r) {
        if (call.no_follow)
            uv_fs_lstat(nullptr, r, call.path, nullptr);
        else
            uv_fs_stat(nullptr, r, call.path, nullptr);
        if (r->result == 0)
            tell(r->statbuf, info);
    }));
}

Outcome sync_file(int fd, bool data_only) noexcept {
    return done(at_once([&](uv_fs_t *r) {
        if (data_only)
            uv_fs_fdatasync(nullptr, r, fd, nullptr);
        else
            uv_fs_fsync(nullptr, r, fd, nullptr);
    }));
}

Outcome truncate_file(int fd, uint64_t size) noexcept {
    return done(at_once(
        [&](uv_fs_t *r) { uv_fs_ftruncate(nullptr, r, fd, static_cast<int64_t>(size), nullptr); }));
}

// Not libuv's, which calls the system past the C library: ThreadSanitizer would take the number's next file
// for this one. Interrupted or not, the descriptor is gone afterwards.
Outcome close_file(int fd) noexcept {
    return ::close(fd) == 0 || errno == EINTR ? Outcome{} : outcome_of(errno);
}

} // namespace ferry::driver::uv
