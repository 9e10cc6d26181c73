/**
 * @file
 * Echo server on Ferry, host-driven with a queue: run, reap many, submit the answers in one batch.
 *
 *     echo_ferry_queue [message bytes] [copy|lines|silent]
 */
#include "echo_ferry.h"
#include "engine_support.h"
#include "support.h"

enum { REAP_MAX = 256 };

static uint32_t reap(struct echo *echo) {
    static ferry_completion completions[REAP_MAX];
    int32_t count = ferry_queue_reap(echo->queue, completions, REAP_MAX);
    if (count < 0) {
        bench_check(count, "queue_reap");
    }
    for (int32_t i = 0; i < count; i++) {
        echo_handle(echo, &completions[i]);
    }
    echo_submit(echo);
    return (uint32_t)count;
}

int main(int argc, char **argv) {
    static struct echo echo;
    bench_start(120);
    echo_open(&echo, argc, argv, FERRY_QUEUE_REAP, NULL);
    for (;;) {
        bench_run(echo.engine, FERRY_FOREVER);
        while (reap(&echo) == REAP_MAX) {
        }
    }
}
