/*
 * Ferry inside a loop of the host's own, by descriptor, in both ways.
 *
 * The loop is a plain epoll set. Of the host's own it watches a UDP socket and a timerfd. Beside
 * them
 *
 *   - an engine without a thread: ferry_engine_fd is readable when ferry_engine_run has something
 *     to do, timers included, and completions are reaped after it;
 *   - an engine with a thread of its own: ferry_queue_fd is readable while completions wait.
 *
 * Both engines run an interval timer and load a file, the host's timer sends datagrams to the
 * host's socket; when each has come often enough, the program ends.
 *
 *     epoll_host [times]     20 by default
 */
#define _GNU_SOURCE 1 /* clock_gettime */

#include <ferry.h>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum { BATCH = 16, TICK_TAG = 1, FILE_TAG = 2 };

/* Something that the loop watches. */
struct source {
    void (*ready)(struct source *source);
    int fd;
};

struct guest {
    struct source source; /* first: a source is a guest */
    ferry_engine *engine;
    ferry_queue *queue;
    uint64_t ticks;
    int64_t file_bytes;
};

struct own {
    struct source timer;
    struct source socket; /* connected to itself */
    uint64_t datagrams;
};

static struct own own;

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

static void must(bool fine, const char *what) {
    if (!fine) {
        perror(what);
        exit(1);
    }
}

/* --- The host's own ------------------------------------------------------------------------- */

static void timer_ready(struct source *source) {
    uint64_t expiries;
    must(read(source->fd, &expiries, sizeof expiries) == sizeof expiries, "read the timer");
    must(send(own.socket.fd, "tick", 4, 0) == 4, "send");
}

static void socket_ready(struct source *source) {
    char data[16];
    must(recv(source->fd, data, sizeof data, 0) == 4, "recv");
    own.datagrams++;
}

static void open_own(void) {
    struct itimerspec each_ms = {.it_value.tv_nsec = MS, .it_interval.tv_nsec = MS};
    own.timer = (struct source){timer_ready, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)};
    must(own.timer.fd >= 0, "timerfd_create");
    must(timerfd_settime(own.timer.fd, 0, &each_ms, NULL) == 0, "timerfd_settime");

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    own.socket = (struct source){socket_ready, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    must(own.socket.fd >= 0, "socket");
    must(bind(own.socket.fd, (struct sockaddr *)&address, size) == 0, "bind");
    must(getsockname(own.socket.fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
    must(connect(own.socket.fd, (struct sockaddr *)&address, size) == 0, "connect");
}

/* --- The guests ----------------------------------------------------------------------------- */

static void note(struct guest *guest, const ferry_completion *done) {
    check(done->status, done->tag == FILE_TAG ? "load" : "timer");
    if (done->tag == FILE_TAG) {
        guest->file_bytes = done->result;
        ferry_buffer_release(guest->engine, done->buffer);
    } else {
        guest->ticks += (uint64_t)done->result;
    }
}

/* [reap] Fewer than asked for: the queue was empty then, and its descriptor tells of the next. */
static void reap(struct guest *guest) {
    ferry_completion done[BATCH];
    int32_t count;
    do {
        count = ferry_queue_reap(guest->queue, done, BATCH);
        check(count, "reap");
        for (int32_t i = 0; i < count; i++)
            note(guest, &done[i]);
    } while (count == BATCH);
}
/* [reap] */

/* [driven] The engine has no thread: it works here, but not for longer than a millisecond. What is
 * left over keeps the descriptor readable. */
static void driven_ready(struct source *source) {
    struct guest *guest = (struct guest *)source;
    check(ferry_engine_run(guest->engine, 0, MS, NULL), "run");
    reap(guest);
}
/* [driven] */

/* The engine has done its work on its own thread. */
static void threaded_ready(struct source *source) {
    reap((struct guest *)source);
}

static void open_guest(struct guest *guest, uint32_t shards) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = shards};
    check(ferry_engine_create(&options, &guest->engine), "create an engine");
    check(ferry_queue_create(guest->engine, NULL, &guest->queue), "create a queue");
    if (shards == 0) {
        guest->source.ready = driven_ready;
        check(ferry_engine_fd(guest->engine, &guest->source.fd), "engine_fd");
    } else {
        guest->source.ready = threaded_ready;
        check(ferry_queue_fd(guest->queue, &guest->source.fd), "queue_fd");
    }
}

static void give_work(struct guest *guest, const char *path) {
    ferry_request requests[2];
    ferry_prepare_timer(&requests[0], MS, MS);
    ferry_prepare_file_load(&requests[1], path, 0);
    requests[0].tag = TICK_TAG;
    requests[1].tag = FILE_TAG;
    check(ferry_queue_submit(guest->queue, requests, 2, NULL, NULL), "submit");
}

static void close_guest(struct guest *guest) {
    check(ferry_engine_shutdown(guest->engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(guest->engine), "destroy");
}

static bool has_done(const struct guest *guest, uint64_t times) {
    return guest->ticks >= times && guest->file_bytes > 0;
}

/* --- The loop ------------------------------------------------------------------------------- */

static void watch(int epoll, struct source *source) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, source->fd, &event) == 0, "epoll_ctl");
}

static void turn(int epoll) {
    struct epoll_event events[8];
    int count = epoll_wait(epoll, events, 8, -1);
    must(count > 0, "epoll_wait");
    for (int i = 0; i < count; i++) {
        struct source *source = events[i].data.ptr;
        source->ready(source);
    }
}

int main(int argc, char **argv) {
    uint64_t times = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    struct guest driven = {0}, threaded = {0};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    must(epoll >= 0, "epoll_create1");
    open_own();
    open_guest(&driven, 0);
    open_guest(&threaded, 1);
    watch(epoll, &own.timer);
    watch(epoll, &own.socket);
    watch(epoll, &driven.source);
    watch(epoll, &threaded.source);
    give_work(&driven, argv[0]); /* this program is a file, too */
    give_work(&threaded, argv[0]);
    while (own.datagrams < times || !has_done(&driven, times) || !has_done(&threaded, times))
        turn(epoll);

    printf("the host's own: %" PRIu64 " datagrams\n", own.datagrams);
    printf("by ferry_engine_fd: %" PRIu64 " ticks, %" PRId64 " bytes loaded\n", driven.ticks,
           driven.file_bytes);
    printf("by ferry_queue_fd:  %" PRIu64 " ticks, %" PRId64 " bytes loaded\n", threaded.ticks,
           threaded.file_bytes);
    close(epoll); /* before the engines: the descriptors are theirs */
    close_guest(&driven);
    close_guest(&threaded);
    close(own.timer.fd);
    close(own.socket.fd);
    return 0;
}
