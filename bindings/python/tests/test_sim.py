"""Programs in a simulated world: its time, its troubles, and that it is the same each time."""
import asyncio
import gc
import os
import subprocess
import unittest
import warnings

from support import PYTHON, WORDS

import ferry
import ferry.sim

HERE = os.path.dirname(os.path.abspath(__file__))
LEDGER = os.path.join(os.path.dirname(HERE), 'examples', 'simulated_ledger.py')
PORT = 7000
SEEDS = 50 if WORDS else 1000  # The world is the same whatever drives other engines.


class Sim(unittest.TestCase):
    """A world with a server at 10.0.0.2, which must be left with nothing in it."""

    def setUp(self):
        self.world = ferry.sim.World(seed=3)
        self.world.keep_trace()
        self.world.add_host('server', '10.0.0.2')

    def tearDown(self):
        info = self.world._core.info()
        self.assertEqual((info.ops_in_flight, info.handles_open, info.buffers_lent), (0, 0, 0))
        self.world.close()

    def run_with_engine(self, play):
        async def main():
            async with ferry.Engine() as engine:
                return await play(engine)
        return self.world.run(main())

    async def echo(self, engine):
        """A server that sends back what it gets, as a task."""
        listener = await engine.listen('10.0.0.2', PORT)

        async def serve(connection):
            async with connection:
                async for chunk in connection:
                    await connection.send(chunk)

        async def serve_all():
            async with listener, asyncio.TaskGroup() as group:
                async for connection in listener:
                    group.create_task(serve(connection))
        return asyncio.create_task(serve_all())

    @staticmethod
    async def end(task):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def test_time(self):
        async def play(engine):
            begin = self.world.now()
            await asyncio.gather(asyncio.sleep(3600), engine.sleep(7200))
            self.assertAlmostEqual(self.world.now() - begin, 7200, places=3)
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(60):
                    await engine.sleep(3600)
            return asyncio.get_running_loop().time()
        self.assertAlmostEqual(self.run_with_engine(play), 1 + 7200 + 60, places=2)

    def test_connections(self):
        async def play(engine):
            server = await self.echo(engine)
            self.world.set_link(latency=0.5)
            begin = self.world.now()
            async with await engine.connect('server', PORT) as stream:
                await stream.send(b'hello')
                self.assertEqual(await stream.receive_exactly(5), b'hello')
            self.assertGreaterEqual(self.world.now() - begin, 2)
            await self.end(server)
        self.run_with_engine(play)

    def test_faults(self):
        async def play(engine):
            self.world.put_file('/file', b'contents')
            self.world.fault('read', error='IO', times=1)
            with self.assertRaises(OSError):
                await engine.load('/file')
            self.world.fault('read', error='IO', chance=1e-9)
            self.assertEqual(await engine.load('/file'), b'contents')
            self.world.fault('connect', error='CONNECTION_REFUSED', host='localhost')
            with self.assertRaises(ConnectionRefusedError):
                await engine.connect('10.0.0.2', PORT)
            self.world.clear_faults()
            self.world.set_disk(latency=10)
            begin = self.world.now()
            await engine.store('/file', b'more')
            self.assertGreaterEqual(self.world.now() - begin, 10)
            self.assertEqual(self.world.get_file('/file'), b'more')
        self.run_with_engine(play)

    def test_a_partition_and_a_crash(self):
        async def play(engine):
            server = await self.echo(engine)
            stream = await engine.connect('server', PORT)
            self.world.partition('server')
            await stream.send(b'x')
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(stream.receive_exactly(1), 30)
            self.world.heal('server')
            self.assertEqual(await stream.receive_exactly(1), b'x')
            self.world.crash('server')
            with self.assertRaises(ExceptionGroup) as caught:
                await server
            self.assertIsNone(caught.exception.split(OSError)[1])
            self.world.restart('server')
            await stream.send(b'y')
            with self.assertRaises(ConnectionResetError):
                await stream.receive_exactly(1)
            await stream.close()
        self.run_with_engine(play)

    def test_hosts_of_ones_own(self):
        self.world.add_host('client', '10.0.0.3', 'fd00::3')

        async def play(engine):
            server = await self.echo(engine)
            stream = await engine.connect('10.0.0.2', PORT, local=('10.0.0.3', 5000))
            self.assertEqual(await stream.local_address(), ('10.0.0.3', 5000))
            self.world.partition('client', 'server')
            await stream.send(b'x')
            async with await engine.connect('10.0.0.2', PORT) as other:  # From localhost.
                await other.send(b'y')
                self.assertEqual(await other.receive_exactly(1), b'y')
            self.world.crash('client')
            with self.assertRaises(OSError):
                await stream.receive_exactly(1)
            await stream.close()
            await self.end(server)
        self.run_with_engine(play)

    def test_names(self):
        async def play(engine):
            self.world.set_name('late', '10.0.0.2', delay=5)
            begin = self.world.now()
            self.assertEqual((await engine.resolve('late', 1))[0], ('10.0.0.2', 1))
            self.assertGreaterEqual(self.world.now() - begin, 5)
            self.world.set_name('late', error='try_again')
            with self.assertRaises(OSError):
                await engine.resolve('late')
        self.run_with_engine(play)

    def test_nothing_will_ever_happen(self):
        async def play(engine):
            await asyncio.get_running_loop().create_future()
        with self.assertRaises(ferry.sim.Deadlock) as caught:
            self.run_with_engine(play)
        self.assertRegex(str(caught.exception), r': Task-1 in main:\d+ play:\d+$')

    def test_what_is_left_running_is_ended(self):
        ended = []

        async def sleep_for_ever():
            try:
                await asyncio.sleep(1 << 30)
            finally:
                ended.append(True)

        async def main():
            asyncio.create_task(sleep_for_ever())
            await asyncio.sleep(0)
        self.world.run(main())
        self.assertEqual(ended, [True])

    def test_misuse(self):
        for wrong in (lambda: self.world.add_host('server', '10.0.0.9'),
                      lambda: self.world.add_host('other', '10.0.0.2'),
                      lambda: self.world.add_host('other', 'no address'),
                      lambda: self.world.restart('server'),
                      lambda: self.world.get_file('/nothing'),
                      lambda: self.world.fault('read', chance=7),
                      lambda: self.world.fault('read', chance=-1),
                      lambda: self.world.chaos(7)):
            with self.assertRaises((OSError, ValueError, RuntimeError)):
                wrong()
        for unknown in (lambda: self.world.crash('nobody'), lambda: self.world.fault('reed'),
                        lambda: self.world.fault('read', effects=['loud'])):
            with self.assertRaises(KeyError):
                unknown()
        self.assertEqual(self.world.run(asyncio.sleep(0, 'fine')), 'fine')


