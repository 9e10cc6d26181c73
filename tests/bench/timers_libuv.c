/**
 * @file
 * Standing timers in libuv's heap: started one after the other, stopped in a random order.
 *
 *     timers_libuv [count]
 *
 * prints {"start_ns":..,"stop_ns":..}, each for one timer.
 */
#include "support.h"

#include <uv.h>

#include <stdio.h>

static void on_timer(uv_timer_t *timer) {
    (void)timer;
    bench_die("a timer fired that should only stand");
}

int main(int argc, char **argv) {
    bench_start(120);
    uint32_t count = (uint32_t)bench_number(argc, argv, 1, 1000000);
    uv_timer_t *timers = bench_allocate(count * sizeof(*timers));
    uint32_t *order = bench_order(count);
    uint64_t *delays_ms = bench_delays_ms(count);
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (uint32_t i = 0; i < count; i++) {
        uv_timer_init(&loop, &timers[i]);
    }
    uint64_t start = bench_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        uv_timer_start(&timers[i], on_timer, delays_ms[i], 0);
    }
    uint64_t standing = bench_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        uv_timer_stop(&timers[order[i]]);
    }
    uint64_t end = bench_now_ns();
    printf("{\"start_ns\":%.2f,\"stop_ns\":%.2f}\n", (double)(standing - start) / count,
           (double)(end - standing) / count);
    return 0;
}
