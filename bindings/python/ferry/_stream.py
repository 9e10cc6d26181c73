"""Streams, listeners and intervals."""
import functools
from asyncio import _get_running_loop

from . import _abi as abi
from . import op
from ._errors import IncompleteReadError, LimitOverrunError, error_of
from ._library import library, memory
from ._memory import BYTES_AT, lent_view
from ._resource import Flow, Resource

CHUNK = 65536
UNSENT_HIGH = 65536  # drain waits above this
UNSENT_LOW = 16384  # and until no more than this is unsent

OPTIONS = {'no_delay': abi.SOCKET_NO_DELAY, 'keep_alive': abi.SOCKET_KEEP_ALIVE,
           'receive_buffer': abi.SOCKET_RECEIVE_BUFFER, 'send_buffer': abi.SOCKET_SEND_BUFFER,
           'linger': abi.SOCKET_LINGER}

_SIZE, _SEND = abi.REQUEST_SIZE, abi.OP_STREAM_SEND
_MORE_LENT = abi.MORE | abi.BUFFER
_release = library.buffer_release
_pack_send = abi.REQUEST_SEND.pack_into


class _Nothing:
    """What is awaited when there is nothing to wait for."""

    def __await__(self):
        return _EMPTY


_EMPTY = iter(())
_NOTHING = _Nothing()


class _Socket(Resource):
    async def local_address(self):
        return await self._engine.run(op.local_address(self))

    async def set_option(self, name, value):
        """no_delay, keep_alive, receive_buffer, send_buffer or linger."""
        if name not in OPTIONS:
            raise ValueError(f'no option {name!r}; there are {", ".join(OPTIONS)}')
        await self._engine.run(op.set_option(self, OPTIONS[name], value))


