"""What is measured beside everybody: groups of contenders that do the same job in the same rounds.

A group is one line of GROUPS; who takes part is one line of a list of contenders.
"""

import dataclasses
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
import typing

from harness import (FILES, HERE, Failure, Skip, block_file, calls_per_message, cpu_us,
                     cpu_us_per_message, echo, end, file_directory, message_rate, per_second,
                     python_with, read_line, resident_bytes, rust_programs)

LIBUV = "libuv"
RING = "io_uring by hand"  # The limit.
LOOP = "blocking loop"
IDLE_CONNECTIONS = 10000
IN_FLIGHT = 32
POOL = 4  # Threads, as libuv and Ferry have; with its own 512 tokio is four times as slow.

# What a sample holds: heading, how it is written, whether less is better.
FIGURES = {
    "cpu": ("us CPU each", "{:.2f}", True),
    "rate": ("thousand/s", "{:.0f}", False),
    "calls": ("system calls each", "{:.2f}", True),
    "resident": ("resident MiB", "{:.1f}", True),
    "bytes": ("bytes each", "{:.0f}", True),
    "spoken": ("once each has spoken", "{:.0f}", True),
    "ms": ("ms, first of the process", "{:.2f}", True),
    "ms_later": ("ms, later", "{:.2f}", True),
    "kib": ("KiB", "{:.0f}", True),
}


@dataclasses.dataclass
class Contender:
    name: str
    program: str  # Of the build; or rust:NAME, python:FILE, node:FILE.
    arguments: tuple = ()
    driver: str = ""  # Ferry's.
    needs: str = ""  # The Debian packages without which there is no such program.
    aimed: bool = True  # Do the targets hold for it?

    @property
    def ferry(self):
        return self.name.startswith("Ferry")

    @property
    def environment(self):
        return {"FERRY_BENCH_DRIVER": self.driver} if self.driver else {}

    def command(self, runner):
        """The program and its first arguments; Skip where it is missing."""
        language, _, name = self.program.rpartition(":")
        program, arguments = name, []
        if language == "rust":
            program = os.path.join(rust_programs(runner.build_dir), name)
        elif language:
            program = shutil.which("node") if language == "node" else python_with("uvloop")
            arguments = [os.path.join(HERE, language, name)]
        if program is None or not os.path.exists(os.path.join(runner.programs, program)):
            raise Skip(f"not there; Debian: {self.needs}" if self.needs else "was not built")
        return program, arguments


def ferry(program, *forms, aimed=True):
    """Ferry's contenders: each form on both drivers."""
    return [Contender(f"Ferry {driver}{form and ', '}{form}", program + suffix, arguments, driver,
                      aimed=aimed)
            for driver in ("uv", "uring") for form, suffix, arguments in forms]


TOKIO, BY_HAND = "cargo, librust-tokio-dev", "liburing-dev"

ECHO = [
    Contender(LIBUV, "echo_libuv"),
    Contender("epoll by hand", "echo_epoll"),
    Contender(RING, "echo_uring", needs=BY_HAND),
    Contender("asio, coroutines", "cpp/echo_asio", needs="libasio-dev"),
    Contender("tokio, current_thread", "rust:echo_tokio", needs=TOKIO),
    Contender("Go net", "go/echo_go", ("net",), needs="golang-go"),
    Contender("uvloop, protocol", "python:echo_protocol.py", needs="python3-uvloop"),
    Contender("Node net", "node:echo.js", needs="nodejs"),
    *ferry("echo_ferry", ("inline", "_inline", ()), ("queue", "_queue", ())),
]
# Ferry and libuv answer each message of a batch by itself; all others answer what one receive
# brought as a whole. So these two do, too.
PIPELINE = ECHO + [
    Contender("libuv, as a whole", "echo_libuv", (0,)),
    *ferry("echo_ferry", ("queue, as a whole", "_queue", (0,)), aimed=False),
]
READS = [
    Contender(LIBUV, "reads_libuv"),
    Contender(LOOP, "reads_blocking"),
    Contender(RING, "reads_uring", needs=BY_HAND),
    Contender("tokio, spawn_blocking", "rust:reads_tokio", (IN_FLIGHT, POOL), needs=TOKIO),
    *ferry("reads_ferry", ("", "", ())),
]
WHOLE = [
    Contender(LIBUV, "files_libuv"),
    Contender(LOOP, "files_blocking"),
    Contender(RING, "files_uring", needs=BY_HAND),
    Contender("tokio::fs", "rust:files_tokio", (IN_FLIGHT, POOL), needs=TOKIO),
    *ferry("files_ferry", ("", "", ())),
]
IDLE = [
    Contender(LIBUV, "echo_libuv"),
    Contender("epoll by hand", "echo_epoll"),
    Contender(RING, "echo_uring", needs=BY_HAND),
    *ferry("echo_ferry", ("a lent receive pending", "_inline", ())),
    *ferry("echo_ferry", ("no receive", "_inline", (0, "silent")), aimed=False),
]
CREATE = ferry("create_ferry", ("run by the host", "", (0,)), ("own thread", "", (1,)))
LIBRARY = [Contender("Ferry", "")]


