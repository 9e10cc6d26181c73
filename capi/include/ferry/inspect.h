/**
 * @file
 * Seeing inside: what is in flight, how much of everything there was, and a trace to look at.
 */
#ifndef FERRY_INSPECT_H
#define FERRY_INSPECT_H

#include <ferry/engine.h>
#include <ferry/status.h>
#include <ferry/trace.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Receives text, piece by piece; a piece need not end where a line does. Not ended by a zero. */
typedef void (*ferry_text_fn)(const char *text, size_t size, void *user_data);

/**
 * Tell of all that is in flight, as JSON: each operation with its age, its state and what it awaits, a
 * composition's with its children; queues, handles, lent buffers. docs/pages/inspecting.md explains it.
 *
 * A shard's memory is its thread's, so each shard is asked, and its loop stands still while it tells:
 * about a quarter of a microsecond for each operation. One that does not answer in time, because it is
 * stuck in a callback or its host does not run it any more, is in the text with "answered": false. A
 * thread of the engine's own, callbacks included, tells of its own shard at once, and goes on answering
 * others while it waits for theirs. Nothing is waited for when no thread runs the engine.
 *
 * @param[in]  engine      The engine; also one that has been shut down.
 * @param[in]  timeout_ns  How long to wait for all shards together; 0 = for none, FERRY_FOREVER.
 * @param[out] text        Where to write it, with a zero behind; NULL = only ask for its size. Filled in part,
 *                         and ended by a zero, when capacity does not suffice. @borrowed
 * @param[in]  capacity    Bytes there.
 * @param[out] size_out    The text's size without the zero: capacity must be larger. It changes with each
 *                         call, so leave some room. 0 on other failures. @borrowed
 * @returns FERRY_OK, FERRY_E_LIMIT (capacity does not suffice), FERRY_E_INVALID, FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_engine_dump(ferry_engine *engine, uint64_t timeout_ns, char *text,
                                         size_t capacity, size_t *size_out);

/**
 * Counts since creation, and what there is at this moment. An output: set struct_size before the call. Each is
 * right by itself; they are not of one and the same moment.
 */
typedef struct ferry_metrics {
    uint32_t struct_size;       /**< sizeof(ferry_metrics). */
    uint32_t shards;            /**< Loops: 1 for a host-driven engine. */
    uint64_t submitted;         /**< Requests accepted. */
    uint64_t refused;           /**< Submits that ended with a refused request, or refused all. */
    uint64_t refused_full;      /**< Of these, with FERRY_E_FULL. */
    uint64_t ended;             /**< Final completions. What follows is part of them: */
    uint64_t failed;            /**< not with FERRY_OK, and neither of the next two; */
    uint64_t canceled;          /**< with FERRY_E_CANCELED; */
    uint64_t timed_out;         /**< with FERRY_E_TIMED_OUT. */
    uint64_t completions;       /**< Completions, those with FERRY_MORE included. */
    uint64_t ops_in_flight;     /**< Now: as @ref ferry_engine_info.ops_in_flight. */
    uint64_t queues;            /**< Now: queues. */
    uint64_t queue_depth;       /**< Now: completions in their rings that nobody has taken. */
    uint64_t queue_held;        /**< Now: final completions that wait for room in a ring. */
    uint64_t handles_open;      /**< Now: handles. */
    uint64_t connections;       /**< Accepted connections. */
    uint64_t buffers_lent;      /**< Now: buffers not released. */
    uint64_t buffer_bytes_lent; /**< Now: as @ref ferry_engine_info.buffer_bytes_lent. */
    uint64_t bytes_received;    /**< From streams, as told in completions; by copies, too. */
    uint64_t bytes_sent;        /**< To streams, taken by the system; by copies, too. */
    uint64_t bytes_read;        /**< From files. */
    uint64_t bytes_written;     /**< To files. */
    uint64_t turns;             /**< Turns of the loops. */
    uint64_t turn_ns;         /**< Time that turns took, waiting and polling not included. Only with
                                     @ref ferry_engine_options.stall_ns; otherwise 0, like the next. */
    uint64_t turn_worst_ns;   /**< The longest turn. */
    uint64_t wakeups;         /**< Times a loop slept and was woken by another thread. */
    uint64_t stalls;          /**< Tasks that took longer than stall_ns. */
    uint64_t budget_overruns; /**< Runs that took longer than their budget. */
    uint64_t budget_overrun_worst_ns; /**< By how much the worst of them. */
} ferry_metrics;

/**
 * Counts and depths, at the cost of some hundred loads for each shard.
 *
 * @param[in]     engine   The engine.
 * @param[in,out] metrics  Filled up to its struct_size. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_engine_get_metrics(ferry_engine *engine, ferry_metrics *metrics);

/** Receives one metric; the name lives until it returns. No call of Ferry's is forbidden. */
typedef void (*ferry_metric_fn)(const char *name, uint64_t value, void *user_data);

/**
 * The same as names and values, for hosts that pass them on: each field of @ref ferry_metrics by its name,
 * then for each shard those that it has of its own, as shard_0_turns. Names do not change.
 *
 * @param[in] engine     The engine.
 * @param[in] each       Called with one after the other, within this call. Not NULL.
 * @param[in] user_data  For each. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_engine_walk_metrics(ferry_engine *engine, ferry_metric_fn each,
                                                 void *user_data);

/** How to write a trace. Every field's 0 is its default, but for write. */
typedef struct ferry_trace_writer_options {
    uint32_t struct_size; /**< sizeof(ferry_trace_writer_options); 0 is FERRY_E_INVALID. */
    uint32_t buffer_size; /**< Bytes between two calls of write; 0 = 65536. 1024 to 2^30. */
    ferry_text_fn write;  /**< Where the text goes, a call at a time, from the trace hook: the loop
                               stands still meanwhile. No call of Ferry's. Not NULL. */
    void *user_data;      /**< For the three hooks. */
    ferry_allocate_fn allocate; /**< NULL = the C library's. */
    ferry_free_fn free;         /**< NULL = the C library's. */
} ferry_trace_writer_options;

/** Writes a trace: Chrome's trace event format, which Perfetto (ui.perfetto.dev) shows. */
typedef struct ferry_trace_writer ferry_trace_writer;

/**
 * Make a writer of traces. Give @ref ferry_trace_writer_event as @ref ferry_engine_options.trace and the
 * writer as its trace_user_data; several engines may have the same.
 *
 * @param[in]  options     How. @borrowed
 * @param[out] writer_out  The writer; release with @ref ferry_trace_writer_destroy.
 *                         NULL on failure. @owned
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED (a longer struct with a non-zero tail),
 *   FERRY_E_NO_MEMORY.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_trace_writer_create(const ferry_trace_writer_options *options,
                                                 ferry_trace_writer **writer_out);

/**
 * The trace hook of a writer's: a @ref ferry_trace_fn. Allocates nothing. In a fork's child it does
 * nothing.
 *
 * @param[in] event      What happened; of a kind it does not know: nothing is written. @borrowed
 * @param[in] user_data  The writer. @borrowed
 * @threads any  @since API 1
 */
FERRY_API void ferry_trace_writer_event(const ferry_trace_event *event, void *user_data);

/**
 * End the trace's JSON (an array, whose closing bracket readers of the format do without), hand over what is left of it and free the writer. The engines that tell it of
 * their events are stopped by then. In a fork's child it only frees.
 *
 * @param[in] writer  NULL is fine. @owned
 * @returns FERRY_OK, FERRY_E_INVALID (no writer).
 * @threads exclusive  @since API 1
 */
FERRY_API ferry_status ferry_trace_writer_destroy(ferry_trace_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
