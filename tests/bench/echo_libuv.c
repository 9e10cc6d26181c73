/**
 * @file
 * Echo server on raw libuv callbacks: the peer of echo_ferry_inline and echo_ferry_queue.
 *
 *     echo_libuv [message bytes [each]]
 *
 * With a message size each message is a buffer of its own, and one uv_try_write gathers the replies
 * to what one read brought; with "each" every reply is a uv_try_write of its own. Prints "port N".
 */
#include "support.h"

#include <uv.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SIZE = 65536, PIECES_MAX = 1024 };

struct late_write {
    uv_write_t request;
    char data[];
};

static uv_loop_t loop;
static uv_tcp_t listener;
static char read_buffer[READ_SIZE];
static uv_buf_t pieces[PIECES_MAX];
static uint32_t message_size;
static bool one_by_one;

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

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(read_buffer, READ_SIZE);
}

/** What the socket did not take at once is copied and written when it can be. */
static void write_late(uv_stream_t *stream, const char *data, size_t size) {
    struct late_write *late = bench_allocate(sizeof(*late) + size);
    memcpy(late->data, data, size);
    uv_buf_t buffer = uv_buf_init(late->data, (unsigned)size);
    check(uv_write(&late->request, stream, &buffer, 1, on_late_write), "uv_write");
}

// As uv_try_write does for all: bytes written, or an error if there were none.
static int write_each(uv_stream_t *stream, unsigned count) {
    int total = 0;
    for (unsigned i = 0; i < count; i++) {
        int written = uv_try_write(stream, &pieces[i], 1);
        if (written < 0) {
            return total > 0 ? total : written;
        }
        total += written;
        if ((size_t)written < pieces[i].len) {
            break;
        }
    }
    return total;
}

static unsigned cut_in_pieces(size_t size) {
    size_t step = message_size != 0 ? message_size : size;
    unsigned count = 0;
    for (size_t offset = 0; offset < size; offset += step) {
        size_t left = size - offset;
        // A read that ends inside a message gives a shorter last piece: an echo may do that.
        size_t length = left < step || count == PIECES_MAX - 1 ? left : step;
        pieces[count++] = uv_buf_init(read_buffer + offset, (unsigned)length);
        if (length == left) {
            break;
        }
    }
    return count;
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
    (void)buffer;
    if (size < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    if (size == 0) {
        return;
    }
    unsigned count = cut_in_pieces((size_t)size);
    int written = one_by_one ? write_each(stream, count) : uv_try_write(stream, pieces, count);
    if (written == UV_EAGAIN) {
        written = 0;
    }
    if (written < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    if (written < size) {
        write_late(stream, read_buffer + written, (size_t)(size - written));
    }
}

static void on_connection(uv_stream_t *server, int status) {
    check(status, "connection");
    uv_tcp_t *connection = bench_allocate(sizeof(*connection));
    check(uv_tcp_init(&loop, connection), "uv_tcp_init");
    check(uv_accept(server, (uv_stream_t *)connection), "uv_accept");
    check(uv_tcp_nodelay(connection, 1), "uv_tcp_nodelay");
    check(uv_read_start((uv_stream_t *)connection, on_allocate, on_read), "uv_read_start");
}

int main(int argc, char **argv) {
    bench_start(120);
    signal(SIGPIPE, SIG_IGN);
    message_size = (uint32_t)bench_number(argc, argv, 1, 0);
    one_by_one = argc > 2 && strcmp(argv[2], "each") == 0;

    struct sockaddr_in address;
    int address_size = sizeof(address);
    check(uv_loop_init(&loop), "uv_loop_init");
    check(uv_tcp_init(&loop, &listener), "uv_tcp_init");
    check(uv_ip4_addr("127.0.0.1", 0, &address), "uv_ip4_addr");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&listener, 4096, on_connection), "uv_listen");
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &address_size), "getsockname");
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return uv_run(&loop, UV_RUN_DEFAULT);
}