# One sample


def sample_echo(runner, contender, load_arguments, message=None):
    program, arguments = contender.command(runner)
    arguments += contender.arguments or ([message] if message else [])
    sample = echo(runner, program, arguments, load_arguments, contender.environment)
    return {"cpu": cpu_us_per_message(sample), "rate": message_rate(sample),
            "resident": sample["resident_bytes"] / (1 << 20)}


def count_calls(runner, contender, load_arguments, message=None):
    program, arguments = contender.command(runner)
    arguments += contender.arguments or ([message] if message else [])
    return calls_per_message(runner, program, arguments, load_arguments, contender.environment)


def sample_job(runner, contender, *job):
    program, arguments = contender.command(runner)
    sample = runner.measure(None, program, *arguments, *job, *contender.arguments,
                            environment=contender.environment)
    return {"cpu": cpu_us(sample), "rate": per_second(sample)}


def sample_reads(runner, contender):
    count = 200000 if runner.quick else 1000000
    return sample_job(runner, contender, runner.keep(block_file), count)


def sample_whole(runner, contender):
    return sample_job(runner, contender, runner.keep(file_directory), FILES,
                      5 if runner.quick else 20)


def count_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def wait_for_descriptors(pid, count):
    give_up = time.monotonic() + 10
    while count_descriptors(pid) != count:
        if time.monotonic() > give_up:
            raise Failure(f"the server has {count_descriptors(pid)} descriptors, not {count}")
        time.sleep(0.02)
    time.sleep(0.1)


def warm_up(runner, pid, port, speak):
    """Whatever the first connections cost once is no cost of each."""
    own = count_descriptors(pid)
    if speak:
        runner.measure(runner.load_core, "load", "-p", port, "-c", 8, "-n", 1000)
    wait_for_descriptors(pid, own)
    return own


def sample_idle(runner, contender):
    # The programs raise their soft limit to the hard one; some descriptors are the program's own.
    connections = min(IDLE_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)
    words = {"connected": "bytes"}
    if "silent" not in contender.arguments:
        words["spoken"] = "spoken"
    program, arguments = contender.command(runner)
    with runner.server(program, *arguments, *contender.arguments,
                       environment=contender.environment) as (pid, port):
        own = warm_up(runner, pid, port, "spoken" in words)
        before = resident_bytes(pid)
        load = runner.start(runner.load_core, "load", "-p", port, "-H", "-c", connections,
                            stdin=subprocess.PIPE)
        sample = {}
        try:
            for word, figure in words.items():
                if read_line(load, "load") != word:
                    raise Failure("load lost its way")
                wait_for_descriptors(pid, own + connections)
                sample[figure] = (resident_bytes(pid) - before) / connections
                load.stdin.write("\n")
                load.stdin.flush()
            if "spoken" in words:
                load.wait(30)
        except subprocess.TimeoutExpired:
            raise Failure("load hung") from None
        finally:
            end(load)
        return sample


def sample_create(runner, contender):
    program, _ = contender.command(runner)
    sample = runner.measure(runner.server_core, program, *contender.arguments,
                            environment=contender.environment)
    return {"ms": sample["first_ns"] / 1e6,
            "ms_later": statistics.median(sample["later_ns"]) / 1e6}


def sample_library(runner, _):
    if not os.path.exists(runner.library):
        raise Skip("no shared library was built")
    with tempfile.NamedTemporaryFile(prefix="ferry-bench-") as stripped:
        subprocess.run(["strip", "--strip-unneeded", "-o", stripped.name, runner.library],
                       check=True)
        return {"kib": os.path.getsize(stripped.name) / 1024}


# The groups


@dataclasses.dataclass
class Group:
    name: str
    title: str
    contenders: list
    sample: typing.Callable  # of (runner, contender)
    figures: tuple  # The first one sorts.
    ratio: str  # Of this figure, against each of beside.
    beside: tuple = ()
    targets: tuple = ()
    calls: typing.Callable = None
    rounds_max: int = 1000


def echo_group(name, title, load_arguments, targets, contenders=ECHO, message=None):
    return Group(name, f"TCP echo: {title}", contenders,
                 lambda runner, contender: sample_echo(runner, contender, load_arguments, message),
                 ("cpu", "rate", "calls", "resident"), "cpu", (LIBUV, RING), targets,
                 lambda runner, contender: count_calls(runner, contender, load_arguments, message))


