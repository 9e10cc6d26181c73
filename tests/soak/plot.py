#!/usr/bin/env python3
"""Judge what a soak wrote and draw its curves.

usage: plot.py CSV... [--svg FILE]        exits with 1 when something grows or was left over
       plot.py --self-test

What grows is told from what swings by medians: of the samples after the warm-up, the first third
against the last third. A sample that another program on the machine spoiled moves no median.
"""
import csv
import math
import random
import statistics
import sys

# The first part of a run fills caches, pools and the allocator's arenas. Twenty seconds are
# enough for that with this load; of a short run it is the first third.
WARM_UP_SECONDS, WARM_UP_PART = 20, 1 / 3

# Resident memory may move by so much: the C library's arenas keep what threads freed, in pieces
# of 128 KiB and up, and the number of operations in flight swings. A leak of 64 bytes in every
# hundredth round is found within five minutes (13000 rounds a second).
RSS_KIB, RSS_PART = 1024, 0.02

# Descriptors, operations, handles and buffers swing with the load; what is not given back adds up.
COUNTS = {'descriptors': 12, 'ops': 60, 'handles': 12, 'buffers': 60, 'workers': 2}
COUNTS_PART = 0.25
LEFT_AT_END = ['ops', 'handles', 'buffers', 'buffer_bytes']

# What remains open once the engine is gone: libuv keeps a pipe for signals as long as the process
# lives.
DESCRIPTORS_KEPT = 2
# What an engine with all at rest has open beyond a new one: descriptors that are made when first
# needed.
DESCRIPTORS_LATE = 4

# The 99th percentile must get this many times worse and by so much before it is no noise: a
# machine of two cores that others use, too, has seen three times between two minutes.
LATENCY_TIMES, LATENCY_US = 3, 5000
SAMPLES_MIN = 9

PALETTE = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#8c564b', '#e377c2', '#17becf',
           '#7f7f7f', '#bcbd22']


