#include "driver/os.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <new>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

namespace ferry::os {

static uint64_t read_clock(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t now_ns() noexcept {
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t coarse_ns() noexcept {
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

void *Thread::entry(void *self) {
    auto *thread = static_cast<Thread *>(self);
    thread->run_(thread->argument_);
    return nullptr;
}

bool Thread::start(const char *name, void (*run)(void *), void *argument) noexcept {
    run_ = run;
    argument_ = argument;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    // Inherited by the new thread: there is no moment in which it could take a signal.
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t handle;
    int error = pthread_create(&handle, nullptr, entry, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0)
        return false;
    pthread_setname_np(handle, name);
    handle_ = static_cast<uint64_t>(handle);
    started_ = true;
    return true;
}

void Thread::join() noexcept {
    if (!started_)
        return;
    pthread_join(static_cast<pthread_t>(handle_), nullptr);
    started_ = false;
}

ferry_status Event::open() noexcept {
    descriptor_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (descriptor_ >= 0)
        return FERRY_OK;
    return errno == ENOMEM ? FERRY_E_NO_MEMORY : FERRY_E_NO_DESCRIPTORS;
}

void Event::close() noexcept {
    if (descriptor_ >= 0)
        ::close(descriptor_);
    descriptor_ = -1;
}

void Event::signal() noexcept {
    uint64_t one = 1;
    // Refused for another reason: 2^64 - 2 signals wait, and then it is readable anyway.
    while (write(descriptor_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void Event::clear() noexcept {
    uint64_t count;
    [[maybe_unused]] ssize_t got = read(descriptor_, &count, sizeof count);
}

bool Event::wait(uint64_t timeout_ns) noexcept {
    pollfd watched = {descriptor_, POLLIN, 0};
    timespec timeout;
    timeout.tv_sec = static_cast<time_t>(timeout_ns / 1000000000u);
    timeout.tv_nsec = static_cast<long>(timeout_ns % 1000000000u);
    return ppoll(&watched, 1, timeout_ns == UINT64_MAX ? nullptr : &timeout, nullptr) > 0;
}

bool ForkMark::open() noexcept {
    long page = sysconf(_SC_PAGESIZE);
    void *memory = mmap(nullptr, static_cast<size_t>(page), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    if (madvise(memory, static_cast<size_t>(page), MADV_WIPEONFORK) != 0) {
        munmap(memory, static_cast<size_t>(page));
        return false;
    }
    word_ = new (memory) std::atomic<uint32_t>(1);
    return true;
}

void ForkMark::close() noexcept {
    if (word_ != nullptr)
        munmap(word_, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    word_ = nullptr;
}

void hint_large_pages(void *memory, size_t size) noexcept {
    constexpr uintptr_t kPage = uintptr_t{2} << 20;
    uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + kPage - 1) & ~(kPage - 1);
    uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + size) & ~(kPage - 1);
    if (begin < end)
        madvise(reinterpret_cast<void *>(begin), end - begin, MADV_HUGEPAGE); // A hint only.
}

void close_descriptor(int64_t descriptor) noexcept {
    if (descriptor >= 0)
        ::close(static_cast<int>(descriptor));
}

bool descriptors_left(int count) noexcept {
    constexpr int kMost = 16;
    int opened[kMost];
    int number = 0;
    while (number < count && number < kMost) {
        int descriptor = eventfd(0, EFD_CLOEXEC);
        if (descriptor < 0)
            break;
        opened[number++] = descriptor;
    }
    for (int i = 0; i < number; ++i)
        ::close(opened[i]);
    return number >= count;
}

static sigset_t only_sigpipe() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

NoSigpipe::NoSigpipe() noexcept {
    sigset_t set = only_sigpipe();
    sigset_t before;
    blocked_ = pthread_sigmask(SIG_BLOCK, &set, &before) == 0 && sigismember(&before, SIGPIPE) == 0;
}

// Where it was blocked before, as on the engine's own threads, one more that is pending makes no difference.
NoSigpipe::~NoSigpipe() {
    if (!blocked_)
        return;
    sigset_t set = only_sigpipe();
    timespec now = {};
    while (sigtimedwait(&set, nullptr, &now) < 0 && errno == EINTR) {
    }
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

} // namespace ferry::os
