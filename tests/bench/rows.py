"""Parts of Ferry from C against libuv, and against whoever does the job by hand."""

import contextlib
import json
import os
import statistics
import tempfile

from harness import FILES, PEER, echo, end, file_directory, per_second, read_line


def echo_on_two_cores(runner, shards):
    """One server with two shards, or two with one each. Each of two cores has two generators, so
    that either way half of the messages cross."""
    seconds = 0.5 if runner.quick else 1.5
    cores = (runner.server_core, runner.load_core)
    with contextlib.ExitStack() as stack:
        servers = []
        for core in cores[:2 // shards]:
            server = runner.start(None if shards == 2 else core, "echo_ferry_shards", shards)
            stack.callback(end, server)
            servers.append((server.pid, int(read_line(server, "echo_ferry_shards").split()[1])))
        loads = []
        for i in range(4):
            pid, port = servers[i % len(servers)]
            loads.append(runner.start(cores[i // 2], "load", "-p", port, "-P", pid, "-c", 64,
                                      "-t", seconds, "-w", 0.2))
            stack.callback(end, loads[-1])
        samples = [json.loads(load.communicate(timeout=60)[0]) for load in loads]
    return {"messages": sum(sample["messages"] for sample in samples),
            "cpu_ns": sum(sample["cpu_ns"] for sample in samples[:len(servers)]),
            "elapsed_ns": samples[0]["elapsed_ns"]}


def bench_shards(runner):
    """CPU of the servers only: the generators, who share the cores with them, are left out."""
    def cpu_us(sample):
        return sample["cpu_ns"] / sample["messages"] / 1e3

    samples = runner.interleave({
        "2 shards": lambda: echo_on_two_cores(runner, 2),
        "2 programs": lambda: echo_on_two_cores(runner, 1),
        "1 shard": lambda: echo(runner, "echo_ferry_shards", [1], ["-c", 256])})
    rate = statistics.median(s["messages"] / s["elapsed_ns"] * 1e6 for s in samples["2 shards"])
    runner.add("echo 64 B x 256", "2 shards", samples, cpu_us, "us CPU/message", "ratio <= 1.05",
               peer="2 programs",
               notes=f"peer: a shard each, on the same cores; {rate:.0f} thousand/s")
    runner.add("echo 64 B x 256", "2 shards", samples, cpu_us, "us CPU/message", peer="1 shard",
               notes="peer: on a core of its own; here each shares one with generators")

    count = 1000000 if runner.quick else 4000000
    samples = runner.interleave({
        tokens: lambda tokens=tokens: runner.measure(None, "shards_ferry", tokens, count)
        for tokens in (64, 512)})
    for tokens in (64, 512):
        wakeups = statistics.median(s["wakeups"] / s["count"] for s in samples[tokens])
        name = f"{tokens} under way"
        runner.add("shard to shard", name, {name: samples[tokens]},
                   lambda sample: sample["cpu_ns"] / sample["count"], "ns CPU/message", peer=None,
                   notes=f"wake-ups per message: {wakeups:.4f}")


def bench_lines(runner):
    count = 5000000 if runner.quick else 20000000
    samples = runner.interleave({
        PEER: lambda: runner.measure(None, "lines_libuv", "stream", count),
        "lent": lambda: runner.measure(None, "lines_ferry", "lent", count),
        "single, copied": lambda: runner.measure(None, "lines_ferry", "single", count // 4)})

    def cpu_ns(sample):
        return sample["cpu_ns"] / sample["count"]

    def million(variant):
        return statistics.median(per_second(sample) / 1e3 for sample in samples[variant])

    for variant, target in (("lent", "ratio <= 1.1"), ("single, copied", None)):
        runner.add("lines 24 B", variant, samples, cpu_ns, "ns CPU/line", target,
                   notes=f"{million(variant):.1f} / {million(PEER):.1f} million/s")

    arguments = ["-c", 64, "-s", 24, "-l"]
    samples = runner.interleave({
        PEER: lambda: echo(runner, "lines_libuv", ["echo"], arguments),
        "inline, lent": lambda: echo(runner, "echo_ferry_inline", [0, "lines"], arguments)})
    runner.add("line echo x 64", "inline, lent", samples,
               lambda sample: sample["cpu_ns"] / sample["messages"] / 1e3, "us CPU/line",
               "ratio <= 1.1")


def bench_chain(runner):
    passes = 5 if runner.quick else 20
    with file_directory() as directory:
        arguments = (directory, FILES, passes)
        samples = runner.interleave({
            PEER: lambda: runner.measure(None, "chain_libuv", *arguments),
            "steps": lambda: runner.measure(None, "chain_ferry", "steps", *arguments),
            "chain": lambda: runner.measure(None, "chain_ferry", "chain", *arguments)})

    def cpu_us(sample):
        return sample["cpu_ns"] / sample["count"] / 1e3

    runner.add("open, read, close", "chain", samples, cpu_us, "us CPU/file", "ratio <= 1",
               peer="steps", notes="peer: three Ferry requests")
    for variant in ("chain", "steps"):
        runner.add("open, read, close", variant, samples, cpu_us, "us CPU/file")


def bench_copy(runner):
    size, passes = (64 << 20, 4) if runner.quick else (256 << 20, 4)
    with tempfile.NamedTemporaryFile(prefix="ferry-bench-") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
        file.flush()
        samples = runner.interleave({
            "sendfile": lambda: runner.measure(None, "copy_blocking", file.name, passes),
            "HANDLE_COPY": lambda: runner.measure(None, "copy_ferry", file.name, passes)})
    runner.add("file to socket", "HANDLE_COPY", samples,
               lambda sample: sample["cpu_ns"] / sample["count"] * 1e3, "us CPU/MB",
               peer="sendfile", notes="peer: a thread that blocks in sendfile")
    runner.add("file to socket", "HANDLE_COPY", samples,
               lambda sample: sample["count"] / sample["elapsed_ns"], "GB/s", "ratio >= 0.98",
               peer="sendfile", notes="the same")


def bench_nop(runner):
    count = 2000000 if runner.quick else 10000000
    core = runner.server_core
    samples = runner.interleave({
        PEER: lambda: runner.measure(core, "nop_libuv", count),
        "submit to reap": lambda: runner.measure(core, "nop_ferry", count)})
    # libuv has no such thing; a timer that is due at once is the nearest.
    runner.add("nop x 64", "submit to reap", samples, lambda sample: sample["ns"], "ns",
               "value <= 60", notes="libuv: timers of 0 ms")
    described = [sample["described_ns"] for sample in samples["submit to reap"]]
    runner.add("nop x 64", "described too", {"described too": described}, lambda ns: ns, "ns",
               peer=None)


def bench_trace(runner):
    count = 2000000 if runner.quick else 10000000
    core = runner.server_core
    samples = runner.interleave({
        hook: lambda hook=hook: runner.measure(core, "nop_ferry", count, hook)
        for hook in ("off", "count", "copy")})
    for hook, variant in (("count", "a hook that counts"), ("copy", "a hook that copies")):
        runner.add("traced nop x 64", variant, {variant: samples[hook], "off": samples["off"]},
                   lambda sample: sample["ns"], "ns", peer="off",
                   notes="not libuv beside it, but Ferry without a hook")


def bench_cross(runner):
    count = 4000000 if runner.quick else 20000000
    samples = runner.interleave({
        PEER: lambda: runner.measure(None, "cross_libuv", count),
        "inline": lambda: runner.measure(None, "cross_ferry", "inline", count),
        "reaped back": lambda: runner.measure(None, "cross_ferry", "reap", count // 2)})

    def million(sample):
        return per_second(sample) / 1e3

    runner.add("from a thread x 32", "inline", samples, million, "million/s", "value >= 15")
    runner.add("from a thread x 32", "reaped back", samples, million, "million/s",
               notes="libuv: one way only")


def bench_channel(runner):
    count = 1000000 if runner.quick else 5000000
    core = runner.server_core

    def per_message(sample):
        return sample["elapsed_ns"] / sample["count"]

    def million(sample):
        return per_second(sample) / 1e3

    samples = runner.interleave({
        "mutex": lambda: runner.measure(core, "channel_condvar", "one", count),
        "one thread": lambda: runner.measure(core, "channel_ferry", "one", count)})
    runner.add("channel x 64", "one thread", samples, per_message, "ns", peer="mutex",
               notes="peer: mutex and condition variables, uncontended")
    samples = runner.interleave({
        "mutex": lambda: runner.measure(None, "channel_condvar", "threads", count),
        "inline": lambda: runner.measure(None, "channel_ferry", "inline", count),
        "reaped": lambda: runner.measure(None, "channel_ferry", "reap", count)})
    runner.add("channel x 32", "inline", samples, million, "million/s", peer="mutex",
               notes="thread to thread; peer: one lock a batch")
    runner.add("channel x 32", "reaped", samples, million, "million/s", peer="mutex",
               notes="three threads: producer, engine, consumer")


def bench_timers(runner):
    count = 1000000
    core = runner.server_core
    samples = runner.interleave({
        PEER: lambda: runner.measure(core, "timers_libuv", count),
        "the wheel": lambda: runner.measure(core, "wheel", count),
        "C API": lambda: runner.measure(core, "timers_ferry", count)})
    for variant, target in (("the wheel", "ratio <= 0.2"), ("C API", "ratio <= 0.5")):
        parts = "; ".join(
            part + " " + " / ".join(
                f"{statistics.median(sample[part + '_ns'] for sample in samples[side]):.0f}"
                for side in (variant, PEER))
            for part in ("start", "stop"))
        runner.add("million timers", variant, samples,
                   lambda sample: sample["start_ns"] + sample["stop_ns"], "ns start + stop", target,
                   notes=parts)


# Frames: how far a budget of 2 ms is overrun with 10,000 things ready at once


FRAMES_PEERS = {"receive": "receive"}  # what libuv does beside it; a timer for all others
FRAMES_NOTES = {
    "dispatch": "10,000 completions in the ring",
    "nop": "10,000 nops",
    "inbox": "10,000 nops from another thread",
    "timer": "10,000 timers due",
    "mixed": "5,000 nops, 5,000 timers due",
    "receive": "10,000 sockets readable",
    "send": "10,000 sends; no peer",
}


def histogram(samples, which, part):
    """How many frames were overrun by how much: text, a line for each bucket that has any."""
    bounds = samples[0]["bounds_us"]
    names = ["none"] + [f"<= {bound} us" for bound in bounds[1:]] + [f"> {bounds[-1]} us"]
    counts = [sum(column) for column in zip(*(sample[which][part]["buckets"] for sample in samples))]
    widest = max(counts) or 1
    return [f"      {name:>12}  {count:>7}  {'#' * -(-count * 40 // widest)}"
            for name, count in zip(names, counts) if count]


def print_frames(kind, samples):
    for side, which in ((kind, "frames"), (PEER, "frames"), (kind, "control")):
        if side not in samples:
            continue
        for part, what in (("wall", "all frames"), ("own", "frames that were not disturbed")):
            figures = [sample[which][part] for sample in samples[side]]
            middle = {name: statistics.median(figure[name] for figure in figures)
                      for name in ("p50", "p99", "p999", "max")}
            title = "control" if which == "control" else side if side != kind else f"Ferry, {kind}"
            count = sum(figure["count"] for figure in figures)
            print(f"    {title}, {what} ({count}): overrun p50 {middle['p50']:.1f}, p99 "
                  f"{middle['p99']:.1f}, p99.9 {middle['p999']:.1f}, max {middle['max']:.1f} us")
            print("\n".join(histogram(samples[side], which, part)), flush=True)


def worst(sample, part):
    """The overrun at the 99.9th percentile; of all frames if there was none without disturbance."""
    figures = sample["frames"]
    return figures[part if figures[part]["count"] else "wall"]["p999"]


def bench_frames(runner):
    count = 500 if runner.quick else 2000
    for kind in FRAMES_NOTES:
        variants = {kind: lambda kind=kind: runner.measure(None, "frames_ferry", kind, count)}
        if kind != "send":
            peer = FRAMES_PEERS.get(kind, "timer")
            variants[PEER] = lambda peer=peer: runner.measure(None, "frames_libuv", peer, count // 10)
        samples = runner.interleave(variants)
        print_frames(kind, samples)
        disturbed = sum(sample["frames"]["disturbed"] for sample in samples[kind])
        frames = sum(sample["frames"]["wall"]["count"] for sample in samples[kind])
        # Frames in which the system took the processor away say nothing of who had the budget: the
        # target holds for the others, but the figure of all stands beside it.
        for variant, part, target, note in (
                ("undisturbed", "own", "value <= 100", f"{disturbed} of {frames} were disturbed"),
                ("all", "wall", None, FRAMES_NOTES[kind])):
            figures = {side: [worst(sample, part) for sample in samples[side]] for side in samples}
            figures[variant] = figures.pop(kind)
            runner.add(f"frame, {kind}", variant, figures, lambda us: us, "us over, p99.9", target,
                       peer=PEER if PEER in figures else None, notes=note)


BENCHES = {
    "shards": bench_shards,
    "chain": bench_chain,
    "copy": bench_copy,
    "lines": bench_lines,
    "nop": bench_nop,
    "trace": bench_trace,
    "cross": bench_cross,
    "channel": bench_channel,
    "timers": bench_timers,
    "frames": bench_frames,
}
