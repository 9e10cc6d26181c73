/**
 * @file
 * Small steps that several suites begin with: queues, nops that complete, receives.
 */
#ifndef FERRY_TEST_STEPS_H
#define FERRY_TEST_STEPS_H

#include "fixture.h"

/** One more queue of the fixture's engine. */
ferry_queue *make_queue(fixture *f, uint32_t mode, uint32_t capacity);

/** Submit so many nops, tagged 0 and up. */
void submit_nops(fixture *f, ferry_queue *queue, size_t count, ferry_op *ops_out);

/** Let so many nops complete one after the other, so that their order is known. Host-driven only. */
void complete_nops(fixture *f, ferry_queue *queue, size_t count);

/** Turns enough for everything that does not wait for others. Host-driven only. */
void run_until_idle(fixture *f);

/** Receive once, into memory that stays. */
ferry_op start_receive(fixture *f, ferry_handle stream, void *memory, size_t size);

/** Receive all that comes, in lent buffers. */
ferry_op start_receive_all(fixture *f, ferry_handle stream);

/** Take lent data of such a receive until so many bytes of the pattern have come. */
void expect_pattern(fixture *f, ferry_op op, size_t position, size_t size);

#endif
