/**
 * @file
 * An engine, a queue and a referee for one test, driven in one of the ways that Ferry offers.
 *
 * A test takes its fixture with fixture_open, submits through it and asks for completions by op id;
 * how they get here (reap, wait, a descriptor, dispatch, a mapped ring, inline callbacks) is the
 * drive's matter, so that one test says the same about all of them. The teardown shuts the engine
 * down, reaps the rest, asks the referee for its verdict and frees everything.
 *
 * Memory that a request pins comes from fixture_memory, descriptors go to fixture_keep: both live
 * until the engine is gone, also when a check fails half-way.
 */
#ifndef FERRY_TEST_FIXTURE_H
#define FERRY_TEST_FIXTURE_H

#include "allocator.h"
#include "check.h"
#include "peer.h"
#include "process.h"
#include "referee.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How completions reach the test. */
typedef enum pull {
    PULL_REAP,     /* ferry_queue_reap after each ferry_engine_run. */
    PULL_WAIT,     /* ferry_queue_wait. */
    PULL_FD,       /* poll on ferry_queue_fd, then reap. */
    PULL_DISPATCH, /* poll on ferry_queue_fd, then ferry_queue_dispatch. */
    PULL_MAPPED,   /* Read the ring; arm and poll before sleeping. */
    PULL_INLINE    /* Callbacks on the engine's thread. */
} pull;

typedef struct drive {
    const char *name;
    uint32_t shards; /* 0 = the test runs the loop. */
    pull pull;
} drive;

extern drive drive_host, drive_host_mapped, drive_host_inline, drive_one, drive_one_dispatch,
    drive_one_mapped, drive_two, drive_two_inline;

/** One test under one drive. */
#define TEST_ON(test, how)                                                                         \
    { #test " [" #how "]", test, fixture_setup, fixture_teardown, &drive_##how }

/** One test under the drives where the test runs the loop itself. */
#define ON_HOST(test) TEST_ON(test, host)

/** One test under the drives where engine threads run it. */
#define ON_THREADS(test) TEST_ON(test, one), TEST_ON(test, two)

/** One test with each number of shards, completions reaped in the plainest way. */
#define ON_EACH_SHARDS(test) TEST_ON(test, host), TEST_ON(test, one), TEST_ON(test, two)

/** One test under every way to drive an engine. */
#define ON_EVERY_DRIVE(test)                                                                       \
    ON_EACH_SHARDS(test), TEST_ON(test, host_mapped), TEST_ON(test, host_inline),                  \
        TEST_ON(test, one_dispatch), TEST_ON(test, one_mapped), TEST_ON(test, two_inline)

typedef struct fixture {
    ferry_engine *engine;
    ferry_queue *queue;
    referee *judge;
    drive *drive;

    /* What follows is the fixture's own business. */
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    ferry_completion *inbox;
    size_t inbox_count;
    size_t inbox_capacity;
    int32_t queue_fd;
    ferry_queue_mapping mapping;
    void **memory;
    size_t memory_count;
    int *kept;
    size_t kept_count;
    char folder[64];
    char **fifos;
    size_t fifo_count;
} fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);

/** FERRY_RING_... bits of what a program watches by functions of its own in the C library's place: these calls
    must be its own, not the kernel's. Set before the tests run. */
extern uint64_t fixture_ring_without;

/** The test's fixture, with default options. */
fixture *fixture_open(void **state);

/** The same with options; either may be NULL. shards, mode and struct_size are filled in here. */
fixture *fixture_open_with(void **state, const ferry_engine_options *engine_options,
                           const ferry_queue_options *queue_options);

/** Submit one request; it must be accepted. */
ferry_op fixture_submit(fixture *f, const ferry_request *request);

/** Submit some; all must be accepted. */
void fixture_submit_all(fixture *f, const ferry_request *requests, size_t count, ferry_op *ops_out);

/** Submit some, refused or not. */
ferry_status fixture_try(fixture *f, const ferry_request *requests, size_t count, ferry_op *ops_out,
                         size_t *accepted_out);

/** Let time pass: run the engine or wait for its threads, once, and collect what has come. */
void fixture_turn(fixture *f, uint64_t wait_ns);

