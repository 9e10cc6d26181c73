"""The engine on an asyncio loop: gathers requests, submits them together, hands completions out.

A request is written into one array of records; the first of a loop's turn asks for a flush at the
next one, so whatever the tasks of one turn want is one call into the library. What comes back is
reaped as an array, too. Each request has an entry in _pending, by its tag:

    [what to call with its completion, the memory that it points to, its op id once submitted]

The entry goes only with the final completion, so memory that the kernel may still write is never
freed before, whatever became of the task that asked.
"""
import asyncio
import atexit
import ctypes
import struct
import threading
import warnings
import weakref
from asyncio import InvalidStateError, _get_running_loop

from . import _abi as abi
from . import _channel, _file, _stream, op  # noqa: F401 (_file enters its class)
from ._core import Core
from ._errors import check, error_of
from ._library import library

BATCH = 256  # requests submitted at once
PLACES = 256  # completions reaped at once
BUDGET_NS = 1_000_000  # for one turn of a host-driven engine: the loop has other things to do
RETRY_SECONDS = 0.001  # until requests that found no slot are submitted again
SHUTDOWN_SECONDS = 10.0
EXIT_SECONDS = 1.0

_SIZE = abi.REQUEST_SIZE
_submit, _reap = library.queue_submit, library.queue_reap
_unpack = abi.COMPLETION.iter_unpack
_pack_bare = abi.REQUEST_BARE.pack_into
_put_tag = struct.Struct('=Q').pack_into
_AT_TAG = abi.REQUEST_AT_TAG

_alive = weakref.WeakSet()  # engines that are not closed
_kept = []  # what the system may still write to, for as long as the process lives


def _refused(tag, status):
    """As if a completion had said so."""
    return tag, 0, status, 0, 0, 0, 0, 0, 0


def _ignore(completion):
    pass


