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
    /** Go on after the first completion (accept, receives, timer): see FERRY_MORE. */
    FERRY_MULTISHOT = 1u << 0,
    /** Send: copy the bytes at submit, so that they need not stay pinned. */
    FERRY_COPY = 1u << 1,
    /** Receive: into a buffer of the engine's, lent when data arrives. */
    FERRY_LEND = 1u << 2,
    /** Listen: let other sockets bind the same address and share its connections (SO_REUSEPORT). */
    FERRY_REUSE_PORT = 1u << 3,
    /** Listen, adopt a listener: spread its connections over the engine's shards, by turns. */
    FERRY_SPREAD = 1u << 4
};

/** Most bytes that FERRY_COPY copies; a longer send with it is FERRY_E_LIMIT. */
#define FERRY_COPY_MAX 65536u

/** Longest path in bytes, without its NUL. A longer one is FERRY_E_NAME_TOO_LONG at submit. */
#define FERRY_PATH_MAX 4095u

/** Most pieces of a vectored request. */
#define FERRY_SLICES_MAX 1024u

/** As @ref ferry_file_params.offset, read or write at the file's own position and move it. */
#define FERRY_AT_POSITION UINT64_MAX

/** A piece of memory. Frozen: 16 bytes. */
typedef struct ferry_slice {
    union {
        void *data;        /**< Where it begins; only read where the request sends or writes it. */
        uint64_t data_u64; /**< The same eight bytes. */
    };
    uint64_t size; /**< Its bytes; 0 is allowed. */
} ferry_slice;

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
    ferry_address local;   /**< Where from; all zero: the system chooses. Port 0: any port. */
} ferry_connect_params;

/** Parameters of FERRY_OP_TCP_CONNECT_NAME. */
typedef struct ferry_connect_name_params {
    union {
        const char *name;  /**< NUL-terminated host name or literal address. */
        uint64_t name_u64; /**< The same eight bytes. */
    };
    uint64_t port;             /**< 1 to 65535. */
    uint64_t attempt_delay_ns; /**< Before the next address is tried beside the one before it
                                    (RFC 8305 section 5); 0 = 250 ms. */
} ferry_connect_name_params;

/** Parameters of FERRY_OP_NAME_RESOLVE. */
typedef struct ferry_resolve_params {
    union {
        const char *name;  /**< NUL-terminated host name or literal address. */
        uint64_t name_u64; /**< The same eight bytes. */
    };
    uint32_t family; /**< FERRY_IPV4, FERRY_IPV6, or 0 for both. */
    uint32_t port;   /**< Put into every address. At most 65535. */
} ferry_resolve_params;

/** Parameters of FERRY_OP_SOCKET_ADDRESS. */
typedef struct ferry_socket_address_params {
    uint64_t peer; /**< 0: the socket's own address; 1: its peer's. */
} ferry_socket_address_params;

/** Parameters of FERRY_OP_SOCKET_SET. */
typedef struct ferry_socket_set_params {
    uint32_t option;   /**< FERRY_SOCKET_... */
    uint32_t reserved; /**< 0. */
    int64_t value;     /**< By option. */
} ferry_socket_set_params;

/** Parameters of FERRY_OP_DESCRIPTOR_ADOPT. */
typedef struct ferry_adopt_params {
    int64_t descriptor; /**< The system's number. */
    uint64_t kind;      /**< FERRY_DESCRIPTOR_... */
} ferry_adopt_params;

/** Parameters of FERRY_OP_HANDLE_COPY; the request's target is where from. */
typedef struct ferry_copy_params {
    ferry_handle to;      /**< Where to. */
    uint64_t size;        /**< Bytes; UINT64_MAX = until the source ends. */
    uint64_t from_offset; /**< Where to begin in a source that is a file, else 0. */
    uint64_t to_offset;   /**< Where to begin in a destination that is a file, else 0. */
} ferry_copy_params;

/** Parameters of FERRY_OP_STREAM_RECEIVE and FERRY_OP_STREAM_RECEIVE_EXACTLY. */
typedef struct ferry_receive_params {
    union {
        void *buffer;        /**< Where to; NULL with FERRY_LEND. */
        uint64_t buffer_u64; /**< The same eight bytes. */
    };
    uint64_t size; /**< Capacity in bytes; 0 with FERRY_LEND. */
} ferry_receive_params;

