// Times that a host gives: sums that would pass all time stay just before FERRY_FOREVER.
#pragma once

#include <cstdint>

namespace ferry {

constexpr uint64_t add_saturating(uint64_t time, uint64_t duration) {
    return duration < UINT64_MAX - 1 - time ? time + duration : UINT64_MAX - 1;
}

} // namespace ferry
