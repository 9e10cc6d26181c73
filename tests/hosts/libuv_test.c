/*
 * Ferry in a program of libuv's: two users of the same libuv in one process. The program has a loop
 * of its own, a timer, an echo server, and files that it reads by libuv's worker threads; Ferry
 * hangs in the same loop by a uv_poll_t on its descriptors, its own loop inside.
 */
#include "work.h"

#include <netinet/in.h>
#include <uv.h>

#include <stdlib.h>

typedef struct host {
    uv_loop_t loop;
    uv_poll_t poll;
    uv_timer_t timer;
    uv_tcp_t server;
    uv_fs_t read;
    uv_file file;
    char data[4096];
    ferry_engine *engine;
    ferry_queue *queue;
    work *work;
    bool serves;
    bool reading;
    uint32_t timeouts;
    uint32_t echoed;
    uint32_t reads;
} host;

/* --- Ferry ---------------------------------------------------------------------------------- */

/* [poll] uv_poll_t is level-triggered: it comes back as long as there is something. */
static void queue_readable(uv_poll_t *poll, int status, int events) {
    host *h = poll->data;
    (void)events;
    REQUIRE(status == 0);
    work_reap(h->work);
}

static void engine_readable(uv_poll_t *poll, int status, int events) {
    host *h = poll->data;
    (void)events;
    REQUIRE(status == 0);
    assert_status(ferry_engine_run(h->engine, 0, MS, NULL), FERRY_OK);
    work_reap(h->work);
}

static void watch(host *h, int32_t fd, uv_poll_cb ready) {
    h->poll.data = h;
    REQUIRE(uv_poll_init(&h->loop, &h->poll, fd) == 0);
    REQUIRE(uv_poll_start(&h->poll, UV_READABLE, ready) == 0);
}
/* [poll] */

/* --- The host's own ------------------------------------------------------------------------- */

static void timed_out(uv_timer_t *timer) {
    ((host *)timer->data)->timeouts++;
}

static void has_read(uv_fs_t *read) {
    host *h = read->data;
    REQUIRE(read->result == sizeof h->data);
    uv_fs_req_cleanup(read);
    h->reads++;
    uv_buf_t piece = uv_buf_init(h->data, sizeof h->data);
    h->reading = !work_done(h->work);
    if (h->reading)
        REQUIRE(uv_fs_read(&h->loop, read, h->file, &piece, 1, 0, has_read) == 0);
}

static void start_reading(host *h) {
    uv_fs_t open;
    h->file = uv_fs_open(NULL, &open, "/dev/zero", UV_FS_O_RDONLY, 0, NULL);
    uv_fs_req_cleanup(&open);
    REQUIRE(h->file >= 0);
    uv_buf_t piece = uv_buf_init(h->data, sizeof h->data);
    h->read.data = h;
    h->reading = true;
    REQUIRE(uv_fs_read(&h->loop, &h->read, h->file, &piece, 1, 0, has_read) == 0);
}

typedef struct piece {
    uv_write_t write;
    uv_buf_t bytes;
} piece;

static void free_handle(uv_handle_t *handle) {
    free(handle);
}

