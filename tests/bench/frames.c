#include "frames.h"

#include "support.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/** Time in which the thread did not run: more than this in a frame disturbed it. */
#define STOLEN_MAX_NS 20000

static const uint32_t bounds_us[] = {0,   1,   2,    5,    10,   20,    50,   100,
                                     200, 500, 1000, 2000, 5000, 10000, 20000};
enum { BUCKETS = sizeof(bounds_us) / sizeof(bounds_us[0]) + 1 };

struct frames {
    uint32_t count, capacity, own_count, disturbed;
    uint64_t wall_at, cpu_at;
    long switches_at;
    uint64_t *wall_ns; /* overruns of all frames */
    uint64_t *own_ns;  /* overruns of those that were not disturbed */
};

static uint64_t thread_cpu_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static long switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

frames *frames_create(uint32_t count) {
    frames *f = bench_allocate(sizeof(*f));
    memset(f, 0, sizeof(*f));
    f->capacity = count;
    f->wall_ns = bench_allocate((count + 1) * sizeof(*f->wall_ns));
    f->own_ns = bench_allocate((count + 1) * sizeof(*f->own_ns));
    return f;
}

void frames_begin(frames *f) {
    f->switches_at = switches();
    f->cpu_at = thread_cpu_ns();
    f->wall_at = bench_now_ns();
}

void frames_end(frames *f) {
    uint64_t wall = bench_now_ns() - f->wall_at;
    uint64_t cpu = thread_cpu_ns() - f->cpu_at;
    bool switched = switches() != f->switches_at;
    if (f->count == f->capacity) {
        return;
    }
    uint64_t over = wall > FRAMES_BUDGET_NS ? wall - FRAMES_BUDGET_NS : 0;
    f->wall_ns[f->count++] = over;
    if (switched || wall > cpu + STOLEN_MAX_NS) {
        f->disturbed++;
    } else {
        f->own_ns[f->own_count++] = over;
    }
}

uint32_t frames_count(const frames *f) {
    return f->count;
}

void frames_callback(void) {
    uint64_t until = bench_now_ns() + FRAMES_CALLBACK_NS;
    while (bench_now_ns() < until) {
    }
}

void frames_control(frames *f, uint32_t count) {
    while (count-- > 0) {
        frames_begin(f);
        uint64_t until = f->wall_at + FRAMES_BUDGET_NS;
        while (bench_now_ns() < until) {
            frames_callback();
        }
        frames_end(f);
    }
}

/* --- Figures ------------------------------------------------------------------------------- */

static int compare(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static double percentile_us(const uint64_t *sorted, uint32_t count, double part) {
    if (count == 0) {
        return 0;
    }
    uint32_t index = (uint32_t)(part * count);
    return (double)sorted[index < count ? index : count - 1] / 1e3;
}

static void print_overruns(const char *name, uint64_t *overruns_ns, uint32_t count) {
    uint32_t buckets[BUCKETS] = {0};
    qsort(overruns_ns, count, sizeof(*overruns_ns), compare);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bucket = 0;
        while (bucket < BUCKETS - 1 && overruns_ns[i] > bounds_us[bucket] * UINT64_C(1000)) {
            bucket++;
        }
        buckets[bucket]++;
    }
    printf("\"%s\":{\"count\":%u,\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f,"
           "\"buckets\":[",
           name, count, percentile_us(overruns_ns, count, 0.5),
           percentile_us(overruns_ns, count, 0.99), percentile_us(overruns_ns, count, 0.999),
           percentile_us(overruns_ns, count, 1));
    for (uint32_t i = 0; i < BUCKETS; i++) {
        printf("%s%u", i == 0 ? "" : ",", buckets[i]);
    }
    printf("]}");
}

static void print_frames(const char *name, const frames *f) {
    printf("\"%s\":{\"disturbed\":%u,", name, f->disturbed);
    print_overruns("wall", f->wall_ns, f->count);
    printf(",");
    print_overruns("own", f->own_ns, f->own_count);
    printf("}");
}

void frames_print(const frames *measured, const frames *control) {
    printf("{\"bounds_us\":[");
    for (uint32_t i = 0; i < BUCKETS - 1; i++) {
        printf("%s%u", i == 0 ? "" : ",", bounds_us[i]);
    }
    printf("],");
    print_frames("frames", measured);
    printf(",");
    print_frames("control", control);
    printf("}\n");
}

/* --- The peer ------------------------------------------------------------------------------ */

typedef struct order {
    char what; /* c, s or r */
    uint32_t number;
} order;

static int orders;   /* this process's end */
static int *sockets; /* the child's */
static uint32_t socket_count;

static void connect_all(uint16_t port) {
    /* Reset at the end, so that no port waits for its time to pass. */
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (uint32_t i = 0; i < socket_count; i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sockets[i] < 0 ||
            connect(sockets[i], (struct sockaddr *)&address, sizeof(address)) != 0) {
            bench_die("the peer could not connect its socket %u", i);
        }
        setsockopt(sockets[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
}

static void send_each(void) {
    for (uint32_t i = 0; i < socket_count; i++) {
        if (send(sockets[i], "x", 1, MSG_NOSIGNAL) != 1) {
            bench_die("the peer could not send");
        }
    }
}

static void receive_each(uint32_t bytes) {
    char data[4096];
    for (uint32_t i = 0; i < socket_count; i++) {
        for (uint32_t left = bytes; left > 0;) {
            ssize_t got = recv(sockets[i], data, left < sizeof(data) ? left : sizeof(data), 0);
            if (got <= 0) {
                bench_die("the peer could not receive");
            }
            left -= (uint32_t)got;
        }
    }
}

static void obey(int channel) {
    order given;
    while (read(channel, &given, sizeof(given)) == (ssize_t)sizeof(given)) {
        if (given.what == 'c') {
            connect_all((uint16_t)given.number);
        } else if (given.what == 's') {
            send_each();
        } else {
            receive_each(given.number);
        }
        if (write(channel, "", 1) != 1) {
            break;
        }
    }
    _exit(0);
}

void frames_peer_start(uint32_t connections) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        bench_die("socketpair");
    }
    pid_t child = fork();
    if (child < 0) {
        bench_die("fork");
    }
    if (child == 0) {
        close(ends[0]);
        bench_start(120);
        bench_pin(1);
        socket_count = connections;
        sockets = bench_allocate(connections * sizeof(*sockets));
        obey(ends[1]);
    }
    close(ends[1]);
    orders = ends[0];
}

static void tell(char what, uint32_t number) {
    order given = {what, number};
    if (write(orders, &given, sizeof(given)) != (ssize_t)sizeof(given)) {
        bench_die("the peer is gone");
    }
}

void frames_peer_wait(void) {
    char done;
    if (read(orders, &done, 1) != 1) {
        bench_die("the peer is gone");
    }
}

void frames_peer_connect(uint16_t port) {
    tell('c', port);
}

void frames_peer_send(void) {
    tell('s', 0);
    frames_peer_wait();
}

void frames_peer_receive(uint32_t bytes) {
    tell('r', bytes);
    frames_peer_wait();
}
