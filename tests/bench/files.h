/**
 * @file
 * The job of the three file benchmarks: load every file of a directory, so many times over.
 *
 *     files_... DIRECTORY COUNT PASSES
 *
 * The runner has made COUNT files of FILES_SIZE bytes there, named 0, 1, 2 ...
 */
#ifndef BENCH_FILES_H
#define BENCH_FILES_H

#include <stddef.h>
#include <stdint.h>

enum { FILES_SIZE = 4096, FILES_IN_FLIGHT = 32 };

struct files {
    char **paths;
    uint32_t count;
    uint64_t total; /**< Loads to do: COUNT * PASSES. */
    uint64_t begun;
    uint64_t done;
    uint64_t start_ns;
    uint64_t start_cpu_ns;
};

/** Parse the arguments and load every file once, blocking: the page cache is hot from here on. */
void files_open(struct files *files, int argc, char **argv);

/** The next path to load, or NULL when all have begun. */
const char *files_next(struct files *files);

/** Count one load; its length and a byte of it are checked. */
void files_loaded(struct files *files, const void *data, size_t size);

/** Print {"count":..,"elapsed_ns":..,"cpu_ns":..}. */
void files_report(const struct files *files);

/** Open, fstat, read and close a file in memory of its own, blocking. Freed by the caller. */
void *files_load_blocking(const char *path, size_t *size_out);

#endif
