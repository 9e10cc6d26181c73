// What will happen, by simulated time.
//
// A pairing heap (Fredman, Sedgewick, Sleator, Tarjan, 1986): an event carries its own links, so that
// nothing is allocated, and leaves from anywhere. What falls due together happens in an order that the
// seed decides, which is how schedules are tried that a real system rarely shows.
#pragma once

#include <cstdint>

namespace ferry::driver::sim {

class SimDriver;

struct Event {
    void (*happen)(SimDriver &driver, void *subject) = nullptr;
    void *subject = nullptr;
    bool pending = false;

    // What it does: a member function of the driver's, with its subject.
    template <auto Member, class Driver = SimDriver, class Subject>
    void means(Subject &of) noexcept {
        subject = &of;
        happen = [](SimDriver &driver, void *its) {
            (static_cast<Driver &>(driver).*Member)(*static_cast<Subject *>(its));
        };
    }

  private:
    friend class Events;
    uint64_t at_ns_ = 0;
    uint64_t order_ = 0;
    Event *child_ = nullptr;
    Event *next_ = nullptr;     // The next child of the same parent.
    Event *previous_ = nullptr; // The child before, or the parent.
};

class Events {
  public:
    bool empty() const noexcept { return root_ == nullptr; }
    // Not when empty.
    uint64_t next_ns() const noexcept { return root_->at_ns_; }

    // Not pending. order decides between events of one time.
    void insert(Event &event, uint64_t at_ns, uint64_t order) noexcept;
    // False: it was not pending.
    bool remove(Event &event) noexcept;
    // The next one, taken out. Not when empty.
    Event &pop() noexcept;

  private:
    static bool before(const Event &one, const Event &other) noexcept;
    static Event *meld(Event *one, Event *other) noexcept;
    static Event *meld_children(Event &parent) noexcept;

    Event *root_ = nullptr;
};

} // namespace ferry::driver::sim
