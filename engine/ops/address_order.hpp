// In which order a name's addresses are tried.
#pragma once

#include <ferry/address.h>

#include <cstddef>

namespace ferry::ops {

// RFC 8305 section 4: the families by turns, beginning with that of the first address (a First Address
// Family Count of 1), each family in the resolver's own order; when one is used up, the rest of the
// other. At most `most` of them; returns how many.
size_t interleave(const ferry_address *addresses, size_t count, ferry_address *out,
                  size_t most) noexcept;

} // namespace ferry::ops
