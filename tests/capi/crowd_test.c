/*
 * Thousands of connections at once, and what they may do to a host all together: talk, leave, be gone
 * before they were ever looked at, and reset in the middle of it.
 */
#include "crowd.h"
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

enum { TEN_THOUSAND = 10000, MANY = 2000, SENDERS = 100, BATCH = 256, LARGE = 1024 * 1024 };

/* What a completion is of: the upper half of its tag; the lower half is the connection's number. */
enum { OF_ACCEPT = 1, OF_RECEIVE, OF_SEND, OF_CLOSE };

typedef struct connection {
    ferry_handle stream;
    unsigned char bytes[sizeof(crowd_message)];
    size_t size;
    ferry_status ended_with;
} connection;

typedef struct hall {
    fixture *f;
    crowd crowd;
    connection *connections;
    uint32_t accepted;
    uint32_t spoken; /* Of how many the whole message has come. */
    uint32_t ended;
    uint32_t sent;
    uint32_t sends_failed;
    uint32_t closed;
    bool echoes;
    bool receives_at_once;
    size_t descriptors;
    counting_allocator *allocator;
} hall;

static void submit(hall *h, ferry_request *request, uint64_t what, uint32_t number) {
    request->tag = what << 32 | number;
    assert_status(referee_submit(h->f->judge, h->f->queue, request, 1, NULL, NULL), FERRY_OK);
}

static void receive_from(hall *h, uint32_t number) {
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, h->connections[number].stream);
    submit(h, &request, OF_RECEIVE, number);
}

static void send_to(hall *h, uint32_t number, const void *data, size_t size, uint32_t flags) {
    ferry_request request;
    ferry_prepare_stream_send(&request, h->connections[number].stream, data, size);
    request.flags = flags;
    submit(h, &request, OF_SEND, number);
}

/* --- What comes ---------------------------------------------------------------------------- */

static void on_accept(hall *h, const ferry_completion *c) {
    if (c->status != FERRY_OK) {
        assert_int_equal(c->flags & FERRY_MORE, 0);
        assert_status(c->status, FERRY_E_CLOSED);
        return;
    }
    uint32_t number = h->accepted++;
    h->connections[number].stream = c->handle;
    if (h->receives_at_once) {
        receive_from(h, number);
    }
}

static void on_receive(hall *h, const ferry_completion *c, uint32_t number) {
    connection *from = &h->connections[number];
    if ((c->flags & FERRY_MORE) == 0) {
        from->ended_with = c->status;
        h->ended++;
        return;
    }
    assert_status(c->status, FERRY_OK);
    assert_true(from->size + (size_t)c->result <= sizeof from->bytes);
    memcpy(from->bytes + from->size, c->data, (size_t)c->result);
    from->size += (size_t)c->result;
    fixture_release(h->f, c);
    if (from->size == sizeof from->bytes) {
        h->spoken++;
        if (h->echoes) {
            send_to(h, number, from->bytes, sizeof from->bytes, FERRY_COPY);
        }
    }
}

static void on_anything(hall *h, const ferry_completion *c) {
    uint32_t number = (uint32_t)c->tag;
    switch (c->tag >> 32) {
    case OF_ACCEPT:
        on_accept(h, c);
        break;
    case OF_RECEIVE:
        on_receive(h, c, number);
        break;
    case OF_SEND:
        h->sent += c->status == FERRY_OK ? 1 : 0;
        h->sends_failed += c->status == FERRY_OK ? 0 : 1;
        break;
    case OF_CLOSE:
        assert_status(c->status, FERRY_OK);
        h->closed++;
        break;
    default:
        fail();
    }
}

static void let_come(hall *h) {
    ferry_completion out[BATCH];
    int32_t count;
    watchdog_restart();
    if (h->f->drive->shards == 0) {
        assert_status(ferry_engine_run(h->f->engine, MS, 0, NULL), FERRY_OK);
        count = referee_reap(h->f->judge, h->f->queue, out, BATCH);
    } else {
        count = referee_wait(h->f->judge, h->f->queue, out, BATCH, MS);
    }
    assert_true(count >= 0);
    for (int32_t i = 0; i < count; i++) {
        on_anything(h, &out[i]);
    }
}

