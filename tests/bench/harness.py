"""What every benchmark's rows need: starting the programs, interleaving them, comparing them.

A ratio is the median of the rounds' own ratios, so that what slows a whole round down cancels out;
its spread is their smallest and largest.
"""

import contextlib
import json
import os
import select
import statistics
import subprocess
import tempfile

FILES = 4000
FILE_BYTES = 4096
PROGRAM_SECONDS_MAX = 100
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
        self.failures = []

    def start(self, core, program, *arguments, **streams):
        command = [os.path.join(self.programs, program), *map(str, arguments)]
        pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pin,
                                **streams)

    def measure(self, core, program, *arguments):
        """Run a program to its end; it prints one JSON object."""
        process = self.start(core, program, *arguments)
        try:
            output, _ = process.communicate(timeout=PROGRAM_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failure(f"{program} hung") from None
        finally:
            end(process)
        if process.returncode != 0:
            raise Failure(f"{program} ended with {process.returncode}")
        return json.loads(output)

    @contextlib.contextmanager
    def server(self, program, *arguments):
        """A server, while the block runs: (pid, port)."""
        process = self.start(self.server_core, program, *arguments)
        try:
            word, number = read_line(process, program).split()
            if word != "port":
                raise Failure(f"{program} said {word!r}")
            yield process.pid, int(number)
            if process.poll() is not None:
                raise Failure(f"{program} ended with {process.returncode}")
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
            row.update({"peer_name": peer, "peer": statistics.median(others), "peer_samples": others,
                        "ratio": statistics.median(ratios), "spread": [min(ratios), max(ratios)]})
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
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def read_line(process, program, seconds=60):
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    line = process.stdout.readline().strip() if ready else ""
    if not line:
        raise Failure(f"{program} said nothing")
    return line


def echo(runner, program, server_arguments, load_arguments):
    seconds, warm = (0.5, 0.15) if runner.quick else (1.5, 0.3)
    with runner.server(program, *server_arguments) as (pid, port):
        return runner.measure(runner.load_core, "load", "-p", port, "-P", pid, "-t", seconds, "-w",
                              warm, *load_arguments)


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
