// The system's error numbers as Ferry's statuses.
#pragma once

#include "driver/driver.hpp"

namespace ferry::driver::uv {

// error: a positive errno.
Outcome outcome_of(int error) noexcept;

} // namespace ferry::driver::uv