/* --- Opening and closing the hall ---------------------------------------------------------- */

static bool open_hall(hall *h, void **state, uint32_t count) {
    *h = (hall){0};
    if (!crowd_fits(count)) {
        return false;
    }
    /* Before there are threads. */
    crowd_gather(&h->crowd);
    h->descriptors = count_descriptors();
    ferry_engine_options options = {.ops_max = 2 * count + 1024, .handles_max = count + 16};
    h->allocator = fixture_memory(*state, sizeof *h->allocator);
    memset(h->allocator, 0, sizeof *h->allocator);
    allocator_install(h->allocator, &options);
    h->f = fixture_open_with(state, &options, NULL);
    h->connections = fixture_memory(h->f, count * sizeof *h->connections);
    memset(h->connections, 0, count * sizeof *h->connections);
    return true;
}

static ferry_handle welcome(hall *h, uint32_t count) {
    ferry_address address = loopback(0);
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 4096);
    ferry_completion listening = fixture_do(h->f, &request);
    assert_status(listening.status, FERRY_OK);
    ferry_prepare_tcp_accept(&request, listening.handle);
    submit(h, &request, OF_ACCEPT, 0);
    crowd_connect(&h->crowd, (uint16_t)listening.result, count);
    while (h->accepted < count) {
        let_come(h);
    }
    crowd_wait(&h->crowd);
    return listening.handle;
}

static void close_connections(hall *h) {
    for (uint32_t i = 0; i < h->accepted; i++) {
        ferry_request request;
        ferry_prepare_handle_close(&request, h->connections[i].stream);
        submit(h, &request, OF_CLOSE, i);
    }
    while (h->closed < h->accepted) {
        let_come(h);
    }
}

static void close_hall(hall *h, ferry_handle listener) {
    ferry_request request;
    close_connections(h);
    ferry_prepare_handle_close(&request, listener);
    submit(h, &request, OF_CLOSE, 0);
    while (referee_outstanding(h->f->judge) > 0) {
        let_come(h);
    }
    assert_info(h->f, handles_open, 0);
    assert_info(h->f, ops_in_flight, 0);
    assert_info(h->f, buffers_lent, 0);
    assert_int_equal(crowd_disperse(&h->crowd), 0);
    fixture_shutdown(h->f);
    referee_release_all(h->f->judge, h->f->engine);
    bool fine = referee_finish(h->f->judge);
    assert_status(ferry_engine_destroy(h->f->engine), FERRY_OK);
    h->f->engine = NULL;
    assert_true(fine);
    assert_int_equal(atomic_load(&h->allocator->blocks), 0);
    assert_int_equal(atomic_load(&h->allocator->wrong_frees), 0);
    /* The crowd's two pipes have gone; libuv may have kept one of its own since the first engine. */
    assert_in_range(count_descriptors(), h->descriptors - 2, h->descriptors);
}

/* --- The tests ----------------------------------------------------------------------------- */

