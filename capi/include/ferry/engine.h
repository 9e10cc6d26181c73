/**
 * @file
 * The engine: create, run, shut down, destroy, look inside.
 *
 * An engine has shards: loops that each run on one thread. With shards = 0 there is one loop and
 * the host runs it (@ref ferry_engine_run); otherwise the engine has a thread for each. What it
 * does to your process: it opens a handful of descriptors, starts the threads you asked for (all
 * signals blocked in them), installs no signal handler, keeps no global state. (libuv, once used,
 * keeps a pipe of two descriptors until the process ends or the library is unloaded.)
 */
#ifndef FERRY_ENGINE_H
#define FERRY_ENGINE_H

#include <ferry/status.h>
#include <ferry/trace.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The host's allocator; all three or none. May be called from any thread, also from several at
 * once. allocate returns memory aligned for any type (16 bytes), or NULL to refuse: the operation
 * that needed it then ends with FERRY_E_NO_MEMORY.
 */
typedef void *(*ferry_allocate_fn)(size_t size, void *user_data);
/** Frees what allocate gave; size is the size that was asked for. */
typedef void (*ferry_free_fn)(void *memory, size_t size, void *user_data);

/** Values of a log line's level. */
enum {
    FERRY_LOG_ERROR = 0,  /**< The engine is poisoned: an invariant of its own is broken. */
    FERRY_LOG_WARNING = 1 /**< Something holds a loop for longer than it may (stall_ns). */
};

/** Receives one line of the engine's log, of level FERRY_LOG_... It may only record: no call of
    Ferry's. Any thread, several at once. */
typedef void (*ferry_log_fn)(int32_t level, const char *message, void *user_data);

/** Bits of @ref ferry_engine_options.flags. */
enum {
    /** Host-driven: no run binds the engine to its thread. Run, fd and shutdown may come from any
        thread, one at a time (FERRY_E_BUSY), for hosts whose tasks move between threads. */
    FERRY_ENGINE_ANY_THREAD = 1u << 0
};

/** What is below the engine: values of @ref ferry_engine_options.driver */
enum {
    FERRY_DRIVER_AUTO = 0,  /**< io_uring where it works, libuv otherwise and for the rest. */
    FERRY_DRIVER_UV = 1,    /**< libuv and worker threads only. */
    FERRY_DRIVER_URING = 2, /**< io_uring or no engine; libuv for what the ring cannot do. */
    FERRY_DRIVER_SIM = 3    /**< A simulated world, decided by a seed: see sim.h. */
};

/**
 * What goes through io_uring's ring: bits of @ref ferry_engine_info.ring and of
 * @ref ferry_engine_options.ring_without. Each is asked of the kernel at creation; what it does not
 * know is done by readiness and worker threads, with the same results.
 */
enum {
    FERRY_RING_ACCEPT = 1u << 0,  /**< Accepting connections. */
    FERRY_RING_CONNECT = 1u << 1, /**< Connecting. */
    FERRY_RING_RECEIVE = 1u << 2, /**< Receiving from streams. */
    FERRY_RING_LEND = 1u << 3,    /**< Receiving into buffers picked when bytes arrive. */
    FERRY_RING_SEND = 1u << 4,    /**< Sending on streams. */
    FERRY_RING_OPEN = 1u << 5,    /**< Opening files. */
    FERRY_RING_READ = 1u << 6,    /**< Reading files. */
    FERRY_RING_WRITE = 1u << 7,   /**< Writing files. */
    FERRY_RING_CLOSE = 1u << 8,   /**< Closing files. */
    FERRY_RING_LOAD = 1u << 9     /**< Whole files as one chain of the kernel's. */
};

/** How to make an engine. Every field's 0 is its default. */
typedef struct ferry_engine_options {
    uint32_t struct_size; /**< sizeof(ferry_engine_options); 0 is FERRY_E_INVALID. */
    uint32_t flags;       /**< FERRY_ENGINE_ANY_THREAD, or 0. */
    uint32_t shards;      /**< Loops with a thread each, 1 to 64; 0 = one loop, run by the host. */
    uint32_t ops_max;     /**< Operations in flight per shard; 0 = 16384, at most 4194303. */
    uint32_t handles_max; /**< Handles open per shard; 0 = 65536, at most 4194303. */
    uint32_t workers_max; /**< Threads for blocking file work; 0 = 4, at most 256. */
    uint64_t buffer_bytes_max;  /**< Bytes lent at once, per shard for receives and again for loaded
                                    files; 0 = 256 MiB. At least 64 KiB. */
    ferry_allocate_fn allocate; /**< NULL = the C library's. */
    ferry_free_fn free;         /**< NULL = the C library's. */
    ferry_log_fn log;           /**< NULL = no log. */
    void *user_data;            /**< For the three hooks. */
    ferry_trace_fn trace;       /**< Told of every operation's life, see trace.h; NULL = off. */
    void *trace_user_data;      /**< For trace. */
    uint32_t name_workers_max;  /**< Threads for looking up names; 0 = 4, at most 256. */
    uint32_t driver;            /**< FERRY_DRIVER_AUTO, ... */
    uint64_t ring_without;      /**< FERRY_RING_... bits: not these, though the kernel has them. */
    uint64_t seed;              /**< FERRY_DRIVER_SIM: decides all that is left to chance. */
    uint64_t stall_ns; /**< A callback, or a step of an operation, that takes longer is told to log:
                            once while it lasts, by a thread for that, and once when it is over. 0 = off.
                            FERRY_FOREVER only measures (@ref ferry_metrics.turn_ns). */
} ferry_engine_options;

