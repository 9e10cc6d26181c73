// For our own bugs, never for what a host can cause: debug builds abort, release builds trust.
#pragma once

#include <cassert>

#define FERRY_ASSERT(condition) assert(condition)
