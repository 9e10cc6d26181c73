"""What nobody should do is an error or silence, never a crash."""
import asyncio
import gc
import os
import random
import threading
import warnings
import weakref

from support import SHARDS, Case, run

import ferry
from ferry import abi

PRELUDE = '''
import asyncio, os, sys, threading, time, ferry
from ferry import op as engine_op
async def opened():
    engine = ferry.Engine(shards=int(sys.argv[1]))
    engine.open()
    return engine
async def busy(engine):
    """Operations of each kind that the system may still write for."""
    listener = await engine.listen()
    streams = [await engine.connect(*await listener.local_address()) for _ in range(20)]
    tasks = [asyncio.ensure_future(stream.receive_into(bytearray(65536))) for stream in streams]
    tasks += [asyncio.ensure_future(stream.send(bytes(32 << 20))) for stream in streams]
    tasks += [asyncio.ensure_future(engine.sleep(3600)) for _ in range(20)]
    tasks += [asyncio.ensure_future(engine.race(engine_op.sleep(3600), engine_op.sleep(3600)))]
    await asyncio.sleep(0.05)
    return listener, streams, tasks
'''


class Loops(Case):
    async def test_another_loop(self):
        def elsewhere():
            for call in (lambda: self.engine.sleep(0), lambda: self.engine.load('x'),
                         lambda: self.engine.close()):
                with self.assertRaises(ferry.WrongThreadError) as caught:
                    asyncio.run(call())
                self.assertEqual(caught.exception.status, abi.E_WRONG_THREAD)
            with self.assertRaises(ferry.WrongThreadError):
                self.engine.mailbox()
        async with self.pair() as (stream, _):
            await asyncio.to_thread(elsewhere)
            with self.assertRaises(ferry.WrongThreadError):
                await asyncio.to_thread(stream.write, b'not from here')

    async def test_opened_once_closed_often(self):
        engine = ferry.Engine(shards=SHARDS)
        with self.assertRaises(ferry.ShutdownError):
            await engine.sleep(0)
        with self.assertRaises(ferry.ShutdownError):
            engine.info()
        async with engine:
            with self.assertRaises(RuntimeError):
                engine.open()
        await engine.close()
        engine.terminate()
        with self.assertRaises(ferry.ShutdownError):
            await engine.sleep(0)

    async def test_closed_twice_at_once(self):
        engine = ferry.Engine(shards=SHARDS)
        engine.open()
        mailbox = engine.mailbox()
        sleeping = asyncio.ensure_future(engine.sleep(3600))
        await asyncio.sleep(0.01)
        await asyncio.gather(engine.close(), engine.close())
        mailbox.close()
        with self.assertRaises(ferry.ShutdownError):
            await sleeping

    async def test_terminate_within_the_loop(self):
        engine = ferry.Engine(shards=SHARDS)
        engine.open()
        mailbox = engine.mailbox()
        mailbox.post(1)
        sleeping = asyncio.ensure_future(engine.sleep(3600))
        await asyncio.sleep(0)
        engine.terminate()
        with self.assertRaises(ferry.ShutdownError):
            await sleeping
        self.assertEqual(await mailbox.receive(), (1, 0))
        with self.assertRaises(ferry.ShutdownError):
            mailbox.post(2)

    async def test_a_shared_engine_that_ends_first(self):
        owner = ferry.Engine(shards=SHARDS)
        owner.open()
        guest = ferry.Engine(share=owner)
        guest.open()
        sleeping = asyncio.ensure_future(guest.sleep(3600))
        await asyncio.sleep(0.01)
        await owner.close()
        with self.assertRaises(ferry.ShutdownError):
            await sleeping
        with self.assertRaises(ferry.ShutdownError):
            await guest.sleep(0)
        await guest.close()
        with self.assertRaises(ferry.ShutdownError):
            ferry.Engine(share=owner).open()

    async def test_impossible_options(self):
        with self.assertRaises(ValueError):
            ferry.Engine(shards=65).open()
        with self.assertRaises(ferry.FerryError):
            ferry.Engine(ring=1 << 30).open()

    async def test_driver(self):
        async with ferry.Engine(driver='uv') as engine:
            self.assertEqual((engine.info().driver, engine.info().ring), ('uv', frozenset()))
        async with ferry.Engine(ring_without=('send', 'load')) as engine:
            self.assertFalse(engine.info().ring & {'send', 'load'})
            self.assertEqual('accept' in engine.info().ring, engine.info().driver == 'uring')
        with self.assertRaises(ValueError):
            ferry.Engine(driver='none').open()
        with self.assertRaises(ValueError):
            ferry.Engine(ring_without=('none',)).open()

    async def test_foreign_numbers(self):
        for handle in (1, 1 << 63, (1 << 64) - 1, random.getrandbits(64)):
            for request in (ferry.op.receive(handle), ferry.op.close(handle),
                            ferry.op.read(handle, 10), ferry.op.channel_receive(handle)):
                with self.assertRaises(ferry.FerryError):
                    await self.engine.run(request)

    async def test_a_storm_of_cancels(self):
        with open(self.path('f'), 'wb') as file:
            file.write(bytes(5000))
        async with self.pair() as (stream, peer), await self.engine.channel(1) as channel:
            calls = (lambda: self.engine.sleep(random.random() / 100),
                     lambda: self.engine.load(self.path('f')),
                     lambda: self.engine.connect('127.0.0.1', 1),
                     lambda: stream.receive(10), lambda: stream.receive_until(),
                     lambda: channel.send(1), lambda: channel.receive(),
                     lambda: self.engine.stat(self.path('f')),
                     lambda: self.engine.open_file(self.path('f')),
                     lambda: self.engine.race(ferry.op.sleep(1), ferry.op.sleep(0.001)))
            tasks = []
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', ResourceWarning)
                for i in range(2000):
                    tasks.append(asyncio.ensure_future(random.choice(calls)()))
                    if i % 10 == 0:
                        peer.sendall(b'some\nbytes')
                        await asyncio.sleep(random.random() / 1000)
                    random.choice(tasks).cancel()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                del tasks
                gc.collect()


