#include "work.h"

#include "../mapped/senders.h"
#include "peer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FILES = 40, /* The last one is not there. */
    LOADS_AT_ONCE = 16,
    MESSAGE_MAX = 32768,
    BATCH = 32,
    PATH_SIZE = 64
};

/* What a completion is about: in its tag above the index. Below are the senders' messages. */
enum {
    LOAD = 1,
    LISTEN,
    ACCEPT,
    SERVED,
    ECHOED,
    CONNECT,
    SENT,
    RECEIVED,
    CLOSED,
    TICK,
    LONG,
    NUDGE
};
#define KIND_SHIFT 40

typedef struct client {
    uint32_t trips;
    bool left;
    uint8_t sent[MESSAGE_MAX];
    uint8_t received[MESSAGE_MAX];
} client;

struct work {
    ferry_engine *engine;
    ferry_queue *queue;
    work_plan plan;
    size_t pending; /* Requests whose final completion has not come; without the senders'. */
    bool ending;

    char folder[32];
    uint32_t loads_begun;
    uint32_t loads;
    client *clients;
    uint32_t clients_left;
    uint64_t ticks_from_ns;
    uint64_t ticks;
    uint32_t cancels;
    ferry_op hour; /* The timer that is to be cancelled. */
    senders *senders;
    _Atomic uint32_t messages; /* Taken from the senders. */
    uint64_t next[2];          /* The number that each sender's next message must have. */
};

work_plan work_usual_plan(void) {
    work_plan plan = {
        .loads = 400, .clients = 8, .trips = 60, .ticks = 50, .cancels = 90, .messages = 20000};
    if (sanitized()) {
        plan.loads /= 4;
        plan.trips /= 4;
        plan.messages /= 10;
    }
    return plan;
}

static void submit(work *w, ferry_request *request, uint64_t kind, uint64_t index, ferry_op *op) {
    request->tag = kind << KIND_SHIFT | index;
    assert_status(ferry_queue_submit(w->queue, request, 1, op, NULL), FERRY_OK);
    w->pending++;
}

/* --- Files ---------------------------------------------------------------------------------- */

static size_t file_size(uint64_t index) {
    return (size_t)(index * 977 % 30000);
}

static void file_path(const work *w, uint64_t index, char *path) {
    snprintf(path, PATH_SIZE, "%s/%u", w->folder, (unsigned)index);
}

static void make_files(work *w) {
    char path[PATH_SIZE];
    static uint8_t content[30000];
    strcpy(w->folder, "/tmp/ferry-host-XXXXXX");
    REQUIRE(mkdtemp(w->folder) != NULL);
    for (uint64_t i = 0; i < FILES - 1; i++) {
        file_path(w, i, path);
        pattern_fill(content, file_size(i), (size_t)i);
        FILE *file = fopen(path, "wb");
        REQUIRE(file != NULL);
        REQUIRE(fwrite(content, 1, file_size(i), file) == file_size(i));
        REQUIRE(fclose(file) == 0);
    }
}

static void remove_files(const work *w) {
    char path[PATH_SIZE];
    for (uint64_t i = 0; i < FILES - 1; i++) {
        file_path(w, i, path);
        unlink(path);
    }
    rmdir(w->folder);
}

static void load_next(work *w) {
    char path[PATH_SIZE];
    ferry_request request;
    if (w->loads_begun == w->plan.loads)
        return;
    uint64_t index = w->loads_begun++ % FILES;
    file_path(w, index, path);
    ferry_prepare_file_load(&request, path, 0);
    submit(w, &request, LOAD, index, NULL);
}

static void loaded(work *w, const ferry_completion *done, uint64_t index) {
    if (index == FILES - 1) {
        assert_status(done->status, FERRY_E_NOT_FOUND);
    } else {
        assert_status(done->status, FERRY_OK);
        assert_int_equal(done->result, file_size(index));
        assert_true(pattern_matches(done->data, file_size(index), (size_t)index));
    }
    w->loads++;
    load_next(w);
}

/* --- Ferry's echo server -------------------------------------------------------------------- */

static void listened(work *w, const ferry_completion *done);

static void serve(work *w) {
    ferry_address address = loopback(0);
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 0);
    submit(w, &request, LISTEN, 0, NULL);
}

static void accepted(work *w, const ferry_completion *done) {
    ferry_request request;
    assert_status(done->status, FERRY_OK);
    ferry_prepare_stream_receive_multishot(&request, done->handle);
    submit(w, &request, SERVED, 0, NULL);
}

