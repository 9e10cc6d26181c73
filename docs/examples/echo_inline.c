/*
 * A TCP echo server on one thread, with callbacks.
 *
 * The engine has no thread of its own (shards = 0): this program runs it with ferry_engine_run. Its
 * queue is made inline, so each request's callback is called from within ferry_engine_run, here, as
 * soon as the operation has ended. A callback must be quick; it submits what comes next and
 * returns.
 *
 *     echo_inline [port] [--selftest]     port 0 (the default): the system chooses
 *
 * With --selftest the program also connects to itself, checks the echo, and ends.
 */
#include <ferry.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One connection: its handle and the buffer that receives and sends share, one after the other. */
struct connection {
    ferry_handle stream;
    char bytes[4096]; /* pinned: the engine writes here until the receive's completion */
};

static ferry_engine *engine;
static ferry_queue *queue;
static bool selftest, finished;

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

/* Submit one request; its completion will be given to callback together with user_data. */
static void start(ferry_request *request, ferry_completion_fn callback, void *user_data) {
    request->callback = callback;
    request->user_data = user_data;
    check(ferry_queue_submit(queue, request, 1, NULL, NULL), "submit");
}

static void on_received(const ferry_completion *done, void *user_data);

static void receive_more(struct connection *connection) {
    ferry_request request;
    ferry_prepare_stream_receive(&request, connection->stream, connection->bytes,
                                 sizeof connection->bytes);
    start(&request, on_received, connection);
}

/* Only called when nothing is pending on the stream, so nobody uses the buffer any more. */
static void close_connection(struct connection *connection) {
    ferry_handle_discard(engine, connection->stream); /* a close that needs no completion */
    free(connection);
}

static void on_sent(const ferry_completion *done, void *user_data) {
    if (done->status == FERRY_OK)
        receive_more(user_data);
    else
        close_connection(user_data);
}

static void on_received(const ferry_completion *done, void *user_data) {
    struct connection *connection = user_data;
    if (done->status != FERRY_OK || done->result == 0) { /* failed, or the peer has ended */
        close_connection(connection);
        return;
    }
    ferry_request request;
    ferry_prepare_stream_send(&request, connection->stream, connection->bytes,
                              (size_t)done->result); /* sends all of it, or fails */
    start(&request, on_sent, connection);
}

/* Accept is one request that completes many times: once for each new connection. */
static void on_accepted(const ferry_completion *done, void *user_data) {
    (void)user_data;
    if (done->status != FERRY_OK) { /* with FERRY_MORE accepting goes on by itself */
        if (!finished)
            fprintf(stderr, "accept: %s\n", ferry_status_message(done->status));
        finished = finished || !(done->flags & FERRY_MORE);
        return;
    }
    struct connection *connection = malloc(sizeof *connection);
    check(connection == NULL ? FERRY_E_NO_MEMORY : FERRY_OK, "malloc");
    connection->stream = done->handle;
    receive_more(connection);
}

/* The self-test: connect, send, and receive until the whole echo is there. */
static const char greeting[] = "hello, ferry";
static char echo[sizeof greeting];

static void on_echo(const ferry_completion *done, void *user_data) {
    (void)user_data;
    check(done->status, "receive the echo");
    if (memcmp(echo, greeting, sizeof greeting) != 0)
        exit(1);
    printf("selftest: the echo is right\n");
    finished = true;
}

static void on_connected(const ferry_completion *done, void *user_data) {
    (void)user_data;
    check(done->status, "connect");
    ferry_request request;
    ferry_prepare_stream_receive_exactly(&request, done->handle, echo, sizeof echo);
    start(&request, on_echo, NULL);
    ferry_prepare_stream_send(&request, done->handle, greeting, sizeof greeting);
    start(&request, NULL, NULL); /* no callback: nothing to do when it has been sent */
}

static void on_listening(const ferry_completion *done, void *user_data) {
    ferry_address *address = user_data;
    check(done->status, "listen");
    printf("listening on 127.0.0.1:%" PRId64 "\n", done->result);
    fflush(stdout);
    ferry_request request;
    ferry_prepare_tcp_accept(&request, done->handle);
    start(&request, on_accepted, NULL);
    if (selftest) {
        address->port = (uint16_t)done->result;
        ferry_prepare_tcp_connect(&request, address);
        start(&request, on_connected, NULL);
    }
}

int main(int argc, char **argv) {
    uint16_t port = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--selftest") == 0)
            selftest = true;
        else
            port = (uint16_t)atoi(argv[i]);
    }
    check(ferry_engine_create(NULL, &engine), "create an engine");
    ferry_queue_options options = {.struct_size = sizeof options, .mode = FERRY_QUEUE_INLINE};
    check(ferry_queue_create(engine, &options, &queue), "create a queue");

    ferry_address address;
    check(ferry_address_parse("127.0.0.1", port, &address), "parse the address");
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 0);
    start(&request, on_listening, &address);

    while (!finished) /* sleep until something happens, do it, return */
        check(ferry_engine_run(engine, FERRY_FOREVER, 0, NULL), "run");

    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
    return 0;
}
