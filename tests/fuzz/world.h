/**
 * @file
 * What hostile programs have to play with: ids they have seen, memory that outlives every engine,
 * paths, ports, and a second engine whose ids are nothing to the first.
 *
 * One world may be used by several threads.
 */
#ifndef FERRY_FUZZ_WORLD_H
#define FERRY_FUZZ_WORLD_H

#include "source.h"

#include <ferry.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    POOL_PLACES = 64,
    PORT_PLACES = 8,
    WINDOW_PLACES = 65536, /* Pieces of memory that may be pinned in one life of an engine. */
    READABLE_SIZE = 1024 * 1024,
    READABLE_PATHS = 20,
    SCRATCH_PATHS = 6
};

/** The ids that were seen last; a new one takes the place of the oldest. */
typedef struct pool {
    uint64_t ids[POOL_PLACES];
    size_t count;
    size_t next;
} pool;

typedef struct world {
    pthread_mutex_t lock;
    pool ops;      /* Accepted requests, ended or not. */
    pool handles;  /* Handles that completions named, closed or not. */
    pool released; /* Buffers given back. */

    ferry_engine *foreign_engine;
    ferry_handle foreign_handles[2]; /* A listener and a stream. */
    ferry_op foreign_op;
    ferry_buffer foreign_buffer;

    unsigned char *readable; /* READABLE_SIZE bytes that nobody writes. */
    unsigned char *writable; /* Handed out in windows, each for one request. */
    size_t writable_size;
    size_t writable_used;
    size_t window_ends[WINDOW_PLACES];
    size_t window_count;

    char *folder;
    char *scratch; /* A folder for operations that change something; emptied with each reset. */
    char *fifo;
    char *readable_paths[READABLE_PATHS];
    char *scratch_paths[SCRATCH_PATHS];
    bool scratch_used;
    char *long_name; /* Longer than any path or name may be. */

    uint16_t ports[PORT_PLACES]; /* On the loopback, all this process's; 0 = none. */
    size_t port_next;
    int listener;
    int refuser;
} world;

/** Make a world; its memory for windows has so many bytes. */
world *world_create(size_t writable_size);
void world_destroy(world *w);

/** Forget all ids, take back all windows and empty the scratch folder; no engine may use them. */
void world_reset(world *w);

/** Remember an id; any thread. */
void world_remember(world *w, pool *p, uint64_t id);

/** One of those remembered, FERRY_NONE if there are none. */
uint64_t world_pick(world *w, const pool *p, source *s);

/** Remember what a completion tells of: a handle, a port of this process's; any thread. */
void world_learn(world *w, const ferry_completion *c);

/** A port of this process's, or none. */
uint16_t world_pick_port(world *w, source *s);

/** An id of no use: another engine's, another kind's, or one with a field changed. */
uint64_t world_forge(world *w, uint64_t id, source *s);

/** Memory for one request, NULL when there is no more. */
void *world_window(world *w, size_t size);

/** False if somebody wrote past the end of a window. */
bool world_windows_intact(const world *w);

/** A path that may be read: of all kinds, also ones that lead nowhere. */
const char *world_path(world *w, source *s);

/** A path below the scratch folder, for operations that write, rename or remove. */
const char *world_scratch_path(world *w, source *s);

/** An end of a pipe or of a socket pair, a listener or a device, made for being given away; -1 if
 * there is none to be had. */
int world_spare_descriptor(source *s);

/** Let whatever hangs in opening the FIFO come back. */
void world_open_fifo(world *w);

#endif