/** What one @ref ferry_engine_run did. An output: set struct_size before the call. */
typedef struct ferry_run_report {
    uint32_t struct_size;   /**< sizeof(ferry_run_report). */
    uint32_t left;          /**< Operations ready to run that the budget left over. */
    uint64_t completed;     /**< Completions made, those with FERRY_MORE included. */
    uint64_t oldest_age_ns; /**< For how long there has been something left over. */
    uint64_t overrun_ns;    /**< By how much the budget was overrun; 0 if kept or none. */
} ferry_run_report;

/** A look inside. An output: set struct_size before the call. Counts are momentary. */
typedef struct ferry_engine_info {
    uint32_t struct_size;   /**< sizeof(ferry_engine_info). */
    uint32_t shards;        /**< Loops: 1 for a host-driven engine. */
    uint32_t host_driven;   /**< 1 if the host runs the loop. */
    uint32_t state;         /**< FERRY_ENGINE_RUNNING and so on. */
    uint64_t ops_in_flight; /**< Accepted requests whose final completion is not in a ring yet. */
    uint64_t handles_open;  /**< Handles not closed yet. */
    uint64_t buffers_lent;  /**< Buffers not released yet. */
    uint64_t buffer_bytes_lent; /**< Bytes of loaded files not released yet, and of the places
                                     for the results of compositions, from their beginning on. */
    uint32_t workers;           /**< Worker threads alive, for files and for names. */
    uint32_t workers_detached;  /**< Of these, held by the system for operations that have ended. */
    const char *driver;         /**< "uv", "uring" with a ring, "sim". A static string. */
    uint64_t ring;              /**< FERRY_RING_... bits: what goes through it. */
} ferry_engine_info;

/** A look into one shard. An output: set struct_size before the call. Momentary, or since creation. */
typedef struct ferry_shard_info {
    uint32_t struct_size;   /**< sizeof(ferry_shard_info). */
    uint32_t index;         /**< Which shard: 0 to @ref ferry_engine_info.shards - 1. */
    uint64_t ops_in_flight; /**< Of its operations, as @ref ferry_engine_info.ops_in_flight. */
    uint64_t handles_open;  /**< Handles that live on it. */
    uint64_t buffers_lent;  /**< Its buffers that are not released yet. */
    uint64_t completions; /**< Since creation: completions made, those with FERRY_MORE included. */
    uint64_t connections; /**< Since creation: accepted connections whose handle it made. */
    uint64_t turns;       /**< Since creation: turns of its loop. */
    uint64_t wakeups;     /**< Since creation: times it slept and was woken by another thread. */
} ferry_shard_info;

/** Values of @ref ferry_engine_info.state. */
enum {
    FERRY_ENGINE_RUNNING = 0,       /**< Accepts requests. */
    FERRY_ENGINE_SHUTTING_DOWN = 1, /**< Refuses requests, ends those it has. */
    FERRY_ENGINE_STOPPED = 2        /**< All have ended; can be destroyed. */
};

