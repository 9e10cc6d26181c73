"""The scenarios of ../CONFORMANCE.md, as a user of asyncio would write them.

usage: conformance.py [--uvloop] [--own-thread] [SCENARIO...]
"""
import asyncio
import contextlib
import gc
import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings

import ferry
from ferry import abi, op

SCENARIOS = {}
PEER_HOST, _, PEER_PORT = os.environ.get('FERRY_PEER', '127.0.0.1:0').rpartition(':')
PEER_PORT = int(PEER_PORT)
SCRATCH = os.environ.get('FERRY_SCRATCH', '.')
SHARDS = 0
DRIVER = os.environ.get('FERRY_TEST_DRIVER', 'auto')


class Skip(Exception):
    """This language has no such thing."""


def scenario(function):
    SCENARIOS[function.__name__.replace('_', '-')] = function
    return function


def expect(what, wanted):
    if what != wanted:
        raise AssertionError(f'expected {wanted!r:.200}, got {what!r:.200}')


@contextlib.contextmanager
def fails(kind, *statuses):
    try:
        yield
    except kind as error:
        if statuses and getattr(error, 'status', None) not in statuses:
            raise AssertionError(f'expected status {statuses}, got {error!r}') from error
    else:
        raise AssertionError(f'expected {kind.__name__}')


def pattern(size, start=0):
    return bytes((start + i) % 256 for i in range(size))


def a_path(name):
    return os.path.join(SCRATCH, name)


async def peer(engine, command):
    stream = await engine.connect(PEER_HOST, PEER_PORT)
    await stream.send(command.encode() + b'\n')
    return stream


async def read_all(stream):
    return b''.join([chunk async for chunk in stream])


async def told_count(stream, data):
    """The end of the stream, then what the peer counted."""
    await stream.shutdown()
    expect(await stream.receive_until(),
           f'{len(data)} {hashlib.sha256(data).hexdigest()}\n'.encode())


@contextlib.asynccontextmanager
async def pair(engine, other=None):
    """Two ends of one connection."""
    async with await engine.listen() as listener:
        accepting = asyncio.ensure_future(listener.accept())
        near = await (other or engine).connect(*await listener.local_address())
        far = await accepting
        async with near, far:
            yield near, far


