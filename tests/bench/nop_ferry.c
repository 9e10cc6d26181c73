/**
 * @file
 * Nops on one thread, host-driven: batches of 64 submitted, run and reaped.
 *
 *     nop_ferry [count] [off|count|copy]     the trace hook: none; it counts; it copies the events
 *
 * prints {"ns":..,"described_ns":..}: each nop from submit to reap, and with its description too.
 */
#include "engine_support.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 64, TRACED = 65536 };

static uint64_t traced;
static ferry_trace_event traced_events[TRACED];

static void count_event(const ferry_trace_event *event, void *user_data) {
    (void)event;
    ++*(uint64_t *)user_data;
}

/* As a host that keeps the last events would. */
static void copy_event(const ferry_trace_event *event, void *user_data) {
    traced_events[(*(uint64_t *)user_data)++ % TRACED] = *event;
}

static ferry_trace_fn hook_named(const char *name) {
    if (strcmp(name, "count") == 0) {
        return count_event;
    }
    if (strcmp(name, "copy") == 0) {
        return copy_event;
    }
    if (strcmp(name, "off") != 0) {
        bench_die("no such hook: %s", name);
    }
    return NULL;
}

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
    ferry_trace_fn hook = hook_named(argc > 2 ? argv[2] : "off");
    ferry_engine *engine =
        bench_engine_with((ferry_engine_options){.trace = hook, .trace_user_data = &traced});
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_REAP, 0);
    measure(engine, queue, batches / 10, false);
    double ns = measure(engine, queue, batches, false);
    double described_ns = measure(engine, queue, batches, true);
    printf("{\"ns\":%.2f,\"described_ns\":%.2f}\n", ns, described_ns);
    bench_end(engine);
    if (hook != NULL && traced < 2 * batches * BATCH) {
        bench_die("the hook was not told of every nop");
    }
    return 0;
}
