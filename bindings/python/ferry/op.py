"""Describe operations without starting them: for Engine.run, and as parts of compositions.

    op.chain(
        op.open('greeting.txt'),
        op.read(op.child(0), 100),      # works on what the first step will have opened
        op.close(op.child(0)))

Nothing happens before a request is run. Each may be run several times, one after the other.
"""
import asyncio
import collections
import os

from . import _abi as abi
from ._address import ANY, literal, record, unpack
from ._errors import IncompleteReadError, LimitOverrunError, error_of
from ._library import library, memory
from ._memory import BYTES_AT, borrow, lent_view, pin

NANOSECONDS = 1_000_000_000
WITHOUT_END = (1 << 64) - 1

# What became of a part of a composition: its value, its exception or None, whether it won a race.
Outcome = collections.namedtuple('Outcome', 'value error winner')
# What a race brings: which child ended it, with what, and the outcomes of all.
Race = collections.namedtuple('Race', 'index value outcomes')
Info = collections.namedtuple('Info', 'size allocated modified_ns changed_ns accessed_ns '
                              'created_ns device inode links type permissions user group '
                              'block_size')

KINDS = {}  # 'Stream' and so on: the classes, entered by their modules


def nanoseconds(seconds):
    """A time as the engine counts it; never shorter than what was asked for."""
    if seconds < 0:
        return 0
    return min(-int(-seconds * NANOSECONDS // 1), WITHOUT_END - 1)


class Request:
    """One described operation, or a whole composition."""

    __slots__ = ('record', 'keep', 'take', 'about', 'fail')

    def __init__(self, layout, opcode, target, *params, flags=0, keep=None, take=None, about=None,
                 fail=None):
        handle = target if type(target) is int else getattr(target, 'handle', target)
        self.record = bytearray(layout.pack(opcode, flags, 0, handle, *params))
        self.keep = keep  # the memory that it points to
        self.take = take  # (engine, completion) -> value
        self.about = about
        self.fail = fail  # (completion, value) -> exception

    def within(self, seconds):
        """Give it a deadline, counted from its own start."""
        at = abi.REQUEST_AT_DEADLINE_NS
        self.record[at:at + 8] = max(nanoseconds(seconds), 1).to_bytes(8, _ORDER)
        return self

    def outcome(self, engine, completion):
        """What came of it; whatever was lent has been taken or given back."""
        _, _, status, os_error, _, flags, _, _, _ = completion
        value = error = None
        if self.take is not None:
            value = self.take(engine, completion)
        if status < 0:
            error = self.fail(completion, value) if self.fail is not None else None
            if error is None:
                error = error_of(status, os_error, self.about)
        return Outcome(value, error, bool(flags & abi.WINNER))

    def drop(self, engine, completion):
        """It came too late: nobody wants it any more."""
        quiet(self.outcome(engine, completion).value)


_ORDER = 'little' if abi.SLICE.pack(1, 0)[0] == 1 else 'big'


def quiet(value):
    """Let go of what nobody asked for by name, without a warning."""
    if isinstance(value, (list, tuple)):
        for one in value:
            quiet(one)
    elif isinstance(value, KINDS['Resource']):
        value._warns = False


# What completions bring


def _lent(engine, completion):
    """The bytes that were lent, copied and given back; None if there were none."""
    _, result, _, _, _, flags, _, data, buffer = completion
    if not flags & abi.BUFFER:
        return None
    copied = memory[data:data + result]
    engine._core.release(buffer)
    return copied


def _bytes(engine, completion):
    data = _lent(engine, completion)
    return b'' if data is None and completion[2] == abi.OK else data


def _view(engine, completion):
    _, result, status, _, _, flags, _, data, buffer = completion
    if flags & abi.BUFFER:
        return lent_view(engine._core, data, result, buffer)
    return memoryview(b'') if status == abi.OK else None


def _count(_, completion):
    return completion[1]


def _info(engine, completion):
    data = _lent(engine, completion)
    return None if data is None else Info._make(abi.FILE_INFO.unpack(data))


def _address(engine, completion):
    data = _lent(engine, completion)
    return None if data is None else unpack(data)


def _addresses(engine, completion):
    data = _lent(engine, completion)
    if data is None:
        return None
    size = abi.ADDRESS.size
    return [unpack(data[at:at + size]) for at in range(0, len(data), size)]


def _opened(kind):
    def take(engine, completion):
        _, _, status, _, _, _, handle, _, _ = completion
        return KINDS[kind](engine, handle) if status == abi.OK and handle else None
    return take


def _filled(buffer):
    """So many bytes of a buffer of ours as the completion says."""
    def take(_, completion):
        return bytes(memoryview(buffer)[:completion[1]])
    return take


# Builders


def child(index, level=0):
    """Stands for the handle that an earlier child of a chain opens: level 0 is the innermost."""
    handle = library.child_handle(index, level)
    if handle == abi.NONE:
        raise ValueError(f'no child has index {index} and level {level}')
    return handle


def nop():
    return Request(abi.REQUEST_BARE, abi.OP_NOP, 0)


def sleep(seconds):
    return Request(abi.REQUEST_TIMER, abi.OP_TIMER, 0, nanoseconds(seconds), 0)


def close(target):
    return Request(abi.REQUEST_BARE, abi.OP_HANDLE_CLOSE, target)


def copy(source, target, size=None, source_offset=0, target_offset=0):
    """Copy between streams and files, within the system where it can; brings the bytes copied."""
    return Request(abi.REQUEST_COPY, abi.OP_HANDLE_COPY, source,
                   target if type(target) is int else target.handle,
                   WITHOUT_END if size is None else size, source_offset, target_offset,
                   take=_count)


def adopt(descriptor, kind='stream'):
    """Make a stream, a listener or a file of a descriptor, which is the engine's from then on."""
    number, name = {'stream': (abi.DESCRIPTOR_STREAM, 'Stream'),
                    'listener': (abi.DESCRIPTOR_LISTENER, 'Listener'),
                    'file': (abi.DESCRIPTOR_FILE, 'File')}[kind]
    return Request(abi.REQUEST_ADOPT, abi.OP_DESCRIPTOR_ADOPT, 0, descriptor, number,
                   take=_opened(name), about=descriptor)


def release(target):
    """Give a handle's descriptor up; brings its number, to be closed by whoever asked."""
    return Request(abi.REQUEST_BARE, abi.OP_DESCRIPTOR_RELEASE, target, take=_count)


def listen(host='127.0.0.1', port=0, *, backlog=0, reuse_port=False):
    return Request(abi.REQUEST_LISTEN, abi.OP_TCP_LISTEN, 0, record(host, port), backlog,
                   flags=abi.REUSE_PORT if reuse_port else 0, take=_opened('Listener'),
                   about=(host, port))


def accept(listener):
    return Request(abi.REQUEST_BARE, abi.OP_TCP_ACCEPT, listener, take=_opened('Stream'))


def connect(host, port, *, local=None):
    """By address or by name; a name's addresses are tried one beside the other (RFC 8305).

    local is the address to connect from, as (host, port), where port 0 leaves it to the system;
    only to an address, not to a name.
    """
    address = literal(host, port)
    if address is not None:
        return Request(abi.REQUEST_CONNECT, abi.OP_TCP_CONNECT, 0, address,
                       ANY if local is None else record(*local), take=_opened('Stream'),
                       about=(host, port))
    if local is not None:
        raise ValueError(f'a name is not connected to from an address: {host!r}')
    name = host.encode('idna') + b'\0'
    return Request(abi.REQUEST_CONNECT_NAME, abi.OP_TCP_CONNECT_NAME, 0, id(name) + BYTES_AT, port,
                   0, keep=name, take=_opened('Stream'), about=(host, port))


def resolve(host, port=0, *, family=0):
    """Brings the addresses of a name, in the order in which to try them."""
    name = host.encode('idna') + b'\0'
    return Request(abi.REQUEST_RESOLVE, abi.OP_NAME_RESOLVE, 0, id(name) + BYTES_AT, family, port,
                   keep=name, take=_addresses, about=host)


def local_address(target):
    return Request(abi.REQUEST_SOCKET_ADDRESS, abi.OP_SOCKET_ADDRESS, target, 0, take=_address)


def peer_address(target):
    return Request(abi.REQUEST_SOCKET_ADDRESS, abi.OP_SOCKET_ADDRESS, target, 1, take=_address)


def set_option(target, option, value):
    """An option by its number, ferry.abi.SOCKET_..."""
    return Request(abi.REQUEST_SOCKET_SET, abi.OP_SOCKET_SET, target, option, value)


def receive(stream):
    """Brings some bytes; none at the end of the stream."""
    return Request(abi.REQUEST_RECEIVE, abi.OP_STREAM_RECEIVE, stream, 0, 0, flags=abi.LEND,
                   take=_bytes)


def receive_into(stream, buffer):
    address, size, anchor = pin(buffer)
    return Request(abi.REQUEST_RECEIVE, abi.OP_STREAM_RECEIVE, stream, address, size, keep=anchor,
                   take=_count)


def _short(size):
    def fail(completion, value):
        if completion[2] == abi.E_END:
            return IncompleteReadError(value, size)
        return None
    return fail


def receive_exactly(stream, size):
    buffer = bytearray(size)
    address, _, anchor = pin(buffer)
    return Request(abi.REQUEST_RECEIVE, abi.OP_STREAM_RECEIVE_EXACTLY, stream, address, size,
                   keep=anchor, take=_filled(buffer), fail=_short(size))


def _undelimited(completion, _):
    if completion[2] == abi.E_LIMIT:
        return LimitOverrunError('no delimiter within the limit', 0)
    if completion[2] == abi.E_END:
        return IncompleteReadError(b'', None)
    return None


def receive_until(stream, delimiter=b'\n', limit=65536):
    """Brings the bytes up to and with the delimiter, limit of them at most."""
    if not 1 <= len(delimiter) <= 16:
        raise ValueError('a delimiter has 1 to 16 bytes')
    buffer = keep = None
    address, size, flags = 0, limit, abi.LEND
    if limit > abi.UNTIL_LEND_MAX:
        buffer = bytearray(limit)
        (address, size, keep), flags = pin(buffer), 0
    return Request(abi.REQUEST_RECEIVE_UNTIL, abi.OP_STREAM_RECEIVE_UNTIL, stream, address, size,
                   len(delimiter), bytes(delimiter), flags=flags, keep=keep,
                   take=_bytes if buffer is None else _filled(buffer), fail=_undelimited)


def send(stream, data):
    address, size, anchor = borrow(data)
    return Request(abi.REQUEST_SEND, abi.OP_STREAM_SEND, stream, address, size, keep=anchor,
                   take=_count)


def _slices(pieces, how):
    borrowed = [how(piece) for piece in pieces]
    array = b''.join(abi.SLICE.pack(address, size) for address, size, _ in borrowed)
    return id(array) + BYTES_AT, len(borrowed), (array, borrowed)


def send_vectored(stream, pieces):
    address, count, keep = _slices(pieces, borrow)
    return Request(abi.REQUEST_SLICES, abi.OP_STREAM_SEND_VECTORED, stream, address, count, 0,
                   keep=keep, take=_count)


def shutdown(stream):
    """What was sent before leaves, then the peer sees the end."""
    return Request(abi.REQUEST_BARE, abi.OP_STREAM_SHUTDOWN, stream)


def _path(path):
    return os.fsencode(path) + b'\0'


def load(path, *, size_max=0, lent=False):
    """Brings a whole file as bytes, or with lent as a view of the engine's memory."""
    name = _path(path)
    return Request(abi.REQUEST_LOAD, abi.OP_FILE_LOAD, 0, id(name) + BYTES_AT, size_max,
                   keep=name, take=_view if lent else _bytes, about=path)


def store(path, data, *, mode=0):
    """Replace or make a whole file: its name has the old bytes or the new, whatever happens."""
    name = _path(path)
    address, size, anchor = borrow(data)
    return Request(abi.REQUEST_STORE, abi.OP_FILE_STORE, 0, id(name) + BYTES_AT, address, size,
                   mode, keep=(name, anchor), take=_count, about=path)


_MODES = {'r': abi.OPEN_READ, 'r+': abi.OPEN_READ | abi.OPEN_WRITE,
          'w': abi.OPEN_WRITE | abi.OPEN_CREATE | abi.OPEN_TRUNCATE,
          'w+': abi.OPEN_READ | abi.OPEN_WRITE | abi.OPEN_CREATE | abi.OPEN_TRUNCATE,
          'a': abi.OPEN_WRITE | abi.OPEN_CREATE | abi.OPEN_APPEND,
          'a+': abi.OPEN_READ | abi.OPEN_WRITE | abi.OPEN_CREATE | abi.OPEN_APPEND,
          'x': abi.OPEN_WRITE | abi.OPEN_CREATE | abi.OPEN_EXCLUSIVE,
          'x+': abi.OPEN_READ | abi.OPEN_WRITE | abi.OPEN_CREATE | abi.OPEN_EXCLUSIVE}


def open(path, mode='r', *, permissions=0):
    """As the builtin open, always binary: 'r', 'r+', 'w', 'w+', 'a', 'a+', 'x', 'x+'."""
    flags = _MODES.get(mode.replace('b', ''))
    if flags is None:
        raise ValueError(f'not a mode: {mode!r}')
    name = _path(path)
    return Request(abi.REQUEST_OPEN, abi.OP_FILE_OPEN, 0, id(name) + BYTES_AT, flags, permissions,
                   keep=name, take=_opened('File'), about=path)


def _place(offset):
    return abi.AT_POSITION if offset is None else offset


def read(file, size, offset=None):
    """Brings up to size bytes: fewer only at the file's end, none at or beyond it."""
    buffer = bytearray(size)
    address, _, anchor = pin(buffer)
    return Request(abi.REQUEST_FILE, abi.OP_FILE_READ, file, address, size, _place(offset),
                   keep=anchor, take=_filled(buffer))


def read_into(file, buffer, offset=None):
    address, size, anchor = pin(buffer)
    return Request(abi.REQUEST_FILE, abi.OP_FILE_READ, file, address, size, _place(offset),
                   keep=anchor, take=_count)


def read_vectored(file, buffers, offset=None):
    address, count, keep = _slices(buffers, pin)
    return Request(abi.REQUEST_SLICES, abi.OP_FILE_READ_VECTORED, file, address, count,
                   _place(offset), keep=keep, take=_count)


def write(file, data, offset=None):
    address, size, anchor = borrow(data)
    return Request(abi.REQUEST_FILE, abi.OP_FILE_WRITE, file, address, size, _place(offset),
                   keep=anchor, take=_count)


def write_vectored(file, pieces, offset=None):
    address, count, keep = _slices(pieces, borrow)
    return Request(abi.REQUEST_SLICES, abi.OP_FILE_WRITE_VECTORED, file, address, count,
                   _place(offset), keep=keep, take=_count)


def stat(target, *, follow=True):
    """Of an open file, or of a path."""
    if isinstance(target, (str, bytes, os.PathLike)):
        name = _path(target)
        return Request(abi.REQUEST_PATH, abi.OP_PATH_STAT, 0, id(name) + BYTES_AT, not follow,
                       keep=name, take=_info, about=target)
    return Request(abi.REQUEST_BARE, abi.OP_FILE_STAT, target, take=_info)


def sync(file, *, data_only=False):
    return Request(abi.REQUEST_SYNC, abi.OP_FILE_SYNC, file, data_only)


def truncate(file, size):
    return Request(abi.REQUEST_TRUNCATE, abi.OP_FILE_TRUNCATE, file, size)


def channel(capacity=0):
    return Request(abi.REQUEST_CHANNEL, abi.OP_CHANNEL_OPEN, 0, capacity, take=_opened('Channel'))


def channel_send(channel, result, data=0):
    """Put a message of two numbers into a channel; Channel.send takes any object."""
    return Request(abi.REQUEST_MESSAGE, abi.OP_CHANNEL_SEND, channel, result, data)


def _message(_, completion):
    _, result, status, _, _, _, _, data, _ = completion
    return (result, data) if status == abi.OK else None


def channel_receive(channel):
    """Brings the two numbers of a message."""
    return Request(abi.REQUEST_BARE, abi.OP_CHANNEL_RECEIVE, channel, take=_message)


def channel_finish(channel):
    return Request(abi.REQUEST_BARE, abi.OP_CHANNEL_FINISH, channel)


# Compositions


def _children(opcode, requests, take, fail):
    records = b''.join(bytes(request.record) for request in requests)
    return Request(abi.REQUEST_CHILDREN, opcode, 0, id(records) + BYTES_AT, len(requests),
                   keep=(records, requests), take=take, fail=fail)


def _outcomes(requests, engine, completion):
    """Each child's outcome, in order; their own lent memory has been taken."""
    _, result, _, _, _, flags, _, data, buffer = completion
    if not data or not result:
        return []
    parts = abi.COMPLETION.iter_unpack(memory[data:data + result])
    outcomes = [request.outcome(engine, part) for request, part in zip(requests, parts)]
    if flags & abi.BUFFER:
        engine._core.release(buffer)
    quiet([outcome.value for outcome in outcomes])
    return outcomes


class _Taken(list):
    """The values of a composition's children, in order."""

    outcomes = ()


def _take_all(requests):
    def take(engine, completion):
        outcomes = _outcomes(requests, engine, completion)
        values = _Taken(outcome.value for outcome in outcomes)
        values.outcomes = outcomes
        return values
    return take


def _fail_all(completion, values):
    """The exception of the child that failed, or of what ended the whole; it has all outcomes."""
    status = completion[2]
    error = next((outcome.error for outcome in values.outcomes
                  if getattr(outcome.error, 'status', None) == status), None)
    if error is None or isinstance(error, asyncio.CancelledError):
        error = error_of(status, completion[3])
    error.outcomes = tuple(values.outcomes)
    return error


def chain(*requests):
    """One after the other, until one fails; brings the list of their values."""
    return _children(abi.OP_CHAIN, requests, _take_all(requests), _fail_all)


def all(*requests):
    """Together, until all have ended; brings the list of their values."""
    return _children(abi.OP_ALL, requests, _take_all(requests), _fail_all)


def race(*requests):
    """Together, until the first has ended, however it did; brings a Race."""
    def take(engine, completion):
        outcomes = _outcomes(requests, engine, completion)
        index = next((i for i, outcome in enumerate(outcomes) if outcome.winner), None)
        return Race(index, None if index is None else outcomes[index].value, outcomes)

    def fail(completion, value):
        if value.index is not None and value.outcomes[value.index].error is not None:
            error = value.outcomes[value.index].error
        else:
            error = error_of(completion[2], completion[3])
        error.outcomes = tuple(value.outcomes)
        return error
    return _children(abi.OP_RACE, requests, take, fail)


def retry(request, attempts=0, delay=0.0, delay_max=0.0):
    """Again and again until it succeeds, after delays that double; brings its value."""
    record = bytes(request.record)

    def take(engine, completion):
        outcomes = _outcomes([request], engine, completion)
        return outcomes[0].value if outcomes else None
    return Request(abi.REQUEST_RETRY, abi.OP_RETRY, 0, id(record) + BYTES_AT, attempts,
                   nanoseconds(delay), nanoseconds(delay_max), keep=(record, request), take=take,
                   about=request.about)
