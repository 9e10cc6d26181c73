// Which driver a shard gets.
#pragma once

#include "driver/driver.hpp"

namespace ferry::driver {

// FERRY_OK, FERRY_E_NO_MEMORY, FERRY_E_NO_DESCRIPTORS, or FERRY_E_UNSUPPORTED: not the one that is wanted.
ferry_status make(const Environment &environment, Driver **driver) noexcept;

} // namespace ferry::driver
