"""Go on Ferry beside the language's own net and files."""

import json
import os
import statistics

from harness import (FILES, PROGRAM_SECONDS_MAX, Skip, cpu_us, cpu_us_per_message, echo, end,
                     file_directory, message_rate, per_second, read_line)


def need(runner, program, reason):
    if not os.path.exists(os.path.join(runner.programs, program)):
        raise Skip(reason)


def counted_go_echo(runner):
    """What the binding did for each message, in a run of its own."""
    server = runner.start(runner.server_core, "go/echo_go", "ferry")
    try:
        port = int(read_line(server, "go/echo_go").split()[1])
        load = runner.measure(runner.load_core, "load", "-p", port, "-w", 0, "-n", 100000)
        server.terminate()
        counts = json.loads(server.communicate(timeout=5)[0])
    finally:
        end(server)
    return ", ".join(f"{counts[name] / load['messages']:.3f} {name}" for name in counts)


def bench_go_echo(runner):
    need(runner, "go/echo_go", "there was no go")
    samples = runner.interleave({which: lambda which=which: echo(runner, "go/echo_go", [which],
                                                                 ["-c", 64])
                                 for which in ("net", "ferry", "ferry-thread")})

    rates = [statistics.median(map(message_rate, samples[which]))
             for which in ("ferry", "net")]
    runner.add("Go echo 64 B x 64", "ferry", samples, cpu_us_per_message, "us CPU/message", "ratio <= 1.11",
               peer="net", notes=f"peer: Go's net; {rates[0]:.0f} / {rates[1]:.0f} thousand/s; "
               f"for each message {counted_go_echo(runner)}")
    runner.add("Go echo 64 B x 64", "ferry-thread", samples, cpu_us_per_message, "us CPU/message", peer="net",
               notes="peer: Go's net; the engine with a thread of its own")


def bench_go_files(runner):
    need(runner, "go/files_go", "there was no go")
    passes = 5 if runner.quick else 20
    with file_directory() as directory:
        samples = runner.interleave({
            which: lambda which=which: runner.measure(None, "go/files_go", which, directory, FILES, 64,
                                                      passes)
            for which in ("os", "ferry")})
    last = samples["ferry"][-1]
    runner.add("Go 4 KiB files, 64 at once", "ferry", samples, per_second, "thousand/s",
               "ratio >= 2", peer="os", notes="peer: os.ReadFile; for each file " + ", ".join(
                   f"{last[name] / last['count']:.3f} {name}" for name in ("crossings", "sleeps")))
    runner.add("Go 4 KiB files, 64 at once", "ferry", samples,
               cpu_us, "us CPU/file", peer="os",
               notes="peer: os.ReadFile")


def bench_go_reap(runner):
    need(runner, "go/reap_go", "there was no go")

    def reap():
        process = runner.start(runner.server_core, "go/reap_go", "-test.run=NONE", "-test.bench=Reap",
                               "-test.benchtime=3000000x")
        try:
            output, _ = process.communicate(timeout=PROGRAM_SECONDS_MAX)
        finally:
            end(process)
        words = output.split()
        return float(words[words.index("ns/completion") - 1])

    samples = runner.interleave({"mapped": reap})
    runner.add("Go reap", "mapped", samples, lambda sample: sample, "ns/completion", "value <= 25",
               peer=None)


BENCHES = {"go-echo": bench_go_echo, "go-files": bench_go_files, "go-reap": bench_go_reap}
