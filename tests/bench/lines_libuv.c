/**
 * @file
 * Lines on raw libuv, by hand: what is read is searched for newlines, each line is handed on, and
 * what is left of one stays in front of the next read.
 *
 *     lines_libuv stream [lines]      the peer of lines_ferry
 *     lines_libuv echo                the peer of echo_ferry_inline 0 lines; prints "port N"
 */
#include "lines.h"
#include "support.h"

#include <uv.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SIZE = 65536 };

struct connection {
    uv_tcp_t stream; // First: libuv's callbacks are given this.
    size_t kept;
    char buffer[LINES_SIZE_MAX + READ_SIZE];
};

struct late_write {
    uv_write_t request;
    char data[];
};

static uv_loop_t loop;
static uv_tcp_t listener;
static uint64_t count;
static void (*take)(uv_stream_t *stream, const char *line, size_t size);

static void check(int status, const char *what) {
    if (status < 0) {
        bench_die("%s: %s", what, uv_strerror(status));
    }
}

static void on_closed(uv_handle_t *handle) {
    free(handle);
}

static void on_late_write(uv_write_t *request, int status) {
    (void)status;
    free(request);
}

static void count_line(uv_stream_t *stream, const char *line, size_t size) {
    (void)stream;
    lines_take(line, size);
    if (lines_taken() == count) {
        uv_stop(&loop);
    }
}

static void echo_line(uv_stream_t *stream, const char *line, size_t size) {
    uv_buf_t buffer = uv_buf_init((char *)line, (unsigned)size);
    int written = uv_try_write(stream, &buffer, 1);
    if (written == (int)size) {
        return;
    }
    if (written < 0 && written != UV_EAGAIN) {
        if (!uv_is_closing((uv_handle_t *)stream)) {
            uv_close((uv_handle_t *)stream, on_closed);
        }
        return;
    }
    size_t done = written > 0 ? (size_t)written : 0;
    struct late_write *late = bench_allocate(sizeof(*late) + size - done);
    memcpy(late->data, line + done, size - done);
    buffer = uv_buf_init(late->data, (unsigned)(size - done));
    check(uv_write(&late->request, stream, &buffer, 1, on_late_write), "uv_write");
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)suggested;
    struct connection *connection = (struct connection *)handle;
    *buffer = uv_buf_init(connection->buffer + connection->kept, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
    (void)buffer;
    struct connection *connection = (struct connection *)stream;
    if (size < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    char *line = connection->buffer;
    char *unsearched = line + connection->kept;
    char *end = unsearched + size;
    for (char *newline; (newline = memchr(unsearched, '\n', (size_t)(end - unsearched))) != NULL;) {
        unsearched = newline + 1;
        take(stream, line, (size_t)(unsearched - line));
        line = unsearched;
    }
    connection->kept = (size_t)(end - line);
    if (connection->kept >= LINES_SIZE_MAX) {
        bench_die("a line that is too long");
    }
    memmove(connection->buffer, line, connection->kept);
}

static void on_connection(uv_stream_t *server, int status) {
    check(status, "connection");
    struct connection *connection = bench_allocate(sizeof(*connection));
    connection->kept = 0;
    uv_stream_t *stream = (uv_stream_t *)&connection->stream;
    check(uv_tcp_init(&loop, &connection->stream), "uv_tcp_init");
    check(uv_accept(server, stream), "uv_accept");
    check(uv_tcp_nodelay(&connection->stream, 1), "uv_tcp_nodelay");
    check(uv_read_start(stream, on_allocate, on_read), "uv_read_start");
}

static uint16_t listen_somewhere(void) {
    struct sockaddr_in address;
    int address_size = sizeof(address);
    check(uv_loop_init(&loop), "uv_loop_init");
    check(uv_tcp_init(&loop, &listener), "uv_tcp_init");
    check(uv_ip4_addr("127.0.0.1", 0, &address), "uv_ip4_addr");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&listener, 4096, on_connection), "uv_listen");
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &address_size), "getsockname");
    return ntohs(address.sin_port);
}

int main(int argc, char **argv) {
    bench_start(120);
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "echo") == 0) {
        take = echo_line;
        printf("port %u\n", listen_somewhere());
        fflush(stdout);
        return uv_run(&loop, UV_RUN_DEFAULT);
    }
    take = count_line;
    count = bench_number(argc, argv, 2, 20000000);
    lines_peer_start(count);
    bench_pin(0);
    lines_peer_connect(listen_somewhere());
    uv_run(&loop, UV_RUN_DEFAULT);
    lines_report();
    return 0;
}
