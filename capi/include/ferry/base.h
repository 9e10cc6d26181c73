/**
 * @file
 * The words every other header uses: symbol export, fixed-width identifiers, opaque types.
 *
 * Ferry's headers include only <stdint.h>, <stddef.h> and <stdbool.h>, and each compiles alone as
 * C11 and as C++17.
 */
#ifndef FERRY_BASE_H
#define FERRY_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define FERRY_API __attribute__((visibility("default")))
#else
#define FERRY_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** An engine: its loops, its worker threads, its handles and its queues. Never a global. */
typedef struct ferry_engine ferry_engine;

/** Where requests go in and completions come out. Belongs to one engine. */
typedef struct ferry_queue ferry_queue;

/**
 * Names a thing that the engine keeps open: a listener, a stream, a file, a channel. A plain
 * 64-bit value made of kind, engine, shard, generation and slot; never a pointer. A handle that was
 * closed, comes from another engine or is of the wrong kind is told apart and answered with its own
 * status.
 */
typedef uint64_t ferry_handle;

/** Names one accepted request, for @ref ferry_queue_cancel. Never reused for another request. */
typedef uint64_t ferry_op;

/** Names one lent buffer, for @ref ferry_buffer_release. */
typedef uint64_t ferry_buffer;

/** 0 or a negative FERRY_E_... constant; see status.h. */
typedef int32_t ferry_status;

/** No handle, no op, no buffer. */
#define FERRY_NONE UINT64_C(0)

/** As a wait or a timeout: no end. */
#define FERRY_FOREVER UINT64_MAX

#ifdef __cplusplus
}
#endif

#endif
