"""Rust on Ferry beside tokio, and beside threads that block."""

import os

from harness import (calls_per_message, cpu_us_per_message, echo, file_directory, message_rate,
                     per_second, rust_programs)

FILES = 20000


def bench_rust(runner):
    folder = rust_programs(runner.build_dir)
    bench_rust_reap(runner, folder)
    has_tokio = os.path.exists(os.path.join(folder, "echo_tokio"))
    if not has_tokio:
        print("  rust: no rows against tokio: it is not installed", flush=True)
    else:
        bench_rust_echo(runner, folder)
    bench_rust_files(runner, folder, has_tokio)


def bench_rust_reap(runner, folder):
    count = 2000000 if runner.quick else 10000000
    samples = runner.interleave({"reaped": lambda: runner.measure(
        runner.server_core, os.path.join(folder, "reap"), count)})
    runner.add("Rust: reap one", "into its slot", {"into its slot": samples["reaped"]},
               lambda sample: sample["slot_ns"], "ns", "value <= 25", peer=None)
    runner.add("Rust: reap one", "and wake its task", {"and wake its task": samples["reaped"]},
               lambda sample: sample["woken_ns"], "ns", peer=None)


def bench_rust_echo(runner, folder):
    def measure(program, *arguments):
        return echo(runner, os.path.join(folder, program), arguments, ["-c", 64])

    samples = runner.interleave({
        "tokio": lambda: measure("echo_tokio"),
        "lent": lambda: measure("echo_ferry", "lent"),
        "detached": lambda: measure("echo_ferry", "detached"),
        "own buffer": lambda: measure("echo_ferry", "read")})
    for variant, target in (("lent", "ratio >= 0.97"), ("detached", None), ("own buffer", None)):
        row = runner.add("Rust: echo 64 B x 64", variant, samples, message_rate, "thousand/s",
                         target, peer="tokio", notes="peer: tokio, current_thread")
        runner.add("Rust: echo 64 B x 64", variant, samples,
                   cpu_us_per_message, "us CPU/message",
                   peer="tokio", notes="peer: tokio, current_thread")
        if target is not None and not row["met"]:
            for name, words in (("echo_ferry", ["lent"]), ("echo_tokio", [])):
                calls = calls_per_message(runner, os.path.join(folder, name), words, ["-c", 64])
                print(f"  {name}, system calls for each message: {calls}", flush=True)


def bench_rust_files(runner, folder, has_tokio):
    passes = 1 if runner.quick else 5
    with file_directory(FILES) as directory:
        def measure(program, *arguments):
            return runner.measure(None, os.path.join(folder, program), directory, FILES,
                                  passes, *arguments)

        variants = {"fs::load": lambda: measure("files_ferry"),
                    "2 threads": lambda: measure("files_threads", 2),
                    "64 threads": lambda: measure("files_threads")}
        if has_tokio:
            variants["tokio::fs"] = lambda: measure("files_tokio")
        samples = runner.interleave(variants)
    for peer in variants:
        if peer != "fs::load":
            runner.add("Rust: 20000 files of 4 KiB", "fs::load", samples, per_second, "thousand/s",
                       "ratio >= 2" if peer == "tokio::fs" else None, peer=peer,
                       notes=f"64 in flight; peer: {peer}")


BENCHES = {"rust": bench_rust}
