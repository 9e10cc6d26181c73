/**
 * @file
 * Nops on one thread, host-driven: batches of 64 submitted, run and reaped.
 *
 *     nop_ferry [count]
 *
 * prints {"ns":..,"described_ns":..}: each nop from submit to reap, and with its description too.
 */
#include "engine_support.h"
#include "support.h"

#include <stdio.h>

enum { BATCH = 64 };

static void describe(ferry_request *requests) {
    for (int i = 0; i < BATCH; i++) {
        ferry_prepare_nop(&requests[i]);
        requests[i].tag = (uint64_t)i;
    }
}

static double measure(ferry_engine *engine, ferry_queue *queue, uint64_t batches, bool describing) {
    ferry_request requests[BATCH];
    ferry_completion completions[BATCH];
    describe(requests);
    uint64_t start = bench_now_ns();
    for (uint64_t batch = 0; batch < batches; batch++) {
        if (describing) {
            describe(requests);
        }
        bench_submit(queue, requests, BATCH);
        for (int32_t left = BATCH; left > 0;) {
            bench_run(engine, 0);
            int32_t count = ferry_queue_reap(queue, completions, BATCH);
            if (count <= 0) {
                bench_die("a turn brought no nop back: %d", count);
            }
            left -= count;
        }
    }
    return (double)(bench_now_ns() - start) / (double)(batches * BATCH);
}

int main(int argc, char **argv) {
    bench_start(120);
    uint64_t batches = bench_number(argc, argv, 1, 10000000) / BATCH;
    ferry_engine *engine = bench_engine(0, 0);
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_REAP, 0);
    measure(engine, queue, batches / 10, false);
    double ns = measure(engine, queue, batches, false);
    double described_ns = measure(engine, queue, batches, true);
    printf("{\"ns\":%.2f,\"described_ns\":%.2f}\n", ns, described_ns);
    bench_end(engine);
    return 0;
}
