/*
 * A producer and a consumer with a channel between them.
 *
 * First both live on one thread, in an engine that this thread runs itself. The consumer takes a
 * while over each message; the channel holds four, so the producer soon has to wait for the
 * consumer.
 *
 * Then the producer is a thread of its own. Neither side needs a lock: both submit to one handle,
 * and the end of the messages is a message, too.
 *
 *     channels
 */
#include <ferry.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY 4
#define FEW 20
#define MANY 100000
#define BATCH 64
#define WORK_NS UINT64_C(1000000)

/* Tags, to tell the completions apart. */
enum { OPENED, PRODUCED, RECEIVED, WORKED };

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

static void submit(ferry_queue *queue, ferry_request *request, uint64_t tag) {
    request->tag = tag;
    check(ferry_queue_submit(queue, request, 1, NULL, NULL), "submit");
}

/* ---- one thread --------------------------------------------------------------------------- */

struct both {
    ferry_queue *queue;
    ferry_handle channel;
    int produced; /* The channel has taken them. */
    int consumed;
    int ahead_max; /* Most messages that the producer was ahead by. */
};

/* The producer's next step: one message, or the end. It goes on when the channel has taken it. */
static void produce(struct both *both) {
    ferry_request request;
    if (both->produced < FEW)
        ferry_prepare_channel_send(&request, both->channel, both->produced, 0);
    else
        ferry_prepare_channel_finish(&request, both->channel);
    submit(both->queue, &request, PRODUCED);
}

/* The consumer's next step: just one message, for it comes back when it has worked on that. */
static void consume(struct both *both) {
    ferry_request request;
    ferry_prepare_channel_receive(&request, both->channel);
    request.flags = 0;
    submit(both->queue, &request, RECEIVED);
}

/* What a completion means for the two; false when the consumer has seen the end. */
static bool step(struct both *both, const ferry_completion *done) {
    ferry_request work;
    if (done->status == FERRY_E_END)
        return false;
    check(done->status, "an operation");
    switch (done->tag) {
    case PRODUCED:
        if (both->produced == FEW)
            break; /* That was the finish. */
        both->produced++;
        produce(both);
        break;
    case RECEIVED:
        if (done->result != both->consumed)
            exit(1); /* Messages come in order. */
        both->consumed++;
        ferry_prepare_timer(&work, WORK_NS, 0);
        submit(both->queue, &work, WORKED);
        break;
    default:
        consume(both);
    }
    if (both->produced - both->consumed > both->ahead_max)
        both->ahead_max = both->produced - both->consumed;
    return true;
}

static bool on_one_thread(void) {
    ferry_engine *engine;
    struct both both = {0};
    check(ferry_engine_create(NULL, &engine), "create an engine"); /* We run it ourselves. */
    check(ferry_queue_create(engine, NULL, &both.queue), "create a queue");
    ferry_request request;
    ferry_prepare_channel_open(&request, CAPACITY);
    submit(both.queue, &request, OPENED);

    for (bool going = true; going;) {
        ferry_completion done[8];
        check(ferry_engine_run(engine, FERRY_FOREVER, 0, NULL), "run");
        int32_t count = ferry_queue_reap(both.queue, done, 8);
        check(count, "reap");
        for (int32_t i = 0; i < count && going; i++) {
            if (done[i].tag != OPENED) {
                going = step(&both, &done[i]);
                continue;
            }
            check(done[i].status, "open a channel");
            both.channel = done[i].handle;
            produce(&both);
            consume(&both);
        }
    }
    printf("one thread: %d messages, the producer was never more than %d ahead\n", both.consumed,
           both.ahead_max);
    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
    /* Four in the channel, and one that the consumer was given before we saw it. */
    return both.consumed == FEW && both.ahead_max >= CAPACITY && both.ahead_max <= CAPACITY + 1;
}

/* ---- two threads -------------------------------------------------------------------------- */

struct producer {
    ferry_engine *engine;
    ferry_handle channel;
};

/* Sends in batches; the next one goes when the channel has taken the one before. */
static void *produce_many(void *argument) {
    struct producer *producer = argument;
    ferry_queue *queue;
    check(ferry_queue_create(producer->engine, NULL, &queue), "create a queue");
    for (int64_t sent = 0; sent <= MANY;) {
        ferry_request requests[BATCH];
        ferry_completion done[BATCH];
        size_t count = 0;
        for (; count < BATCH && sent + (int64_t)count < MANY; count++)
            ferry_prepare_channel_send(&requests[count], producer->channel, sent + (int64_t)count,
                                       0);
        if (count == 0)
            ferry_prepare_channel_finish(&requests[count++], producer->channel);
        check(ferry_queue_submit(queue, requests, count, NULL, NULL), "submit");
        for (size_t ended = 0; ended < count;) {
            int32_t some = ferry_queue_wait(queue, done, BATCH, FERRY_FOREVER);
            check(some, "wait");
            for (int32_t i = 0; i < some; i++)
                check(done[i].status, "send");
            ended += (size_t)some;
        }
        sent += (int64_t)count;
    }
    return NULL;
}

/* One request brings all messages, until the channel is finished. */
static int64_t consume_many(ferry_queue *queue, ferry_handle channel) {
    ferry_request request;
    ferry_completion done[BATCH];
    int64_t sum = 0;
    ferry_prepare_channel_receive(&request, channel);
    submit(queue, &request, RECEIVED);
    for (;;) {
        int32_t count = ferry_queue_wait(queue, done, BATCH, FERRY_FOREVER);
        check(count, "wait");
        for (int32_t i = 0; i < count; i++) {
            if (done[i].status == FERRY_E_END)
                return sum;
            check(done[i].status, "receive");
            sum += done[i].result;
        }
    }
}

static bool on_two_threads(void) {
    ferry_engine *engine;
    ferry_queue *queue;
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    check(ferry_engine_create(&options, &engine), "create an engine");
    check(ferry_queue_create(engine, NULL, &queue), "create a queue");
    ferry_request request;
    ferry_completion opened;
    ferry_prepare_channel_open(&request, CAPACITY * BATCH);
    submit(queue, &request, OPENED);
    check(ferry_queue_wait(queue, &opened, 1, FERRY_FOREVER), "wait");
    check(opened.status, "open a channel");

    struct producer producer = {.engine = engine, .channel = opened.handle};
    pthread_t thread;
    if (pthread_create(&thread, NULL, produce_many, &producer) != 0)
        exit(1);
    int64_t sum = consume_many(queue, opened.handle);
    pthread_join(thread, NULL);
    printf("two threads: %d messages, their sum is %" PRId64 "\n", MANY, sum);
    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
    return sum == (int64_t)MANY * (MANY - 1) / 2;
}

int main(void) {
    bool first = on_one_thread();
    bool second = on_two_threads();
    return first && second ? 0 : 1;
}
