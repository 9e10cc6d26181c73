/*
 * The mapped queue read in C: the reference for the readers in other languages. The reader maps the
 * ring, reads it without a call, and sleeps on the descriptor, edge- and level-triggered. A lost
 * wake-up shows as a reader that never comes back: the watchdog ends it.
 */
#include "check.h"
#include "process.h"
#include "senders.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIMERS = 4 };

static uint64_t seed;

/* Under a sanitizer everything takes ten times as long. */
static uint64_t rounds(uint64_t count) {
    return sanitized() ? count / 10 : count;
}

typedef struct reader {
    ferry_engine *engine;
    ferry_queue *queue;
    int epoll;
    ferry_queue_mapping ring;
    uint32_t head;
    uint64_t next[2]; /* The number that each sender's next message must have. */
    uint64_t taken;
    uint64_t expiries;
    uint64_t messages[TIMERS]; /* Of each timer. */
    uint64_t paused;           /* How often FERRY_QUEUE_HELD was seen. */
    uint64_t ended;
    uint64_t sleeps;
    uint64_t taken_before; /* What had been taken when it last went to sleep. */
    uint32_t in_vain;      /* Wake-ups in a row that brought nothing. */
} reader;

static void reader_open(reader *r, uint32_t capacity, uint32_t trigger) {
    *r = (reader){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    REQUIRE(r->epoll >= 0);
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    assert_status(ferry_engine_create(&options, &r->engine), FERRY_OK);
    ferry_queue_options wanted = {
        .struct_size = sizeof wanted, .mode = FERRY_QUEUE_MAPPED, .capacity = capacity};
    assert_status(ferry_queue_create(r->engine, &wanted, &r->queue), FERRY_OK);
    r->ring.struct_size = sizeof r->ring;
    assert_status(ferry_queue_map(r->queue, &r->ring), FERRY_OK);
    int32_t fd;
    assert_status(ferry_queue_fd(r->queue, &fd), FERRY_OK);
    struct epoll_event watched = {.events = EPOLLIN | trigger};
    REQUIRE(epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &watched) == 0);
}

