"""The rows of the Lua binding: LuaJIT on Ferry beside luv, which is LuaJIT on libuv."""

import os
import shutil
import statistics
import subprocess

from harness import Skip, cpu_us_per_message, file_directory, message_rate, per_second

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = "luv"
FILES = 20000
CONNECTIONS = 64


def program(name):
    return os.path.join(HERE, name + ".lua")


def why_not(runner, luv=True):
    """Why this cannot be measured here; nothing if it can."""
    if not os.path.exists(runner.library):
        return "no shared library was built"
    os.environ["FERRY_LIBRARY"] = runner.library
    if shutil.which("luajit") is None:
        return "there is no luajit"
    if luv and subprocess.run(["luajit", program("has_luv")], stderr=subprocess.DEVNULL,
                              check=False).returncode != 0:
        return "luajit finds no luv"
    return ""


def echo(runner, name):
    seconds, warm = (0.5, 0.3) if runner.quick else (1.5, 0.5)
    with runner.server(shutil.which("luajit"), program(name)) as (pid, port):
        return runner.measure(runner.load_core, "load", "-p", port, "-P", pid, "-t", seconds, "-w",
                              warm, "-c", CONNECTIONS)


def bench_lua_echo(runner):
    if reason := why_not(runner):
        raise Skip(reason)
    samples = runner.interleave({
        PEER: lambda: echo(runner, "echo_luv"),
        "pieces": lambda: echo(runner, "echo_ferry")})

    def rate(side):
        return statistics.median(map(message_rate, samples[side]))

    runner.add("LuaJIT echo 64 B x 64", "pieces", samples, cpu_us_per_message, "us CPU/message", "ratio <= 1",
               peer=PEER, notes=f"{rate('pieces'):.0f} / {rate(PEER):.0f} thousand/s")


def bench_lua_files(runner):
    if reason := why_not(runner):
        raise Skip(reason)
    luajit, passes = shutil.which("luajit"), 1 if runner.quick else 3
    with file_directory(FILES) as directory:
        samples = runner.interleave({
            side: lambda name=name: runner.measure(None, luajit, program(name), directory, FILES,
                                                   passes)
            for side, name in ((PEER, "files_luv"), ("ferry.load", "files_ferry"),
                               ("io.open", "files_io"))})

    plain = statistics.median(map(per_second, samples["io.open"]))
    runner.add("LuaJIT whole 4 KiB files", "ferry.load", samples, per_second, "thousand/s",
               "ratio >= 2", peer=PEER,
               notes=f"luv: open, fstat, read, close; io.open, one by one: {plain:.0f}")


def bench_lua_reap(runner):
    if reason := why_not(runner, luv=False):
        raise Skip(reason)
    count = 1000000 if runner.quick else 4000000
    samples = runner.interleave({
        "mapped": lambda: runner.measure(runner.server_core, shutil.which("luajit"),
                                         program("reap"), count)})
    runner.add("LuaJIT reaps one", "mapped", samples, lambda sample: sample["binding_ns"], "ns",
               "value <= 25", peer=None, notes="with its slot, and who waits there, found and freed")
    raw = {"the ring alone": samples["mapped"]}
    runner.add("LuaJIT reaps one", "the ring alone", raw, lambda sample: sample["raw_ns"], "ns",
               peer=None)
    task = {"a task's nop": samples["mapped"]}
    runner.add("LuaJIT reaps one", "a task's nop", task, lambda sample: sample["task_ns"], "ns",
               peer=None, notes="described, submitted, run, reaped, the coroutine resumed")


BENCHES = {"lua-echo": bench_lua_echo, "lua-files": bench_lua_files, "lua-reap": bench_lua_reap}
