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
 * A shard's memory is its thread's, so each shard is asked, and its loop stands still while it tells: about
 * a microsecond for each operation. One that does not answer in time, because it is stuck in a callback or
 * the host does not run it, is in the text with "answered": false. On the engine's own thread,
 * callbacks included, the shard is told of at once.
 *
 * @param[in]  engine      The engine; also one that has been shut down.
 * @param[in]  timeout_ns  How long to wait for all shards together; 0 = do not wait, FERRY_FOREVER.
 * @param[out] text        Where to write it, with a zero behind; NULL = only ask for its size. Filled in part
 *                         when capacity does not suffice. @borrowed
 * @param[in]  capacity    Bytes there.
 * @param[out] size_out    The text's size without the zero: capacity must be larger. It changes with each
 *                         call, so leave some room. 0 on other failures. @borrowed
 * @returns FERRY_OK, FERRY_E_LIMIT (capacity does not suffice), FERRY_E_INVALID, FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_engine_dump(ferry_engine *engine, uint64_t timeout_ns, char *text,
                                         size_t capacity, size_t *size_out);

/** How to write a trace. Every field's 0 is its default, but for write. */
typedef struct ferry_trace_writer_options {
    uint32_t struct_size; /**< sizeof(ferry_trace_writer_options); 0 is FERRY_E_INVALID. */
    uint32_t
        buffer_size; /**< Bytes gathered between two calls of write; 0 = 65536. 1024 to 2^30. */
    ferry_text_fn
        write;       /**< Where the text goes, a call at a time; called from the trace hook, so the
                               loop stands still meanwhile. No call of Ferry's. Not NULL. */
    void *user_data; /**< For the three hooks. */
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
 * End the trace's JSON, hand over what is left of it and free the writer. The engines that tell it of
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
