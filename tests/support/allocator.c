#include "allocator.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* 16 bytes, so that what follows is aligned for any type. */
typedef struct block {
    uint64_t size;
    uint64_t mark;
} block;

static const uint64_t mark_given = UINT64_C(0x6769766e6769766e);
static const uint64_t mark_freed = UINT64_C(0x6672656566726565);

static bool refuses(counting_allocator *allocator, size_t call) {
    size_t every = atomic_load(&allocator->refuse_every);
    size_t first = atomic_load(&allocator->refuse_first);
    size_t last = atomic_load(&allocator->refuse_last);
    return (every != 0 && call % every == 0) || (first != 0 && call >= first && call <= last);
}

void *counting_allocate(size_t size, void *user_data) {
    counting_allocator *allocator = user_data;
    size_t call = atomic_fetch_add(&allocator->calls, 1) + 1;
    if (refuses(allocator, call)) {
        atomic_fetch_add(&allocator->refused, 1);
        return NULL;
    }
    block *given = malloc(sizeof(block) + size);
    if (given == NULL) {
        return NULL;
    }
    given->size = size;
    given->mark = mark_given;
    /* Fresh memory must not be taken for zeroed memory. */
    memset(given + 1, 0xa5, size);
    atomic_fetch_add(&allocator->blocks, 1);
    atomic_fetch_add(&allocator->bytes, size);
    return given + 1;
}

void counting_free(void *memory, size_t size, void *user_data) {
    counting_allocator *allocator = user_data;
    if (memory == NULL) {
        /* The contract speaks of what allocate gave, and it never gave NULL. */
        atomic_fetch_add(&allocator->wrong_frees, 1);
        return;
    }
    block *given = (block *)memory - 1;
    if (given->mark != mark_given || given->size != size) {
        atomic_fetch_add(&allocator->wrong_frees, 1);
        return;
    }
    given->mark = mark_freed;
    memset(memory, 0x5a, size);
    atomic_fetch_sub(&allocator->blocks, 1);
    atomic_fetch_sub(&allocator->bytes, size);
    free(given);
}

void allocator_install(counting_allocator *allocator, ferry_engine_options *options) {
    options->allocate = counting_allocate;
    options->free = counting_free;
    options->user_data = allocator;
}

void allocator_refuse(counting_allocator *allocator, size_t first, size_t last) {
    size_t calls = atomic_load(&allocator->calls);
    atomic_store(&allocator->refuse_last, last > SIZE_MAX - calls ? SIZE_MAX : calls + last);
    atomic_store(&allocator->refuse_first, calls + first);
}

void allocator_refuse_nothing(counting_allocator *allocator) {
    atomic_store(&allocator->refuse_first, 0);
    atomic_store(&allocator->refuse_every, 0);
}
