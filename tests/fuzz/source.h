/**
 * @file
 * Where a hostile program's choices come from: the bytes of an input, or a seed.
 */
#ifndef FERRY_FUZZ_SOURCE_H
#define FERRY_FUZZ_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct source {
    const unsigned char *bytes; /* NULL: drawn from random, without end. */
    size_t size;
    uint64_t random;
} source;

source source_of_bytes(const void *bytes, size_t size);
source source_of_seed(uint64_t seed);

/** True when nothing is left; what is taken then is 0. */
bool source_empty(const source *s);

/** The next bytes as a number, at most 8. */
uint64_t source_take(source *s, unsigned bytes);

/** 0 to bound - 1; bound is at most 256. */
uint32_t source_below(source *s, uint32_t bound);

/** True once in so many times. */
bool source_once_in(source *s, uint32_t times);

/** Any 64-bit number, preferably one that somebody forgot: small, at an edge, or a large one. */
uint64_t source_number(source *s);

#endif
