#include "driver/uring/pieces.hpp"

#include <sys/mman.h>

namespace ferry::driver::uring {

static constexpr size_t kRingBytes = 64 * sizeof(io_uring_buf);

// Shared, so that a fork does not part the kernel's pages from ours.
bool Pieces::open(Ring &ring) noexcept {
    static_assert(kCount * sizeof(io_uring_buf) == kRingBytes);
    void *memory =
        mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    ring_ = static_cast<io_uring_buf_ring *>(memory);
    io_uring_buf_reg group = {};
    group.ring_addr = reinterpret_cast<uintptr_t>(memory);
    group.ring_entries = kCount;
    group.bgid = kGroup;
    for (uint16_t id = 0; id < kCount; ++id)
        missing_[id] = static_cast<uint16_t>(kCount - 1 - id);
    return ring.register_pieces(group);
}

Pieces::~Pieces() {
    if (ring_ != nullptr)
        munmap(ring_, kRingBytes);
}

void Pieces::give_back(uint16_t id) noexcept {
    io_uring_buf_ring_add(ring_, pieces_[id].memory, Host::kPieceSize, id, kCount - 1, 0);
    io_uring_buf_ring_advance(ring_, 1);
}

void Pieces::replace(uint16_t id, Host &host) noexcept {
    pieces_[id] = host.take_piece();
    if (pieces_[id].memory != nullptr)
        give_back(id);
    else
        missing_[missing_count_++] = id;
}

bool Pieces::fill(Host &host) noexcept {
    while (missing_count_ != 0) {
        uint16_t missing = missing_count_;
        replace(missing_[--missing_count_], host);
        if (missing_count_ == missing)
            break;
    }
    return missing_count_ != kCount;
}

void Pieces::drop_all(Host &host) noexcept {
    for (Host::Piece &piece : pieces_) {
        if (piece.memory != nullptr)
            host.drop_piece(piece);
        piece = {};
    }
}

} // namespace ferry::driver::uring
