// The ring itself: opening, waiting, waking, and which answer belongs to what.
#include "driver/uring/uring_driver.hpp"

#include "driver/make.hpp"
#include "driver/os.hpp"
#include "driver/uv/status.hpp"

#include <ferry/status.h>

#include <sys/eventfd.h>
#include <sys/mman.h>

#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace ferry::driver {

ferry_status make(const Environment &environment, Driver **driver) noexcept {
    auto *made = environment.allocator.create<uring::UringDriver>(environment);
    if (made == nullptr)
        return FERRY_E_NO_MEMORY;
    ferry_status status = made->open();
    if (status != FERRY_OK) {
        made->dispose();
        return status;
    }
    *driver = made;
    return FERRY_OK;
}

} // namespace ferry::driver

namespace ferry::driver::uring {

static constexpr unsigned kEntries = 256;
static constexpr unsigned kAnswers = 4096;
static constexpr size_t kRingBytes = kBufferCount * sizeof(io_uring_buf);
static constexpr size_t kBuffersBytes = kBufferCount * kBufferSize;

// Made disabled: the engine is made on one thread and run on another, and the ring belongs to the
// thread that enables it.
ferry_status UringDriver::open() noexcept {
    io_uring_params params = {};
    params.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
                   IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE;
    params.cq_entries = kAnswers;
    int error = io_uring_queue_init_params(kEntries, &ring_, &params);
    if (error != 0)
        return uv::outcome_of(-error).status;
    ring_open_ = true;
    wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd_ < 0)
        return uv::outcome_of(errno).status;
    void *memory =
        mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    buffers_ = static_cast<char *>(environment_.allocator.allocate(kBuffersBytes));
    if (memory == MAP_FAILED || buffers_ == nullptr)
        return FERRY_E_NO_MEMORY;
    buffer_ring_ = static_cast<io_uring_buf_ring *>(memory);
    io_uring_buf_reg group = {};
    group.ring_addr = reinterpret_cast<uintptr_t>(buffer_ring_);
    group.ring_entries = kBufferCount;
    error = io_uring_register_buf_ring(&ring_, &group, 0);
    if (error != 0)
        return uv::outcome_of(-error).status;
    for (uint16_t i = 0; i < kBufferCount; ++i)
        provide(i);
    return FERRY_OK;
}

void UringDriver::dispose() noexcept {
    if (ring_open_)
        io_uring_queue_exit(&ring_);
    if (wake_fd_ >= 0)
        ::close(wake_fd_);
    if (watched_fd_ >= 0)
        ::close(watched_fd_);
    if (buffer_ring_ != nullptr)
        munmap(buffer_ring_, kRingBytes);
    const Allocator &allocator = environment_.allocator;
    allocator.free(buffers_, kBuffersBytes);
    allocator.destroy(this);
}

uint64_t UringDriver::now_ns() const noexcept {
    return os::now_ns();
}

// ---- entries ------------------------------------------------------------------------------------

void UringDriver::enable() noexcept {
    if (enabled_)
        return;
    enabled_ = true;
    io_uring_register(ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

io_uring_sqe *UringDriver::next() noexcept {
    io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&ring_)) == nullptr) {
        enable();
        io_uring_submit(&ring_);
    }
    return sqe;
}

void UringDriver::mark(io_uring_sqe *sqe, Tag tag, void *subject) noexcept {
    sqe->user_data = reinterpret_cast<uintptr_t>(subject) | static_cast<uint64_t>(tag);
}

// One that has ended meanwhile is not found, and a later one with the same mark stands behind this.
void UringDriver::ask_to_cancel(Tag tag, void *subject) noexcept {
    io_uring_sqe *sqe = next();
    io_uring_prep_cancel64(sqe, reinterpret_cast<uintptr_t>(subject) | static_cast<uint64_t>(tag),
                           0);
    mark(sqe, Tag::nothing, nullptr);
}

static void signal(int fd) {
    uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(fd, &one, sizeof one);
}

static void clear(int fd) {
    uint64_t count;
    [[maybe_unused]] ssize_t got = ::read(fd, &count, sizeof count);
}

// ---- waiting ------------------------------------------------------------------------------------

