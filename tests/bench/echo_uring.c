/**
 * @file
 * Echo server on io_uring, written by hand: the limit. Multishot accept and receive, a ring of
 * provided buffers that are sent from as they are, one system call a turn. Prints "port N".
 */
#include "ring.h"
#include "support.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Registered files and other counts and sizes of buffers were tried: nothing that shows.
enum {
    ENTRIES = 4096,
    DESCRIPTORS_MAX = 65536,
    BUFFERS = 512,
    BUFFER_SIZE = 16384,
    NO_BUFFER = 0xffff
};

enum kind { ACCEPT, RECEIVE, SEND, CLOSE };

struct connection {
    uint16_t first; /**< The buffer that is being sent; those behind it wait. */
    uint16_t last;
    bool ended;
};

struct buffer {
    uint32_t size;
    uint16_t next;
};

static struct io_uring ring;
static struct io_uring_buf_ring *offered;
static char (*memory)[BUFFER_SIZE];
static struct buffer buffers[BUFFERS];
static struct connection connections[DESCRIPTORS_MAX]; // By descriptor.
static int starved[DESCRIPTORS_MAX];                   // They found no buffer to receive into.
static uint32_t starved_count;
static int listener;

/** Last of all that describes an entry: liburing's prepare functions clear what is there. */
static void name_entry(struct io_uring_sqe *sqe, enum kind kind, int fd) {
    sqe->user_data = (uint64_t)kind << 32 | (uint32_t)fd;
}

static void begin_accept(void) {
    struct io_uring_sqe *sqe = ring_next(&ring);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    name_entry(sqe, ACCEPT, listener);
}

static void begin_receive(int fd) {
    struct io_uring_sqe *sqe = ring_next(&ring);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    name_entry(sqe, RECEIVE, fd);
}

static void begin_send(int fd) {
    struct io_uring_sqe *sqe = ring_next(&ring);
    uint16_t buffer = connections[fd].first;
    io_uring_prep_send(sqe, fd, memory[buffer], buffers[buffer].size, MSG_WAITALL | MSG_NOSIGNAL);
    name_entry(sqe, SEND, fd);
}

static void begin_close(int fd) {
    struct io_uring_sqe *sqe = ring_next(&ring);
    io_uring_prep_close(sqe, fd);
    name_entry(sqe, CLOSE, fd);
}

static void offer(uint16_t buffer) {
    io_uring_buf_ring_add(offered, memory[buffer], BUFFER_SIZE, buffer,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(offered, 1);
}

static void on_accepted(const struct io_uring_cqe *cqe) {
    if (cqe->res >= DESCRIPTORS_MAX) {
        bench_die("too many connections");
    }
    if (cqe->res >= 0) {
        connections[cqe->res] = (struct connection){.first = NO_BUFFER, .last = NO_BUFFER};
        begin_receive(cqe->res);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        begin_accept();
    }
}

static void send_in_turn(int fd, uint16_t buffer, uint32_t size) {
    struct connection *connection = &connections[fd];
    buffers[buffer] = (struct buffer){.size = size, .next = NO_BUFFER};
    if (connection->first == NO_BUFFER) {
        connection->first = buffer;
        begin_send(fd);
    } else {
        buffers[connection->last].next = buffer;
    }
    connection->last = buffer;
}

static void on_received(const struct io_uring_cqe *cqe, int fd) {
    if (cqe->res > 0) {
        send_in_turn(fd, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT), (uint32_t)cqe->res);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) != 0) {
        return;
    }
    if (cqe->res > 0) {
        begin_receive(fd);
    } else if (cqe->res == -ENOBUFS) {
        starved[starved_count++] = fd;
    } else {
        connections[fd].ended = true;
        if (connections[fd].first == NO_BUFFER) {
            begin_close(fd);
        }
    }
}

static void on_sent(int fd) {
    struct connection *connection = &connections[fd];
    uint16_t buffer = connection->first;
    connection->first = buffers[buffer].next;
    offer(buffer);
    if (connection->first != NO_BUFFER) {
        begin_send(fd);
    } else if (connection->ended) {
        begin_close(fd);
    }
    if (starved_count != 0) {
        begin_receive(starved[--starved_count]);
    }
}

static void handle(const struct io_uring_cqe *cqe) {
    int fd = (int)(uint32_t)cqe->user_data;
    switch ((enum kind)(cqe->user_data >> 32)) {
    case ACCEPT:
        on_accepted(cqe);
        break;
    case RECEIVE:
        on_received(cqe, fd);
        break;
    case SEND:
        on_sent(fd);
        break;
    case CLOSE:
        break;
    }
}

static void *allocate_pages(size_t size) {
    void *pages = NULL;
    if (posix_memalign(&pages, 4096, size) != 0) {
        bench_die("out of memory");
    }
    return pages;
}

static void offer_all(void) {
    offered = allocate_pages(BUFFERS * sizeof(struct io_uring_buf));
    memory = allocate_pages(BUFFERS * sizeof(*memory));
    io_uring_buf_ring_init(offered);
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)offered,
                                            .ring_entries = BUFFERS};
    if (io_uring_register_buf_ring(&ring, &registration, 0) != 0) {
        bench_die("io_uring_register_buf_ring");
    }
    for (uint16_t i = 0; i < BUFFERS; i++) {
        offer(i);
    }
}

int main(void) {
    bench_start(120);
    ring_open(&ring, ENTRIES);
    offer_all();
    listener = bench_listen(false);
    begin_accept();
    for (;;) {
        ring_turn(&ring);
        unsigned head;
        unsigned count = 0;
        struct io_uring_cqe *cqe;
        io_uring_for_each_cqe(&ring, head, cqe) {
            handle(cqe);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}