/** Parameters of FERRY_OP_STREAM_RECEIVE_UNTIL. */
typedef struct ferry_receive_until_params {
    union {
        void *buffer;        /**< Where to; NULL with FERRY_LEND. */
        uint64_t buffer_u64; /**< The same eight bytes. */
    };
    uint64_t size;           /**< Most bytes to receive, the delimiter included. */
    uint64_t delimiter_size; /**< 1 to 16. */
    uint8_t delimiter[16];   /**< So many bytes, the rest 0. */
} ferry_receive_until_params;

/** Parameters of FERRY_OP_STREAM_SEND. */
typedef struct ferry_send_params {
    union {
        const void *data;  /**< From where. */
        uint64_t data_u64; /**< The same eight bytes. */
    };
    uint64_t size; /**< Bytes to send. */
} ferry_send_params;

/** Parameters of FERRY_OP_STREAM_SEND_VECTORED, FERRY_OP_FILE_READ_VECTORED and _WRITE_VECTORED. */
typedef struct ferry_slices_params {
    union {
        const ferry_slice *slices; /**< The pieces, in order. */
        uint64_t slices_u64;       /**< The same eight bytes. */
    };
    uint64_t count;  /**< How many: 1 to @ref FERRY_SLICES_MAX. */
    uint64_t offset; /**< Files: as @ref ferry_file_params.offset. Streams: 0. */
} ferry_slices_params;

/** Parameters of FERRY_OP_FILE_READ and FERRY_OP_FILE_WRITE. */
typedef struct ferry_file_params {
    union {
        void *buffer;        /**< Where to (read) or from where (write). */
        uint64_t buffer_u64; /**< The same eight bytes. */
    };
    uint64_t size;   /**< Bytes. */
    uint64_t offset; /**< Where in the file; @ref FERRY_AT_POSITION = at the file's position. */
} ferry_file_params;

/** Parameters of FERRY_OP_FILE_OPEN. */
typedef struct ferry_open_params {
    union {
        const char *path;  /**< NUL-terminated, in the system's encoding. */
        uint64_t path_u64; /**< The same eight bytes. */
    };
    uint32_t open_flags; /**< FERRY_OPEN_... */
    uint32_t mode;       /**< Permissions of a file that is created, less the umask; 0 = 0666. */
} ferry_open_params;

/** Parameters of FERRY_OP_FILE_STORE. */
typedef struct ferry_store_params {
    union {
        const char *path;  /**< NUL-terminated, in the system's encoding. */
        uint64_t path_u64; /**< The same eight bytes. */
    };
    union {
        const void *data;  /**< The whole file. */
        uint64_t data_u64; /**< The same eight bytes. */
    };
    uint64_t size; /**< Its bytes; may be 0. */
    uint64_t mode; /**< Permissions, less the umask; 0 = those of the file that is replaced, or
                        0666. */
} ferry_store_params;

/** Parameters of FERRY_OP_FILE_SYNC. */
typedef struct ferry_sync_params {
    uint64_t data_only; /**< 1: the bytes and what is needed to read them (fdatasync). 0: all. */
} ferry_sync_params;

/** Parameters of FERRY_OP_FILE_TRUNCATE. */
typedef struct ferry_truncate_params {
    uint64_t size; /**< The file's new size in bytes. */
} ferry_truncate_params;

/** Parameters of FERRY_OP_PATH_STAT. */
typedef struct ferry_path_params {
    union {
        const char *path;  /**< NUL-terminated, in the system's encoding. */
        uint64_t path_u64; /**< The same eight bytes. */
    };
    uint64_t no_follow; /**< 1: of a symbolic link itself, not of what it points to. */
} ferry_path_params;

/** Parameters of FERRY_OP_CHANNEL_OPEN. */
typedef struct ferry_channel_params {
    uint64_t capacity; /**< Messages it holds; 0: each waits for its receiver. */
} ferry_channel_params;

/** Parameters of FERRY_OP_CHANNEL_SEND. */
typedef struct ferry_message_params {
    int64_t result;    /**< The receiver's @ref ferry_completion.result. */
    uint64_t data_u64; /**< The receiver's @ref ferry_completion.data_u64; never followed. */
} ferry_message_params;

