// Bytes from one stream or file to another, inside the kernel where it can.
//
//     file to stream     sendfile           on a worker until the socket is full, then the loop waits for room
//     file to file       copy_file_range    on a worker
//     stream to stream   splice             on the loop, through a pipe: from memory to memory
//     stream to file     splice             into the pipe on the loop, out of it on a worker
//
// Where the kernel refuses (files of /proc, files that are only appended to, other file systems), through a
// buffer. What is neither a socket nor of a fixed size (a pipe, a terminal) is polled before each call:
// adopted descriptors may be blocking, and a worker that hangs in one could not be stopped.
#include "driver/os.hpp"
#include "driver/uv/file_calls.hpp"
#include "driver/uv/status.hpp"
#include "driver/uv/uv_driver.hpp"

#include <ferry/status.h>

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <new>
#include <poll.h>
#include <unistd.h>

namespace ferry::driver::uv {

// What the transfer needs to go on.
enum class Need : uint8_t { more, input, room, nothing };

struct TransferJob final : UvJob {
    Transfer *transfer = nullptr;
    UvSocket *from_stream = nullptr; // Null: it is a file.
    UvSocket *to_stream = nullptr;
    int from = -1;
    int to = -1;
    int pipe[2] = {-1, -1};
    bool from_waits = false; // A file without a size and a position: it must be polled.
    bool to_waits = false;
    bool by_kernel = true; // It has not refused.
    bool at_worker = false;
    Need need = Need::more;
    size_t in_pipe = 0;
    const char *data = nullptr; // What comes next of all: the head, later what is in the buffer.
    size_t data_size = 0;
    char *buffer = nullptr;
    uint64_t left = 0;  // To be taken from the source.
    uint64_t moved = 0; // Arrived.
    off_t from_at = 0;
    off_t to_at = 0;
    std::atomic<bool> stop{false};
    const Allocator *allocator = nullptr;
    TransferJob *next = nullptr;
    TransferJob **link = nullptr;
};

// One call moves no more than this, and a transfer can be stopped after each.
static constexpr size_t kSlice = size_t{1} << 20;
static constexpr size_t kBuffer = 65536;
// What a pipe takes at once, if it is ready at all.
static constexpr size_t kPipeSlice = 4096;
static constexpr int kPatienceMs = 20;
// After so many rounds on the loop others have their turn.
static constexpr int kRounds = 8;

// ---- moving, on a worker or on the loop ---------------------------------------------------------

// False: look whether to stop, and ask again.
static bool is_ready(int fd, short events) {
    pollfd wanted = {.fd = fd, .events = events, .revents = 0};
    return poll(&wanted, 1, kPatienceMs) > 0;
}

static Need fail(TransferJob &job, int error) {
    if (error == EINTR)
        return Need::more;
    if (error == EAGAIN)
        return job.to_stream != nullptr ? Need::room : Need::more;
    job.outcome = file_failure(error, 0);
    return Need::nothing;
}

// What is in memory to the destination.
static Need write_out(TransferJob &job) {
    size_t size = job.data_size;
    ssize_t written;
    if (job.to_stream != nullptr) {
        written = ::send(job.to, job.data, size, MSG_NOSIGNAL);
    } else if (!job.to_waits) {
        written = pwrite(job.to, job.data, size, job.to_at);
    } else {
        if (!is_ready(job.to, POLLOUT))
            return Need::more;
        written = write(job.to, job.data, std::min(size, kPipeSlice));
    }
    if (written < 0)
        return fail(job, errno);
    job.data += written;
    job.data_size -= static_cast<size_t>(written);
    job.moved += static_cast<uint64_t>(written);
    job.to_at += written;
    return Need::more;
}

// From the source into memory.
static Need read_in(TransferJob &job) {
    if (job.buffer == nullptr)
        job.buffer = static_cast<char *>(job.allocator->allocate(kBuffer));
    if (job.buffer == nullptr) {
        job.outcome = {.status = FERRY_E_NO_MEMORY};
        return Need::nothing;
    }
    if (job.from_waits && !is_ready(job.from, POLLIN))
        return Need::more;
    bool piped = job.from_stream != nullptr;
    size_t size = std::min<uint64_t>(piped ? job.in_pipe : job.left, kBuffer);
    ssize_t got = piped            ? read(job.pipe[0], job.buffer, size)
                  : job.from_waits ? read(job.from, job.buffer, size)
                                   : pread(job.from, job.buffer, size, job.from_at);
    if (got < 0)
        return errno == EAGAIN ? Need::more : fail(job, errno);
    if (got == 0)
        job.left = 0;
    else if (piped)
        job.in_pipe -= static_cast<size_t>(got);
    else
        job.left -= static_cast<uint64_t>(got);
    job.from_at += got;
    job.data = job.buffer;
    job.data_size = static_cast<size_t>(got);
    return Need::more;
}

static ssize_t call_kernel(TransferJob &job, size_t size) {
    if (job.from_stream != nullptr) {
        off_t *to_at = job.to_stream != nullptr ? nullptr : &job.to_at;
        return splice(job.pipe[0], nullptr, job.to, to_at, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    }
    if (job.to_stream != nullptr)
        return sendfile(job.to, job.from, &job.from_at, size);
    return copy_file_range(job.from, &job.from_at, job.to, &job.to_at, size, 0);
}

static Need move_by_kernel(TransferJob &job) {
    bool piped = job.from_stream != nullptr;
    size_t size = std::min<uint64_t>(piped ? job.in_pipe : job.left, kSlice);
    ssize_t moved = call_kernel(job, size);
    if (moved < 0 && (errno == EINTR || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET))
        return fail(job, errno);
    if (moved <= 0) {
        job.by_kernel =
            false; // Reading and writing will tell what is the matter, or that it has ended.
        return Need::more;
    }
    if (piped)
        job.in_pipe -= static_cast<size_t>(moved);
    else
        job.left -= static_cast<uint64_t>(moved);
    job.moved += static_cast<uint64_t>(moved);
    return Need::more;
}

static Need move_some(TransferJob &job) {
    if (job.data_size != 0)
        return write_out(job);
    if (job.in_pipe == 0 && job.left == 0)
        return Need::nothing;
    if (job.in_pipe == 0 && job.from_stream != nullptr)
        return Need::input;
    return job.by_kernel ? move_by_kernel(job) : read_in(job);
}

static void work_on(UvJob &base) {
    auto &job = static_cast<TransferJob &>(base);
    do
        job.need = move_some(job);
    while (job.need == Need::more && !job.stop.load(std::memory_order_relaxed));
}

// ---- on the loop --------------------------------------------------------------------------------

// From the source stream into the empty pipe.
static Need fill_pipe(TransferJob &job) {
    size_t size = std::min<uint64_t>(job.left, kBuffer);
    ssize_t got =
        splice(job.from, nullptr, job.pipe[1], nullptr, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (got < 0 && errno == EAGAIN)
        return Need::input;
    if (got < 0)
        return fail(job, errno);
    job.in_pipe = static_cast<size_t>(got);
    job.left = got == 0 ? 0 : job.left - static_cast<uint64_t>(got);
    return Need::more;
}

static Need move_on_loop(TransferJob &job) {
    if (job.to_stream == nullptr)
        return fill_pipe(job);
    os::NoSigpipe guard;
    Need need = Need::more;
    for (int round = 0; need == Need::more && round < kRounds; ++round) {
        need = move_some(job);
        if (need == Need::input)
            need = fill_pipe(job);
    }
    return need;
}

void UvDriver::go_on(TransferJob &job) noexcept {
    bool wants_input =
        job.from_stream != nullptr && job.in_pipe == 0 && job.data_size == 0 && job.left != 0;
    if (job.from_stream != nullptr && (job.to_stream != nullptr || wants_input))
        job.need = move_on_loop(job);
    if (job.need == Need::nothing)
        end_transfer(job, job.outcome);
    else if (job.from_stream != nullptr && job.need == Need::input)
        await_input(job);
    else if (job.from_stream == nullptr || job.to_stream == nullptr)
        hand_to_worker(job);
    else
        await_room(job); // If there is room already, others have their turn before it.
}

void UvDriver::hand_to_worker(TransferJob &job) noexcept {
    job.at_worker = true;
    if (submit(job))
        return;
    job.at_worker = false;
    end_transfer(job, {.status = FERRY_E_NO_MEMORY}); // No thread to be had.
}

// Back from the worker.
static void finish_slice(UvJob &base) {
    auto &job = static_cast<TransferJob &>(base);
    job.at_worker = false;
    if (!job.driver->disposing())
        job.driver->come_back(job);
}

void UvDriver::come_back(TransferJob &job) noexcept {
    if (job.need == Need::nothing)
        end_transfer(job, job.outcome);
    else if (job.stop.load(std::memory_order_relaxed))
        end_transfer(job, {.status = FERRY_E_CANCELED});
    else if (job.need == Need::room)
        await_room(job);
    else
        go_on(job);
}

void UvDriver::await_input(TransferJob &job) noexcept {
    UvSocket &source = *job.from_stream;
    source.feeds = true;
    source.receive.memory = &job;
    if (!watch(source, source.watched | UV_READABLE))
        end_transfer(job, {.status = FERRY_E_NO_MEMORY});
}

void UvDriver::await_room(TransferJob &job) noexcept {
    UvSocket &destination = *job.to_stream;
    destination.drains = true;
    destination.drain = &job;
    if (!watch(destination, destination.watched | UV_WRITABLE))
        end_transfer(job, {.status = FERRY_E_NO_MEMORY});
}

void UvDriver::input_ready(UvSocket &socket) noexcept {
    socket.feeds = false;
    go_on(*static_cast<TransferJob *>(socket.receive.memory));
}

void UvDriver::output_ready(UvSocket &socket) noexcept {
    TransferJob &job = *socket.drain;
    socket.drains = false;
    socket.drain = nullptr;
    go_on(job);
}

// ---- beginning and ending -----------------------------------------------------------------------

// A pipe, a terminal: it is read and written without a position, and may keep one waiting.
static bool waits(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode));
}

static Outcome describe(const Transfer &transfer, TransferJob &job) {
    if (Id{transfer.from->handle}.kind() == Kind::file) {
        job.from = static_cast<UvFile *>(transfer.from)->fd.load(std::memory_order_relaxed);
        job.from_waits = waits(job.from);
    } else {
        job.from_stream = &own(*static_cast<Socket *>(transfer.from));
        job.from = job.from_stream->fd;
        if (pipe2(job.pipe, O_CLOEXEC | O_NONBLOCK) != 0)
            return outcome_of(errno);
    }
    if (Id{transfer.to->handle}.kind() == Kind::file) {
        job.to = static_cast<UvFile *>(transfer.to)->fd.load(std::memory_order_relaxed);
        job.to_waits = waits(job.to);
    } else {
        job.to_stream = &own(*static_cast<Socket *>(transfer.to));
        job.to = job.to_stream->fd;
    }
    job.by_kernel = !job.from_waits && !job.to_waits;
    job.data = static_cast<const char *>(transfer.head);
    job.data_size = transfer.head_size;
    job.left = transfer.size - transfer.head_size;
    job.from_at = static_cast<off_t>(transfer.from_offset);
    job.to_at = static_cast<off_t>(transfer.to_offset);
    return {};
}

void UvDriver::start_transfer(Transfer &transfer) noexcept {
    void *memory = environment_.blocks.allocate(sizeof(TransferJob));
    if (memory == nullptr) {
        transfer.complete({.status = FERRY_E_NO_MEMORY});
        return;
    }
    auto *job = ::new (memory) TransferJob();
    job->driver = this;
    job->work = work_on;
    job->drop = finish_slice;
    job->allocator = &environment_.allocator;
    job->transfer = &transfer;
    transfer.job = job;
    job->next = transfers_;
    job->link = &transfers_;
    if (transfers_ != nullptr)
        transfers_->link = &job->next;
    transfers_ = job;
    Outcome outcome = describe(transfer, *job);
    if (outcome.status != FERRY_OK)
        end_transfer(*job, outcome);
    else
        go_on(*job);
}

void UvDriver::cancel_transfer(Transfer &transfer) noexcept {
    auto &job = *static_cast<TransferJob *>(transfer.job);
    job.stop.store(true, std::memory_order_relaxed);
    if (job.at_worker) {
        if (!environment_.workers.withdraw(&job))
            return; // It comes back soon.
        --jobs_;
    }
    end_transfer(job, {.status = FERRY_E_CANCELED});
}

static void free_inside(TransferJob &job) {
    for (int end : job.pipe) {
        if (end >= 0)
            ::close(end);
    }
    if (job.buffer != nullptr)
        job.allocator->free(job.buffer, kBuffer);
}

void UvDriver::end_transfer(TransferJob &job, Outcome outcome) noexcept {
    if (job.from_stream != nullptr)
        job.from_stream->feeds = false;
    if (job.to_stream != nullptr && job.to_stream->drains) {
        watch(*job.to_stream, job.to_stream->watched & ~UV_WRITABLE);
        job.to_stream->drains = false;
        job.to_stream->drain = nullptr;
    }
    Transfer &transfer = *job.transfer;
    bool buffered = job.data_size != 0 && job.buffer != nullptr;
    transfer.torn =
        job.in_pipe != 0 || (buffered && (job.from_stream != nullptr || job.from_waits));
    outcome.result = static_cast<int64_t>(job.moved);
    free_inside(job);
    *job.link = job.next;
    if (job.next != nullptr)
        job.next->link = job.link;
    environment_.blocks.free(&job, sizeof(TransferJob));
    transfer.complete(outcome);
}

// In a fork's child, where no worker lives.
void UvDriver::abandon_transfers() noexcept {
    for (TransferJob *job = transfers_; job != nullptr; job = job->next)
        free_inside(*job);
}

} // namespace ferry::driver::uv
