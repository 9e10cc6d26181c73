/*
 * The hostile programs of tests/fuzz, from eight threads at once: whatever they submit, guess, cancel
 * and give back, each accepted request ends exactly once, and nothing is left behind.
 *
 * The seed of a run is printed; to repeat it, give it as argument. (Threads are scheduled as the system
 * likes, so the same seed is the same programs, not the same run.)
 */
#include "allocator.h"
#include "check.h"
#include "family.h"
#include "ledger.h"
#include "opcodes.h"
#include "peer.h"
#include "process.h"
#include "referee.h"

#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    THREADS = 8,
    STEPS = 1500,
    BATCH = 8,
    LENT_PLACES = 64,
    PEERS = 16,
    WRITABLE_SIZE = 16 * 1024 * 1024,
    SHUTDOWNS_MAX = 2000
};

static uint64_t first_seed = 1;

struct siege;

/* How a thread takes what its queue brings. */
typedef enum taking { TAKE_REAP, TAKE_WAIT, TAKE_DISPATCH, TAKE_MAPPED, TAKE_INLINE } taking;

typedef struct besieger {
    struct siege *siege;
    source source;
    taking taking;
    ferry_queue *queue;
    ferry_queue_mapping ring;
    uint32_t called;
    pthread_t thread;
} besieger;

typedef struct siege {
    world *world;
    ferry_engine *engine;
    referee *judge;
    counting_allocator allocator;
    ledger descriptors;
    besieger threads[THREADS];
    pthread_mutex_t lock;
    ferry_buffer lent[LENT_PLACES]; /* Whoever takes one out may give it back, nobody else. */
    size_t lent_count;
    int peers[PEERS];
    atomic_int working;
    atomic_size_t accepted;
    atomic_int unexpected; /* The line of a call that answered what it never may. */
} siege;

/* Threads may not use cmocka's checks. */
#define EXPECT(s, condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            atomic_store(&(s)->unexpected, __LINE__);                                              \
        }                                                                                          \
    } while (0)

/* --- What completions bring ---------------------------------------------------------------- */

static void keep_or_release(siege *s, ferry_buffer buffer) {
    pthread_mutex_lock(&s->lock);
    bool kept = s->lent_count < LENT_PLACES;
    if (kept) {
        s->lent[s->lent_count++] = buffer;
    }
    pthread_mutex_unlock(&s->lock);
    if (!kept) {
        referee_release(s->judge, s->engine, buffer);
    }
}

static void keep(const ferry_completion *c, void *argument) {
    siege *s = argument;
    world_learn(s->world, c);
    if ((c->flags & FERRY_BUFFER) != 0) {
        keep_or_release(s, c->buffer);
    }
}

static void see(siege *s, const ferry_completion *c) {
    referee_note_completion(s->judge, c);
    ledger_completed(&s->descriptors, c, false);
    family_visit(c, keep, s);
    keep(c, s); /* After its children, which may be gone with its buffer. */
}

static void on_completion(const ferry_completion *c, void *user_data) {
    besieger *b = user_data;
    /* On the threads of several shards for an inline queue; counted only where one thread dispatches. */
    if (b->taking == TAKE_DISPATCH) {
        b->called++;
    }
    see(b->siege, c);
}

static void reap(besieger *b) {
    siege *s = b->siege;
    ferry_completion out[BATCH];
    int32_t count = b->taking == TAKE_WAIT
                        ? ferry_queue_wait(b->queue, out, BATCH, 50 * US)
                        : ferry_queue_reap(b->queue, out, 1 + source_below(&b->source, BATCH));
    EXPECT(s, count >= 0);
    for (int32_t i = 0; i < count; i++) {
        see(s, &out[i]);
    }
}

static void dispatch(besieger *b) {
    ferry_completion message = {.opcode = FERRY_OP_POST};
    uint32_t called_before = b->called;
    int32_t taken =
        ferry_queue_dispatch(b->queue, source_below(&b->source, 8), source_number(&b->source));
    EXPECT(b->siege, taken >= 0);
    /* A message has no callback, so it is them that are dropped. */
    for (int32_t i = (int32_t)(b->called - called_before); i < taken; i++) {
        see(b->siege, &message);
    }
}

