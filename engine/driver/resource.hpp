// What stands behind a handle: the part of a socket, file or channel that is the same for all.
#pragma once

#include "base/assert.hpp"
#include "coro/fiber.hpp"

#include <cstdint>

namespace ferry::driver {

// The close operation, waiting for the holds to go and for the system.
class Closer : public coro::Wait {
  public:
    int32_t status =
        0; // What the system said in the end: it may have been unable to write something.
    int32_t os_error = 0; // Its own number.

  protected:
    explicit Closer(coro::Fiber &fiber) : Wait(fiber) {}
    ~Closer() = default;
};

struct Resource {
    uint64_t handle = 0;
    Closer *closer = nullptr;
    uint32_t holds = 0;   // Operations at work on it.
    bool closing = false; // No new operation may take hold.
};

// One that many operations may be at work on at once: it knows them, so that closing can end them.
struct SharedResource : Resource {
    class User {
      public:
        User(SharedResource &resource, coro::Fiber &fiber) noexcept
            : fiber_(fiber), next_(resource.users_), link_(&resource.users_) {
            if (next_ != nullptr)
                next_->link_ = &next_;
            resource.users_ = this;
        }
        ~User() {
            *link_ = next_;
            if (next_ != nullptr)
                next_->link_ = link_;
        }
        User(const User &) = delete;
        User &operator=(const User &) = delete;

      private:
        friend struct SharedResource;
        coro::Fiber &fiber_;
        User *next_;
        User **link_;
    };

    bool used() const noexcept { return users_ != nullptr; }

    // None may go while this runs.
    template <class Each> void for_each_user(Each &&each) noexcept {
        for (User *user = users_; user != nullptr; user = user->next_)
            each(user->fiber_);
    }

  private:
    User *users_ = nullptr;
};

} // namespace ferry::driver
