#include "runtime/channel.hpp"

#include "base/assert.hpp"

namespace ferry {

// ---- the channel --------------------------------------------------------------------------------

bool Channel::open() noexcept {
    if (capacity_ != 0)
        ring_ = static_cast<Message *>(allocator_.allocate(capacity_ * sizeof(Message)));
    return capacity_ == 0 || ring_ != nullptr;
}

void Channel::append(const Message &message) noexcept {
    uint32_t end = head_ + count_;
    ring_[end < capacity_ ? end : end - capacity_] = message;
    ++count_;
}

// As many receivers as there are messages that nobody was called for.
void Channel::call() noexcept {
    while (messages() > called_ && !receivers_.empty()) {
        Receiver *receiver = receivers_.pop();
        receiver->called_ = true;
        ++called_;
        receiver->wake();
    }
}

void Channel::dismiss_receivers() noexcept {
    while (!receivers_.empty())
        receivers_.pop()->wake();
}

void Channel::finish() noexcept {
    finished_ = true;
    while (!senders_.empty())
        senders_.pop()->wake();
    if (empty())
        dismiss_receivers();
}

Channel::Taken Channel::take() noexcept {
    if (count_ == 0) {
        Sender *sender = senders_.pop();
        return {sender->message_, sender};
    }
    Taken taken = {ring_[head_], nullptr};
    head_ = head_ + 1 < capacity_ ? head_ + 1 : 0;
    --count_;
    return taken;
}

// Only now may the place be filled: until then the message might have had to come back to it.
void Channel::settle(const Taken &taken) noexcept {
    Sender *sender = taken.sender;
    if (sender == nullptr && !senders_.empty()) {
        sender = senders_.pop();
        append(sender->message_);
    }
    if (sender != nullptr) {
        sender->taken_ = true;
        sender->leaving_ = true;
        ++leaving_;
        sender->wake();
    }
    if (finished_ && empty())
        dismiss_receivers();
}

void Channel::put_back(const Taken &taken) noexcept {
    if (taken.sender != nullptr) {
        senders_.push_front(taken.sender);
    } else {
        head_ = (head_ != 0 ? head_ : capacity_) - 1;
        ++count_;
    }
    call();
}

// ---- a sender -----------------------------------------------------------------------------------

bool Channel::Sender::await_suspend(std::coroutine_handle<> frame) noexcept {
    bool room = channel_.count_ < channel_.capacity_;
    taken_ = room;
    if (room) {
        channel_.append(message_);
        channel_.call();
        if (channel_.leaving_ == 0)
            return false;
        // Others were let in before and are about to go: sends complete in order.
        leaving_ = true;
        ++channel_.leaving_;
        suspend(frame);
        wake();
        return true;
    }
    suspend(frame);
    channel_.senders_.push(this);
    channel_.call();
    return true;
}

bool Channel::Sender::await_resume() noexcept {
    if (leaving_)
        --channel_.leaving_;
    return taken_;
}

void Channel::Sender::interrupt() noexcept {
    // Not while its message is on the way out: then it is taken.
    if (channel_.senders_.remove(this))
        wake();
}

// ---- a receiver ---------------------------------------------------------------------------------

bool Channel::Receiver::await_suspend(std::coroutine_handle<> frame) noexcept {
    if (channel_.messages() > channel_.called_) {
        called_ = true;
        ++channel_.called_;
        if (channel_.called_ == 1 && !pause_)
            return false;
        // Others were called before: theirs are the oldest messages.
        suspend(frame);
        wake();
        return true;
    }
    if (channel_.finished_ && channel_.empty())
        return false;
    suspend(frame);
    channel_.receivers_.push(this);
    return true;
}

bool Channel::Receiver::await_resume() noexcept {
    if (called_)
        --channel_.called_;
    return called_;
}

void Channel::Receiver::interrupt() noexcept {
    channel_.receivers_.remove(this);
    wake();
}

} // namespace ferry