static void read_ring(besieger *b) {
    uint32_t head = *b->ring.head;
    uint32_t tail = __atomic_load_n(b->ring.tail, __ATOMIC_ACQUIRE);
    EXPECT(b->siege, tail - head <= b->ring.capacity);
    for (uint32_t at = head; at != tail; at++) {
        ferry_completion completion = b->ring.records[at & (b->ring.capacity - 1)];
        see(b->siege, &completion);
    }
    __atomic_store_n(b->ring.head, tail, __ATOMIC_RELEASE);
    int32_t answer = ferry_queue_arm(b->queue);
    EXPECT(b->siege, answer == 0 || answer == 1);
}

static void take(besieger *b) {
    switch (b->taking) {
    case TAKE_REAP:
    case TAKE_WAIT:
        reap(b);
        break;
    case TAKE_DISPATCH:
        dispatch(b);
        break;
    case TAKE_MAPPED:
        read_ring(b);
        break;
    case TAKE_INLINE:
        break;
    }
}

/* --- What a thread does -------------------------------------------------------------------- */

static besieger *any_besieger(besieger *b) {
    return &b->siege->threads[source_below(&b->source, THREADS)];
}

static void submit(besieger *b) {
    siege *s = b->siege;
    besieger *to = any_besieger(b);
    hostile_request made[BATCH];
    ferry_request records[BATCH];
    ferry_op ops[BATCH];
    size_t accepted = 0;
    size_t count = 1 + source_below(&b->source, BATCH);
    for (size_t i = 0; i < count; i++) {
        hostile_prepare(&made[i], s->world, &b->source);
        records[i] = made[i].record;
        records[i].callback = on_completion;
        records[i].user_data = to;
    }
    referee_submit(s->judge, to->queue, records, count, ops, &accepted);
    for (size_t i = 0; i < count; i++) {
        if (i < accepted) {
            ledger_accepted(&s->descriptors, &made[i]);
            world_remember(s->world, &s->world->ops, ops[i]);
        } else {
            hostile_refused(&made[i]);
        }
    }
    atomic_fetch_add(&s->accepted, accepted);
}

static void cancel(besieger *b) {
    siege *s = b->siege;
    ferry_op op = world_pick(s->world, &s->world->ops, &b->source);
    if (source_once_in(&b->source, 8)) {
        op = s->world->foreign_op;
    }
    ferry_status status = referee_cancel(s->judge, any_besieger(b)->queue, op);
    EXPECT(s, status == FERRY_OK || status == FERRY_E_TOO_LATE || status == FERRY_E_UNKNOWN);
}

static void post(besieger *b) {
    siege *s = b->siege;
    besieger *to = any_besieger(b);
    ferry_status status = referee_post(s->judge, to->queue, source_number(&b->source), 0, 0);
    EXPECT(s, status == FERRY_OK || status == FERRY_E_FULL ||
                  (status == FERRY_E_UNSUPPORTED && to->taking == TAKE_INLINE));
}

static void release(besieger *b) {
    siege *s = b->siege;
    ferry_buffer buffer = FERRY_NONE;
    pthread_mutex_lock(&s->lock);
    if (s->lent_count > 0) {
        buffer = s->lent[--s->lent_count];
    }
    pthread_mutex_unlock(&s->lock);
    if (buffer != FERRY_NONE) {
        EXPECT(s, referee_release(s->judge, s->engine, buffer) == FERRY_OK);
        world_remember(s->world, &s->world->released, buffer);
    }
    /* And what was given back before, by whomever. */
    buffer = world_pick(s->world, &s->world->released, &b->source);
    EXPECT(s, ferry_buffer_release(s->engine, buffer) != FERRY_OK);
    EXPECT(s, ferry_buffer_release(s->engine, s->world->foreign_buffer) == FERRY_E_FOREIGN);
}

static void discard(besieger *b) {
    siege *s = b->siege;
    ferry_handle handle = world_pick(s->world, &s->world->handles, &b->source);
    if (source_once_in(&b->source, 4)) {
        handle = world_forge(s->world, handle, &b->source);
    }
    ferry_status status = referee_discard(s->judge, s->engine, handle);
    EXPECT(s, status == FERRY_OK || status == FERRY_E_BAD_HANDLE || status == FERRY_E_FOREIGN);
}

static void look_inside(besieger *b) {
    ferry_engine_info info = {.struct_size = sizeof info};
    EXPECT(b->siege, ferry_engine_get_info(b->siege->engine, &info) == FERRY_OK);
    EXPECT(b->siege, info.workers_detached <= 256);
}

