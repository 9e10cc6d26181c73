#!/usr/bin/env python3
"""Two builds of Ferry side by side: did a change cost anything?

usage: compare.py BEFORE AFTER [rounds]

BEFORE and AFTER are build folders, both made with --buildtype=release -Dbench=true. Each round
runs every program of the one and of the other in turn, the first of them by turns, so that what
else the machine does meets both alike. Prints for each row the medians, and the median of the
rounds' ratios with its quartiles. Nops are also counted in instructions (with perf, if it may), of
which the machine's noise changes nothing.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

NOPS = 4_000_000
DRIVERS = ('uv', 'uring')
TIMEOUT = 120


def bench(build, name):
    return str(pathlib.Path(build) / 'tests/bench' / name)


def run(command, driver):
    environment = dict(os.environ, FERRY_BENCH_DRIVER=driver)
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=True,
                          capture_output=True, text=True, timeout=TIMEOUT)


def nop(build, driver):
    return json.loads(run([bench(build, 'nop_ferry'), str(NOPS)], driver).stdout)['ns']


def nop_instructions(build, driver):
    """Each nop's; None where perf may not count."""
    def counted(nops):
        command = ['perf', 'stat', '-x', ',', '-e', 'instructions:u',
                   bench(build, 'nop_ferry'), str(nops)]
        return float(run(command, driver).stderr.strip().split(',')[0])
    try:
        # What a run costs beside its nops is taken away; each is done once warm and twice measured.
        return (counted(2_000_000) - counted(1_000_000)) / 2_100_000
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def echo(build, driver, program):
    """Microseconds of the server's CPU for a message of 64 bytes, over 64 connections."""
    environment = dict(os.environ, FERRY_BENCH_DRIVER=driver)
    with subprocess.Popen([bench(build, program)], env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().split()[1]
            load = run([bench(build, 'load'), '-p', port, '-c', '64', '-s', '64', '-t', '1',
                        '-w', '0.2', '-P', str(server.pid)], driver)
        finally:
            server.terminate()
    told = json.loads(load.stdout)
    return told['cpu_ns'] / told['messages'] / 1000


def rows():
    yield 'nop, ns', lambda build: nop(build, 'uv')
    if shutil.which('perf') and nop_instructions(sys.argv[2], 'uv') is not None:
        yield 'nop, instructions', lambda build: nop_instructions(build, 'uv')
    for driver in DRIVERS:
        for form in ('inline', 'queue'):
            yield (f'echo 64 B, {driver}, {form}, us of CPU',
                   lambda build, d=driver, f=form: echo(build, d, f'echo_ferry_{f}'))


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    builds = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) == 4 else 11
    print(f'| | before | after | after / before, median of {rounds} rounds | quartiles |')
    print('|---|---|---|---|---|')
    for name, measure in rows():
        figures = ([], [])
        for number in range(rounds):
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                figures[which].append(measure(builds[which]))
        ratios = [after / before for before, after in zip(*figures)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f'| {name} | {statistics.median(figures[0]):.2f} | '
              f'{statistics.median(figures[1]):.2f} | {middle:.3f} | {low:.3f} to {high:.3f} |',
              flush=True)


main()