class Stream(_Socket, Flow):
    """A connection.

    Receiving: receive, receive_exactly, receive_until, or `async for chunk in stream`. Whoever is
    cancelled or runs into a timeout loses no byte: the next receive gets it.

    Sending: `await send(data)` waits until the system has taken it; write(data) does not wait, and
    `await drain()` keeps a writer from running ahead of a slow peer.
    """

    ITEMS_MAX = 32

    def __init__(self, engine, handle):
        Resource.__init__(self, engine, handle)
        Flow.__init__(self)
        self._next_bytes = op.receive(handle)
        self._left = b''  # received, but not handed out yet; comes before everything else
        self._receiving = False  # one operation is under way, maybe without its caller by now
        self._queued = []  # who waits for its end
        self._unsent = 0
        self._draining = []
        self._send_error = None

    # Receiving

    async def receive(self, size=CHUNK):
        """Some bytes, size of them at most; b'' at the end of the stream."""
        if size <= 0:
            raise ValueError('size must be above 0')
        if self._receiving:
            await self._turn()
        if self._left:
            data = self._left
        elif self._idle():
            data = await self._receive_by(self._next_bytes)
        else:
            data = await self._next_chunk()
        self._left = data[size:]
        return data[:size] if self._left else data

    async def receive_into(self, buffer):
        """Into a bytearray or the like; brings the number of bytes, 0 at the end of the stream."""
        if self._receiving or not self._idle():
            data = await self.receive(memoryview(buffer).nbytes)
            memoryview(buffer).cast('B')[:len(data)] = data
            return len(data)
        view = memoryview(buffer).cast('B')
        return await self._receive_by(op.receive_into(self._handle, view),
                                      lambda completion: bytes(view[:completion[1]]))

    async def receive_exactly(self, size):
        """So many bytes; IncompleteReadError, an EOFError, if the stream ends before."""
        if size < 0:
            raise ValueError('size must not be negative')
        if size == 0:
            return b''
        if self._receiving:
            await self._turn()
        if self._idle():
            return await self._receive_by(op.receive_exactly(self._handle, size))
        return await self._gather(size)

    async def _gather(self, size):
        """Exactly so many bytes, of which some have been received before."""
        data = bytearray()
        try:
            while len(data) < size:
                chunk = await self.receive(size - len(data))
                if not chunk:
                    raise IncompleteReadError(bytes(data), size)
                data += chunk
        except IncompleteReadError:
            raise
        except BaseException:
            self._left = bytes(data) + self._left
            raise
        return bytes(data)

    async def receive_until(self, delimiter=b'\n', limit=65536):
        """Up to and with a delimiter of 1 to 16 bytes.

        LimitOverrunError if there is none within limit bytes, IncompleteReadError if the stream
        ends before: the bytes can be received all the same.
        """
        if self._receiving:
            await self._turn()
        if self._idle():
            return await self._receive_by(op.receive_until(self._handle, delimiter, limit))
        return await self._search(delimiter, limit)

    async def _search(self, delimiter, limit):
        data = b''
        try:
            while True:
                at = data.find(delimiter)
                if 0 <= at <= limit - len(delimiter):
                    at += len(delimiter)
                    found, data = data[:at], data[at:]
                    return found
                if len(data) >= limit:
                    raise LimitOverrunError('no delimiter within the limit', 0)
                chunk = await self.receive()
                if not chunk:
                    raise IncompleteReadError(b'', None)
                data += chunk
        finally:
            self._left = data + self._left

    def _idle(self):
        """Whether nothing has been received in advance, and nothing will be."""
        return not (self._left or self._items) and self._entry is None and self._over is None

    async def _receive_by(self, request, bytes_of=None):
        """Receive by an operation of its own. One at a time: others wait for their turn."""
        engine = self._engine
        tag, future = engine._begin(request)
        self._receiving = True
        try:
            completion = await future
        except BaseException:
            engine._abandon(tag, future, functools.partial(self._too_late, request, bytes_of))
            raise
        self._end_turn()
        return engine._finish(request, completion)

    def _too_late(self, request, bytes_of, completion):
        """Nobody waits for this receive any more: keep its bytes for the next one."""
        value = request.outcome(self._engine, completion).value
        data = bytes_of(completion) if bytes_of is not None else value
        self._left = (data or b'') + self._left
        self._end_turn()

    async def _turn(self):
        while self._receiving:
            waiter = self._engine._future()
            self._queued.append(waiter)
            await waiter

    def _end_turn(self):
        self._receiving = False
        queued, self._queued = self._queued, []
        for waiter in queued:
            if not waiter.done():
                waiter.set_result(None)

    # All that comes

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self._left or self._receiving:
            data = await self.receive()
            if data:
                return data
        items = self._items
        while not items:
            # As Flow._wait, spelled out: this is what a busy server does most.
            if self._over is not None:
                if self._over[0] == abi.OK:
                    raise StopAsyncIteration
                raise self._end()
            engine = self._engine
            if _get_running_loop() is not engine._loop or self._entry is None:
                await self._wait()
                continue
            waiter = engine._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                self._give_up(waiter)
                raise
        return items.popleft()

    def _arrived(self, completion):
        if completion[5] == _MORE_LENT and self._waiters and len(self._items) < self.ITEMS_MAX:
            data = completion[7]
            self._items.append(memory[data:data + completion[1]])
            _release(self._core.pointer, completion[8])
            waiter = self._waiters.popleft()
            if waiter.done():
                self._wake()
            else:
                waiter.set_result(None)
        else:
            Flow._arrived(self, completion)

    async def _next_chunk(self):
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return b''

    async def lent(self):
        """All that comes, as views of the engine's own memory: no byte is copied. A view's memory
        goes back to the engine with the view, so keep few."""
        if self._left:
            data, self._left = self._left, b''
            yield memoryview(data)
        flow = _LentFlow(self)
        try:
            while True:
                yield await flow._next()  # in no variable: that would keep it lent
        except EOFError:
            pass
        finally:
            await flow.stop()

    def _describe(self):
        return op.Request(abi.REQUEST_RECEIVE, abi.OP_STREAM_RECEIVE, self._handle, 0, 0,
                          flags=abi.LEND | abi.MULTISHOT)

    def _take(self, completion):
        if completion[5] & abi.BUFFER:
            data = completion[7]
            self._items.append(memory[data:data + completion[1]])
            self._core.release(completion[8])

    # Sending

    def write(self, data):
        """Send without waiting. Errors come with the next drain or send."""
        if type(data) is not bytes:
            data = bytes(data)
        if data:
            self._put(data, (self._sent, data))
            self._unsent += len(data)

    def _put(self, data, entry):
        """As Engine._stage, spelled out for a send: this is what a busy server does most."""
        engine = self._engine
        if _get_running_loop() is not engine._loop or engine._loop is None:
            raise engine._misused()
        count = engine._count
        if count == engine._room:
            count = engine._make_room()
        if not count:
            engine._loop.call_soon(engine._flush_later)
        engine._count = count + 1
        tag = engine._tag = engine._tag + 1
        _pack_send(engine._batch, count * _SIZE, _SEND, 0, tag, self._handle, id(data) + BYTES_AT,
                   len(data))
        engine._pending[tag] = entry
        return tag

    def _sent(self, completion):
        """What one write came to. Sends complete in their order."""
        if completion[2] == 0:
            self._unsent -= completion[1]
        else:
            self._unsent -= self._unsent
            if self._send_error is None:
                self._send_error = completion[2:4]
        if self._draining and self._unsent <= UNSENT_LOW:
            draining, self._draining = self._draining, []
            for waiter in draining:
                if not waiter.done():
                    waiter.set_result(None)

    @property
    def unsent(self):
        """Bytes written that the system has not taken yet."""
        return self._unsent

    def drain(self):
        """Wait while much is unsent; raise what became of earlier writes."""
        if self._unsent <= UNSENT_HIGH and self._send_error is None:
            return _NOTHING
        return self._drain()

    async def _drain(self):
        if self._unsent > UNSENT_HIGH:
            await self._drained(UNSENT_LOW)
        if self._send_error is not None:
            raise error_of(*self._send_error)

    async def _drained(self, bound):
        while self._unsent > bound and self._send_error is None:
            waiter = self._engine._future()
            self._draining.append(waiter)
            await waiter

    async def send(self, data):
        """Send all of it; returns when the system has taken it. Cancelled, it is sent all the same:
        half a message would spoil the stream."""
        if type(data) is not bytes:
            if len(data):
                await self._send(op.send(self._handle, data))
        elif data:
            engine = self._engine
            future = engine._future()
            tag = self._put(data, [future.set_result, data, 0])
            try:
                completion = await future
            except BaseException:
                engine._leave(tag)
                raise
            if completion[2] != abi.OK:
                raise error_of(*completion[2:4])

    async def send_vectored(self, pieces):
        """Send several pieces as if they were one."""
        if pieces:
            await self._send(op.send_vectored(self._handle, pieces))

    async def _send(self, request):
        engine = self._engine
        tag, future = engine._begin(request)
        try:
            completion = await future
        except BaseException:
            engine._leave(tag)
            raise
        engine._finish(request, completion)

    async def shutdown(self):
        """Send what waits, then the end of the stream. Receiving goes on."""
        await self._engine.run(op.shutdown(self._handle))

    # The rest

    async def peer_address(self):
        return await self._engine.run(op.peer_address(self))

    async def close(self):
        """Send what was written, then close. discard() does not wait for that."""
        if self._unsent and self._open:
            try:
                await self._drained(0)
            except BaseException:
                self.discard()
                raise
        await Resource.close(self)

    async def __aexit__(self, kind, *_):
        if kind is None:
            await self.close()
        else:
            self._unsent = 0
            await Resource.close(self)


