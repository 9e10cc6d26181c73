#include "driver/uring/ring.hpp"

#include <sys/mman.h>

#include <cerrno>

namespace ferry::driver::uring {

static constexpr unsigned kEntries = 256;
static constexpr unsigned kAnswers = 4096;

// The subject's address has 56 bits at most.
static constexpr unsigned kTagShift = 56;

static uint64_t mark(Tag tag, void *subject) {
    return static_cast<uint64_t>(tag) << kTagShift | reinterpret_cast<uintptr_t>(subject);
}

bool Ring::set_up(unsigned flags) noexcept {
    io_uring_params params = {};
    params.flags = flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE;
    params.cq_entries = kAnswers;
    if (io_uring_queue_init_params(kEntries, &ring_, &params) != 0)
        return false;
    // Waits with a timeout, entries read when they are handed over, answers never dropped: Linux 5.11.
    unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_NODROP;
    if ((params.features & needed) == needed)
        return true;
    io_uring_queue_exit(&ring_);
    return false;
}

ferry_status Ring::open(uint32_t workers_max) noexcept {
    recent_ = set_up(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                     IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL); // Linux 6.1
    open_ = recent_ ||
            set_up(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                   IORING_SETUP_SUBMIT_ALL) || // Linux 5.19
            set_up(0);
    if (!open_)
        return FERRY_E_UNSUPPORTED;
    // A filter of system calls may let us make a ring and not use it. This one is not enabled yet.
    int entered = io_uring_enter(static_cast<unsigned>(ring_.ring_fd), 0, 0, 0, nullptr);
    if (entered != -EBADFD) {
        close();
        return FERRY_E_UNSUPPORTED;
    }
    io_uring_probe *probe = io_uring_get_probe_ring(&ring_);
    void *memory =
        mmap(nullptr, kScratch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED)
        scratch_ = static_cast<char *>(memory);
    if (probe == nullptr || scratch_ == nullptr) {
        io_uring_free_probe(probe);
        close();
        return FERRY_E_UNSUPPORTED;
    }
    for (unsigned operation = 0; operation < 64; ++operation) {
        if (io_uring_opcode_supported(probe, static_cast<int>(operation)) != 0)
            known_ |= uint64_t{1} << operation;
    }
    io_uring_free_probe(probe);
    // What the kernel cannot do at once it hands to threads of its own: no more than we may have.
    unsigned workers[2] = {workers_max, workers_max};
    if (workers_max != 0)
        io_uring_register_iowq_max_workers(&ring_, workers);
    return FERRY_OK;
}

// liburing 2.3 has no call for this.
void Ring::enable() noexcept {
    if (enabled_)
        return;
    // Refused, it is asked for again: until then every entry waits.
    enabled_ = io_uring_register(static_cast<unsigned>(ring_.ring_fd), IORING_REGISTER_ENABLE_RINGS,
                                 nullptr, 0) == 0;
}

void Ring::close() noexcept {
    if (scratch_ != nullptr)
        munmap(scratch_, kScratch);
    scratch_ = nullptr;
    if (open_)
        io_uring_queue_exit(&ring_);
    open_ = false;
}

// ---- entries ------------------------------------------------------------------------------------

io_uring_sqe *Ring::next(Tag tag, void *subject) noexcept {
    if (unsent() >= most_)
        submit();
    io_uring_sqe *entry;
    while ((entry = io_uring_get_sqe(&ring_)) == nullptr)
        submit();
    entry->user_data = mark(tag, subject); // Preparing it leaves this alone.
    return entry;
}

void Ring::cancel(Tag tag, void *subject) noexcept {
    io_uring_sqe *entry = next(Tag::nothing, nullptr);
    io_uring_prep_cancel64(entry, mark(tag, subject), 0);
    entry->user_data = mark(Tag::nothing, nullptr);
}

void Ring::change_timeout(Tag tag, __kernel_timespec *when) noexcept {
    io_uring_prep_timeout_update(next(Tag::nothing, nullptr), when, mark(tag, nullptr),
                                 IORING_TIMEOUT_ABS);
}

io_uring_sqe *Ring::next_of(unsigned count, Tag tag, void *subject) noexcept {
    if (io_uring_sq_space_left(&ring_) < count || unsent() + count > most_)
        submit();
    return next(tag, subject);
}

io_uring_sqe *Ring::next(Tag tag, void *subject, size_t size, void **memory) noexcept {
    size = (size + 15) & ~size_t{15};
    if (io_uring_sq_space_left(&ring_) == 0 || unsent() >= most_)
        submit();
    while (kScratch - scratch_used_ < size)
        submit();
    *memory = scratch_ + scratch_used_;
    scratch_used_ += size;
    return next(tag, subject);
}

// What the kernel would not take yet still points there.
void Ring::reuse_scratch() noexcept {
    if (unsent() == 0)
        scratch_used_ = 0;
}

void Ring::submit() noexcept {
    enable();
    io_uring_submit(&ring_);
    reuse_scratch();
}

void Ring::wait(uint64_t wait_ns) noexcept {
    enable();
    __kernel_timespec time = {static_cast<int64_t>(wait_ns / 1000000000u),
                              static_cast<int64_t>(wait_ns % 1000000000u)};
    io_uring_cqe *first;
    io_uring_submit_and_wait_timeout(&ring_, &first, 1, wait_ns == UINT64_MAX ? nullptr : &time,
                                     nullptr);
    reuse_scratch();
}

void Ring::glance() noexcept {
    enable();
    if (unsent() == 0 && !has_work())
        return;
    io_uring_submit_and_get_events(&ring_);
    reuse_scratch();
}

bool Ring::take(Answer *answer) noexcept {
    io_uring_cqe *cqe;
    if (io_uring_peek_cqe(&ring_, &cqe) != 0 || cqe == nullptr)
        return false;
    uint64_t data = cqe->user_data;
    *answer = {static_cast<Tag>(data >> kTagShift),
               reinterpret_cast<void *>(data & ((uint64_t{1} << kTagShift) - 1)), cqe->res,
               cqe->flags};
    io_uring_cqe_seen(&ring_, cqe);
    return true;
}

} // namespace ferry::driver::uring
