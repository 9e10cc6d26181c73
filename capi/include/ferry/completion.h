/**
 * @file
 * The completion message: one frozen 64-byte record for every operation.
 */
#ifndef FERRY_COMPLETION_H
#define FERRY_COMPLETION_H

#include <ferry/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of @ref ferry_completion.flags. Ignore bits you do not know. */
enum {
    /** Not the last: more completions of this request follow. Without it, this one is final. */
    FERRY_MORE = 1u << 0,
    /** @ref ferry_completion.data is lent: give it back with @ref ferry_buffer_release. */
    FERRY_BUFFER = 1u << 1,
    /** The operation failed or was cancelled, but nothing is torn: the target can be used on. */
    FERRY_REUSABLE = 1u << 2,
    /** Among the completions of a race's children: this one ended it. */
    FERRY_WINNER = 1u << 3
};

/** What an operation has to say. Frozen: 64 bytes, the same offsets on every system. */
typedef struct ferry_completion {
    uint64_t tag;        /**< The request's tag, untouched. */
    ferry_op op;         /**< Which request; FERRY_NONE for a posted message. */
    int64_t result;      /**< Bytes or a count; the length of data wherever data is returned. */
    ferry_status status; /**< FERRY_OK or FERRY_E_... */
    int32_t os_error;    /**< The operating system's own error number, 0 if it has none to say. */
    uint16_t opcode;     /**< FERRY_OP_... */
    uint16_t reserved;   /**< 0. */
    uint32_t flags;      /**< FERRY_MORE, FERRY_BUFFER, ... */
    ferry_handle handle; /**< The new one where the operation opens one, else the target. */
    union {
        const void *data;  /**< Engine-owned bytes or a record; lent if FERRY_BUFFER is set. */
        uint64_t data_u64; /**< The same eight bytes; in a posted message the host's own value. */
    };
    ferry_buffer buffer; /**< With FERRY_BUFFER: the id to release data by. */
} ferry_completion;

/**
 * Called with one completion, by @ref ferry_queue_dispatch on the host's thread, or on the engine's
 * thread for a queue made inline. The record is borrowed: copy what must outlive the call. It may
 * call everything but run, shutdown and destroy; what it submits starts after it has returned.
 */
typedef void (*ferry_completion_fn)(const ferry_completion *completion, void *user_data);

#ifdef __cplusplus
}
#endif

#endif