class Garbage(Case):
    async def test_forgotten_things_warn_and_close(self):
        stream = await self.engine.open_file(self.path('forgotten'), 'w')
        self.assertEqual(self.engine.info().handles_open, 1)
        with self.assertWarns(ResourceWarning):
            del stream
            gc.collect()
        await self.nothing_left()

    async def test_a_forgotten_engine_warns_and_ends(self):
        engine = ferry.Engine(shards=SHARDS)
        engine.open()
        core = weakref.ref(engine._core)
        sleeping = asyncio.ensure_future(engine.sleep(3600))
        await asyncio.sleep(0.01)
        asyncio.get_running_loop().remove_reader(engine._descriptor)
        with self.assertWarns(ResourceWarning):
            engine.__del__()
        with self.assertRaises(ferry.ShutdownError):
            await sleeping
        del engine, sleeping
        gc.collect()
        self.assertIsNone(core())

    async def test_a_dropped_task_leaves_nothing(self):
        async with self.pair() as (stream, _):
            coroutine = stream.receive_exactly(10)
            coroutine.send(None)  # under way, and then nobody has it any more
            del coroutine
            gc.collect()
            await self.settled_to(1)

    async def settled_to(self, handles):
        for _ in range(400):
            info = self.engine.info()
            if (info.ops_in_flight, info.handles_open) == (0, handles):
                return
            await asyncio.sleep(0.005)
        self.fail(f'left over: {info}')