/* The bytes are copied, so that the buffer can go back at once. */
static void served(work *w, const ferry_completion *done) {
    ferry_request request;
    assert_status(done->status, FERRY_OK);
    if (done->result == 0) {
        assert_status(ferry_handle_discard(w->engine, done->handle), FERRY_OK);
        return;
    }
    for (int64_t at = 0; at < done->result; at += FERRY_COPY_MAX) {
        int64_t size = done->result - at < FERRY_COPY_MAX ? done->result - at : FERRY_COPY_MAX;
        ferry_prepare_stream_send(&request, done->handle, (const uint8_t *)done->data + at,
                                  (size_t)size);
        request.flags |= FERRY_COPY;
        submit(w, &request, ECHOED, 0, NULL);
    }
}

/* --- Clients -------------------------------------------------------------------------------- */

static void connect_all(work *w, uint16_t port) {
    ferry_address address = loopback(port);
    for (uint64_t i = 0; i < w->plan.clients; i++) {
        ferry_request request;
        ferry_prepare_tcp_connect(&request, &address);
        submit(w, &request, CONNECT, i, NULL);
    }
}

static void listened(work *w, const ferry_completion *done) {
    ferry_request request;
    assert_status(done->status, FERRY_OK);
    ferry_prepare_tcp_accept(&request, done->handle);
    submit(w, &request, ACCEPT, 0, NULL);
    connect_all(w, (uint16_t)done->result);
}

static size_t trip_size(const client *c, uint64_t index) {
    return (size_t)(1 + (c->trips * 4099 + index * 37) % MESSAGE_MAX);
}

static void next_trip(work *w, ferry_handle stream, uint64_t index) {
    client *c = &w->clients[index];
    ferry_request request;
    if (c->trips == w->plan.trips) {
        ferry_prepare_handle_close(&request, stream);
        submit(w, &request, CLOSED, index, NULL);
        return;
    }
    size_t size = trip_size(c, index);
    pattern_fill(c->sent, size, c->trips + (size_t)index);
    ferry_prepare_stream_send(&request, stream, c->sent, size);
    submit(w, &request, SENT, index, NULL);
    ferry_prepare_stream_receive_exactly(&request, stream, c->received, size);
    submit(w, &request, RECEIVED, index, NULL);
}

static void received(work *w, const ferry_completion *done, uint64_t index) {
    client *c = &w->clients[index];
    size_t size = trip_size(c, index);
    assert_status(done->status, FERRY_OK);
    assert_int_equal(done->result, size);
    assert_true(pattern_matches(c->received, size, c->trips + (size_t)index));
    c->trips++;
    next_trip(w, done->handle, index);
}

static void closed(work *w, const ferry_completion *done, uint64_t index) {
    assert_status(done->status, FERRY_OK);
    assert_false(w->clients[index].left);
    w->clients[index].left = true;
    w->clients_left++;
}

/* --- Timers --------------------------------------------------------------------------------- */

static void start_ticks(work *w) {
    ferry_request request;
    w->ticks_from_ns = now_ns();
    ferry_prepare_timer(&request, MS, MS);
    submit(w, &request, TICK, 0, NULL);
}

static void ticked(work *w, const ferry_completion *done) {
    assert_status(done->status, FERRY_OK);
    w->ticks += (uint64_t)done->result;
    assert_true(w->ticks <= (now_ns() - w->ticks_from_ns) / MS); /* Never early. */
}

static void cancel_hour(work *w) {
    assert_status(ferry_queue_cancel(w->queue, w->hour), FERRY_OK);
}

/* An hour that ends early: cancelled at once, cancelled when another timer says so, by deadline. */
static void start_hour(work *w) {
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    request.deadline_ns = w->cancels % 3 == 2 ? MS / 2 : 0;
    submit(w, &request, LONG, 0, &w->hour);
    if (w->cancels % 3 == 0)
        cancel_hour(w);
    if (w->cancels % 3 == 1) {
        ferry_prepare_timer(&request, MS / 2, 0);
        submit(w, &request, NUDGE, 0, NULL);
    }
}

static void hour_ended(work *w, const ferry_completion *done) {
    assert_status(done->status, w->cancels % 3 == 2 ? FERRY_E_TIMED_OUT : FERRY_E_CANCELED);
    if (++w->cancels < w->plan.cancels)
        start_hour(w);
}

/* --- All of it ------------------------------------------------------------------------------ */

static void message(work *w, const ferry_completion *done) {
    uint64_t from = done->tag / SENDERS_FIRST_NOP;
    assert_status(done->status, FERRY_OK);
    assert_in_range(from, 0, 1);
    assert_int_equal(done->opcode, from == 0 ? FERRY_OP_POST : FERRY_OP_NOP);
    assert_int_equal(done->tag % SENDERS_FIRST_NOP, w->next[from]); /* None lost, none overtaken. */
    w->next[from]++;
    atomic_fetch_add_explicit(&w->messages, 1, memory_order_release);
}

