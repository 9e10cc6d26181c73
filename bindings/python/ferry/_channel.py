"""Channels and mailboxes: messages between tasks, loops and threads."""
import collections
import ctypes
import itertools

from . import _abi as abi
from . import op
from ._errors import EndError, check, error_of
from ._library import library
from ._resource import Resource


class Channel(Resource):
    """A bounded queue of any objects, between tasks of one loop or, by via(), of several threads.

    send waits for room (capacity 0: until a receiver has taken the object), receive for an object.
    finish says that no more will come: then receive raises EOFError and `async for` ends.
    """

    def __init__(self, engine, handle, shared=None):
        Resource.__init__(self, engine, handle)
        # The engine carries numbers; the objects themselves wait here, for all threads.
        self._shared = shared or (itertools.count(1), {}, collections.deque())

    def via(self, engine):
        """The same channel for the loop of another Engine that shares this one's. Closing it stays
        with the original."""
        channel = Channel(engine, self._handle, self._shared)
        channel._open = False
        return channel

    async def send(self, item):
        """Put an object in. Cancelled, it has been taken or not, but never twice."""
        numbers, items, _ = self._shared
        engine, number = self._engine, next(numbers)
        request = op.channel_send(self._handle, 0, number)
        tag, future = engine._begin(request)
        items[number] = item

        def refused(completion):
            if completion[2] != abi.OK:
                items.pop(number, None)
        try:
            completion = await future
        except BaseException:
            engine._abandon(tag, future, refused)
            raise
        refused(completion)
        engine._finish(request, completion)

    async def receive(self):
        """The next object; EndError, an EOFError, when the channel is finished and empty."""
        _, items, returned = self._shared
        if returned:
            return returned.popleft()
        engine = self._engine
        request = op.channel_receive(self._handle)
        tag, future = engine._begin(request)

        def keep(completion):
            if completion[2] == abi.OK:
                returned.append(items.pop(completion[7]))
        try:
            completion = await future
        except BaseException:
            engine._abandon(tag, future, keep)
            raise
        _, number = engine._finish(request, completion)
        return items.pop(number)

    async def finish(self):
        """No more will be sent; what is in it can still be received."""
        await self._engine.run(op.channel_finish(self._handle))

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self.receive()
        except EndError:
            raise StopAsyncIteration from None


class Mailbox:
    """Messages of two numbers that any thread may post, for one loop to receive.

    post never waits: when capacity messages are there, it raises FullError, a BlockingIOError.
    """

    def __init__(self, engine, capacity=1024):
        self._engine = engine
        self._core = engine._core
        options = abi.QueueOptions(struct_size=ctypes.sizeof(abi.QueueOptions), capacity=capacity)
        queue = ctypes.c_void_p()
        check(library.queue_create(self._core.pointer, ctypes.byref(options), ctypes.byref(queue)))
        self._queue = queue.value
        self._out = (abi.Completion * 64)()
        descriptor = ctypes.c_int32()
        check(library.queue_fd(self._queue, ctypes.byref(descriptor)))
        self._descriptor = descriptor.value
        self._items = collections.deque()
        self._waiter = None
        engine._loop.add_reader(self._descriptor, self._ready)
        engine._mailboxes.add(self)

    def post(self, result, data=0):
        """Put a message in; on any thread."""
        queue = self._queue
        if queue is None:
            raise error_of(abi.E_SHUTDOWN)
        check(library.queue_post(queue, 0, result, data))

    def _ready(self):
        count = library.queue_reap(self._queue, self._out, len(self._out))
        if count < 0:
            if self._engine._loop is not None and not self._core.forked:
                self._engine._loop.remove_reader(self._descriptor)
            return
        self._items.extend((self._out[i].result, self._out[i].data_u64) for i in range(count))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self):
        """The next message: (result, data)."""
        while not self._items:
            if self._queue is None:
                raise error_of(abi.E_SHUTDOWN)
            self._waiter = self._engine._future()
            await self._waiter
        return self._items.popleft()

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self.receive()

    def close(self):
        """What is in it can still be received."""
        if self._queue is not None:
            self.detach(self._engine._loop)

    def detach(self, loop):
        """Leave the loop, with all that has come."""
        loop.remove_reader(self._descriptor)
        self._engine._mailboxes.discard(self)
        self._ready_all()
        library.queue_destroy(self._queue)
        self._queue = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _ready_all(self):
        before = -1
        while len(self._items) != before:
            before = len(self._items)
            self._ready()


op.KINDS['Channel'] = Channel
