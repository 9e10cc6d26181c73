/**
 * @file
 * The echo server that echo_ferry_inline and echo_ferry_queue drive, each in its own way: what to
 * do upon a completion. Requests gather in a batch; the driver says when to submit it.
 *
 * A connection has no state of the host's at all: the completion names the stream, and a send's tag
 * is the lent buffer that its bytes lie in.
 */
#ifndef BENCH_ECHO_FERRY_H
#define BENCH_ECHO_FERRY_H

#include <ferry.h>

enum { ECHO_BATCH_MAX = 2048 };

struct echo {
    ferry_engine *engine;
    ferry_queue *queue;
    uint32_t message_size; /**< Each message gets its own send; 0 = one send for each receive. */
    bool copy;             /**< Send with FERRY_COPY and release at once. */
    bool lines;            /**< Receive line by line. */
    bool silent;           /**< Do not even receive: what does a connection cost alone? */
    ferry_completion_fn callback; /**< Of every request; NULL unless the queue is inline. */
    uint32_t count;
    uint32_t releases;
    ferry_request requests[ECHO_BATCH_MAX];
    ferry_buffer release[ECHO_BATCH_MAX]; /**< Copied from once the batch is submitted. */
};

/** Arguments "[message bytes] [copy|lines|silent]"; engine, queue, and a listener that prints "port N". */
void echo_open(struct echo *echo, int argc, char **argv, uint32_t mode,
               ferry_completion_fn callback);

/** React to one completion. */
void echo_handle(struct echo *echo, const ferry_completion *completion);

/** Submit what has gathered. */
void echo_submit(struct echo *echo);

#endif
