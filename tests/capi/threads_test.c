/*
 * Eight threads at once: whatever they submit, cancel and close, whatever the engine runs out of in
 * the meantime, each accepted request ends exactly once. The referee counts.
 */
#include "fixture.h"

#include <stdatomic.h>
#include <string.h>

enum { THREADS = 8, ROUNDS = 250, MESSAGE = 64 };

/* What makes one storm different from another. */
typedef struct weather {
    ferry_engine_options engine;
    ferry_queue_options queue;
    uint64_t deadline_ns; /* On most requests; 0 = none. */
    bool cancels;         /* Cancel a quarter of what was submitted. */
    bool closes;          /* Close and discard streams on the way. */
    bool shuts_down;      /* Shut the engine down half-way. */
    size_t refuse_every;  /* Let the allocator refuse each n-th call. */
} weather;

typedef struct storm {
    fixture *f;
    const weather *weather;
    ferry_handle streams[THREADS];
    const char *path;
    atomic_int working;
    atomic_size_t accepted;
    atomic_int unexpected; /* A status that no storm explains. */
} storm;

typedef struct worker {
    storm *storm;
    size_t number;
    uint64_t random;
    unsigned char message[MESSAGE];
} worker;

static uint32_t draw(worker *w, uint32_t bound) {
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(w->random >> 33) % bound;
}

static ferry_handle any_stream(worker *w) {
    return w->storm->streams[draw(w, THREADS)];
}

static void prepare_something(worker *w, ferry_request *request) {
    switch (draw(w, 8)) {
    case 0:
    case 1:
        ferry_prepare_nop(request);
        break;
    case 2:
        ferry_prepare_timer(request, draw(w, MS), 0);
        break;
    case 3:
        ferry_prepare_file_load(request, w->storm->path, 0);
        break;
    case 4:
        /* Ends by its deadline at the latest; busy is an answer too. */
        ferry_prepare_stream_receive_multishot(request, any_stream(w));
        request->flags &= draw(w, 2) == 0 ? ~(uint32_t)FERRY_MULTISHOT : ~UINT32_C(0);
        request->deadline_ns = 1 + draw(w, 2 * MS);
        break;
    default:
        ferry_prepare_stream_send(request, any_stream(w), w->message, MESSAGE);
        request->flags = draw(w, 2) == 0 ? FERRY_COPY : 0;
        break;
    }
    if (w->storm->weather->deadline_ns != 0 && draw(w, 4) != 0) {
        request->deadline_ns = 1 + draw(w, (uint32_t)w->storm->weather->deadline_ns);
    }
    request->tag = w->number;
}

/* Submit until it is taken or there is no use in trying; FERRY_NONE if it was not. */
static ferry_op insist(worker *w, const ferry_request *request) {
    storm *s = w->storm;
    for (;;) {
        ferry_op op = FERRY_NONE;
        ferry_status status = fixture_try(s->f, request, 1, &op, NULL);
        switch (status) {
        case FERRY_OK:
            atomic_fetch_add(&s->accepted, 1);
            return op;
        case FERRY_E_FULL:
            sleep_ns(50 * US);
            break;
        case FERRY_E_NO_MEMORY:
            if (s->weather->refuse_every == 0) {
                atomic_store(&s->unexpected, status);
            }
            return FERRY_NONE;
        case FERRY_E_SHUTDOWN:
            return FERRY_NONE;
        default:
            atomic_store(&s->unexpected, status);
            return FERRY_NONE;
        }
    }
}

static void close_something(worker *w) {
    ferry_handle stream = any_stream(w);
    if (draw(w, 2) == 0) {
        referee_discard(w->storm->f->judge, w->storm->f->engine, stream);
        return;
    }
    ferry_request request;
    ferry_prepare_handle_close(&request, stream);
    insist(w, &request);
}

static void *work(void *argument) {
    worker *w = argument;
    storm *s = w->storm;
    const weather *weather = s->weather;
    for (int round = 0; round < ROUNDS; round++) {
        ferry_request request;
        prepare_something(w, &request);
        ferry_op op = insist(w, &request);
        if (op != FERRY_NONE && weather->cancels && draw(w, 4) == 0) {
            referee_cancel(s->f->judge, s->f->queue, op);
        }
        if (draw(w, 4) == 0) {
            /* One that ends by nothing but its cancel. */
            ferry_prepare_timer(&request, HOUR, draw(w, 2) == 0 ? 0 : HOUR);
            op = insist(w, &request);
            if (op != FERRY_NONE) {
                referee_cancel(s->f->judge, s->f->queue, op);
            }
        }
        if (weather->closes && draw(w, 16) == 0) {
            close_something(w);
        }
    }
    atomic_fetch_sub(&s->working, 1);
    return NULL;
}

/* The messages of all threads, in whatever order, but each in one piece. */
static void expect_whole_messages(fixture *f, storm *s, const int *peers) {
    unsigned char *got = fixture_memory(f, THREADS * ROUNDS * MESSAGE);
    for (size_t i = 0; i < THREADS; i++) {
        fixture_close_handle(f, s->streams[i]);
        size_t size = peer_receive_all(peers[i], got, (size_t)THREADS * ROUNDS * MESSAGE);
        assert_int_equal(size % MESSAGE, 0);
        for (size_t at = 0; at < size; at += MESSAGE) {
            assert_int_equal(memcmp(got + at, got + at + 1, MESSAGE - 1), 0);
        }
    }
}

