/**
 * @file
 * Echo server on Ferry with shards of its own threads, one listener and one inline queue.
 *
 *     echo_ferry_shards [shards]
 *
 * FERRY_SPREAD brings every shard its part of the connections; each is served where it lives. More than
 * one shard has all cores, whatever core the program was started on.
 */
#include "engine_support.h"
#include "support.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static ferry_engine *engine;
static ferry_queue *queue;

static void on_completion(const ferry_completion *completion, void *user_data);

static void start(ferry_request *request) {
    request->callback = on_completion;
    bench_submit(queue, request, 1);
}

static void on_received(const ferry_completion *completion) {
    if ((completion->flags & FERRY_BUFFER) != 0) {
        ferry_request send;
        ferry_prepare_stream_send(&send, completion->handle, completion->data,
                                  (size_t)completion->result);
        send.tag = completion->buffer;
        start(&send);
    }
    if ((completion->flags & FERRY_MORE) == 0) {
        bench_check(ferry_handle_discard(engine, completion->handle), "handle_discard");
    }
}

static void on_completion(const ferry_completion *completion, void *user_data) {
    (void)user_data;
    ferry_request request;
    switch (completion->opcode) {
    case FERRY_OP_TCP_LISTEN:
        bench_check(completion->status, "listen");
        ferry_prepare_tcp_accept(&request, completion->handle);
        start(&request);
        printf("port %u\n", (unsigned)completion->result);
        fflush(stdout);
        break;
    case FERRY_OP_TCP_ACCEPT:
        bench_check(completion->status, "accept");
        ferry_prepare_stream_receive_multishot(&request, completion->handle);
        start(&request);
        break;
    case FERRY_OP_STREAM_RECEIVE:
        on_received(completion);
        break;
    default:
        bench_check(ferry_buffer_release(engine, completion->tag), "buffer_release");
    }
}

static void use_all_cores(void) {
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    if (sched_setaffinity(0, sizeof all, &all) != 0) {
        bench_die("the other cores are not to be had");
    }
}

int main(int argc, char **argv) {
    bench_start(120);
    uint32_t shards = (uint32_t)bench_number(argc, argv, 1, 1);
    if (shards > 1) {
        use_all_cores();
    }
    engine = bench_engine(shards, 0);
    queue = bench_queue(engine, FERRY_QUEUE_INLINE, 0);
    ferry_address address;
    bench_check(ferry_address_parse("127.0.0.1", 0, &address), "address_parse");
    ferry_request listen;
    ferry_prepare_tcp_listen(&listen, &address, 4096);
    listen.flags = FERRY_SPREAD;
    start(&listen);
    for (;;) {
        pause();
    }
}
