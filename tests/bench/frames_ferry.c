/**
 * @file
 * A host that gives Ferry 2 ms of each frame, and 10,000 things that are ready at once. The host's
 * callback costs a microsecond, so that they need more than one frame: who keeps the budget?
 *
 *     frames_ferry dispatch|nop|inbox|timer|mixed|receive|send [frames]
 *
 * dispatch: completions wait in the queue's ring, and ferry_queue_dispatch has the budget. Else it is
 * ferry_engine_run's, and callbacks are inline: nops, nops from another thread, timers, nops and
 * timers, streams with a byte to receive, streams with bytes to send. Prints the overruns, see
 * frames.h.
 */
#include "engine_support.h"
#include "frames.h"
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CONTROL_PART = 2, CONTROL_ROUND = 7, SEND_BYTES = 64 };

static ferry_engine *engine;
static ferry_queue *queue;
static ferry_request requests[FRAMES_READY];
static ferry_handle streams[FRAMES_READY];
static uint32_t stream_count;
static uint32_t ended;   /* callbacks so far in this round */
static uint32_t waiting; /* completions that the last frame left in the ring */

static void on_end(const ferry_completion *completion, void *user_data) {
    (void)user_data;
    if (completion->status != FERRY_OK) {
        bench_die("an operation ended with %s", ferry_status_name(completion->status));
    }
    if ((completion->flags & FERRY_BUFFER) != 0) {
        bench_check(ferry_buffer_release(engine, completion->buffer), "buffer_release");
    }
    frames_callback();
    ended++;
}

static void on_sent(const ferry_completion *completion, void *user_data) {
    (void)user_data;
    if (completion->status != FERRY_OK || completion->result != SEND_BYTES) {
        bench_die("a send ended with %s", ferry_status_name(completion->status));
    }
    ended++;
}

/** Run in frames until all have been called back. */
static void run_frames(frames *measured) {
    while (ended < FRAMES_READY) {
        frames_begin(measured);
        ferry_status status = ferry_engine_run(engine, 0, FRAMES_BUDGET_NS, NULL);
        frames_end(measured);
        bench_check(status, "engine_run");
    }
    ended = 0;
}

static void describe_nops(void) {
    for (uint32_t i = 0; i < FRAMES_READY; i++) {
        ferry_prepare_nop(&requests[i]);
        requests[i].callback = on_end;
    }
}

/* --- One round of each kind ---------------------------------------------------------------- */

static void round_dispatch(frames *measured) {
    describe_nops();
    bench_submit(queue, requests, FRAMES_READY - waiting);
    bench_run(engine, 0);
    ended = 0;
    frames_begin(measured);
    int32_t count = ferry_queue_dispatch(queue, 0, FRAMES_BUDGET_NS);
    frames_end(measured);
    if (count < 0 || (uint32_t)count != ended) {
        bench_die("dispatched %d, called back %u", count, ended);
    }
    waiting = FRAMES_READY - ended;
}

static void round_nop(frames *measured) {
    describe_nops();
    bench_submit(queue, requests, FRAMES_READY);
    run_frames(measured);
}

static void *submit_elsewhere(void *unused) {
    (void)unused;
    bench_submit(queue, requests, FRAMES_READY);
    return NULL;
}

static void round_inbox(frames *measured) {
    pthread_t thread;
    describe_nops();
    if (pthread_create(&thread, NULL, submit_elsewhere, NULL) != 0) {
        bench_die("no thread");
    }
    pthread_join(thread, NULL);
    run_frames(measured);
}

static void round_timer(frames *measured) {
    for (uint32_t i = 0; i < FRAMES_READY; i++) {
        ferry_prepare_timer(&requests[i], 5000000, 0);
        requests[i].callback = on_end;
    }
    bench_submit(queue, requests, FRAMES_READY);
    bench_run(engine, 0); /* they are in the wheel now */
    struct timespec until_due = {.tv_nsec = 10000000};
    nanosleep(&until_due, NULL);
    run_frames(measured);
}

/** Timers that are due when the nops before them have used up the time. */
static void round_mixed(frames *measured) {
    describe_nops();
    for (uint32_t i = 0; i < FRAMES_READY / 2; i++) {
        ferry_prepare_timer(&requests[i], 5000000, 0);
        requests[i].callback = on_end;
    }
    bench_submit(queue, requests, FRAMES_READY / 2);
    bench_run(engine, 0);
    struct timespec until_due = {.tv_nsec = 10000000};
    nanosleep(&until_due, NULL);
    bench_submit(queue, requests + FRAMES_READY / 2, FRAMES_READY / 2);
    run_frames(measured);
}

