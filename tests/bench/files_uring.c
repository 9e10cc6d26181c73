/**
 * @file
 * Whole-file load on io_uring, written by hand: open, read and close through the ring, a read
 * linked to its close. fstat is a call from the loop: statx through the ring goes to a thread of
 * the kernel's and costs twice as much.
 */
#include "files.h"
#include "ring.h"
#include "support.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum step { OPEN, READ, CLOSE };

struct load {
    int fd;
    size_t size;
    char *data;
};

static struct io_uring ring;
static struct files files;
static struct load loads[FILES_IN_FLIGHT];

static void name_entry(struct io_uring_sqe *sqe, enum step step, unsigned index) {
    sqe->user_data = (uint64_t)step << 32 | index;
}

static void begin(unsigned index) {
    const char *path = files_next(&files);
    if (path == NULL) {
        return;
    }
    struct io_uring_sqe *sqe = ring_next(&ring);
    io_uring_prep_openat(sqe, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    name_entry(sqe, OPEN, index);
}

static void on_open(unsigned index, int fd) {
    struct load *load = &loads[index];
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        bench_die("cannot open a file");
    }
    load->fd = fd;
    load->size = (size_t)status.st_size;
    load->data = bench_allocate(load->size);
    struct io_uring_sqe *sqe = ring_next(&ring);
    io_uring_prep_read(sqe, fd, load->data, (unsigned)load->size, 0);
    name_entry(sqe, READ, index);
    sqe->flags |= IOSQE_IO_LINK;
    sqe = ring_next(&ring);
    io_uring_prep_close(sqe, fd);
    name_entry(sqe, CLOSE, index);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void on_read(unsigned index, int size) {
    struct load *load = &loads[index];
    if (size != (int)load->size) {
        bench_die("a short read");
    }
    files_loaded(&files, load->data, load->size);
    free(load->data);
    begin(index);
}

static void handle(const struct io_uring_cqe *cqe) {
    unsigned index = (unsigned)cqe->user_data;
    switch ((enum step)(cqe->user_data >> 32)) {
    case OPEN:
        on_open(index, cqe->res);
        break;
    case READ:
        on_read(index, cqe->res);
        break;
    case CLOSE: // Tells of failures only.
        bench_die("close: %s", strerror(-cqe->res));
    }
}

int main(int argc, char **argv) {
    bench_start(120);
    // A link must not be torn between two submissions.
    ring_open(&ring, 4 * FILES_IN_FLIGHT);
    files_open(&files, argc, argv);
    for (unsigned i = 0; i < FILES_IN_FLIGHT; i++) {
        begin(i);
    }
    while (files.done < files.total) {
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
    files_report(&files);
    return 0;
}
