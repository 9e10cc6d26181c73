/**
 * @file
 * Messages between two shards: so many nops go to and fro, each submitted by the callback of the
 * one before it on the other shard.
 *
 *     shards_ferry [tokens [count]]
 *
 * Prints {"count":..,"elapsed_ns":..,"cpu_ns":..,"wakeups":..,"turns":..} over all messages.
 */
#include "engine_support.h"
#include "support.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { SHARDS = 2, TOKENS_MAX = 4096 };

/** What one shard counts, far from what the other one does. */
static struct side {
    ferry_queue *queue;
    struct side *other;
    _Atomic uint64_t left;
    char apart[128];
} sides[SHARDS];

static void on_nop(const ferry_completion *completion, void *user_data);

static void send_to(struct side *side) {
    ferry_request nop;
    ferry_prepare_nop(&nop);
    nop.callback = on_nop;
    nop.user_data = side;
    bench_submit(side->queue, &nop, 1);
}

static void on_nop(const ferry_completion *completion, void *user_data) {
    struct side *side = user_data;
    uint64_t left = atomic_load_explicit(&side->left, memory_order_relaxed);
    if (left == 0) {
        return; // The last ones may meet the engine's end.
    }
    bench_check(completion->status, "nop");
    atomic_store_explicit(&side->left, left - 1, memory_order_release);
    send_to(side->other);
}

static void sum_up(ferry_engine *engine, ferry_shard_info *sum) {
    *sum = (ferry_shard_info){0};
    for (uint32_t i = 0; i < SHARDS; i++) {
        ferry_shard_info info = {.struct_size = sizeof info};
        bench_check(ferry_engine_get_shard_info(engine, i, &info), "get_shard_info");
        sum->wakeups += info.wakeups;
        sum->turns += info.turns;
    }
}

int main(int argc, char **argv) {
    bench_start(120);
    uint64_t tokens = bench_number(argc, argv, 1, 64);
    uint64_t count = bench_number(argc, argv, 2, 4000000);
    if (tokens > TOKENS_MAX) {
        bench_die("at most %d tokens", TOKENS_MAX);
    }
    ferry_engine *engine = bench_engine(SHARDS, 0);
    for (uint32_t i = 0; i < SHARDS; i++) {
        ferry_queue_options options = {
            .struct_size = sizeof options, .mode = FERRY_QUEUE_INLINE, .shard = i + 1};
        bench_check(ferry_queue_create(engine, &options, &sides[i].queue), "queue_create");
        sides[i].other = &sides[1 - i];
        atomic_store(&sides[i].left, count / SHARDS);
    }
    ferry_shard_info before;
    ferry_shard_info after;
    sum_up(engine, &before);
    uint64_t cpu = bench_cpu_ns(0);
    uint64_t began = bench_now_ns();
    for (uint64_t i = 0; i < tokens; i++) {
        send_to(&sides[i % SHARDS]);
    }
    while (atomic_load_explicit(&sides[0].left, memory_order_acquire) != 0 ||
           atomic_load_explicit(&sides[1].left, memory_order_acquire) != 0) {
        // Both cores are the shards'.
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    uint64_t elapsed = bench_now_ns() - began;
    cpu = bench_cpu_ns(0) - cpu;
    sum_up(engine, &after);
    printf("{\"count\":%llu,\"elapsed_ns\":%llu,\"cpu_ns\":%llu,\"wakeups\":%llu,\"turns\":%llu}\n",
           (unsigned long long)(count / SHARDS * SHARDS), (unsigned long long)elapsed,
           (unsigned long long)cpu, (unsigned long long)(after.wakeups - before.wakeups),
           (unsigned long long)(after.turns - before.turns));
    bench_end(engine);
    return 0;
}
