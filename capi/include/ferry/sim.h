/**
 * @file
 * The simulated world: the same engine and the same operations over a clock, a network and disks that
 * are made up in memory, and a seed that decides all that is left to chance.
 *
 * Make an engine with driver = FERRY_DRIVER_SIM, a seed and shards = 0, and run it as any host-driven
 * one. Time stands still while there is something to do and then jumps to the next event, so an hour
 * of timeouts takes milliseconds. The same seed and the same calls bring the same completions in the
 * same order, and the same trace, byte for byte; only the numbers of engines within ids differ (an op
 * id, a handle and a buffer id name the engine that gave it).
 *
 * The world begins with one host, number 0, "localhost", with 127.0.0.1 and ::1; a packet takes 50 us
 * from any host to any. @ref ferry_sim_add_host adds others. A listener and a connection are on the
 * host that has their local address; without one (a wildcard, a connect that names none) they are on
 * host 0. A path "//name/..." is on the disk of the host of that name, any other on host 0's; a
 * relative path begins at its root.
 *
 * Nothing fails by itself: faults are ordered (@ref ferry_sim_add_fault, @ref ferry_sim_add_chaos),
 * links are changed and cut (@ref ferry_sim_set_link), hosts crash (@ref ferry_sim_crash).
 *
 * Operations that the simulation does not know end with FERRY_E_UNSUPPORTED: adopting and releasing
 * descriptors. So does @ref ferry_engine_fd.
 *
 * Every call here answers FERRY_E_UNSUPPORTED for an engine of another driver, FERRY_E_WRONG_THREAD
 * off the engine's thread, FERRY_E_FORKED in a fork's child. An unknown host is FERRY_E_NOT_FOUND.
 */
#ifndef FERRY_SIM_H
#define FERRY_SIM_H

#include <ferry/address.h>

