// Intrusive lists: an element carries its own links, so that linking never allocates.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ferry {

// First in, first out. One thread.
template <class T, T *T::*Next> class Fifo {
  public:
    bool empty() const noexcept { return head_ == nullptr; }
    T *front() const noexcept { return head_; }

    void push(T *element) noexcept {
        element->*Next = nullptr;
        if (head_ == nullptr)
            head_ = element;
        else
            tail_->*Next = element;
        tail_ = element;
    }

    T *pop() noexcept {
        T *element = head_;
        if (element != nullptr) {
            head_ = element->*Next;
            element->*Next = nullptr;
        }
        return element;
    }

    // Linear: for cancellation only.
    bool remove(T *element) noexcept {
        T *before = nullptr;
        for (T *at = head_; at != nullptr; before = at, at = at->*Next) {
            if (at != element)
                continue;
            (before == nullptr ? head_ : before->*Next) = at->*Next;
            if (tail_ == at)
                tail_ = before;
            at->*Next = nullptr;
            return true;
        }
        return false;
    }

  private:
    T *head_ = nullptr;
    T *tail_ = nullptr;
};

// First in, first out, and an element may leave from anywhere in the same time: thousands may be cancelled
// together. T derives from Line<T>::Place. One thread.
template <class T> class Line {
  public:
    class Place {
        friend class Line;
        T *next_ = nullptr;
        T **link_ = nullptr; // What points to it; null: it stands in no line.
    };

    bool empty() const noexcept { return first_ == nullptr; }
    uint32_t size() const noexcept { return size_; }
    T *front() const noexcept { return first_; }

    void push(T *element) noexcept {
        link(end_, nullptr, element);
        end_ = &element->next_;
    }
    void push_front(T *element) noexcept {
        T *second = first_;
        link(&first_, second, element);
        (second == nullptr ? end_ : second->link_) = &element->next_;
    }
    // Not when empty.
    T *pop() noexcept {
        T *element = first_;
        remove(element);
        return element;
    }
    // False: it stood in no line.
    bool remove(T *element) noexcept {
        if (element->link_ == nullptr)
            return false;
        *element->link_ = element->next_;
        (element->next_ == nullptr ? end_ : element->next_->link_) = element->link_;
        element->link_ = nullptr;
        --size_;
        return true;
    }

  private:
    void link(T **place, T *next, T *element) noexcept {
        element->next_ = next;
        element->link_ = place;
        *place = element;
        ++size_;
    }

    T *first_ = nullptr;
    T **end_ = &first_;
    uint32_t size_ = 0;
};

// Many threads push, one takes all. An element must not be pushed twice before it is taken; see the
// users for how each makes sure of that.
template <class T, T *T::*Next> class Mailbox {
  public:
    void push(T *element) noexcept {
        T *head = head_.load(std::memory_order_relaxed);
        do {
            element->*Next = head;
        } while (!head_.compare_exchange_weak(head, element, std::memory_order_seq_cst,
                                              std::memory_order_relaxed));
    }

    bool empty() const noexcept { return head_.load(std::memory_order_seq_cst) == nullptr; }

    // In the order they were pushed, linked by Next.
    T *take_all() noexcept {
        if (head_.load(std::memory_order_relaxed) == nullptr)
            return nullptr;
        T *newest = head_.exchange(nullptr, std::memory_order_acquire);
        T *oldest = nullptr;
        while (newest != nullptr) {
            T *next = newest->*Next;
            newest->*Next = oldest;
            oldest = newest;
            newest = next;
        }
        return oldest;
    }

  private:
    std::atomic<T *> head_{nullptr};
};

} // namespace ferry
