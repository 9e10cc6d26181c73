"""Python on Ferry against asyncio's own, for ../run.py."""
import os
import statistics
import sys

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = 20000


class Python:
    """The programs of this folder, run by the first interpreter that has uvloop, else by ours."""

    def __init__(self, runner):
        self.runner = runner
        self.uvloop = harness.python_with("uvloop")
        self.program = self.uvloop or sys.executable
        os.environ.update({"FERRY_LIBRARY": runner.library,
                           "PYTHONPATH": os.path.join(harness.ROOT, "bindings", "python"),
                           "PYTHONDONTWRITEBYTECODE": "1"})

    def measure(self, core, name, *arguments):
        return self.runner.measure(core, self.program, os.path.join(HERE, name), *arguments)

    def echo(self, name, *arguments):
        return harness.echo(self.runner, self.program, [os.path.join(HERE, name), *arguments],
                            ["-c", 64])


def bench_echo(runner):
    python = Python(runner)
    servers = {
        "asyncio streams": ("echo_streams.py",),
        "loop's thread": ("echo_ferry.py", "driven"),
        "own thread": ("echo_ferry.py", "own"),
        "each awaited": ("echo_ferry.py", "driven", "awaited"),
    }
    if python.uvloop:
        servers.update({"uvloop streams": ("echo_streams.py", "uvloop"),
                        "loop's thread, uvloop": ("echo_ferry.py", "driven", "uvloop")})
    else:
        print("    without uvloop: no Python 3.11 here has it")
    samples = runner.interleave({variant: lambda words=words: python.echo(*words)
                                 for variant, words in servers.items()})

    def rate(variant):
        return statistics.median(map(harness.message_rate, samples[variant]))

    def row(variant, peer, target=None):
        runner.add("python echo 64 B x 64", variant, samples, harness.cpu_us_per_message,
                   "us CPU/message", target, peer,
                   f"{rate(variant):.1f} / {rate(peer):.1f} thousand/s")

    row("loop's thread", "asyncio streams", "ratio <= 1")
    row("own thread", "asyncio streams")
    row("each awaited", "asyncio streams")
    if python.uvloop:
        row("loop's thread", "uvloop streams")
        row("loop's thread, uvloop", "uvloop streams")


def bench_files(runner):
    python = Python(runner)
    with harness.file_directory(FILES) as directory:
        samples = runner.interleave({
            variant: lambda words=words:
                python.measure(None, "files.py", directory, FILES, 1, *words)
            for variant, words in (("to_thread", ("threads",)), ("loop's thread", ("ferry",)),
                                   ("own thread", ("ferry", "own")))})
    runner.add("python files 4 KiB x 64", "loop's thread", samples, harness.cpu_us, "us CPU/file", None,
               "to_thread", "open().read() in each thread")
    for variant, target in (("loop's thread", "ratio >= 2"), ("own thread", None)):
        runner.add("python files 4 KiB x 64", variant, samples, harness.per_second, "thousand/s",
                   target, "to_thread", "open().read() in each thread")


def bench_reap(runner):
    python = Python(runner)
    count = 200000 if runner.quick else 1000000
    for batch in (16, 256):
        samples = runner.interleave({
            way: lambda way=way: python.measure(runner.server_core, "reap.py", way, count, batch)
            for way in ("array", "mapped")})
        runner.add(f"python reap x {batch}", "array call", {"array call": samples["array"],
                   "mapped": samples["mapped"]}, lambda sample: sample["ns"], "ns", None, "mapped",
                   "one completion taken and unpacked")


BENCHES = {"python-echo": bench_echo, "python-files": bench_files, "python-reap": bench_reap}
