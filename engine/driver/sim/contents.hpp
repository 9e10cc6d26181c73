// A simulated file's bytes: as a program sees them now, and as they are on the medium.
//
// They lie in pages, so that a hole takes no memory. A page that was written since the last sync has both
// versions, and a crash picks from them sector by sector.
#pragma once

#include "base/allocator.hpp"
#include "base/lists.hpp"
#include "driver/driver.hpp"
#include "driver/sim/random.hpp"
#include "driver/sim/table.hpp"

#include <cstddef>
#include <cstdint>

namespace ferry::driver::sim {

class Contents {
  public:
    static constexpr size_t kSectorSize = 512;
    // No file is larger: 16 TiB, as with ext4.
    static constexpr uint64_t kSizeMax = uint64_t{1} << 44;

    explicit Contents(const Allocator &allocator) : allocator_(allocator), pages_(allocator) {}
    ~Contents();
    Contents(const Contents &) = delete;
    Contents &operator=(const Contents &) = delete;

    uint64_t size() const noexcept { return size_; }
    // Bytes of the medium's, by sectors; holes take none.
    uint64_t taken() const noexcept { return taken_; }

    // Bytes read: fewer than size only at the end.
    size_t read(uint64_t offset, void *data, size_t size) const noexcept;
    // As much as it may take of the medium: room. outcome.result = bytes; it fails only with none.
    Outcome write(uint64_t offset, const void *data, size_t size, uint64_t room) noexcept;
    // On failure it is as it was.
    Outcome resize(uint64_t size) noexcept;
    void sync() noexcept;
    // What was not synced is kept, lost or torn. Needs no memory.
    void crash(Random &random) noexcept;

  private:
    static constexpr size_t kPageSize = 4096;
    static constexpr unsigned kSectors = kPageSize / kSectorSize;
    static_assert(kSectors == 8); // The bits of a mask.

    // now is durable while it was not written since the last sync; null: zeros.
    struct Page : Table<Page>::Place, Line<Page>::Place {
        uint64_t index = 0;
        char *now = nullptr;
        char *durable = nullptr;
        uint8_t dirty = 0; // Sectors not synced. Not 0: the page stands in dirty_.
        uint8_t taken = 0; // Sectors that take space.
        uint8_t durable_taken = 0;
    };
    // How a crash treats all of a file's sectors.
    enum class Fate : uint8_t { lost, kept, mixed };

    Page *find(uint64_t index) const noexcept;
    Page *make(uint64_t index) noexcept;
    void free_block(char *block) noexcept { allocator_.free(block, kPageSize); }
    void free_page(Page &page) noexcept;
    void drop_if_empty(Page &page) noexcept;
    bool make_own(Page &page) noexcept;
    void mark(Page &page, unsigned sectors) noexcept;
    void take(Page &page, unsigned taken) noexcept;
    void drop(Page &page) noexcept;
    Outcome write_page(uint64_t index, size_t begin, const char *data, size_t *size,
                       uint64_t taken_max) noexcept;
    bool trim_page(uint64_t size) noexcept;
    void settle(Page &page, Fate fate, Random &random) noexcept;

    const Allocator &allocator_;
    Table<Page> pages_;
    Line<Page> dirty_;
    uint64_t size_ = 0;
    uint64_t durable_size_ = 0;
    uint64_t taken_ = 0;
};

} // namespace ferry::driver::sim
