"""ferry.hpp beside the C API, asio and ifstream."""

import os

from harness import cpu_us_per_message, echo, file_directory, per_second

FILES = 20000


def bench_cpp_echo(runner):
    servers = {
        "C, inline": ("echo_ferry_inline", [0]),
        "own buffers": ("cpp/echo_cpp", ["own"]),
        "lent": ("cpp/echo_cpp", ["lent"]),
    }
    if os.path.exists(os.path.join(runner.programs, "cpp/echo_asio")):
        servers["asio"] = ("cpp/echo_asio", [])
    else:
        print("    skipped: no asio beside it (Debian: libasio-dev)")
    samples = runner.interleave({
        variant: lambda program=program, arguments=arguments:
            echo(runner, program, arguments, ["-c", 64])
        for variant, (program, arguments) in servers.items()})
    for peer in ("asio", "C, inline"):
        for variant in ("own buffers", "lent"):
            if peer in samples:
                runner.add("C++ echo 64 B x 64", variant, samples,
                           cpu_us_per_message,
                           "us CPU/message", peer=peer)


def bench_cpp_files(runner):
    passes = 1 if runner.quick else 4
    with file_directory(FILES) as directory:
        arguments = (directory, FILES, passes)
        samples = runner.interleave({
            "ferry.hpp": lambda: runner.measure(None, "cpp/files_cpp", *arguments),
            "a loop": lambda: runner.measure(None, "cpp/files_ifstream", *arguments),
            "2 threads": lambda: runner.measure(None, "cpp/files_ifstream", *arguments, 2),
            "64 threads": lambda: runner.measure(None, "cpp/files_ifstream", *arguments, 64)})
    for peer in ("a loop", "2 threads", "64 threads"):
        runner.add("C++ 20,000 files", "ferry.hpp", samples, per_second, "thousand/s",
                   peer=peer, notes="ifstream")


def bench_cpp_reap(runner):
    count = 2000000 if runner.quick else 10000000
    core = runner.server_core
    samples = runner.interleave({
        "own": lambda: runner.measure(core, "cpp/reap_cpp", count),
        "C": lambda: runner.measure(core, "nop_ferry", count)})
    reap = [sample["reap_ns"] for sample in samples["own"]]
    runner.add("C++ reap", "mapped ring", {"mapped ring": reap}, lambda ns: ns, "ns",
               "value <= 25", peer=None)
    awaited = {"co_await": [sample["await_ns"] for sample in samples["own"]],
               "C": [sample["ns"] for sample in samples["C"]]}
    runner.add("C++ nop x 64", "co_await", awaited, lambda ns: ns, "ns", peer="C",
               notes="the same in C, submitted and reaped by 64")


BENCHES = {"cpp-echo": bench_cpp_echo, "cpp-files": bench_cpp_files, "cpp-reap": bench_cpp_reap}
