/* An echo server on all shards, clients that go to and fro, and some that read too slowly. */
#include "soak.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 16384, SLOW_BYTES = 512 * 1024 };

ferry_address server_address;

/* Whatever may come of a stream whose peer resets it when it likes. */
static const int32_t kStreamEnds[] = {FERRY_OK,
                                      FERRY_E_END,
                                      FERRY_E_CANCELED,
                                      FERRY_E_CLOSED,
                                      FERRY_E_STALE,
                                      FERRY_E_CONNECTION_RESET,
                                      FERRY_E_CONNECTION_ABORTED,
                                      FERRY_E_BROKEN_PIPE,
                                      FERRY_E_NOT_CONNECTED,
                                      1};

/* ---- the server --------------------------------------------------------------------------------- */

typedef struct connection {
    ferry_handle stream;
    uint32_t pending; /* Its receive and its sends. */
} connection;

/* A send of a buffer as it was lent. */
typedef struct echo {
    connection *of;
    ferry_completion received;
} echo;

static call *accepting;
static ferry_handle listener;
static void (*when_ready)(void);

static void connection_closed(void *actor, const ferry_completion *done) {
    expect_ok(done);
    free(actor);
}

static void let_go(connection *one) {
    if (--one->pending != 0) {
        return;
    }
    ferry_request request;
    ferry_prepare_handle_close(&request, one->stream);
    begin(&request, KIND_OTHER, connection_closed, one);
}

static void echoed(void *actor, const ferry_completion *done) {
    echo *one = actor;
    expect(done, kStreamEnds);
    release(&one->received);
    let_go(one->of);
    free(one);
}

static void received(void *actor, const ferry_completion *done) {
    connection *one = actor;
    expect(done, kStreamEnds);
    if ((done->flags & FERRY_BUFFER) != 0 && done->result > 0) {
        echo *back = malloc(sizeof *back);
        back->of = one;
        back->received = *done;
        one->pending++;
        ferry_request request;
        ferry_prepare_stream_send(&request, one->stream, done->data, (size_t)done->result);
        begin(&request, KIND_OTHER, echoed, back);
    } else {
        release(done);
    }
    if ((done->flags & FERRY_MORE) == 0) {
        let_go(one);
    }
}

static void accepted(void *actor, const ferry_completion *done) {
    (void)actor;
    expect(done, (const int32_t[]){FERRY_OK, FERRY_E_CANCELED, FERRY_E_CLOSED, 1});
    if (done->status == FERRY_OK && (done->flags & FERRY_MORE) != 0) {
        connection *one = malloc(sizeof *one);
        *one = (connection){.stream = done->handle, .pending = 1};
        ferry_request request;
        ferry_prepare_stream_receive_multishot(&request, one->stream);
        begin(&request, KIND_OTHER, received, one);
    }
}

static void listening(void *actor, const ferry_completion *done) {
    (void)actor;
    expect_ok(done);
    listener = done->handle;
    server_address.port = (uint16_t)done->result;
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    request.flags |= FERRY_MULTISHOT;
    accepting = begin(&request, KIND_OTHER, accepted, NULL);
    when_ready();
}

void start_server(void (*ready)(void)) {
    when_ready = ready;
    ferry_address_parse("127.0.0.1", 0, &server_address);
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &server_address, 0);
    request.flags |= FERRY_SPREAD;
    begin(&request, KIND_OTHER, listening, NULL);
}

void stop_server(void) {
    ferry_handle_discard(the.engine, listener);
}

/* ---- clients ------------------------------------------------------------------------------------ */

typedef struct client {
    ferry_handle stream;
    uint32_t left; /* Messages of this connection. */
    uint32_t size;
    uint64_t sent_ns;
    unsigned char sent[MESSAGE_MAX];
    unsigned char got[MESSAGE_MAX];
} client;

static void connect_client(client *one);

static void client_closed(void *actor, const ferry_completion *done) {
    expect_ok(done);
    if (again()) {
        connect_client(actor);
    }
}

static void close_client(client *one) {
    ferry_request request;
    ferry_prepare_handle_close(&request, one->stream);
    begin(&request, KIND_OTHER, client_closed, one);
}

/* The server has closed its side, too. */
static void saw_the_end(void *actor, const ferry_completion *done) {
    expect(done, (const int32_t[]){FERRY_OK, FERRY_E_END, 1});
    if (done->result != 0) {
        violation("bytes from nowhere", done);
    }
    close_client(actor);
}

