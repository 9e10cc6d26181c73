// Fetching memory before it is needed. With a million operations standing, nothing is in the cache, and
// waiting for one line after the other is most of what an operation costs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ferry {

// The line at this address; null is fine.
inline void prefetch(const void *memory) noexcept {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(memory);
#else
    (void)memory; // Only a hint.
#endif
}

inline void prefetch_to_write(const void *memory) noexcept {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(memory, 1);
#else
    (void)memory;
#endif
}

inline void prefetch(const void *memory, size_t size) noexcept {
    // As a number: there may be nothing, and what lies behind nothing is no pointer.
    auto begin = reinterpret_cast<uintptr_t>(memory);
    for (size_t at = 0; at < size; at += 64)
        prefetch(reinterpret_cast<const void *>(begin + at));
}

} // namespace ferry