#ifdef __cplusplus
extern "C" {
#endif

/** As a host: the first one, "localhost". */
#define FERRY_SIM_LOCALHOST 0u
/** As a host: each that there is. (A link from every host to every host also holds for those to come.) */
#define FERRY_SIM_EVERY UINT32_MAX

/** A host's name: most bytes, without its NUL. */
#define FERRY_SIM_NAME_MAX 63u
/** Addresses that a host or a name may have. */
#define FERRY_SIM_ADDRESSES_MAX 16u
/** Hosts that a world may have, "localhost" included. */
#define FERRY_SIM_HOSTS_MAX 256u

/* --- Time ---------------------------------------------------------------------------------- */

/**
 * The simulated time.
 * @param[in]  engine   A simulated engine.
 * @param[out] now_out  Nanoseconds; begins at one second. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED, FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_sim_now(ferry_engine *engine, uint64_t *now_out);

/**
 * Let time jump: what falls due meanwhile happens in the next runs, late, as if the program had been
 * stopped for so long.
 * @param[in] engine       A simulated engine.
 * @param[in] duration_ns  How far. The clock stops at UINT64_MAX / 2.
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD, FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_advance(ferry_engine *engine, uint64_t duration_ns);

/* --- Hosts and the network ----------------------------------------------------------------- */

/**
 * Add a host. Its name resolves to its addresses at once, and it has an empty disk.
 * @param[in]  engine     A simulated engine.
 * @param[in]  name       1 to @ref FERRY_SIM_NAME_MAX bytes, no '/'. @borrowed
 * @param[in]  addresses  Its addresses; ports do not matter. @borrowed
 * @param[in]  count      How many: 1 to @ref FERRY_SIM_ADDRESSES_MAX.
 * @param[out] host_out   Its number: 1 for the first that is added, and so on. NULL = do not tell.
 *                        @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_EXISTS (the name), FERRY_E_ADDRESS_IN_USE (an address
 *   of another host's), FERRY_E_LIMIT (too many), FERRY_E_NO_MEMORY, FERRY_E_UNSUPPORTED,
 *   FERRY_E_WRONG_THREAD, FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_add_host(ferry_engine *engine, const char *name,
                                          const ferry_address *addresses, size_t count,
                                          uint32_t *host_out);

/** The way from one host to another. 0 = as it says. */
typedef struct ferry_sim_link {
    uint32_t struct_size;      /**< sizeof(ferry_sim_link). */
    uint32_t cut;              /**< 1: nothing gets through. What a stream sent is sent again, at
                                     growing intervals, until it gets through or 15 minutes have
                                     passed (FERRY_E_CONNECTION_TIMED_OUT). */
    uint64_t latency_ns;       /**< How long a packet takes. */
    uint64_t jitter_ns;        /**< And up to so much more, by chance. A stream keeps its order. */
    uint64_t bytes_per_second; /**< Of each stream; 0 = no limit. */
    uint32_t loss_ppm; /**< Packets lost, of a million. A stream's come 200 ms later, or twice that
                                     more if lost again, and so on for 15 minutes at most. */
    uint32_t reserved; /**< 0. */
} ferry_sim_link;

/**
 * Change the way from one host to another, in this direction. What is under way already is not
 * hurried or held up, but for a cut.
 * @param[in] engine  A simulated engine.
 * @param[in] from    A host, or FERRY_SIM_EVERY.
 * @param[in] to      A host, or FERRY_SIM_EVERY. From a host to itself there is a way, too.
 * @param[in] link    How it is from now on. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_UNSUPPORTED (a reserved word),
 *   FERRY_E_WRONG_THREAD, FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_set_link(ferry_engine *engine, uint32_t from, uint32_t to,
                                          const ferry_sim_link *link);

/**
 * Cut or heal the ways between two hosts, in both directions; all else of them stays.
 * @param[in] engine  A simulated engine.
 * @param[in] one     A host, or FERRY_SIM_EVERY: all others, not itself.
 * @param[in] other   A host, or FERRY_SIM_EVERY.
 * @param[in] cut     true: nothing gets through; false: it does again.
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD,
 *   FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_partition(ferry_engine *engine, uint32_t one, uint32_t other,
                                           bool cut);

/**
 * Say how a name resolves from now on, a host's own name included.
 * @param[in] engine     A simulated engine.
 * @param[in] name       1 to 255 bytes. @borrowed
 * @param[in] addresses  What it resolves to; NULL only with count 0. @borrowed
 * @param[in] count      How many, at most @ref FERRY_SIM_ADDRESSES_MAX; 0: it fails.
 * @param[in] status     How it fails: FERRY_E_NAME_NOT_FOUND, FERRY_E_NAME_TRY_AGAIN or
 *                       FERRY_E_NAME_FAILED; FERRY_OK with addresses.
 * @param[in] delay_ns   How long it takes; FERRY_FOREVER: nobody answers.
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NO_MEMORY, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD,
 *   FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_set_name(ferry_engine *engine, const char *name,
                                          const ferry_address *addresses, size_t count,
                                          ferry_status status, uint64_t delay_ns);

/**
 * Stop a host, as if its power had failed. What is pending on its listeners, streams and files ends with
 * FERRY_E_NETWORK_DOWN and FERRY_E_IO, and so does all that is begun there until it is restarted and
 * on what was open before. Its peers are told nothing. What its disk had not been told to sync is
 * kept, lost or torn, as the seed will have it: of a file, sector by sector (512 bytes); of names
 * made, renamed and removed, the first so many since the folder's last sync.
 * @param[in] engine  A simulated engine.
 * @param[in] host    Which.
 * @returns FERRY_OK, FERRY_E_NOT_FOUND, FERRY_E_BUSY (it is down already), FERRY_E_NO_MEMORY,
 *   FERRY_E_INVALID, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD, FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_crash(ferry_engine *engine, uint32_t host);

/**
 * Let a crashed host come up again. To peers' streams it then answers with a reset.
 * @param[in] engine  A simulated engine.
 * @param[in] host    Which.
 * @returns FERRY_OK, FERRY_E_NOT_FOUND, FERRY_E_BUSY (it is up), FERRY_E_INVALID,
 *   FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD, FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_restart(ferry_engine *engine, uint32_t host);

/* --- Disks --------------------------------------------------------------------------------- */

/** A host's disk. */
typedef struct ferry_sim_disk {
    uint32_t struct_size;      /**< sizeof(ferry_sim_disk). */
    uint32_t reserved;         /**< 0. */
    uint64_t bytes_max;        /**< FERRY_E_NO_SPACE beyond; 0 = 1 GiB. Counted in sectors. */
    uint64_t latency_ns;       /**< Of each call; 0 = none beyond the turn. */
    uint64_t jitter_ns;        /**< And up to so much more, by chance. */
    uint64_t bytes_per_second; /**< 0 = no limit. */
} ferry_sim_disk;

/**
 * Change a host's disk: its size and how slow it is.
 * @param[in] engine  A simulated engine.
 * @param[in] host    A host, or FERRY_SIM_EVERY.
 * @param[in] disk    How it is from now on. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD,
 *   FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_set_disk(ferry_engine *engine, uint32_t host,
                                          const ferry_sim_disk *disk);

/**
 * Put a file onto a disk, synced, with the folders on its way and all that these folders name; one
 * that is there is replaced. No fault meets it.
 * @param[in] engine  A simulated engine.
 * @param[in] path    "/a/b" or "//host/a/b". Ending in '/': a folder, and size must be 0. @borrowed
 * @param[in] data    Its bytes; NULL only with size 0. @borrowed
 * @param[in] size    How many.
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND (the host), FERRY_E_NOT_DIRECTORY,
 *   FERRY_E_IS_DIRECTORY, FERRY_E_NAME_TOO_LONG, FERRY_E_NO_SPACE, FERRY_E_NO_MEMORY,
 *   FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD, FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_put_file(ferry_engine *engine, const char *path, const void *data,
                                          size_t size);

/**
 * Look at a file, as a program on its host would see it now. No fault meets it, no time passes.
 * @param[in]  engine    A simulated engine.
 * @param[in]  path      As for @ref ferry_sim_put_file. @borrowed
 * @param[out] data      Where its bytes go, up to capacity; NULL only with capacity 0. @borrowed
 * @param[in]  capacity  How many fit.
 * @param[out] size_out  The file's size, which may be more than capacity. NULL = do not tell.
 *                       @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_NOT_DIRECTORY,
 *   FERRY_E_IS_DIRECTORY, FERRY_E_NAME_TOO_LONG, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD,
 *   FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_get_file(ferry_engine *engine, const char *path, void *data,
                                          size_t capacity, size_t *size_out);

/**
 * Take a file or an empty folder off a disk, synced. What has it open keeps it. No fault meets it.
 * @param[in] engine  A simulated engine.
 * @param[in] path    As for @ref ferry_sim_put_file. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_NOT_DIRECTORY, FERRY_E_EXISTS (a
 *   folder that is not empty), FERRY_E_NAME_TOO_LONG, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD,
 *   FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_remove_file(ferry_engine *engine, const char *path);

/* --- Faults -------------------------------------------------------------------------------- */

/** What a fault may meet: bits of @ref ferry_sim_fault.calls. Whole loads and stores are made of calls on
    files: open, read, write, sync, rename. */
enum {
    FERRY_SIM_LISTEN = 1u << 0,    /**< Opening a listener; it takes no time. */
    FERRY_SIM_ACCEPT = 1u << 1,    /**< Accepting a connection. */
    FERRY_SIM_CONNECT = 1u << 2,   /**< Connecting. */
    FERRY_SIM_RECEIVE = 1u << 3,   /**< Receiving, each time something has come. */
    FERRY_SIM_SEND = 1u << 4,      /**< Sending, each piece. */
    FERRY_SIM_RESOLVE = 1u << 5,   /**< Looking up a name, on localhost. */
    FERRY_SIM_OPEN = 1u << 6,      /**< Opening a file. */
    FERRY_SIM_READ = 1u << 7,      /**< Reading, each piece. */
    FERRY_SIM_WRITE = 1u << 8,     /**< Writing, each piece. */
    FERRY_SIM_SYNC = 1u << 9,      /**< Syncing a file or a folder. */
    FERRY_SIM_STAT = 1u << 10,     /**< Asking about a file or a path. */
    FERRY_SIM_TRUNCATE = 1u << 11, /**< Setting a file's size. */
    FERRY_SIM_RENAME = 1u << 12,   /**< Renaming, by a store. */
    FERRY_SIM_CLOSE = 1u << 13 /**< Closing a file. What a crash has cut off closes all the same. */
};

/** What it does beside failing and delaying: bits of @ref ferry_sim_fault.flags. */
enum {
    FERRY_SIM_SHORT = 1u << 0, /**< Read, write, receive, send: by chance only a part at once. What
                                    Ferry promises whole still comes whole. */
    FERRY_SIM_RESET = 1u << 1, /**< Receive, send: the connection is reset, on both sides. */
    FERRY_SIM_NEVER = 1u << 2  /**< Connect, accept, receive, resolve: no answer ever comes. */
};

/** A fault. Where several meet a call, all delay it and shorten it, and the first fails it. */
typedef struct ferry_sim_fault {
    uint32_t struct_size; /**< sizeof(ferry_sim_fault). */
    uint32_t calls;       /**< FERRY_SIM_... bits: what it meets; 0 = every call. */
    uint32_t host;        /**< On which host, or FERRY_SIM_EVERY. */
    uint32_t chance_ppm;  /**< How often, of a million calls; 0 = each. */
    ferry_status status;  /**< How the call fails: any FERRY_E_... of the system's (-100 and below),
                               or FERRY_E_NO_MEMORY; FERRY_OK = it does not. */
    int32_t os_error;     /**< The system's number beside it; 0 = the usual one. */
    uint32_t flags;       /**< FERRY_SIM_SHORT, ... */
    uint32_t reserved;    /**< 0. */
    uint64_t delay_ns;    /**< The call takes up to so much longer, by chance. */
    uint64_t skip;        /**< So many calls that it would meet pass first. */
    uint64_t times;       /**< It strikes so often at most; 0 = no end. */
    uint64_t from_ns;     /**< In force from this time of @ref ferry_sim_now on. */
    uint64_t until_ns;    /**< And before this one; 0 = no end. */
    const char *path;     /**< Files and names: only such as begin so. NULL = all. @borrowed */
} ferry_sim_fault;

/**
 * Order a fault.
 * @param[in] engine  A simulated engine.
 * @param[in] fault   What happens, and when. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_NO_MEMORY, FERRY_E_UNSUPPORTED (also
 *   unknown bits), FERRY_E_WRONG_THREAD, FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_add_fault(ferry_engine *engine, const ferry_sim_fault *fault);

/**
 * Order trouble of every kind: short reads and writes, delays, resets, answers that never come, refused
 * memory, descriptors and space, failing disks and names, each by chance.
 * @param[in] engine      A simulated engine.
 * @param[in] chance_ppm  How often each kind strikes, of a million calls; at most a million.
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NO_MEMORY, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD,
 *   FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_add_chaos(ferry_engine *engine, uint32_t chance_ppm);

/**
 * Take back every fault. What it has delayed or taken away stays so.
 * @param[in] engine  A simulated engine.
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD, FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_clear_faults(ferry_engine *engine);

/* --- The trace ----------------------------------------------------------------------------- */

/**
 * Keep what happens as lines of text, the newest so many bytes; what is kept already is dropped.
 * A line: the time, what happened, to whom. Operations are named by number, not by id, and by their
 * tags: a host that wants the same trace each time has tags that are the same.
 * @param[in] engine     A simulated engine.
 * @param[in] bytes_max  How much to keep; 0 = nothing, as at first. At most 1 GiB.
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_NO_MEMORY, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD,
 *   FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_keep_trace(ferry_engine *engine, size_t bytes_max);

/**
 * Take the oldest whole lines out of what is kept.
 * @param[in]  engine    A simulated engine.
 * @param[out] text      Where to; not NUL-terminated. NULL only with capacity 0. @borrowed
 * @param[in]  capacity  Bytes there; lines have at most 255.
 * @param[out] size_out  Bytes written; 0: no further line, or none that fits. @borrowed
 * @returns FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED, FERRY_E_WRONG_THREAD, FERRY_E_FORKED.
 * @threads engine  @since API 1
 */
FERRY_API ferry_status ferry_sim_read_trace(ferry_engine *engine, char *text, size_t capacity,
                                            size_t *size_out);

#ifdef __cplusplus
}
#endif

#endif
