/*
 * Record the life of every operation and write it as a trace that Perfetto (ui.perfetto.dev) and
 * chrome://tracing show.
 *
 *     trace_perfetto trace.json file...
 *
 * The engine has two threads of its own and calls the trace hook on both at once. The hook only
 * copies the event into an array made beforehand; the JSON is written when the engine has stopped.
 * What is traced: clients that talk to an echo server, with pauses; files that are loaded; timers.
 */
#include <ferry.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = 2, CLIENTS = 8, ROUNDS = 5, MESSAGE = 512, EVENTS_MAX = 65536 };
#define MS UINT64_C(1000000) /* in nanoseconds */

/* --- The recorder ----------------------------------------------------------------------------- */

static ferry_trace_event events[EVENTS_MAX];
static atomic_size_t event_count; /* also of those that found no place */

static void record(const ferry_trace_event *event, void *user_data) {
    (void)user_data;
    size_t place = atomic_fetch_add_explicit(&event_count, 1, memory_order_relaxed);
    if (place < EVENTS_MAX)
        events[place] = *event;
}

/* An operation is an asynchronous slice: "b" begins it, "n" is a moment of it, "e" ends it; they
 * belong together by their id. Times are microseconds. 64-bit numbers are text: JSON's are not. */
static void write_event(FILE *file, const ferry_trace_event *event, uint64_t start_ns) {
    static const char *const phases[] = {"", "b", "n", "n", "e"};
    if (event->kind < FERRY_TRACE_BEGIN || event->kind > FERRY_TRACE_END)
        return; /* of a newer engine */
    uint64_t ns = event->time_ns - start_ns;
    const char *name = ferry_opcode_name(event->opcode);
    if (event->kind == FERRY_TRACE_STEP || event->kind == FERRY_TRACE_MORE)
        name = event->kind == FERRY_TRACE_STEP ? "step" : "more";
    fprintf(file,
            ",\n{\"ph\":\"%s\",\"cat\":\"ferry\",\"name\":\"%s\",\"id\":\"0x%" PRIx64 "\","
            "\"pid\":1,\"tid\":%" PRIu32 ",\"ts\":%" PRIu64 ".%03u,\"args\":{\"tag\":\"%" PRIu64
            "\"",
            phases[event->kind], name, event->op, event->shard, ns / 1000, (unsigned)(ns % 1000),
            event->tag);
    if (event->target != FERRY_NONE)
        fprintf(file, ",\"handle\":\"0x%" PRIx64 "\"", event->target);
    if (event->kind >= FERRY_TRACE_MORE)
        fprintf(file, ",\"status\":\"%s\",\"result\":%" PRId64, ferry_status_name(event->status),
                event->result);
    fprintf(file, "}}");
}

static bool write_trace(const char *path) {
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    size_t count = event_count < EVENTS_MAX ? event_count : EVENTS_MAX;
    uint64_t start_ns = UINT64_MAX; /* the shards' events are mixed: the first need not be first */
    for (size_t i = 0; i < count; i++)
        start_ns = events[i].time_ns < start_ns ? events[i].time_ns : start_ns;
    fprintf(file,
            "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
            "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":1,\"args\":{\"name\":\"ferry\"}}");
    for (unsigned shard = 0; shard < SHARDS; shard++)
        fprintf(file,
                ",\n{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":%u,"
                "\"args\":{\"name\":\"shard %u\"}}",
                shard, shard);
    for (size_t i = 0; i < count; i++)
        write_event(file, &events[i], start_ns);
    fprintf(file, "\n]}\n");
    bool fine = !ferror(file);
    return fclose(file) == 0 && fine;
}

/* --- The work that is traced ------------------------------------------------------------------ */

/* What a completion is for: in the low byte of its tag, the client's number above it. */
enum { LISTENS, ACCEPTS, SERVER_RECEIVES, SERVER_SENDS, CONNECTS, SENDS, RECEIVES, PAUSES, OTHERS };

static ferry_engine *engine;
static ferry_queue *queue;
static size_t left; /* clients and others that have not ended */

static struct client {
    ferry_handle stream;
    size_t rounds;
    char bytes[MESSAGE];
} clients[CLIENTS];
static const char message[MESSAGE] = "to the other side and back";

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

static ferry_op start(ferry_request *request, uint64_t purpose, size_t client) {
    ferry_op op;
    request->tag = purpose | client << 8;
    check(ferry_queue_submit(queue, request, 1, &op, NULL), "submit");
    return op;
}

static void server_receive(ferry_handle stream) {
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    request.flags = FERRY_LEND; /* just once */
    start(&request, SERVER_RECEIVES, 0);
}

