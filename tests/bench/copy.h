/**
 * @file
 * The job of the two copy benchmarks: send a file several times over to a child that throws it away.
 *
 *     copy_... FILE PASSES
 */
#ifndef BENCH_COPY_H
#define BENCH_COPY_H

#include <stdint.h>

struct copy {
    const char *path;
    uint64_t size; /**< Of the file. */
    uint64_t passes;
    int fd; /**< A blocking TCP socket, connected to the child. */
    uint64_t start_ns;
    uint64_t start_cpu_ns;
};

/** Parse the arguments, start the child and connect to it. Call it before there is any thread. */
void copy_open(struct copy *copy, int argc, char **argv);

/** The clocks start. */
void copy_begin(struct copy *copy);

/** All is sent: print {"count":..,"elapsed_ns":..,"cpu_ns":..}; count is bytes. */
void copy_report(const struct copy *copy);

#endif
