#!/usr/bin/env python3
"""Who may include whom. Prints each #include line that breaks a rule, and why.

usage: layers.py ROOT | --self-test
"""
import pathlib
import re
import sys
import tempfile

# Each floor may include itself and those before it. engine/driver is a floor by its own headers only
# (driver.hpp, os.hpp and so on); its sources and the folders below it are the inside of a driver.
FLOORS = ['engine/base', 'engine/coro', 'engine/driver', 'engine/runtime', 'engine/ops',
          'engine/tls', 'engine/http', 'capi/src']

PUBLIC = 'capi/include'
PUBLIC_SYSTEM = {'stdint.h', 'stddef.h', 'stdbool.h'}

# See the public headers only, as a host does.
OUTSIDE = ['tests/capi', 'tests/support', 'tests/mapped', 'tests/fuzz', 'tests/sim', 'docs/examples']

# Libraries that only one driver knows.
BACKENDS = {'uv.h': 'engine/driver/uv', 'liburing.h': 'engine/driver/uring'}

# C++ headers that reach the system, the clock or randomness.
OF_THE_SYSTEM = {'chrono', 'ctime', 'random', 'filesystem', 'fstream', 'iostream', 'csignal',
                 'clocale', 'locale', 'future', 'cerrno'}
LOCKS = {'mutex', 'condition_variable', 'shared_mutex', 'semaphore', 'latch', 'barrier'}
LOCKING_FLOOR = 'engine/runtime'

# What is allowed all the same, and why.
EXCEPTIONS = {
    ('capi/src/address.cpp', 'arpa/inet.h'): 'inet_pton and inet_ntop are no system calls',
    ('engine/runtime/engine.cpp', 'chrono'): 'a duration for condition_variable::wait_for',
    ('engine/runtime/dump.cpp', 'chrono'): 'a duration for condition_variable::wait_for',
    ('engine/driver/make.cpp', 'engine/driver/uv/uv_driver.hpp'): 'it makes them all',
    ('engine/driver/make.cpp', 'engine/driver/uring/uring_driver.hpp'): 'it makes them all',
    ('engine/driver/make.cpp', 'engine/driver/sim/sim_driver.hpp'): 'it makes them all',
    ('capi/src/sim.cpp', 'engine/driver/sim/sim_driver.hpp'): 'its calls are of that driver only',
}

# A driver that stands on another.
STANDS_ON = {'engine/driver/uring': 'engine/driver/uv'}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]')


def below(path, folder):
    return path.startswith(folder + '/')


def first(path, folders):
    return next((folder for folder in folders if below(path, folder)), None)


def excepted(path, target):
    return any(target == name and (path == place or below(path, place))
               for place, name in EXCEPTIONS)


def is_seam(path):
    """A header that lies in engine/driver itself."""
    return str(pathlib.PurePosixPath(path).parent) == 'engine/driver' and path.endswith('.hpp')


def resolve(root, path, name):
    """The file of the tree that is meant, or None."""
    for folder in (pathlib.PurePosixPath(path).parent, 'engine', 'capi/src', PUBLIC,
                   'tests/support', 'tests/fuzz'):
        found = (root / folder / name).resolve()
        if found.is_file() and root in found.parents:
            return found.relative_to(root).as_posix()
    return None


def judge_system(path, name):
    """Why this file may not include a header from outside the tree, or None."""
    if name in BACKENDS:
        return None if below(path, BACKENDS[name]) else f'<{name}> is for {BACKENDS[name]}/ only'
    if below(path, PUBLIC):
        return None if name in PUBLIC_SYSTEM else \
            'public headers include <stdint.h> <stddef.h> <stdbool.h> only'
    floor = first(path, FLOORS)
    if floor in (None, 'engine/driver') and not is_seam(path):
        return None
    if name.endswith('.h') or name in OF_THE_SYSTEM:
        return 'the system, the clock and randomness are for engine/driver/ only'
    if name in LOCKS and floor not in (LOCKING_FLOOR, 'engine/driver'):
        return f'locks that sleep are for {LOCKING_FLOOR}/ and engine/driver/ only'
    return None


def judge_driver(path, target):
    """The inside of a driver: what is below it, the seam, and its own folder."""
    folder = str(pathlib.PurePosixPath(path).parent)
    if is_seam(target) or str(pathlib.PurePosixPath(target).parent) in (folder,
                                                                        STANDS_ON.get(folder)):
        return None
    if first(target, FLOORS) == 'engine/driver':
        return f'{folder}/ uses another driver'
    return judge_floor(path, target)


