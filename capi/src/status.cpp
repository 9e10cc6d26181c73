// Names and sentences of the statuses. Checked against status.h by tests/abi.
#include <ferry/status.h>

namespace {

struct Status {
    ferry_status status;
    const char *name;
    const char *message;
};

#define FERRY_STATUS(status, message)                                                              \
    { status, #status, message }

constexpr Status kStatuses[] = {
    FERRY_STATUS(FERRY_OK, "It worked."),
    FERRY_STATUS(FERRY_E_INVALID,
                 "A known argument has an impossible value (NULL, zero, out of range, malformed)."),
    FERRY_STATUS(
        FERRY_E_UNSUPPORTED,
        "An unknown opcode or flag, non-zero reserved bytes, or not possible in this mode."),
    FERRY_STATUS(FERRY_E_NO_MEMORY, "The allocator refused."),
    FERRY_STATUS(
        FERRY_E_FULL,
        "A ceiling fixed at creation is reached (operation slots, ring places): reap, then retry."),
    FERRY_STATUS(FERRY_E_BUSY,
                 "Not now: another operation, consumer or unfinished work stands in the way."),
    FERRY_STATUS(FERRY_E_CANCELED, "The operation was cancelled by ferry_queue_cancel."),
    FERRY_STATUS(FERRY_E_TIMED_OUT, "The request's deadline, or the call's timeout, passed."),
    FERRY_STATUS(FERRY_E_SHUTDOWN, "The engine is shutting down or has been shut down."),
    FERRY_STATUS(
        FERRY_E_FORKED,
        "This is the child of a fork: the engine is inert here and can only be destroyed."),
    FERRY_STATUS(FERRY_E_WRONG_THREAD,
                 "This call belongs on another thread (the header of the call says which)."),
    FERRY_STATUS(FERRY_E_BAD_HANDLE, "Not a handle or buffer that this engine ever gave out."),
    FERRY_STATUS(FERRY_E_STALE, "The handle's, queue's or buffer's time is over: it was closed, "
                                "destroyed or released before."),
    FERRY_STATUS(FERRY_E_WRONG_KIND,
                 "The handle is alive but of another kind than the operation wants."),
    FERRY_STATUS(FERRY_E_FOREIGN,
                 "The handle or buffer belongs to another engine of this process."),
    FERRY_STATUS(FERRY_E_CLOSED, "The handle was closed while the operation was pending on it."),
    FERRY_STATUS(FERRY_E_TOO_LATE, "Cancel: the operation has ended already."),
    FERRY_STATUS(FERRY_E_UNKNOWN, "Cancel: this engine never issued that operation."),
    FERRY_STATUS(FERRY_E_LIMIT, "More data than the request's or the engine's limit allows."),
    FERRY_STATUS(FERRY_E_NO_HANDLES,
                 "The engine has no free handle slot (ceiling fixed at creation)."),
    FERRY_STATUS(FERRY_E_END,
                 "The stream or channel ended before all that was asked for had come."),
    FERRY_STATUS(FERRY_E_WRONG_SHARD,
                 "Two handles of one operation must live on the same shard, and do not."),
    FERRY_STATUS(FERRY_E_OS,
                 "An operating system error without a name of its own here; see os_error."),
    FERRY_STATUS(FERRY_E_NOT_FOUND, "No such file or directory."),
    FERRY_STATUS(FERRY_E_ACCESS, "Permission denied."),
    FERRY_STATUS(FERRY_E_EXISTS, "It exists already."),
    FERRY_STATUS(FERRY_E_NOT_DIRECTORY, "A part of the path is not a directory."),
    FERRY_STATUS(FERRY_E_IS_DIRECTORY, "It is a directory."),
    FERRY_STATUS(FERRY_E_NO_SPACE, "The device is full or a quota is reached."),
    FERRY_STATUS(FERRY_E_NO_DESCRIPTORS, "The process or the system is out of file descriptors."),
    FERRY_STATUS(FERRY_E_IO, "The device failed."),
    FERRY_STATUS(FERRY_E_NAME_TOO_LONG, "The path or a part of it is too long."),
    FERRY_STATUS(FERRY_E_LOOP, "Too many symbolic links."),
    FERRY_STATUS(FERRY_E_READ_ONLY, "The file system is read-only."),
    FERRY_STATUS(FERRY_E_FILE_TOO_LARGE, "The file is too large."),
    FERRY_STATUS(FERRY_E_CONNECTION_REFUSED, "The peer refused the connection."),
    FERRY_STATUS(FERRY_E_CONNECTION_RESET, "The peer reset the connection."),
    FERRY_STATUS(FERRY_E_CONNECTION_ABORTED, "The connection was aborted on this side."),
    FERRY_STATUS(FERRY_E_CONNECTION_TIMED_OUT,
                 "The network gave up on the connection (not the request's deadline)."),
    FERRY_STATUS(FERRY_E_BROKEN_PIPE, "The peer has closed: nothing can be sent any more."),
    FERRY_STATUS(FERRY_E_ADDRESS_IN_USE, "The address is in use."),
    FERRY_STATUS(FERRY_E_ADDRESS_NOT_AVAILABLE, "No interface has that address."),
    FERRY_STATUS(FERRY_E_HOST_UNREACHABLE, "No way to that host."),
    FERRY_STATUS(FERRY_E_NETWORK_UNREACHABLE, "No way to that network."),
    FERRY_STATUS(FERRY_E_NETWORK_DOWN, "The network is down."),
    FERRY_STATUS(FERRY_E_NOT_CONNECTED, "The stream is not connected."),
    FERRY_STATUS(FERRY_E_ADDRESS_FAMILY, "The address family is not supported here."),
    FERRY_STATUS(FERRY_E_NAME_NOT_FOUND, "The name has no address (of the wanted family)."),
    FERRY_STATUS(FERRY_E_NAME_TRY_AGAIN,
                 "The name's servers do not answer just now: try again later."),
    FERRY_STATUS(FERRY_E_NAME_FAILED,
                 "The name could not be resolved, and trying again will not help."),
    FERRY_STATUS(
        FERRY_E_INTERNAL,
        "An invariant of the engine broke: the engine is poisoned and can only be destroyed."),
};

#undef FERRY_STATUS

const Status *find(ferry_status status) {
    for (const Status &known : kStatuses) {
        if (known.status == status)
            return &known;
    }
    return nullptr;
}

} // namespace

const char *ferry_status_name(ferry_status status) {
    const Status *known = find(status);
    return known != nullptr ? known->name : "FERRY_E_?";
}

const char *ferry_status_message(ferry_status status) {
    const Status *known = find(status);
    return known != nullptr ? known->message : "A status that this version does not know.";
}
