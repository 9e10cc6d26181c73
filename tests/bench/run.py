#!/usr/bin/env python3
"""Ferry against raw libuv, in the same run: interleaved rounds, medians, ratios and their spread.

    run.py BUILD_DIR [--rounds N] [--quick] [--only WORD]

Servers run on the first core that this process may use, generators on the second. Look at CPU per
message first: the generator is often the limit, so rates are compressed. A ratio is the median of
the rounds' own ratios, so that what slows a whole round down cancels out; its spread is their
smallest and largest. A missed target is no failure; a program that fails is.

Prints a table and writes BUILD_DIR/bench.json.
"""
import argparse
import importlib.util
import json
import os
import platform
import sys
import time

sys.dont_write_bytecode = True
from harness import Failure, Runner, Skip  # noqa: E402 (leaves no __pycache__ behind)

HERE = os.path.dirname(os.path.abspath(__file__))
# Each has its rows beside its programs.
FOLDERS = (".", "cpp", "rust", "go", "lua", "python")
HEADER = ("benchmark", "variant", "Ferry", "peer", "unit", "ratio", "spread", "target", "", "peer",
          "notes")


def all_benches():
    """The functions that measure, by name."""
    benches = {}
    for folder in FOLDERS:
        path = os.path.join(HERE, folder, "rows.py")
        if os.path.exists(path):
            spec = importlib.util.spec_from_file_location(f"rows_{folder}", path)
            rows = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(rows)
            benches.update(rows.BENCHES)
    return benches


def cells(row):
    has_peer = "peer" in row
    return (row["benchmark"], row["variant"], f"{row['ferry']:.4g}",
            f"{row['peer']:.4g}" if has_peer else "", row["unit"],
            f"{row['ratio']:.2f}" if has_peer else "",
            f"{row['spread'][0]:.2f}..{row['spread'][1]:.2f}" if has_peer else "",
            row["target"] or "",
            "" if row["target"] is None else "met" if row["met"] else "MISSED", row.get("peer_name", ""), row["notes"])


def print_table(rows):
    lines = [HEADER, *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main():
    benches = all_benches()
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("build_dir")
    parser.add_argument("--rounds", type=int, default=None, help="default 5, with --quick 3")
    parser.add_argument("--quick", action="store_true", help="shorter runs")
    parser.add_argument("--only", default="", help=f"those that contain this: {', '.join(benches)}")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 5)
    runner = Runner(options.build_dir, rounds, options.quick)

    where = f"server on core {runner.server_core}, load on core {runner.load_core}"
    if len(runner.cores) == 1:
        where = "ONE CORE ONLY: server and load share it, so figures say little"
    print(f"{rounds} rounds, {where}, Linux {platform.release()}", flush=True)
    for name, bench in benches.items():
        if options.only not in name:
            continue
        started = time.monotonic()
        try:
            bench(runner)
            outcome = "done"
        except Skip as reason:
            outcome = f"skipped: {reason}"
        # A missing program and garbled output are failures too.
        except (Failure, OSError, ValueError) as failure:
            outcome = f"FAILED: {failure}"
            runner.failures.append(f"{name}: {failure}")
        print(f"  {name}: {outcome}, {time.monotonic() - started:.0f} s", flush=True)

    print()
    print_table(runner.rows)
    with open(os.path.join(options.build_dir, "bench.json"), "w", encoding="utf-8") as file:
        json.dump({"rounds": rounds, "quick": options.quick, "cores": len(runner.cores),
                   "kernel": platform.release(), "rows": runner.rows,
                   "failures": runner.failures}, file, indent=2)
        file.write("\n")
    for failure in runner.failures:
        print(f"FAILED {failure}")
    return 1 if runner.failures else 0


if __name__ == "__main__":
    sys.exit(main())