void UringDriver::poll(uint64_t until_ns) noexcept {
    enable();
    if (!watching_wake_) {
        io_uring_sqe *sqe = next();
        io_uring_prep_poll_multishot(sqe, wake_fd_, POLLIN);
        mark(sqe, Tag::wake, nullptr);
        watching_wake_ = true;
    }
    if (watched_fd_ >= 0)
        clear(watched_fd_);
    if (until_ns == 0) {
        // Nothing to tell the kernel and nothing to hear from it: not even a call.
        unsigned work = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
        if (io_uring_sq_ready(&ring_) != 0 || (IO_URING_READ_ONCE(*ring_.sq.kflags) & work) != 0)
            io_uring_submit_and_get_events(&ring_);
    } else {
        uint64_t now = now_ns();
        uint64_t wait = until_ns > now ? until_ns - now : 0;
        __kernel_timespec time = {static_cast<int64_t>(wait / 1000000000u),
                                  static_cast<int64_t>(wait % 1000000000u)};
        io_uring_cqe *first;
        io_uring_submit_and_wait_timeout(&ring_, &first, 1,
                                         until_ns == UINT64_MAX ? nullptr : &time, nullptr);
    }
    deliver();
}

// Hand over what was started: nobody polls for a while.
void UringDriver::flush() noexcept {
    enable();
    if (io_uring_sq_ready(&ring_) != 0)
        io_uring_submit(&ring_);
}

// What the time does not suffice for stays in the ring.
void UringDriver::deliver() noexcept {
    unsigned ready = io_uring_cq_ready(&ring_);
    io_uring_cqe *cqe;
    while (ready-- > 0 && !environment_.host.out_of_time() &&
           io_uring_peek_cqe(&ring_, &cqe) == 0) {
        io_uring_cqe answer = *cqe;
        io_uring_cqe_seen(&ring_, cqe);
        dispatch(answer);
        environment_.host.run_ready();
    }
    if (watched_fd_ >= 0 && io_uring_cq_ready(&ring_) != 0)
        signal(watched_fd_);
}

void UringDriver::dispatch(const io_uring_cqe &cqe) noexcept {
    auto tag = static_cast<Tag>(cqe.user_data & 7);
    auto *subject = reinterpret_cast<void *>(cqe.user_data & ~uint64_t{7});
    auto *socket = static_cast<UringSocket *>(subject);
    bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
    switch (tag) {
    case Tag::nothing:
        break;
    case Tag::accept:
        accepted(*socket, cqe.res, more);
        break;
    case Tag::receive:
        received(*socket, cqe.res, cqe.flags);
        break;
    case Tag::send:
        sent(*socket, cqe.res);
        break;
    case Tag::connect:
        connected(*socket, cqe.res);
        break;
    case Tag::load:
        step(*static_cast<LoadJob *>(subject), cqe.res);
        break;
    case Tag::wake:
        clear(wake_fd_);
        watching_wake_ = more;
        break;
    case Tag::timer:
        timer_at_ns_ = UINT64_MAX;
        break;
    }
}

// Both: the kernel passes a signal on from one eventfd to another, but up to 20 ms late.
void UringDriver::wake() noexcept {
    signal(wake_fd_);
    int watched = watched_fd_.load(std::memory_order_acquire);
    if (watched >= 0)
        signal(watched);
}

// A poll has its own timeout; this one makes the descriptor readable. As in the uv driver it is only
// ever set earlier. The descriptor is an eventfd that the kernel signals: the ring's own does not
// wake its watchers for work that the kernel has put off until we ask for it.
void UringDriver::keep_until(uint64_t until_ns) noexcept {
    enable();
    if (watched_fd_ < 0) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        io_uring_register_eventfd(&ring_, fd);
        watched_fd_.store(fd, std::memory_order_release);
    }
    if (until_ns < timer_at_ns_) {
        timer_ = {static_cast<int64_t>(until_ns / 1000000000u),
                  static_cast<int64_t>(until_ns % 1000000000u)};
        io_uring_sqe *sqe = next();
        if (timer_at_ns_ == UINT64_MAX) {
            io_uring_prep_timeout(sqe, &timer_, 0, IORING_TIMEOUT_ABS);
            mark(sqe, Tag::timer, nullptr);
        } else {
            io_uring_prep_timeout_update(sqe, &timer_, static_cast<uint64_t>(Tag::timer),
                                         IORING_TIMEOUT_ABS);
            mark(sqe, Tag::nothing, nullptr);
        }
        timer_at_ns_ = until_ns;
    }
    flush();
}

// ---- in a fork's child --------------------------------------------------------------------------

void UringDriver::abandon(Socket &socket) noexcept {
    auto &own = static_cast<UringSocket &>(socket);
    ::close(own.fd);
    if (!own.is_listener)
        return;
    for (UringSocket *waiting = own.waiting; waiting != nullptr; waiting = waiting->next_waiting)
        ::close(waiting->fd);
}

// Only this process's mapping and descriptor go, the ring is the parent's.
void UringDriver::abandon_all() noexcept {
    if (ring_open_)
        io_uring_queue_exit(&ring_);
    ring_open_ = false;
}

} // namespace ferry::driver::uring
