// A channel: a bounded queue of messages and the operations that wait at either end.
//
// It lives on one shard; what other threads want of it comes through the shard's inbox, so there is no
// lock. A message stays in the channel until its receiver has told of it: a receive is only *called* when
// there is one, and takes the oldest when it runs. So nothing has to be put back when the receiver has
// ended or its queue is full, and messages leave in the order they came, whoever receives them.
#pragma once

#include "base/allocator.hpp"
#include "base/lists.hpp"
#include "coro/fiber.hpp"
#include "driver/resource.hpp"

#include <coroutine>
#include <cstdint>

namespace ferry {

struct Message {
    int64_t result;
    uint64_t data_u64;
};

class Channel : public driver::SharedResource {
  public:
    class Sender;
    class Receiver;

    // The oldest message, taken out; and who brings it, when that one still waits for its receiver.
    struct Taken {
        Message message;
        Sender *sender;
    };

    Channel(const Allocator &allocator, uint32_t capacity) noexcept
        : allocator_(allocator), capacity_(capacity) {}
    ~Channel() { allocator_.free_array(ring_, capacity_); }
    Channel(const Channel &) = delete;
    Channel &operator=(const Channel &) = delete;

    // False: no memory.
    bool open() noexcept;

    bool empty() const noexcept { return messages() == 0; }
    bool finished() const noexcept { return finished_; }
    void finish() noexcept;

    // Not when empty. After it either settle(): the message is told of, or put_back().
    Taken take() noexcept;
    void settle(const Taken &taken) noexcept;
    void put_back(const Taken &taken) noexcept;

  private:
    // Those of waiting senders, too: a sender waits with its message.
    uint32_t messages() const noexcept { return count_ + senders_.size(); }
    void append(const Message &message) noexcept;
    void call() noexcept;
    void dismiss_receivers() noexcept;

    const Allocator &allocator_;
    const uint32_t capacity_;
    Message *ring_ = nullptr;
    uint32_t head_ = 0;
    uint32_t count_ = 0;
    uint32_t called_ = 0;  // Receivers that were called and have not come yet.
    uint32_t leaving_ = 0; // Senders that were let in and have not gone yet.
    bool finished_ = false;
    Line<Sender> senders_;     // The ring is full.
    Line<Receiver> receivers_; // Each message has a receiver that was called for it.
};

// co_await: until the message is in the channel, and with capacity 0 received. False: it never will be.
class Channel::Sender final : public coro::Wait, private Line<Channel::Sender>::Place {
  public:
    Sender(coro::Fiber &fiber, Channel &channel, const Message &message) noexcept
        : Wait(fiber), channel_(channel), message_(message) {}

    bool await_ready() const noexcept { return channel_.finished_; }
    bool await_suspend(std::coroutine_handle<> frame) noexcept;
    bool await_resume() noexcept;
    void interrupt() noexcept override;
    const char *what() const noexcept override { return "room in channel"; }

  private:
    friend class Channel;
    friend class Line<Sender>;
    Channel &channel_;
    const Message message_;
    bool taken_ = false;
    bool leaving_ = false;
};

// co_await: until a message is there to be taken, which may be gone again if its sender gave up. False:
// the operation is to end, or the channel is finished and empty.
class Channel::Receiver final : public coro::Wait, private Line<Channel::Receiver>::Place {
  public:
    // pause: let others run first, even if there is a message.
    Receiver(coro::Fiber &fiber, Channel &channel, bool pause) noexcept
        : Wait(fiber), channel_(channel), pause_(pause) {}

    bool await_ready() const noexcept { return interrupted(); }
    bool await_suspend(std::coroutine_handle<> frame) noexcept;
    bool await_resume() noexcept;
    void interrupt() noexcept override;
    const char *what() const noexcept override { return "message"; }

  private:
    friend class Channel;
    friend class Line<Receiver>;
    Channel &channel_;
    const bool pause_;
    bool called_ = false;
};

} // namespace ferry