class Engine:
    """Asynchronous IO on the running asyncio loop.

        async with ferry.Engine() as engine:
            async with await engine.connect('localhost', 80) as stream:
                await stream.send(b'GET / HTTP/1.0\\r\\n\\r\\n')

    shards            0: the loop's thread runs the engine between its callbacks, which is fastest
                      for one thread of Python's; or so many threads of the engine's own
    ops_max           operations in flight; those beyond wait for a place
    handles_max, workers_max, name_workers_max, buffer_bytes_max: see ferry_engine_options
    driver            what is below the engine: 'auto' (io_uring where it works), 'uv' or 'uring'
    ring_without      what must not go through io_uring, by names as info().ring gives them
    ring              places for completions
    share             another Engine, maybe of another thread's loop: this one uses its engine
    """

    def __init__(self, *, shards=0, ring=1024, share=None, **options):
        self._options = dict(options, shards=shards)
        self._ring = ring
        self._share = share
        self._core = None
        self._loop = None  # the one that it was opened on; None when closed
        self._queue = None
        self._descriptor = -1
        self._world = None  # A simulated one, of the loop's
        self._pending = {}
        self._missed = {}  # completions that came between a cancel and its task's next step
        self._wanted = []  # tags of entries that want to know their op id
        self._tag = 0
        self._count = 0  # requests in the batch
        self._stalled = False
        self._flush_later = self._flush
        self._mailboxes = set()
        self._make_batch(BATCH)

    # Life

    async def __aenter__(self):
        self.open()
        return self

    async def __aexit__(self, *_):
        await self.close()

    def open(self):
        """Start, on the running loop. `async with` does it."""
        if self._core is not None:
            raise RuntimeError('an Engine is opened once')
        loop = asyncio.get_running_loop()
        self._world = getattr(loop, 'ferry_world', None)
        if self._world is not None:
            self._share = self._world  # There is one engine in it, and the loop runs that.
        if self._share is None:
            self._core = Core(**self._options)
        else:
            self._core = self._share._core
            if self._core is None or self._core.stopped:
                raise error_of(abi.E_SHUTDOWN)
        try:
            self._open_queue()
        except BaseException:
            if self._share is None:
                self._core.shutdown(EXIT_SECONDS)
            self._core = None
            raise
        self._loop = loop
        self._thread = threading.get_ident()
        if self._world is not None:
            self._world._join(self)
        else:
            loop.add_reader(self._descriptor, self._turn if self._host_driven else self._collect)
        _alive.add(self)

    def _open_queue(self):
        self._host_driven = self._core.host_driven and self._share is None
        options = abi.QueueOptions(struct_size=ctypes.sizeof(abi.QueueOptions), capacity=self._ring)
        queue, descriptor = ctypes.c_void_p(), ctypes.c_int32()
        check(library.queue_create(self._core.pointer, ctypes.byref(options), ctypes.byref(queue)))
        self._queue = queue.value
        if self._host_driven:
            check(library.engine_fd(self._core.pointer, ctypes.byref(descriptor)))
        elif self._world is None:
            check(library.queue_fd(self._queue, ctypes.byref(descriptor)))
        self._descriptor = descriptor.value
        self._make_ring()

    async def close(self, timeout=SHUTDOWN_SECONDS):
        """Shut down: whatever is pending ends with ShutdownError. Waits for it without blocking."""
        if self._loop is None:
            return
        if self._core.forked:
            self.terminate()
            return
        if _get_running_loop() is not self._loop:
            raise self._misused()
        for mailbox in list(self._mailboxes):
            mailbox.close()
        if self._share is not None:
            await self._leave_shared(self._loop.time() + timeout)
            return
        ends = self._loop.time() + timeout
        while True:
            status = self._core.shutdown(0.001)
            self._collect()
            if status not in (abi.E_TIMED_OUT, abi.E_BUSY) or self._loop.time() > ends:
                break
            await asyncio.sleep(0.002)
        self._finish_off()
        if not self._core.stopped:
            check(status)

    async def _leave_shared(self, ends):
        """End what was asked for here; the engine itself goes on for the others."""
        self._flush()
        for tag, entry in list(self._pending.items()):
            if type(entry) is list:
                self._cancel(tag, entry)
        while self._pending and not self._core.stopped and self._loop.time() < ends:
            await asyncio.sleep(0.001)
        self._finish_off()
        library.queue_destroy(self._queue)

    def terminate(self, timeout=EXIT_SECONDS):
        """As close, but blocking, and without the loop: for when that is gone already."""
        if self._loop is None:
            return
        if self._core.forked:
            self._loop = None
            _alive.discard(self)
            return
        if self._share is None:
            self._core.shutdown(timeout)
        self._finish_off()
        self._core.destroy_if_forgotten()

    def _finish_off(self):
        """Let go of the loop and hand out the last completions."""
        loop, self._loop = self._loop, None
        _alive.discard(self)
        if loop is None:
            return
        # A loop of another thread is left alone: only that thread may touch it.
        if not loop.is_closed() and self._thread == threading.get_ident():
            if self._world is not None:
                self._world._leave(self)
            else:
                loop.remove_reader(self._descriptor)
            for mailbox in list(self._mailboxes):
                mailbox.detach(loop)
            if self._core.pointer is not None:
                self._reap_all()
            for tag in range(self._tag - self._count + 1, self._tag + 1):
                self._hand_out([_refused(tag, abi.E_SHUTDOWN)])
            self._count = 0
        if self._pending and not self._core.stopped:
            _kept.append((self._pending, self._core))

    def __del__(self):
        if getattr(self, '_loop', None) is not None and not self._core.forked:
            warnings.warn(f'unclosed {self!r}', ResourceWarning, source=self)
            self.terminate()

    def __repr__(self):
        state = 'closed' if self._loop is None else f'{len(self._pending)} pending'
        return f'<ferry.Engine {state}>'

    @property
    def closed(self):
        return self._loop is None

    def info(self):
        """What is in flight, open and lent: see ferry_engine_info."""
        if self._core is None:
            raise error_of(abi.E_SHUTDOWN)
        return self._core.info()

    def _misused(self):
        """The exception for a call from somewhere else than the loop of this engine."""
        if self._core is not None and self._core.forked:
            return error_of(abi.E_FORKED)
        if self._loop is None:
            return error_of(abi.E_SHUTDOWN)
        return error_of(abi.E_WRONG_THREAD)

    # Requests go in

    def _make_batch(self, room):
        """An array for so many requests, with those that are in the old one."""
        old = bytes(self._batch[:self._count * _SIZE]) if self._count else b''
        self._room = room
        self._batch = bytearray(room * _SIZE)
        self._batch[:len(old)] = old
        self._records = (ctypes.c_ubyte * len(self._batch)).from_buffer(self._batch)
        self._address = ctypes.addressof(self._records)
        self._ops = (ctypes.c_uint64 * room)()
        self._ops_address = ctypes.addressof(self._ops)
        self._accepted = ctypes.c_size_t()
        self._accepted_address = ctypes.addressof(self._accepted)

    def _make_room(self):
        """The batch is full: submit it, or let it grow if there are no slots."""
        if not self._stalled:
            self._submit()
        if self._count == self._room:
            self._make_batch(2 * self._room)
        return self._count

    def _stage(self, record, handler, keep=None):
        """Put a request into the batch: (its tag, its entry)."""
        if _get_running_loop() is not self._loop or self._loop is None:
            raise self._misused()
        count = self._count
        if count == self._room:
            count = self._make_room()
        if not count:
            self._loop.call_soon(self._flush_later)
        self._count = count + 1
        tag = self._tag = self._tag + 1
        at = count * _SIZE
        self._batch[at:at + _SIZE] = record
        _put_tag(self._batch, at + _AT_TAG, tag)
        entry = self._pending[tag] = [handler, keep, 0]
        self._wanted.append(tag)
        return tag, entry

    def _flush(self):
        """Submit what the last turn of the loop has gathered."""
        if self._loop is None:
            return
        self._submit()
        if self._host_driven:
            self._turn()

    def _submit(self):
        count = self._count
        if not count:
            return
        status = _submit(self._queue, self._address, count, self._ops_address,
                         self._accepted_address)
        if status != abi.OK:
            self._submit_rest(status)
            return
        if self._wanted:
            self._note_ops(self._tag - count + 1, count)
        self._count = 0
        self._stalled = False

    def _note_ops(self, first, count):
        """The first so many requests of the batch have got their op ids."""
        pending, ops = self._pending, self._ops
        later = []
        for tag in self._wanted:
            if tag < first + count:
                pending[tag][2] = ops[tag - first]
            else:
                later.append(tag)
        self._wanted = later

    def _submit_rest(self, status):
        """Some were not accepted: no slot is free, which passes, or one was refused."""
        refused = []
        count, first = self._count, self._tag - self._count + 1
        while True:
            accepted = self._accepted.value
            self._note_ops(first, accepted)
            first, count = first + accepted, count - accepted
            if status not in (abi.OK, abi.E_FULL):
                refused.append(_refused(first, status))
                if first in self._wanted:
                    self._wanted.remove(first)
                first, count = first + 1, count - 1
            self._shift(count)
            if status == abi.E_FULL or not count:
                break
            status = _submit(self._queue, self._address, count, self._ops_address,
                             self._accepted_address)
            if status == abi.OK:
                self._accepted.value = count
        self._stalled = count > 0
        if self._stalled:
            self._loop.call_later(RETRY_SECONDS, self._flush_later)
        self._hand_out(refused)

    def _shift(self, count):
        """Only the last so many requests are left in the batch."""
        begin = (self._count - count) * _SIZE
        ctypes.memmove(self._address, self._address + begin, count * _SIZE)
        self._count = count

    def _cancel(self, tag, entry):
        """Ask for the end of what is under way. What was not submitted yet never happens."""
        if entry[2]:
            library.queue_cancel(self._queue, entry[2])
            return
        first = self._tag - self._count + 1
        if tag < first or tag not in self._pending:
            return
        _pack_bare(self._batch, (tag - first) * _SIZE, abi.OP_NOP, 0, tag, 0)
        self._pending[tag] = [_ignore, None, 0]
        entry[0]((tag, 0, abi.E_CANCELED, 0, 0, abi.REUSABLE, 0, 0, 0))

    # Completions come out

    def _make_ring(self):
        self._out = (ctypes.c_ubyte * (PLACES * abi.COMPLETION_SIZE))()
        self._out_address = ctypes.addressof(self._out)
        self._view = memoryview(self._out).cast('B')

    def _collect(self):
        """Reap once. What is left keeps the descriptor readable."""
        count = _reap(self._queue, self._out_address, PLACES)
        if count > 0:
            self._hand_out(_unpack(self._view[:count * 64]))
            if self._stalled:
                self._submit()
        elif (count < 0 and self._loop is not None and self._world is None
              and not self._core.forked):
            self._loop.remove_reader(self._descriptor)
        return count

    def _turn(self):
        """Run a host-driven engine for a while. What is left over keeps its descriptor readable."""
        library.engine_poll(self._core.pointer, 0, BUDGET_NS, None)
        if self._collect() == PLACES:
            # The ring was full, maybe: there is room now for what waited.
            while self._collect() == PLACES:
                pass
            if self._loop is not None:
                self._loop.call_soon(self._flush_later)

    def _reap_all(self):
        while self._collect() > 0:
            pass

    def _hand_out(self, completions):
        pending, more = self._pending, abi.MORE
        completions = iter(completions)
        completion = None
        while True:
            try:
                for completion in completions:
                    if completion[5] & more:
                        pending[completion[0]][0](completion)
                    else:
                        pending.pop(completion[0])[0](completion)
                return
            except InvalidStateError:
                # The future was cancelled; its task has not run yet, and will ask for this.
                self._missed[completion[0]] = completion
            except Exception as exception:
                self._complain(exception)

    def _complain(self, exception):
        context = {'message': 'a completion could not be handed out', 'exception': exception}
        if self._loop is not None:
            self._loop.call_exception_handler(context)

    # One operation

    def _future(self):
        if _get_running_loop() is not self._loop or self._loop is None:
            raise self._misused()
        return self._loop.create_future()

    def _begin(self, request):
        future = self._future()
        tag, _ = self._stage(request.record, future.set_result, request)
        return tag, future

    def _finish(self, request, completion):
        """The operation's value, or its exception."""
        value, error, _ = request.outcome(self, completion)
        if error is not None:
            raise error
        return value

    def _abandon(self, tag, future, handler):
        """Nobody waits any more: cancel it, and give what it comes to some time to the handler."""
        entry = self._pending.get(tag)
        if entry is not None:
            entry[0] = handler
            if self._loop is not None and self._core.pointer is not None:
                self._cancel(tag, entry)
            return
        completion = self._missed.pop(tag, None)
        if completion is None and future.done() and not future.cancelled():
            completion = future.result()
        if completion is not None:
            handler(completion)

    def _leave(self, tag):
        """Nobody waits any more, but it goes on."""
        entry = self._pending.get(tag)
        if entry is not None:
            entry[0] = _ignore
        else:
            self._missed.pop(tag, None)

    async def run(self, request):
        """Run a described operation or composition; brings its value."""
        tag, future = self._begin(request)
        try:
            completion = await future
        except BaseException:
            self._abandon(tag, future, lambda completion: request.drop(self, completion))
            raise
        return self._finish(request, completion)

    # What there is

    async def connect(self, host, port, *, local=None):
        """A Stream to an address or a name; to an address also from one: local is (host, port)."""
        return await self.run(op.connect(host, port, local=local))

    async def listen(self, host='127.0.0.1', port=0, *, backlog=0, reuse_port=False):
        """A Listener; port 0 lets the system choose, local_address() tells."""
        return await self.run(op.listen(host, port, backlog=backlog, reuse_port=reuse_port))

    async def adopt(self, descriptor, kind='stream'):
        """A Stream, Listener or File of a descriptor, which is the engine's from then on."""
        return await self.run(op.adopt(descriptor, kind))

    async def release(self, resource):
        """Give a handle's descriptor up: its number, for the caller to close."""
        descriptor = await self.run(op.release(resource))
        resource._open = False
        return descriptor

    async def resolve(self, host, port=0, *, family=0):
        """The addresses of a name, in the order in which to try them."""
        return await self.run(op.resolve(host, port, family=family))

    async def load(self, path, *, size_max=0, lent=False):
        """A whole file: bytes, or with lent a view of the engine's own memory."""
        return await self.run(op.load(path, size_max=size_max, lent=lent))

    async def store(self, path, data, *, mode=0):
        """Replace or make a whole file: its name has the old bytes or the new, whatever happens."""
        return await self.run(op.store(path, data, mode=mode))

    async def open_file(self, path, mode='r', *, permissions=0):
        """A File; the modes are those of the builtin open."""
        return await self.run(op.open(path, mode, permissions=permissions))

    async def stat(self, path, *, follow=True):
        return await self.run(op.stat(path, follow=follow))

    async def copy(self, source, target, size=None, source_offset=0, target_offset=0):
        """Copy between streams and files; brings the bytes copied."""
        return await self.run(op.copy(source, target, size, source_offset, target_offset))

    async def sleep(self, seconds):
        await self.run(op.sleep(seconds))

    def interval(self, seconds):
        """`async with engine.interval(1) as ticks: async for count in ticks`."""
        return _stream.Interval(self, seconds)

    async def channel(self, capacity=0):
        """A Channel of so many places."""
        return await self.run(op.channel(capacity))

    def mailbox(self, capacity=1024):
        """A Mailbox for messages from any thread."""
        if _get_running_loop() is not self._loop or self._loop is None:
            raise self._misused()
        return _channel.Mailbox(self, capacity)

    async def chain(self, *requests):
        """One after the other, as one request; brings the list of values. See ferry.op."""
        return await self.run(op.chain(*requests))

    async def all(self, *requests):
        """Together, as one request; brings the list of values."""
        return await self.run(op.all(*requests))

    async def race(self, *requests):
        """Together until the first ends; brings (index, value, outcomes)."""
        return await self.run(op.race(*requests))

    async def retry(self, request, attempts=0, delay=0.0, delay_max=0.0):
        """Again and again until it succeeds; brings its value."""
        return await self.run(op.retry(request, attempts, delay, delay_max))



@atexit.register
def _end_all():
    """The interpreter ends: nothing may be written into its memory any more."""
    for engine in list(_alive):
        engine.terminate()