/* A queue's whole life. */
static void come_and_go(besieger *b) {
    siege *s = b->siege;
    ferry_queue_options options = {.struct_size = sizeof options,
                                   .capacity = 1 + source_below(&b->source, 4)};
    ferry_queue *queue = NULL;
    if (ferry_queue_create(s->engine, &options, &queue) != FERRY_OK) {
        return;
    }
    ferry_request requests[BATCH];
    size_t accepted;
    for (size_t i = 0; i < BATCH; i++) {
        ferry_prepare_timer(&requests[i], source_take(&b->source, 2), 0);
    }
    referee_submit(s->judge, queue, requests, BATCH, NULL, &accepted);
    while (accepted > 0) {
        ferry_completion out[BATCH];
        int32_t count = ferry_queue_wait(queue, out, BATCH, MS);
        EXPECT(s, count >= 0);
        for (int32_t i = 0; i < count; i++) {
            referee_note_completion(s->judge, &out[i]);
            accepted--;
        }
    }
    EXPECT(s, ferry_queue_destroy(queue) == FERRY_OK);
    EXPECT(s, ferry_queue_submit(queue, requests, 1, NULL, NULL) == FERRY_E_STALE);
    EXPECT(s, ferry_queue_destroy(queue) == FERRY_E_STALE);
}

static void *besiege(void *argument) {
    static void (*const moves[])(besieger *) = {submit, submit, submit,  submit,     cancel,
                                                cancel, post,   release, discard,    look_inside,
                                                take,   take,   take,    come_and_go};
    besieger *b = argument;
    for (int i = 0; i < STEPS; i++) {
        moves[source_below(&b->source, sizeof moves / sizeof moves[0])](b);
        if (i % 4 == 0) {
            take(b);
        }
    }
    atomic_fetch_sub(&b->siege->working, 1);
    return NULL;
}

/* --- The siege ----------------------------------------------------------------------------- */

