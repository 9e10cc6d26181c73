/*
 * A TCP echo server on a queue.
 *
 * The engine runs on a thread of its own (shards = 1). This thread sleeps in ferry_queue_wait,
 * takes all completions that are there, and answers each with the next request; all new requests
 * leave in one submit. There is no memory per connection: received bytes are lent by the engine,
 * are sent from where they lie, and the buffer is given back when they have been sent.
 *
 *     echo_queue [port] [--selftest]      port 0 (the default): the system chooses
 *
 * With --selftest the program also connects to itself, checks the echo, and ends.
 */
#include <ferry.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest tag of all marks the self-test's requests; buffer ids are the tag of the others. */
#define CLIENT UINT64_MAX
#define BATCH 64

static const char greeting[] = "hello, ferry";
static char echo[sizeof greeting];
static bool finished;

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

/* Ask for the next bytes of a stream, in a buffer that is lent when they arrive. */
static void prepare_receive(ferry_request *request, ferry_handle stream) {
    ferry_prepare_stream_receive_multishot(request, stream);
    request->flags = FERRY_LEND; /* just once: we answer before we receive more */
}

/* The server's side: at most one request follows from a completion. Returns how many (0 or 1). */
static size_t serve(ferry_engine *engine, const ferry_completion *done, ferry_request *next) {
    switch (done->opcode) {
    case FERRY_OP_TCP_ACCEPT:
        if (done->status != FERRY_OK) { /* with FERRY_MORE accepting goes on by itself */
            fprintf(stderr, "accept: %s\n", ferry_status_message(done->status));
            return 0;
        }
        prepare_receive(next, done->handle);
        return 1;
    case FERRY_OP_STREAM_RECEIVE:
        if (done->status != FERRY_OK || done->result == 0) { /* failed, or the peer has ended */
            ferry_prepare_handle_close(next, done->handle);
            return 1;
        }
        ferry_prepare_stream_send(next, done->handle, done->data, (size_t)done->result);
        next->tag = done->buffer; /* so that the send's completion tells what to release */
        return 1;
    case FERRY_OP_STREAM_SEND:
        ferry_buffer_release(engine, done->tag);
        if (done->status == FERRY_OK)
            prepare_receive(next, done->handle);
        else
            ferry_prepare_handle_close(next, done->handle);
        return 1;
    default: /* a close has ended */
        return 0;
    }
}

/* The client's side: send the greeting when connected, then receive until all of it is back. */
static size_t serve_selftest(const ferry_completion *done, ferry_request *next) {
    check(done->status, "selftest");
    switch (done->opcode) {
    case FERRY_OP_TCP_CONNECT:
        ferry_prepare_stream_send(next, done->handle, greeting, sizeof greeting);
        break;
    case FERRY_OP_STREAM_SEND:
        ferry_prepare_stream_receive_exactly(next, done->handle, echo, sizeof echo);
        break;
    default: /* the echo is here */
        if (memcmp(echo, greeting, sizeof greeting) != 0)
            exit(1);
        printf("selftest: the echo is right\n");
        finished = true;
        return 0;
    }
    next->tag = CLIENT;
    return 1;
}

int main(int argc, char **argv) {
    uint16_t port = 0;
    bool selftest = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--selftest") == 0)
            selftest = true;
        else
            port = (uint16_t)atoi(argv[i]);
    }
    ferry_engine *engine;
    ferry_queue *queue;
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    check(ferry_engine_create(&options, &engine), "create an engine");
    check(ferry_queue_create(engine, NULL, &queue), "create a queue");

    ferry_address address;
    check(ferry_address_parse("127.0.0.1", port, &address), "parse the address");
    ferry_request requests[BATCH];
    ferry_prepare_tcp_listen(&requests[0], &address, 0);
    check(ferry_queue_submit(queue, requests, 1, NULL, NULL), "submit");

    while (!finished) {
        ferry_completion done[BATCH / 2]; /* each leads to two requests at most */
        int32_t count = ferry_queue_wait(queue, done, BATCH / 2, FERRY_FOREVER);
        check(count, "wait");
        size_t next = 0;
        for (int32_t i = 0; i < count; i++) {
            if (done[i].opcode == FERRY_OP_TCP_LISTEN) {
                check(done[i].status, "listen");
                printf("listening on 127.0.0.1:%" PRId64 "\n", done[i].result);
                fflush(stdout);
                ferry_prepare_tcp_accept(&requests[next++], done[i].handle);
                if (selftest) {
                    address.port = (uint16_t)done[i].result;
                    ferry_prepare_tcp_connect(&requests[next], &address);
                    requests[next++].tag = CLIENT;
                }
            } else if (done[i].tag == CLIENT) {
                next += serve_selftest(&done[i], &requests[next]);
            } else {
                next += serve(engine, &done[i], &requests[next]);
            }
        }
        check(ferry_queue_submit(queue, requests, next, NULL, NULL), "submit");
    }
    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
    return 0;
}
