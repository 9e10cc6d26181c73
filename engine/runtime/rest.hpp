// What a receive until a delimiter took in beyond it, or found no delimiter in: it waits with its stream for
// the next receive.
//
// One piece of memory: a part of a receive chunk, which it keeps from being used again, or, if it is small
// or larger than a chunk, a block of its own. So a stream that waits for the rest of a line does not hold
// 64 KiB for it, and whole lines can be lent from where they were received.
#pragma once

#include <cstddef>

namespace ferry::driver {

struct Rest {
    char *data = nullptr;
    size_t size = 0;
    void *chunk = nullptr; // Counted on in the shard's Buffers, or null.
    char *block = nullptr; // Else this, of so many bytes.
    size_t block_size = 0;
    char *space = nullptr; // Where the receive in progress writes to: right behind the bytes,
    bool behind = false;   // or behind a copy of them in a chunk.
};

} // namespace ferry::driver
