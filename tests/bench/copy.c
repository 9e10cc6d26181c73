#include "copy.h"

#include "support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <stdio.h>
#include <unistd.h>

enum { DISCARD_AT_ONCE = 1 << 20 };

static void discard(int listener, uint64_t left) {
    int fd = accept(listener, NULL, NULL);
    while (left != 0) {
        // TCP drops the bytes without copying them.
        ssize_t got = recv(fd, NULL, DISCARD_AT_ONCE, MSG_TRUNC);
        if (got <= 0) {
            bench_die("the receiver has lost its sender");
        }
        left -= (uint64_t)got;
    }
    // Only now is all of it received.
    if (send(fd, "", 1, MSG_NOSIGNAL) != 1) {
        bench_die("the receiver has lost its sender");
    }
    pause();
}

void copy_open(struct copy *copy, int argc, char **argv) {
    struct stat status;
    if (argc != 3 || stat(argv[1], &status) != 0) {
        bench_die("usage: %s FILE PASSES", argv[0]);
    }
    copy->path = argv[1];
    copy->size = (uint64_t)status.st_size;
    copy->passes = bench_number(argc, argv, 2, 1);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        bench_die("cannot listen");
    }
    pid_t child = fork();
    if (child < 0) {
        bench_die("no child");
    }
    if (child == 0) {
        bench_start(120);
        bench_pin(1);
        discard(listener, copy->size * copy->passes);
        _exit(0);
    }
    bench_pin(0);
    copy->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (copy->fd < 0 || connect(copy->fd, (struct sockaddr *)&address, size) != 0) {
        bench_die("cannot connect");
    }
    int one = 1;
    setsockopt(copy->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void copy_begin(struct copy *copy) {
    copy->start_cpu_ns = bench_cpu_ns(0);
    copy->start_ns = bench_now_ns();
}

void copy_report(const struct copy *copy) {
    printf("{\"count\":%llu,\"elapsed_ns\":%llu,\"cpu_ns\":%llu}\n",
           (unsigned long long)(copy->size * copy->passes),
           (unsigned long long)(bench_now_ns() - copy->start_ns),
           (unsigned long long)(bench_cpu_ns(0) - copy->start_cpu_ns));
}
