/**
 * @file
 * Threads that send numbered messages into a queue at irregular times, for readers in any language.
 *
 * One posts messages, another submits nops. After most bursts a sender waits until the reader has
 * taken everything, and sends the next at about the moment in which the reader goes to sleep. A
 * wake-up that gets lost there is never made good by a later message: both sides wait for ever.
 */
#ifndef FERRY_TEST_SENDERS_H
#define FERRY_TEST_SENDERS_H

#include <ferry.h>

/** Which threads: one bit each. */
enum { SENDERS_POST = 1, SENDERS_NOP = 2 };

typedef struct senders senders;

/**
 * Start sending into an empty mapped queue. The tags of the thread that posts are 0, 1, 2 and so
 * on, those of the thread that submits begin with SENDERS_FIRST_NOP.
 *
 * @param queue  The queue; its reader must run on the calling thread or be started afterwards.
 * @param which  SENDERS_POST, SENDERS_NOP or both.
 * @param count  Messages of each thread.
 * @param seed   Bursts and pauses follow from it.
 * @returns The threads, or NULL if they could not be started.
 */
FERRY_API senders *senders_start(ferry_queue *queue, uint32_t which, uint64_t count, uint64_t seed);

/**
 * The same for a reader that does not map its queue, and counts for itself what it has taken of the
 * senders' messages.
 */
FERRY_API senders *senders_start_counted(ferry_queue *queue, const uint32_t *taken, uint32_t which,
                                         uint64_t count, uint64_t seed);

/** Wait for the threads, and free them. 0, or the status of a call that failed. */
FERRY_API ferry_status senders_join(senders *s);

#define SENDERS_FIRST_NOP (UINT64_C(1) << 32)

#endif