static void half_closed(void *actor, const ferry_completion *done) {
    client *one = actor;
    expect_ok(done);
    ferry_request request;
    ferry_prepare_stream_receive(&request, one->stream, one->got, sizeof one->got);
    begin(&request, KIND_OTHER, saw_the_end, one);
}

static void will_reset(void *actor, const ferry_completion *done) {
    expect_ok(done);
    close_client(actor);
}

/* A plain close, a half-closed end, or a reset. */
static void end_connection(client *one) {
    ferry_request request;
    switch (draw(3)) {
    case 0:
        close_client(one);
        break;
    case 1:
        ferry_prepare_stream_shutdown(&request, one->stream);
        begin(&request, KIND_OTHER, half_closed, one);
        break;
    default:
        ferry_prepare_socket_set(&request, one->stream, FERRY_SOCKET_LINGER, 0);
        begin(&request, KIND_OTHER, will_reset, one);
    }
}

static void sent(void *actor, const ferry_completion *done) {
    (void)actor;
    expect_ok(done);
}

static void ping(client *one);

static void pong(void *actor, const ferry_completion *done) {
    client *one = actor;
    expect_ok(done);
    if (done->status == FERRY_OK && memcmp(one->sent, one->got, one->size) != 0) {
        violation("other bytes came back", done);
    }
    if (--one->left == 0 || the.stopping || done->status != FERRY_OK) {
        end_connection(one);
    } else {
        ping(one);
    }
}

static void ping(client *one) {
    one->size = draw(8) == 0 ? 1 + draw(MESSAGE_MAX) : 1 + draw(512);
    for (uint32_t i = 0; i < one->size; i += 64) {
        one->sent[i] = (unsigned char)draw(256);
    }
    ferry_request request;
    ferry_prepare_stream_send(&request, one->stream, one->sent, one->size);
    request.flags = draw(2) == 0 ? FERRY_COPY : 0;
    begin(&request, KIND_OTHER, sent, one);
    ferry_prepare_stream_receive_exactly(&request, one->stream, one->got, one->size);
    request.deadline_ns = 30 * SECOND;
    begin(&request, KIND_ECHO, pong, one);
}

static void connected(void *actor, const ferry_completion *done) {
    client *one = actor;
    expect_ok(done);
    if (done->status != FERRY_OK) {
        if (again()) {
            connect_client(one);
        }
        return;
    }
    one->stream = done->handle;
    one->left = 1 + draw(50);
    ping(one);
}

static void connect_client(client *one) {
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &server_address);
    begin(&request, KIND_CONNECT, connected, one);
}

void start_clients(uint32_t count) {
    client *all = make_actors(count, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        connect_client(&all[i]);
    }
}

/* ---- slow readers ------------------------------------------------------------------------------- */

typedef struct reader {
    ferry_handle stream;
    uint64_t left;
    unsigned char bytes[SLOW_BYTES];
} reader;

static void connect_reader(reader *one);
static void doze(reader *one);

static void reader_closed(void *actor, const ferry_completion *done) {
    expect_ok(done);
    if (again()) {
        connect_reader(actor);
    }
}

static void read_some(void *actor, const ferry_completion *done) {
    reader *one = actor;
    expect_ok(done);
    one->left -= (uint64_t)done->result;
    release(done);
    if (one->left != 0 && done->status == FERRY_OK && done->result != 0) {
        doze(one);
        return;
    }
    ferry_request request;
    ferry_prepare_handle_close(&request, one->stream);
    begin(&request, KIND_OTHER, reader_closed, one);
}

static void awake(void *actor, const ferry_completion *done) {
    reader *one = actor;
    expect_ok(done);
    ferry_request request;
    ferry_prepare_stream_receive(&request, one->stream, NULL, 0);
    request.flags = FERRY_LEND;
    begin(&request, KIND_OTHER, read_some, one);
}

static void doze(reader *one) {
    ferry_request request;
    ferry_prepare_timer(&request, draw(5) * MS, 0);
    begin(&request, KIND_OTHER, awake, one);
}

static void reader_connected(void *actor, const ferry_completion *done) {
    reader *one = actor;
    expect_ok(done);
    one->stream = done->handle;
    one->left = sizeof one->bytes;
    ferry_request request;
    ferry_prepare_stream_send(&request, one->stream, one->bytes, sizeof one->bytes);
    begin(&request, KIND_OTHER, sent, one);
    doze(one);
}

static void connect_reader(reader *one) {
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &server_address);
    begin(&request, KIND_CONNECT, reader_connected, one);
}

void start_slow_readers(uint32_t count) {
    reader *all = make_actors(count, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        connect_reader(&all[i]);
    }
}
