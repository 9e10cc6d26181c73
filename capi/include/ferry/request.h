/**
 * @file
 * The request: one frozen 128-byte record that describes any operation.
 *
 * The ferry_prepare_... functions fill it, or a binding fills it itself: the layout is fixed and
 * every byte that an operation does not name must be zero (FERRY_E_UNSUPPORTED otherwise).
 */
#ifndef FERRY_REQUEST_H
#define FERRY_REQUEST_H

#include <ferry/address.h>
#include <ferry/base.h>
#include <ferry/completion.h>
#include <ferry/opcode.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of @ref ferry_request.flags. */
enum {
    /** Go on after the first completion (accept, receive, timer): see FERRY_MORE. */
    FERRY_MULTISHOT = 1u << 0,
    /** Send: copy the bytes at submit, so that they need not stay pinned. */
    FERRY_COPY = 1u << 1,
    /** Receive: into a buffer of the engine's, lent when data arrives. */
    FERRY_LEND = 1u << 2,
    /** Listen: let other sockets bind the same address and share its connections (SO_REUSEPORT). */
    FERRY_REUSE_PORT = 1u << 3
};

/** Most bytes that FERRY_COPY copies; a longer send with it is FERRY_E_LIMIT. */
#define FERRY_COPY_MAX 65536u

/** Longest path in bytes, without its NUL. A longer one is FERRY_E_NAME_TOO_LONG at submit. */
#define FERRY_PATH_MAX 4095u

/** Parameters of FERRY_OP_TIMER. */
typedef struct ferry_timer_params {
    uint64_t delay_ns;    /**< From submit to the first expiry. */
    uint64_t interval_ns; /**< Between later expiries; 0 for a one-shot timer. */
} ferry_timer_params;

/** Parameters of FERRY_OP_TCP_LISTEN. */
typedef struct ferry_listen_params {
    ferry_address address; /**< Local address; port 0 lets the system choose. */
    uint64_t backlog;      /**< Connections that may wait to be accepted; 0 = 511. */
} ferry_listen_params;

/** Parameters of FERRY_OP_TCP_CONNECT. */
typedef struct ferry_connect_params {
    ferry_address address; /**< The peer's address. */
} ferry_connect_params;

/** Parameters of FERRY_OP_STREAM_RECEIVE. */
typedef struct ferry_receive_params {
    union {
        void *buffer;        /**< Where to; NULL with FERRY_LEND. */
        uint64_t buffer_u64; /**< The same eight bytes. */
    };
    uint64_t size; /**< Capacity in bytes; 0 with FERRY_LEND. */
} ferry_receive_params;

/** Parameters of FERRY_OP_STREAM_SEND. */
typedef struct ferry_send_params {
    union {
        const void *data;  /**< From where. */
        uint64_t data_u64; /**< The same eight bytes. */
    };
    uint64_t size; /**< Bytes to send. */
} ferry_send_params;

/** Parameters of FERRY_OP_FILE_LOAD. */
typedef struct ferry_load_params {
    union {
        const char *path;  /**< NUL-terminated, in the system's encoding. */
        uint64_t path_u64; /**< The same eight bytes. */
    };
    uint64_t size_max; /**< Largest file to load in bytes; 0 = the engine's buffer ceiling. */
} ferry_load_params;

/** Describes one operation. Frozen: 128 bytes, the same offsets on every system. */
typedef struct ferry_request {
    uint16_t opcode;     /**< FERRY_OP_... */
    uint16_t reserved;   /**< 0. */
    uint32_t flags;      /**< FERRY_MULTISHOT, FERRY_COPY, ... */
    uint64_t tag;        /**< The host's own value, returned in every completion of this request. */
    ferry_handle target; /**< The handle it works on, FERRY_NONE where there is none. */
    union {
        ferry_completion_fn
            callback;          /**< For inline and dispatched queues; NULL: nobody is told, lent
                                         buffers are released. */
        uint64_t callback_u64; /**< The same eight bytes. */
    };
    union {
        void *user_data;        /**< Passed to callback; never followed by the engine. */
        uint64_t user_data_u64; /**< The same eight bytes. */
    };
    uint64_t deadline_ns; /**< From submit, in ns; 0 = none. Multishot: bounds the whole of it. */
    union {
        uint64_t words[10];           /**< All 80 bytes; those not named by the operation are 0. */
        ferry_timer_params timer;     /**< FERRY_OP_TIMER. */
        ferry_listen_params listen;   /**< FERRY_OP_TCP_LISTEN. */
        ferry_connect_params connect; /**< FERRY_OP_TCP_CONNECT. */
        ferry_receive_params receive; /**< FERRY_OP_STREAM_RECEIVE. */
        ferry_send_params send;       /**< FERRY_OP_STREAM_SEND. */
        ferry_load_params load;       /**< FERRY_OP_FILE_LOAD. */
    } params;                         /**< By opcode. */
} ferry_request;

/**
 * Describe an operation that does nothing: it completes with FERRY_OK on the shard's next turn.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @completes result = 0. Errors: FERRY_E_CANCELED, FERRY_E_TIMED_OUT, FERRY_E_SHUTDOWN.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_nop(ferry_request *request);

/**
 * Describe closing a handle of any kind. Whatever is pending on the handle ends first, with
 * FERRY_E_CLOSED; bytes not yet sent are discarded. Closing what is closed already is fine.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  handle   What to close.
 * @completes result = 0; FERRY_OK also for a handle closed before. Errors: FERRY_E_BAD_HANDLE.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_handle_close(ferry_request *request, ferry_handle handle);

#ifdef __cplusplus
}
#endif

#endif