class Same(unittest.TestCase):
    """A program's trace is the same each time, whatever its process did before."""

    def check(self, play):
        async def main():
            async with ferry.Engine() as engine:
                await play(engine)

        traces, collecting = set(), gc.isenabled()
        for number in range(12):
            other = [[] for _ in range(150 * number)]  # Other addresses, garbage due sooner.
            with ferry.sim.World(7) as world:
                world.keep_trace()
                world.put_file('/file')
                world.run(main())
                traces.add('\n'.join(world.read_trace()))
            del other
        self.assertEqual((len(traces), gc.isenabled()), (1, collecting))
        self.assertIn('/file', traces.pop())

    def test_tasks_of_a_group(self):
        async def wait(engine, number):
            try:
                await asyncio.sleep(1000)
            finally:
                await engine.store(f'/file{number}', b'')

        async def play(engine):
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    for number in range(11):
                        group.create_task(wait(engine, number))
                    await asyncio.sleep(1)
                    raise ValueError
        self.check(play)

    def test_futures_in_a_set(self):
        async def play(engine):
            loop = asyncio.get_running_loop()
            numbers = {loop.create_future(): number for number in range(11)}
            for future in numbers:
                future.set_result(None)
            done, _ = await asyncio.wait(numbers)
            for future in done:
                await engine.store(f'/file{numbers[future]}', b'')
        self.check(play)

    def test_generators_that_are_left_open(self):
        async def count(engine, number):
            try:
                yield number
            finally:
                await engine.store(f'/file{number}', b'')

        async def play(engine):
            counts = [count(engine, number) for number in range(11)]
            for one in counts:
                await anext(one)
            await asyncio.get_running_loop().shutdown_asyncgens()
        self.check(play)

    def test_garbage_with_handles(self):
        async def play(engine):
            for _ in range(60):
                garbage = [await engine.open_file('/file')]
                garbage.append(garbage)
                await asyncio.sleep(0.1)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ResourceWarning)  # The files are not closed.
            self.check(play)


class Ledger(unittest.TestCase):
    """The example: right under a thousand seeds, and without care it is caught and replayed."""

    def play(self, *words, **environment):
        return subprocess.run([*PYTHON, LEDGER, *words], capture_output=True, text=True,
                              timeout=170, check=False, env={**os.environ, **environment})

    def test_many_seeds(self):
        child = self.play('--seeds', str(SEEDS))
        self.assertEqual((child.stdout, child.stderr), (f'{SEEDS} seeds, nothing is lost\n', ''))

    def test_a_careless_one_is_replayed(self):
        found = self.play('--careless')
        self.assertEqual(found.returncode, 1)
        again = found.stdout.splitlines()[-1].split()
        self.assertEqual(again[:2], ['again:', 'simulated_ledger.py'])
        first = self.play(*again[2:], PYTHONHASHSEED='1')
        second = self.play(*again[2:], PYTHONHASHSEED='2')
        self.assertEqual((first.stdout, first.returncode), (second.stdout, 1))
        self.assertEqual(found.stdout, first.stdout)
        self.assertIn('crash of bank', first.stdout)
        self.assertIn('the client was told', first.stdout)
