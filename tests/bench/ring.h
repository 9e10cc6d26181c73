/**
 * @file
 * The ring of the programs that are hand-written on io_uring: the limit that Ferry is compared with.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <liburing.h>

/** Set up for one thread that submits and waits; ends as skipped where the kernel does not. */
void ring_open(struct io_uring *ring, unsigned entries);

/** A free entry; what is queued is submitted first when there is none. */
struct io_uring_sqe *ring_next(struct io_uring *ring);

/** The one system call of a turn: submit everything, wait for something. */
void ring_turn(struct io_uring *ring);

#endif
