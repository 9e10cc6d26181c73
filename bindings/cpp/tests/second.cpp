/** @file The header in a second translation unit of one program. */
#include "second.hpp"

ferry::Task<int> elsewhere(int value) {
    (void)co_await ferry::nop();
    co_return value;
}
