"""What every handle has in common: it is closed by hand, by `async with`, or when forgotten."""
import collections
import warnings

from . import _abi as abi
from . import op
from ._errors import error_of


class Resource:
    """Something that the engine keeps open."""

    def __init__(self, engine, handle):
        self._engine = engine
        self._core = engine._core
        self._handle = handle
        self._open = True
        self._warns = True

    @property
    def handle(self):
        """The engine's own number for it."""
        return self._handle

    @property
    def closed(self):
        return not self._open

    def __repr__(self):
        state = '' if self._open else ' closed'
        return f'<ferry.{type(self).__name__} {self._handle:#x}{state}>'

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def close(self):
        """Close it. What is pending on it ends first; closing again is fine."""
        self._open = False
        try:
            await self._engine.run(op.close(self))
        except BaseException as exception:
            self._core.discard(self._handle)
            # An engine that is gone has closed it already.
            if getattr(exception, 'status', 0) not in (abi.E_SHUTDOWN, abi.E_FORKED):
                raise

    def discard(self):
        """Close it at once, without waiting; on any thread."""
        self._open = False
        self._core.discard(self._handle)

    def __del__(self, warn=warnings.warn):
        if getattr(self, '_open', False):
            if self._warns and not self._core.stopped:
                warn(f'unclosed {self!r}', ResourceWarning, source=self)
            self.discard()


op.KINDS['Resource'] = Resource


class Flow:
    """Messages of one multishot request, kept in order for whoever asks next.

    It is started by the first who asks and pauses when too many wait: the engine then holds back
    the peer. Whoever is cancelled while waiting takes nothing with him.
    """

    ITEMS_MAX = 64

    def __init__(self):
        self._items = collections.deque()
        self._waiters = collections.deque()
        self._entry = None  # of the request, while there is one
        self._tag = 0
        self._pausing = False
        self._over = None  # why nothing more will come: (status, os_error)

    def _describe(self):
        """The multishot request."""
        raise NotImplementedError

    def _take(self, completion):
        """Put what a completion brings into _items."""
        raise NotImplementedError

    def _end(self):
        """The exception for a flow that is over. A new one each time: a kept one would keep the
        frames that it went through."""
        status, os_error = self._over
        if status == abi.OK:
            return EOFError('nothing more will come')
        return error_of(status, os_error)

    def _arrived(self, completion):
        _, _, status, os_error, _, flags, _, _, _ = completion
        self._take(completion)
        if not flags & abi.MORE:
            self._entry = None
            if not (self._pausing and status == abi.E_CANCELED):
                self._over = status, os_error
            self._pausing = False
            self._wake_all()
            return
        if len(self._items) > self.ITEMS_MAX:
            self._pause()
        if self._waiters:
            self._wake()

    def _pause(self):
        if self._entry is not None and not self._pausing:
            self._pausing = True
            self._engine._cancel(self._tag, self._entry)

    def _wake(self):
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self):
        while self._waiters:
            self._wake()

    async def _wait(self):
        """Until there is an item, or something has ended."""
        if self._over is not None:
            raise self._end()
        if self._entry is None:
            self._tag, self._entry = self._engine._stage(self._describe().record, self._arrived)
        waiter = self._engine._future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter):
        """Who waited has gone: if he was to have an item, the next one has it."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif self._items:
            self._wake()

    async def _next(self):
        while not self._items:
            await self._wait()
        return self._items.popleft()
