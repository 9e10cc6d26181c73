/**
 * @file
 * The peer of frames_ferry: the same load on raw libuv, a uv_run(UV_RUN_NOWAIT) for each frame. That
 * has no budget: it ends when all that is ready has been called back.
 *
 *     frames_libuv timer|receive [frames]
 */
#include "frames.h"
#include "support.h"

#include <uv.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CONTROL_PART = 2, READ_SIZE = 65536 };

static uv_loop_t loop;
static uv_tcp_t listener;
static uv_timer_t timers[FRAMES_READY];
static uv_tcp_t streams[FRAMES_READY];
static char read_buffer[READ_SIZE];
static uint32_t stream_count;
static uint32_t ended;

static void check(int status, const char *what) {
    if (status < 0) {
        bench_die("%s: %s", what, uv_strerror(status));
    }
}

static void on_timer(uv_timer_t *timer) {
    (void)timer;
    frames_callback();
    ended++;
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(read_buffer, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
    (void)stream;
    (void)buffer;
    if (size == 0) {
        return;
    }
    check((int)size, "read");
    frames_callback();
    ended++;
}

static void on_connection(uv_stream_t *server, int status) {
    check(status, "connection");
    uv_tcp_t *stream = &streams[stream_count++];
    check(uv_tcp_init(&loop, stream), "uv_tcp_init");
    check(uv_accept(server, (uv_stream_t *)stream), "uv_accept");
    check(uv_read_start((uv_stream_t *)stream, on_allocate, on_read), "uv_read_start");
}

static void run_frames(frames *measured) {
    while (ended < FRAMES_READY) {
        frames_begin(measured);
        uv_run(&loop, UV_RUN_NOWAIT);
        frames_end(measured);
    }
    ended = 0;
}

static void round_timer(frames *measured) {
    for (uint32_t i = 0; i < FRAMES_READY; i++) {
        uv_timer_init(&loop, &timers[i]);
        uv_timer_start(&timers[i], on_timer, 5, 0);
    }
    struct timespec until_due = {.tv_nsec = 10000000};
    nanosleep(&until_due, NULL);
    run_frames(measured);
}

static void round_receive(frames *measured) {
    frames_peer_send();
    run_frames(measured);
}

static void connect_streams(void) {
    struct sockaddr_in address;
    int size = sizeof(address);
    check(uv_ip4_addr("127.0.0.1", 0, &address), "uv_ip4_addr");
    check(uv_tcp_init(&loop, &listener), "uv_tcp_init");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&listener, 511, on_connection), "uv_listen");
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &size), "getsockname");
    frames_peer_connect(ntohs(address.sin_port));
    while (stream_count < FRAMES_READY) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    frames_peer_wait();
}

int main(int argc, char **argv) {
    bench_start(120);
    bool receive = argc > 1 && strcmp(argv[1], "receive") == 0;
    uint32_t count = (uint32_t)bench_number(argc, argv, 2, 200);
    if (receive) {
        frames_peer_start(FRAMES_READY);
    }
    bench_pin(0);
    check(uv_loop_init(&loop), "uv_loop_init");
    if (receive) {
        connect_streams();
    }
    frames *warm = frames_create(1);
    frames *measured = frames_create(count);
    frames *control = frames_create(count / CONTROL_PART);
    void (*one_round)(frames *) = receive ? round_receive : round_timer;
    one_round(warm);
    while (frames_count(measured) < count) {
        one_round(measured);
    }
    frames_control(control, count / CONTROL_PART);
    frames_print(measured, control);
    return 0;
}
