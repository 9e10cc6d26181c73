/**
 * @file
 * cmocka with what it needs before it, and the few checks that every suite uses beside its own.
 *
 * Two kinds of failure are kept apart: an assert_ is about Ferry and fails one test; a REQUIRE is
 * about the machine that the test runs on (no socket, no temporary folder) and ends the program.
 * Only assert_ is bound to the test's main thread; REQUIRE may be used on any.
 */
#ifndef FERRY_TEST_CHECK_H
#define FERRY_TEST_CHECK_H

/* cmocka.h does not include what it uses: the order matters. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "driver.h"

#include <ferry.h>

enum { EXIT_SKIPPED = 77 };

/** Fail unless two statuses are equal; says both by name. */
#define assert_status(actual, expected)                                                            \
    check_status((actual), (expected), #actual, __FILE__, __LINE__)

/** Fail unless a status is one of two: for what the contract leaves open. */
#define assert_status_either(actual, first, second)                                                \
    check_status_either((actual), (first), (second), #actual, __FILE__, __LINE__)

/** End the program unless the machine did what the test needs of it. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            require_failed(#condition, __FILE__, __LINE__);                                        \
        }                                                                                          \
    } while (0)

/** In a forked child, where cmocka must not be used: end the child unless the condition holds. */
#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            child_failed(#condition, __FILE__, __LINE__);                                          \
        }                                                                                          \
    } while (0)

/** Leave this test out, and say why. */
#define SKIP_BECAUSE(reason)                                                                       \
    do {                                                                                           \
        note_skip(reason);                                                                         \
        skip();                                                                                    \
    } while (0)

/** Body of main: run a group; exit code 77 when every test of it was skipped, or when there is not
    the driver that it is to run on. */
#define RUN_SUITE(tests)                                                                           \
    (driver_is_missing() ? EXIT_SKIPPED                                                            \
                         : suite_result(cmocka_run_group_tests(tests, NULL, NULL), sizeof(tests)))

void check_status(ferry_status actual, ferry_status expected, const char *text, const char *file,
                  int line);
void check_status_either(ferry_status actual, ferry_status first, ferry_status second,
                         const char *text, const char *file, int line);
_Noreturn void require_failed(const char *text, const char *file, int line);
_Noreturn void child_failed(const char *text, const char *file, int line);
void note_skip(const char *reason);
int suite_result(int failed, size_t table_size);

/** Setup of a test that opens no fixture: starts the watchdog. */
int plain_setup(void **state);

/** Start the watchdog again: a test that hangs ends with SIGALRM. */
void watchdog_restart(void);

/** A test without a fixture, under the watchdog. */
#define PLAIN(test) cmocka_unit_test_setup(test, plain_setup)

#endif
