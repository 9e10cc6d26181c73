/**
 * @file
 * Messages from another thread to a libuv loop, in batches of 32: a bounded array under a mutex and
 * uv_async_send, the usual way. The peer of cross_ferry.
 *
 *     cross_libuv [count]
 *
 * prints {"count":..,"elapsed_ns":..}.
 */
#include "support.h"

#include <uv.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

enum { BATCH = 32, RING = 16384 };

struct message {
    void (*callback)(const struct message *message);
    void *user_data;
    uint64_t tag;
};

/** The writer fills one array while the loop empties the other. */
struct mailbox {
    uv_mutex_t mutex;
    uv_async_t wake;
    struct message *waiting;
    struct message *draining;
    uint32_t count;
};

static struct mailbox mailbox;
static atomic_ullong counted;
static uint64_t total;

static void on_message(const struct message *message) {
    (void)message;
    unsigned long long count = atomic_load_explicit(&counted, memory_order_relaxed);
    atomic_store_explicit(&counted, count + 1, memory_order_release);
}

static void on_wake(uv_async_t *wake) {
    uv_mutex_lock(&mailbox.mutex);
    struct message *messages = mailbox.waiting;
    uint32_t count = mailbox.count;
    mailbox.waiting = mailbox.draining;
    mailbox.draining = messages;
    mailbox.count = 0;
    uv_mutex_unlock(&mailbox.mutex);
    for (uint32_t i = 0; i < count; i++) {
        messages[i].callback(&messages[i]);
    }
    if (atomic_load_explicit(&counted, memory_order_relaxed) == total) {
        uv_close((uv_handle_t *)wake, NULL);
    }
}

static bool send_batch(const struct message *messages, uint32_t count) {
    uv_mutex_lock(&mailbox.mutex);
    bool fits = mailbox.count + count <= RING;
    for (uint32_t i = 0; fits && i < count; i++) {
        mailbox.waiting[mailbox.count++] = messages[i];
    }
    uv_mutex_unlock(&mailbox.mutex);
    if (fits) {
        uv_async_send(&mailbox.wake);
    }
    return fits;
}

static void run_loop(void *argument) {
    uv_run(argument, UV_RUN_DEFAULT);
}

int main(int argc, char **argv) {
    bench_start(120);
    total = bench_number(argc, argv, 1, 20000000);
    uv_loop_t loop;
    uv_loop_init(&loop);
    uv_mutex_init(&mailbox.mutex);
    uv_async_init(&loop, &mailbox.wake, on_wake);
    mailbox.waiting = bench_allocate(RING * sizeof(struct message));
    mailbox.draining = bench_allocate(RING * sizeof(struct message));

    // A thread starts on its creator's core.
    bench_pin(0);
    uv_thread_t thread;
    uv_thread_create(&thread, run_loop, &loop);
    bench_pin(1);

    struct message messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        messages[i] = (struct message){.callback = on_message};
    }
    uint64_t start = bench_now_ns();
    for (uint64_t sent = 0; sent < total;) {
        uint32_t count = total - sent < BATCH ? (uint32_t)(total - sent) : BATCH;
        if (send_batch(messages, count)) {
            sent += count;
        } else {
            sched_yield();
        }
    }
    while (atomic_load_explicit(&counted, memory_order_acquire) < total) {
        sched_yield();
    }
    printf("{\"count\":%llu,\"elapsed_ns\":%llu}\n", (unsigned long long)total,
           (unsigned long long)(bench_now_ns() - start));
    uv_thread_join(&thread);
    return 0;
}
