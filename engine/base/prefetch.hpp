// Fetching memory before it is needed. With a million operations standing, nothing is in the cache, and
// waiting for one line after the other is most of what an operation costs.
#pragma once

#include <cstddef>

namespace ferry {

inline void prefetch(const void *memory, size_t size) noexcept {
    const char *line = static_cast<const char *>(memory);
    for (size_t at = 0; at < size; at += 64)
        __builtin_prefetch(line + at);
}

} // namespace ferry
