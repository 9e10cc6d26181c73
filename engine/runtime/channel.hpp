// A channel: a bounded queue of messages and the operations that wait at either end.
#pragma once

#include "driver/resource.hpp"

namespace ferry {

struct Channel : driver::SharedResource {};

} // namespace ferry
