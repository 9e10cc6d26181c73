#include "lines.h"

#include "support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WRITE_SIZE = 65536 };

static int port_pipe[2];
static uint64_t taken;
static uint64_t start_ns;
static uint64_t start_cpu_ns;

static int connect_to_parent(void) {
    uint16_t port = 0;
    if (read(port_pipe[0], &port, sizeof(port)) != sizeof(port)) {
        bench_die("no port to send to");
    }
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        bench_die("the sender cannot connect");
    }
    return fd;
}

// Writes end in the middle of a line: the first part of one block is the last part of the one before.
static void send_lines(int fd, uint64_t left) {
    static char lines[LINES_SIZE + WRITE_SIZE];
    for (size_t i = 0; i < sizeof(lines); i++) {
        lines[i] = i % LINES_SIZE == LINES_SIZE - 1 ? '\n' : (char)('a' + i % LINES_SIZE);
    }
    uint64_t sent = 0;
    while (left != 0) {
        size_t size = left < WRITE_SIZE ? (size_t)left : WRITE_SIZE;
        ssize_t written = send(fd, lines + sent % LINES_SIZE, size, MSG_NOSIGNAL);
        if (written <= 0) {
            bench_die("the sender cannot send");
        }
        sent += (uint64_t)written;
        left -= (uint64_t)written;
    }
}

void lines_peer_start(uint64_t count) {
    if (pipe(port_pipe) != 0) {
        bench_die("no pipe");
    }
    pid_t child = fork();
    if (child < 0) {
        bench_die("no child");
    }
    if (child > 0) {
        return;
    }
    bench_start(120);
    bench_pin(1);
    int fd = connect_to_parent();
    send_lines(fd, count * LINES_SIZE);
    pause(); // The end of the stream is no part of the measurement.
    _exit(0);
}

void lines_peer_connect(uint16_t port) {
    if (write(port_pipe[1], &port, sizeof(port)) != sizeof(port)) {
        bench_die("the sender is gone");
    }
}

void lines_take(const char *line, size_t size) {
    if (size != LINES_SIZE || line[LINES_SIZE - 1] != '\n' || line[0] != 'a') {
        bench_die("not a line: %zu bytes", size);
    }
    if (taken++ == 0) {
        start_ns = bench_now_ns();
        start_cpu_ns = bench_cpu_ns(0);
    }
}

uint64_t lines_taken(void) {
    return taken;
}

void lines_report(void) {
    printf("{\"count\":%llu,\"elapsed_ns\":%llu,\"cpu_ns\":%llu}\n", (unsigned long long)taken,
           (unsigned long long)(bench_now_ns() - start_ns),
           (unsigned long long)(bench_cpu_ns(0) - start_cpu_ns));
}
