"""asyncio programs in a simulated world: its time, its network and its disks are decided by a seed.

    world = ferry.sim.World(seed=7)
    world.add_host('server', '10.0.0.2')
    world.chaos(0.01)
    print(world.run(main()))

Within run() the loop's time is the world's: asyncio.sleep(3600) takes microseconds, and so do
timeouts. ferry.Engine() works as elsewhere, on the world's engine; whatever its options are. The
same seed brings the same, again and again, as long as the program keeps out what changes between
two runs: the clocks of the module time, random numbers without a seed, the order of sets of strings
and of its own objects, threads. Sets of tasks and futures are in the same order each time, and so
are their names; what only the garbage collector can find is collected at the same turns.
"""
import asyncio
import ctypes
import gc
import itertools
import selectors
import weakref

from . import _abi as abi
from ._address import record
from ._core import Core
from ._errors import check
from ._library import library
from .op import nanoseconds

LOCALHOST, EVERY = 0, 0xFFFFFFFF
CALLS = {name: getattr(abi, 'SIM_' + name.upper()) for name in (
    'listen', 'accept', 'connect', 'receive', 'send', 'resolve', 'open', 'read', 'write', 'sync',
    'stat', 'truncate', 'rename', 'close')}
EFFECTS = {name: getattr(abi, 'SIM_' + name.upper()) for name in ('short', 'reset', 'never')}
IDLE_MAX = 8  # runs in which nothing happens before there is nothing left that could
COLLECT_TURNS = 10_000  # of a loop, between two garbage collections


class Deadlock(RuntimeError):
    """All tasks wait, and nothing will ever happen."""


class _Task(asyncio.Task):
    """Sets of tasks are gone through in an order of their own, not in that of addresses."""

    def __init__(self, coroutine, *, loop, **options):
        self._number = next(loop.tasks)
        super().__init__(coroutine, loop=loop, **options)

    def __hash__(self):
        return self._number


class _Future(asyncio.Future):
    """As _Task."""

    def __init__(self, *, loop):
        self._number = next(loop.futures)
        super().__init__(loop=loop)

    def __hash__(self):
        return self._number


class _Generators(weakref.WeakKeyDictionary):
    """A WeakSet that keeps the order."""

    def add(self, generator):
        self[generator] = None

    def discard(self, generator):
        self.pop(generator, None)


class _Selector(selectors.DefaultSelector):
    """Waits by letting the world's time pass."""

    world = None

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and self.world is not None:
            self.world._pass(timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, world):
        selector = _Selector()
        super().__init__(selector)
        selector.world = world
        self.ferry_world = world
        self.tasks, self.futures, self.names = (itertools.count(1) for _ in range(3))
        self._asyncgens = _Generators()
        self.set_task_factory(lambda loop, coro, **options: _Task(coro, loop=loop, **options))

    def create_future(self):
        return _Future(loop=self)

    def create_task(self, coroutine, *, name=None, **options):
        name = name or f'Task-{next(self.names)}'
        return super().create_task(coroutine, name=name, **options)

    def time(self):
        return self.ferry_world.now()


def _ppm(chance):
    if not 0 <= chance <= 1:
        raise ValueError(f'no chance: {chance!r}')
    return round(chance * 1e6) or int(chance > 0)  # 0 would mean always.


def _waiting():
    """Where the tasks of the running loop are: functions and lines, the outermost first."""
    tasks = []
    for task in sorted(asyncio.all_tasks(), key=hash):
        places, coroutine = [], task.get_coro()
        while (frame := getattr(coroutine, 'cr_frame', None)) is not None:
            places.append(f'{coroutine.__name__}:{frame.f_lineno}')
            coroutine = coroutine.cr_await
        tasks.append(f'{task.get_name()} in {" ".join(places)}')
    return ', '.join(tasks)


