/**
 * @file
 * System calls that fail on order, whoever makes them: Ferry, libuv, liburing or the C library.
 *
 * A filter hands the calls of the thread that installs it, and of all threads that it makes later, to a
 * supervisor thread of the same process (seccomp's user notifications). What io_uring does by itself is no
 * call: there the entry is replaced, before it is handed over, by a NOP that answers with the error.
 */
#ifndef FERRY_TEST_INJECT_H
#define FERRY_TEST_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct call {
    const char *name;
    int number;        /* SYS_... or, as an entry of a ring, IORING_OP_... */
    bool entry;        /* Which of the two. */
    bool memory;       /* A sanitizer's own runtime makes it, too, and cannot go on without. */
    bool event;        /* Only of an eventfd or a timerfd. */
    const int *errors; /* Ends with 0. */
    int lasting;       /* This one is also tried from the first call on for all; 0 = none. */
} call;

extern const call inject_calls[];
extern const size_t inject_call_count;

typedef struct injection {
    size_t call; /* Index; inject_call_count = none: only count. */
    int error;
    uint32_t from, to; /* Which of its calls fail, counted from 1. */
} injection;

/** Once in a process. counts: one for each call, shared with whoever reads them. False: not here. */
bool inject_install(const injection *what, uint32_t *counts);

/** Counting and failing begins, ends. */
void inject_arm(bool armed);

#endif
