/*
 * The watchdog: what holds a loop for too long is told to the log, once while it still does and once when it
 * is over, with what it was.
 */
#include "fixture.h"
#include "json.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 64 };
#define LIMIT (20 * MS)

/* What was logged, and who holds whom. */
typedef struct world {
    pthread_mutex_t lock;
    char lines[LINES_MAX][256];
    int32_t levels[LINES_MAX];
    size_t count;
    ferry_engine *engine;
    ferry_queue *queue;
    atomic_int calls;
    size_t lines_wanted; /* The callback stays until so many lines have come, or for so long. */
    uint64_t stay_ns;
    atomic_bool slow; /* The allocator. */
} world;

static void note(int32_t level, const char *message, void *user_data) {
    world *w = user_data;
    pthread_mutex_lock(&w->lock);
    REQUIRE(w->count < LINES_MAX);
    snprintf(w->lines[w->count], sizeof w->lines[0], "%s", message);
    w->levels[w->count++] = level;
    pthread_mutex_unlock(&w->lock);
}

static size_t line_count(world *w) {
    pthread_mutex_lock(&w->lock);
    size_t count = w->count;
    pthread_mutex_unlock(&w->lock);
    return count;
}

static void *allocate(size_t size, void *user_data) {
    world *w = user_data;
    if (atomic_load(&w->slow)) {
        sleep_ns(2 * LIMIT);
    }
    return malloc(size);
}

static void give_back(void *memory, size_t size, void *user_data) {
    (void)size;
    (void)user_data;
    free(memory);
}

static void begin(world *w, uint32_t shards, uint32_t mode, uint64_t stall_ns) {
    *w = (world){.lock = PTHREAD_MUTEX_INITIALIZER};
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .shards = shards,
                                    .allocate = allocate,
                                    .free = give_back,
                                    .log = note,
                                    .user_data = w,
                                    .stall_ns = stall_ns};
    ferry_queue_options queue_options = {
        .struct_size = sizeof queue_options, .mode = mode, .shard = shards};
    assert_status(ferry_engine_create(&options, &w->engine), FERRY_OK);
    assert_status(ferry_queue_create(w->engine, &queue_options, &w->queue), FERRY_OK);
}

static void end(world *w) {
    assert_status(ferry_engine_shutdown(w->engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(w->engine), FERRY_OK);
}

static void stay(const ferry_completion *completion, void *user_data) {
    world *w = user_data;
    (void)completion;
    uint64_t until = now_ns() + w->stay_ns;
    while (now_ns() < until || line_count(w) < w->lines_wanted) {
        sleep_ns(MS);
    }
    atomic_fetch_add(&w->calls, 1);
}

static ferry_op submit(world *w, const ferry_request *request) {
    ferry_op op;
    ferry_request tagged = *request;
    tagged.tag = 4711;
    tagged.callback = stay;
    tagged.user_data = w;
    assert_status(ferry_queue_submit(w->queue, &tagged, 1, &op, NULL), FERRY_OK);
    return op;
}

/* Until the callback has been called so often. */
static void run(world *w, int calls) {
    ferry_engine_info info = {.struct_size = sizeof info};
    assert_status(ferry_engine_get_info(w->engine, &info), FERRY_OK);
    while (atomic_load(&w->calls) < calls) {
        if (info.host_driven) {
            assert_status(ferry_engine_run(w->engine, 10 * MS, 0, NULL), FERRY_OK);
        } else {
            sleep_ns(MS);
        }
    }
}

static ferry_metrics metrics_of(world *w) {
    ferry_metrics metrics = {.struct_size = sizeof metrics};
    assert_status(ferry_engine_get_metrics(w->engine, &metrics), FERRY_OK);
    return metrics;
}

/* The line's beginning; how long it was comes behind. */
static void assert_line(world *w, size_t index, const char *what, ferry_op op, const char *verb) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "stall: %s (op 0x%llx, tag 4711) %s for ", what,
             (unsigned long long)op, verb);
    assert_true(index < line_count(w));
    assert_int_equal(w->levels[index], FERRY_LOG_WARNING);
    assert_memory_equal(w->lines[index], wanted, strlen(wanted));
    double ms = 0;
    char unit[3] = "";
    assert_int_equal(sscanf(w->lines[index] + strlen(wanted), "%lf %2s", &ms, unit), 2);
    assert_string_equal(unit, "ms");
    assert_true(ms >= 20);
}

