#include "ring.h"

#include "support.h"

#include <errno.h>
#include <string.h>

void ring_open(struct io_uring *ring, unsigned entries) {
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE,
        .cq_entries = 4 * entries,
    };
    if (io_uring_queue_init_params(entries, ring, &parameters) != 0) {
        bench_skip("the kernel allows no io_uring, or is older than 6.1");
    }
    // Saves the look-up of the descriptor in each turn.
    if (io_uring_register_ring_fd(ring) != 1) {
        bench_die("io_uring_register_ring_fd");
    }
}

struct io_uring_sqe *ring_next(struct io_uring *ring) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    if (sqe == NULL) {
        io_uring_submit(ring);
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

void ring_turn(struct io_uring *ring) {
    int result = io_uring_submit_and_wait(ring, 1);
    if (result < 0 && result != -EINTR) {
        bench_die("io_uring_submit_and_wait: %s", strerror(-result));
    }
}