class Run:
    """The samples of one driver."""

    def __init__(self, rows):
        self.phases = {row['phase']: row for row in rows}
        self.load = [row for row in rows if row['phase'] == 'load']
        self.driver = self.load[0]['driver'] if self.load else '?'
        self.kinds = [name[:-4] for name in rows[0] if name.endswith('_p99')] if rows else []
        seconds = self.column('seconds')
        warm_up = min(WARM_UP_SECONDS, (seconds[-1] if seconds else 0) * WARM_UP_PART)
        self.warm = [row for row in self.load if float(row['seconds']) > warm_up]

    def column(self, name, rows=None):
        return [float(row[name]) for row in (self.load if rows is None else rows)]

    def thirds(self, name, only=lambda row: True):
        """Medians of the first and the last third of the warm samples."""
        values = self.column(name, [row for row in self.warm if only(row)])
        part = max(1, len(values) // 3)
        if len(values) < SAMPLES_MIN:
            return None
        return statistics.median(values[:part]), statistics.median(values[-part:])


def read(path):
    with open(path, encoding='utf-8', newline='') as file:
        return Run(list(csv.DictReader(file)))


# ---- judging -------------------------------------------------------------------------------------

def growth(run):
    wrong = []
    first_last = run.thirds('rss_kib')
    if first_last:
        first, last = first_last
        bound = max(RSS_KIB, first * RSS_PART)
        if last - first > bound:
            wrong.append(f'memory grows: {first:.0f} to {last:.0f} KiB, {bound:.0f} are allowed')
    for name, bound in COUNTS.items():
        first_last = run.thirds(name)
        if first_last and first_last[1] - first_last[0] > max(bound, first_last[0] * COUNTS_PART):
            wrong.append(f'{name} grow: {first_last[0]:.0f} to {first_last[1]:.0f}')
    for kind in run.kinds:
        first_last = run.thirds(kind + '_p99', lambda row, kind=kind: float(row[kind + '_n']) > 0)
        if first_last and first_last[1] > first_last[0] * LATENCY_TIMES and \
                first_last[1] - first_last[0] > LATENCY_US:
            wrong.append(f'{kind} gets slower: p99 {first_last[0]:.0f} to {first_last[1]:.0f} us')
    return wrong


def leftovers(run):
    missing = [phase for phase in ('before', 'begin', 'end', 'after') if phase not in run.phases]
    if missing:
        return [f'it did not come to its end: no sample "{missing[0]}"']
    wrong = []
    before, begin, end, after = (run.phases[name] for name in ('before', 'begin', 'end', 'after'))
    wrong += [f'{name} at the end: {end[name]}' for name in LEFT_AT_END if float(end[name]) != 0]
    if float(end['descriptors']) > float(begin['descriptors']) + DESCRIPTORS_LATE:
        wrong.append(f'descriptors at rest: {begin["descriptors"]} before the load, '
                     f'{end["descriptors"]} after it')
    if float(after['descriptors']) > float(before['descriptors']) + DESCRIPTORS_KEPT:
        wrong.append(f'descriptors without the engine: {before["descriptors"]} before it, '
                     f'{after["descriptors"]} after it')
    if float(after['violations']) != 0:
        wrong.append(f'{after["violations"]} violations of the laws')
    return wrong


def judge(run):
    if not run.load:
        return ['there are no samples']
    idle = [kind for kind in run.kinds if sum(run.column(kind + '_n')) == 0]
    return growth(run) + leftovers(run) + [f'nothing of the kind {kind} ran' for kind in idle]


def summary(run):
    rss, rate = run.column('rss_kib', run.warm), run.column('completions_per_s', run.warm)
    print(f'{run.driver}: {float(run.load[-1]["seconds"]):.0f} s, {len(run.load)} samples, '
          f'{run.phases.get("after", run.load[-1])["rounds"]} rounds, '
          f'{statistics.median(rate):.0f} completions/s, '
          f'RSS {min(rss):.0f} to {max(rss):.0f} KiB, '
          f'{max(run.column("descriptors")):.0f} descriptors at most')
    print(f'  {"us":10} {"count":>9} {"p50":>9} {"p99":>9} {"p99.9":>9}   (medians of the samples)')
    for kind in run.kinds:
        rows = [row for row in run.warm if float(row[kind + '_n']) > 0]
        if rows:
            middle = [statistics.median(run.column(f'{kind}_{name}', rows))
                      for name in ('p50', 'p99', 'p999')]
            print(f'  {kind:10} {sum(run.column(kind + "_n")):9.0f} ' +
                  ' '.join(f'{value:9.0f}' for value in middle))


# ---- drawing -------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, GAP = 860, 150, 70, 46


def panel(top, title, curves, logarithmic=False):
    """One chart: curves = [(name, [(x, y)])]."""
    points = [point for _, line in curves for point in line if not logarithmic or point[1] > 0]
    if not points:
        return ''
    x_max = max(x for x, _ in points) or 1
    scale = (lambda y: math.log10(max(y, 1))) if logarithmic else (lambda y: y)
    low = min(scale(y) for _, y in points) if logarithmic else 0
    high = max(scale(y) for _, y in points)
    high = high if high > low else low + 1
    out = [f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{title}</text>',
           f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" '
           'stroke="#ccc"/>']
    for part in (0, 0.5, 1):
        value = low + (high - low) * part
        value = 10 ** value if logarithmic else value
        out.append(f'<text x="{LEFT - 6}" y="{top + HEIGHT * (1 - part) + 4:.0f}" '
                   f'text-anchor="end">{value:.0f}</text>')
    for number, (name, line) in enumerate(curves):
        color = PALETTE[number % len(PALETTE)]
        path = ' '.join(f'{LEFT + x / x_max * WIDTH:.1f},'
                        f'{top + HEIGHT * (1 - (scale(y) - low) / (high - low)):.1f}'
                        for x, y in line if not logarithmic or y > 0)
        out.append(f'<polyline points="{path}" fill="none" stroke="{color}"/>')
        out.append(f'<text x="{LEFT + WIDTH + 8}" y="{top + 12 + 14 * number}" '
                   f'fill="{color}">{name}</text>')
    return '\n'.join(out)


def draw(runs, path):
    parts, top = [], 30

    def add(title, curves, logarithmic=False):
        nonlocal top
        parts.append(panel(top, title, curves, logarithmic))
        top += HEIGHT + GAP

    def line(run, name):
        return list(zip(run.column('seconds'), run.column(name)))

    for name, title in (('rss_kib', 'resident memory, KiB'), ('descriptors', 'descriptors'),
                        ('completions_per_s', 'completions per second')):
        add(title, [(run.driver, line(run, name)) for run in runs])
    for run in runs:
        add(f'{run.driver}: what is under way',
            [(name, line(run, name)) for name in ('ops', 'handles', 'buffers')])
        for rank, word in (('p50', '50'), ('p99', '99'), ('p999', '99.9')):
            add(f'{run.driver}: latency, {word} % of each interval, us',
                [(kind, line(run, f'{kind}_{rank}')) for kind in run.kinds], True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 110}" '
                   f'height="{top}" font-family="sans-serif" font-size="11">\n'
                   '<rect width="100%" height="100%" fill="white"/>\n' + '\n'.join(parts) +
                   '\n</svg>\n')


