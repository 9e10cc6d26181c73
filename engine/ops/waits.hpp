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

// What is waited for, by what is started.
inline const char *name_of(const driver::Socket &socket) {
    return socket.is_listener ? "accept" : "receive";
}
inline const char *name_of(const driver::Transfer &) {
    return "copy";
}
inline const char *name_of(const driver::Connect &) {
    return "connect";
}
inline const char *name_of(const driver::FileLoad &) {
    return "file load";
}
inline const char *name_of(const driver::Resolve &) {
    return "name";
}
inline const char *name_of(const driver::FileCall &call) {
    switch (call.what) {
    case driver::FileCall::What::open:
        return "file open";
    case driver::FileCall::What::store:
        return "file store";
    case driver::FileCall::What::read:
        return "file read";
    case driver::FileCall::What::write:
        return "file write";
    case driver::FileCall::What::stat:
        return "file stat";
    case driver::FileCall::What::path_stat:
        return "path stat";
    case driver::FileCall::What::sync:
        return "file sync";
    case driver::FileCall::What::truncate:
        return "file truncate";
    }
    return "file";
}

// Bytes of files and copies, as they are told of.
inline void count_bytes(Shard &, const void *) {}
inline void count_bytes(Shard &shard, const driver::FileLoad *load) {
    shard.traffic().read.add(static_cast<uint64_t>(load->outcome.result));
}
inline void count_bytes(Shard &shard, const driver::FileCall *call) {
    auto bytes = static_cast<uint64_t>(call->outcome.result);
    if (call->what == driver::FileCall::What::read)
        shard.traffic().read.add(bytes);
    else if (call->what == driver::FileCall::What::write)
        shard.traffic().written.add(bytes);
    else if (call->what == driver::FileCall::What::store && call->outcome.status == FERRY_OK)
        shard.traffic().written.add(call->slices->size);
}
inline void count_bytes(Shard &shard, const driver::Transfer *transfer) {
    Shard::Traffic &traffic = shard.traffic();
    auto bytes = static_cast<uint64_t>(transfer->outcome.result);
    bool from_file = Id{transfer->from->handle}.kind() == Kind::file;
    bool to_file = Id{transfer->to->handle}.kind() == Kind::file;
    (from_file ? traffic.read : traffic.received).add(bytes);
    (to_file ? traffic.written : traffic.sent).add(bytes);
}

// A primitive of the driver, by how it is started and cancelled, and what of the shard's may have done it
// before. Its outcome stays in it. Interrupted
// before it was started, it has the outcome FERRY_E_CANCELED.
template <class Target, auto Member, auto Start, auto Cancel, auto Before = nullptr>
class PrimitiveWait final : public coro::Wait {
  public:
    PrimitiveWait(Op *op, Target &target) : Wait(*op), target_(target) {}

    bool await_ready() noexcept {
        if (interrupted()) {
            primitive().outcome = {.status = FERRY_E_CANCELED};
            return true;
        }
        if constexpr (std::is_same_v<decltype(Before), std::nullptr_t>)
            return false;
        else
            return (shard().*Before)(target_);
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
    void await_resume() const noexcept {
        // A gathering receive tells nobody yet of what has come.
        if constexpr (!std::is_same_v<decltype(Before), std::nullptr_t>)
            shard().traffic().received.add(static_cast<uint64_t>(target_.receive.outcome.result));
        else
            count_bytes(shard(), &target_);
    }
    void interrupt() noexcept override { (driver().*Cancel)(target_); }
    const char *what() const noexcept override { return name_of(target_); }

  private:
    Shard &shard() const noexcept { return *static_cast<Shard *>(fiber().scheduler); }
    driver::Driver &driver() const noexcept { return shard().driver(); }
    driver::Primitive &primitive() noexcept {
        if constexpr (std::is_same_v<decltype(Member), std::nullptr_t>)
            return target_;
        else
            return target_.*Member;
    }

    Target &target_;
};

// Until the system has let go of what was received or accepted "again". It cannot be hurried.
template <auto Member, auto Stop> class StopWait final : public coro::Wait {
  public:
    StopWait(Op *op, driver::Socket &socket)
        : Wait(*op), socket_(socket), outcome_((socket.*Member).outcome) {}

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> frame) noexcept {
        driver::Primitive &primitive = socket_.*Member;
        primitive.active = true;
        primitive.wait = nullptr;
        (static_cast<Shard *>(fiber().scheduler)->driver().*Stop)(socket_);
        if (!primitive.active)
            return false;
        suspend(frame);
        primitive.wait = this;
        return true;
    }
    // What came of it before is still to be told.
    void await_resume() const noexcept { (socket_.*Member).outcome = outcome_; }
    void interrupt() noexcept override {}
    const char *what() const noexcept override { return "stop"; }