def judge_floor(path, target):
    floor, other = first(path, FLOORS), first(target, FLOORS)
    if FLOORS.index(other) > FLOORS.index(floor):
        return f'{floor}/ lies below {other}/'
    if other == 'engine/driver' and not is_seam(target):
        return f'{target} is the inside of a driver; the seam is engine/driver/*.hpp'
    return None


def judge_tree(path, target):
    """Why this file may not include that one, or None."""
    if below(target, PUBLIC):
        return None
    if below(path, PUBLIC):
        return 'public headers include each other only'
    if first(path, OUTSIDE):
        inside = below(target, 'engine') or below(target, 'capi/src')
        return 'it sees the public headers only' if inside else None
    if first(path, FLOORS) is None:
        return None
    if first(target, FLOORS) is None:
        return 'it is no part of the library'
    if first(path, FLOORS) == 'engine/driver' and not is_seam(path):
        return judge_driver(path, target)
    return judge_floor(path, target)


def judge(root, path, quote, name):
    if first(path, FLOORS + [PUBLIC] + OUTSIDE) is None:
        return None
    target = resolve(root, path, name)
    if excepted(path, target or name):
        return None
    if target is None:
        return 'there is no such file' if quote == '"' else judge_system(path, name)
    return judge_tree(path, target)


def sources(root):
    for folder in ('engine', 'capi', 'tests', 'docs/examples'):
        for path in sorted((root / folder).rglob('*')):
            if path.suffix in ('.c', '.h', '.cpp', '.hpp') and path.is_file():
                yield path


def check(root):
    """A line for each include that breaks a rule, and the number of files read."""
    root = root.resolve()
    broken, files = [], 0
    for file in sources(root):
        path = file.relative_to(root).as_posix()
        files += 1
        if below(path, 'engine') and first(path, FLOORS) is None:
            broken.append(f'{path}: on which floor is this folder? (FLOORS in layers.py)')
        for number, line in enumerate(file.read_text(encoding='utf-8').splitlines(), 1):
            found = INCLUDE.match(line)
            reason = found and judge(root, path, *found.groups())
            if reason:
                broken.append(f'{path}:{number}: {line.strip()}: {reason}')
    return broken, files


# ---- the test of this test ----------------------------------------------------------------------

SOUND = {
    'capi/include/ferry/base.h': '#include <stdint.h>',
    'capi/include/ferry/queue.h': '#include <ferry/base.h>',
    'engine/base/id.hpp': '#include <cstdint>',
    'engine/coro/fiber.hpp': '#include "base/id.hpp"\n#include <coroutine>',
    'engine/driver/driver.hpp': '#include "coro/fiber.hpp"\n#include <ferry/base.h>',
    'engine/driver/os.hpp': '#include <atomic>',
    'engine/driver/os_linux.cpp': '#include "driver/os.hpp"\n#include <sys/eventfd.h>\n#include <ctime>',
    'engine/driver/uv/loop.hpp': '#include "driver/driver.hpp"\n#include <uv.h>',
    'engine/driver/uv/status.hpp': '#include "driver/driver.hpp"',
    'engine/driver/uring/loop.cpp': '#include "driver/uv/status.hpp"\n#include <liburing.h>',
    'engine/driver/uring/ring.hpp': '#include <liburing.h>',
    'engine/driver/sim/world.hpp': '#include "driver/driver.hpp"',
    'engine/runtime/shard.hpp': '#include "driver/driver.hpp"\n#include <mutex>',
    'engine/ops/timer.cpp': '#include "runtime/shard.hpp"\n#include <cstring>',
    'capi/src/objects.hpp': '#include "ops/../runtime/shard.hpp"',
    'capi/src/queue.cpp': '#include "objects.hpp"\n#include <ferry/queue.h>',
    'tests/capi/queue_test.c': '#include "check.h"\n#include <ferry/queue.h>\n#include <unistd.h>',
    'tests/support/check.h': '#include <ferry/base.h>',
    'tests/fuzz/opcodes.h': '#include <ferry/request.h>',
    'tests/capi/hostile_test.c': '#include "check.h"\n#include "opcodes.h"',
    'tests/unit/id_test.cpp': '#include "base/id.hpp"\n#include <random>',
    'tests/bench/echo_libuv.c': '#include <uv.h>',
    'docs/examples/echo.c': '#include <ferry/queue.h>\n#include <time.h>',
}

