#include "peer.h"

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { SMALL_BUFFER = 8192 };

ferry_address loopback(uint16_t port) {
    ferry_address address = {.family = FERRY_IPV4, .port = port, .bytes = {127, 0, 0, 1}};
    return address;
}

static struct sockaddr_in socket_address(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int bind_anywhere(uint16_t *port_out, int receive_buffer) {
    struct sockaddr_in address = socket_address(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    if (receive_buffer > 0) {
        /* Before listen, so that the window of what is accepted is small from its first byte. */
        REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer) == 0);
    }
    REQUIRE(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *port_out = ntohs(address.sin_port);
    return fd;
}

int peer_listen(uint16_t *port_out) {
    int fd = bind_anywhere(port_out, 0);
    REQUIRE(listen(fd, 128) == 0);
    return fd;
}

int peer_listen_small(uint16_t *port_out) {
    int fd = bind_anywhere(port_out, SMALL_BUFFER);
    REQUIRE(listen(fd, 128) == 0);
    return fd;
}

int peer_listen_full(uint16_t *port_out, int *waiting_out) {
    int fd = bind_anywhere(port_out, 0);
    REQUIRE(listen(fd, 0) == 0);
    *waiting_out = peer_connect(*port_out);
    return fd;
}

int peer_refuse(uint16_t *port_out) {
    return bind_anywhere(port_out, 0);
}

int peer_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

static int try_connect(uint16_t port) {
    struct sockaddr_in address = socket_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

int peer_connect(uint16_t port) {
    int fd = try_connect(port);
    REQUIRE(fd >= 0);
    return fd;
}

bool peer_can_connect(uint16_t port) {
    int fd = try_connect(port);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

void peer_send(int fd, const void *data, size_t size) {
    const unsigned char *next = data;
    while (size > 0) {
        ssize_t sent = send(fd, next, size, MSG_NOSIGNAL);
        REQUIRE(sent > 0);
        next += sent;
        size -= (size_t)sent;
    }
}

size_t peer_send_what_fits(int fd, const void *data, size_t size) {
    const unsigned char *next = data;
    size_t total = 0;
    while (total < size) {
        ssize_t sent = send(fd, next + total, size - total, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0) {
            REQUIRE(errno == EAGAIN || errno == EWOULDBLOCK);
            break;
        }
        total += (size_t)sent;
    }
    return total;
}

void peer_receive(int fd, void *data, size_t size) {
    unsigned char *next = data;
    while (size > 0) {
        ssize_t received = recv(fd, next, size, 0);
        REQUIRE(received > 0);
        next += received;
        size -= (size_t)received;
    }
}

size_t peer_receive_all(int fd, void *data, size_t size) {
    unsigned char *next = data;
    size_t total = 0;
    while (total < size) {
        ssize_t received = recv(fd, next + total, size - total, 0);
        if (received <= 0) {
            break;
        }
        total += (size_t)received;
    }
    return total;
}

bool peer_sees_end(int fd) {
    char rest[4096];
    ssize_t received;
    do {
        received = recv(fd, rest, sizeof rest, 0);
    } while (received > 0);
    return received == 0 || errno == ECONNRESET;
}

void peer_reset(int fd) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    close(fd);
}

/* As long as a prime number: a shift by any usual buffer size changes every byte. */
enum { PERIOD = 65521 };

static unsigned char period[PERIOD];
static pthread_once_t period_made = PTHREAD_ONCE_INIT;

static void make_period(void) {
    uint32_t state = 1;
    for (size_t i = 0; i < PERIOD; i++) {
        state = state * UINT32_C(1664525) + UINT32_C(1013904223);
        period[i] = (unsigned char)(state >> 24);
    }
}

/* The longest run of the pattern from a position, at most size bytes. */
static size_t run_at(size_t position, size_t size) {
    size_t left = PERIOD - position % PERIOD;
    return size < left ? size : left;
}

void pattern_fill(void *data, size_t size, size_t position) {
    unsigned char *bytes = data;
    pthread_once(&period_made, make_period);
    for (size_t done = 0; done < size;) {
        size_t run = run_at(position + done, size - done);
        memcpy(bytes + done, &period[(position + done) % PERIOD], run);
        done += run;
    }
}

bool pattern_matches(const void *data, size_t size, size_t position) {
    const unsigned char *bytes = data;
    pthread_once(&period_made, make_period);
    for (size_t done = 0; done < size;) {
        size_t run = run_at(position + done, size - done);
        if (memcmp(bytes + done, &period[(position + done) % PERIOD], run) != 0) {
            return false;
        }
        done += run;
    }
    return true;
}