static void server_answer(const ferry_completion *done) {
    if (done->status != FERRY_OK || done->result == 0) {
        ferry_handle_discard(engine, done->handle);
    } else {
        ferry_request request;
        ferry_prepare_stream_send(&request, done->handle, done->data, (size_t)done->result);
        request.flags |= FERRY_COPY;
        start(&request, SERVER_SENDS, 0);
    }
}

static void client_speak(size_t number) {
    ferry_request request;
    ferry_prepare_stream_send(&request, clients[number].stream, message, MESSAGE);
    start(&request, SENDS, number);
    ferry_prepare_stream_receive_exactly(&request, clients[number].stream, clients[number].bytes,
                                         MESSAGE);
    start(&request, RECEIVES, number);
}

static void client_received(const ferry_completion *done, size_t number) {
    struct client *client = &clients[number];
    check(done->status, "receive");
    if (++client->rounds < ROUNDS) {
        ferry_request request;
        ferry_prepare_timer(&request, (1 + number % 3) * MS, 0);
        start(&request, PAUSES, number);
    } else {
        ferry_handle_discard(engine, client->stream);
        left--;
    }
}

static void connect_all(const ferry_completion *listening) {
    ferry_address address;
    ferry_request request;
    check(listening->status, "listen");
    check(ferry_address_parse("127.0.0.1", (uint16_t)listening->result, &address), "parse");
    ferry_prepare_tcp_accept(&request, listening->handle);
    start(&request, ACCEPTS, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        ferry_prepare_tcp_connect(&request, &address);
        start(&request, CONNECTS, i);
    }
}

static void on_completion(const ferry_completion *done) {
    size_t number = (size_t)(done->tag >> 8);
    switch (done->tag & 0xff) {
    case LISTENS:
        connect_all(done);
        break;
    case ACCEPTS:
        if (done->status == FERRY_OK)
            server_receive(done->handle);
        break;
    case SERVER_RECEIVES:
        server_answer(done);
        break;
    case SERVER_SENDS:
        server_receive(done->handle);
        break;
    case CONNECTS:
        check(done->status, "connect");
        clients[number].stream = done->handle;
        client_speak(number);
        break;
    case SENDS:
        check(done->status, "send");
        break;
    case RECEIVES:
        client_received(done, number);
        break;
    case PAUSES:
        client_speak(number);
        break;
    default: /* files and timers, however they ended: it is in the trace */
        left -= (done->flags & FERRY_MORE) == 0;
    }
    if (done->flags & FERRY_BUFFER)
        ferry_buffer_release(engine, done->buffer);
}

static void begin(char *const *files, size_t file_count) {
    ferry_request request;
    ferry_address address;
    check(ferry_address_parse("127.0.0.1", 0, &address), "parse");
    ferry_prepare_tcp_listen(&request, &address, 0);
    start(&request, LISTENS, 0);
    for (size_t i = 0; i < file_count; i++) {
        ferry_prepare_file_load(&request, files[i], 0);
        start(&request, OTHERS, i);
    }
    ferry_prepare_timer(&request, 2 * MS, 0);
    start(&request, OTHERS, 0);
    ferry_prepare_timer(&request, 1000 * MS, 0);
    request.deadline_ns = 5 * MS; /* it ends with FERRY_E_TIMED_OUT */
    start(&request, OTHERS, 0);
    ferry_prepare_timer(&request, MS, MS);
    request.deadline_ns = 10 * MS; /* some expiries with FERRY_MORE before that */
    start(&request, OTHERS, 0);
    left = CLIENTS + file_count + 3;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: trace_perfetto trace.json file...\n");
        return 2;
    }
    ferry_engine_options options = {
        .struct_size = sizeof options, .shards = SHARDS, .trace = record};
    check(ferry_engine_create(&options, &engine), "create an engine");
    check(ferry_queue_create(engine, NULL, &queue), "create a queue");
    begin(argv + 2, (size_t)argc - 2);
    while (left > 0) {
        ferry_completion done[64];
        int32_t count = ferry_queue_wait(queue, done, 64, FERRY_FOREVER);
        check(count, "wait");
        for (int32_t i = 0; i < count; i++)
            on_completion(&done[i]);
    }
    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down"); /* what is pending ends */
    check(ferry_engine_destroy(engine), "destroy");
    if (!write_trace(argv[1])) {
        perror(argv[1]);
        return 1;
    }
    printf("%zu events in %s\n", (size_t)event_count, argv[1]);
    if (event_count > EVENTS_MAX)
        printf("only the first %d are in it\n", EVENTS_MAX);
    return 0;
}