BROKEN = [  # A file, an include added to it, a part of what must be said.
    ('engine/base/id.hpp', '"coro/fiber.hpp"', 'engine/base/ lies below engine/coro/'),
    ('engine/base/id.hpp', '"../coro/fiber.hpp"', 'lies below engine/coro/'),
    ('engine/coro/fiber.hpp', '"driver/driver.hpp"', 'lies below engine/driver/'),
    ('engine/driver/driver.hpp', '"runtime/shard.hpp"', 'lies below engine/runtime/'),
    ('engine/driver/driver.hpp', '"driver/uv/status.hpp"', 'the inside of a driver'),
    ('engine/driver/driver.hpp', '<unistd.h>', 'for engine/driver/ only'),
    ('engine/driver/uv/loop.hpp', '"runtime/shard.hpp"', 'lies below engine/runtime/'),
    ('engine/driver/uv/loop.hpp', '<liburing.h>', 'for engine/driver/uring/ only'),
    ('engine/driver/uv/loop.hpp', '"driver/uring/ring.hpp"', 'uses another driver'),
    ('engine/driver/uring/loop.cpp', '"driver/sim/world.hpp"', 'uses another driver'),
    ('engine/driver/uring/loop.cpp', '<uv.h>', 'for engine/driver/uv/ only'),
    ('engine/driver/os_linux.cpp', '<uv.h>', 'for engine/driver/uv/ only'),
    ('engine/driver/os_linux.cpp', '"uv/status.hpp"', 'uses another driver'),
    ('engine/runtime/shard.hpp', '"ops/timer.cpp"', 'lies below engine/ops/'),
    ('engine/runtime/shard.hpp', '"driver/uv/status.hpp"', 'the inside of a driver'),
    ('engine/runtime/shard.hpp', '<uv.h>', 'for engine/driver/uv/ only'),
    ('engine/runtime/shard.hpp', '<chrono>', 'for engine/driver/ only'),
    ('engine/runtime/shard.hpp', '<sys/socket.h>', 'for engine/driver/ only'),
    ('engine/runtime/shard.hpp', '"capi/src/objects.hpp"', 'no such file'),
    ('engine/ops/timer.cpp', '<random>', 'for engine/driver/ only'),
    ('engine/ops/timer.cpp', '<ctime>', 'for engine/driver/ only'),
    ('engine/ops/timer.cpp', '<mutex>', 'locks that sleep'),
    ('engine/ops/timer.cpp', '"objects.hpp"', 'lies below capi/src/'),
    ('engine/ops/timer.cpp', '"check.h"', 'no part of the library'),
    ('capi/src/queue.cpp', '<fcntl.h>', 'for engine/driver/ only'),
    ('capi/src/queue.cpp', '<arpa/inet.h>', 'for engine/driver/ only'),
    ('capi/src/queue.cpp', '"driver/uv/loop.hpp"', 'the inside of a driver'),
    ('capi/include/ferry/queue.h', '<time.h>', 'public headers include'),
    ('capi/include/ferry/queue.h', '"base/id.hpp"', 'public headers include'),
    ('tests/capi/queue_test.c', '"base/id.hpp"', 'the public headers only'),
    ('tests/capi/queue_test.c', '<runtime/shard.hpp>', 'the public headers only'),
    ('tests/support/check.h', '"../../engine/base/id.hpp"', 'the public headers only'),
    ('tests/fuzz/opcodes.h', '"../../engine/base/id.hpp"', 'the public headers only'),
    ('docs/examples/echo.c', '"../../capi/src/objects.hpp"', 'the public headers only'),
    ('docs/examples/echo.c', '<uv.h>', 'for engine/driver/uv/ only'),
    ('engine/new/thing.hpp', '<cstdint>', 'on which floor'),
]


def build(root, files):
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'#pragma once\n{text}\n', encoding='utf-8')


def self_test():
    wrong = []
    with tempfile.TemporaryDirectory() as work:
        build(pathlib.Path(work), SOUND)
        wrong += [f'a sound tree: {line}' for line in check(pathlib.Path(work))[0]]
    for path, include, expected in BROKEN:
        with tempfile.TemporaryDirectory() as work:
            build(pathlib.Path(work), SOUND)
            build(pathlib.Path(work), {path: f'{SOUND.get(path, "")}\n  #  include {include}'})
            lines = check(pathlib.Path(work))[0]
        if len(lines) != 1 or expected not in lines[0] or not lines[0].startswith(path):
            wrong.append(f'{path} with {include}: wanted "{expected}", got {lines}')
    if wrong:
        sys.exit('\n'.join(wrong))
    print(f'{len(BROKEN)} broken rules were noticed')


def main(argument):
    if argument == '--self-test':
        return self_test()
    broken, files = check(pathlib.Path(argument))
    if files < 50:
        sys.exit(f'{argument} is not the tree: {files} files')
    if broken:
        sys.exit('\n'.join(broken))
    print(f'{files} files include what they may')
    return None


main(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