static void a_callback_is_told_of_while_it_hangs_and_after(void **state) {
    (void)state;
    for (uint32_t shards = 0; shards <= 2; shards++) {
        world w;
        begin(&w, shards, FERRY_QUEUE_INLINE, LIMIT);
        w.lines_wanted = 1;    /* It hangs until somebody has noticed. */
        w.stay_ns = 5 * LIMIT; /* And much longer: once is enough. */
        ferry_request request;
        ferry_prepare_timer(&request, 0, 0);
        ferry_op op = submit(&w, &request);
        run(&w, 1);
        end(&w);
        char holds[32];
        char held[32];
        snprintf(holds, sizeof holds, "holds shard %u", shards == 2 ? 1 : 0);
        snprintf(held, sizeof held, "held shard %u", shards == 2 ? 1 : 0);
        assert_int_equal(w.count, 2);
        assert_line(&w, 0, "a callback of FERRY_OP_TIMER", op, holds);
        assert_line(&w, 1, "a callback of FERRY_OP_TIMER", op, held);
    }
}

static void a_dispatched_callback_is_told_of(void **state) {
    (void)state;
    for (uint32_t shards = 0; shards <= 1; shards++) {
        world w;
        begin(&w, shards, FERRY_QUEUE_REAP, LIMIT);
        w.lines_wanted = 1;
        ferry_request request;
        ferry_prepare_nop(&request);
        ferry_op op = submit(&w, &request);
        while (atomic_load(&w.calls) == 0) {
            if (shards == 0) {
                assert_status(ferry_engine_run(w.engine, 0, 0, NULL), FERRY_OK);
            }
            assert_true(ferry_queue_dispatch(w.queue, 0, 0) >= 0);
        }
        assert_int_equal(metrics_of(&w).stalls, 1);
        assert_status(ferry_queue_destroy(w.queue), FERRY_OK);
        assert_int_equal(metrics_of(&w).stalls, 1);
        end(&w);
        assert_int_equal(w.count, 2);
        assert_line(&w, 0, "a dispatched callback of FERRY_OP_NOP", op,
                    "holds who dispatches queue 0");
        assert_line(&w, 1, "a dispatched callback of FERRY_OP_NOP", op,
                    "held who dispatches queue 0");
    }
}

/* The coroutine of a large composition asks the host's allocator for the place of its results. */
static void a_coroutine_is_told_of(void **state) {
    (void)state;
    world w;
    begin(&w, 0, FERRY_QUEUE_INLINE, LIMIT);
    ferry_request children[FERRY_CHILDREN_MAX];
    ferry_request request;
    for (size_t i = 0; i < FERRY_CHILDREN_MAX; i++) {
        ferry_prepare_nop(&children[i]);
    }
    ferry_prepare_all(&request, children, FERRY_CHILDREN_MAX);
    ferry_op op = submit(&w, &request);
    atomic_store(&w.slow, true);
    run(&w, 1);
    atomic_store(&w.slow, false);
    end(&w);
    assert_true(w.count >= 1);
    assert_line(&w, w.count - 1, "a coroutine of FERRY_OP_ALL", op, "held shard 0");
}

/* One that nobody watches says nothing, however long it takes; nor does a short one. */
static void what_is_short_is_not_told_of(void **state) {
    (void)state;
    for (int watched = 0; watched <= 1; watched++) {
        world w;
        begin(&w, 1, FERRY_QUEUE_INLINE, watched ? HOUR : 0);
        w.stay_ns = 3 * LIMIT;
        ferry_request request;
        ferry_prepare_nop(&request);
        for (int i = 0; i < 3; i++) {
            submit(&w, &request);
        }
        run(&w, 3);
        assert_int_equal(metrics_of(&w).stalls, 0);
        assert_true(watched ? metrics_of(&w).turn_worst_ns >= 3 * LIMIT
                            : metrics_of(&w).turn_worst_ns == 0);
        end(&w);
        assert_int_equal(w.count, 0);
    }
}

