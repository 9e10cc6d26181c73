/**
 * @file
 * Echo server on epoll, written by hand: level-triggered, one recv for each event, send at once.
 * Prints "port N".
 */
#include "support.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVENTS_MAX = 1024, READ_SIZE = 65536 };

struct connection {
    int fd;
    char *late; /**< What the socket did not take; NULL unless it is waited for. */
    size_t late_size;
    size_t late_sent;
};

static int epoll_fd;
static char read_buffer[READ_SIZE];

static void watch(struct connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event) != 0) {
        bench_die("epoll_ctl: %s", strerror(errno));
    }
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        struct connection *connection = bench_allocate(sizeof(*connection));
        *connection = (struct connection){.fd = fd};
        watch(connection, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void close_connection(struct connection *connection) {
    close(connection->fd);
    free(connection->late);
    free(connection);
}

/** Bytes sent, 0 when the socket is full, -1 when it is broken. */
static ssize_t send_some(struct connection *connection, const char *data, size_t size) {
    ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

static void on_readable(struct connection *connection) {
    ssize_t size = recv(connection->fd, read_buffer, READ_SIZE, 0);
    if (size < 0 && errno == EAGAIN) {
        return;
    }
    ssize_t sent = size > 0 ? send_some(connection, read_buffer, (size_t)size) : -1;
    if (sent < 0) {
        close_connection(connection);
    } else if (sent < size) {
        connection->late_size = (size_t)(size - sent);
        connection->late_sent = 0;
        connection->late = bench_allocate(connection->late_size);
        memcpy(connection->late, read_buffer + sent, connection->late_size);
        watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
    }
}

static void on_writable(struct connection *connection) {
    ssize_t sent = send_some(connection, connection->late + connection->late_sent,
                             connection->late_size - connection->late_sent);
    if (sent < 0) {
        close_connection(connection);
        return;
    }
    connection->late_sent += (size_t)sent;
    if (connection->late_sent == connection->late_size) {
        free(connection->late);
        connection->late = NULL;
        watch(connection, EPOLL_CTL_MOD, EPOLLIN);
    }
}

int main(void) {
    bench_start(120);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = bench_listen(true);
    struct epoll_event listening = {.events = EPOLLIN};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &listening) != 0) {
        bench_die("epoll_ctl: %s", strerror(errno));
    }
    for (;;) {
        static struct epoll_event events[EVENTS_MAX];
        int ready = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection == NULL) {
                accept_all(listener);
            } else if (connection->late != NULL) {
                on_writable(connection);
            } else {
                on_readable(connection);
            }
        }
    }
}
