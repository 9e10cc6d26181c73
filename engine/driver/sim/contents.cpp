#include "driver/sim/contents.hpp"

#include "driver/sim/faults.hpp"

#include <algorithm>
#include <cstring>

namespace ferry::driver::sim {

// The sectors that some bytes of a page lie in.
static unsigned sectors_of(size_t begin, size_t end) noexcept {
    if (begin == end)
        return 0;
    size_t first = begin / Contents::kSectorSize;
    size_t last = (end - 1) / Contents::kSectorSize;
    return (2u << last) - (1u << first);
}

// How many of some bytes of a page find room, where its sectors in taken need none.
static size_t fitting(unsigned taken, size_t begin, size_t size, uint64_t room) noexcept {
    size_t end = begin + size;
    for (size_t sector = begin / Contents::kSectorSize; sector * Contents::kSectorSize < end;
         ++sector) {
        if ((taken >> sector & 1) != 0)
            continue;
        if (room < Contents::kSectorSize)
            return std::max(sector * Contents::kSectorSize, begin) - begin;
        room -= Contents::kSectorSize;
    }
    return size;
}

Contents::~Contents() {
    pages_.for_each([this](Page &page) { free_page(page); });
}

// ---- pages --------------------------------------------------------------------------------------

Contents::Page *Contents::find(uint64_t index) const noexcept {
    return pages_.find(index, [](Page &) { return true; });
}

Contents::Page *Contents::make(uint64_t index) noexcept {
    auto *page = allocator_.create<Page>();
    if (page != nullptr) {
        page->index = index;
        pages_.insert(*page, index);
    }
    return page;
}

void Contents::free_page(Page &page) noexcept {
    if (page.now != page.durable)
        free_block(page.now);
    free_block(page.durable);
    if (page.dirty != 0)
        dirty_.remove(&page);
    pages_.remove(page);
    allocator_.destroy(&page);
}

void Contents::drop_if_empty(Page &page) noexcept {
    if (page.now == nullptr && page.durable == nullptr)
        free_page(page);
}

// What it holds now may be changed without changing what is durable. False: no memory.
bool Contents::make_own(Page &page) noexcept {
    if (page.now != page.durable && page.now != nullptr)
        return true;
    auto *own = static_cast<char *>(allocator_.allocate(kPageSize));
    if (own == nullptr)
        return false;
    if (page.now != nullptr)
        std::memcpy(own, page.now, kPageSize);
    else
        std::memset(own, 0, kPageSize);
    page.now = own;
    return true;
}

void Contents::mark(Page &page, unsigned sectors) noexcept {
    if (page.dirty == 0 && sectors != 0)
        dirty_.push(&page);
    page.dirty = static_cast<uint8_t>(page.dirty | sectors);
}

void Contents::take(Page &page, unsigned taken) noexcept {
    taken_ -= static_cast<uint64_t>(__builtin_popcount(page.taken)) * kSectorSize;
    page.taken = static_cast<uint8_t>(taken);
    taken_ += static_cast<uint64_t>(__builtin_popcount(page.taken)) * kSectorSize;
}

// All of it is beyond the end.
void Contents::drop(Page &page) noexcept {
    take(page, 0);
    if (page.now != page.durable)
        free_block(page.now);
    page.now = nullptr;
    mark(page, page.durable != nullptr ? sectors_of(0, kPageSize) : 0);
    drop_if_empty(page);
}

// ---- what a program does ------------------------------------------------------------------------

size_t Contents::read(uint64_t offset, void *data, size_t size) const noexcept {
    if (offset >= size_)
        return 0;
    size = static_cast<size_t>(std::min<uint64_t>(size, size_ - offset));
    auto *to = static_cast<char *>(data);
    for (size_t done = 0; done < size;) {
        size_t begin = static_cast<size_t>((offset + done) % kPageSize);
        size_t part = std::min(size - done, kPageSize - begin);
        const Page *page = find((offset + done) / kPageSize);
        if (page != nullptr && page->now != nullptr)
            std::memcpy(to + done, page->now + begin, part);
        else
            std::memset(to + done, 0, part);
        done += part;
    }
    return size;
}

// size: in, how many; out, how many were written.
Outcome Contents::write_page(uint64_t index, size_t begin, const char *data, size_t *size,
                             uint64_t taken_max) noexcept {
    Page *page = find(index);
    size_t wanted = *size;
    *size = 0;
    size_t fits = fitting(page != nullptr ? page->taken : 0, begin, wanted,
                          taken_max > taken_ ? taken_max - taken_ : 0);
    if (fits == 0)
        return failure(FERRY_E_NO_SPACE);
    if (page == nullptr && (page = make(index)) == nullptr)
        return failure(FERRY_E_NO_MEMORY);
    if (!make_own(*page)) {
        drop_if_empty(*page);
        return failure(FERRY_E_NO_MEMORY);
    }
    std::memcpy(page->now + begin, data, fits);
    unsigned sectors = sectors_of(begin, begin + fits);
    mark(*page, sectors);
    take(*page, page->taken | sectors);
    *size = fits;
    return fits < wanted ? failure(FERRY_E_NO_SPACE) : Outcome{};
}

Outcome Contents::write(uint64_t offset, const void *data, size_t size, uint64_t room) noexcept {
    if (size == 0)
        return {};
    if (offset >= kSizeMax)
        return failure(FERRY_E_FILE_TOO_LARGE);
    size = static_cast<size_t>(std::min<uint64_t>(size, kSizeMax - offset));
    uint64_t taken_max = room > UINT64_MAX - taken_ ? UINT64_MAX : taken_ + room;
    Outcome outcome;
    size_t done = 0;
    while (done < size && outcome.status == FERRY_OK) {
        size_t begin = static_cast<size_t>((offset + done) % kPageSize);
        size_t part = std::min(size - done, kPageSize - begin);
        outcome = write_page((offset + done) / kPageSize, begin,
                             static_cast<const char *>(data) + done, &part, taken_max);
        done += part;
    }
    if (done == 0)
        return outcome;
    size_ = std::max(size_, offset + done);
    return {.result = static_cast<int64_t>(done)};
}

// What lies beyond the end in the last page becomes zeros. False: no memory.
bool Contents::trim_page(uint64_t size) noexcept {
    auto end = static_cast<size_t>(size % kPageSize);
    Page *page = end != 0 ? find(size / kPageSize) : nullptr;
    unsigned beyond = sectors_of(end, kPageSize);
    if (page == nullptr || (page->taken & beyond) == 0)
        return true;
    if (!make_own(*page))
        return false;
    std::memset(page->now + end, 0, kPageSize - end);
    mark(*page, beyond);
    take(*page, page->taken & sectors_of(0, end));
    return true;
}

Outcome Contents::resize(uint64_t size) noexcept {
    if (size > kSizeMax)
        return failure(FERRY_E_FILE_TOO_LARGE);
    if (size < size_) {
        if (!trim_page(size))
            return failure(FERRY_E_NO_MEMORY);
        uint64_t pages = (size + kPageSize - 1) / kPageSize;
        pages_.for_each([&](Page &page) {
            if (page.index >= pages)
                drop(page);
        });
    }
    size_ = size;
    return {};
}

// ---- the medium ---------------------------------------------------------------------------------

void Contents::sync() noexcept {
    while (!dirty_.empty()) {
        Page &page = *dirty_.pop();
        page.dirty = 0;
        if (page.now != page.durable)
            free_block(page.durable);
        page.durable = page.now;
        page.durable_taken = page.taken;
        drop_if_empty(page);
    }
    durable_size_ = size_;
}

// Both versions become one, in the place of either.
void Contents::settle(Page &page, Fate fate, Random &random) noexcept {
    static constexpr char kZeros[kSectorSize] = {};
    unsigned taken = page.taken;
    for (unsigned i = 0; i < kSectors; ++i) {
        unsigned bit = 1u << i;
        if ((page.dirty & bit) == 0)
            continue;
        size_t begin = i * kSectorSize;
        size_t kept = fate == Fate::kept ? kSectorSize : 0; // Its first so many bytes are new.
        if (fate == Fate::mixed)
            kept = random.below(8) == 0 ? random.below(kSectorSize) : random.coin() * kSectorSize;
        if (page.now == nullptr)
            std::memset(page.durable + begin, 0, kept);
        else
            std::memcpy(page.now + begin + kept,
                        page.durable != nullptr ? page.durable + begin + kept : kZeros,
                        kSectorSize - kept);
        unsigned old = page.durable_taken & bit;
        if (kept == 0)
            taken = (taken & ~bit) | old;
        else if (kept < kSectorSize)
            taken |= old;
    }
    page.dirty = 0;
    if (page.now == nullptr)
        page.now = page.durable;
    else if (page.durable != page.now)
        free_block(page.durable);
    page.durable = page.now;
    take(page, taken);
    page.durable_taken = page.taken;
}

void Contents::crash(Random &random) noexcept {
    static constexpr Fate kFates[] = {Fate::lost, Fate::kept, Fate::mixed, Fate::mixed};
    if (dirty_.empty() && size_ == durable_size_)
        return;
    Fate fate = kFates[random.below(4)];
    while (!dirty_.empty())
        settle(*dirty_.pop(), fate, random);
    if (fate == Fate::lost || (fate == Fate::mixed && random.coin()))
        size_ = durable_size_;
    // Sectors beyond the size that was kept are nobody's. Pages have one version now: no copy is made.
    pages_.for_each([&](Page &page) {
        uint64_t begin = page.index * kPageSize;
        size_t end =
            static_cast<size_t>(size_ > begin ? std::min<uint64_t>(size_ - begin, kPageSize) : 0);
        std::memset(page.now + end, 0, kPageSize - end);
        take(page, page.taken & sectors_of(0, end));
        page.durable_taken = page.taken;
        if (end == 0)
            free_page(page);
    });
    durable_size_ = size_;
}

} // namespace ferry::driver::sim
