#include "driver/sim/events.hpp"

#include "base/assert.hpp"

namespace ferry::driver::sim {

bool Events::before(const Event &one, const Event &other) noexcept {
    return one.at_ns_ != other.at_ns_ ? one.at_ns_ < other.at_ns_ : one.order_ < other.order_;
}

// Two roots become one. Either may be null.
Event *Events::meld(Event *one, Event *other) noexcept {
    if (one == nullptr)
        return other;
    if (other == nullptr)
        return one;
    Event *first = before(*other, *one) ? other : one;
    Event *second = first == one ? other : one;
    second->previous_ = first;
    second->next_ = first->child_;
    if (first->child_ != nullptr)
        first->child_->previous_ = second;
    first->child_ = second;
    return first;
}

// In pairs from left to right, then the pairs from right to left.
Event *Events::meld_children(Event &parent) noexcept {
    Event *pairs = nullptr; // Linked by next_, the last one first.
    for (Event *one = parent.child_; one != nullptr;) {
        Event *other = one->next_;
        Event *rest = other != nullptr ? other->next_ : nullptr;
        one->next_ = one->previous_ = nullptr;
        if (other != nullptr)
            other->next_ = other->previous_ = nullptr;
        Event *pair = meld(one, other);
        pair->next_ = pairs;
        pairs = pair;
        one = rest;
    }
    Event *all = nullptr;
    while (pairs != nullptr) {
        Event *pair = pairs;
        pairs = pair->next_;
        pair->next_ = nullptr;
        all = meld(all, pair);
    }
    parent.child_ = nullptr;
    return all;
}

void Events::insert(Event &event, uint64_t at_ns, uint64_t order) noexcept {
    FERRY_ASSERT(!event.pending);
    event.pending = true;
    event.at_ns_ = at_ns;
    event.order_ = order;
    event.child_ = event.next_ = event.previous_ = nullptr;
    root_ = meld(root_, &event);
}

bool Events::remove(Event &event) noexcept {
    if (!event.pending)
        return false;
    event.pending = false;
    if (&event == root_) {
        root_ = meld_children(event);
        return true;
    }
    (event.previous_->child_ == &event ? event.previous_->child_ : event.previous_->next_) =
        event.next_;
    if (event.next_ != nullptr)
        event.next_->previous_ = event.previous_;
    root_ = meld(root_, meld_children(event));
    return true;
}

Event &Events::pop() noexcept {
    Event &first = *root_;
    remove(first);
    return first;
}

} // namespace ferry::driver::sim
