#!/usr/bin/env python3
"""Ferry beside everybody else, in the same run: interleaved rounds, medians, ratios, their spread.

    run.py BUILD_DIR [--quick] [--rounds N] [--only REGEX] [--json [FILE]] [--svg [FILE]]
    run.py BUILD_DIR --list
    run.py BUILD_DIR --page FILE

Servers run on the first core that this process may use, generators on the second. Look at CPU per
message first: the generator is often the limit, so rates are compressed. A ratio is the median of
the rounds' own ratios, so that what slows a whole round down cancels out; its spread is their
smallest and largest. A missed target is no failure, nor is a peer that is not there; a program that
fails is.

Prints tables, and writes bench.json and bench.svg in BUILD_DIR after a full run, bench-part.json
and bench-part.svg after any other. --page measures nothing: it writes the last full run into a page
of the manual, and its picture beside that.
"""
import argparse
import contextlib
import datetime
import importlib.util
import json
import os
import platform
import re
import sys
import time

sys.dont_write_bytecode = True
import report  # noqa: E402 (leaves no __pycache__ behind)
from groups import GROUPS, measure_group  # noqa: E402
from harness import Failure, Runner, Skip  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
# Each has its rows beside its programs.
FOLDERS = (".", "cpp", "rust", "go", "lua", "python")


def all_benches():
    """The functions that measure, by name: the groups first."""
    def bench(group):
        return lambda runner: runner.groups.append(measure_group(runner, group))

    benches = {name: bench(group) for name, group in GROUPS.items()}
    for folder in FOLDERS:
        path = os.path.join(HERE, folder, "rows.py")
        if os.path.exists(path):
            spec = importlib.util.spec_from_file_location(f"rows_{folder}", path)
            rows = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(rows)
            benches.update(rows.BENCHES)
    return benches


def parse(benches):
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("build_dir")
    parser.add_argument("--quick", action="store_true", help="shorter runs")
    parser.add_argument("--rounds", type=int, default=None, help="default 5, with --quick 3")
    parser.add_argument("--only", default="", type=re.compile, metavar="REGEX",
                        help=f"those whose name it is found in: {', '.join(benches)}")
    for option, what in (("--json", "all samples"), ("--svg", "the picture")):
        parser.add_argument(option, metavar="FILE", nargs="?", const="-",
                            help=f"write {what} here, too; without FILE to the standard output, "
                                 "and the tables to standard error")
    parser.add_argument("--list", action="store_true", help="say what there is; measure nothing")
    parser.add_argument("--page", metavar="FILE",
                        help="write the last full run into this page; measure nothing")
    return parser.parse_args()


def run_bench(runner, name, bench):
    started = time.monotonic()
    try:
        bench(runner)
        outcome = "done"
    except Skip as reason:
        outcome = f"skipped: {reason}"
    # A missing program and garbled output are failures too.
    except (Failure, OSError, ValueError) as failure:
        runner.fail(f"{name}: {failure}")
        outcome = "failed"
    print(f"  {name}: {outcome}, {time.monotonic() - started:.0f} s", flush=True)


def results_of(runner):
    return {"date": datetime.date.today().isoformat(), "machine": report.machine(runner),
            "versions": report.versions(), "rounds": runner.rounds, "quick": runner.quick,
            "groups": runner.groups, "rows": runner.rows, "failures": runner.failures}


def write(text, *paths):
    for path in paths:
        if path == "-":
            print(text, file=sys.__stdout__)
        elif path:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text + "\n")


def store(results, name, options):
    """Beside the build, and where it is asked for."""
    base = os.path.join(options.build_dir, name)
    write(json.dumps(results, indent=1), base + ".json", options.json)
    if results["groups"]:
        write(report.draw(results), base + ".svg", options.svg)


def measure(benches, options):
    rounds = options.rounds or (3 if options.quick else 5)
    runner = Runner(options.build_dir, rounds, options.quick)
    where = f"server on core {runner.server_core}, load on core {runner.load_core}"
    if len(runner.cores) == 1:
        where = "ONE CORE ONLY: server and load share it, so figures say little"
    print(f"{rounds} rounds, {where}, Linux {platform.release()}", flush=True)
    with runner.stack, contextlib.suppress(KeyboardInterrupt):
        for name, bench in benches.items():
            run_bench(runner, name, bench)

    report.print_groups(runner.groups)
    if runner.rows:
        print("\n" + "\n".join(report.row_lines(runner.rows)))
    full = not options.quick and benches.keys() >= GROUPS.keys() and \
        len(runner.groups) == len(GROUPS)
    store(results_of(runner), "bench" if full else "bench-part", options)
    for failure in runner.failures:
        print(f"FAILED {failure}")
    return 1 if runner.failures else 0


def main():
    benches = all_benches()
    options = parse(benches)
    if options.page:
        stored = os.path.join(options.build_dir, "bench.json")
        if not os.path.exists(stored):
            sys.exit("there was no full run yet: ./dev bench")
        with open(stored, encoding="utf-8") as file:
            report.write_page(options.page, json.load(file))
        return 0
    if options.only:
        benches = {name: bench for name, bench in benches.items() if options.only.search(name)}
    if options.list:
        for name in benches:
            print(f"{name:<16}{GROUPS[name].title if name in GROUPS else ''}".rstrip())
        return 0
    # What is asked for on the standard output stands there alone.
    if "-" in (options.json, options.svg):
        sys.stdout = sys.stderr
    return measure(benches, options)


if __name__ == "__main__":
    sys.exit(main())