async def closed_port(engine):
    """An address that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        return taken.getsockname()


@scenario
async def echo(engine):
    async with pair(engine) as (near, far):
        async def serve():
            async for chunk in far:
                await far.send(chunk)
            await far.shutdown()
        serving = asyncio.ensure_future(serve())
        for i in range(100):
            data = os.urandom(1 + i * 65535 // 99)
            sending = asyncio.ensure_future(near.send(data))
            expect(await near.receive_exactly(len(data)), data)
            await sending
        await near.shutdown()
        expect(await near.receive(), b'')
        await serving


@scenario
async def echo_many(engine):
    async def serve(stream):
        async with stream:
            async for chunk in stream:
                stream.write(chunk)
                await stream.drain()

    async def talk(address, number):
        async with await engine.connect(*address) as stream:
            for i in range(20):
                data = b'%d says %d' % (number, i)
                await stream.send(data)
                expect(await stream.receive_exactly(len(data)), data)

    async with await engine.listen() as listener:
        address = await listener.local_address()

        async def accept():
            return [asyncio.ensure_future(serve(await listener.accept())) for _ in range(64)]
        accepting = asyncio.ensure_future(accept())
        await asyncio.gather(*(talk(address, i) for i in range(64)))
        await asyncio.gather(*await accepting)


@scenario
async def receive_short(engine):
    async with await peer(engine, 'drip 20 1') as stream:
        data, receives = b'', 0
        while chunk := await stream.receive():
            data += chunk
            receives += 1
        expect(data, pattern(20))
        expect(receives > 1, True)


@scenario
async def receive_exactly(engine):
    async with await peer(engine, 'bytes 100000') as stream:
        everything, at = pattern(100000), 0
        for size in (1, 99, 65536):
            expect(await stream.receive_exactly(size), everything[at:at + size])
            at += size
        try:
            await stream.receive_exactly(50000)
        except asyncio.IncompleteReadError as error:
            expect(error.status, abi.E_END)
            expect(len(error.partial), 100000 - at)
            expect(error.partial, everything[at:])
        else:
            raise AssertionError('expected IncompleteReadError')


@scenario
async def receive_until(engine):
    async with await peer(engine, 'lines 1000') as stream:
        for i in range(999):
            expect(await stream.receive_until(), b'line %d\n' % i)
        with fails(asyncio.LimitOverrunError, abi.E_LIMIT):
            await stream.receive_until(limit=4)
        expect(await stream.receive_exactly(9), b'line 999\n')


@scenario
async def receive_lent(engine):
    async with await peer(engine, 'bytes 10000000') as stream:
        digest, size = hashlib.sha256(), 0
        async for view in stream.lent():
            digest.update(view)
            size += len(view)
            del view
        expect(size, 10000000)
        expect(digest.digest(), hashlib.sha256((pattern(256) * 39063)[:size]).digest())
    expect(engine.info().buffers_lent, 0)


@scenario
async def send_large(engine):
    async with await peer(engine, 'count') as stream:
        large = os.urandom(8 << 20)
        await stream.send(large)
        small = [os.urandom(random.randint(1, 2000)) for _ in range(300)]
        for data in small:
            stream.write(data)
        await told_count(stream, large + b''.join(small))


@scenario
async def send_vectored(engine):
    async with await peer(engine, 'count') as stream:
        pieces = [os.urandom(i * 10) for i in range(100)]
        await stream.send_vectored(pieces)
        await told_count(stream, b''.join(pieces))


@scenario
async def backpressure(engine):
    async with await peer(engine, 'slow 65536') as stream:
        piece, most = os.urandom(65536), 0
        for _ in range(64):
            stream.write(piece)
            most = max(most, stream.unsent)
            await stream.drain()
        expect(most <= 3 * 65536, True)
        await told_count(stream, piece * 64)


@scenario
async def half_close(engine):
    async with await peer(engine, 'echo') as stream:
        await stream.send(b'the last words')
        await stream.shutdown()
        expect(await read_all(stream), b'the last words')
        expect(await stream.receive(), b'')


@scenario
async def peer_reset(engine):
    async with await peer(engine, 'reset 10') as stream:
        expect(await stream.receive_exactly(10), pattern(10))
        await stream.send(b'!')
        with fails(ConnectionResetError, abi.E_CONNECTION_RESET):
            await stream.receive()
        with fails(ConnectionError, abi.E_CONNECTION_RESET, abi.E_BROKEN_PIPE):
            await stream.send(b'!')


@scenario
async def connect_refused(engine):
    with fails(ConnectionRefusedError, abi.E_CONNECTION_REFUSED):
        await engine.connect(*await closed_port(engine))


@scenario
async def connect_name(engine):
    async with await engine.connect('localhost', PEER_PORT) as stream:
        await stream.send(b'echo\nby name')
        expect(await stream.receive_exactly(7), b'by name')


@scenario
async def name_resolve(engine):
    addresses = await engine.resolve('localhost', 80)
    expect(any(address[:2] in (('127.0.0.1', 80), ('::1', 80)) for address in addresses), True)


@scenario
async def name_failed(engine):
    with fails(socket.gaierror, abi.E_NAME_NOT_FOUND, abi.E_NAME_TRY_AGAIN, abi.E_NAME_FAILED):
        await engine.resolve('nowhere.invalid')


@scenario
async def socket_(engine):
    async with pair(engine) as (near, far):
        expect(await near.local_address(), await far.peer_address())
        expect(await near.peer_address(), await far.local_address())
        await near.set_option('no_delay', 1)
        with fails(ValueError, abi.E_INVALID):
            await near.set_option('no_delay', 7)


SCENARIOS['socket'] = SCENARIOS.pop('socket-')


@scenario
async def sleep(engine):
    ended = []

    async def one(seconds):
        began = time.monotonic()
        await engine.sleep(seconds)
        expect(time.monotonic() - began >= seconds, True)
        ended.append(seconds)
    await asyncio.gather(one(0.04), one(0.02))
    expect(ended, [0.02, 0.04])


@scenario
async def interval(engine):
    expiries = 0
    async with engine.interval(0.002) as ticks:
        async for count in ticks:
            expiries += count
            if expiries >= 5:
                break


@scenario
async def deadline(engine):
    async with await peer(engine, 'silent-then 200') as stream:
        with fails(TimeoutError):
            async with asyncio.timeout(0.02):
                await stream.receive()
        expect(await stream.receive_exactly(5), b'late\n')
    async with await peer(engine, 'silent') as stream:
        with fails(TimeoutError, abi.E_TIMED_OUT):
            await engine.run(op.receive(stream).within(0.02))


@scenario
async def cancel_before(engine):
    task = asyncio.ensure_future(engine.sleep(3600))
    task.cancel()
    with fails(asyncio.CancelledError):
        await task
    task = asyncio.ensure_future(engine.sleep(3600))
    await asyncio.sleep(0)  # it has described its request, which is not submitted yet
    task.cancel()
    with fails(asyncio.CancelledError):
        await task


@scenario
async def cancel_during(engine):
    async with await peer(engine, 'silent-then 100') as stream:
        receiving = asyncio.ensure_future(stream.receive())
        await asyncio.sleep(0.02)
        receiving.cancel()
        with fails(asyncio.CancelledError):
            await receiving
        expect(await stream.receive_exactly(5), b'late\n')


@scenario
async def cancel_after(engine):
    async with await peer(engine, 'bytes 5') as stream:
        receiving = asyncio.ensure_future(stream.receive_exactly(5))
        await asyncio.wait([receiving])
        expect(receiving.cancel(), False)
        expect(await receiving, pattern(5))


@scenario
async def dropped(engine):
    everything = pattern(100000)
    for i in range(100):
        async with await peer(engine, 'bytes 100000') as stream:
            buffer = bytearray(b'\xee' * 65536)
            receiving = asyncio.ensure_future(stream.receive_into(buffer))
            await asyncio.sleep(random.random() / 2000)
            if i % 3 == 0:
                receiving.cancel()
            elif i % 3 == 1:
                receiving.cancel()
                await asyncio.wait([receiving])
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(receiving, random.random() / 2000)
            got = b''
            if receiving.done() and not receiving.cancelled():
                got = bytes(buffer[:receiving.result()])
            del buffer
            gc.collect()
            # Whatever the dropped receive took in after all comes first: no byte is lost or torn.
            expect(got + await stream.receive_exactly(100000 - len(got)), everything)


@scenario
async def all_(engine):
    began = time.monotonic()
    values = await engine.all(op.sleep(0.03), op.sleep(0.01), op.chain(op.sleep(0.001), op.nop()))
    expect(time.monotonic() - began >= 0.03, True)
    expect([type(value).__name__ for value in values], ['NoneType', 'NoneType', '_Taken'])
    expect([outcome.error for outcome in values.outcomes], [None] * 3)


SCENARIOS['all'] = SCENARIOS.pop('all-')


@scenario
async def race(engine):
    async with await peer(engine, 'silent') as stream:
        index, _, outcomes = await engine.race(op.receive(stream), op.sleep(0.01))
        expect(index, 1)
        expect(outcomes[0].error.status, abi.E_CANCELED)


@scenario
async def chain(engine):
    with open(a_path('chain'), 'wb') as file:
        file.write(b'linked')
    _, data, _ = await engine.chain(op.open(a_path('chain')), op.read(op.child(0), 100),
                                    op.close(op.child(0)))
    expect(data, b'linked')


@scenario
async def chain_failed(engine):
    try:
        await engine.chain(op.open(a_path('missing')), op.read(op.child(0), 100),
                           op.close(op.child(0)))
    except FileNotFoundError as error:
        expect([outcome.error.status for outcome in error.outcomes],
               [abi.E_NOT_FOUND, abi.E_CANCELED, abi.E_CANCELED])
    else:
        raise AssertionError('expected FileNotFoundError')


@scenario
async def retry(engine):
    address = await closed_port(engine)
    began = time.monotonic()
    with fails(ConnectionRefusedError, abi.E_CONNECTION_REFUSED):
        await engine.retry(op.connect(*address), 3, 0.01)
    expect(time.monotonic() - began >= 0.03, True)


@scenario
async def queue_full(_):
    async with ferry.Engine(shards=SHARDS, driver=DRIVER, ops_max=8) as engine:
        waiting = [asyncio.ensure_future(engine.sleep(3600)) for _ in range(8)]
        ninth = asyncio.ensure_future(engine.sleep(0))
        await asyncio.sleep(0.05)
        expect(ninth.done(), False)  # it waits for a slot
        waiting[0].cancel()
        await ninth
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await settled(engine)


@scenario
async def ring_small(_):
    async with ferry.Engine(shards=SHARDS, driver=DRIVER, ring=8) as engine:
        timers = [asyncio.ensure_future(engine.sleep(0)) for _ in range(1000)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.02)  # late
        expect(await asyncio.gather(*timers), [None] * 1000)
        await settled(engine)


@scenario
async def ten_thousand(engine):
    expect(await asyncio.gather(*(engine.sleep(0.02) for _ in range(10000))), [None] * 10000)


@scenario
async def ten_thousand_cancelled(engine):
    tasks = [asyncio.ensure_future(engine.sleep(3600)) for _ in range(10000)]
    await asyncio.sleep(0.05)
    expect(engine.info().ops_in_flight, 10000)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    expect(sum(task.cancelled() for task in tasks), 10000)


@scenario
async def close_pending(engine):
    stream = await peer(engine, 'silent')
    receiving = asyncio.ensure_future(stream.receive())
    await asyncio.sleep(0.01)
    await stream.close()
    with fails(ConnectionAbortedError, abi.E_CLOSED):
        await receiving


@scenario
async def close_twice(engine):
    stream = await peer(engine, 'silent')
    await stream.close()
    await stream.close()
    with fails(OSError, abi.E_STALE):
        await stream.receive()
    with fails(OSError, abi.E_STALE):
        await stream.send(b'!')


@scenario
async def wrong_kind(engine):
    async with await peer(engine, 'silent') as stream:
        with fails(OSError, abi.E_WRONG_KIND):
            await engine.run(op.read(stream, 10))


@scenario
async def foreign(engine):
    async with ferry.Engine(shards=SHARDS, driver=DRIVER) as other, await peer(engine, 'silent') as stream:
        with fails(OSError, abi.E_FOREIGN):
            await other.run(op.receive(stream))


@scenario
async def post(engine):
    mailbox = engine.mailbox(256)

    def poster():
        for i in range(10000):
            while True:
                try:
                    mailbox.post(i, 2 * i)
                    break
                except BlockingIOError:
                    time.sleep(0.0005)
    thread = threading.Thread(target=poster)
    thread.start()
    for i in range(10000):
        expect(await mailbox.receive(), (i, 2 * i))
    thread.join()
    mailbox.close()


@scenario
async def channel(engine):
    async with await engine.channel(4) as near:
        def consumer():
            async def consume():
                async with ferry.Engine(share=engine) as other:
                    return [item async for item in near.via(other)]
            return asyncio.run(consume())
        consuming = asyncio.ensure_future(asyncio.to_thread(consumer))
        for i in range(1000):
            await near.send(('message', i))
        await near.finish()
        expect(await consuming, [('message', i) for i in range(1000)])
        with fails(EOFError, abi.E_END):
            await near.receive()


@scenario
async def channel_rendezvous(engine):
    async with await engine.channel(0) as near:
        sending = asyncio.ensure_future(near.send('hello'))
        await asyncio.sleep(0.02)
        expect(sending.done(), False)
        expect(await near.receive(), 'hello')
        await sending


@scenario
async def file_load(engine):
    sizes = [i * 100000 // 199 for i in range(200)]
    contents = [os.urandom(size) for size in sizes]
    for i, data in enumerate(contents):
        with open(a_path(f'load-{i}'), 'wb') as file:
            file.write(data)
    places = asyncio.Semaphore(16)

    async def load(i):
        async with places:
            expect(await engine.load(a_path(f'load-{i}')), contents[i])
    await asyncio.gather(*map(load, range(200)))
    with fails(FileNotFoundError, abi.E_NOT_FOUND):
        await engine.load(a_path('missing'))
    with fails(OSError, abi.E_LIMIT):
        await engine.load(a_path('load-199'), size_max=1000)


@scenario
async def file_store(engine):
    path = a_path('stored')
    for data in (b'old' * 1000, b'new' * 2000):
        before = await engine.load(path) if os.path.exists(path) else None
        storing = asyncio.ensure_future(engine.store(path, data))
        while not storing.done():
            with contextlib.suppress(FileNotFoundError):
                expect(await engine.load(path) in (before, data), True)
        expect(await storing, len(data))
        expect(await engine.load(path), data)
    with fails(FileNotFoundError, abi.E_NOT_FOUND):
        await engine.store(a_path('no-such-folder/stored'), b'data')


@scenario
async def file_io(engine):
    async with await engine.open_file(a_path('io'), 'w+') as file:
        expect(await file.write(b'begin', 0), 5)
        expect(await file.write(b'end', 10000), 3)
        expect(await file.read(20000, 0), b'begin' + bytes(9995) + b'end')
        expect((await file.stat()).size, 10003)
        await file.truncate(5)
        await file.sync()
        expect(await file.read(100, 0), b'begin')
        expect(await file.read(100, 5), b'')


@scenario
async def copy(engine):
    data = os.urandom(1000000)
    with open(a_path('copied'), 'wb') as file:
        file.write(data)
    async with await peer(engine, 'count') as stream:
        async with await engine.open_file(a_path('copied')) as file:
            expect(await engine.copy(file, stream), len(data))
        await told_count(stream, data)


async def everything_pending(engine):
    """A thousand operations of all kinds."""
    pending = [engine.sleep(3600) for _ in range(600)]
    listener = await engine.listen()
    pending.append(listener.accept())
    near = [await engine.channel(0) for _ in range(100)]
    pending += [one.receive() for one in near]
    large = bytes(32 << 20)  # more than any system takes at once
    streams = [await peer(engine, 'silent-then 60000') for _ in range(50)]
    for i, stream in enumerate(streams):
        receive = (stream.receive, lambda stream=stream: stream.receive_exactly(10),
                   stream.receive_until, stream.__anext__)[i % 4]
        pending += [receive(), stream.send(large)]
    pending += [engine.race(op.sleep(3600), op.sleep(3600)) for _ in range(100)]
    pending += [engine.all(op.nop(), op.sleep(3600)) for _ in range(99)]
    tasks = [asyncio.ensure_future(coroutine) for coroutine in pending]
    await asyncio.sleep(0.1)
    return tasks, [listener, *near, *streams]


ENDED_BY_SHUTDOWN = (abi.E_SHUTDOWN, abi.E_CANCELED, abi.E_CLOSED)


@scenario
async def shutdown_load(_):
    engine = ferry.Engine(shards=SHARDS, driver=DRIVER)
    engine.open()
    tasks, _things = await everything_pending(engine)
    expect(len(tasks), 1000)
    expect([task for task in tasks if task.done()], [])
    await engine.close()
    done, waiting = await asyncio.wait(tasks, timeout=10)
    expect(waiting, set())
    for task in done:
        error = None if task.cancelled() else task.exception()
        if getattr(error, 'status', None) not in ENDED_BY_SHUTDOWN and not task.cancelled():
            raise AssertionError(f'{task} ended otherwise') from error


@scenario
async def after_shutdown(_):
    engine = ferry.Engine(shards=SHARDS, driver=DRIVER)
    async with engine:
        stream = await peer(engine, 'silent')
        channel = await engine.channel(1)
        file = await engine.open_file(a_path('after'), 'w+')
        mailbox = engine.mailbox()
    for call in (lambda: stream.receive(), lambda: stream.send(b'!'), lambda: stream.shutdown(),
                 lambda: stream.__anext__(), lambda: channel.send(1), lambda: file.read(10),
                 lambda: engine.sleep(0), lambda: engine.load('x'), lambda: mailbox.receive(),
                 lambda: engine.connect(PEER_HOST, PEER_PORT)):
        with fails(ferry.FerryError, abi.E_SHUTDOWN, abi.E_STALE):
            await call()
    with fails(ferry.FerryError, abi.E_SHUTDOWN, abi.E_STALE):
        stream.write(b'!')
    with fails(ferry.FerryError, abi.E_SHUTDOWN, abi.E_STALE):
        mailbox.post(1)
    await stream.close()
    await engine.close()
    expect(engine.info().state, 'stopped')


@scenario
async def two_engines(engine):
    async with ferry.Engine(shards=SHARDS, driver=DRIVER) as other, pair(engine, other) as (near, far):
        for i in range(100):
            await near.send(b'%04d' % i)
            expect(await far.receive_exactly(4), b'%04d' % i)
            await far.send(b'%04d' % -i)
            expect(await near.receive_exactly(4), b'%04d' % -i)


@scenario
async def wrong_thread(engine):
    def elsewhere():
        with fails(RuntimeError, abi.E_WRONG_THREAD):
            asyncio.run(engine.sleep(0))
    await asyncio.to_thread(elsewhere)


@scenario
async def collected(engine):
    before = engine.info().handles_open
    with open(a_path('collected'), 'wb'):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ResourceWarning)
        things = []
        for _ in range(200):
            things.append(await peer(engine, 'silent'))
            things.append(await engine.open_file(a_path('collected')))
        expect(engine.info().handles_open - before, 400)
        del things
        gc.collect()
    await settled(engine, before)


@scenario
async def forked(engine):
    stream = await peer(engine, 'silent')
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with fails(ferry.ForkedError, abi.E_FORKED):
                engine.info()
            with fails(ferry.ForkedError, abi.E_FORKED):
                stream.write(b'!')
            with fails(ferry.ForkedError, abi.E_FORKED):
                engine.sleep(0).send(None)
            engine.terminate()
            code = 7
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    expect(os.waitstatus_to_exitcode(status), 7)
    await stream.close()


EXIT = '''
import asyncio, ferry, sys
async def main():
    engine = ferry.Engine(shards=int(sys.argv[1]))
    engine.open()
    listener = await engine.listen()
    address = await listener.local_address()
    streams = [await engine.connect(*address) for _ in range(50)]
    waiting = [stream.receive_exactly(1000) for stream in streams]
    waiting += [engine.sleep(3600) for _ in range(50)]
    global kept
    kept = engine, streams, [asyncio.ensure_future(one) for one in waiting]
    await asyncio.sleep(0.05)
    assert engine.info().ops_in_flight == 100, engine.info()
asyncio.run(main())
sys.exit(7)
'''


@scenario
async def exit(_):
    began = time.monotonic()
    child = await asyncio.to_thread(subprocess.run, [sys.executable, '-c', EXIT, str(SHARDS)],
                                    capture_output=True, timeout=60, check=False)
    expect((child.returncode, child.stdout, child.stderr), (7, b'', b''))
    expect(time.monotonic() - began < 20, True)


async def settled(engine, handles=0):
    """Nothing in flight, open or lent. Handles that were discarded close on the engine's turn."""
    for _ in range(400):
        info = engine.info()
        if (info.ops_in_flight, info.handles_open, info.buffers_lent) == (0, handles, 0):
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f'left over: {info}')


async def main(names):
    async with ferry.Engine(shards=SHARDS, driver=DRIVER) as engine:
        for name in names:
            try:
                async with asyncio.timeout(60):
                    await SCENARIOS[name](engine)
                gc.collect()
                await settled(engine)
                print(name, 'ok', flush=True)
            except Skip as reason:
                print(name, 'skip', reason, flush=True)
            except Exception as error:
                traceback.print_exc()
                what = ' '.join(f'{type(error).__name__}: {error}'.split())
                print(name, 'FAIL', what, flush=True)


if __name__ == '__main__':
    words = sys.argv[1:]
    if '--own-thread' in words:
        SHARDS = 1
    chosen = [word for word in words if not word.startswith('--')] or list(SCENARIOS)
    if '--uvloop' in words:
        import uvloop
        uvloop.install()
    asyncio.run(main(chosen))