/* The other side of connections, and of the FIFO that hangs the workers. */
static void play_world(siege *s, source *choices) {
    int *peer = &s->peers[source_below(choices, PEERS)];
    if (*peer < 0) {
        *peer = accept4(s->world->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } else if (source_once_in(choices, 3)) {
        peer_reset(*peer);
        *peer = -1;
    } else if (source_once_in(choices, 3)) {
        close(*peer);
        *peer = -1;
    } else {
        send(*peer, s->world->readable, source_take(choices, 2), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    world_open_fifo(s->world);
}

static void open_siege(siege *s, uint32_t shards, uint64_t seed) {
    static const taking takings[THREADS] = {TAKE_REAP,   TAKE_WAIT, TAKE_DISPATCH, TAKE_MAPPED,
                                            TAKE_INLINE, TAKE_REAP, TAKE_MAPPED,   TAKE_INLINE};
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .shards = shards,
                                    .ops_max = 256,
                                    .handles_max = 64,
                                    .buffer_bytes_max = 1024 * 1024};
    allocator_install(&s->allocator, &options);
    pthread_mutex_init(&s->lock, NULL);
    ledger_open(&s->descriptors);
    s->judge = referee_create();
    assert_status(ferry_engine_create(&options, &s->engine), FERRY_OK);
    world_remember(s->world, &s->world->handles, s->world->foreign_handles[1]);
    for (uint32_t i = 0; i < THREADS; i++) {
        besieger *b = &s->threads[i];
        *b = (besieger){.siege = s, .source = source_of_seed(seed * THREADS + i)};
        b->taking = takings[i];
        ferry_queue_options queue = {
            .struct_size = sizeof queue,
            .mode = b->taking == TAKE_MAPPED   ? FERRY_QUEUE_MAPPED
                    : b->taking == TAKE_INLINE ? FERRY_QUEUE_INLINE
                                               : FERRY_QUEUE_REAP,
            .capacity = i < 4 ? 4 : 256,
            .shard = shards == 0 ? 0 : i % (shards + 1),
        };
        assert_status(ferry_queue_create(s->engine, &queue, &b->queue), FERRY_OK);
        if (b->taking == TAKE_MAPPED) {
            b->ring.struct_size = sizeof b->ring;
            assert_status(ferry_queue_map(b->queue, &b->ring), FERRY_OK);
        }
    }
    for (size_t i = 0; i < PEERS; i++) {
        s->peers[i] = -1;
    }
}

static void shut_down(siege *s) {
    for (int attempt = 0; attempt < SHUTDOWNS_MAX; attempt++) {
        ferry_status status = ferry_engine_shutdown(s->engine, 5 * MS);
        if (status == FERRY_OK) {
            return;
        }
        assert_status(status, FERRY_E_TIMED_OUT);
        world_open_fifo(s->world);
    }
    fail_msg("shutdown does not end");
}

static void take_the_rest(siege *s) {
    for (size_t i = 0; i < THREADS; i++) {
        besieger *b = &s->threads[i];
        size_t before;
        /* The thread that runs a loop may not wait. */
        b->taking = b->taking == TAKE_WAIT ? TAKE_REAP : b->taking;
        do {
            before = referee_seen(s->judge);
            take(b);
        } while (referee_seen(s->judge) != before);
    }
}

static void close_siege(siege *s) {
    ferry_engine_info info = {.struct_size = sizeof info};
    assert_status(ferry_engine_get_info(s->engine, &info), FERRY_OK);
    size_t lent = referee_lent(s->judge);
    referee_release_all(s->judge, s->engine);
    assert_true(referee_finish(s->judge));
    assert_int_equal(atomic_load(&s->unexpected), 0);
    assert_int_equal(info.ops_in_flight, 0);
    assert_int_equal(info.handles_open, 0);
    assert_int_equal(info.buffers_lent, lent);
    assert_status(ferry_engine_destroy(s->engine), FERRY_OK);
    assert_int_equal(atomic_load(&s->allocator.blocks), 0);
    assert_int_equal(atomic_load(&s->allocator.wrong_frees), 0);
    assert_true(world_windows_intact(s->world));
    referee_destroy(s->judge);
    pthread_mutex_destroy(&s->lock);
    for (size_t i = 0; i < PEERS; i++) {
        if (s->peers[i] >= 0) {
            close(s->peers[i]);
        }
    }
}

/* One siege; with early, the engine is shut down while they are at it. */
static void lay_siege(world *w, uint32_t shards, uint64_t seed, bool early) {
    siege *s = calloc(1, sizeof *s);
    REQUIRE(s != NULL);
    s->world = w;
    world_reset(w);
    open_siege(s, shards, seed);
    source choices = source_of_seed(seed);
    atomic_store(&s->working, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&s->threads[i].thread, NULL, besiege, &s->threads[i]) == 0);
    }
    atomic_store(&s->allocator.refuse_every, early ? 61 : 0);
    while (atomic_load(&s->working) > 0) {
        if (early && atomic_load(&s->accepted) > THREADS * STEPS / 4) {
            break;
        }
        play_world(s, &choices);
        if (shards == 0) {
            uint64_t budget_ns = source_once_in(&choices, 2) ? source_number(&choices) : 0;
            assert_status(ferry_engine_run(s->engine, 100 * US, budget_ns, NULL), FERRY_OK);
        } else {
            sleep_ns(100 * US);
        }
    }
    if (early) {
        shut_down(s);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(s->threads[i].thread, NULL);
    }
    atomic_store(&s->allocator.refuse_every, 0);
    shut_down(s);
    take_the_rest(s);
    assert_true(atomic_load(&s->accepted) > THREADS * STEPS / 8);
    close_siege(s);
    assert_true(ledger_close(&s->descriptors));
    free(s);
}

static void besiege_engine(uint32_t shards, bool early) {
    world *w = world_create(WRITABLE_SIZE);
    size_t descriptors = count_descriptors();
    for (uint64_t seed = first_seed; seed < first_seed + 2; seed++) {
        print_message("[   SEED   ] %llu\n", (unsigned long long)seed);
        watchdog_restart();
        lay_siege(w, shards, seed, early);
        assert_int_equal(count_descriptors(), descriptors);
    }
    world_destroy(w);
}

static void an_engine_with_three_shards(void **state) {
    (void)state;
    besiege_engine(3, false);
}

static void an_engine_with_three_shards_that_is_shut_down(void **state) {
    (void)state;
    besiege_engine(3, true);
}

static void an_engine_run_by_the_host(void **state) {
    (void)state;
    besiege_engine(0, false);
}

static void an_engine_run_by_the_host_that_is_shut_down(void **state) {
    (void)state;
    besiege_engine(0, true);
}

int main(int count, char **arguments) {
    if (count > 1) {
        first_seed = strtoull(arguments[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        PLAIN(an_engine_with_three_shards),
        PLAIN(an_engine_with_three_shards_that_is_shut_down),
        PLAIN(an_engine_run_by_the_host),
        PLAIN(an_engine_run_by_the_host_that_is_shut_down),
    };
    return RUN_SUITE(tests);
}
