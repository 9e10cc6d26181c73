// What operations co_await. Each wait lives in the coroutine's frame while it is suspended.
#pragma once

#include "coro/fiber.hpp"
#include "driver/driver.hpp"
#include "runtime/op.hpp"
#include "runtime/shard.hpp"

#include <ferry/status.h>

#include <coroutine>
#include <optional>

namespace ferry::ops {

// A primitive of the driver, by how it is started and cancelled. Its outcome stays in it. Interrupted
// before it was started, it has the outcome FERRY_E_CANCELED.
template <class Target, auto Member, auto Start, auto Cancel>
class PrimitiveWait final : public coro::Wait {
  public:
    PrimitiveWait(Op *op, Target &target) : Wait(*op), target_(target) {}

    bool await_ready() noexcept {
        if (!interrupted())
            return false;
        primitive().outcome = {.status = FERRY_E_CANCELED};
        return true;
    }
    bool await_suspend(std::coroutine_handle<> frame) noexcept {
        driver::Primitive &starting = primitive();
        starting.active = true;
        starting.wait = nullptr;
        (driver().*Start)(target_);
        if (!starting.active)
            return false;
        suspend(frame);
        starting.wait = this;
        return true;
    }
    void await_resume() const noexcept {}
    void interrupt() noexcept override { (driver().*Cancel)(target_); }

  private:
    driver::Driver &driver() const noexcept {
        return static_cast<Shard *>(fiber().scheduler)->driver();
    }
    driver::Primitive &primitive() noexcept {
        if constexpr (std::is_same_v<decltype(Member), std::nullptr_t>)
            return target_;
        else
            return target_.*Member;
    }

    Target &target_;
};

using driver::Driver;
using AcceptWait = PrimitiveWait<driver::Socket, &driver::Socket::accept, &Driver::start_accept,
                                 &Driver::cancel_accept>;
using ReceiveWait = PrimitiveWait<driver::Socket, &driver::Socket::receive, &Driver::start_receive,
                                  &Driver::cancel_receive>;
using ConnectWait =
    PrimitiveWait<driver::Connect, nullptr, &Driver::start_connect, &Driver::cancel_connect>;
using LoadWait =
    PrimitiveWait<driver::FileLoad, nullptr, &Driver::start_load, &Driver::cancel_load>;
using ResolveWait =
    PrimitiveWait<driver::Resolve, nullptr, &Driver::start_resolve, &Driver::cancel_resolve>;

// Until a time; ends early when interrupted.
class SleepWait final : public coro::Wait {
  public:
    SleepWait(Op *op, uint64_t until_ns) : Wait(*op), until_ns_(until_ns) {}

    bool await_ready() const noexcept { return interrupted(); }
    void await_suspend(std::coroutine_handle<> frame) noexcept {
        suspend(frame);
        op()->shard().set_sleep(op(), until_ns_);
    }
    void await_resume() const noexcept {}
    void interrupt() noexcept override {
        op()->shard().end_sleep(op());
        wake();
    }

  private:
    Op *op() const noexcept { return static_cast<Op *>(&fiber()); }

    uint64_t until_ns_;
};

// Until all of some bytes are sent, or the stream fails. outcome() then tells how many were taken;
// FERRY_OK only if that is all.
class SendWait final : public coro::Wait {
  public:
    SendWait(Op *op, driver::Socket &socket, const void *data, size_t size)
        : Wait(*op), socket_(socket) {
        outgoing_.data = static_cast<const char *>(data);
        outgoing_.size = size;
        outgoing_.wait = this;
        outgoing_.fiber = op;
    }

    bool await_ready() const noexcept { return interrupted(); }
    void await_suspend(std::coroutine_handle<> frame) noexcept {
        suspend(frame);
        shard().enqueue(socket_, outgoing_);
    }
    void await_resume() const noexcept {}
    void interrupt() noexcept override { shard().drop_interrupted(socket_); }