static void reader_close(reader *r) {
    assert_status(ferry_queue_destroy(r->queue), FERRY_OK);
    assert_status(ferry_engine_shutdown(r->engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(r->engine), FERRY_OK);
    close(r->epoll);
}

static void take(reader *r, const ferry_completion *record) {
    r->taken++;
    if (record->opcode == FERRY_OP_TIMER) {
        assert_in_range(record->tag, 0, TIMERS - 1);
        if ((record->flags & FERRY_MORE) != 0) {
            r->expiries += (uint64_t)record->result;
            r->messages[record->tag]++;
        } else {
            assert_status(record->status, FERRY_E_CANCELED);
            r->ended++;
        }
        return;
    }
    uint64_t number = record->tag % SENDERS_FIRST_NOP;
    uint64_t from = record->tag / SENDERS_FIRST_NOP;
    assert_status(record->status, FERRY_OK);
    assert_in_range(from, 0, 1);
    assert_int_equal(record->opcode, from == 0 ? FERRY_OP_POST : FERRY_OP_NOP);
    assert_int_equal(number, r->next[from]); /* None lost, none twice, none overtaken. */
    r->next[from]++;
}

/* One load of the tail and one store of the head for all that waits. */
static void read_ring(reader *r) {
    uint32_t tail =
        atomic_load_explicit((const _Atomic uint32_t *)r->ring.tail, memory_order_acquire);
    assert_in_range(tail - r->head, 0, r->ring.capacity);
    while (r->head != tail)
        take(r, &r->ring.records[r->head++ & (r->ring.capacity - 1)]);
    atomic_store_explicit((_Atomic uint32_t *)r->ring.head, r->head, memory_order_release);
}

static bool held(const reader *r) {
    return (atomic_load((const _Atomic uint32_t *)r->ring.flags) & FERRY_QUEUE_HELD) != 0;
}

/* After reading: sleep, if arm says that nothing has come meanwhile. */
static void arm_and_sleep(reader *r) {
    r->paused += held(r) ? 1 : 0;
    int32_t waits = ferry_queue_arm(r->queue);
    assert_in_range(waits, 0, 1);
    if (waits == 0) {
        struct epoll_event event;
        r->sleeps++;
        /* One may come late, when its message has been read already; arm clears it. */
        r->in_vain = r->taken == r->taken_before ? r->in_vain + 1 : 0;
        r->taken_before = r->taken;
        assert_in_range(r->in_vain, 0, 8);
        int count = epoll_wait(r->epoll, &event, 1, -1);
        REQUIRE(count == 1 || errno == EINTR);
    }
}

/* Read what the senders send, until they are done. */
static void receive(reader *r, uint32_t which, uint64_t count) {
    uint64_t posts = (which & SENDERS_POST) != 0 ? count : 0;
    uint64_t nops = (which & SENDERS_NOP) != 0 ? count : 0;
    r->next[0] = 0;
    r->next[1] = 0;
    senders *senders = senders_start(r->queue, which, count, seed);
    assert_non_null(senders);
    for (read_ring(r); r->next[0] < posts || r->next[1] < nops; read_ring(r))
        arm_and_sleep(r);
    assert_status(senders_join(senders), FERRY_OK);
}

static void receive_a_million(uint32_t trigger, const char *name) {
    static const uint32_t capacities[] = {2, 64, 1024};
    static const uint64_t counts[] = {40000, 80000, 130000};
    uint64_t taken = 0;
    uint64_t sleeps = 0;
    for (size_t i = 0; i < 3; i++) {
        reader r;
        reader_open(&r, capacities[i], trigger);
        uint64_t count = rounds(counts[i]);
        /* Alone, nobody else makes good what one sender's wake-up lost. */
        receive(&r, SENDERS_POST, count);
        receive(&r, SENDERS_NOP, count);
        receive(&r, SENDERS_POST | SENDERS_NOP, count);
        taken += r.taken;
        sleeps += r.sleeps;
        reader_close(&r);
    }
    print_message("%s: %llu messages, slept %llu times\n", name, (unsigned long long)taken,
                  (unsigned long long)sleeps);
    assert_true(taken >= rounds(1000000));
    assert_true(sleeps >= rounds(2000)); /* Or it has shown nothing. */
}

static void no_wakeup_is_lost_edge_triggered(void **state) {
    (void)state;
    receive_a_million(EPOLLET, "edge");
}

static void no_wakeup_is_lost_level_triggered(void **state) {
    (void)state;
    receive_a_million(0, "level");
}

/* --- Timers that pause because the ring is full --------------------------------------------- */

static void start_timers(reader *r, uint64_t interval_ns, ferry_op *ops) {
    for (size_t i = 0; i < TIMERS; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, interval_ns, interval_ns + i);
        request.tag = i;
        assert_status(ferry_queue_submit(r->queue, &request, 1, &ops[i], NULL), FERRY_OK);
    }
}

static void cancel_timers(reader *r, const ferry_op *ops) {
    for (size_t i = 0; i < TIMERS; i++)
        assert_status(ferry_queue_cancel(r->queue, ops[i]), FERRY_OK);
    for (read_ring(r); r->ended < TIMERS; read_ring(r))
        arm_and_sleep(r);
}

static void a_paused_timer_goes_on(void **state) {
    (void)state;
    ferry_op ops[TIMERS];
    reader r;
    reader_open(&r, 2, EPOLLET);
    uint64_t start = now_ns();
    start_timers(&r, 20 * US, ops);
    /* With all of them paused nothing else would wake the reader. */
    for (read_ring(&r); r.expiries < rounds(200000); read_ring(&r))
        arm_and_sleep(&r);
    uint64_t passed = now_ns() - start;
    assert_true(r.expiries <= TIMERS * (passed / (20 * US))); /* Never early. */
    cancel_timers(&r, ops);
    print_message("timers: %llu expiries, slept %llu times, found the ring full %llu times\n",
                  (unsigned long long)r.expiries, (unsigned long long)r.sleeps,
                  (unsigned long long)r.paused);
    reader_close(&r);
}

/* Look at the ring once a frame, and arm only when it says so. */
static void read_frame(reader *r) {
    read_ring(r);
    sched_yield();
    if (held(r)) {
        r->paused++;
        assert_in_range(ferry_queue_arm(r->queue), 0, 1);
    }
}

