"""What it costs to take one completion out of a queue. usage: reap.py array|mapped COUNT BATCH

array: one call fills an array, struct reads it. mapped: the ring is read where it lies; a call arms
the queue before each sleep. Prints {"count":..,"ns":..}: ns per completion, of taking alone.
"""
import ctypes
import json
import sys
import time

from ferry import _abi as abi
from ferry._library import library

CAPACITY = 1024


def checked(status):
    if status < 0:
        sys.exit(library.status_message(status).decode())
    return status


def opened(mode):
    options = abi.EngineOptions(struct_size=ctypes.sizeof(abi.EngineOptions))
    engine, queue = ctypes.c_void_p(), ctypes.c_void_p()
    checked(library.engine_create(ctypes.byref(options), ctypes.byref(engine)))
    options = abi.QueueOptions(struct_size=ctypes.sizeof(abi.QueueOptions), capacity=CAPACITY,
                               mode=mode)
    checked(library.queue_create(engine, ctypes.byref(options), ctypes.byref(queue)))
    return engine.value, queue.value


class Array:
    """As ferry._engine does it."""

    def __init__(self):
        self.engine, self.queue = opened(abi.QUEUE_REAP)
        self.records = (ctypes.c_ubyte * (CAPACITY * abi.COMPLETION_SIZE))()
        self.address = ctypes.addressof(self.records)
        self.view = memoryview(self.records).cast('B')

    def take(self):
        count = library.queue_reap(self.queue, self.address, CAPACITY)
        taken = 0
        for completion in abi.COMPLETION.iter_unpack(self.view[:count * abi.COMPLETION_SIZE]):
            taken += completion[0]
        return taken


class Mapped:
    def __init__(self):
        self.engine, self.queue = opened(abi.QUEUE_MAPPED)
        mapping = abi.QueueMapping(struct_size=ctypes.sizeof(abi.QueueMapping))
        checked(library.queue_map(self.queue, ctypes.byref(mapping)))
        self.mask = mapping.capacity - 1
        records = ctypes.c_ubyte * (mapping.capacity * abi.COMPLETION_SIZE)
        self.view = memoryview(records.from_address(mapping.records)).cast('B')
        # Aligned words, read and stored whole; what x86 does is an acquire and a release.
        self.head, self.tail = (memoryview(ctypes.c_uint32.from_address(place)).cast('B').cast('I')
                                for place in (mapping.head, mapping.tail))

    def take(self):
        head, tail = self.head[0], self.tail[0]
        first, last = head & self.mask, tail & self.mask
        taken, size = 0, abi.COMPLETION_SIZE
        if last < first:
            for completion in abi.COMPLETION.iter_unpack(self.view[first * size:]):
                taken += completion[0]
            first = 0
        for completion in abi.COMPLETION.iter_unpack(self.view[first * size:last * size]):
            taken += completion[0]
        self.head[0] = tail
        library.queue_arm(self.queue)
        return taken


def measure(reader, count, batch):
    request = abi.REQUEST_BARE.pack(abi.OP_NOP, 0, 1, 0)
    requests = request * batch
    spent = done = 0
    while done < count:
        checked(library.queue_submit(reader.queue, requests, batch, None, None))
        checked(library.engine_poll(reader.engine, 0, 0, None))
        began = time.perf_counter_ns()
        taken = reader.take()
        spent += time.perf_counter_ns() - began
        if taken != batch:
            sys.exit(f'{taken} completions instead of {batch}')
        done += taken
    return spent / done


def main(way, count, batch):
    reader = Array() if way == 'array' else Mapped()
    measure(reader, int(count) // 10, int(batch))
    print(json.dumps({'count': int(count), 'ns': measure(reader, int(count), int(batch))}))


main(*sys.argv[1:])
