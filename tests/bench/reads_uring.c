/**
 * @file
 * Random reads on io_uring, written by hand. The file is registered; the buffers are not, which
 * makes reads from the page cache a sixth cheaper.
 */
#include "reads.h"
#include "ring.h"
#include "support.h"

struct place {
    uint64_t offset;
    char block[READS_BLOCK];
};

static struct io_uring ring;
static struct reads reads;
static struct place places[READS_IN_FLIGHT];

static void begin(unsigned index) {
    struct place *place = &places[index];
    if (!reads_next(&reads, &place->offset)) {
        return;
    }
    struct io_uring_sqe *sqe = ring_next(&ring);
    io_uring_prep_read(sqe, 0, place->block, READS_BLOCK, place->offset);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = index;
}

int main(int argc, char **argv) {
    bench_start(120);
    ring_open(&ring, READS_IN_FLIGHT);
    reads_open(&reads, argc, argv);
    if (io_uring_register_files(&ring, &reads.fd, 1) != 0) {
        bench_die("io_uring_register_files");
    }
    reads_start(&reads);
    for (unsigned i = 0; i < READS_IN_FLIGHT; i++) {
        begin(i);
    }
    while (reads.done < reads.total) {
        ring_turn(&ring);
        unsigned head;
        unsigned count = 0;
        struct io_uring_cqe *cqe;
        io_uring_for_each_cqe(&ring, head, cqe) {
            struct place *place = &places[cqe->user_data];
            reads_done(&reads, place->offset, place->block, cqe->res);
            begin((unsigned)cqe->user_data);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
    reads_report(&reads);
    return 0;
}
