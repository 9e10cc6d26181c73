/*
 * A question and its answer over TCP, as one request: a tree of eleven.
 *
 *     all                   both sides at once, in one second or not at all
 *       chain               the one who answers
 *         accept receive send close
 *       retry               the one who asks, three times if need be
 *         chain
 *           connect send receive close
 *
 *     composition
 */
#include <ferry.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MS UINT64_C(1000000)

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

/* Submit one request and wait for its final completion. */
static ferry_completion run(ferry_queue *queue, const ferry_request *request) {
    ferry_completion done;
    check(ferry_queue_submit(queue, request, 1, NULL, NULL), "submit");
    check(ferry_queue_wait(queue, &done, 1, FERRY_FOREVER), "wait");
    return done;
}

/* The next bytes of a stream, in a buffer that is lent when they arrive. */
static void prepare_receive_lent(ferry_request *request, ferry_handle stream) {
    ferry_prepare_stream_receive_multishot(request, stream);
    request->flags = FERRY_LEND; /* just once: a child may not be multishot */
}

/* Both sides work on what the first of their steps opens, whatever it will be called. */
static void describe_answer(ferry_request steps[4], ferry_handle listener) {
    ferry_handle opened = ferry_child_handle(0, 0);
    ferry_prepare_tcp_accept(&steps[0], listener);
    steps[0].flags = 0;
    prepare_receive_lent(&steps[1], opened);
    ferry_prepare_stream_send(&steps[2], opened, "pong", 4);
    ferry_prepare_handle_close(&steps[3], opened);
}

static void describe_question(ferry_request steps[4], const ferry_address *address) {
    ferry_handle opened = ferry_child_handle(0, 0);
    ferry_prepare_tcp_connect(&steps[0], address);
    ferry_prepare_stream_send(&steps[1], opened, "ping", 4);
    prepare_receive_lent(&steps[2], opened);
    steps[2].deadline_ns = 100 * MS; /* from when this step begins, in each attempt anew */
    ferry_prepare_handle_close(&steps[3], opened);
}

static bool is_composition(const ferry_completion *done) {
    return done->opcode >= FERRY_OP_CHAIN && done->opcode <= FERRY_OP_RETRY;
}

/* Print what became of a completion's whole tree and give back all that it brought. */
static void finish(ferry_engine *engine, const ferry_completion *done, int depth) {
    printf("%*s%-24s %-24s %" PRId64 "\n", 2 * depth, "", ferry_opcode_name(done->opcode),
           ferry_status_name(done->status), done->result);
    if (is_composition(done)) { /* The children first: they lie in the buffer of the whole. */
        const ferry_completion *children = done->data;
        size_t count = (size_t)done->result / sizeof *children;
        for (size_t i = 0; i < count; i++)
            finish(engine, &children[i], depth + 1);
    }
    /* After a success its chain has closed it; discarding what is closed is FERRY_OK. */
    if (done->opcode == FERRY_OP_TCP_ACCEPT || done->opcode == FERRY_OP_TCP_CONNECT) {
        if (done->status == FERRY_OK && done->handle != FERRY_NONE)
            ferry_handle_discard(engine, done->handle);
    }
    if (done->flags & FERRY_BUFFER)
        ferry_buffer_release(engine, done->buffer);
}

int main(void) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    ferry_engine *engine;
    ferry_queue *queue;
    check(ferry_engine_create(&options, &engine), "create an engine");
    check(ferry_queue_create(engine, NULL, &queue), "create a queue");

    ferry_address address;
    ferry_request listen;
    check(ferry_address_parse("127.0.0.1", 0, &address), "parse an address");
    ferry_prepare_tcp_listen(&listen, &address, 0);
    ferry_completion listening = run(queue, &listen);
    check(listening.status, "listen");
    address.port = (uint16_t)listening.result;

    /* From the leaves to the root. All of these records are copied at submit. */
    ferry_request answer[4], question[4], attempt, sides[2], both;
    describe_answer(answer, listening.handle);
    describe_question(question, &address);
    ferry_prepare_chain(&sides[0], answer, 4);
    ferry_prepare_chain(&attempt, question, 4);
    ferry_prepare_retry(&sides[1], &attempt, 3, 10 * MS, 100 * MS);
    ferry_prepare_all(&both, sides, 2);
    both.deadline_ns = 1000 * MS;

    ferry_completion whole = run(queue, &both);
    finish(engine, &whole, 0);

    ferry_handle_discard(engine, listening.handle);
    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    ferry_engine_info info = {.struct_size = sizeof info};
    check(ferry_engine_get_info(engine, &info), "look inside");
    check(ferry_engine_destroy(engine), "destroy");
    return whole.status == FERRY_OK && info.buffers_lent == 0 ? 0 : 1;
}
