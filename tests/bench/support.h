/**
 * @file
 * What every benchmark program needs: clocks, CPU time, pinning, limits, a repeatable random order.
 */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Seed of every random order, so that Ferry and its peers get the same one. */
#define BENCH_SEED UINT64_C(0x9e3779b97f4a7c15)

/**
 * First call of every program: end with the runner and after so many seconds at the latest, and
 * allow as many descriptors as the hard limit does.
 */
void bench_start(unsigned seconds_max);

/** Complain on stderr and exit with 1: a benchmark that lost something must not print a figure. */
__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);

/** The positional argument at index as a number, or fallback. */
uint64_t bench_number(int argc, char **argv, int index, uint64_t fallback);

/** Monotonic time. */
uint64_t bench_now_ns(void);

/** CPU time of a whole process, user and system; 0 = this one. */
uint64_t bench_cpu_ns(int pid);

/** Pin the calling thread to the index-th core that the process may use; false if there is none. */
bool bench_pin(unsigned index);

/** The next number of a xorshift sequence; state must not be 0. */
uint64_t bench_random(uint64_t *state);

/** A new array of 0 .. count-1 in a random order that is the same in every program. */
uint32_t *bench_order(uint32_t count);

/** Delays of standing timers in ms, between a minute and an hour; the same in every program. */
uint64_t *bench_delays_ms(uint32_t count);

/** End the program: it cannot run here, for the reason that is printed; the runner leaves it out. */
__attribute__((noreturn)) void bench_skip(const char *reason);

/**
 * A listening socket on a loopback port of the system's choice, which is printed as "port N". What
 * is accepted from it does not delay small segments.
 */
int bench_listen(bool nonblocking);

/** malloc that does not fail. */
void *bench_allocate(size_t size);

#ifdef __cplusplus
}
#endif

#endif
