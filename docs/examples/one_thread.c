/*
 * Producer and consumer on one thread.
 *
 * The engine is driven by this thread, which is both. A timer wakes the producer, which posts
 * numbers into a small queue until that is full: FERRY_E_FULL is the backpressure. The consumer
 * takes some of them each turn, more slowly than they are made. Nothing is lost and the order is
 * kept, without a lock and without a second thread.
 *
 *     one_thread [messages]     10,000 by default
 */
#include <ferry.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PERIOD_NS UINT64_C(100000) /* the producer's timer */

enum { CAPACITY = 64, BURST = 50, BITE = 16, TICK_TAG = 1, MESSAGE_TAG = 2 };

struct producer {
    ferry_queue *pipe;
    int64_t next; /* the number to be posted next */
    int64_t count;
    uint64_t refused;
};

struct consumer {
    int64_t expected;
};

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

/* [produce] A burst of numbers, as far as there is room; what is refused comes next tick. */
static void produce(struct producer *producer) {
    for (int i = 0; i < BURST && producer->next < producer->count; i++) {
        ferry_status status = ferry_queue_post(producer->pipe, MESSAGE_TAG, producer->next, 0);
        if (status == FERRY_E_FULL) {
            producer->refused++;
            return;
        }
        check(status, "post");
        producer->next++;
    }
}
/* [produce] */

static void consume(struct consumer *consumer, ferry_queue *pipe) {
    ferry_completion messages[BITE];
    int32_t count = ferry_queue_reap(pipe, messages, BITE);
    check(count, "reap");
    for (int32_t i = 0; i < count; i++) {
        if (messages[i].opcode != FERRY_OP_POST || messages[i].tag != MESSAGE_TAG ||
            messages[i].result != consumer->expected) {
            fprintf(stderr, "got %" PRId64 ", not %" PRId64 "\n", messages[i].result,
                    consumer->expected);
            exit(1);
        }
        consumer->expected++;
    }
}

/* Whether the producer's timer has expired. */
static bool ticked(ferry_queue *events) {
    ferry_completion tick;
    int32_t count = ferry_queue_reap(events, &tick, 1);
    check(count, "reap");
    if (count == 0)
        return false;
    check(tick.status, "timer");
    return true;
}

static void start_timer(ferry_queue *events) {
    ferry_request request;
    ferry_prepare_timer(&request, PERIOD_NS, PERIOD_NS);
    request.tag = TICK_TAG;
    check(ferry_queue_submit(events, &request, 1, NULL, NULL), "submit");
}

int main(int argc, char **argv) {
    ferry_engine_options options = {.struct_size = sizeof options}; /* shards = 0: host-driven */
    ferry_queue_options small = {.struct_size = sizeof small, .capacity = CAPACITY};
    ferry_engine *engine;
    ferry_queue *events;
    struct producer producer = {.count = argc > 1 ? atol(argv[1]) : 10000};
    struct consumer consumer = {0};
    check(ferry_engine_create(&options, &engine), "create an engine");
    check(ferry_queue_create(engine, NULL, &events), "create a queue");
    check(ferry_queue_create(engine, &small, &producer.pipe), "create the small queue");
    start_timer(events);

    while (consumer.expected < producer.count) {
        /* Sleeps until the timer expires. */
        check(ferry_engine_run(engine, FERRY_FOREVER, 0, NULL), "run");
        if (ticked(events))
            produce(&producer);
        consume(&consumer, producer.pipe);
    }
    printf("%" PRId64 " messages in order, none lost; the producer met a full queue %" PRIu64
           " times\n",
           consumer.expected, producer.refused);

    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
    /* It makes 50 for every 16 that are taken: it must have met a full queue. */
    return producer.count < CAPACITY * 4 || producer.refused > 0 ? 0 : 1;
}
