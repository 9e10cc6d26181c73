/**
 * @file
 * What a test asks the system about its own process: the clock, descriptors, threads, children.
 */
#ifndef FERRY_TEST_PROCESS_H
#define FERRY_TEST_PROCESS_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define HOUR (3600 * SECOND)

/** The monotonic clock, the one that "never early" is measured by. */
uint64_t now_ns(void);
void sleep_ns(uint64_t duration_ns);

/** Open descriptors of this process. */
size_t count_descriptors(void);

/** Threads of this process; a sanitizer may have its own, so compare with an earlier count. */
size_t count_threads(void);

/** The ids of this process's threads, as text; returns how many, at most the places there are. */
size_t process_threads(char ids[][24], size_t places);

/** Wait until so many threads are left: one that was joined leaves /proc a moment later. */
bool threads_fall_to(size_t count);

/** True in a build for ASan or TSan, which keep memory and libraries longer than asked. */
bool sanitized(void);

/**
 * Run a function in a forked child; it returns the child's exit status.
 *
 * @returns The exit status, or 128 + the signal that ended the child.
 */
int run_in_child(int (*body)(void *argument), void *argument);

/** End a forked child at once: nothing of the parent's is flushed, joined or checked on the way. */
_Noreturn void child_exit(int status);

/** Wait for a child's end; the same answer as run_in_child. */
int child_status(pid_t child);

/** True while some thread of this process hangs in opening a file (a FIFO without a writer). */
bool some_thread_hangs_in_open(void);

/** True while some thread hangs in reading or writing (an empty FIFO, a full one). */
bool some_thread_hangs_in_read(void);

#endif