/* One after the other: each has its two lines, and the last one's are not the first one's. */
static void each_is_told_of(void **state) {
    (void)state;
    world w;
    begin(&w, 1, FERRY_QUEUE_INLINE, LIMIT);
    ferry_op ops[3];
    ferry_request request;
    ferry_prepare_nop(&request);
    for (int i = 0; i < 3; i++) {
        w.lines_wanted = 2 * (size_t)i + 1;
        ops[i] = submit(&w, &request);
        run(&w, i + 1);
        while (metrics_of(&w).stalls < (uint64_t)i + 1) {
            sleep_ns(MS);
        }
    }
    end(&w);
    assert_int_equal(w.count, 6);
    for (size_t i = 0; i < 3; i++) {
        assert_line(&w, 2 * i, "a callback of FERRY_OP_NOP", ops[i], "holds shard 0");
        assert_line(&w, 2 * i + 1, "a callback of FERRY_OP_NOP", ops[i], "held shard 0");
    }
}

/* Measuring needs no thread and no log. */
static void for_ever_only_measures(void **state) {
    (void)state;
    world w;
    size_t threads = count_threads();
    begin(&w, 0, FERRY_QUEUE_INLINE, FERRY_FOREVER);
    assert_int_equal(count_threads(), threads);
    w.stay_ns = LIMIT;
    ferry_request request;
    ferry_prepare_nop(&request);
    submit(&w, &request);
    run(&w, 1);
    ferry_metrics metrics = metrics_of(&w);
    assert_true(metrics.turn_worst_ns >= LIMIT);
    assert_true(metrics.turn_ns >= metrics.turn_worst_ns);
    end(&w);
    assert_int_equal(w.count, 0);
}

static void its_thread_ends_with_the_engine(void **state) {
    (void)state;
    world w;
    size_t threads = count_threads();
    begin(&w, 0, FERRY_QUEUE_INLINE, LIMIT);
    assert_int_equal(count_threads(), threads + 1);
    assert_status(ferry_engine_shutdown(w.engine, FERRY_FOREVER), FERRY_OK);
    assert_true(threads_fall_to(threads));
    assert_status(ferry_engine_destroy(w.engine), FERRY_OK);
}

static int destroy_in_child(void *argument) {
    world *w = argument;
    CHILD_CHECK(ferry_engine_shutdown(w->engine, 0) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_engine_destroy(w->engine) == FERRY_OK);
    return 0;
}

static void a_forked_child_has_none(void **state) {
    (void)state;
    world w;
    begin(&w, 1, FERRY_QUEUE_INLINE, LIMIT);
    assert_int_equal(run_in_child(destroy_in_child, &w), 0);
    w.lines_wanted = 1;
    ferry_request request;
    ferry_prepare_nop(&request);
    submit(&w, &request);
    run(&w, 1);
    end(&w);
    assert_int_equal(w.count, 2);
}

/* While it hangs, a dump tells what it is. */
static void a_dump_tells_what_hangs(void **state) {
    (void)state;
    world w;
    begin(&w, 1, FERRY_QUEUE_INLINE, LIMIT);
    w.lines_wanted = 2;
    ferry_request request;
    ferry_prepare_nop(&request);
    ferry_op op = submit(&w, &request);
    while (line_count(&w) == 0) {
        sleep_ns(MS);
    }
    char text[4096];
    size_t size;
    assert_status(ferry_engine_dump(w.engine, 0, text, sizeof text, &size), FERRY_OK);
    note(0, "somebody has looked", &w);
    json_check(text, size,
               "shard, = d['shards']\n"
               "want(not shard['answered'], 'answer')\n"
               "want(shard['running']['what'] == 'callback', shard)\n"
               "want(shard['running']['op'] == '0x%llx' and shard['running']['tag'] == '4711')\n"
               "want(shard['running']['kind'] == 'FERRY_OP_NOP', shard)\n"
               "want(shard['running']['for_ns'] >= 2e7, shard)\n",
               (unsigned long long)op);
    run(&w, 1);
    end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(a_callback_is_told_of_while_it_hangs_and_after),
        PLAIN(a_dispatched_callback_is_told_of),
        PLAIN(a_coroutine_is_told_of),
        PLAIN(what_is_short_is_not_told_of),
        PLAIN(each_is_told_of),
        PLAIN(for_ever_only_measures),
        PLAIN(its_thread_ends_with_the_engine),
        PLAIN(a_forked_child_has_none),
        PLAIN(a_dump_tells_what_hangs),
    };
    return RUN_SUITE(tests);
}