class Ends(Case):
    def ends(self, program, code=0, silent=True, words=''):
        child = run(PRELUDE + program)
        self.assertEqual(child.returncode, code, child.stderr)
        if silent:
            self.assertEqual(child.stderr, '')
        for word in ('Traceback', 'Fatal', 'core dumped'):
            self.assertNotIn(word, child.stderr)
        self.assertIn(words, child.stdout)

    def test_exit_with_everything_in_flight(self):
        self.ends('''
async def main():
    global kept
    engine = await opened()
    kept = engine, await busy(engine)
asyncio.run(main())
sys.exit(3)
''', 3, silent=False)

    def test_exit_with_a_read_that_nothing_ends(self):
        # The system may write into its buffer for as long as the process lives.
        self.ends('''
async def main():
    engine = await opened()
    reads, writes = os.pipe()
    file = await engine.adopt(reads, 'file')
    reading = asyncio.ensure_future(file.read(65536))
    await asyncio.sleep(0.05)
    reading.cancel()
    await asyncio.wait([reading])
    del file, reading, engine
    return writes
writes = asyncio.run(main())
import gc
gc.collect()
os.write(writes, bytes(65536))
time.sleep(0.05)
print('still here')
sys.exit(8)
''', 8, silent=False, words='still here')

    def test_exit_within_the_loop(self):
        self.ends('''
async def main():
    engine = await opened()
    kept = await busy(engine)
    os._exit(4)
asyncio.run(main())
''', 4)

    def test_a_loop_that_was_closed_under_the_engine(self):
        self.ends('''
async def main():
    engine = await opened()
    return engine, await busy(engine)
loop = asyncio.new_event_loop()
engine, things = loop.run_until_complete(main())
loop.close()
for call in (lambda: engine.sleep(0), lambda: things[1][0].receive()):
    try:
        asyncio.run(call())
    except ferry.WrongThreadError:
        print('refused')
engine.terminate(20)
try:
    asyncio.run(engine.sleep(0))
except ferry.ShutdownError:
    print('and over')
assert engine.info().state == 'stopped'
os._exit(0)
''', silent=False, words='refused\nrefused\nand over')

    def test_an_engine_collected_after_its_loop(self):
        self.ends('''
import gc
async def main():
    engine = await opened()
    await engine.sleep(0)
    await engine.load('/dev/null')
    engine.sleep(3600).send(None)
asyncio.run(main())
gc.collect()
print('collected')
''', silent=False, words='collected')

    def test_a_loop_in_a_daemon_thread(self):
        self.ends('''
async def main():
    global kept
    engine = await opened()
    kept = engine, await busy(engine)
    ready.set()
    await asyncio.sleep(3600)
ready = threading.Event()
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
ready.wait()
sys.exit(5)
''', 5, silent=False)

    def test_a_child_that_ends_by_itself(self):
        self.ends('''
async def main():
    engine = await opened()
    things = await busy(engine)
    child = os.fork()
    if child == 0:
        try:
            engine.info()
        except ferry.ForkedError:
            raise SystemExit(6)
        raise SystemExit(1)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        await engine.sleep(0.01)
    assert os.waitstatus_to_exitcode(status) == 6, status
    print('the parent goes on:', len(await engine.load('/dev/null')))
    os._exit(0)
asyncio.run(main())
''', silent=False, words='the parent goes on: 0')

    def test_a_child_with_an_engine_of_its_own(self):
        self.ends('''
async def child_main():
    async with ferry.Engine(shards=int(sys.argv[1])) as engine:
        await engine.sleep(0.01)
        return 7
async def main():
    async with ferry.Engine(shards=int(sys.argv[1])) as engine:
        await engine.sleep(0.001)
        return os.fork()
child = asyncio.run(main())
if child == 0:
    os._exit(asyncio.run(child_main()))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
''', silent=False)


class Threads(Case):
    async def test_engines_in_many_threads(self):
        def alone(number):
            async def main():
                async with ferry.Engine(shards=SHARDS) as engine, await engine.listen() as listener:
                    near = await engine.connect(*await listener.local_address())
                    async with near, await listener.accept() as far:
                        for i in range(50):
                            await near.send(b'%04d' % i)
                            self.assertEqual(await far.receive_exactly(4), b'%04d' % i)
                ended.append(number)
            asyncio.run(main())
        ended = []
        threads = [threading.Thread(target=alone, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            await asyncio.sleep(0.01)
        self.assertEqual(sorted(ended), [0, 1, 2, 3])

    async def test_the_child_of_a_fork_may_use_nothing(self):
        async with self.pair() as (stream, _):
            child = os.fork()
            if child == 0:
                try:
                    for call in (self.engine.info, lambda: stream.write(b'!'), self.engine.mailbox):
                        try:
                            call()
                            os._exit(1)
                        except ferry.ForkedError:
                            pass
                    stream.discard()
                    self.engine.terminate()
                    os._exit(0)
                finally:
                    os._exit(2)
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            self.assertEqual(os.waitstatus_to_exitcode(status), 0)
