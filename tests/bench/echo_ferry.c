#include "echo_ferry.h"

#include "engine_support.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

void echo_open(struct echo *echo, int argc, char **argv, uint32_t mode,
               ferry_completion_fn callback) {
    echo->engine = bench_engine(0, 0);
    // Room for a receive and a send of each of a thousand connections in one turn.
    echo->queue = bench_queue(echo->engine, mode, mode == FERRY_QUEUE_INLINE ? 0 : 4096);
    echo->message_size = (uint32_t)bench_number(argc, argv, 1, 0);
    echo->copy = argc > 2 && strcmp(argv[2], "copy") == 0;
    echo->lines = argc > 2 && strcmp(argv[2], "lines") == 0;
    echo->silent = argc > 2 && strcmp(argv[2], "silent") == 0;
    echo->callback = callback;

    ferry_address address;
    bench_check(ferry_address_parse("127.0.0.1", 0, &address), "address_parse");
    ferry_prepare_tcp_listen(&echo->requests[0], &address, 4096);
    echo->requests[0].callback = callback;
    echo->requests[0].user_data = echo;
    echo->count = 1;
    echo_submit(echo);
}

static ferry_request *next_request(struct echo *echo) {
    if (echo->count == ECHO_BATCH_MAX) {
        echo_submit(echo);
    }
    return &echo->requests[echo->count++];
}

static void finish_request(struct echo *echo, ferry_request *request) {
    request->callback = echo->callback;
    request->user_data = echo;
}

static void on_listening(struct echo *echo, const ferry_completion *completion) {
    bench_check(completion->status, "listen");
    printf("port %u\n", (unsigned)completion->result);
    fflush(stdout);
    ferry_request *request = next_request(echo);
    ferry_prepare_tcp_accept(request, completion->handle);
    finish_request(echo, request);
}

static void on_accepted(struct echo *echo, const ferry_completion *completion) {
    bench_check(completion->status, "accept");
    if (echo->silent) {
        return;
    }
    ferry_request *request = next_request(echo);
    if (echo->lines) {
        ferry_prepare_stream_receive_until(request, completion->handle, NULL, FERRY_UNTIL_LEND_MAX,
                                           "\n", 1);
        request->flags |= FERRY_LEND | FERRY_MULTISHOT;
    } else {
        ferry_prepare_stream_receive_multishot(request, completion->handle);
    }
    finish_request(echo, request);
}

static void send_one(struct echo *echo, const ferry_completion *received, size_t offset,
                     size_t size, bool last) {
    ferry_request *request = next_request(echo);
    ferry_prepare_stream_send(request, received->handle, (const char *)received->data + offset,
                              size);
    if (echo->copy) {
        request->flags |= FERRY_COPY;
    } else if (last) {
        // Sends of one stream complete in order: after the last one nothing points to the buffer.
        request->tag = received->buffer;
    }
    finish_request(echo, request);
}

static void on_received(struct echo *echo, const ferry_completion *completion) {
    if ((completion->flags & FERRY_BUFFER) != 0) {
        size_t size = (size_t)completion->result;
        size_t step = echo->message_size != 0 ? echo->message_size : size;
        for (size_t offset = 0; offset < size; offset += step) {
            size_t left = size - offset;
            // A receive that ends inside a message gives a shorter last piece: an echo may do that.
            send_one(echo, completion, offset, left < step ? left : step, left <= step);
        }
        if (echo->copy) {
            if (echo->releases == ECHO_BATCH_MAX) {
                echo_submit(echo);
            }
            echo->release[echo->releases++] = completion->buffer;
        }
    }
    if ((completion->flags & FERRY_MORE) == 0) {
        bench_check(ferry_handle_discard(echo->engine, completion->handle), "handle_discard");
    }
}

void echo_handle(struct echo *echo, const ferry_completion *completion) {
    switch (completion->opcode) {
    case FERRY_OP_STREAM_SEND:
        if (completion->tag != FERRY_NONE) {
            bench_check(ferry_buffer_release(echo->engine, completion->tag), "buffer_release");
        }
        break;
    case FERRY_OP_STREAM_RECEIVE:
    case FERRY_OP_STREAM_RECEIVE_UNTIL:
        on_received(echo, completion);
        break;
    case FERRY_OP_TCP_ACCEPT:
        on_accepted(echo, completion);
        break;
    case FERRY_OP_TCP_LISTEN:
        on_listening(echo, completion);
        break;
    default:
        bench_die("a completion of an unexpected operation: %u", completion->opcode);
    }
}

void echo_submit(struct echo *echo) {
    bench_submit(echo->queue, echo->requests, echo->count);
    echo->count = 0;
    for (uint32_t i = 0; i < echo->releases; i++) {
        bench_check(ferry_buffer_release(echo->engine, echo->release[i]), "buffer_release");
    }
    echo->releases = 0;
}