static void round_receive(frames *measured) {
    frames_peer_send();
    run_frames(measured);
}

static void round_send(frames *measured) {
    static char data[SEND_BYTES];
    for (uint32_t i = 0; i < FRAMES_READY; i++) {
        ferry_prepare_stream_send(&requests[i], streams[i], data, sizeof(data));
        requests[i].callback = on_sent;
    }
    bench_submit(queue, requests, FRAMES_READY);
    run_frames(measured);
    frames_peer_receive(SEND_BYTES);
}

/* --- Streams ------------------------------------------------------------------------------- */

static void on_listening(const ferry_completion *completion, void *user_data) {
    bench_check(completion->status, "listen");
    *(ferry_completion *)user_data = *completion;
}

static void on_accepted(const ferry_completion *completion, void *user_data) {
    (void)user_data;
    if (completion->status == FERRY_OK && stream_count < FRAMES_READY) {
        streams[stream_count++] = completion->handle;
    }
}

static void connect_streams(void) {
    ferry_address address;
    ferry_completion listener = {0};
    bench_check(ferry_address_parse("127.0.0.1", 0, &address), "address_parse");
    ferry_prepare_tcp_listen(&requests[0], &address, 0);
    requests[0].callback = on_listening;
    requests[0].user_data = &listener;
    bench_submit(queue, requests, 1);
    bench_run(engine, 0);
    ferry_prepare_tcp_accept(&requests[0], listener.handle);
    requests[0].callback = on_accepted;
    bench_submit(queue, requests, 1);
    frames_peer_connect((uint16_t)listener.result);
    while (stream_count < FRAMES_READY) {
        bench_run(engine, UINT64_C(10000000));
    }
}

static void receive_all(void) {
    for (uint32_t i = 0; i < FRAMES_READY; i++) {
        ferry_prepare_stream_receive_multishot(&requests[i], streams[i]);
        requests[i].callback = on_end;
    }
    bench_submit(queue, requests, FRAMES_READY);
    bench_run(engine, 0);
}

/* --- What there is ------------------------------------------------------------------------- */

static const struct kind {
    const char *name;
    uint32_t mode;
    void (*round)(frames *measured);
    bool connected;
} kinds[] = {
    {"dispatch", FERRY_QUEUE_REAP, round_dispatch, false},
    {"nop", FERRY_QUEUE_INLINE, round_nop, false},
    {"inbox", FERRY_QUEUE_INLINE, round_inbox, false},
    {"timer", FERRY_QUEUE_INLINE, round_timer, false},
    {"mixed", FERRY_QUEUE_INLINE, round_mixed, false},
    {"receive", FERRY_QUEUE_INLINE, round_receive, true},
    {"send", FERRY_QUEUE_INLINE, round_send, true},
};

static const struct kind *find(const char *name) {
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            return &kinds[i];
        }
    }
    bench_die("no kind %s", name);
}

/**
 * Frames without Ferry. Where messages arrive, they arrive here, too: the kernel answers them on this
 * processor, in this thread's time, whether anybody reads them or not.
 */
static void control_round(const struct kind *kind, frames *control) {
    if (kind->round != round_receive) {
        frames_control(control, 1);
        return;
    }
    frames_peer_send();
    frames_control(control, CONTROL_ROUND);
    while (ended < FRAMES_READY) {
        bench_run(engine, 0);
    }
    ended = 0;
}

int main(int argc, char **argv) {
    bench_start(120);
    const struct kind *kind = find(argc > 1 ? argv[1] : "nop");
    uint32_t count = (uint32_t)bench_number(argc, argv, 2, 2000);
    if (kind->connected) {
        frames_peer_start(FRAMES_READY);
    }
    bench_pin(0);
    engine = bench_engine(0, 4 * FRAMES_READY);
    queue = bench_queue(engine, kind->mode, 2 * FRAMES_READY);
    if (kind->connected) {
        connect_streams();
        frames_peer_wait();
    }
    if (kind->round == round_receive) {
        receive_all();
    }
    frames *warm = frames_create(8);
    kind->round(warm);
    frames *measured = frames_create(count);
    while (frames_count(measured) < count) {
        kind->round(measured);
    }
    frames *control = frames_create(count / CONTROL_PART);
    while (frames_count(control) < count / CONTROL_PART) {
        control_round(kind, control);
    }
    frames_print(measured, control);
    return 0; /* ten thousand open streams are the system's to close */
}
