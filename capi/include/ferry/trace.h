/**
 * @file
 * The trace hook: what becomes of every operation, told as it happens.
 *
 * Give @ref ferry_engine_options.trace and the engine calls it at the turning points of each
 * operation's life: BEGIN, any number of STEP and MORE, END. Without it (NULL) tracing costs one
 * branch at each of them.
 */
#ifndef FERRY_TRACE_H
#define FERRY_TRACE_H

#include <ferry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Values of @ref ferry_trace_event.kind. Ignore kinds you do not know. */
enum {
    /** The shard has taken the operation in. Once for each accepted request, and for each start of
        a child of it. */
    FERRY_TRACE_BEGIN = 1,
    /** It is resumed: what it waited for has come, or it has been interrupted. */
    FERRY_TRACE_STEP = 2,
    /** A completion with FERRY_MORE. */
    FERRY_TRACE_MORE = 3,
    /** The final completion; also of an operation that never ran. Once for each BEGIN. */
    FERRY_TRACE_END = 4
};

/** One moment of one operation. Frozen: 64 bytes, the same offsets on every system. */
typedef struct ferry_trace_event {
    uint64_t time_ns;    /**< The engine's clock: monotonic, any origin. Never falls on a shard. */
    ferry_op op;         /**< Which operation. BEGIN may come before submit has returned this id. */
    uint64_t tag;        /**< The request's tag; a child's own. */
    ferry_handle target; /**< The request's target; in MORE and END the completion's handle. */
    int64_t result;      /**< MORE and END: the completion's result. Else 0. */
    ferry_status status; /**< MORE and END: the completion's status. Else FERRY_OK. */
    uint16_t opcode;     /**< FERRY_OP_...; @ref ferry_opcode_name knows its name. */
    uint16_t kind;       /**< FERRY_TRACE_BEGIN, ... */
    uint32_t shard;      /**< On which shard, from 0. */
    uint32_t child;      /**< 0: the operation op itself; 1, 2, ...: a child of its composition, the
                              children of each level after those of the level above. */
    uint32_t parent;     /**< Of a child: that of the composition it belongs to, 0: of op itself. */
    uint32_t reserved;   /**< 0. */
} ferry_trace_event;

/**
 * Called with one event, on the thread of the shard it happened on: on one thread for each shard,
 * so with several shards on several threads at once. (What the thread of a host-driven engine
 * submits begins within submit.) The record is borrowed: copy it. The hook may only record: no call
 * of Ferry's, nothing that waits; while it runs, the loop stands still.
 *
 * The END of an operation is told before its completion can be reaped, or its callback is called. A
 * MORE may be told shortly after it can be reaped.
 */
typedef void (*ferry_trace_fn)(const ferry_trace_event *event, void *user_data);

#ifdef __cplusplus
}
#endif

#endif
