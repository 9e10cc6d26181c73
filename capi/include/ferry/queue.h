/**
 * @file
 * The queue: submit requests, get completions back, in one of three modes.
 *
 * - FERRY_QUEUE_REAP: pull with @ref ferry_queue_reap, _wait or _dispatch. Sleep on
 *   @ref ferry_queue_fd, in _wait, or until the wake hook says so.
 * - FERRY_QUEUE_MAPPED: read the ring yourself (@ref ferry_queue_map) and call @ref ferry_queue_arm
 *   before you sleep.
 * - FERRY_QUEUE_INLINE: the request's callback runs on the engine's thread, at once.
 *
 * A queue has one consumer at a time; submit, cancel and post may come from any thread.
 */
#ifndef FERRY_QUEUE_H
#define FERRY_QUEUE_H

#include <ferry/request.h>
#include <ferry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Values of @ref ferry_queue_options.mode. */
enum {
    FERRY_QUEUE_REAP = 0,   /**< reap, wait, dispatch. */
    FERRY_QUEUE_MAPPED = 1, /**< The host reads the ring. */
    FERRY_QUEUE_INLINE = 2  /**< Callbacks on the engine's thread. */
};

/**
 * Told once when a sleeping consumer has something to reap: after a reap, wait or dispatch that
 * emptied the queue (or an arm that found it empty), the next completion calls it, and no further
 * one does until the queue is emptied again. Runs on any thread. It may only signal: no Ferry call.
 */
typedef void (*ferry_wake_fn)(void *user_data);

/** How to make a queue. Every field's 0 is its default. */
typedef struct ferry_queue_options {
    uint32_t struct_size; /**< sizeof(ferry_queue_options); 0 is FERRY_E_INVALID. */
    uint32_t flags;       /**< 0. */
    uint32_t mode;        /**< FERRY_QUEUE_REAP, _MAPPED or _INLINE. */
    uint32_t capacity;    /**< Places in the ring, rounded up to a power of two; 0 = 1024, at most
                               1048576. An inline queue has none. */
    uint32_t shard;       /**< Where requests without a target run: 1 to shards; 0 = on the
                               shard that submits, else each call's on the next one by turns. */
    uint32_t reserved;    /**< 0. */
    ferry_wake_fn wake;   /**< NULL = none. */
    void *user_data;      /**< For wake. */
} ferry_queue_options;

/**
 * Where a mapped queue lies. The counters run freely: a record's place is counter & (capacity - 1).
 * The reader loads tail with acquire once per batch, reads records from head to tail, and stores
 * head with release once.
 */
typedef struct ferry_queue_mapping {
    uint32_t struct_size;            /**< sizeof(ferry_queue_mapping), set before the call. */
    uint32_t capacity;               /**< Places, a power of two. */
    const ferry_completion *records; /**< capacity records. */
    uint32_t *head;                  /**< The reader's counter. */
    const uint32_t *tail;            /**< The engine's counter. */
    const uint32_t *flags;           /**< FERRY_QUEUE_HELD. */
} ferry_queue_mapping;

/** Bits of *@ref ferry_queue_mapping.flags. */
enum {
    /** Final completions wait for room: make some (store head) and call @ref ferry_queue_arm. */
    FERRY_QUEUE_HELD = 1u << 0
};

/**
 * Make a queue.
 *
 * @param[in]  engine     The engine.
 * @param[in]  options    NULL = all defaults. @borrowed
 * @param[out] queue_out  The queue; release with @ref ferry_queue_destroy, or it goes with the
 *                        engine. NULL on failure. @owned
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED, FERRY_E_NO_MEMORY, FERRY_E_SHUTDOWN,
 *   FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_queue_create(ferry_engine *engine, const ferry_queue_options *options,
                                          ferry_queue **queue_out);

/**
 * Destroy a queue. Never blocks. A destroyed queue answers FERRY_E_STALE while its engine lives.
 *
 * @param[in] queue  NULL is fine.
 * @returns FERRY_OK; FERRY_E_BUSY while requests are in flight or, before shutdown, completions
 *   wait (nothing happened); FERRY_E_STALE, FERRY_E_FORKED.
 * @threads exclusive  @since API 1
 */
FERRY_API ferry_status ferry_queue_destroy(ferry_queue *queue);

