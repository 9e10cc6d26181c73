/**
 * @file
 * The job of the benchmarks of random reads: blocks of a file that lies in the page cache, in an
 * order that is the same in every program.
 *
 *     reads_... FILE READS
 *
 * The runner has made the file: each block begins with its number.
 */
#ifndef BENCH_READS_H
#define BENCH_READS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { READS_BLOCK = 4096, READS_IN_FLIGHT = 32 };

struct reads {
    const char *path;
    int fd;
    uint64_t blocks;
    uint64_t total;
    uint64_t begun;
    uint64_t done;
    uint64_t random;
    uint64_t start_ns;
    uint64_t start_cpu_ns;
};

/** Parse the arguments, open the file and read it once: the page cache is hot from here on. */
void reads_open(struct reads *reads, int argc, char **argv);

/** Measure from here on. */
void reads_start(struct reads *reads);

/** Where to read next; false when all have begun. */
bool reads_next(struct reads *reads, uint64_t *offset_out);

/** Count one read; its length and the block's number are checked. */
void reads_done(struct reads *reads, uint64_t offset, const void *data, int64_t size);

/** Print {"count":..,"elapsed_ns":..,"cpu_ns":..}. */
void reads_report(const struct reads *reads);

#endif
