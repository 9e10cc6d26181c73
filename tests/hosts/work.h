/**
 * @file
 * What the hosts of this folder have Ferry do, all of it at the same time: files are loaded,
 * clients talk to an echo server over TCP, timers tick, are cancelled and run into deadlines, and
 * other threads send messages. It knows nothing of its host, which makes an engine and a queue and
 * hands over each completion.
 *
 * Whatever comes wrong, twice, out of order or too early fails the test at once; what does not come
 * leaves the work undone, and the watchdog ends it.
 */
#ifndef FERRY_TEST_WORK_H
#define FERRY_TEST_WORK_H

#include "check.h"
#include "process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How much of each. */
typedef struct work_plan {
    uint32_t loads;    /* Files. */
    uint32_t clients;  /* Connections, at most WORK_CLIENTS. */
    uint32_t trips;    /* Round trips of each. */
    uint32_t ticks;    /* Of an interval timer of a millisecond. */
    uint32_t cancels;  /* Timers of an hour that end early, one after the other. */
    uint32_t messages; /* From each of two threads: one posts, the other submits. */
    uint16_t port;     /* The host's own echo server on 127.0.0.1; 0: Ferry serves, too. */
} work_plan;

enum { WORK_CLIENTS = 32 };

typedef struct work work;

/** The plan that most hosts follow; smaller under a sanitizer. */
work_plan work_usual_plan(void);

/** An engine with a queue of mode REAP; shards as in its options. */
ferry_engine *work_engine(uint32_t shards, ferry_queue **queue_out);

/** Begin. The queue is of mode REAP. */
work *work_start(ferry_engine *engine, ferry_queue *queue, const work_plan *plan);

/** Take one completion. */
void work_take(work *w, const ferry_completion *done);

/** Reap until the queue has been seen empty: it is armed then. Returns how many came. */
size_t work_reap(work *w);

/** All of the plan is done. An accept, some receives and a timer are still pending. */
bool work_done(const work *w);

/** Shut the engine down with what is pending, see that all has ended, destroy it; free the work. */
void work_end(work *w);

#endif
