/*
 * Receives until a delimiter, beside a naive search: the bytes come in pieces of any size, delimiter and
 * limit are the input's, what one receive leaves is the next one's.
 */
#undef NDEBUG

#include <ferry.h>

#include <sys/socket.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1000, HEAD = 4 };

typedef struct conversation {
    ferry_handle stream;
    int peer;
    char text[MOST];
    size_t size, sent, taken; /* Of the text. */
    const uint8_t *pieces;
    size_t piece;
    bool ended;
} conversation;

static ferry_engine *engine;
static ferry_queue *queue;

static void clean_up(void) {
    assert(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK);
    assert(ferry_engine_destroy(engine) == FERRY_OK);
}

static void set_up(void) {
    ferry_engine_options options = {.struct_size = sizeof options};
    assert(ferry_engine_create(&options, &engine) == FERRY_OK);
    assert(ferry_queue_create(engine, NULL, &queue) == FERRY_OK);
    atexit(clean_up);
}

/* The peer's next step: a piece, and at last the end. */
static void feed(conversation *c) {
    if (c->sent == c->size) {
        if (!c->ended) {
            shutdown(c->peer, SHUT_WR);
        }
        c->ended = true;
        return;
    }
    size_t piece = 1u + c->pieces[c->piece++ % HEAD] % 23;
    piece = piece < c->size - c->sent ? piece : c->size - c->sent;
    assert(send(c->peer, c->text + c->sent, piece, MSG_NOSIGNAL) == (ssize_t)piece);
    c->sent += piece;
}

static ferry_completion play(conversation *c, const ferry_request *request) {
    ferry_completion got;
    assert(ferry_queue_submit(queue, request, 1, NULL, NULL) == FERRY_OK);
    for (;;) {
        assert(ferry_engine_run(engine, c == NULL || c->ended ? FERRY_FOREVER : 0, 0, NULL) ==
               FERRY_OK);
        if (ferry_queue_reap(queue, &got, 1) == 1) {
            return got;
        }
        if (c != NULL) {
            feed(c);
        }
    }
}

/* Where the first delimiter ends, counted from what was taken; 0 = there is none. */
static size_t naive(const conversation *c, const char *delimiter, size_t size) {
    for (size_t at = c->taken; at + size <= c->size; at++) {
        if (memcmp(c->text + at, delimiter, size) == 0) {
            return at + size - c->taken;
        }
    }
    return 0;
}

/* False when nothing is left. */
static bool one_receive(conversation *c, const char *delimiter, size_t delimiter_size, size_t limit,
                        bool lend) {
    char buffer[MOST];
    ferry_request request;
    size_t wanted = naive(c, delimiter, delimiter_size);
    size_t left = c->size - c->taken;
    ferry_prepare_stream_receive_until(&request, c->stream, lend ? NULL : buffer, limit, delimiter,
                                       delimiter_size);
    request.flags |= lend ? FERRY_LEND : 0;
    ferry_completion got = play(c, &request);
    if (wanted != 0 && wanted <= limit) {
        assert(got.status == FERRY_OK && got.result == (int64_t)wanted);
        assert(memcmp(lend ? got.data : buffer, c->text + c->taken, wanted) == 0);
        assert(!lend || ferry_buffer_release(engine, got.buffer) == FERRY_OK);
        c->taken += wanted;
        return true;
    }
    assert(got.result == 0 && (got.flags & FERRY_BUFFER) == 0);
    assert(got.status == (left >= limit ? FERRY_E_LIMIT : left > 0 ? FERRY_E_END : FERRY_OK));
    size_t next = left >= limit ? limit : left;
    if (next == 0) {
        return false;
    }
    /* No byte is lost. */
    ferry_prepare_stream_receive_exactly(&request, c->stream, buffer, next);
    got = play(c, &request);
    assert(got.status == FERRY_OK && got.result == (int64_t)next);
    assert(memcmp(buffer, c->text + c->taken, next) == 0);
    c->taken += next;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    conversation c = {0};
    ferry_request request;
    int ends[2];
    size_t delimiter_size = size > 0 ? 1u + data[0] % 16 : 1;
    if (size < 2 * HEAD + delimiter_size || size > MOST) {
        return 0;
    }
    if (engine == NULL) {
        set_up();
    }
    /* Two letters, so that delimiters come, and nearly come, by chance. */
    char delimiter[16];
    for (size_t i = 0; i < delimiter_size; i++) {
        delimiter[i] = (char)('a' + data[2 * HEAD + i] % 2);
    }
    c.pieces = data + HEAD;
    for (size_t i = 2 * HEAD + delimiter_size; i < size; i++) {
        c.text[c.size++] = (char)('a' + data[i] % 2);
    }
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    c.peer = ends[1];
    ferry_prepare_descriptor_adopt(&request, ends[0], FERRY_DESCRIPTOR_STREAM);
    ferry_completion got = play(NULL, &request);
    assert(got.status == FERRY_OK);
    c.stream = got.handle;
    size_t limit = delimiter_size + data[1] % 64;
    while (one_receive(&c, delimiter, delimiter_size, limit, data[2] % 2 != 0)) {
    }
    ferry_prepare_handle_close(&request, c.stream);
    assert(play(NULL, &request).status == FERRY_OK);
    close(c.peer);
    return 0;
}
