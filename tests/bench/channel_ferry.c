/**
 * @file
 * Messages through a channel that holds 1,024 of them, sent in batches.
 *
 *     channel_ferry one|inline|reap [count]
 *
 * one: producer and consumer on one thread, host-driven, batches of 64; all completions are reaped. inline: from
 * a thread to a callback on the engine's thread, in batches of 32. reap: from a thread to another one, and
 * the engine's in between; the producer reaps its completions, too. Prints {"count":..,"elapsed_ns":..}.
 */
#include "engine_support.h"
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { CAPACITY = 1024, BATCH = 32, ONE_BATCH = 64, REAP_MAX = 256, RING = 4096 };

static atomic_ullong counted;

/** One consumer counts: no read-modify-write needed. */
static void count_message(const ferry_completion *completion, void *user_data) {
    (void)user_data;
    if ((completion->flags & FERRY_MORE) == 0) {
        return;
    }
    unsigned long long count = atomic_load_explicit(&counted, memory_order_relaxed);
    if ((uint64_t)completion->result != count) {
        bench_die("message %lld in place of %llu", (long long)completion->result, count);
    }
    atomic_store_explicit(&counted, count + 1, memory_order_release);
}

static void describe(ferry_request *requests, ferry_handle channel, uint64_t first, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ferry_prepare_channel_send(&requests[i], channel, (int64_t)(first + i), 0);
    }
}

static size_t batch_size(uint64_t left, size_t most) {
    return left < most ? (size_t)left : most;
}

static void receive_all(ferry_queue *queue, ferry_handle channel) {
    ferry_request request;
    ferry_prepare_channel_receive(&request, channel);
    request.callback = count_message;
    bench_submit(queue, &request, 1);
}

static ferry_handle open_channel(ferry_engine *engine, bool host_driven) {
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_REAP, 0);
    ferry_request request;
    ferry_completion opened;
    ferry_prepare_channel_open(&request, CAPACITY);
    bench_submit(queue, &request, 1);
    int32_t count = 0;
    if (host_driven) {
        bench_run(engine, 0);
        count = ferry_queue_reap(queue, &opened, 1);
    } else {
        count = ferry_queue_wait(queue, &opened, 1, FERRY_FOREVER);
    }
    if (count != 1) {
        bench_die("no channel: %d", count);
    }
    bench_check(opened.status, "channel_open");
    return opened.handle;
}

/** Message completions are counted, those of sends only their number. */
static uint64_t reap_some(ferry_queue *queue, bool wait) {
    ferry_completion completions[REAP_MAX];
    int32_t count = wait ? ferry_queue_wait(queue, completions, REAP_MAX, FERRY_FOREVER)
                         : ferry_queue_reap(queue, completions, REAP_MAX);
    if (count < 0) {
        bench_check(count, "queue_reap");
    }
    for (int32_t i = 0; i < count; i++) {
        if (completions[i].opcode == FERRY_OP_CHANNEL_RECEIVE) {
            count_message(&completions[i], NULL);
        } else {
            bench_check(completions[i].status, "channel_send");
        }
    }
    return (uint64_t)count;
}

static void run_one(ferry_engine *engine, ferry_handle channel, uint64_t count) {
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_REAP, RING);
    ferry_request requests[ONE_BATCH];
    receive_all(queue, channel);
    for (uint64_t sent = 0; sent < count;) {
        size_t size = batch_size(count - sent, ONE_BATCH);
        describe(requests, channel, sent, size);
        bench_submit(queue, requests, size);
        sent += size;
        for (uint64_t left = 2 * size; left > 0;) {
            bench_run(engine, 0);
            left -= reap_some(queue, false);
        }
    }
}

static uint64_t count_now(void) {
    return atomic_load_explicit(&counted, memory_order_acquire);
}

/** Never further ahead than the capacity; nobody is told of the sends' completions. */
static void run_inline(ferry_engine *engine, ferry_handle channel, uint64_t count) {
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_INLINE, 0);
    ferry_request requests[BATCH];
    receive_all(queue, channel);
    for (uint64_t sent = 0; sent < count;) {
        if (sent - count_now() > CAPACITY - BATCH) {
            sched_yield();
            continue;
        }
        size_t size = batch_size(count - sent, BATCH);
        describe(requests, channel, sent, size);
        bench_submit(queue, requests, size);
        sent += size;
    }
    while (count_now() < count) {
        sched_yield();
    }
}

struct producer {
    ferry_engine *engine;
    ferry_handle channel;
    uint64_t count;
};

static void *produce(void *argument) {
    const struct producer *producer = argument;
    ferry_queue *queue = bench_queue(producer->engine, FERRY_QUEUE_REAP, RING);
    ferry_request requests[BATCH];
    uint64_t sent = 0;
    for (uint64_t ended = 0; ended < producer->count;) {
        bool wait = sent == producer->count || sent - ended > CAPACITY;
        if (!wait) {
            size_t size = batch_size(producer->count - sent, BATCH);
            describe(requests, producer->channel, sent, size);
            bench_submit(queue, requests, size);
            sent += size;
        }
        ended += reap_some(queue, wait);
    }
    return NULL;
}

static void run_reaped(ferry_engine *engine, ferry_handle channel, uint64_t count) {
    struct producer producer = {.engine = engine, .channel = channel, .count = count};
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_REAP, RING);
    pthread_t thread;
    receive_all(queue, channel);
    if (pthread_create(&thread, NULL, produce, &producer) != 0) {
        bench_die("no thread");
    }
    for (uint64_t received = 0; received < count;) {
        received += reap_some(queue, true);
    }
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    bench_start(120);
    const char *how = argc > 1 ? argv[1] : "one";
    bool one = strcmp(how, "one") == 0;
    bool reaped = strcmp(how, "reap") == 0;
    uint64_t count = bench_number(argc, argv, 2, 5000000);

    // A thread starts on its creator's core; three of them are left to the system.
    if (!reaped) {
        bench_pin(0);
    }
    ferry_engine *engine = bench_engine(one ? 0 : 1, 0);
    if (!one && !reaped) {
        bench_pin(1);
    }
    ferry_handle channel = open_channel(engine, one);
    uint64_t start = bench_now_ns();
    if (one) {
        run_one(engine, channel, count);
    } else if (reaped) {
        run_reaped(engine, channel, count);
    } else {
        run_inline(engine, channel, count);
    }
    printf("{\"count\":%llu,\"elapsed_ns\":%llu}\n", (unsigned long long)count,
           (unsigned long long)(bench_now_ns() - start));
    bench_end(engine);
    return 0;
}