static void give_memory(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    (void)handle;
    *out = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void written(uv_write_t *write, int status) {
    piece *p = (piece *)write;
    (void)status;
    free(p->bytes.base);
    free(p);
}

static void echo(uv_stream_t *stream, ssize_t size, const uv_buf_t *bytes) {
    host *h = stream->data;
    if (size <= 0) {
        free(bytes->base);
        if (size < 0)
            uv_close((uv_handle_t *)stream, free_handle);
        return;
    }
    piece *p = malloc(sizeof *p);
    REQUIRE(p != NULL);
    p->bytes = uv_buf_init(bytes->base, (unsigned)size);
    REQUIRE(uv_write(&p->write, stream, &p->bytes, 1, written) == 0);
    h->echoed++;
}

static void incoming(uv_stream_t *server, int status) {
    host *h = server->data;
    uv_tcp_t *connection = malloc(sizeof *connection);
    REQUIRE(status == 0 && connection != NULL);
    REQUIRE(uv_tcp_init(&h->loop, connection) == 0);
    REQUIRE(uv_accept(server, (uv_stream_t *)connection) == 0);
    uv_tcp_nodelay(connection, 1);
    connection->data = h;
    REQUIRE(uv_read_start((uv_stream_t *)connection, give_memory, echo) == 0);
}

static uint16_t serve(host *h) {
    struct sockaddr_in address;
    int size = sizeof address;
    h->serves = true;
    h->server.data = h;
    REQUIRE(uv_ip4_addr("127.0.0.1", 0, &address) == 0);
    REQUIRE(uv_tcp_init(&h->loop, &h->server) == 0);
    REQUIRE(uv_tcp_bind(&h->server, (struct sockaddr *)&address, 0) == 0);
    REQUIRE(uv_tcp_getsockname(&h->server, (struct sockaddr *)&address, &size) == 0);
    REQUIRE(uv_listen((uv_stream_t *)&h->server, 128, incoming) == 0);
    return ntohs(address.sin_port);
}

/* --- The tests ------------------------------------------------------------------------------ */

static void host_open(host *h, uint32_t shards) {
    int32_t fd;
    *h = (host){.timeouts = 0};
    REQUIRE(uv_loop_init(&h->loop) == 0);
    h->timer.data = h;
    uv_timer_init(&h->loop, &h->timer);
    uv_timer_start(&h->timer, timed_out, 1, 1);
    h->engine = work_engine(shards, &h->queue);
    if (shards == 0) {
        assert_status(ferry_engine_fd(h->engine, &fd), FERRY_OK);
        watch(h, fd, engine_readable);
    } else {
        assert_status(ferry_queue_fd(h->queue, &fd), FERRY_OK);
        watch(h, fd, queue_readable);
    }
}

static void host_run(host *h, const work_plan *plan) {
    h->work = work_start(h->engine, h->queue, plan);
    start_reading(h);
    while (!work_done(h->work) || h->reading || h->timeouts < 20)
        uv_run(&h->loop, UV_RUN_ONCE);
    print_message("libuv: %u timeouts, %u reads, %u pieces echoed\n", h->timeouts, h->reads,
                  h->echoed);
}

/* The watcher goes first: its descriptor is Ferry's. Then the loop has nothing left. */
static void host_close(host *h) {
    uv_fs_t request;
    uv_close((uv_handle_t *)&h->timer, NULL);
    uv_close((uv_handle_t *)&h->poll, NULL);
    if (h->serves)
        uv_close((uv_handle_t *)&h->server, NULL);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    work_end(h->work);
    REQUIRE(uv_loop_close(&h->loop) == 0);
    uv_fs_close(NULL, &request, h->file, NULL);
}

static void a_queue_in_a_loop_of_libuv(void **state) {
    (void)state;
    host h;
    work_plan plan = work_usual_plan();
    host_open(&h, 1);
    host_run(&h, &plan);
    host_close(&h);
}

static void an_engine_in_a_loop_of_libuv(void **state) {
    (void)state;
    host h;
    work_plan plan = work_usual_plan();
    host_open(&h, 0);
    host_run(&h, &plan);
    host_close(&h);
}

static void a_client_of_libuvs_own_server(void **state) {
    (void)state;
    host h;
    work_plan plan = work_usual_plan();
    host_open(&h, 0);
    plan.port = serve(&h);
    host_run(&h, &plan);
    assert_true(h.echoed >= plan.clients * plan.trips);
    host_close(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(a_queue_in_a_loop_of_libuv),
        PLAIN(an_engine_in_a_loop_of_libuv),
        PLAIN(a_client_of_libuvs_own_server),
    };
    return RUN_SUITE(tests);
}
