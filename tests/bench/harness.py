"""What every benchmark's rows need: starting the programs, interleaving them, comparing them.

A ratio is the median of the rounds' own ratios, so that what slows a whole round down cancels out;
its spread is their smallest and largest.
"""

import contextlib
import functools
import json
import os
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FILES = 4000
FILE_BYTES = 4096
BLOCK_BYTES = 4096
PROGRAM_SECONDS_MAX = 100
SKIPPED = 77  # How a program ends that cannot run here; its last words are the reason.
PEER = "libuv"


class Failure(Exception):
    """A program failed, hung, or said something unexpected."""


class Skip(Exception):
    """What is missing here, so that there is nothing to measure."""


class Target:
    """A bound on the ratio to the peer, or on Ferry's own figure."""

    def __init__(self, text):
        self.text = text
        subject, relation, bound = text.split()
        self.of_ratio = subject == "ratio"
        self.at_most = relation == "<="
        self.bound = float(bound)

    def met(self, value, ratio):
        figure = ratio if self.of_ratio else value
        return figure <= self.bound if self.at_most else figure >= self.bound


class Runner:
    """Starts the programs as its own children, and ends those that do not end themselves."""

    def __init__(self, build_dir, rounds, quick):
        self.build_dir = os.path.abspath(build_dir)
        self.library = os.path.join(self.build_dir, "capi", "libferry.so")
        self.programs = os.path.join(build_dir, "tests", "bench")
        self.rounds = rounds
        self.quick = quick
        self.cores = sorted(os.sched_getaffinity(0))
        self.server_core = self.cores[0]
        self.load_core = self.cores[min(1, len(self.cores) - 1)]
        self.rows = []
        self.groups = []
        self.failures = []
        self.kept = {}
        self.stack = contextlib.ExitStack()

    def fail(self, what):
        """Note a failure, and go on with the rest."""
        self.failures.append(what)
        print(f"  FAILED {what}", flush=True)

    def keep(self, manager):
        """What a context manager makes, for the rest of the run."""
        if manager not in self.kept:
            self.kept[manager] = self.stack.enter_context(manager())
        return self.kept[manager]

    def start(self, core, program, *arguments, environment=None, **streams):
        command = [os.path.join(self.programs, program), *map(str, arguments)]
        pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=pin, env={**os.environ, **(environment or {})},
                                **streams)

    def measure(self, core, program, *arguments, environment=None):
        """Run a program to its end; it prints one JSON object."""
        process = self.start(core, program, *arguments, environment=environment)
        try:
            output, words = process.communicate(timeout=PROGRAM_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failure(f"{program} hung") from None
        finally:
            end(process)
        if process.returncode != 0:
            raise told(process, program, words)
        return json.loads(output)

    @contextlib.contextmanager
    def server(self, program, *arguments, environment=None):
        """A server, while the block runs: (pid, port)."""
        process = self.start(self.server_core, program, *arguments, environment=environment)
        try:
            line = read_line(process, program)
            word, _, number = line.partition(" ")
            if word != "port":
                raise Failure(f"{program} said {line!r}")
            yield process.pid, int(number)
            if process.poll() is not None:
                raise told(process, program, process.stderr.read())
        finally:
            end(process)

    def interleave(self, variants, rounds=None):
        """Call each variant once a round. Returns the samples of each: {name: [sample, ...]}."""
        samples = {name: [] for name in variants}
        for _ in range(rounds or self.rounds):
            for name, measure in variants.items():
                samples[name].append(measure())
        return samples

    def add(self, bench, variant, samples, figure, unit, target=None, peer=PEER, notes=""):
        """A row: Ferry's median, the peer's, and the ratio of the two. No peer: peer=None."""
        own = [figure(sample) for sample in samples[variant]]
        row = {"benchmark": bench, "variant": variant, "unit": unit,
               "ferry": statistics.median(own), "ferry_samples": own, "notes": notes,
               "target": target}
        if peer is not None:
            others = [figure(sample) for sample in samples[peer]]
            ratios = [a / b if b > 0 else float("inf") for a, b in zip(own, others)]
            row.update({"peer_name": peer, "peer": statistics.median(others),
                        "peer_samples": others, "ratio": statistics.median(ratios),
                        "spread": [min(ratios), max(ratios)]})
        if target is not None:
            row["met"] = Target(target).met(row["ferry"], row.get("ratio"))
        self.rows.append(row)
        return row


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def read_line(process, program, seconds=60):
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    line = process.stdout.readline().strip() if ready else ""
    if not line:
        # Closed before it said anything: it is about to end.
        words = process.stderr.read() if ready else "nothing"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        raise told(process, program, words)
    return line


def told(process, program, words):
    """What a program that ended said: that it cannot run here, or what went wrong."""
    words = words.strip()
    if process.returncode == SKIPPED:
        return Skip(words.splitlines()[-1] if words else "it says that it cannot run here")
    return Failure(f"{program} ended with {process.returncode}: {words[-500:]}")


def resident_bytes(pid):
    # Not statm: its counters are summed up lazily and may be off by some hundred KiB.
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise Failure("no Rss")


def echo(runner, program, server_arguments, load_arguments, environment=None):
    seconds, warm = (0.5, 0.15) if runner.quick else (1.5, 0.3)
    with runner.server(program, *server_arguments, environment=environment) as (pid, port):
        sample = runner.measure(runner.load_core, "load", "-p", port, "-P", pid, "-t", seconds,
                                "-w", warm, *load_arguments)
        sample["resident_bytes"] = resident_bytes(pid)
        return sample


# System calls for each message, in a run of its own


PERF = ("perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter")


@functools.lru_cache(maxsize=None)
def call_counter():
    """perf, which disturbs least, or strace: how to call it, and how to read what it says."""
    if shutil.which("perf"):
        said = subprocess.run([*PERF, "true"], capture_output=True, text=True, check=False)
        if said.returncode == 0 and said.stderr.split(",")[0].isdigit():
            return PERF, lambda words: int(words.strip().split(",")[0])
    if shutil.which("strace"):
        return ("strace", "-c", "-f"), lambda words: next(
            int(line.split()[3]) for line in words.splitlines() if line.endswith(" total"))
    return None


def calls_per_message(runner, program, server_arguments, load_arguments, environment=None):
    """System calls of the server for each message; nothing where they cannot be counted."""
    if call_counter() is None:
        return None
    command, read = call_counter()
    with runner.server(program, *server_arguments, environment=environment) as (pid, port):
        load = runner.start(runner.load_core, "load", "-p", port, "-W", "-w", 0, "-t", 0.7,
                            *load_arguments, stdin=subprocess.PIPE)
        try:
            read_line(load, "load")  # All are connected, none has spoken.
            with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE,
                                  text=True) as counter:
                time.sleep(0.5)  # It counts by then.
                output, words = load.communicate("\n", timeout=PROGRAM_SECONDS_MAX)
                counter.send_signal(signal.SIGINT)
                _, said = counter.communicate(timeout=10)
        finally:
            end(load)
    if load.returncode != 0:
        raise told(load, "load", words)
    return read(said) / json.loads(output)["messages"]