    driver::Outcome outcome() const noexcept {
        driver::Outcome outcome = outgoing_.outcome;
        outcome.result = static_cast<int64_t>(outgoing_.taken);
        if (outcome.status == FERRY_OK && outgoing_.taken < outgoing_.size)
            outcome.status = FERRY_E_CANCELED;
        return outcome;
    }

  private:
    Shard &shard() const noexcept { return *static_cast<Shard *>(fiber().scheduler); }

    driver::Socket &socket_;
    driver::Outgoing outgoing_;
};

// Until a handle is closed. It cannot be hurried.
class CloseWait final : public driver::Closer {
  public:
    CloseWait(Op *op, HandleSlot &slot) : Closer(*op), slot_(slot) {}

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> frame) noexcept {
        suspend(frame);
        if (!static_cast<Shard *>(fiber().scheduler)->close(slot_, this))
            return true;
        wake_now();
        return false;
    }
    void await_resume() const noexcept {}
    void interrupt() noexcept override {}

  private:
    HandleSlot &slot_;
};

// For room in the queue, after emit() found none.
inline coro::ListWait room(Op *op) {
    return {*op, op->shard().room()};
}

// An operation's hold on its target: while it lives, the socket does. Empty when the handle is not to be
// had; status() tells why.
class Hold {
  public:
    explicit Hold(Op *op) : shard_(op->shard()) {
        HandleSlot *slot;
        status_ = shard_.look_up(op->target, &slot);
        if (status_ != FERRY_OK)
            return;
        socket_ = static_cast<driver::Socket *>(slot->resource);
        shard_.hold(*socket_);
    }
    ~Hold() {
        if (socket_ == nullptr)
            return;
        if (reads_)
            socket_->reader = nullptr;
        shard_.let_go(*socket_);
    }
    Hold(const Hold &) = delete;
    Hold &operator=(const Hold &) = delete;

    int32_t status() const noexcept { return status_; }
    driver::Socket &socket() const noexcept { return *socket_; }

    // Be the one operation that receives or accepts; FERRY_E_BUSY if there is another.
    int32_t read(Op *op) noexcept {
        if (status_ != FERRY_OK)
            return status_;
        if (socket_->reader != nullptr)
            return FERRY_E_BUSY;
        socket_->reader = op;
        reads_ = true;
        return FERRY_OK;
    }

  private:
    Shard &shard_;
    driver::Socket *socket_ = nullptr;
    int32_t status_;
    bool reads_ = false;
};

// The same for files and channels, which many operations may be at work on.
template <class T> class SharedHold {
  public:
    SharedHold(Op *op, uint64_t handle) : shard_(op->shard()) {
        HandleSlot *slot;
        status_ = shard_.look_up(handle, &slot);
        if (status_ != FERRY_OK)
            return;
        resource_ = static_cast<T *>(slot->resource);
        shard_.hold(*resource_);
        user_.emplace(*resource_, *op);
    }
    ~SharedHold() {
        if (resource_ == nullptr)
            return;
        user_.reset();
        shard_.let_go(*resource_);
    }
    SharedHold(const SharedHold &) = delete;
    SharedHold &operator=(const SharedHold &) = delete;

    int32_t status() const noexcept { return status_; }
    T &operator*() const noexcept { return *resource_; }
    T *operator->() const noexcept { return resource_; }

  private:
    Shard &shard_;
    T *resource_ = nullptr;
    int32_t status_;
    std::optional<driver::SharedResource::User> user_;
};

// The end of an operation that did not get what it waited for: the reason it was interrupted for is told
// rather than the driver's word for it.
inline Ending failure(const Op *op, const driver::Outcome &outcome, uint32_t flags = 0) {
    int32_t status = outcome.status;
    if (status == FERRY_E_CANCELED && op->interrupted != 0)
        status = op->interrupted;
    return {
        .status = status, .os_error = outcome.os_error, .result = outcome.result, .flags = flags};
}

inline Ending interrupted(const Op *op, uint32_t flags = FERRY_REUSABLE) {
    return {.status = op->interrupted, .flags = flags};
}

} // namespace ferry::ops
