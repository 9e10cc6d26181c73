/**
 * @file
 * The nearest thing to a nop in raw libuv: 64 timers that are due at once, and one turn of it.
 *
 *     nop_libuv [count]
 *
 * prints {"ns":..}.
 */
#include "support.h"

#include <uv.h>

#include <stdio.h>

enum { BATCH = 64 };

static uint64_t called;

static void on_timer(uv_timer_t *timer) {
    (void)timer;
    called++;
}

int main(int argc, char **argv) {
    static uv_timer_t timers[BATCH];
    uv_loop_t loop;
    bench_start(120);
    uint64_t batches = bench_number(argc, argv, 1, 10000000) / BATCH;
    uv_loop_init(&loop);
    for (int i = 0; i < BATCH; i++) {
        uv_timer_init(&loop, &timers[i]);
    }
    uint64_t start = bench_now_ns();
    for (uint64_t batch = 0; batch < batches; batch++) {
        for (int i = 0; i < BATCH; i++) {
            uv_timer_start(&timers[i], on_timer, 0, 0);
        }
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    double ns = (double)(bench_now_ns() - start) / (double)(batches * BATCH);
    if (called != batches * BATCH) {
        bench_die("timers were lost");
    }
    printf("{\"ns\":%.2f}\n", ns);
    return 0;
}
