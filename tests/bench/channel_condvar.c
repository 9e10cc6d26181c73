/**
 * @file
 * Messages through a bounded array under a mutex with two condition variables, as one writes it by hand. The
 * peer of channel_ferry: the same capacity, the same batches.
 *
 *     channel_condvar one|threads [count]
 *
 * one: in batches of 64 on one thread. threads: from a thread to another, 32 at a time, each batch under
 * one lock. Prints {"count":..,"elapsed_ns":..}.
 */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { CAPACITY = 1024, BATCH = 32, ONE_BATCH = 64 };

struct message {
    int64_t result;
    uint64_t data;
};

struct channel {
    pthread_mutex_t lock;
    pthread_cond_t room;
    pthread_cond_t arrived;
    struct message ring[CAPACITY];
    uint32_t head;
    uint32_t count;
    uint32_t senders_waiting;
    uint32_t receivers_waiting;
};

static struct channel channel = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                 .room = PTHREAD_COND_INITIALIZER,
                                 .arrived = PTHREAD_COND_INITIALIZER};

/** All of them; waits for room. */
static void channel_send(const struct message *messages, uint32_t count) {
    pthread_mutex_lock(&channel.lock);
    for (uint32_t i = 0; i < count; i++) {
        while (channel.count == CAPACITY) {
            channel.senders_waiting++;
            pthread_cond_wait(&channel.room, &channel.lock);
            channel.senders_waiting--;
        }
        channel.ring[(channel.head + channel.count++) % CAPACITY] = messages[i];
        if (channel.receivers_waiting != 0) {
            pthread_cond_signal(&channel.arrived);
        }
    }
    pthread_mutex_unlock(&channel.lock);
}

/** At least one; waits for it. */
static uint32_t channel_receive(struct message *messages, uint32_t capacity) {
    pthread_mutex_lock(&channel.lock);
    while (channel.count == 0) {
        channel.receivers_waiting++;
        pthread_cond_wait(&channel.arrived, &channel.lock);
        channel.receivers_waiting--;
    }
    uint32_t count = 0;
    for (; count < capacity && channel.count != 0; count++, channel.count--) {
        messages[count] = channel.ring[channel.head];
        channel.head = (channel.head + 1) % CAPACITY;
    }
    if (channel.senders_waiting != 0) {
        pthread_cond_signal(&channel.room);
    }
    pthread_mutex_unlock(&channel.lock);
    return count;
}

static void send_batch(uint64_t first, uint32_t count) {
    struct message messages[ONE_BATCH];
    for (uint32_t i = 0; i < count; i++) {
        messages[i] = (struct message){.result = (int64_t)(first + i)};
    }
    channel_send(messages, count);
}

static uint32_t receive_batch(uint64_t first, uint32_t capacity) {
    struct message messages[ONE_BATCH];
    uint32_t count = channel_receive(messages, capacity);
    for (uint32_t i = 0; i < count; i++) {
        if ((uint64_t)messages[i].result != first + i) {
            bench_die("messages out of order");
        }
    }
    return count;
}

static void run_one(uint64_t count) {
    for (uint64_t sent = 0; sent < count;) {
        uint32_t size = count - sent < ONE_BATCH ? (uint32_t)(count - sent) : ONE_BATCH;
        send_batch(sent, size);
        for (uint32_t received = 0; received < size;) {
            received += receive_batch(sent + received, ONE_BATCH);
        }
        sent += size;
    }
}

static void *produce(void *argument) {
    uint64_t count = *(const uint64_t *)argument;
    for (uint64_t sent = 0; sent < count;) {
        uint32_t size = count - sent < BATCH ? (uint32_t)(count - sent) : BATCH;
        send_batch(sent, size);
        sent += size;
    }
    return NULL;
}

static void run_threads(uint64_t count) {
    pthread_t thread;
    bench_pin(1);
    if (pthread_create(&thread, NULL, produce, &count) != 0) {
        bench_die("no thread");
    }
    bench_pin(0);
    for (uint64_t received = 0; received < count;) {
        received += receive_batch(received, BATCH);
    }
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    bench_start(120);
    bool one = argc < 2 || strcmp(argv[1], "one") == 0;
    uint64_t count = bench_number(argc, argv, 2, 5000000);
    bench_pin(0);
    uint64_t start = bench_now_ns();
    if (one) {
        run_one(count);
    } else {
        run_threads(count);
    }
    printf("{\"count\":%llu,\"elapsed_ns\":%llu}\n", (unsigned long long)count,
           (unsigned long long)(bench_now_ns() - start));
    return 0;
}