static void brew(void **state, const weather *weather) {
    counting_allocator *allocator = fixture_memory(*state, sizeof *allocator);
    memset(allocator, 0, sizeof *allocator);
    ferry_engine_options options = weather->engine;
    allocator_install(allocator, &options);
    fixture *f = fixture_open_with(state, &options, &weather->queue);
    storm *s = fixture_memory(f, sizeof *s);
    worker *workers = fixture_memory(f, THREADS * sizeof *workers);
    pthread_t threads[THREADS];
    int peers[THREADS];
    *s = (storm){.f = f, .weather = weather, .path = fixture_file(f, "file", 3000)};
    for (size_t i = 0; i < THREADS; i++) {
        s->streams[i] = fixture_stream(f, &peers[i]);
    }
    atomic_store(&allocator->refuse_every, weather->refuse_every);
    atomic_store(&s->working, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.storm = s, .number = i, .random = i + 1};
        memset(workers[i].message, (int)('a' + i), MESSAGE);
        REQUIRE(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    while (atomic_load(&s->working) > 0 || referee_outstanding(f->judge) > 0) {
        if (weather->shuts_down && atomic_load(&s->accepted) > THREADS * ROUNDS / 2) {
            break;
        }
        fixture_turn(f, MS);
        fixture_drain(f);
    }
    if (weather->shuts_down) {
        fixture_shutdown(f);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&allocator->refuse_every, 0);
    assert_status(atomic_load(&s->unexpected), FERRY_OK);
    assert_true(atomic_load(&s->accepted) > THREADS * ROUNDS / 4);
    if (!weather->closes && !weather->shuts_down) {
        expect_whole_messages(f, s, peers);
    }
    fixture_shutdown(f);
    fixture_drain(f);
    assert_int_equal(atomic_load(&allocator->wrong_frees), 0);
}

static void submit_all_at_once(void **state) {
    static const weather calm = {0};
    brew(state, &calm);
}

static void under_cancel(void **state) {
    static const weather canceling = {.cancels = true};
    brew(state, &canceling);
}

static void under_deadlines(void **state) {
    static const weather hurried = {.deadline_ns = MS, .cancels = true};
    brew(state, &hurried);
}

static void under_close(void **state) {
    static const weather closing = {.closes = true, .cancels = true};
    brew(state, &closing);
}

static void under_shutdown(void **state) {
    static const weather ending = {.shuts_down = true, .cancels = true, .deadline_ns = MS};
    brew(state, &ending);
}

static void under_a_full_ring(void **state) {
    static const weather narrow = {.queue = {.capacity = 4}, .cancels = true};
    brew(state, &narrow);
}

static void under_a_full_table(void **state) {
    static const weather crowded = {.engine = {.ops_max = 16}, .cancels = true};
    brew(state, &crowded);
}

static void under_refused_memory(void **state) {
    static const weather poor = {.refuse_every = 5, .cancels = true};
    brew(state, &poor);
}

static void under_all_of_it(void **state) {
    static const weather worst = {.engine = {.ops_max = 32, .buffer_bytes_max = 64 * 1024},
                                  .queue = {.capacity = 2},
                                  .deadline_ns = MS,
                                  .cancels = true,
                                  .closes = true,
                                  .shuts_down = true,
                                  .refuse_every = 7};
    brew(state, &worst);
}

/* --- A queue for each thread --------------------------------------------------------------- */

typedef struct loner {
    fixture *f;
    uint32_t shard;
    int failed;
} loner;

static void *live_alone(void *argument) {
    loner *l = argument;
    ferry_queue_options options = {.struct_size = sizeof options, .shard = l->shard, .capacity = 8};
    ferry_queue *queue = NULL;
    l->failed = ferry_queue_create(l->f->engine, &options, &queue) != FERRY_OK;
    size_t submitted = 0;
    size_t reaped = 0;
    while (!l->failed && reaped < ROUNDS * 4) {
        ferry_request requests[4];
        ferry_completion out[8];
        for (size_t i = 0; i < 4 && submitted < ROUNDS * 4; i++, submitted++) {
            ferry_prepare_timer(&requests[0], i * 10 * US, 0);
            requests[0].tag = submitted;
            l->failed |= referee_submit(l->f->judge, queue, requests, 1, NULL, NULL) != FERRY_OK;
        }
        int32_t count = referee_wait(l->f->judge, queue, out, 8, FERRY_FOREVER);
        l->failed |= count <= 0;
        reaped += count > 0 ? (size_t)count : 0;
    }
    l->failed |= ferry_queue_destroy(queue) != FERRY_OK;
    return NULL;
}

static void each_with_a_queue_of_its_own(void **state) {
    fixture *f = fixture_open(state);
    loner loners[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        loners[i] = (loner){.f = f, .shard = i % (f->drive->shards + 1)};
        REQUIRE(pthread_create(&threads[i], NULL, live_alone, &loners[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(loners[i].failed, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH_SHARDS(submit_all_at_once),
        TEST_ON(submit_all_at_once, two_inline),
        TEST_ON(submit_all_at_once, one_mapped),
        ON_EACH_SHARDS(under_cancel),
        ON_EACH_SHARDS(under_deadlines),
        TEST_ON(under_deadlines, two_inline),
        ON_EACH_SHARDS(under_close),
        ON_EACH_SHARDS(under_shutdown),
        TEST_ON(under_shutdown, one_mapped),
        ON_EACH_SHARDS(under_a_full_ring),
        TEST_ON(under_a_full_ring, one_mapped),
        ON_EACH_SHARDS(under_a_full_table),
        ON_EACH_SHARDS(under_refused_memory),
        ON_EACH_SHARDS(under_all_of_it),
        ON_THREADS(each_with_a_queue_of_its_own),
    };
    return RUN_SUITE(tests);
}
