// The loop: opening, waiting, waking, and what a forked child does instead.
#include "driver/os.hpp"
#include "driver/uring/uring_driver.hpp"
#include "driver/uv/status.hpp"

#include <sys/eventfd.h>

#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace ferry::driver::uring {

// With less than this to lend in all, the kernel is given none of it in advance.
static constexpr uint64_t kLendMin = uint64_t{4} << 20;

Outcome failure_of(int result) noexcept {
    return result == -ECANCELED ? Outcome{.status = FERRY_E_CANCELED} : uv::outcome_of(-result);
}

static void signal(int fd) {
    uint64_t one = 1;
    while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void clear(int fd) {
    uint64_t count;
    [[maybe_unused]] ssize_t got = ::read(fd, &count, sizeof count);
}

// ---- beginning and ending -----------------------------------------------------------------------

// What of the wanted operations the running kernel has.
uint64_t UringDriver::ask_kernel() const noexcept {
    struct Needs {
        uint64_t what;
        unsigned operations[3];
    };
    static constexpr Needs kNeeds[] = {
        {FERRY_RING_ACCEPT, {IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL, IORING_OP_NOP}},
        {FERRY_RING_CONNECT, {IORING_OP_CONNECT, IORING_OP_ASYNC_CANCEL, IORING_OP_NOP}},
        {FERRY_RING_RECEIVE, {IORING_OP_RECV, IORING_OP_ASYNC_CANCEL, IORING_OP_NOP}},
        {FERRY_RING_LEND, {IORING_OP_RECV, IORING_OP_ASYNC_CANCEL, IORING_OP_NOP}},
        {FERRY_RING_SEND, {IORING_OP_SEND, IORING_OP_SENDMSG, IORING_OP_ASYNC_CANCEL}},
        {FERRY_RING_OPEN, {IORING_OP_OPENAT, IORING_OP_ASYNC_CANCEL, IORING_OP_NOP}},
        {FERRY_RING_READ, {IORING_OP_READ, IORING_OP_READV, IORING_OP_ASYNC_CANCEL}},
        {FERRY_RING_WRITE, {IORING_OP_WRITE, IORING_OP_WRITEV, IORING_OP_ASYNC_CANCEL}},
        {FERRY_RING_CLOSE, {IORING_OP_CLOSE, IORING_OP_NOP, IORING_OP_NOP}},
        {FERRY_RING_LOAD, {IORING_OP_OPENAT, IORING_OP_READ, IORING_OP_CLOSE}},
    };
    uint64_t known = 0;
    for (const Needs &needs : kNeeds) {
        bool all = true;
        for (unsigned operation : needs.operations)
            all = all && ring_.knows(operation);
        if (all)
            known |= needs.what;
    }
    if (!ring_.is_recent() || environment_.options.buffer_bytes_max < kLendMin)
        known &= ~uint64_t{FERRY_RING_LEND};
    return known;
}

// On the thread that will run it: when a ring goes, the kernel interrupts the calls of who made it.
ferry_status UringDriver::begin() noexcept {
    const ferry_engine_options &options = environment_.options;
    // The bound is the thread's: on one of the host's it is not ours to set.
    ferry_status status = ring_.open(options.shards != 0 ? options.workers_max : 0);
    if (status == FERRY_OK) {
        wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (options.shards == 0)
            host_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (wake_fd_ < 0 || (options.shards == 0 && host_fd_ < 0) ||
            !ring_.knows(IORING_OP_POLL_ADD))
            status = FERRY_E_UNSUPPORTED;
    }
    if (status != FERRY_OK) {
        ring_.close();
        return options.driver == FERRY_DRIVER_URING ? FERRY_E_UNSUPPORTED : FERRY_OK;
    }
    doing_ = ask_kernel() & ~options.ring_without;
    if (does(FERRY_RING_LEND) && !pieces_.open(ring_))
        doing_ &= ~uint64_t{FERRY_RING_LEND};
    return FERRY_OK;
}

void UringDriver::dispose() noexcept {
    ring_.close();
    pieces_.drop_all(environment_.host);
    if (wake_fd_ >= 0)
        ::close(wake_fd_);
    if (host_fd_ >= 0)
        ::close(host_fd_);
    tear_down();
    const Allocator &allocator = environment_.allocator;
    allocator.destroy(this);
}

// ---- waiting ------------------------------------------------------------------------------------

// What wakes the ring for everything else. libuv's descriptor stays readable until it has run, so the kernel
// is asked about it anew after each time; of the eventfd every write is an answer, and nobody
// reads it.
void UringDriver::keep_watch() noexcept {
    if (!wake_watched_ && !host_watches()) {
        io_uring_prep_poll_multishot(ring_.next(Tag::wake, nullptr), wake_fd_, POLLIN);
        wake_watched_ = true;
    }
    if (!loop_watched_) {
        io_uring_prep_poll_add(ring_.next(Tag::loop, nullptr), uv_backend_fd(&loop_), POLLIN);
        loop_watched_ = true;
    }
}

// False: no time is left.
bool UringDriver::run_libuv() noexcept {
    loop_ready_ = false;
    run_loop(UV_RUN_NOWAIT);
    return !environment_.host.out_of_time();
}

void UringDriver::poll(uint64_t until_ns) noexcept {
    if (!ring_.is_open()) {
        UvDriver::poll(until_ns);
        return;
    }
    ring_.hurry(environment_.host.limited());
    if (jobs_late_ && !finish_jobs())
        return;
    if (has_deferred()) {
        until_ns = 0;
        if (!deliver_deferred())
            return;
    }
    // It tells epoll of new watches, and ends what is being closed, only when it runs.
    if (watch_changed_ || uv_backend_timeout(&loop_) == 0) {
        if (!run_libuv())
            return;
        if (events_ != 0)
            until_ns = 0;
    }
    keep_watch();
    wait(done_.empty() ? until_ns : 0);
    deliver();
    if (loop_ready_ && !environment_.host.out_of_time())
        run_libuv();
    if (!environment_.host.out_of_time())
        finish_jobs();
    else
        jobs_late_ = jobs_late_ || !done_.empty();
    if (jobs_late_ || loop_ready_)
        wake(); // A host that sleeps on the descriptor must come back for them.
}

void UringDriver::wait(uint64_t until_ns) noexcept {
    uint64_t now = until_ns == 0 || until_ns == UINT64_MAX ? 0 : now_ns();
    if (until_ns > now && host_watches()) {
        wait_as_host(until_ns == UINT64_MAX ? UINT64_MAX : until_ns - now);
        until_ns = 0;
    }
    if (host_watches())
        clear(host_fd_);
    if (until_ns > now) {
        ring_.wait(until_ns == UINT64_MAX ? UINT64_MAX : until_ns - now);
    } else if (!environment_.host.limited()) {
        ring_.glance();
    } else {
        uint64_t began = now_ns();
        ring_.glance();
        uint64_t step = now_ns() - began;
        ring_step_ns_ = step > ring_step_ns_ ? step : ring_step_ns_ - (ring_step_ns_ - step) / 16;
    }
}

// On the descriptor that the host watches otherwise: what wakes that need not wake the ring as well. (From one
// eventfd to another the kernel passes a signal on up to 20 ms late.)
void UringDriver::wait_as_host(uint64_t wait_ns) noexcept {
    ring_.submit();
    timespec time = {static_cast<time_t>(wait_ns / 1000000000u),
                     static_cast<long>(wait_ns % 1000000000u)};
    pollfd wanted = {.fd = host_fd_, .events = POLLIN, .revents = 0};
    ppoll(&wanted, 1, wait_ns == UINT64_MAX ? nullptr : &time, nullptr);
}

// The kernel hands out a few answers at a time. Who gave a budget wants it used.
bool UringDriver::more() const noexcept {
    return UvDriver::more() || left_over_ ||
           (environment_.host.limited() && ring_.is_open() && ring_.has_work());
}

uint64_t UringDriver::step_ns() const noexcept {
    return ring_.is_open() ? ring_step_ns_ : UvDriver::step_ns();
}

// Hand over what was started: nobody polls for a while.
void UringDriver::flush() noexcept {
    if (ring_.is_open() && ring_.unsent() != 0)
        ring_.submit();
}

// What the time does not suffice for stays in the ring.
void UringDriver::deliver() noexcept {
    Host &host = environment_.host;
    Answer answer;
    for (unsigned ready = ring_.ready(); ready != 0 && !host.out_of_time(); --ready) {
        if (!ring_.take(&answer))
            break;
        dispatch(answer);
        host.run_ready();
    }
    left_over_ = host.out_of_time() && ring_.ready() != 0;
    if (host_watches() && ring_.ready() != 0)
        signal(host_fd_);
}

void UringDriver::dispatch(const Answer &answer) noexcept {
    switch (answer.tag) {
    case Tag::nothing:
        break;
    case Tag::wake:
        wake_watched_ = answer.more();
        break;
    case Tag::loop:
        loop_watched_ = false;
        loop_ready_ = true;
        break;
    case Tag::timer:
        timer_at_ns_ = UINT64_MAX;
        break;
    case Tag::accept:
        accepted(*static_cast<UringSocket *>(answer.subject), answer);
        break;
    case Tag::connect:
        connected(*static_cast<UringSocket *>(answer.subject), answer.result);
        break;
    case Tag::receive:
        received(*static_cast<UringSocket *>(answer.subject), answer);
        break;
    case Tag::send:
        sent(*static_cast<UringSocket *>(answer.subject), answer.result);
        break;
    case Tag::file:
        called(*static_cast<FileCall *>(answer.subject), answer.result);
        break;
    case Tag::close:
        closed(*static_cast<uv::UvFile *>(answer.subject), answer.result);
        break;
    case Tag::load:
        load_step(*static_cast<LoadSteps *>(answer.subject), answer.result);
        break;
    case Tag::load_close:
        load_closed(*static_cast<LoadSteps *>(answer.subject));
        break;
    }
}

void UringDriver::wake() noexcept {
    if (ring_.is_open())
        signal(host_watches() ? host_fd_ : wake_fd_);
    else
        UvDriver::wake();
}

// ---- for a host that watches a descriptor -------------------------------------------------------

// Not the ring's own: with DEFER_TASKRUN that one does not wake its watchers for work that the kernel has put
// off until it is asked.
int UringDriver::descriptor() const noexcept {
    return ring_.is_open() ? host_fd_ : UvDriver::descriptor();
}

// A poll has its own timeout; this one makes the descriptor readable. It is only ever set earlier.
void UringDriver::keep_until(uint64_t until_ns) noexcept {
    if (!ring_.is_open()) {
        UvDriver::keep_until(until_ns);
        return;
    }
    if (!host_watches() && ring_.register_eventfd(host_fd_))
        host_watches_.store(true, std::memory_order_relaxed);
    keep_watch();
    if (until_ns < timer_at_ns_) {
        timer_ = {static_cast<int64_t>(until_ns / 1000000000u),
                  static_cast<int64_t>(until_ns % 1000000000u)};
        if (timer_at_ns_ == UINT64_MAX)
            io_uring_prep_timeout(ring_.next(Tag::timer, nullptr), &timer_, 0, IORING_TIMEOUT_ABS);
        else
            ring_.change_timeout(Tag::timer, &timer_);
        timer_at_ns_ = until_ns;
    }
    ring_.submit();
}

// ---- in a fork's child --------------------------------------------------------------------------

void UringDriver::abandon(Socket &socket) noexcept {
    for (Socket *waiting = own(socket).waiting; waiting != nullptr; waiting = waiting->next_dirty)
        UvDriver::abandon(*waiting);
    UvDriver::abandon(socket);
}

// Only this process's mapping and descriptor go, the ring is the parent's.
void UringDriver::abandon_all() noexcept {
    UvDriver::abandon_all();
    ring_.close();
}

} // namespace ferry::driver::uring
