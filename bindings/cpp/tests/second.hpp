/** @file What second.cpp has for unit_test.cpp. */
#pragma once

#include "ferry.hpp"

ferry::Task<int> elsewhere(int value);
