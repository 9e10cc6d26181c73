/**
 * @file
 * Standing timers through the C API, host-driven: submitted in batches of 64, cancelled in a random
 * order, run and reaped. The same delays and the same order as timers_libuv.
 *
 *     timers_ferry [count]
 *
 * prints {"start_ns":..,"stop_ns":..}, each for one timer, its completion included.
 */
#include "engine_support.h"
#include "support.h"

#include <stdio.h>

enum { BATCH = 64 };

static ferry_engine *engine;
static ferry_queue *queue;

static void start_all(ferry_op *ops, const uint64_t *delays_ms, uint32_t count) {
    ferry_request requests[BATCH];
    for (uint32_t begun = 0; begun < count;) {
        uint32_t size = count - begun < BATCH ? count - begun : BATCH;
        for (uint32_t i = 0; i < size; i++) {
            ferry_prepare_timer(&requests[i], delays_ms[begun + i] * 1000000, 0);
        }
        bench_check(ferry_queue_submit(queue, requests, size, ops + begun, NULL), "queue_submit");
        begun += size;
        bench_run(engine, 0);
    }
}

static uint32_t reap(void) {
    ferry_completion completions[BATCH];
    int32_t count = ferry_queue_reap(queue, completions, BATCH);
    for (int32_t i = 0; i < count; i++) {
        if (completions[i].status != FERRY_E_CANCELED) {
            bench_die("a timer ended with %s", ferry_status_name(completions[i].status));
        }
    }
    if (count < 0) {
        bench_check(count, "queue_reap");
    }
    return (uint32_t)count;
}

static void cancel_all(const ferry_op *ops, const uint32_t *order, uint32_t count) {
    uint32_t cancelled = 0;
    for (uint32_t reaped = 0; reaped < count;) {
        uint32_t end = count - cancelled < BATCH ? count : cancelled + BATCH;
        for (; cancelled < end; cancelled++) {
            bench_check(ferry_queue_cancel(queue, ops[order[cancelled]]), "queue_cancel");
        }
        bench_run(engine, 0);
        reaped += reap();
    }
}

int main(int argc, char **argv) {
    bench_start(120);
    uint32_t count = (uint32_t)bench_number(argc, argv, 1, 1000000);
    engine = bench_engine(0, count);
    queue = bench_queue(engine, FERRY_QUEUE_REAP, 0);
    ferry_op *ops = bench_allocate(count * sizeof(*ops));
    uint64_t *delays_ms = bench_delays_ms(count);
    uint32_t *order = bench_order(count);

    uint64_t start = bench_now_ns();
    start_all(ops, delays_ms, count);
    uint64_t standing = bench_now_ns();
    cancel_all(ops, order, count);
    uint64_t end = bench_now_ns();
    printf("{\"start_ns\":%.2f,\"stop_ns\":%.2f}\n", (double)(standing - start) / count,
           (double)(end - standing) / count);
    bench_end(engine);
    return 0;
}
