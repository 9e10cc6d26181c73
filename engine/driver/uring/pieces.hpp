// Memory that the kernel receives into: it picks a piece when bytes arrive, so that an idle stream holds none.
#pragma once

#include "driver/driver.hpp"
#include "driver/uring/ring.hpp"

#include <cstdint>

namespace ferry::driver::uring {

class Pieces {
  public:
    static constexpr uint16_t kGroup = 0;

    Pieces() = default;
    ~Pieces();
    Pieces(const Pieces &) = delete;
    Pieces &operator=(const Pieces &) = delete;

    // False: the kernel has no such thing.
    bool open(Ring &ring) noexcept;
    // Give the kernel as many as it may have. False: it has none.
    bool fill(Host &host) noexcept;
    // All are ours again: the ring is gone.
    void drop_all(Host &host) noexcept;

    const Host::Piece &operator[](uint16_t id) const noexcept { return pieces_[id]; }
    // The kernel has used this one: it goes back, or another takes its place.
    void give_back(uint16_t id) noexcept;
    void replace(uint16_t id, Host &host) noexcept;

  private:
    // 1 MiB. In turn, so all of it comes round through the cache.
    static constexpr uint16_t kCount = 64;

    io_uring_buf_ring *ring_ = nullptr;
    Host::Piece pieces_[kCount];
    uint16_t missing_[kCount]; // Those without memory.
    uint16_t missing_count_ = kCount;
};

} // namespace ferry::driver::uring
