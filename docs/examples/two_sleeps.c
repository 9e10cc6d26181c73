/*
 * Two sleeps of one second that take one second together.
 *
 * A program that calls sleep(1) twice takes two seconds, because it stands still in each. Here both
 * timers are described, submitted in one call, and their completions reaped as they come. The
 * engine runs on a thread of its own (shards = 1); this thread only waits for messages.
 *
 *     two_sleeps
 */
#define _GNU_SOURCE 1 /* clock_gettime */

#include <ferry.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

/* Every Ferry call that can fail returns a status: 0, or a negative FERRY_E_... number. */
static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s (%s)\n", what, ferry_status_message(status),
                ferry_status_name(status));
        exit(1);
    }
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(void) {
    /* Options are a struct that knows its own size; every other field's 0 is its default. */
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    ferry_engine *engine;
    check(ferry_engine_create(&options, &engine), "create an engine");

    /* Requests go into a queue, completions come out of it. NULL: all defaults. */
    ferry_queue *queue;
    check(ferry_queue_create(engine, NULL, &queue), "create a queue");

    /* Describe. A request is a plain record: nothing happens yet. */
    ferry_request sleeps[2];
    ferry_prepare_timer(&sleeps[0], SECOND_NS, 0);
    ferry_prepare_timer(&sleeps[1], SECOND_NS, 0);
    sleeps[0].tag = 1; /* our own number, to tell the completions apart */
    sleeps[1].tag = 2;

    /* Submit. Both timers run from here on. */
    double start = seconds_now();
    check(ferry_queue_submit(queue, sleeps, 2, NULL, NULL), "submit two timers");

    /* Reap. Each accepted request sends exactly one final completion. */
    for (int ended = 0; ended < 2;) {
        ferry_completion done[2];
        int32_t count = ferry_queue_wait(queue, done, 2, FERRY_FOREVER);
        check(count, "wait");
        for (int32_t i = 0; i < count; i++) {
            check(done[i].status, "sleep");
            printf("sleep %d ended after %.3f s\n", (int)done[i].tag, seconds_now() - start);
        }
        ended += count;
    }
    double elapsed = seconds_now() - start;
    printf("two sleeps of one second took %.3f s\n", elapsed);

    /* Shutdown ends what is pending and joins the engine's thread; destroy frees it all. */
    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
    return elapsed >= 1.0 && elapsed < 1.9 ? 0 : 1; /* a timer is never early */
}
