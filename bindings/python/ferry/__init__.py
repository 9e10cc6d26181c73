"""Ferry: an asynchronous IO engine, for asyncio.

    async with ferry.Engine() as engine:
        first, second = await asyncio.gather(engine.load('a'), engine.load('b'))
"""
from . import _abi as abi  # noqa: F401
from . import op
from ._channel import Channel, Mailbox
from ._core import EngineInfo
from ._engine import Engine
from ._errors import (AbortedError, AccessError, BadHandleError, BusyError, ClosedError,
                      ConnectionTimeoutError, DeadlineError, EndError, ExistsError, FerryError,
                      ForkedError, FullError, IncompleteReadError, InternalError, IsDirectoryError,
                      LimitError, LimitOverrunError, NotDirectoryError, NotFoundError,
                      OperationCancelled, OutOfMemoryError, PipeError, RefusedError, ResetError,
                      ResolveError, ShutdownError, SystemCallError, UnsupportedError, UsageError,
                      WrongThreadError)
from ._file import File
from ._stream import Interval, Listener, Stream
from .op import Info, Outcome, Race

__version__ = '0.1.0'
