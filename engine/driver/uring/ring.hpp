// One ring of the kernel's: entries out, answers in.
//
// An entry carries what it is about and a kind of answer (Tag) in its user data. The kernel gets all entries of
// a turn at once, when somebody waits or flushes; what an entry points to besides the host's memory (addresses,
// message headers) lies in scratch memory until then. SQPOLL is never used: a thread of the kernel's
// that spins is not what a library may start.
#pragma once

#include <ferry/status.h>

#include <liburing.h>

#include <cstddef>
#include <cstdint>

namespace ferry::driver::uring {

enum class Tag : uint8_t {
    nothing,
    wake,
    loop,
    timer,
    accept,
    connect,
    receive,
    send,
    file,
    close,
    load,
    load_close
};

struct Answer {
    Tag tag;
    void *subject;
    int result; // Or a negative errno.
    uint32_t flags;

    bool more() const noexcept { return (flags & IORING_CQE_F_MORE) != 0; }
};

class Ring {
  public:
    Ring() = default;
    ~Ring() { close(); }
    Ring(const Ring &) = delete;
    Ring &operator=(const Ring &) = delete;

    // workers_max: of the kernel's threads that it may start for this thread, 0 = what is usual.
    // Made disabled: it belongs to the thread that enables it. FERRY_E_UNSUPPORTED when the system has
    // none for us, whatever the reason.
    ferry_status open(uint32_t workers_max) noexcept;
    void enable() noexcept;
    void close() noexcept;

    bool is_open() const noexcept { return open_; }
    // The kernel has multishot receives, and buffers of ours to pick from.
    bool is_recent() const noexcept { return recent_; }
    bool knows(unsigned operation) const noexcept {
        return operation < 64 && known_ >> operation & 1;
    }
    // False: the kernel refuses.
    bool register_pieces(io_uring_buf_reg group) noexcept {
        return io_uring_register_buf_ring(&ring_, &group, 0) == 0;
    }
    bool register_eventfd(int fd) noexcept { return io_uring_register_eventfd(&ring_, fd) == 0; }

    // What is handed over is done at once where it can be: while somebody looks at the clock, in small portions.
    void hurry(bool yes) noexcept { most_ = yes ? kPortion : UINT32_MAX; }

    io_uring_sqe *next(Tag tag, void *subject) noexcept;
    // One that has ended meanwhile is not found, and a later one with the same mark stands behind this.
    void cancel(Tag tag, void *subject) noexcept;
    // Of an absolute timeout with that mark; when stays until the submission.
    void change_timeout(Tag tag, __kernel_timespec *when) noexcept;
    // The first of so many that go in one submission.
    io_uring_sqe *next_of(unsigned count, Tag tag, void *subject) noexcept;
    // With memory until the submission, aligned for any type; kScratch at most.
    io_uring_sqe *next(Tag tag, void *subject, size_t size, void **memory) noexcept;

    // Hand over what there is. wait: and wait for an answer, so long at most.
    void submit() noexcept;
    void wait(uint64_t wait_ns) noexcept;
    // The same without waiting; no system call when there is nothing to tell and to hear.
    void glance() noexcept;

    unsigned unsent() const noexcept { return io_uring_sq_ready(&ring_); }
    unsigned ready() const noexcept { return io_uring_cq_ready(&ring_); }
    bool take(Answer *answer) noexcept;
    // The kernel has something to do for us, or to say.
    bool has_work() const noexcept {
        unsigned work = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
        return (IO_URING_READ_ONCE(*ring_.sq.kflags) & work) != 0;
    }

    static constexpr size_t kScratch = 65536;

  private:
    static constexpr unsigned kPortion = 4;

    bool set_up(unsigned flags) noexcept;
    void reuse_scratch() noexcept;

    io_uring ring_;
    bool open_ = false;
    bool enabled_ = false;
    bool recent_ = false;
    uint64_t known_ = 0;
    char *scratch_ = nullptr;
    size_t scratch_used_ = 0;
    unsigned most_ = UINT32_MAX; // Entries in one submission.
};

} // namespace ferry::driver::uring
