#include "senders.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { BURST_MAX = 64 };

typedef struct sender {
    senders *all;
    uint64_t first_tag;
    uint64_t random;
    pthread_t thread;
    ferry_status (*send)(struct sender *self, uint64_t first, uint32_t count);
} sender;

struct senders {
    ferry_queue *queue;
    const _Atomic uint32_t *head; /* The reader's counter. */
    _Atomic uint32_t sent;        /* What it will be when the reader has taken all. */
    _Atomic ferry_status failed;
    uint64_t count;
    uint32_t threads;
    sender each[2];
};

/* xorshift64: quick, and quite good enough for pauses. */
static uint64_t below(sender *self, uint64_t bound) {
    self->random ^= self->random << 13;
    self->random ^= self->random >> 7;
    self->random ^= self->random << 17;
    return (self->random >> 16) % bound;
}

/* Yields at first: the reader may be about to run. Then sleeps: it may need both cores. */
static void wait_a_little(uint32_t times) {
    if (times < 100)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

static ferry_status post(sender *self, uint64_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t times = 0;; times++) {
            ferry_status status = ferry_queue_post(self->all->queue, first + i, 0, first + i);
            if (status == FERRY_OK)
                break;
            if (status != FERRY_E_FULL)
                return status;
            wait_a_little(times);
        }
    }
    return FERRY_OK;
}

static ferry_status submit(sender *self, uint64_t first, uint32_t count) {
    ferry_request requests[BURST_MAX];
    for (uint32_t i = 0; i < count; i++) {
        ferry_prepare_nop(&requests[i]);
        requests[i].tag = first + i;
    }
    size_t done = 0;
    for (uint32_t times = 0;; times++) {
        size_t accepted;
        ferry_status status =
            ferry_queue_submit(self->all->queue, requests + done, count - done, NULL, &accepted);
        done += accepted;
        if (status != FERRY_E_FULL)
            return status;
        wait_a_little(times);
    }
}

static void pause_for_a_moment(sender *self) {
    uint64_t turns = below(self, below(self, 4) == 0 ? 20000 : 500);
    for (uint64_t i = 0; i < turns; i++)
        atomic_signal_fence(memory_order_seq_cst); /* An empty loop that stays. */
}

static void wait_for_reader(sender *self) {
    uint32_t target = atomic_load(&self->all->sent);
    for (uint32_t times = 0;; times++) {
        uint32_t behind = target - atomic_load_explicit(self->all->head, memory_order_acquire);
        if (behind == 0 || behind > UINT32_MAX / 2)
            return;
        wait_a_little(times);
    }
}

static void *run(void *argument) {
    sender *self = argument;
    senders *all = self->all;
    for (uint64_t number = 0; number < all->count;) {
        uint64_t most = below(self, 2) == 0 ? 1 : below(self, 4) == 0 ? BURST_MAX : 8;
        uint32_t burst = (uint32_t)(1 + below(self, most));
        if (burst > all->count - number)
            burst = (uint32_t)(all->count - number);
        ferry_status status = self->send(self, self->first_tag + number, burst);
        if (status != FERRY_OK) {
            atomic_store(&all->failed, status);
            break;
        }
        number += burst;
        atomic_fetch_add(&all->sent, burst);
        if (below(self, 4) != 0)
            wait_for_reader(self);
        if (below(self, 4) != 0)
            pause_for_a_moment(self);
    }
    return NULL;
}

static bool start_one(senders *all, uint64_t seed, uint64_t first_tag,
                      ferry_status (*send)(sender *, uint64_t, uint32_t)) {
    sender *self = &all->each[all->threads];
    *self = (sender){
        .all = all, .first_tag = first_tag, .random = (seed + first_tag) | 1, .send = send};
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        return false;
    all->threads++;
    return true;
}

senders *senders_start_counted(ferry_queue *queue, const uint32_t *taken, uint32_t which,
                               uint64_t count, uint64_t seed) {
    senders *all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->queue = queue;
    all->head = (const _Atomic uint32_t *)taken;
    all->count = count;
    atomic_init(&all->sent, atomic_load(all->head));
    if (((which & SENDERS_POST) != 0 && !start_one(all, seed, 0, post)) ||
        ((which & SENDERS_NOP) != 0 && !start_one(all, seed, SENDERS_FIRST_NOP, submit))) {
        senders_join(all);
        return NULL;
    }
    return all;
}

senders *senders_start(ferry_queue *queue, uint32_t which, uint64_t count, uint64_t seed) {
    ferry_queue_mapping mapping = {.struct_size = sizeof mapping};
    if (ferry_queue_map(queue, &mapping) != FERRY_OK)
        return NULL;
    return senders_start_counted(queue, mapping.head, which, count, seed);
}

ferry_status senders_join(senders *all) {
    for (uint32_t i = 0; i < all->threads; i++)
        pthread_join(all->each[i].thread, NULL);
    ferry_status failed = atomic_load(&all->failed);
    free(all);
    return failed;
}
