#include "reads.h"

#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void reads_open(struct reads *reads, int argc, char **argv) {
    if (argc != 3) {
        bench_die("usage: %s FILE READS", argv[0]);
    }
    static char block[READS_BLOCK];
    *reads = (struct reads){.path = argv[1],
                            .fd = open(argv[1], O_RDONLY | O_CLOEXEC),
                            .total = bench_number(argc, argv, 2, 0),
                            .random = BENCH_SEED};
    while (read(reads->fd, block, sizeof(block)) == READS_BLOCK) {
        reads->blocks++;
    }
    if (reads->blocks == 0) {
        bench_die("cannot read %s", argv[1]);
    }
    reads_start(reads);
}

void reads_start(struct reads *reads) {
    reads->start_cpu_ns = bench_cpu_ns(0);
    reads->start_ns = bench_now_ns();
}

bool reads_next(struct reads *reads, uint64_t *offset_out) {
    if (reads->begun == reads->total) {
        return false;
    }
    reads->begun++;
    *offset_out = bench_random(&reads->random) % reads->blocks * READS_BLOCK;
    return true;
}

void reads_done(struct reads *reads, uint64_t offset, const void *data, int64_t size) {
    uint64_t number = 0;
    if (size == READS_BLOCK) {
        memcpy(&number, data, sizeof(number));
    }
    if (size != READS_BLOCK || number != offset / READS_BLOCK) {
        bench_die("a block was read wrongly: %lld bytes", (long long)size);
    }
    reads->done++;
}

void reads_report(const struct reads *reads) {
    printf("{\"count\":%llu,\"elapsed_ns\":%llu,\"cpu_ns\":%llu}\n",
           (unsigned long long)reads->done, (unsigned long long)(bench_now_ns() - reads->start_ns),
           (unsigned long long)(bench_cpu_ns(0) - reads->start_cpu_ns));
}