class World:
    """Hosts, the network between them, their disks; number 0, "localhost", is there at first.

    Where a host is wanted, its name or what add_host returned will do; None is each of them. Times
    are in seconds, chances from 0 to 1. See ferry/sim.h for what all of it means.
    """

    def __init__(self, seed=0, **options):
        self.seed = seed
        self._core = Core(driver='sim', seed=seed, **options)
        self._hosts = {'localhost': LOCALHOST}
        self._engines = []
        self._idle = 0
        self._turns = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Shut the world's engine down."""
        check(self._core.shutdown(1))

    def run(self, coroutine):
        """Run a coroutine on a loop of this world, until it has ended; brings its value."""
        # Destructors close handles: when, must not depend on what the process did before.
        collecting = gc.isenabled()
        gc.disable()
        self._turns = 0
        try:
            return self._run(_Loop(self), coroutine)
        finally:
            gc.collect(0 if self._turns < COLLECT_TURNS else 2)  # All that was made in this run.
            if collecting:
                gc.enable()

    def _run(self, loop, coroutine):
        try:
            asyncio.set_event_loop(loop)
            try:
                return loop.run_until_complete(coroutine)
            finally:
                self._end_tasks(loop)
                loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    @staticmethod
    def _end_tasks(loop):
        tasks = sorted(asyncio.all_tasks(loop), key=hash)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    # What an Engine on this loop needs

    def _join(self, engine):
        self._engines.append(weakref.ref(engine))

    def _leave(self, engine):
        self._engines = [other for other in self._engines if other() not in (None, engine)]

    def _pass(self, timeout):
        """Let time pass: until something has happened, or for so long."""
        self._turns += 1
        if self._turns % COLLECT_TURNS == 0:
            gc.collect()
        before = self._now_ns()
        wait = abi.FOREVER if timeout is None else nanoseconds(timeout)
        check(library.engine_run(self._core.pointer, wait, 0, None))
        came = 0
        for reference in self._engines:
            engine = reference()
            while engine is not None and (count := engine._collect()) > 0:
                came += count
        if came or timeout is not None or self._now_ns() != before:
            self._idle = 0
            return
        self._idle += 1
        if self._idle > IDLE_MAX:
            self._idle = 0
            raise Deadlock('nothing will ever happen, and all tasks wait: ' + _waiting())

    # Time

    def _now_ns(self):
        now = ctypes.c_uint64()
        check(library.sim_now(self._core.pointer, ctypes.byref(now)))
        return now.value

    def now(self):
        return self._now_ns() / 1e9

    def advance(self, seconds):
        """Jump: what falls due meanwhile happens late."""
        check(library.sim_advance(self._core.pointer, nanoseconds(seconds)))

    # Hosts and the network

    def _host(self, host):
        if host is None:
            return EVERY
        return self._hosts[host] if isinstance(host, str) else host

    @staticmethod
    def _addresses(texts):
        packed = b''.join(record(text, 0) for text in texts)
        return (abi.Address * max(len(texts), 1)).from_buffer_copy(packed.ljust(32, b'\0'))

    def add_host(self, name, *addresses):
        number = ctypes.c_uint32()
        check(library.sim_add_host(self._core.pointer, name.encode(), self._addresses(addresses),
                                   len(addresses), ctypes.byref(number)))
        self._hosts[name] = number.value
        return number.value

    def set_link(self, from_host=None, to_host=None, *, latency=0.0, jitter=0.0, loss=0.0,
                 bytes_per_second=0, cut=False):
        order = abi.SimLink(struct_size=ctypes.sizeof(abi.SimLink), cut=cut,
                             latency_ns=nanoseconds(latency), jitter_ns=nanoseconds(jitter),
                             loss_ppm=_ppm(loss), bytes_per_second=bytes_per_second)
        check(library.sim_set_link(self._core.pointer, self._host(from_host), self._host(to_host),
                                   ctypes.byref(order)))

    def partition(self, one, other=None, cut=True):
        check(library.sim_partition(self._core.pointer, self._host(one), self._host(other), cut))

    def heal(self, one, other=None):
        self.partition(one, other, False)

    def set_name(self, name, *addresses, error=None, delay=0.0):
        """error: 'not_found', 'try_again' or 'failed' instead; delay None: for ever."""
        status = getattr(abi, 'E_NAME_' + error.upper()) if error else abi.OK
        wait = abi.FOREVER if delay is None else nanoseconds(delay)
        check(library.sim_set_name(self._core.pointer, name.encode(), self._addresses(addresses),
                                   len(addresses), status, wait))

    def crash(self, host):
        check(library.sim_crash(self._core.pointer, self._host(host)))

    def restart(self, host):
        check(library.sim_restart(self._core.pointer, self._host(host)))

    # Disks

    def set_disk(self, host=None, *, bytes_max=0, latency=0.0, jitter=0.0, bytes_per_second=0):
        order = abi.SimDisk(struct_size=ctypes.sizeof(abi.SimDisk), bytes_max=bytes_max,
                             latency_ns=nanoseconds(latency), jitter_ns=nanoseconds(jitter),
                             bytes_per_second=bytes_per_second)
        check(library.sim_set_disk(self._core.pointer, self._host(host), ctypes.byref(order)))

    def put_file(self, path, data=b''):
        check(library.sim_put_file(self._core.pointer, path.encode(), data, len(data)))

    def get_file(self, path):
        size = ctypes.c_size_t()
        check(library.sim_get_file(self._core.pointer, path.encode(), None, 0, ctypes.byref(size)),
              path)
        data = ctypes.create_string_buffer(max(size.value, 1))
        check(library.sim_get_file(self._core.pointer, path.encode(), data, size.value, None), path)
        return data.raw[:size.value]

    def remove_file(self, path):
        check(library.sim_remove_file(self._core.pointer, path.encode()), path)

    # Faults

    def fault(self, *calls, host=None, chance=1.0, error=None, effects=(), delay=0.0, skip=0,
              times=0, begin=0.0, end=0.0, path=None):
        """Order a fault: calls by names as CALLS has them (none: each), error by a status's name
        ('IO', 'NO_SPACE', 'CONNECTION_REFUSED' ...), effects by names as EFFECTS has them."""
        order = abi.SimFault(
            struct_size=ctypes.sizeof(abi.SimFault), calls=sum(CALLS[call] for call in set(calls)),
            host=self._host(host), chance_ppm=_ppm(chance),
            status=getattr(abi, 'E_' + error) if error else abi.OK,
            flags=sum(EFFECTS[effect] for effect in set(effects)), delay_ns=nanoseconds(delay),
            skip=skip, times=times, from_ns=nanoseconds(begin), until_ns=nanoseconds(end),
            path=path.encode() if path is not None else None)
        if chance > 0:
            check(library.sim_add_fault(self._core.pointer, ctypes.byref(order)))

    def chaos(self, chance):
        """Trouble of every kind."""
        check(library.sim_add_chaos(self._core.pointer, _ppm(chance)))

    def clear_faults(self):
        check(library.sim_clear_faults(self._core.pointer))

    # The trace

    def keep_trace(self, bytes_max=1 << 20):
        check(library.sim_keep_trace(self._core.pointer, bytes_max))

    def read_trace(self):
        """What has happened since, as lines."""
        text, size, lines = ctypes.create_string_buffer(1 << 16), ctypes.c_size_t(), []
        while True:
            check(library.sim_read_trace(self._core.pointer, text, len(text), ctypes.byref(size)))
            if not size.value:
                return lines
            lines += text.raw[:size.value].decode(errors='replace').splitlines()
