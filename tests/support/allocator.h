/**
 * @file
 * A host's allocator that counts, checks what comes back, and refuses on request.
 *
 * Every block carries its size in front, so that a free with another size than was asked for, of
 * memory that was never given, or twice, is seen at once. Safe on any thread.
 */
#ifndef FERRY_TEST_ALLOCATOR_H
#define FERRY_TEST_ALLOCATOR_H

#include <ferry.h>

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct counting_allocator {
    atomic_size_t calls;        /* Allocations asked for, refused ones included. */
    atomic_size_t refused;      /* How many of them were refused. */
    atomic_size_t blocks;       /* Blocks given and not freed. */
    atomic_size_t bytes;        /* Their bytes. */
    atomic_size_t wrong_frees;  /* Frees with a wrong size or a foreign pointer. */
    atomic_size_t refuse_first; /* Refuse calls from this one (counted from 1) ... */
    atomic_size_t refuse_last;  /* ... to this one; 0 = none. */
    atomic_size_t refuse_every; /* Refuse each n-th call; 0 = none. */
} counting_allocator;

/** The two hooks; user_data is the counting_allocator. */
void *counting_allocate(size_t size, void *user_data);
void counting_free(void *memory, size_t size, void *user_data);

/** Put the hooks into an engine's options. */
void allocator_install(counting_allocator *allocator, ferry_engine_options *options);

/** Refuse the allocations from first to last, counted from now, the next being 1. */
void allocator_refuse(counting_allocator *allocator, size_t first, size_t last);
void allocator_refuse_nothing(counting_allocator *allocator);

#endif