/**
 * Submit requests, in order, up to the first that is refused.
 *
 * An accepted request gets exactly one final completion; a refused one and those after it did not
 * happen. Nothing runs inside this call: no operation, no callback.
 *
 * @param[in]  queue         Where the completions will go.
 * @param[in]  requests      Array of count records; free to change after the call. @borrowed
 * @param[in]  count         How many.
 * @param[out] ops_out       The accepted requests' ids, count places; NULL = not wanted. @borrowed
 * @param[out] accepted_out  How many were accepted; NULL = not wanted. @borrowed
 * @returns FERRY_OK if all were accepted, else why it stopped: FERRY_E_INVALID,
 *   FERRY_E_UNSUPPORTED, FERRY_E_FULL, FERRY_E_NO_MEMORY, FERRY_E_BAD_HANDLE, FERRY_E_FOREIGN,
 *   FERRY_E_WRONG_KIND, FERRY_E_LIMIT, FERRY_E_NAME_TOO_LONG, FERRY_E_SHUTDOWN, FERRY_E_STALE
 *   (queue destroyed), FERRY_E_FORKED, FERRY_E_INTERNAL.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_queue_submit(ferry_queue *queue, const ferry_request *requests,
                                          size_t count, ferry_op *ops_out, size_t *accepted_out);

/**
 * Ask for an operation to end early. It completes once either way: with FERRY_E_CANCELED, or with
 * its real outcome if that came first.
 *
 * @param[in] queue  Any queue of the operation's engine.
 * @param[in] op     Which.
 * @returns FERRY_OK (asked), FERRY_E_TOO_LATE (it has ended), FERRY_E_UNKNOWN (never issued),
 *   FERRY_E_INVALID, FERRY_E_STALE (queue destroyed), FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_queue_cancel(ferry_queue *queue, ferry_op op);

/**
 * Put a message of the host's into a queue: a completion with opcode FERRY_OP_POST, op FERRY_NONE,
 * and the tag, result and data_u64 given. It wakes the queue's reader, and a host that sleeps in
 * @ref ferry_engine_run or on @ref ferry_engine_fd.
 *
 * @param[in] queue     A queue in mode REAP or MAPPED.
 * @param[in] tag       The host's value.
 * @param[in] result    The host's value.
 * @param[in] data_u64  The host's value; never followed.
 * @returns FERRY_OK, FERRY_E_FULL (no place in the ring), FERRY_E_UNSUPPORTED (inline),
 *   FERRY_E_INVALID, FERRY_E_STALE, FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_queue_post(ferry_queue *queue, uint64_t tag, int64_t result,
                                        uint64_t data_u64);

/**
 * Take completions that wait, without blocking. Fewer than capacity means that the queue was empty
 * then, and is armed: the fd and the wake hook will tell of the next one.
 *
 * @param[in]  queue     A queue in mode REAP.
 * @param[out] out       Array of capacity records. @borrowed
 * @param[in]  capacity  How many at most.
 * @returns How many (0 = none), or FERRY_E_INVALID, FERRY_E_UNSUPPORTED (other mode),
 *   FERRY_E_STALE, FERRY_E_FORKED.
 * @threads exclusive  @since API 1
 */
FERRY_API int32_t ferry_queue_reap(ferry_queue *queue, ferry_completion *out, uint32_t capacity);

/**
 * Take completions, waiting for the first. For engines with threads of their own; on a host-driven
 * engine's own thread only @ref ferry_engine_run makes progress (FERRY_E_WRONG_THREAD).
 *
 * @param[in]  queue       A queue in mode REAP.
 * @param[out] out         Array of capacity records. @borrowed
 * @param[in]  capacity    How many at most.
 * @param[in]  timeout_ns  How long to wait; 0 = as reap, FERRY_FOREVER.
 * @returns How many; 0 = the timeout passed. Errors as for reap, and FERRY_E_WRONG_THREAD,
 *   FERRY_E_NO_DESCRIPTORS.
 * @threads exclusive  @since API 1
 */
FERRY_API int32_t ferry_queue_wait(ferry_queue *queue, ferry_completion *out, uint32_t capacity,
                                   uint64_t timeout_ns);

/**
 * Take completions and call each request's callback on this thread. A completion without a
 * callback, a posted message among them, is dropped here and its lent buffer released.
 *
 * @param[in] queue      A queue in mode REAP.
 * @param[in] max        How many at most; 0 = all that wait now.
 * @param[in] budget_ns  No further callback is begun after this time; 0 = no limit.
 * @returns How many were taken. Errors as for reap, and FERRY_E_BUSY (from within a callback).
 * @threads exclusive  @since API 1
 */
FERRY_API int32_t ferry_queue_dispatch(ferry_queue *queue, uint32_t max, uint64_t budget_ns);

/**
 * A descriptor that is readable while completions wait; made by the first call. Good for level- and
 * edge-triggered watchers alike. reap, wait, dispatch and arm clear it when they find the queue
 * empty: never read, write or close it.
 *
 * @param[in]  queue   A queue in mode REAP or MAPPED.
 * @param[out] fd_out  The descriptor, the queue's; -1 on failure. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED (inline), FERRY_E_NO_DESCRIPTORS,
 *   FERRY_E_STALE, FERRY_E_FORKED.
 * @threads exclusive  @since API 1
 */
FERRY_API ferry_status ferry_queue_fd(ferry_queue *queue, int32_t *fd_out);

/**
 * Before sleeping: clear the fd, move up final completions that were held back, and say whether the
 * queue is empty. Only after 0 may a reader sleep.
 *
 * @param[in] queue  A queue in mode REAP or MAPPED.
 * @returns 0 (empty: the next completion signals), 1 (completions wait), or FERRY_E_INVALID,
 *   FERRY_E_UNSUPPORTED (inline), FERRY_E_STALE, FERRY_E_FORKED.
 * @threads exclusive  @since API 1
 */
FERRY_API int32_t ferry_queue_arm(ferry_queue *queue);

/**
 * Where the ring of a mapped queue lies; valid until the queue is destroyed.
 *
 * @param[in]     queue    A queue in mode MAPPED.
 * @param[in,out] mapping  Filled up to its struct_size. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED (other mode), FERRY_E_STALE,
 *   FERRY_E_FORKED.
 * @threads exclusive  @since API 1
 */
FERRY_API ferry_status ferry_queue_map(ferry_queue *queue, ferry_queue_mapping *mapping);

#ifdef __cplusplus
}
#endif

#endif