/**
 * Make an engine.
 *
 * @param[in]  options     NULL = all defaults. @borrowed
 * @param[out] engine_out  The engine; release with @ref ferry_engine_destroy.
 *                         NULL on failure. @owned
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED (unknown flags, drivers or ring bits, a
 *   longer struct with a non-zero tail, FERRY_DRIVER_URING where there is no io_uring or with
 *   FERRY_ENGINE_ANY_THREAD: a ring belongs to one thread), FERRY_E_INVALID also for
 *   FERRY_DRIVER_SIM with shards or FERRY_ENGINE_ANY_THREAD, and for a seed without it,
 *   FERRY_E_NO_MEMORY, FERRY_E_NO_DESCRIPTORS (nothing is left behind).
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_engine_create(const ferry_engine_options *options,
                                           ferry_engine **engine_out);

/**
 * Run a host-driven engine: wait for something to do, do what is ready, return.
 *
 * The first call binds the engine to its thread; from then on what that thread
 * submits needs no lock. With FERRY_ENGINE_ANY_THREAD it does so until it returns.
 *
 * @param[in]     engine     A host-driven engine.
 * @param[in]     wait_ns    How long to wait if nothing is ready; 0 = poll, FERRY_FOREVER.
 * @param[in]     budget_ns  How long to work; 0 = until nothing is ready any more. Checked between
 *                           operations: the overrun is at most one step of one operation (or one
 *                           inline callback of the host's).
 * @param[in,out] report     What was done; NULL = do not tell. @borrowed
 * @returns FERRY_OK also when nothing happened; FERRY_E_INVALID, FERRY_E_UNSUPPORTED (the engine
 *   has threads of its own), FERRY_E_WRONG_THREAD, FERRY_E_BUSY (from a callback; another thread
 *   runs it just now), FERRY_E_FORKED, FERRY_E_SHUTDOWN (stopped).
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_engine_run(ferry_engine *engine, uint64_t wait_ns, uint64_t budget_ns,
                                        ferry_run_report *report);

/**
 * A descriptor for a host-driven engine inside a foreign loop: readable when @ref ferry_engine_run
 * has something to do, timers included. Only for poll, epoll, select: never read, write or close
 * it. The call is a turn of its own, as a run without a wait: inline callbacks may come within it.
 *
 * @param[in]  engine  A host-driven engine.
 * @param[out] fd_out  The descriptor, the engine's; -1 on failure. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED (own threads), FERRY_E_WRONG_THREAD,
 *   FERRY_E_BUSY (from a callback), FERRY_E_FORKED, FERRY_E_SHUTDOWN.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_engine_fd(ferry_engine *engine, int32_t *fd_out);

/**
 * End everything: refuse new requests, cancel all pending ones (they complete with
 * FERRY_E_SHUTDOWN), close all handles, stop the threads. Completions can
 * still be reaped afterwards.
 *
 * Blocks until all is done or the timeout passes. A host-driven engine is run by this call.
 * What the system holds for longer is counted (@ref ferry_engine_info.workers_detached) and may be
 * waited for by calling again.
 *
 * @param[in] engine      The engine.
 * @param[in] timeout_ns  How long to wait; FERRY_FOREVER.
 * @returns FERRY_OK, FERRY_E_TIMED_OUT, FERRY_E_INVALID, FERRY_E_WRONG_THREAD (host-driven: another
 *   thread than the one that runs it; otherwise: from a callback), FERRY_E_BUSY (from a callback,
 *   or another shutdown is under way), FERRY_E_FORKED.
 * @threads any (host-driven: engine)  @since API 1
 */
FERRY_API ferry_status ferry_engine_shutdown(ferry_engine *engine, uint64_t timeout_ns);

/**
 * Free an engine with its queues and its lent buffers. Never blocks.
 *
 * In the child of a fork it may be called at any time: it closes the child's copies of the
 * descriptors and frees the memory; the parent's engine is not touched.
 *
 * @param[in] engine  NULL is fine.
 * @returns FERRY_OK, FERRY_E_BUSY (not shut down, or a worker has not returned; nothing happened).
 * @threads exclusive  @since API 1
 */
FERRY_API ferry_status ferry_engine_destroy(ferry_engine *engine);

/**
 * Look inside.
 *
 * @param[in]     engine  The engine.
 * @param[in,out] info    Filled up to its struct_size. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_engine_get_info(ferry_engine *engine, ferry_engine_info *info);

/**
 * Look into one shard: how evenly the work is spread.
 *
 * @param[in]     engine  The engine.
 * @param[in]     index   Which shard: 0 to @ref ferry_engine_info.shards - 1.
 * @param[in,out] info    Filled up to its struct_size. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID (also: no such shard), FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_engine_get_shard_info(ferry_engine *engine, uint32_t index,
                                                   ferry_shard_info *info);

/**
 * Close a handle without a completion. For finalisers and garbage collectors: never refuses for
 * want of a slot.
 *
 * @param[in] engine  The engine.
 * @param[in] handle  What to close; closing again is fine.
 * @returns FERRY_OK (also for a stale handle), FERRY_E_BAD_HANDLE, FERRY_E_FOREIGN,
 *   FERRY_E_INVALID, FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_handle_discard(ferry_engine *engine, ferry_handle handle);

#ifdef __cplusplus
}
#endif

#endif
