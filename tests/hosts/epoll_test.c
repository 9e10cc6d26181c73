/*
 * Ferry in a C program with an epoll loop of its own. Four engines are in the same set: two with a
 * thread of their own, by their queue's descriptor, level- and edge-triggered; two without, by the
 * engine's descriptor. Beside them the loop has a timer, a datagram socket and an echo server of
 * its own, which the first engine's clients talk to.
 *
 * How to hang an engine into a loop, without all of this: docs/examples/epoll_host.c
 */
#include "peer.h"
#include "work.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Something that the loop watches. */
typedef struct source {
    void (*ready)(struct source *source);
    int fd;
} source;

typedef struct guest {
    source source; /* first: a source is a guest */
    ferry_engine *engine;
    ferry_queue *queue;
    work *work;
    uint64_t budget_ns;
} guest;

static int epoll;
static uint32_t sleeps;

static void watch(source *s, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = s};
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &event) == 0);
}

static void turn(void) {
    struct epoll_event events[8];
    int count = epoll_wait(epoll, events, 8, 0);
    if (count == 0) {
        sleeps++;
        count = epoll_wait(epoll, events, 8, -1);
    }
    REQUIRE(count > 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        source *s = events[i].data.ptr;
        s->ready(s);
    }
}

/* --- The host's own ------------------------------------------------------------------------- */

typedef struct own {
    source timer;
    source socket;
    int other_socket; /* What is sent here comes there. */
    source listener;
    uint32_t datagrams;
    uint32_t connections;
    uint32_t echoed;
} own;

static own mine;

static void timer_ready(source *s) {
    uint64_t expiries;
    REQUIRE(read(s->fd, &expiries, sizeof expiries) == sizeof expiries);
    REQUIRE(send(mine.other_socket, "tick", 4, 0) == 4);
}

static void socket_ready(source *s) {
    char data[16];
    REQUIRE(recv(s->fd, data, sizeof data, 0) == 4);
    mine.datagrams++;
}

static void connection_ready(source *s) {
    char data[2048]; /* What a client has on its way fits into the socket's buffer. */
    ssize_t size = recv(s->fd, data, sizeof data, 0);
    if (size > 0) {
        peer_send(s->fd, data, (size_t)size);
        mine.echoed++;
        return;
    }
    REQUIRE(size == 0);
    close(s->fd);
    free(s);
    mine.connections--;
}

static void listener_ready(source *s) {
    source *connection = malloc(sizeof *connection);
    REQUIRE(connection != NULL);
    *connection = (source){connection_ready, peer_accept(s->fd)};
    int yes = 1;
    REQUIRE(setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0);
    mine.connections++;
    watch(connection, EPOLLIN);
}

static uint16_t own_open(void) {
    struct itimerspec each_ms = {.it_value.tv_nsec = MS, .it_interval.tv_nsec = MS};
    int pair[2];
    uint16_t port;
    mine = (own){.timer = {timer_ready, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)},
                 .listener = {listener_ready, peer_listen(&port)}};
    REQUIRE(mine.timer.fd >= 0 && timerfd_settime(mine.timer.fd, 0, &each_ms, NULL) == 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0);
    mine.socket = (source){socket_ready, pair[0]};
    mine.other_socket = pair[1];
    watch(&mine.timer, EPOLLIN);
    watch(&mine.socket, EPOLLIN);
    watch(&mine.listener, EPOLLIN);
    return port;
}

static void own_close(void) {
    close(mine.timer.fd);
    close(mine.socket.fd);
    close(mine.other_socket);
    close(mine.listener.fd);
}

/* --- The guests ----------------------------------------------------------------------------- */

static void queue_ready(source *s) {
    work_reap(((guest *)s)->work);
}

static void engine_ready(source *s) {
    guest *g = (guest *)s;
    assert_status(ferry_engine_run(g->engine, 0, g->budget_ns, NULL), FERRY_OK);
    work_reap(g->work);
}

/*
 * Both descriptors go with both triggers: the reap sees the queue empty before the next sleep, and
 * a run without a budget leaves nothing to be done. What a budget leaves over keeps an engine's
 * descriptor readable, which an edge does not tell again.
 */
static void guest_open(guest *g, uint32_t shards, uint32_t trigger, uint64_t budget_ns,
                       const work_plan *plan) {
    *g = (guest){.budget_ns = budget_ns};
    g->engine = work_engine(shards, &g->queue);
    if (shards == 0) {
        g->source.ready = engine_ready;
        assert_status(ferry_engine_fd(g->engine, &g->source.fd), FERRY_OK);
    } else {
        g->source.ready = queue_ready;
        assert_status(ferry_queue_fd(g->queue, &g->source.fd), FERRY_OK);
    }
    watch(&g->source, EPOLLIN | trigger);
    g->work = work_start(g->engine, g->queue, plan);
}

static void guest_close(guest *g) {
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_DEL, g->source.fd, NULL) == 0);
    work_end(g->work);
}

/* --- The test ------------------------------------------------------------------------------- */

static bool all_done(const guest *guests, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!work_done(guests[i].work))
            return false;
    }
    return mine.connections == 0;
}

static void host_run(guest *guests, size_t count) {
    sleeps = 0;
    while (!all_done(guests, count) || mine.datagrams < 20)
        turn();
    print_message("epoll: slept %u times, %u datagrams, %u pieces echoed\n", sleeps, mine.datagrams,
                  mine.echoed);
    for (size_t i = 0; i < count; i++)
        guest_close(&guests[i]);
}

static void four_engines_in_one_set(void **state) {
    (void)state;
    guest guests[4];
    work_plan plan = work_usual_plan();
    work_plan to_us = plan;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE(epoll >= 0);
    to_us.port = own_open();
    guest_open(&guests[0], 1, 0, 0, &to_us);
    guest_open(&guests[1], 1, EPOLLET, 0, &plan);
    guest_open(&guests[2], 0, 0, MS / 5, &plan);
    guest_open(&guests[3], 0, EPOLLET, 0, &plan);
    host_run(guests, 4);
    assert_true(mine.echoed >= to_us.clients * to_us.trips);
    own_close();
    close(epoll);
}

static void alone(uint32_t shards, uint32_t trigger, uint64_t budget_ns) {
    guest g;
    work_plan plan = work_usual_plan();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE(epoll >= 0);
    mine = (own){.datagrams = 20};
    guest_open(&g, shards, trigger, budget_ns, &plan);
    host_run(&g, 1);
    assert_true(sleeps > 20); /* Or it has shown nothing. */
    close(epoll);
}

/* Alone, nobody else's event makes good what one lost. */
static void a_queue_level_triggered(void **state) {
    (void)state;
    alone(1, 0, 0);
}

static void a_queue_edge_triggered(void **state) {
    (void)state;
    alone(1, EPOLLET, 0);
}

static void an_engine_level_triggered(void **state) {
    (void)state;
    alone(0, 0, MS / 5);
}

static void an_engine_edge_triggered(void **state) {
    (void)state;
    alone(0, EPOLLET, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(a_queue_level_triggered),   PLAIN(a_queue_edge_triggered),
        PLAIN(an_engine_level_triggered), PLAIN(an_engine_edge_triggered),
        PLAIN(four_engines_in_one_set),
    };
    return RUN_SUITE(tests);
}