# ---- the judge's own test ------------------------------------------------------------------------

def made_up(change=lambda second, row: None, seconds=300, left_out=()):
    """A flat run with noise on it, and what a change makes of it."""
    noise = random.Random(1)

    def row(phase, second, **more):
        values = {'phase': phase, 'seconds': second, 'driver': 'made-up', 'rss_kib': 3000,
                  'descriptors': 6, 'ops': 0, 'handles': 0, 'buffers': 0, 'buffer_bytes': 0,
                  'workers': 4, 'rounds': 1, 'violations': 0, 'completions_per_s': 1000,
                  'echo_n': 100, 'echo_p50': 100, 'echo_p99': 2000, 'echo_p999': 9000}
        values.update(more)
        return values
    rows = [row('before', 0), row('begin', 0, descriptors=20)]
    for second in range(1, seconds + 1):
        spoiled = 20 if noise.random() < 0.05 else 1
        rows.append(row('load', second, rss_kib=20000 + noise.randrange(400),
                        descriptors=180 + noise.randrange(20), ops=300 + noise.randrange(100),
                        handles=160 + noise.randrange(20), buffers=noise.randrange(60),
                        echo_p99=(2000 + noise.randrange(4000)) * spoiled))
    rows += [row('end', seconds + 1, descriptors=21), row('after', seconds + 1, descriptors=8)]
    for one in rows:
        change(one['seconds'], one)
    return Run([one for one in rows if one['phase'] not in left_out])


def during(name, per_second):
    def change(second, row):
        if row['phase'] == 'load':
            row[name] += per_second * second
    return change


def at(phase, name, value):
    def change(_, row):
        if row['phase'] == phase:
            row[name] = value
    return change


def slower(second, row):
    if row['phase'] == 'load' and second > 150:
        row['echo_p99'] += 30000


def warm_up(second, row):
    if row['phase'] == 'load':
        row['rss_kib'] -= max(0, 20 - second) * 500


def self_test():
    cases = [  # What is made up, and what must be said of it; '' = nothing.
        (made_up(), ''),
        (made_up(warm_up), ''),
        (made_up(seconds=3), ''),
        (made_up(during('rss_kib', 10)), 'memory grows'),
        (made_up(during('descriptors', 0.5)), 'descriptors grow'),
        (made_up(during('ops', 2)), 'ops grow'),
        (made_up(during('buffers', 1)), 'buffers grow'),
        (made_up(slower), 'echo gets slower'),
        (made_up(at('end', 'handles', 1)), 'handles at the end'),
        (made_up(at('end', 'buffer_bytes', 4096)), 'buffer_bytes at the end'),
        (made_up(at('end', 'descriptors', 40)), 'descriptors at rest'),
        (made_up(at('after', 'descriptors', 9)), 'without the engine'),
        (made_up(at('after', 'violations', 1)), 'violations'),
        (made_up(at('load', 'echo_n', 0)), 'nothing of the kind echo'),
        (made_up(left_out=('end', 'after')), 'did not come to its end'),
        (Run([]), 'no samples'),
    ]
    wrong = 0
    for number, (run, expected) in enumerate(cases):
        said = judge(run)
        if len(said) != (1 if expected else 0) or expected not in ''.join(said):
            print(f'case {number}: wanted "{expected}", got {said}', file=sys.stderr)
            wrong += 1
    print(f'{len(cases) - wrong} of {len(cases)} judged as they must be')
    return 1 if wrong else 0


def main(arguments):
    if arguments == ['--self-test']:
        return self_test()
    svg = None
    if '--svg' in arguments[:-1]:
        place = arguments.index('--svg')
        svg = arguments[place + 1]
        del arguments[place:place + 2]
    if not arguments or arguments[0].startswith('-'):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    runs = [read(path) for path in arguments]
    failed = False
    for path, run in zip(arguments, runs):
        if run.warm:
            summary(run)
        for line in judge(run):
            print(f'  {path}: {line}')
            failed = True
    if svg:
        draw([run for run in runs if run.load], svg)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