class _LentFlow(Flow):
    """The views of Stream.lent."""

    ITEMS_MAX = 16

    def __init__(self, stream):
        self._engine = stream._engine
        self._stream = stream
        Flow.__init__(self)

    def _describe(self):
        return self._stream._describe()

    def _take(self, completion):
        _, result, _, _, _, flags, _, data, buffer = completion
        if flags & abi.BUFFER:
            self._items.append(lent_view(self._engine._core, data, result, buffer))

    async def stop(self):
        """What came but was not asked for stays with the stream."""
        self._pause()
        while self._entry is not None:
            waiter = self._engine._future()
            self._waiters.append(waiter)
            await waiter
        if self._items:
            self._stream._left = b''.join(self._items) + self._stream._left
            self._items.clear()


class Listener(_Socket, Flow):
    """Takes connections: `async for connection in listener`, or accept() one by one."""

    def __init__(self, engine, handle):
        Resource.__init__(self, engine, handle)
        Flow.__init__(self)

    async def accept(self):
        """The next connection. Cancelled, it leaves the connection to the next accept."""
        return await self._next()

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self._next()
        except Exception:
            if not self._open:
                raise StopAsyncIteration from None
            raise

    def _describe(self):
        return op.Request(abi.REQUEST_BARE, abi.OP_TCP_ACCEPT, self._handle, flags=abi.MULTISHOT)

    def _take(self, completion):
        # Out of descriptors or handles an accept says so with FERRY_MORE, and goes on by itself.
        _, _, status, _, _, flags, handle, _, _ = completion
        if status == abi.OK and flags & abi.MORE:
            self._items.append(Stream(self._engine, handle))

    async def close(self):
        await Resource.close(self)
        while self._items:
            self._items.popleft().discard()

    def discard(self):
        Resource.discard(self)
        while self._items:
            self._items.popleft().discard()


class Interval(Flow):
    """A timer that goes on: each item counts the expiries since the last one."""

    def __init__(self, engine, seconds):
        self._engine = engine
        self._period = max(op.nanoseconds(seconds), 1)
        Flow.__init__(self)

    def _describe(self):
        return op.Request(abi.REQUEST_TIMER, abi.OP_TIMER, 0, self._period, self._period,
                          flags=abi.MULTISHOT)

    def _take(self, completion):
        _, result, _, _, _, flags, _, _, _ = completion
        if flags & abi.MORE:
            self._items.append(result)

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self._next()

    async def aclose(self):
        """Stop it."""
        self._pause()
        while self._entry is not None:
            waiter = self._engine._future()
            self._waiters.append(waiter)
            await waiter
        self._items.clear()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.aclose()


op.KINDS['Stream'] = Stream
op.KINDS['Listener'] = Listener