# A target is "FIGURE <= BOUND", of one of Ferry's own figures or "of PEER": of the ratio to a
# peer's; or "FIGURE is first", among all but the limit.
GROUPS = {group.name: group for group in (
    echo_group("echo-64", "64 B, 64 connections", ["-c", 64],
               (f"cpu <= 0.95 of {LIBUV}", f"cpu <= 1.03 of {RING}", f"rate >= 1.05 of {LIBUV}",
                "rate is first")),
    echo_group("echo-1000", "64 B, 1,000 connections", ["-c", 1000],
               (f"cpu <= 0.95 of {LIBUV}", f"cpu <= 1.03 of {RING}")),
    echo_group("echo-16k", "16 KiB, 64 connections", ["-c", 64, "-s", 16384],
               (f"cpu <= 0.98 of {LIBUV}", f"cpu <= 1.03 of {RING}", f"rate >= 1.05 of {LIBUV}",
                "rate is first")),
    echo_group("pipeline", "16 messages of 64 B at once, 64 connections", ["-c", 64, "-d", 16],
               (f"cpu <= 1.1 of {LIBUV}",), PIPELINE, 64),
    Group("reads", f"Random reads of 4 KiB from the page cache, {IN_FLIGHT} in flight", READS,
          sample_reads, ("cpu", "rate"), "rate", (LIBUV, RING),
          (f"rate >= 0.9 of {RING}", f"rate >= 2.2 of {LIBUV}")),
    Group("files", f"Whole files of 4 KiB from the page cache, {IN_FLIGHT} in flight", WHOLE,
          sample_whole, ("cpu", "rate"), "rate", (LIBUV, LOOP, RING),
          (f"rate >= 4 of {LIBUV}", f"rate >= 0.85 of {LOOP}")),
    Group("idle", f"{IDLE_CONNECTIONS:,} idle connections: resident bytes", IDLE, sample_idle,
          ("bytes", "spoken"), "bytes", (LIBUV,), ("bytes <= 270",), rounds_max=3),
    Group("create", "From nothing to the first completion", CREATE, sample_create,
          ("ms", "ms_later"), "ms", (), ("ms <= 1",)),
    Group("size", "The shared library, stripped", LIBRARY, sample_library, ("kib",), "kib", (),
          ("kib <= 600",), rounds_max=1),
)}


# Results


def spread(numbers):
    return {"median": statistics.median(numbers), "min": min(numbers), "max": max(numbers)}


def ratios(own, peer, figure):
    """Of the rounds that both have, so that what slows a whole round down cancels out."""
    return spread([a[figure] / b[figure] for a, b in zip(own, peer) if b[figure]])


def judge(target, rows):
    """One target, by the best of Ferry's rows: a host takes the better of its forms."""
    figure, relation, bound, *peer = target.split(maxsplit=4)
    own = [row for row in rows if row["ferry"] and row["aimed"]]
    peers = {row["name"]: row for row in rows if not row["ferry"]}
    peer = peer[1] if peer else ""
    if not own or peer and peer not in peers:
        return {"target": target, "reached": None, "met": None, "by": "nobody to compare"}
    if relation == "is":
        others = [row["median"][figure] for name, row in peers.items() if name != RING]
        relation, bound, reached = ">=", 1, {
            row["name"]: row["median"][figure] / max(others) for row in own}
    elif peer:
        reached = {row["name"]: ratios(row["samples"], peers[peer]["samples"], figure)["median"]
                   for row in own}
    else:
        reached = {row["name"]: row["median"][figure] for row in own}
    best = (min if relation == "<=" else max)(reached, key=reached.get)
    met = reached[best] <= float(bound) if relation == "<=" else reached[best] >= float(bound)
    return {"target": target, "reached": reached[best], "met": met, "by": best}


def measure_group(runner, group):
    """All rounds of a group: its rows, sorted, and what became of its targets."""
    samples = {contender.name: [] for contender in group.contenders}
    missing = {}
    for _ in range(min(runner.rounds, group.rounds_max)):
        for contender in group.contenders:
            if contender.name in missing:
                continue
            try:
                samples[contender.name].append(group.sample(runner, contender))
            except Skip as reason:
                missing[contender.name] = str(reason)
            except (Failure, OSError, ValueError) as failure:
                runner.fail(f"{group.name}, {contender.name}: {failure}")
                missing[contender.name] = f"it failed: {failure}"
    there = [contender for contender in group.contenders if contender.name not in missing]
    rows = [row_of(runner, group, contender, samples) for contender in there]
    rows.sort(key=lambda row: row["median"][group.figures[0]])
    return {"name": group.name, "title": group.title, "figures": list(group.figures),
            "ratio": group.ratio, "beside": [peer for peer in group.beside if peer not in missing],
            "rows": rows, "missing": missing,
            "targets": [judge(target, rows) for target in group.targets]}


def row_of(runner, group, contender, samples):
    own = samples[contender.name]
    row = {"name": contender.name, "ferry": contender.ferry, "aimed": contender.aimed,
           "samples": own,
           "median": {figure: statistics.median(sample[figure] for sample in own)
                      for figure in own[0]},
           "spread": spread([sample[group.figures[0]] for sample in own]),
           "beside": {peer: ratios(own, samples[peer], group.ratio) for peer in group.beside
                      if samples.get(peer)}}
    try:
        if group.calls and (calls := group.calls(runner, contender)) is not None:
            row["median"]["calls"] = calls
    except (Failure, OSError, ValueError) as failure:
        runner.fail(f"{group.name}, {contender.name}, its system calls: {failure}")
    return row
