/**
 * @file
 * The load generator, one for all servers: each connection sends a batch of messages, waits for its
 * echo and sends the next (a closed loop).
 *
 *     load -p PORT [-c conns] [-s bytes] [-d depth] [-t seconds | -n messages] [-w warm seconds]
 *          [-P server's pid] [-l] [-W]
 *
 * prints {"messages":..,"elapsed_ns":..,"cpu_ns":..}; cpu_ns is the server's, over the same window. With -l
 * each message is a line. With -W it says "connected" first and waits for a line on stdin.
 *
 *     load -p PORT -H [-c conns] [-s bytes]
 *
 * connects and says "connected"; upon a line on stdin every connection speaks once, it says
 * "spoken", and ends upon the next line.
 */
#include "support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    SILENCE_MS_MAX = 5000,
    // One source address has some 28,000 ports, and other tests use some of them.
    CONNECTIONS_PER_ADDRESS = 4000,
    // Connecting faster than the server accepts overflows its backlog, which costs a second each.
    CONNECTIONS_AT_ONCE = 64,
    SPEAKERS_AT_ONCE = 64
};

struct connection {
    int fd;
    uint32_t sent;
    uint32_t received;
    bool want_write;
};

static struct {
    uint16_t port;
    uint32_t connections;
    uint32_t size;
    uint32_t depth;
    double seconds;
    double warm_seconds;
    uint64_t messages;
    int server;
    bool hold;
    bool lines;
    bool wait;
} options = {.connections = 64, .size = 64, .depth = 1, .seconds = 1, .warm_seconds = 0.2};

static int epoll_fd;
static struct connection *connections;
static char *payload;
static char *incoming;
static uint32_t batch_bytes;
static bool checking = true;

static void parse(int argc, char **argv) {
    for (int option; (option = getopt(argc, argv, "p:c:s:d:t:n:w:P:HlW")) != -1;) {
        switch (option) {
        case 'p':
            options.port = (uint16_t)atoi(optarg);
            break;
        case 'c':
            options.connections = (uint32_t)atoi(optarg);
            break;
        case 's':
            options.size = (uint32_t)atoi(optarg);
            break;
        case 'd':
            options.depth = (uint32_t)atoi(optarg);
            break;
        case 't':
            options.seconds = atof(optarg);
            break;
        case 'n':
            options.messages = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            options.warm_seconds = atof(optarg);
            break;
        case 'P':
            options.server = atoi(optarg);
            break;
        case 'H':
            options.hold = true;
            break;
        case 'l':
            options.lines = true;
            break;
        case 'W':
            options.wait = true;
            break;
        default:
            bench_die("unknown option");
        }
    }
    if (options.port == 0 || options.connections == 0 || options.size == 0 || options.depth == 0) {
        bench_die("port, connections, size and depth must be above 0");
    }
}

static int open_connection(uint32_t index) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        bench_die("socket %u: %s", index, strerror(errno));
    }
    int one = 1;
    // Closing resets, so that no run leaves the next one thousands of ports in TIME_WAIT.
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / CONNECTIONS_PER_ADDRESS),
    };
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        bench_die("bind %u: %s", index, strerror(errno));
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(options.port);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        bench_die("connect %u: %s", index, strerror(errno));
    }
    return fd;
}

static void open_all(void) {
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    connections = bench_allocate(options.connections * sizeof(*connections));
    for (uint32_t i = 0; i < options.connections; i++) {
        connections[i] = (struct connection){.fd = open_connection(i)};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connections[i].fd, &event) != 0) {
            bench_die("epoll_ctl: %s", strerror(errno));
        }
        if (i % CONNECTIONS_AT_ONCE == CONNECTIONS_AT_ONCE - 1) {
            usleep(1000);
        }
    }
}

static void make_payload(void) {
    batch_bytes = options.size * options.depth;
    payload = bench_allocate(batch_bytes);
    incoming = bench_allocate(batch_bytes);
    for (uint32_t i = 0; i < batch_bytes; i++) {
        payload[i] = (char)(i * 31u + i / 251u);
        if (options.lines) {
            payload[i] = i % options.size == options.size - 1 ? '\n' : (char)('a' + i % 26);
        }
    }
}

