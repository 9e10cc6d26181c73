/**
 * @file
 * Status codes: Ferry's own frozen negative numbers, the same on every system.
 *
 * Where a status comes from the operating system, the raw number travels beside it in
 * @ref ferry_completion.os_error. Numbers are only ever added: accept negatives you do not know.
 */
#ifndef FERRY_STATUS_H
#define FERRY_STATUS_H

#include <ferry/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Every status. -1 to -99 usage and life cycle, -100 files and the system, -200 network. */
enum {
    /** It worked. */
    FERRY_OK = 0,

    /** A known argument has an impossible value (NULL, zero, out of range, malformed). */
    FERRY_E_INVALID = -1,
    /** An unknown opcode or flag, non-zero reserved bytes, or not possible in this mode. */
    FERRY_E_UNSUPPORTED = -2,
    /** The allocator refused. */
    FERRY_E_NO_MEMORY = -3,
    /** A ceiling fixed at creation is reached (operation slots, ring places): reap, then retry. */
    FERRY_E_FULL = -4,
    /** Not now: another operation, consumer or unfinished work stands in the way. */
    FERRY_E_BUSY = -5,
    /** The operation was cancelled by @ref ferry_queue_cancel. */
    FERRY_E_CANCELED = -6,
    /** The request's deadline, or the call's timeout, passed. */
    FERRY_E_TIMED_OUT = -7,
    /** The engine is shutting down or has been shut down. */
    FERRY_E_SHUTDOWN = -8,
    /** This is the child of a fork: the engine is inert here and can only be destroyed. */
    FERRY_E_FORKED = -9,
    /** This call belongs on another thread (the header of the call says which). */
    FERRY_E_WRONG_THREAD = -10,
    /** Not a handle or buffer that this engine ever gave out. */
    FERRY_E_BAD_HANDLE = -11,
    /** The handle's, queue's or buffer's time is over: it was closed, destroyed or released. */
    FERRY_E_STALE = -12,
    /** The handle is alive but of another kind than the operation wants. */
    FERRY_E_WRONG_KIND = -13,
    /** The handle or buffer belongs to another engine of this process. */
    FERRY_E_FOREIGN = -14,
    /** The handle was closed while the operation was pending on it. */
    FERRY_E_CLOSED = -15,
    /** Cancel: the operation has ended already. */
    FERRY_E_TOO_LATE = -16,
    /** Cancel: this engine never issued that operation. */
    FERRY_E_UNKNOWN = -17,
    /** More data than the request's or the engine's limit allows. */
    FERRY_E_LIMIT = -18,
    /** The engine has no free handle slot (ceiling fixed at creation). */
    FERRY_E_NO_HANDLES = -19,
    /** The stream or channel ended before all that was asked for had come. */
    FERRY_E_END = -20,
    /** Two handles of one operation must live on the same shard, and do not. */
    FERRY_E_WRONG_SHARD = -21,

    /** An operating system error without a name of its own here; see os_error. */
    FERRY_E_OS = -100,
    /** No such file or directory. */
    FERRY_E_NOT_FOUND = -101,
    /** Permission denied. */
    FERRY_E_ACCESS = -102,
    /** It exists already. */
    FERRY_E_EXISTS = -103,
    /** A part of the path is not a directory. */
    FERRY_E_NOT_DIRECTORY = -104,
    /** It is a directory. */
    FERRY_E_IS_DIRECTORY = -105,
    /** The device is full or a quota is reached. */
    FERRY_E_NO_SPACE = -106,
    /** The process or the system is out of file descriptors. */
    FERRY_E_NO_DESCRIPTORS = -107,
    /** The device failed. */
    FERRY_E_IO = -108,
    /** The path or a part of it is too long. */
    FERRY_E_NAME_TOO_LONG = -109,
    /** Too many symbolic links. */
    FERRY_E_LOOP = -110,
    /** The file system is read-only. */
    FERRY_E_READ_ONLY = -111,
    /** The file is too large. */
    FERRY_E_FILE_TOO_LARGE = -112,

    /** The peer refused the connection. */
    FERRY_E_CONNECTION_REFUSED = -200,
    /** The peer reset the connection. */
    FERRY_E_CONNECTION_RESET = -201,
    /** The connection was aborted on this side. */
    FERRY_E_CONNECTION_ABORTED = -202,
    /** The network gave up on the connection (not the request's deadline). */
    FERRY_E_CONNECTION_TIMED_OUT = -203,
    /** The peer has closed: nothing can be sent any more. */
    FERRY_E_BROKEN_PIPE = -204,
    /** The address is in use. */
    FERRY_E_ADDRESS_IN_USE = -205,
    /** No interface has that address. */
    FERRY_E_ADDRESS_NOT_AVAILABLE = -206,
    /** No way to that host. */
    FERRY_E_HOST_UNREACHABLE = -207,
    /** No way to that network. */
    FERRY_E_NETWORK_UNREACHABLE = -208,
    /** The network is down. */
    FERRY_E_NETWORK_DOWN = -209,
    /** The stream is not connected. */
    FERRY_E_NOT_CONNECTED = -210,
    /** The address family is not supported here. */
    FERRY_E_ADDRESS_FAMILY = -211,
    /** The name has no address (of the wanted family). */
    FERRY_E_NAME_NOT_FOUND = -212,
    /** The name's servers do not answer just now: try again later. */
    FERRY_E_NAME_TRY_AGAIN = -213,
    /** The name could not be resolved, and trying again will not help. */
    FERRY_E_NAME_FAILED = -214,

    /** An invariant of the engine broke: the engine is poisoned and can only be destroyed. */
    FERRY_E_INTERNAL = -900
};

/**
 * The constant's name, e.g. "FERRY_E_TIMED_OUT".
 *
 * @param[in] status  Any number.
 * @returns A static string, never NULL; "FERRY_E_?" for a number this version does not know.
 * @threads any  @since API 1
 */
FERRY_API const char *ferry_status_name(ferry_status status);

/**
 * One English sentence for people; the wording may change between releases.
 *
 * @param[in] status  Any number.
 * @returns A static string, never NULL.
 * @threads any  @since API 1
 */
FERRY_API const char *ferry_status_message(ferry_status status);

#ifdef __cplusplus
}
#endif

#endif
