"""The engine behind an Engine: it lives as long as anything refers to its memory."""
import collections
import ctypes
import os

from . import _abi as abi
from ._errors import check
from ._library import library

EngineInfo = collections.namedtuple('EngineInfo', 'shards host_driven state ops_in_flight '
                                    'handles_open buffers_lent buffer_bytes_lent workers '
                                    'workers_detached driver ring')
STATES = {abi.ENGINE_RUNNING: 'running', abi.ENGINE_SHUTTING_DOWN: 'shutting down',
          abi.ENGINE_STOPPED: 'stopped'}
DRIVERS = {'auto': abi.DRIVER_AUTO, 'uv': abi.DRIVER_UV, 'uring': abi.DRIVER_URING,
           'sim': abi.DRIVER_SIM}
RING = {name[len('RING_'):].lower(): bit for name, bit in vars(abi).items()
        if name.startswith('RING_')}


class Core:
    """Owns a ferry_engine, which the last reference destroys: an Engine's, a handle's, a view's.

    When all of them are garbage together, they are finalised in any order: so the pointer is None
    as soon as there is no engine any more, and whoever shuts down last destroys it.
    """

    def __init__(self, *, driver='auto', ring_without=(), **options):
        self.pointer = None
        self.stopped = False
        self.forgotten = False
        self.process = os.getpid()
        if driver not in DRIVERS or not set(ring_without) <= set(RING):
            raise ValueError(f'no such driver or part of a ring: {driver!r}, {ring_without!r}')
        self.host_driven = not options.get('shards')
        record = abi.EngineOptions(struct_size=ctypes.sizeof(abi.EngineOptions),
                                   driver=DRIVERS[driver],
                                   ring_without=sum(RING[name] for name in set(ring_without)),
                                   **options)
        pointer = ctypes.c_void_p()
        check(library.engine_create(ctypes.byref(record), ctypes.byref(pointer)))
        self.pointer = pointer.value

    @property
    def forked(self):
        """Whether this is the child of a fork, where the engine is inert."""
        return self.process != os.getpid()

    def release(self, buffer):
        if self.pointer is not None:
            library.buffer_release(self.pointer, buffer)

    def discard(self, handle):
        if self.pointer is not None:
            library.handle_discard(self.pointer, handle)

    def shutdown(self, seconds):
        """End everything; the status."""
        if self.stopped or self.pointer is None:
            return abi.OK
        status = library.engine_shutdown(self.pointer, int(seconds * 1e9))
        self.stopped = status == abi.OK
        return status

    def info(self):
        record = abi.EngineInfo(struct_size=ctypes.sizeof(abi.EngineInfo))
        check(library.engine_get_info(self.pointer, ctypes.byref(record)))
        return EngineInfo(record.shards, bool(record.host_driven), STATES[record.state],
                          record.ops_in_flight, record.handles_open, record.buffers_lent,
                          record.buffer_bytes_lent, record.workers, record.workers_detached,
                          record.driver.decode(),
                          frozenset(name for name, bit in RING.items() if record.ring & bit))

    def destroy_if_forgotten(self):
        """What is not shut down yet is left alone rather than torn away."""
        if self.forgotten and self.pointer is not None and (self.stopped or self.forked):
            pointer, self.pointer = self.pointer, None
            library.engine_destroy(pointer)

    def __del__(self):
        self.forgotten = True
        self.destroy_if_forgotten()
