// The loop: opening, waiting, waking, closing, and what a forked child does instead.
#include "driver/os.hpp"
#include "driver/uv/status.hpp"
#include "driver/uv/uv_driver.hpp"

#include <ferry/status.h>

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <cerrno>
#include <cstdlib>
#include <new>
#include <unistd.h>

namespace ferry::driver::uv {

// What a loop opens at most: its epoll set, two signal pipes (one of them once a process), an eventfd, our
// timer.
static constexpr int kDescriptorsNeeded = 8;

static ferry_status failure(int uv_error) {
    return outcome_of(-uv_error).status;
}

ferry_status UvDriver::open() noexcept {
    // libuv aborts where it finds no descriptor for its signal pipe.
    if (!os::descriptors_left(kDescriptorsNeeded))
        return FERRY_E_NO_DESCRIPTORS;
    loop_.backend_fd = -1;
    int error = uv_loop_init(&loop_);
    if (error != 0) {
        // libuv leaves its epoll set open where what comes after it fails.
        os::close_descriptor(loop_.backend_fd);
        return failure(error);
    }
    loop_open_ = true;
    loop_.data = this;
    timer_.data = nullptr;
    wake_.data = nullptr;
    error = uv_async_init(&loop_, &wake_, on_wake);
    if (error != 0)
        return failure(error);
    wake_.data = this;
    timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer_fd_ < 0)
        return outcome_of(errno).status;
    error = uv_poll_init(&loop_, &timer_, timer_fd_);
    if (error != 0)
        return failure(error);
    timer_.data = this;
    error = uv_poll_start(&timer_, UV_READABLE, on_timer);
    return error != 0 ? failure(error) : FERRY_OK;
}

void UvDriver::dispose() noexcept {
    tear_down();
    const Allocator &allocator = environment_.allocator;
    allocator.destroy(this);
}

void UvDriver::tear_down() noexcept {
    settle();
    if (loop_open_ && !abandoned_) {
        if (wake_.data != nullptr)
            uv_close(reinterpret_cast<uv_handle_t *>(&wake_), nullptr);
        if (timer_.data != nullptr)
            uv_close(reinterpret_cast<uv_handle_t *>(&timer_), nullptr);
        while (uv_loop_close(&loop_) == UV_EBUSY)
            uv_run(&loop_, UV_RUN_NOWAIT);
    }
    if (timer_fd_ >= 0)
        ::close(timer_fd_);
    if (empty_fd_ >= 0)
        ::close(empty_fd_);
}

uint64_t UvDriver::now_ns() const noexcept {
    return os::now_ns();
}

uint64_t UvDriver::coarse_ns() const noexcept {
    return os::coarse_ns();
}

void UvDriver::poll(uint64_t until_ns) noexcept {
    if (jobs_late_ && !finish_jobs())
        return;
    if (until_ns != 0 && (!done_.empty() || has_deferred()))
        until_ns = 0;
    if (!deliver_deferred())
        return;
    if (until_ns != 0)
        keep_until(until_ns);
    run_loop(until_ns == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    if (!environment_.host.out_of_time())
        finish_jobs();
    else
        jobs_late_ = finished_ != nullptr || !done_.empty();
    if (jobs_late_)
        wake(); // A host that sleeps on the descriptor must come back for them.
}

void UvDriver::run_loop(uv_run_mode mode) noexcept {
    ++polls_;
    events_ = 0;
    full_ = false;
    watch_changed_ = false;
    began_ns_ = mode == UV_RUN_NOWAIT && environment_.host.limited() ? now_ns() : 0;
    uv_run(&loop_, mode);
    if (cut_fd_ < 0)
        return;
    loop_.backend_fd = cut_fd_;
    cut_fd_ = -1;
}

// In every event's callback.
void UvDriver::note_event() noexcept {
    if (events_++ == 0 && began_ns_ != 0)
        note_step();
    full_ = events_ >= kBatch;
}

// Until the first event of a batch: what epoll took for all of it, which is a microsecond, or with a
// thousand sockets that have left the cache, half a millisecond.
void UvDriver::note_step() noexcept {
    uint64_t step = now_ns() - began_ns_;
    step_ns_ = step > step_ns_ ? step : step_ns_ - (step_ns_ - step) / 16;
}

// In the midst of uv_run() the time is used up, or a batch of events. As long as its epoll set is full of
// events, libuv asks it 48 times for the next thousand; nothing stops that but to find an empty one there.
// Until uv_run() comes back nothing is delivered, so nothing is watched or closed. (A private field, but
// part of libuv 1's frozen ABI. A libuv that has looked at it before goes on asking, and what it finds is
// deferred.)
void UvDriver::cut_short() noexcept {
    if (cut_fd_ >= 0)
        return;
    if (empty_fd_ < 0)
        empty_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (empty_fd_ < 0)
        return;
    cut_fd_ = loop_.backend_fd;
    loop_.backend_fd = empty_fd_;
}

// libuv's own timers count milliseconds; a timerfd keeps nanoseconds and is in its epoll set. It is only
// ever set earlier: when it fires too early for what is wanted now, the shard waits once more.
void UvDriver::keep_until(uint64_t until_ns) noexcept {
    if (until_ns >= timer_at_ns_)
        return;
    itimerspec when = {};
    when.it_value.tv_sec = static_cast<time_t>(until_ns / 1000000000u);
    when.it_value.tv_nsec = static_cast<long>(until_ns % 1000000000u);
    if (timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr) == 0)
        timer_at_ns_ = until_ns;
}

void UvDriver::on_timer(uv_poll_t *handle, int, int) {
    auto *self = static_cast<UvDriver *>(handle->data);
    uint64_t expirations;
    [[maybe_unused]] ssize_t got = read(self->timer_fd_, &expirations, sizeof expirations);
    self->note_event();
    self->timer_at_ns_ = UINT64_MAX;
}

void UvDriver::wake() noexcept {
    uv_async_send(&wake_);
}

void UvDriver::on_wake(uv_async_t *handle) {
    static_cast<UvDriver *>(handle->data)->note_event(); // That poll() returns is all.
}

int UvDriver::descriptor() const noexcept {
    return uv_backend_fd(&loop_);
}

// ---- in a fork's child --------------------------------------------------------------------------

void UvDriver::abandon(Socket &socket) noexcept {
    ::close(static_cast<UvSocket &>(socket).fd);
}

// The child shares the parent's epoll set: uv_close would take the parent's sockets out of it. So its
// copies of the descriptors are closed one by one, and libuv is not called at all. The fields are
// private but part of libuv 1's frozen ABI.
void UvDriver::abandon_all() noexcept {
    abandoned_ = true;
    abandon_transfers();
    for (Socket *socket = connecting_; socket != nullptr; socket = socket->next_dirty)
        abandon(*socket);
    if (!loop_open_)
        return;
    ::close(loop_.backend_fd);
    if (empty_fd_ >= 0)
        ::close(empty_fd_);
    ::close(loop_.async_io_watcher.fd);
    ::close(loop_.signal_pipefd[0]);
    ::close(loop_.signal_pipefd[1]);
    std::free(loop_.watchers);
}

} // namespace ferry::driver::uv
