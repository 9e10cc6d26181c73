/*
 * A conversation as one submission: look a name up, connect, ask, receive the answer, close.
 *
 *     retry                    three times if need be, all within a deadline
 *       chain                  stops at the first step that fails
 *         connect by name
 *         send                 on what the first step will have opened
 *         receive until "\n"
 *         close
 *
 * It is tried on a server that answers, on one that never does, and on a port where nobody listens.
 * Each time one completion tells what became of every step, and nothing is left open.
 *
 *     one_submission
 */
#include <ferry.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum { STEPS = 4, LINE_MAX_SIZE = 1024 };

static const char question[] = "who is there?\n";
static const char answer[] = "it is me\n";

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

static void must(bool fine, const char *what) {
    if (!fine) {
        perror(what);
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

/* A line of a stream, in a buffer that is lent when it has come. */
static void prepare_receive_line(ferry_request *request, ferry_handle stream) {
    ferry_prepare_stream_receive_until(request, stream, NULL, LINE_MAX_SIZE, "\n", 1);
    request->flags = FERRY_LEND;
}

/* [ask] */
static ferry_completion ask(ferry_queue *queue, uint16_t port, uint64_t deadline_ns) {
    ferry_handle stream = ferry_child_handle(0, 0); /* what step 0 of this chain opens */
    ferry_request steps[STEPS], attempt, whole;
    ferry_prepare_tcp_connect_name(&steps[0], "localhost", port);
    ferry_prepare_stream_send(&steps[1], stream, question, strlen(question));
    prepare_receive_line(&steps[2], stream);
    ferry_prepare_handle_close(&steps[3], stream);
    ferry_prepare_chain(&attempt, steps, STEPS);
    ferry_prepare_retry(&whole, &attempt, 3, 10 * MS, 100 * MS);
    whole.deadline_ns = deadline_ns; /* for all attempts together, and the delays between them */
    return run(queue, &whole);
}
/* [ask] */

static bool is_composition(const ferry_completion *done) {
    return done->opcode >= FERRY_OP_CHAIN && done->opcode <= FERRY_OP_RETRY;
}

/* [finish] Print what became of each part, and give back what it brought. */
static void finish(ferry_engine *engine, const ferry_completion *done, int depth) {
    printf("%*s%-30s %s\n", 2 * depth, "", ferry_opcode_name(done->opcode),
           ferry_status_name(done->status));
    if (is_composition(done)) { /* the children first: they lie in the buffer of the whole */
        const ferry_completion *children = done->data;
        size_t count = (size_t)done->result / sizeof *children;
        for (size_t i = 0; i < count; i++)
            finish(engine, &children[i], depth + 1);
    } else if (done->flags & FERRY_BUFFER) {
        printf("%*s\"%.*s\"\n", 2 * depth + 2, "", (int)done->result - 1, (const char *)done->data);
    }
    if (done->flags & FERRY_BUFFER)
        ferry_buffer_release(engine, done->buffer);
}
/* [finish] */

static bool is_all_given_back(ferry_engine *engine) {
    ferry_engine_info info = {.struct_size = sizeof info};
    check(ferry_engine_get_info(engine, &info), "look inside");
    return info.buffers_lent == 0 && info.handles_open == 0;
}

/* --- Whom to ask ------------------------------------------------------------------------------ */

static ferry_completion open_server(ferry_queue *queue) {
    ferry_address address;
    ferry_request request;
    check(ferry_address_parse("127.0.0.1", 0, &address), "parse an address");
    ferry_prepare_tcp_listen(&request, &address, 0);
    ferry_completion listening = run(queue, &request);
    check(listening.status, "listen");
    return listening;
}

static void close_server(ferry_queue *queue, ferry_handle listener) {
    ferry_request request;
    ferry_prepare_handle_close(&request, listener);
    check(run(queue, &request).status, "close");
}

/* The other side of the conversation: one request, too. */
static void answer_one(ferry_queue *queue, ferry_handle listener) {
    ferry_handle stream = ferry_child_handle(0, 0);
    ferry_request steps[STEPS], whole;
    ferry_prepare_tcp_accept(&steps[0], listener);
    steps[0].flags = 0; /* just one: a child may not be multishot */
    prepare_receive_line(&steps[1], stream);
    ferry_prepare_stream_send(&steps[2], stream, answer, strlen(answer));
    ferry_prepare_handle_close(&steps[3], stream);
    ferry_prepare_chain(&whole, steps, STEPS);
    check(ferry_queue_submit(queue, &whole, 1, NULL, NULL), "submit");
}

/* A port that is taken, so that nobody else listens on it, but refuses connections. */
static uint16_t take_port(int *socket_out) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    *socket_out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(*socket_out >= 0, "socket");
    must(bind(*socket_out, (struct sockaddr *)&address, size) == 0, "bind");
    must(getsockname(*socket_out, (struct sockaddr *)&address, &size) == 0, "getsockname");
    return ntohs(address.sin_port);
}

/* --- The three cases -------------------------------------------------------------------------- */

static bool with_answer(ferry_engine *engine, ferry_queue *queue) {
    ferry_queue *server_queue;
    check(ferry_queue_create(engine, NULL, &server_queue), "create a queue");
    ferry_completion server = open_server(queue);
    answer_one(server_queue, server.handle);
    printf("\na server that answers:\n");
    ferry_completion whole = ask(queue, (uint16_t)server.result, 10000 * MS);
    finish(engine, &whole, 1);

    ferry_completion answered;
    check(ferry_queue_wait(server_queue, &answered, 1, FERRY_FOREVER), "wait");
    printf("  and on its side:\n");
    finish(engine, &answered, 1);
    close_server(queue, server.handle);
    check(ferry_queue_destroy(server_queue), "destroy a queue");
    return whole.status == FERRY_OK && answered.status == FERRY_OK && is_all_given_back(engine);
}

/* The system takes the connection, but nobody accepts it. */
static bool with_silence(ferry_engine *engine, ferry_queue *queue) {
    ferry_completion server = open_server(queue);
    printf("\na server that never answers:\n");
    ferry_completion whole = ask(queue, (uint16_t)server.result, 200 * MS);
    finish(engine, &whole, 1);
    close_server(queue, server.handle);
    return whole.status == FERRY_E_TIMED_OUT && is_all_given_back(engine);
}

static bool with_nobody(ferry_engine *engine, ferry_queue *queue) {
    int taken;
    uint16_t port = take_port(&taken);
    printf("\na port where nobody listens (the last of three attempts):\n");
    ferry_completion whole = ask(queue, port, 10000 * MS);
    finish(engine, &whole, 1);
    close(taken);
    return whole.status == FERRY_E_CONNECTION_REFUSED && is_all_given_back(engine);
}

int main(void) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    ferry_engine *engine;
    ferry_queue *queue;
    check(ferry_engine_create(&options, &engine), "create an engine");
    check(ferry_queue_create(engine, NULL, &queue), "create a queue");
    bool fine = with_answer(engine, queue);
    fine = with_silence(engine, queue) && fine;
    fine = with_nobody(engine, queue) && fine;
    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
    puts(fine ? "\neverything was given back" : "\nsomething went wrong");
    return fine ? 0 : 1;
}