/*
 * A reader that looks at the ring once a frame never sleeps. It need not arm but when the ring
 * tells it to, by FERRY_QUEUE_HELD. Finals that were held move up by themselves as soon as there is
 * room; that must not hide that a timer still waits.
 */
static void a_reader_that_never_sleeps_arms_when_it_is_told(void **state) {
    (void)state;
    ferry_op ops[TIMERS];
    reader r;
    reader_open(&r, 2, 0);
    start_timers(&r, 50 * US, ops);
    uint64_t burst = 100;
    for (uint64_t round = 0; round < rounds(1000); round++) {
        senders *senders = senders_start(r.queue, SENDERS_NOP, burst, seed + round);
        assert_non_null(senders);
        r.next[1] = 0;
        while (r.next[1] < burst)
            read_frame(&r);
        assert_status(senders_join(senders), FERRY_OK);
        /* Each goes on, though nothing else happens any more. */
        uint64_t messages[TIMERS];
        memcpy(messages, r.messages, sizeof messages);
        uint64_t start = now_ns();
        for (size_t i = 0; i < TIMERS; i++) {
            while (r.messages[i] == messages[i]) {
                read_frame(&r);
                if (now_ns() - start > 5 * SECOND)
                    fail_msg("round %d: timer %d has stopped", (int)round, (int)i);
            }
        }
    }
    cancel_timers(&r, ops);
    print_message("polling: %llu messages, told to arm %llu times\n", (unsigned long long)r.taken,
                  (unsigned long long)r.paused);
    reader_close(&r);
}

/* --- The end -------------------------------------------------------------------------------- */

/* Read a nop's completion out of a new queue, and destroy the queue at once. */
static void live_and_die(ferry_engine *engine) {
    ferry_queue *queue;
    ferry_queue_options wanted = {
        .struct_size = sizeof wanted, .mode = FERRY_QUEUE_MAPPED, .capacity = 2};
    ferry_queue_mapping ring = {.struct_size = sizeof ring};
    ferry_request request;
    int32_t fd;
    assert_status(ferry_queue_create(engine, &wanted, &queue), FERRY_OK);
    assert_status(ferry_queue_map(queue, &ring), FERRY_OK);
    assert_status(ferry_queue_fd(queue, &fd), FERRY_OK);
    ferry_prepare_nop(&request);
    assert_status(ferry_queue_submit(queue, &request, 1, NULL, NULL), FERRY_OK);
    while (atomic_load((const _Atomic uint32_t *)ring.tail) == 0)
        continue;
    atomic_store((_Atomic uint32_t *)ring.head, 1);
    assert_status(ferry_queue_destroy(queue), FERRY_OK);
}

/*
 * Once its last completion has been read, nothing is in flight: the queue may go, though the thread
 * that published the completion is perhaps not done with telling so. The number of its descriptor is
 * free then, and whoever gets it must not find that signal in it.
 */
static void a_queue_may_go_when_its_last_message_is_read(void **state) {
    (void)state;
    ferry_engine *engine;
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    assert_status(ferry_engine_create(&options, &engine), FERRY_OK);
    int mine = -1;
    uint64_t found = 0;
    for (uint64_t i = 0; i < rounds(20000); i++) {
        uint64_t count;
        live_and_die(engine);
        int next = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        REQUIRE(next >= 0);
        /* The one before has had a whole round to get what was not meant for it. */
        if (mine >= 0) {
            found += read(mine, &count, sizeof count) >= 0 ? 1 : 0;
            close(mine);
        }
        mine = next;
    }
    close(mine);
    assert_int_equal(found, 0);
    assert_status(ferry_engine_shutdown(engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(engine), FERRY_OK);
}

int main(int argc, char **argv) {
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : now_ns();
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    static const struct CMUnitTest tests[] = {
        PLAIN(no_wakeup_is_lost_edge_triggered),
        PLAIN(no_wakeup_is_lost_level_triggered),
        PLAIN(a_paused_timer_goes_on),
        PLAIN(a_reader_that_never_sleeps_arms_when_it_is_told),
        PLAIN(a_queue_may_go_when_its_last_message_is_read),
    };
    return RUN_SUITE(tests);
}