static void send_rest(struct connection *connection) {
    ssize_t sent = send(connection->fd, payload + connection->sent, batch_bytes - connection->sent,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        bench_die("send: %s", strerror(errno));
    }
    connection->sent += sent > 0 ? (uint32_t)sent : 0;
    bool want_write = connection->sent < batch_bytes;
    if (want_write != connection->want_write) {
        connection->want_write = want_write;
        struct epoll_event event = {.events = EPOLLIN | (want_write ? EPOLLOUT : 0u),
                                    .data.ptr = connection};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
    }
}

/** True when the whole batch has come back. */
static bool receive_some(struct connection *connection) {
    ssize_t received =
        recv(connection->fd, incoming, batch_bytes - connection->received, MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN) {
        return false;
    }
    if (received <= 0) {
        bench_die("receive: %s", received == 0 ? "the server has closed" : strerror(errno));
    }
    if (checking && memcmp(incoming, payload + connection->received, (size_t)received) != 0) {
        bench_die("the echo differs from what was sent");
    }
    connection->received += (uint32_t)received;
    if (connection->received < batch_bytes) {
        return false;
    }
    connection->received = 0;
    connection->sent = 0;
    return true;
}

/** Handle what is ready; calls completed for each batch that is back. Returns how many were. */
static uint32_t turn(void (*completed)(struct connection *)) {
    struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(epoll_fd, events, EVENTS_MAX, SILENCE_MS_MAX);
    if (ready <= 0) {
        bench_die("the server does not answer");
    }
    uint32_t batches = 0;
    for (int i = 0; i < ready; i++) {
        struct connection *connection = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) != 0) {
            send_rest(connection);
        }
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0 && receive_some(connection)) {
            batches++;
            completed(connection);
        }
    }
    return batches;
}

static void run_until(uint64_t end_ns, uint64_t messages_max, uint64_t *messages) {
    while (bench_now_ns() < end_ns && *messages < messages_max) {
        *messages += (uint64_t)turn(send_rest) * options.depth;
    }
}

static void measure(void) {
    uint64_t ignored = 0;
    for (uint32_t i = 0; i < options.connections; i++) {
        send_rest(&connections[i]);
    }
    run_until(bench_now_ns() + (uint64_t)(options.warm_seconds * 1e9), UINT64_MAX, &ignored);
    // The echo's content is checked while warming up only: the generator is often the limit.
    checking = false;

    uint64_t messages = 0;
    uint64_t start_ns = bench_now_ns();
    uint64_t cpu_ns = options.server != 0 ? bench_cpu_ns(options.server) : 0;
    if (options.messages != 0) {
        run_until(UINT64_MAX, options.messages, &messages);
    } else {
        run_until(start_ns + (uint64_t)(options.seconds * 1e9), UINT64_MAX, &messages);
    }
    cpu_ns = options.server != 0 ? bench_cpu_ns(options.server) - cpu_ns : 0;
    printf("{\"messages\":%llu,\"elapsed_ns\":%llu,\"cpu_ns\":%llu}\n",
           (unsigned long long)messages, (unsigned long long)(bench_now_ns() - start_ns),
           (unsigned long long)cpu_ns);
}

static void say_and_wait(const char *word) {
    puts(word);
    fflush(stdout);
    for (int c = getchar(); c != '\n' && c != EOF;) {
        c = getchar();
    }
}

static void stay_silent(struct connection *connection) {
    (void)connection;
}

static void hold(void) {
    uint32_t spoken = 0;
    for (uint32_t begun = 0; spoken < options.connections;) {
        while (begun < options.connections && begun - spoken < SPEAKERS_AT_ONCE) {
            send_rest(&connections[begun++]);
        }
        spoken += turn(stay_silent);
    }
    say_and_wait("spoken");
}

int main(int argc, char **argv) {
    bench_start(120);
    parse(argc, argv);
    make_payload();
    open_all();
    if (options.hold || options.wait) {
        say_and_wait("connected");
    }
    if (options.hold) {
        hold();
    } else {
        measure();
    }
    return 0;
}