/** Parameters of FERRY_OP_CHAIN, FERRY_OP_ALL, FERRY_OP_RACE. */
typedef struct ferry_children_params {
    union {
        const struct ferry_request *children; /**< The requests, in order. */
        uint64_t children_u64;                /**< The same eight bytes. */
    };
    uint64_t count; /**< How many. */
} ferry_children_params;

/** Parameters of FERRY_OP_RETRY. */
typedef struct ferry_retry_params {
    union {
        const struct ferry_request *child; /**< The request. */
        uint64_t child_u64;                /**< The same eight bytes. */
    };
    uint64_t attempts_max; /**< 0 = no limit. */
    uint64_t delay_ns;     /**< Before the second attempt; doubled before each later one. */
    uint64_t delay_max_ns; /**< The delay grows no further; 0 = no limit. */
} ferry_retry_params;

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
        /** For inline and dispatched queues; NULL: nobody is told, lent buffers are released. */
        ferry_completion_fn callback;
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
        ferry_connect_name_params connect_name;     /**< FERRY_OP_TCP_CONNECT_NAME. */
        ferry_resolve_params resolve;               /**< FERRY_OP_NAME_RESOLVE. */
        ferry_socket_address_params socket_address; /**< FERRY_OP_SOCKET_ADDRESS. */
        ferry_socket_set_params socket_set;         /**< FERRY_OP_SOCKET_SET. */
        ferry_adopt_params adopt;                   /**< FERRY_OP_DESCRIPTOR_ADOPT. */
        ferry_copy_params copy;                     /**< FERRY_OP_HANDLE_COPY. */
        ferry_receive_params receive;               /**< FERRY_OP_STREAM_RECEIVE, _EXACTLY. */
        ferry_receive_until_params receive_until;   /**< FERRY_OP_STREAM_RECEIVE_UNTIL. */
        ferry_send_params send;                     /**< FERRY_OP_STREAM_SEND. */
        ferry_slices_params slices;                 /**< The vectored operations. */
        ferry_load_params load;                     /**< FERRY_OP_FILE_LOAD. */
        ferry_store_params store;                   /**< FERRY_OP_FILE_STORE. */
        ferry_open_params open;                     /**< FERRY_OP_FILE_OPEN. */
        ferry_file_params file;                     /**< FERRY_OP_FILE_READ, _WRITE. */
        ferry_sync_params sync;                     /**< FERRY_OP_FILE_SYNC. */
        ferry_truncate_params truncate;             /**< FERRY_OP_FILE_TRUNCATE. */
        ferry_path_params path;                     /**< FERRY_OP_PATH_STAT. */
        ferry_channel_params channel;               /**< FERRY_OP_CHANNEL_OPEN. */
        ferry_message_params message;               /**< FERRY_OP_CHANNEL_SEND. */
        ferry_children_params children;             /**< FERRY_OP_CHAIN, _ALL, _RACE. */
        ferry_retry_params retry;                   /**< FERRY_OP_RETRY. */
    } params;                                       /**< By opcode. */
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

/**
 * Describe copying bytes from one stream or file to another, within the system where it can.
 *
 * On a stream it takes its place like any other operation: it is the source's only receive, and
 * goes out after the sends before it. Bytes that a receive left over come first.
 *
 * @param[out] request      Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  from         A stream or a file.
 * @param[in]  to           A stream or a file on the same shard (FERRY_E_WRONG_SHARD).
 * @param[in]  size         Bytes to copy; UINT64_MAX = until the source ends.
 * @param[in]  from_offset  Where to begin in a source that is a file, else 0.
 * @param[in]  to_offset    Where to begin in a destination that is a file, else 0.
 * @completes result = bytes that the destination took, also on failure; FERRY_OK and fewer than
 *   size: the source ended. Errors: those of receiving, reading, sending and writing,
 *   FERRY_E_WRONG_SHARD, FERRY_E_BUSY, FERRY_E_INVALID (both are the same), FERRY_E_CANCELED,
 *   FERRY_E_TIMED_OUT, FERRY_E_CLOSED (either one). A copy from a stream that ends early may have
 *   taken up to 64 KiB more from it than arrived; those are lost. FERRY_REUSABLE: nothing was.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_handle_copy(ferry_request *request, ferry_handle from, ferry_handle to,
                                         uint64_t size, uint64_t from_offset, uint64_t to_offset);

#ifdef __cplusplus
}
#endif

#endif
