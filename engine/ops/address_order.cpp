#include "ops/address_order.hpp"

namespace ferry::ops {

size_t interleave(const ferry_address *addresses, size_t count, ferry_address *out,
                  size_t most) noexcept {
    if (count == 0)
        return 0;
    const uint16_t first_family = addresses[0].family;
    size_t next[2] = {0, 0}; // Where to look on: for the first family, for the other one.
    auto seek = [&](size_t which) {
        while (next[which] < count &&
               (addresses[next[which]].family == first_family) != (which == 0))
            ++next[which];
        return next[which] < count;
    };
    size_t used = 0;
    for (size_t turn = 0; used < most; turn ^= 1) {
        if (!seek(turn)) {
            if (!seek(turn ^ 1))
                break;
            continue;
        }
        out[used++] = addresses[next[turn]++];
    }
    return used;
}

} // namespace ferry::ops
