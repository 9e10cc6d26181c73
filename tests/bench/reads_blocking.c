/**
 * @file
 * Random reads in a blocking loop.
 */
#include "reads.h"
#include "support.h"

#include <unistd.h>

int main(int argc, char **argv) {
    static char block[READS_BLOCK];
    struct reads reads;
    bench_start(120);
    reads_open(&reads, argc, argv);
    for (uint64_t offset; reads_next(&reads, &offset);) {
        reads_done(&reads, offset, block, pread(reads.fd, block, READS_BLOCK, (off_t)offset));
    }
    reads_report(&reads);
    return 0;
}
