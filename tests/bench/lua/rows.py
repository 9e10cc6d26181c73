"""The rows of the Lua binding: LuaJIT on Ferry beside luv, which is LuaJIT on libuv."""

import os
import shutil
import statistics
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = "luv"
FILES, FILE_BYTES = 20000, 4096
CONNECTIONS = 64


def program(name):
    return os.path.join(HERE, name + ".lua")


def why_not(runner, luv=True):
    """Why this cannot be measured here; nothing if it can."""
    library = os.path.join(os.path.dirname(os.path.dirname(runner.programs)), "capi", "libferry.so")
    if not os.path.exists(library):
        return "no shared library was built"
    os.environ["FERRY_LIBRARY"] = library
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
        print(f"  lua-echo: skipped: {reason}")
        return
    samples = runner.interleave({
        PEER: lambda: echo(runner, "echo_luv"),
        "pieces": lambda: echo(runner, "echo_ferry")})

    def cpu_us(sample):
        return sample["cpu_ns"] / sample["messages"] / 1e3

    def rate(side):
        return statistics.median(s["messages"] / s["elapsed_ns"] * 1e6 for s in samples[side])

    runner.add("LuaJIT echo 64 B x 64", "pieces", samples, cpu_us, "us CPU/message", "ratio <= 1",
               peer=PEER, notes=f"peer: luv; {rate('pieces'):.0f} / {rate(PEER):.0f} thousand/s")


def bench_lua_files(runner):
    if reason := why_not(runner):
        print(f"  lua-files: skipped: {reason}")
        return
    luajit, passes = shutil.which("luajit"), 1 if runner.quick else 3
    with tempfile.TemporaryDirectory(prefix="ferry-bench-") as directory:
        for i in range(FILES):
            with open(os.path.join(directory, str(i)), "wb") as file:
                file.write(b"f" * FILE_BYTES)
        samples = runner.interleave({
            side: lambda name=name: runner.measure(None, luajit, program(name), directory, FILES,
                                                   passes)
            for side, name in ((PEER, "files_luv"), ("ferry.load", "files_ferry"),
                               ("io.open", "files_io"))})

    def per_second(sample):
        return sample["count"] / sample["elapsed_ns"] * 1e6

    plain = statistics.median(map(per_second, samples["io.open"]))
    runner.add("LuaJIT whole 4 KiB files", "ferry.load", samples, per_second, "thousand/s",
               "ratio >= 2", peer=PEER,
               notes=f"peer: luv, open, fstat, read, close; io.open, one by one: {plain:.0f}")


def bench_lua_reap(runner):
    if reason := why_not(runner, luv=False):
        print(f"  lua-reap: skipped: {reason}")
        return
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
