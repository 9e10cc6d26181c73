/**
 * @file
 * Nops from another thread, in batches of 32, into an engine with one shard on a thread of its own.
 *
 *     cross_ferry inline|reap [count]
 *
 * inline: a callback on the engine's thread counts them. reap: the submitter takes the completions
 * back, so each request crosses twice. Prints {"count":..,"elapsed_ns":..}.
 */
#include "engine_support.h"
#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 32, REAP_MAX = 256, RING = 16384 };

static atomic_ullong counted;

static void on_nop(const ferry_completion *completion, void *user_data) {
    (void)completion;
    (void)user_data;
    // One writer: no read-modify-write needed.
    unsigned long long count = atomic_load_explicit(&counted, memory_order_relaxed);
    atomic_store_explicit(&counted, count + 1, memory_order_release);
}

/** Submit a part of the batch; out of slots it takes fewer, or none. */
static size_t submit_some(ferry_queue *queue, const ferry_request *requests, size_t count) {
    size_t accepted = 0;
    ferry_status status = ferry_queue_submit(queue, requests, count, NULL, &accepted);
    if (status != FERRY_E_FULL) {
        bench_check(status, "queue_submit");
    }
    return accepted;
}

static void run_inline(ferry_queue *queue, const ferry_request *requests, uint64_t count) {
    for (uint64_t submitted = 0; submitted < count;) {
        size_t size = count - submitted < BATCH ? (size_t)(count - submitted) : BATCH;
        size_t accepted = submit_some(queue, requests, size);
        submitted += accepted;
        if (accepted < size) {
            sched_yield();
        }
    }
    while (atomic_load_explicit(&counted, memory_order_acquire) < count) {
        sched_yield();
    }
}

static void run_reaped(ferry_queue *queue, const ferry_request *requests, uint64_t count) {
    static ferry_completion completions[REAP_MAX];
    uint64_t submitted = 0;
    for (uint64_t reaped = 0; reaped < count;) {
        bool full = submitted == count;
        if (!full) {
            size_t size = count - submitted < BATCH ? (size_t)(count - submitted) : BATCH;
            size_t accepted = submit_some(queue, requests, size);
            submitted += accepted;
            full = accepted < size;
        }
        // Sleep only when there is nothing else to do.
        int32_t taken = full ? ferry_queue_wait(queue, completions, REAP_MAX, FERRY_FOREVER)
                             : ferry_queue_reap(queue, completions, REAP_MAX);
        if (taken < 0) {
            bench_check(taken, "queue_reap");
        }
        reaped += (uint64_t)taken;
    }
}

int main(int argc, char **argv) {
    bench_start(120);
    bool reaped = argc > 1 && strcmp(argv[1], "reap") == 0;
    uint64_t count = bench_number(argc, argv, 2, 20000000);

    // A thread starts on its creator's core.
    bench_pin(0);
    ferry_engine *engine = bench_engine(1, RING);
    bench_pin(1);
    ferry_queue *queue =
        bench_queue(engine, reaped ? FERRY_QUEUE_REAP : FERRY_QUEUE_INLINE, reaped ? RING : 0);
    ferry_request requests[BATCH];
    for (int i = 0; i < BATCH; i++) {
        ferry_prepare_nop(&requests[i]);
        requests[i].callback = reaped ? NULL : on_nop;
    }
    uint64_t start = bench_now_ns();
    if (reaped) {
        run_reaped(queue, requests, count);
    } else {
        run_inline(queue, requests, count);
    }
    printf("{\"count\":%llu,\"elapsed_ns\":%llu}\n", (unsigned long long)count,
           (unsigned long long)(bench_now_ns() - start));
    bench_end(engine);
    return 0;
}
