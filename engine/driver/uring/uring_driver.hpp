// The driver for Linux: one ring is what the shard waits on for everything.
//
// It is libuv's driver with some of its primitives handed to the kernel: each start_ function asks whether
// the ring does this one (ring()), and calls its base if not. libuv's loop is turned round: its descriptor
// is polled from the ring, and it runs, without waiting, only when that says so.
//
// A primitive in the ring is active until the kernel has answered, a cancelled one too: cancel only asks.
// So nobody's memory is handed back early. See docs/design/006-io-uring.md.
#pragma once

#include "driver/uring/pieces.hpp"
#include "driver/uring/ring.hpp"
#include "driver/uv/uv_driver.hpp"

#include <atomic>

namespace ferry::driver::uring {

// Why the kernel was asked to let go of a receive or an accept.
enum class Ask : uint8_t {
    nothing,
    pause, // Something came and nobody wanted it.
    cancel,
    stop
};

struct UringSocket final : uv::UvSocket {
    using UvSocket::UvSocket;

    Ask ask = Ask::nothing;
    bool drained = false; // There was nothing more to receive the last time.
    bool broken = false;  // What came could not be kept.
    int late_error = 0;   // Came when nobody received.
    // A listener's connections that nobody has asked for yet, in the order of their arrival.
    Socket *waiting = nullptr;
};

struct LoadSteps;

class UringDriver final : public uv::UvDriver {
  public:
    explicit UringDriver(const Environment &environment) : UvDriver(environment) {}

    const char *name() const noexcept override { return ring_.is_open() ? "uring" : "uv"; }
    uint64_t ring() const noexcept override { return doing_; }
    void dispose() noexcept override;
    ferry_status begin() noexcept override;
    void poll(uint64_t until_ns) noexcept override;
    bool more() const noexcept override;
    bool closing() const noexcept override { return closing_ != 0; }
    uint64_t step_ns() const noexcept override;
    void flush() noexcept override;
    void wake() noexcept override;
    int descriptor() const noexcept override;
    void keep_until(uint64_t until_ns) noexcept override;

    void start_accept(Socket &listener) noexcept override;
    void cancel_accept(Socket &listener) noexcept override;
    void stop_accept(Socket &listener) noexcept override;
    void start_connect(Connect &connect) noexcept override;
    void cancel_connect(Connect &connect) noexcept override;
    void start_receive(Socket &stream) noexcept override;
    void cancel_receive(Socket &stream) noexcept override;
    void stop_receive(Socket &stream) noexcept override;
    bool send(Socket &stream, const ConstSpan *spans, size_t count,
              Outcome *outcome) noexcept override;
    void cancel_send(Socket &stream) noexcept override;
    void close(Socket &socket) noexcept override;
    Outcome release(Resource &resource) noexcept override;

    void start_load(FileLoad &load) noexcept override;
    void cancel_load(FileLoad &load) noexcept override;
    void start_file(FileCall &call) noexcept override;
    void cancel_file(FileCall &call) noexcept override;
    void close(File &file) noexcept override;

    void abandon(Socket &socket) noexcept override;
    void abandon_all() noexcept override;

  private:
    ~UringDriver() = default;
    friend class ferry::Allocator;

    bool does(uint64_t what) const noexcept { return (doing_ & what) != 0; }
    uint64_t ask_kernel() const noexcept;

    uv::UvSocket *wrap(int fd, Outcome *outcome) noexcept override;
    void free_socket(uv::UvSocket &socket) noexcept override;

    void keep_watch() noexcept;
    void wait(uint64_t until_ns) noexcept;
    void wait_as_host(uint64_t wait_ns) noexcept;
    bool host_watches() const noexcept { return host_watches_.load(std::memory_order_relaxed); }
    void deliver() noexcept;
    void dispatch(const Answer &answer) noexcept;
    bool run_libuv() noexcept;

    void arm_accept(UringSocket &listener) noexcept;
    void accepted(UringSocket &listener, const Answer &answer) noexcept;
    void give_waiting(UringSocket &listener) noexcept;
    void drop_waiting(UringSocket &listener) noexcept;
    void accept_ended(UringSocket &listener) noexcept;
    void connected(UringSocket &socket, int result) noexcept;

    void ask_for(UringSocket &socket, Tag tag, Ask what) noexcept;
    void arm_receive(UringSocket &stream) noexcept;
    void received(UringSocket &stream, const Answer &answer) noexcept;
    void take_in(UringSocket &stream, uint16_t piece, size_t size) noexcept;
    bool lend(UringSocket &stream, uint16_t piece, size_t size) noexcept;
    void receive_ended(UringSocket &stream, int result) noexcept;
    void receive_failed(UringSocket &stream, int error) noexcept;
    void sent(UringSocket &stream, int result) noexcept;

    bool in_ring(const FileCall &call) const noexcept;
    void arm_call(FileCall &call) noexcept;
    void arm_transfer(FileCall &call, int fd) noexcept;
    void called(FileCall &call, int result) noexcept;
    void moved(FileCall &call, uint64_t bytes) noexcept;
    void opened(FileCall &call, int result) noexcept;
    void closed(uv::UvFile &file, int result) noexcept;
    void load_step(LoadSteps &steps, int result) noexcept;
    void load_opened(LoadSteps &steps, int fd) noexcept;
    void load_closed(LoadSteps &steps) noexcept;
    void end_load(LoadSteps &steps, const Outcome &outcome) noexcept;

    Ring ring_;
    Pieces pieces_;
    uint64_t doing_ = 0;
    int wake_fd_ = -1;
    uint32_t closing_ = 0; // Files.
    bool wake_watched_ = false;
    bool loop_watched_ = false;
    bool loop_ready_ = false;
    bool left_over_ = false; // Answers that there was no time for.
    uint64_t ring_step_ns_ = 0;
    int host_fd_ = -1; // What the host watches: an eventfd that the kernel signals.
    std::atomic<bool> host_watches_{false};
    uint64_t timer_at_ns_ = UINT64_MAX;
    __kernel_timespec timer_ = {};
};

inline UringSocket &own(Socket &socket) {
    return static_cast<UringSocket &>(socket);
}

// An answer's error as an outcome.
Outcome failure_of(int result) noexcept;

} // namespace ferry::driver::uring