# Programs of other languages


@functools.lru_cache(maxsize=None)
def rust_programs(build_dir):
    """Build the Rust programs. Their folder; tokio's are there if tokio is."""
    if not shutil.which("cargo"):
        raise Skip("there is no cargo")
    cargo = os.path.join(ROOT, "bindings", "rust", "cargo.py")
    library = os.path.join(os.path.abspath(build_dir), "capi")
    folder = os.path.join(os.path.abspath(build_dir), "bench-rust")
    os.environ.update({"FERRY_LIB_DIR": library, "LD_LIBRARY_PATH": library})
    built = subprocess.run(
        [sys.executable, "-B", cargo, os.path.join(HERE, "rust"), folder, "--with",
         os.path.join(ROOT, "bindings", "rust"), "--use-tokio", "tokio", "--", "cargo", "build",
         "--offline", "--release"], check=False, capture_output=True, text=True)
    if built.returncode != 0:
        raise Failure(f"cargo: {built.stderr[-2000:]}")
    return os.path.join(folder, "target", "release")


@functools.lru_cache(maxsize=None)
def python_with(module):
    """The first interpreter from 3.11 on that has the module, or nothing."""
    program = f"import sys, {module}; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", program], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0:
            return python
    return None


# Figures of one sample


def per_second(sample):
    return sample["count"] / sample["elapsed_ns"] * 1e6


def cpu_us_per_message(sample):
    return sample["cpu_ns"] / sample["messages"] / 1e3


def cpu_us(sample):
    return sample["cpu_ns"] / sample["count"] / 1e3


def message_rate(sample):
    return sample["messages"] / sample["elapsed_ns"] * 1e6


# What they work on


@contextlib.contextmanager
def file_directory(count=FILES):
    """A directory of so many files, named 0, 1, 2 ..."""
    with tempfile.TemporaryDirectory(prefix="ferry-bench-") as directory:
        for i in range(count):
            with open(os.path.join(directory, str(i)), "wb") as file:
                file.write(b"f" * FILE_BYTES)
        yield directory


@contextlib.contextmanager
def block_file(mebibytes=64):
    """A file of blocks that begin with their number."""
    with tempfile.NamedTemporaryFile(prefix="ferry-bench-") as file:
        for number in range((mebibytes << 20) // BLOCK_BYTES):
            file.write(struct.pack("<Q", number).ljust(BLOCK_BYTES, b"\0"))
        file.flush()
        yield file.name