/** Let time pass for so long, whatever comes. */
void fixture_linger(fixture *f, uint64_t duration_ns);

/** Let time pass until a descriptor of the test's own has something to read. */
void fixture_until_readable(fixture *f, int fd);

/** Collect what has come, without letting time pass. */
void fixture_collect(fixture *f);

/** The next completion of an op; waits for it. */
ferry_completion fixture_next(fixture *f, ferry_op op);

/** The next completion of any op, in the order of their coming. */
ferry_completion fixture_next_any(fixture *f);

/** The final completion of an op; waits for it, drops those before it and frees what they lend. */
ferry_completion fixture_final(fixture *f, ferry_op op);

/** Drop all completions that have come, and free what they lend; returns how many. */
size_t fixture_drain(fixture *f);

/** Submit and wait for the final completion. */
ferry_completion fixture_do(fixture *f, const ferry_request *request);

/** The status a request meets, whether at submit or in its final completion. */
ferry_status fixture_fate(fixture *f, const ferry_request *request);

/** True if a completion of the op has come and was not taken; does not let time pass. */
bool fixture_has(fixture *f, ferry_op op);

/** Ask for a cancel; it must be accepted or too late. */
void fixture_cancel(fixture *f, ferry_op op);

/** Give back a completion's buffer. */
void fixture_release(fixture *f, const ferry_completion *completion);

/** Close a handle and wait for it. */
void fixture_close_handle(fixture *f, ferry_handle handle);

/** Shut the engine down (freeing what hangs on a FIFO) and collect what is left. */
void fixture_shutdown(fixture *f);

/** A look inside, with struct_size set. */
ferry_engine_info fixture_info(fixture *f);

/**
 * Fail unless a count of ferry_engine_info is this, now or soon: counts are momentary, and a shard
 * may have to take a turn until it has heard of what another thread gave back.
 */
#define assert_info(f, field, wanted)                                                              \
    do {                                                                                           \
        for (int turns_ = 0; turns_ < 1000 && fixture_info(f).field != (wanted); turns_++) {       \
            fixture_turn(f, MS);                                                                   \
        }                                                                                          \
        assert_int_equal(fixture_info(f).field, wanted);                                           \
    } while (0)

/** Memory that lives as long as the engine; not zeroed. */
void *fixture_memory(fixture *f, size_t size);

/** Close this descriptor when the engine is gone; returns it. */
int fixture_keep(fixture *f, int fd);

/** A Ferry listener on the loopback. */
ferry_handle fixture_listen(fixture *f, uint16_t *port_out);

/** A stream connected to a plain socket. */
ferry_handle fixture_stream(fixture *f, int *peer_out);

/** The same, on the shard of another handle (a stream or a file), so that one can be copied to the other. */
ferry_handle fixture_stream_beside(fixture *f, ferry_handle other, int *peer_out);

/** The same; the peer's side buffers little, so that sends to it soon wait. */
ferry_handle fixture_narrow_stream(fixture *f, int *peer_out);

/** More bytes than any socket buffers: a send of them to a peer that does not read waits. */
enum { FIXTURE_STUCK_SIZE = 16 * 1024 * 1024 };

/** A send that waits for a peer which does not read. */
ferry_op fixture_stuck_send(fixture *f, ferry_handle stream, uint64_t deadline_ns);

/** A path in the test's own temporary folder; lives as long as the engine. */
char *fixture_path(fixture *f, const char *name);

/** A file there, with pattern_fill bytes. */
char *fixture_file(fixture *f, const char *name, size_t size);

/** A FIFO there that nobody writes: opening it for reading hangs. */
char *fixture_fifo(fixture *f, const char *name);

/** Let whatever hangs in opening the FIFO come back. */
void fixture_open_fifo(const char *path);

/** Let one that hangs in reading the FIFO have a byte. */
void fixture_feed_fifo(const char *path);

/** Wait until a worker hangs in opening, or in reading; false if the op has ended before. */
bool fixture_wait_until_stuck(fixture *f, ferry_op op);
bool fixture_wait_until_stuck_in_read(fixture *f, ferry_op op);

#endif
