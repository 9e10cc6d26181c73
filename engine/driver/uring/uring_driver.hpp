// A driver on io_uring: what the shard waits on for everything is one ring.
//
// A spike, to try the seam on a driver whose kernel side works by itself. A primitive stays active
// until the kernel has answered, a cancelled one too: cancel only asks, so no memory is handed back
// early. See docs/design/002-driver-seam.md.
#pragma once

#include "driver/driver.hpp"

#include <liburing.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <atomic>

namespace ferry::driver::uring {

// Where the kernel puts received bytes that will be lent.
constexpr uint16_t kBufferCount = 64;
constexpr uint32_t kBufferSize = 16384;

// The most parts of one send; what is left of more comes with the next.
constexpr size_t kPartsMax = 64;

// What the kernel reads of a send with several parts, until it has answered.
struct Message {
    msghdr header;
    iovec parts[kPartsMax];
};

struct UringSocket final : Socket {
    explicit UringSocket(int descriptor) : fd(descriptor) {}

    int fd;
    bool canceling = false; // The receive in progress.
    bool accepting = false; // A listener's multishot accept is in the kernel.
    bool closed = false;    // A listener that waits for the end of that.
    // A stream's bytes that have arrived and found no room: a provided buffer and what is left in
    // it.
    uint16_t arrived_id = 0;
    uint32_t arrived_begin = 0;
    uint32_t arrived_end = 0;
    union {
        void *block = nullptr; // A stream's Message or address while the kernel reads it.
        UringSocket *waiting;  // A listener's connections that nobody has asked for yet.
    };
    union {
        Connect *connecting = nullptr;
        UringSocket *next_waiting;
    };
    uint32_t waiting_count = 0;
};

// A whole-file load, one step after the other.
struct LoadJob {
    enum class Step : uint8_t { open, stat, read, close };

    FileLoad *load = nullptr;
    Step step = Step::open;
    bool canceling = false;
    int fd = -1;
    Outcome outcome;
    char *data = nullptr;
    size_t size = 0; // Of data.
    size_t used = 0;
    size_t block = 0; // Size of this block, the path behind it included.
    struct statx stat;
    char beyond[4096]; // Where to read once data is full: the file may have grown.

    char *path() noexcept { return reinterpret_cast<char *>(this + 1); }
};

class UringDriver final : public Driver {
  public:
    explicit UringDriver(const Environment &environment) : environment_(environment) {}
    ferry_status open() noexcept;

    const char *name() const noexcept override { return "uring"; }
    void dispose() noexcept override;
    uint64_t now_ns() const noexcept override;
    void poll(uint64_t until_ns) noexcept override;
    void flush() noexcept override;
    void wake() noexcept override;
    int descriptor() const noexcept override { return watched_fd_; }
    void keep_until(uint64_t until_ns) noexcept override;

    Outcome listen(const ferry_address &address, uint32_t backlog, bool reuse_port,
                   Socket **socket) noexcept override;
    void start_accept(Socket &listener) noexcept override;
    void cancel_accept(Socket &listener) noexcept override;
    void start_connect(Connect &connect) noexcept override;
    void cancel_connect(Connect &connect) noexcept override;
    void start_receive(Socket &stream) noexcept override;
    void cancel_receive(Socket &stream) noexcept override;
    bool send(Socket &stream, const ConstSpan *spans, size_t count,
              Outcome *outcome) noexcept override;
    void cancel_send(Socket &stream) noexcept override;
    void close(Socket &socket) noexcept override;

    void start_load(FileLoad &load) noexcept override;
    void cancel_load(FileLoad &load) noexcept override;

    void abandon(Socket &socket) noexcept override;
    void abandon_all() noexcept override;

  private:
    ~UringDriver() = default;
    friend class ferry::Allocator;

    // What an entry is about, in the low bits of the pointer to it.
    enum class Tag : uint64_t { nothing, accept, receive, send, connect, load, wake, timer };

    io_uring_sqe *next() noexcept;
    static void mark(io_uring_sqe *sqe, Tag tag, void *subject) noexcept;
    void ask_to_cancel(Tag tag, void *subject) noexcept;
    void enable() noexcept;
    void deliver() noexcept;
    void dispatch(const io_uring_cqe &cqe) noexcept;

    Outcome make_socket(int fd, UringSocket **socket) noexcept;
    void free_socket(UringSocket &socket) noexcept;
    void arm_accept(UringSocket &listener) noexcept;
    void give_waiting(UringSocket &listener) noexcept;
    void accepted(UringSocket &listener, int result, bool more) noexcept;
    void connected(UringSocket &socket, int result) noexcept;
    void arm_receive(UringSocket &stream) noexcept;
    void received(UringSocket &stream, int result, uint32_t flags) noexcept;
    void hand_out(UringSocket &stream) noexcept;
    void provide(uint16_t id) noexcept;
    void sent(UringSocket &stream, int result) noexcept;

    void step(LoadJob &job, int result) noexcept;
    Outcome opened(LoadJob &job, int result) noexcept;
    Outcome read(LoadJob &job, int result) noexcept;
    Outcome resize(LoadJob &job, size_t wanted) noexcept;
    void read_on(LoadJob &job) noexcept;
    void end_load(LoadJob &job, const Outcome &outcome) noexcept;

    Environment environment_;
    io_uring ring_;
    bool ring_open_ = false;
    bool enabled_ = false;
    int wake_fd_ = -1;
    bool watching_wake_ = false;
    std::atomic<int> watched_fd_{-1}; // What the host watches, once it has asked.
    uint64_t timer_at_ns_ = UINT64_MAX;
    __kernel_timespec timer_ = {};
    io_uring_buf_ring *buffer_ring_ = nullptr;
    char *buffers_ = nullptr;
};

} // namespace ferry::driver::uring