  private:
    driver::Socket &socket_;
    const driver::Outcome outcome_;
};

using driver::Driver;
using StopReceive = StopWait<&driver::Socket::receive, &Driver::stop_receive>;
using StopAccept = StopWait<&driver::Socket::accept, &Driver::stop_accept>;
using AcceptWait = PrimitiveWait<driver::Socket, &driver::Socket::accept, &Driver::start_accept,
                                 &Driver::cancel_accept>;
// What the stream has: its rest, else what arrives.
using ReceiveWait = PrimitiveWait<driver::Socket, &driver::Socket::receive, &Driver::start_receive,
                                  &Driver::cancel_receive, &Shard::receive_rest>;
// What arrives, behind the rest if there is one.
using GatherWait = PrimitiveWait<driver::Socket, &driver::Socket::receive, &Driver::start_receive,
                                 &Driver::cancel_receive>;
using TransferWait =
    PrimitiveWait<driver::Transfer, nullptr, &Driver::start_transfer, &Driver::cancel_transfer>;
using ConnectWait =
    PrimitiveWait<driver::Connect, nullptr, &Driver::start_connect, &Driver::cancel_connect>;
using LoadWait =
    PrimitiveWait<driver::FileLoad, nullptr, &Driver::start_load, &Driver::cancel_load>;
using FileWait =
    PrimitiveWait<driver::FileCall, nullptr, &Driver::start_file, &Driver::cancel_file>;
using ResolveWait =
    PrimitiveWait<driver::Resolve, nullptr, &Driver::start_resolve, &Driver::cancel_resolve>;

// Until the others that are ready have run.
class YieldWait final : public coro::Wait {
  public:
    explicit YieldWait(Op *op) : Wait(*op) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> frame) noexcept {
        suspend(frame);
        wake();
    }
    void await_resume() const noexcept {}
    void interrupt() noexcept override {} // It is ready again: nobody asks.
    const char *what() const noexcept override { return "turn of the loop"; }
};

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
    const char *what() const noexcept override { return "timer"; }

  private:
    Op *op() const noexcept { return static_cast<Op *>(&fiber()); }

    uint64_t until_ns_;
};

// Until all of some bytes are sent, or the stream fails. outcome() then tells how many were taken;
// FERRY_OK only if that is all.
class SendWait : public coro::Wait {
  public:
    SendWait(Op *op, driver::Socket &socket, const ferry_slice *slices, size_t count)
        : Wait(*op), socket_(socket) {
        outgoing_.slices = slices;
        for (size_t i = 0; i < count; ++i)
            outgoing_.left += slices[i].size;
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
    const char *what() const noexcept override { return outgoing_.turn ? "send turn" : "send"; }

    driver::Outcome outcome() const noexcept {
        driver::Outcome outcome = outgoing_.outcome;
        outcome.result = static_cast<int64_t>(outgoing_.taken);
        if (outcome.status == FERRY_OK && outgoing_.left != 0)
            outcome.status = FERRY_E_CANCELED;
        return outcome;
    }

  protected:
    ~SendWait() = default;
    Shard &shard() const noexcept { return *static_cast<Shard *>(fiber().scheduler); }

    driver::Socket &socket_;
    driver::Outgoing outgoing_;
};

class BytesWait final : public SendWait {
  public:
    using SendWait::SendWait;
};

// For one's turn to send, which lasts as long as this lives. Not come when outcome() is a failure.
class TurnWait final : public SendWait {
  public:
    TurnWait(Op *op, driver::Socket &socket) : SendWait(op, socket, nullptr, 0) {
        outgoing_.turn = true;
    }
    ~TurnWait() {
        if (outgoing_.has_turn)
            shard().pass(socket_, outgoing_);
    }

    driver::Outcome outcome() const noexcept {
        if (outgoing_.has_turn || outgoing_.outcome.status != FERRY_OK)
            return outgoing_.outcome;
        return {.status = FERRY_E_CANCELED};
    }
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
    const char *what() const noexcept override { return "close"; }

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
    explicit Hold(Op *op) : Hold(op, op->target) {}
    Hold(Op *op, uint64_t handle) : shard_(op->shard()) {
        HandleSlot *slot;
        status_ = shard_.look_up(handle, &slot);
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
