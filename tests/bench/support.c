#include "support.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void bench_start(unsigned seconds_max) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(seconds_max);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

void bench_die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void bench_skip(const char *reason) {
    fprintf(stderr, "%s\n", reason);
    exit(77);
}

int bench_listen(bool nonblocking) {
    int type = SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0);
    int fd = socket(AF_INET, type, 0);
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    // Linux hands TCP_NODELAY on to what is accepted.
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        bench_die("listen: %s", strerror(errno));
    }
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

uint64_t bench_number(int argc, char **argv, int index, uint64_t fallback) {
    return index < argc ? strtoull(argv[index], NULL, 10) : fallback;
}

static uint64_t read_clock(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time) != 0) {
        bench_die("no such clock");
    }
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t bench_now_ns(void) {
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(int pid) {
    clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
    if (pid != 0 && clock_getcpuclockid(pid, &clock) != 0) {
        bench_die("no CPU clock of process %d", pid);
    }
    return read_clock(clock);
}

bool bench_pin(unsigned index) {
    // Asked once: a thread that is pinned already would only see its own core.
    static cpu_set_t all;
    if (CPU_COUNT(&all) == 0 && sched_getaffinity(0, sizeof(all), &all) != 0) {
        return false;
    }
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, &all) && index-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(core, &one);
            return sched_setaffinity(0, sizeof(one), &one) == 0;
        }
    }
    return false;
}

uint64_t bench_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

uint32_t *bench_order(uint32_t count) {
    uint32_t *order = bench_allocate(count * sizeof(*order));
    uint64_t state = BENCH_SEED;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = (uint32_t)(bench_random(&state) % (i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    return order;
}

uint64_t *bench_delays_ms(uint32_t count) {
    uint64_t *delays = bench_allocate(count * sizeof(*delays));
    uint64_t state = BENCH_SEED;
    for (uint32_t i = 0; i < count; i++) {
        delays[i] = 60000 + bench_random(&state) % (3600000 - 60000);
    }
    return delays;
}

void *bench_allocate(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL) {
        bench_die("out of memory: %zu bytes", size);
    }
    return memory;
}
