#!/usr/bin/env python3
"""Run a binding's conformance program and print its table; ../CONFORMANCE.md says what it does.

usage: run.py LANGUAGE PROGRAM [ARGUMENT...]

The list of scenarios is read from CONFORMANCE.md, so that it stands in one place.
"""
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PEER = [sys.executable, '-B', str(HERE / 'peer.py')]
SECONDS_MAX = 240
MARKS = {'ok': '[       OK ]', 'FAIL': '[  FAILED  ]', 'skip': '[  SKIPPED ]'}

Outcome = collections.namedtuple('Outcome', 'word note')


def scenarios():
    """The ids in the table of scenarios, in order."""
    text = (HERE.parent / 'CONFORMANCE.md').read_text(encoding='utf-8')
    table = text.split('## The scenarios')[1].split('\n## ')[0]
    return [name for name in re.findall(r'^\| `([\w-]+)` \|', table, flags=re.M)]


def outcomes_of(output, known):
    """What the program printed, by scenario; what cannot be is told as a failure."""
    found, strange = {}, []
    for line in output.splitlines():
        words = line.split(None, 2)
        if len(words) < 2 or words[1] not in MARKS:
            print(line)
        elif words[0] not in known:
            strange.append(f'there is no scenario {words[0]}')
        elif words[0] in found:
            strange.append(f'{words[0]} was told twice')
        elif words[1] == 'skip' and len(words) < 3:
            found[words[0]] = Outcome('FAIL', 'skipped without a reason')
        else:
            found[words[0]] = Outcome(words[1], words[2] if len(words) > 2 else '')
    for name in known:
        found.setdefault(name, Outcome('FAIL', 'missing: the program said nothing of it'))
    return found, strange


def run(command):
    """The program's output and how it ended, with a peer beside it."""
    peer = subprocess.Popen(PEER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        with tempfile.TemporaryDirectory(prefix='ferry-') as scratch:
            environment = dict(os.environ, FERRY_PEER=peer.stdout.readline().strip(),
                               FERRY_SCRATCH=scratch)
            program = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, text=True, errors='replace')
            try:
                output, _ = program.communicate(timeout=SECONDS_MAX)
                end = f'exit code {program.returncode}' if program.returncode else ''
            except subprocess.TimeoutExpired:
                program.kill()
                output, _ = program.communicate()
                end = f'it hung for {SECONDS_MAX} s'
    finally:
        peer.stdin.close()
        peer.wait()
    return output, end


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    language, command = sys.argv[1], sys.argv[2:]
    known = scenarios()
    output, end = run(command)
    found, strange = outcomes_of(output, known)
    for name in known:
        word, note = found[name]
        print(f'{MARKS[word]} {language}: {name}')
        if note:
            print(f'             {note}')
    counts = collections.Counter(outcome.word for outcome in found.values())
    for problem in strange + ([end] if end else []):
        print(f'{language}: {problem}')
    print(f'{language}: {len(known)} scenarios, {counts["ok"]} ok, {counts["FAIL"]} failed, '
          f'{counts["skip"]} skipped')
    sys.exit(1 if counts['FAIL'] or strange or end else 0)


if __name__ == '__main__':
    main()