static void ten_thousand_talk(void **state) {
    hall h;
    if (!open_hall(&h, state, TEN_THOUSAND)) {
        SKIP_BECAUSE("the limit of descriptors is too low for ten thousand connections");
    }
    h.receives_at_once = true;
    h.echoes = true;
    ferry_handle listener = welcome(&h, TEN_THOUSAND);
    assert_info(h.f, handles_open, TEN_THOUSAND + 1);
    assert_info(h.f, ops_in_flight, TEN_THOUSAND + 1);
    assert_info(h.f, buffers_lent, 0);
    crowd_send(&h.crowd, sizeof(crowd_message));
    crowd_expect_echo(&h.crowd);
    while (h.spoken < TEN_THOUSAND || h.sent < TEN_THOUSAND) {
        let_come(&h);
    }
    crowd_wait(&h.crowd);
    crowd_wait(&h.crowd);
    crowd_close(&h.crowd);
    while (h.ended < TEN_THOUSAND) {
        let_come(&h);
    }
    crowd_wait(&h.crowd);
    bool *seen = fixture_memory(h.f, TEN_THOUSAND * sizeof *seen);
    memset(seen, 0, TEN_THOUSAND * sizeof *seen);
    for (uint32_t i = 0; i < TEN_THOUSAND; i++) {
        crowd_message message;
        memcpy(&message, h.connections[i].bytes, sizeof message);
        assert_in_range(message, 0, TEN_THOUSAND - 1);
        assert_false(seen[message]);
        seen[message] = true;
        assert_status(h.connections[i].ended_with, FERRY_OK);
    }
    assert_int_equal(h.sends_failed, 0);
    close_hall(&h, listener);
}

/* They are gone before anything was done with them. */
static void gone_before_the_first_use(void **state) {
    hall h;
    if (!open_hall(&h, state, MANY)) {
        SKIP_BECAUSE("the limit of descriptors is too low for two thousand connections");
    }
    ferry_handle listener = welcome(&h, MANY);
    crowd_close_or_reset(&h.crowd);
    crowd_wait(&h.crowd);
    for (uint32_t i = 0; i < MANY; i++) {
        if (i % 4 < 2) {
            receive_from(&h, i);
        } else {
            send_to(&h, i, "gone", 4, FERRY_COPY);
        }
    }
    while (h.ended < MANY / 2 || h.sent + h.sends_failed < MANY / 2) {
        let_come(&h);
    }
    uint32_t resets = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        if (i % 4 < 2) {
            ferry_status status = h.connections[i].ended_with;
            assert_status_either(status, FERRY_OK, FERRY_E_CONNECTION_RESET);
            resets += status == FERRY_E_CONNECTION_RESET ? 1 : 0;
        }
    }
    /* They come in the order they connected in, or nearly: about every second was reset. */
    assert_in_range(resets, MANY / 8, MANY / 2);
    assert_true(h.sends_failed > 0);
    close_hall(&h, listener);
}

/* All at once in the middle of a message, and of what is being sent to them. */
static void reset_in_the_middle(void **state) {
    hall h;
    if (!open_hall(&h, state, MANY)) {
        SKIP_BECAUSE("the limit of descriptors is too low for two thousand connections");
    }
    h.receives_at_once = true;
    ferry_handle listener = welcome(&h, MANY);
    crowd_send(&h.crowd, 3);
    crowd_wait(&h.crowd);
    /* More than the system takes, so that some of it waits. */
    unsigned char *large = fixture_memory(h.f, LARGE);
    memset(large, 'l', LARGE);
    for (uint32_t i = 0; i < SENDERS; i++) {
        for (int j = 0; j < 8; j++) {
            send_to(&h, i, large, LARGE, 0);
        }
    }
    for (int i = 0; i < 20; i++) {
        let_come(&h);
    }
    crowd_reset(&h.crowd);
    while (h.ended < MANY || h.sent + h.sends_failed < SENDERS * 8) {
        let_come(&h);
    }
    crowd_wait(&h.crowd);
    for (uint32_t i = 0; i < MANY; i++) {
        /* The first to notice has the system's word for it; who comes after sees the end. */
        if (i < SENDERS) {
            assert_status_either(h.connections[i].ended_with, FERRY_E_CONNECTION_RESET, FERRY_OK);
        } else {
            assert_status(h.connections[i].ended_with, FERRY_E_CONNECTION_RESET);
        }
        assert_true(h.connections[i].size <= 3);
    }
    assert_int_equal(h.spoken, 0);
    assert_true(h.sends_failed >= SENDERS);
    close_hall(&h, listener);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH_SHARDS(ten_thousand_talk),
        ON_EACH_SHARDS(gone_before_the_first_use),
        ON_EACH_SHARDS(reset_in_the_middle),
    };
    return RUN_SUITE(tests);
}
