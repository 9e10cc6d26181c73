"""Load every file of a directory, 64 in flight.

usage: files.py DIRECTORY COUNT PASSES ferry|threads [own]

threads is asyncio's usual way: open().read() in a pool, by asyncio.to_thread. Prints
{"count":..,"elapsed_ns":..,"cpu_ns":..}.
"""
import asyncio
import itertools
import json
import sys
import time

IN_FLIGHT = 64
SIZE = 4096


def read(path):
    with open(path, 'rb') as file:
        return file.read()


async def load_all(paths, load):
    """IN_FLIGHT tasks, each of which loads one file after the other."""
    async def one_after_the_other():
        count = 0
        for path in paths:
            if len(await load(path)) != SIZE:
                sys.exit('a file was loaded wrongly')
            count += 1
        return count
    return sum(await asyncio.gather(*(one_after_the_other() for _ in range(IN_FLIGHT))))


async def measure(paths, load):
    elapsed, cpu = time.monotonic_ns(), time.process_time_ns()
    count = await load_all(paths, load)
    print(json.dumps({'count': count, 'elapsed_ns': time.monotonic_ns() - elapsed,
                      'cpu_ns': time.process_time_ns() - cpu}))


async def main(directory, count, passes, way, *words):
    names = [f'{directory}/{i}' for i in range(int(count))]
    for name in names:
        read(name)  # the page cache is hot from here on
    paths = itertools.chain.from_iterable(itertools.repeat(names, int(passes)))
    if way == 'threads':
        await measure(paths, lambda path: asyncio.to_thread(read, path))
        return
    import ferry
    async with ferry.Engine(shards=1 if 'own' in words else 0) as engine:
        await measure(paths, engine.load)

asyncio.run(main(*sys.argv[1:]))
