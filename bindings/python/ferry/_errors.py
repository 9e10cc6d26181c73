"""From a status to the exception that Python's users expect."""
import asyncio
import errno
import os
import socket

from . import _abi as abi
from ._library import library


class FerryError(Exception):
    """Mixed into every exception that tells of a status: also catch OSError, EOFError and so on.

    status    Ferry's own number, e.g. ferry.abi.E_NOT_FOUND
    os_error  the system's number, 0 if it has none to say
    outcomes  of a composition that failed: what became of its parts
    """

    status = 0
    os_error = 0
    outcomes = ()


class OperationCancelled(asyncio.CancelledError):
    """The engine ended the operation, because a composition around it was over."""

    status = abi.E_CANCELED
    os_error = 0


class IncompleteReadError(FerryError, asyncio.IncompleteReadError):
    """The stream ended before all that was asked for had come; partial has what did come."""

    status = abi.E_END


class LimitOverrunError(FerryError, asyncio.LimitOverrunError):
    """No delimiter within the limit; the bytes are still there to be received."""

    status = abi.E_LIMIT


def _mixed(name, base, about):
    return type(name, (FerryError, base), {'__doc__': about, '__module__': 'ferry'})


UsageError = _mixed('UsageError', ValueError, 'An impossible value.')
UnsupportedError = _mixed('UnsupportedError', NotImplementedError, 'No such thing in this mode.')
OutOfMemoryError = _mixed('OutOfMemoryError', MemoryError, 'The allocator refused.')
FullError = _mixed('FullError', BlockingIOError, 'A ceiling is reached: try again later.')
BusyError = _mixed('BusyError', RuntimeError, 'Another operation stands in the way.')
DeadlineError = _mixed('DeadlineError', TimeoutError, 'The deadline passed.')
ShutdownError = _mixed('ShutdownError', RuntimeError, 'The engine was shut down.')
ForkedError = _mixed('ForkedError', RuntimeError, 'The engine belongs to the parent process.')
WrongThreadError = _mixed('WrongThreadError', RuntimeError,
                          'The engine belongs to another event loop.')
InternalError = _mixed('InternalError', RuntimeError, 'A bug in Ferry.')
EndError = _mixed('EndError', EOFError, 'The channel is finished and empty.')
SystemCallError = _mixed('SystemCallError', OSError, 'An error of the system.')
BadHandleError = _mixed('BadHandleError', OSError, 'The handle is closed, or none of this engine.')
ClosedError = _mixed('ClosedError', ConnectionAbortedError,
                     'Closed while the operation was pending.')
LimitError = _mixed('LimitError', OSError, 'More data than the limit allows.')
NotFoundError = _mixed('NotFoundError', FileNotFoundError, 'No such file or directory.')
AccessError = _mixed('AccessError', PermissionError, 'Permission denied.')
ExistsError = _mixed('ExistsError', FileExistsError, 'It exists already.')
NotDirectoryError = _mixed('NotDirectoryError', NotADirectoryError, 'Not a directory.')
IsDirectoryError = _mixed('IsDirectoryError', IsADirectoryError, 'It is a directory.')
RefusedError = _mixed('RefusedError', ConnectionRefusedError, 'Nobody listens there.')
ResetError = _mixed('ResetError', ConnectionResetError, 'The peer reset the connection.')
AbortedError = _mixed('AbortedError', ConnectionAbortedError, 'Aborted on this side.')
PipeError = _mixed('PipeError', BrokenPipeError, 'Nothing can be sent any more.')
ConnectionTimeoutError = _mixed('ConnectionTimeoutError', TimeoutError,
                                'The network gave up on the connection.')
ResolveError = _mixed('ResolveError', socket.gaierror, 'The name has no address.')