/* What has ended because the engine is being shut down; or just before, and nobody looked. */
static void ended(const ferry_completion *done) {
    if (done->status != FERRY_E_SHUTDOWN)
        assert_status_either(done->status, FERRY_OK, FERRY_E_CONNECTION_RESET);
}

static void take(work *w, const ferry_completion *done, uint64_t index) {
    switch (done->tag >> KIND_SHIFT) {
    case LOAD:
        loaded(w, done, index);
        break;
    case LISTEN:
        listened(w, done);
        break;
    case ACCEPT:
        accepted(w, done);
        break;
    case SERVED:
        served(w, done);
        break;
    case CONNECT:
        assert_status(done->status, FERRY_OK);
        next_trip(w, done->handle, index);
        break;
    case RECEIVED:
        received(w, done, index);
        break;
    case CLOSED:
        closed(w, done, index);
        break;
    case TICK:
        ticked(w, done);
        break;
    case LONG:
        hour_ended(w, done);
        break;
    case NUDGE:
        cancel_hour(w);
        break;
    default:
        assert_status(done->status, FERRY_OK);
        break; /* ECHOED, SENT */
    }
}

void work_take(work *w, const ferry_completion *done) {
    if (done->tag >> KIND_SHIFT == 0) {
        message(w, done);
        return;
    }
    if ((done->flags & FERRY_MORE) == 0)
        w->pending--;
    if (w->ending)
        ended(done);
    else
        take(w, done, done->tag & ((UINT64_C(1) << KIND_SHIFT) - 1));
    if ((done->flags & FERRY_BUFFER) != 0)
        assert_status(ferry_buffer_release(w->engine, done->buffer), FERRY_OK);
}

size_t work_reap(work *w) {
    ferry_completion done[BATCH];
    size_t sum = 0;
    int32_t count;
    do {
        count = ferry_queue_reap(w->queue, done, BATCH);
        assert_in_range(count, 0, BATCH);
        for (int32_t i = 0; i < count; i++)
            work_take(w, &done[i]);
        sum += (size_t)count;
    } while (count == BATCH);
    return sum;
}

ferry_engine *work_engine(uint32_t shards, ferry_queue **queue_out) {
    ferry_engine *engine;
    ferry_engine_options options = {.struct_size = sizeof options, .shards = shards};
    assert_status(ferry_engine_create(&options, &engine), FERRY_OK);
    assert_status(ferry_queue_create(engine, NULL, queue_out), FERRY_OK);
    return engine;
}

work *work_start(ferry_engine *engine, ferry_queue *queue, const work_plan *plan) {
    work *w = calloc(1, sizeof *w);
    REQUIRE(w != NULL);
    w->engine = engine;
    w->queue = queue;
    w->plan = *plan;
    w->clients = calloc(WORK_CLIENTS, sizeof *w->clients);
    REQUIRE(w->clients != NULL && plan->clients <= WORK_CLIENTS);
    make_files(w);
    for (int i = 0; i < LOADS_AT_ONCE; i++)
        load_next(w);
    if (plan->port == 0)
        serve(w);
    else
        connect_all(w, plan->port);
    start_ticks(w);
    start_hour(w);
    w->senders = senders_start_counted(queue, (const uint32_t *)&w->messages,
                                       SENDERS_POST | SENDERS_NOP, plan->messages, now_ns());
    REQUIRE(w->senders != NULL);
    return w;
}

bool work_done(const work *w) {
    const work_plan *plan = &w->plan;
    return w->loads == plan->loads && w->clients_left == plan->clients && w->ticks >= plan->ticks &&
           w->cancels == plan->cancels && w->next[0] == plan->messages &&
           w->next[1] == plan->messages;
}

void work_end(work *w) {
    assert_status(senders_join(w->senders), FERRY_OK);
    w->ending = true;
    assert_status(ferry_engine_shutdown(w->engine, FERRY_FOREVER), FERRY_OK);
    work_reap(w);
    assert_int_equal(w->pending, 0); /* Each has ended, and once. */
    ferry_engine_info info = {.struct_size = sizeof info};
    assert_status(ferry_engine_get_info(w->engine, &info), FERRY_OK);
    assert_int_equal(info.ops_in_flight, 0);
    assert_int_equal(info.handles_open, 0);
    assert_int_equal(info.buffers_lent, 0);
    assert_int_equal(info.workers, 0);
    assert_status(ferry_engine_destroy(w->engine), FERRY_OK);
    remove_files(w);
    free(w->clients);
    free(w);
}
