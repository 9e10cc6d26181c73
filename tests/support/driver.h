/**
 * @file
 * Which driver the engines of a test program get: FERRY_TEST_DRIVER=uv, uring or auto in its
 * environment; without it auto, which is the library's own choice.
 *
 * Every call of ferry_engine_create in the tests comes here first (the linker's --wrap), and so no
 * test has to think of it. A driver that a test asks for itself stays as it is, and so do options
 * that are too short to have one, and FERRY_ENGINE_ANY_THREAD, which has libuv only.
 */
#ifndef FERRY_TEST_DRIVER_H
#define FERRY_TEST_DRIVER_H

#include <stdbool.h>

/** True, after saying why, if this machine or this build does not have the chosen driver. */
bool driver_is_missing(void);

/** True if engines with default options have a ring. */
bool driver_has_ring(void);

#endif