# status: (class, errno of an OSError, None for those that have none)
TABLE = {
    abi.E_INVALID: (UsageError, None),
    abi.E_UNSUPPORTED: (UnsupportedError, None),
    abi.E_NO_MEMORY: (OutOfMemoryError, None),
    abi.E_FULL: (FullError, errno.EAGAIN),
    abi.E_BUSY: (BusyError, None),
    abi.E_CANCELED: (OperationCancelled, None),
    abi.E_TIMED_OUT: (DeadlineError, errno.ETIMEDOUT),
    abi.E_SHUTDOWN: (ShutdownError, None),
    abi.E_FORKED: (ForkedError, None),
    abi.E_WRONG_THREAD: (WrongThreadError, None),
    abi.E_BAD_HANDLE: (BadHandleError, errno.EBADF),
    abi.E_STALE: (BadHandleError, errno.EBADF),
    abi.E_WRONG_KIND: (BadHandleError, errno.EBADF),
    abi.E_FOREIGN: (BadHandleError, errno.EBADF),
    abi.E_CLOSED: (ClosedError, errno.ECONNABORTED),
    abi.E_TOO_LATE: (UsageError, None),
    abi.E_UNKNOWN: (UsageError, None),
    abi.E_LIMIT: (LimitError, errno.EFBIG),
    abi.E_NO_HANDLES: (SystemCallError, errno.EMFILE),
    abi.E_END: (EndError, None),
    abi.E_WRONG_SHARD: (UsageError, None),
    abi.E_OS: (SystemCallError, errno.EIO),
    abi.E_NOT_FOUND: (NotFoundError, errno.ENOENT),
    abi.E_ACCESS: (AccessError, errno.EACCES),
    abi.E_EXISTS: (ExistsError, errno.EEXIST),
    abi.E_NOT_DIRECTORY: (NotDirectoryError, errno.ENOTDIR),
    abi.E_IS_DIRECTORY: (IsDirectoryError, errno.EISDIR),
    abi.E_NO_SPACE: (SystemCallError, errno.ENOSPC),
    abi.E_NO_DESCRIPTORS: (SystemCallError, errno.EMFILE),
    abi.E_IO: (SystemCallError, errno.EIO),
    abi.E_NAME_TOO_LONG: (SystemCallError, errno.ENAMETOOLONG),
    abi.E_LOOP: (SystemCallError, errno.ELOOP),
    abi.E_READ_ONLY: (SystemCallError, errno.EROFS),
    abi.E_FILE_TOO_LARGE: (SystemCallError, errno.EFBIG),
    abi.E_CONNECTION_REFUSED: (RefusedError, errno.ECONNREFUSED),
    abi.E_CONNECTION_RESET: (ResetError, errno.ECONNRESET),
    abi.E_CONNECTION_ABORTED: (AbortedError, errno.ECONNABORTED),
    abi.E_CONNECTION_TIMED_OUT: (ConnectionTimeoutError, errno.ETIMEDOUT),
    abi.E_BROKEN_PIPE: (PipeError, errno.EPIPE),
    abi.E_ADDRESS_IN_USE: (SystemCallError, errno.EADDRINUSE),
    abi.E_ADDRESS_NOT_AVAILABLE: (SystemCallError, errno.EADDRNOTAVAIL),
    abi.E_HOST_UNREACHABLE: (SystemCallError, errno.EHOSTUNREACH),
    abi.E_NETWORK_UNREACHABLE: (SystemCallError, errno.ENETUNREACH),
    abi.E_NETWORK_DOWN: (SystemCallError, errno.ENETDOWN),
    abi.E_NOT_CONNECTED: (SystemCallError, errno.ENOTCONN),
    abi.E_ADDRESS_FAMILY: (SystemCallError, errno.EAFNOSUPPORT),
    abi.E_NAME_NOT_FOUND: (ResolveError, socket.EAI_NONAME),
    abi.E_NAME_TRY_AGAIN: (ResolveError, socket.EAI_AGAIN),
    abi.E_NAME_FAILED: (ResolveError, socket.EAI_FAIL),
    abi.E_INTERNAL: (InternalError, None),
}


def error_of(status, os_error=0, about=None):
    """The exception for a status. about: the path, name or address that it is about."""
    kind, number = TABLE.get(status, (SystemCallError, errno.EIO))
    message = library.status_message(status).decode()
    if number is None:
        exception = kind(message if about is None else f'{message}: {about!r}')
    else:
        system = os_error if os_error != 0 else number
        if system > 0 and kind is not ResolveError and system != number:
            message = f'{message} ({os.strerror(system)})'
        exception = kind(system, message) if about is None else kind(system, message, about)
    exception.status = status
    exception.os_error = os_error
    return exception


def check(status, about=None):
    """Raise for a negative status; return it otherwise."""
    if status < 0:
        raise error_of(status, about=about)
    return status
