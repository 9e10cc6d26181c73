#!/usr/bin/env python3
"""Compare the ABI with the baseline in capi/abi/, or renew the baseline.

usage: baseline.py (types | constants | renew) --baseline FOLDER --headers FOLDER
                   [--library FILE --cpu FAMILY] [--cc COMPILER...]

The baseline is two files. ferry-x86_64.abi holds what the library exports: functions, their
parameters, the records these reach; abidw writes it and abidiff compares it. ferry-constants.txt
holds the numbers of all FERRY_ constants, which no debug information mentions.

Any difference fails, also an addition: what is not in the baseline is not watched.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CPU = 'x86_64'
HOW_TO_RENEW = 'If this is meant: ./dev abi renews the baseline, and CHANGELOG.md gets its line.'

# The library's version and API level change with every release; they are no ABI.
NOT_WATCHED = re.compile(r'FERRY_(VERSION_\w+|API_LEVEL|API|\w+_H|H)$')

# Nothing of the engine's inside and nothing of the machine that built it.
ABIDW = ['--exported-interfaces-only', '--drop-private-types', '--drop-undefined-syms',
         '--no-corpus-path', '--no-comp-dir-path', '--no-show-locs', '--no-elf-needed',
         '--no-parameter-names', '--type-id-style', 'hash']


def skip(reason):
    print(f'skipped: {reason}')
    sys.exit(77)


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)


def dump(library, headers, out):
    """The exported ABI of the library as XML."""
    done = run(['abidw', *ABIDW, '--headers-dir', headers, '--out-file', out, library])
    if done.returncode != 0:
        sys.exit(f'abidw failed:\n{done.stdout}')
    text = pathlib.Path(out).read_text(encoding='utf-8')
    # A source is named as the compiler was told it: from the build folder, wherever that lies.
    text = re.sub(r"path='[^']*?(capi/src/[^']*)'", r"path='\1'", text)
    pathlib.Path(out).write_text(text, encoding='utf-8')
    return "class-decl name='ferry_" in text


def check_types(arguments):
    if arguments.cpu != CPU:
        skip(f'the baseline is of {CPU}, this is {arguments.cpu}')
    for tool in ('abidw', 'abidiff'):
        if shutil.which(tool) is None:
            skip(f'there is no {tool} (package abigail-tools)')
    with tempfile.TemporaryDirectory() as work:
        now = f'{work}/now.abi'
        if not dump(arguments.shared, arguments.headers, now):
            skip('the library was built without debug information')
        # What abidiff calls harmless breaks sources: a field renamed, a typedef changed.
        done = run(['abidiff', '--harmless', '--no-show-locs',
                    arguments.baseline / f'ferry-{CPU}.abi', now])
    if done.returncode == 0:
        return
    kind = {4: 'The ABI has grown or changed.', 12: 'The ABI has changed INCOMPATIBLY.'}
    print(done.stdout, flush=True)
    sys.exit(f'{kind.get(done.returncode, "abidiff failed.")} {HOW_TO_RENEW}')


def constant_names(headers):
    """Enumerators and macros without parameters."""
    names = []
    for header in sorted(headers.rglob('*.h')):
        text = re.sub(r'/\*.*?\*/', '', header.read_text(encoding='utf-8'), flags=re.S)
        for body in re.findall(r'\benum\b[^;{]*\{([^}]*)\}', text):
            names += re.findall(r'(?:^|,)\s*(FERRY_\w+)', body)
        names += re.findall(r'^#define (FERRY_\w+)(?!\()(?=\s)', text, flags=re.M)
    return [name for name in dict.fromkeys(names) if not NOT_WATCHED.match(name)]


def constants(arguments):
    """What the compiler makes of them."""
    names = constant_names(arguments.headers)
    if not names:
        sys.exit('no constants were found in the headers')
    lines = [f'    printf("{name} %lld\\n", (long long)({name}));' for name in names]
    program = '\n'.join(['#include <ferry.h>', '#include <stdio.h>', 'int main(void) {', *lines,
                         '    return 0;', '}', ''])
    with tempfile.TemporaryDirectory() as work:
        source = pathlib.Path(work) / 'constants.c'
        source.write_text(program, encoding='utf-8')
        done = run([*arguments.cc, '-std=c11', f'-I{arguments.headers}', source, '-o',
                    f'{work}/constants'])
        if done.returncode != 0:
            sys.exit(f'the constants do not compile:\n{done.stdout}')
        return run([f'{work}/constants']).stdout


def check_constants(arguments):
    before = (arguments.baseline / 'ferry-constants.txt').read_text(encoding='utf-8')
    old = dict(line.split() for line in before.splitlines())
    new = dict(line.split() for line in constants(arguments).splitlines())
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            print(f'removed: {name} = {old[name]}')
        elif name not in old:
            print(f'added: {name} = {new[name]}')
        elif old[name] != new[name]:
            print(f'CHANGED: {name} = {new[name]}, it was {old[name]}')
    if old != new:
        sys.exit(HOW_TO_RENEW)


def renew(arguments):
    (arguments.baseline / 'ferry-constants.txt').write_text(constants(arguments),
                                                            encoding='utf-8')
    if arguments.cpu != CPU:
        sys.exit(f'the types can be renewed on {CPU} only; the constants are')
    if shutil.which('abidw') is None:
        sys.exit('there is no abidw (package abigail-tools); the constants are renewed')
    with tempfile.TemporaryDirectory() as work:
        now = f'{work}/now.abi'
        if not dump(arguments.shared, arguments.headers, now):
            sys.exit('the library was built without debug information')
        shutil.copyfile(now, arguments.baseline / f'ferry-{CPU}.abi')
    print(f'renewed: {arguments.baseline}')


def main():
    verbs = {'types': check_types, 'constants': check_constants, 'renew': renew}
    parser = argparse.ArgumentParser()
    parser.add_argument('verb', choices=verbs)
    parser.add_argument('--baseline', type=pathlib.Path, required=True)
    parser.add_argument('--headers', type=pathlib.Path, required=True)
    parser.add_argument('--library', dest='shared')
    parser.add_argument('--cpu')
    parser.add_argument('--cc', nargs='+')
    arguments = parser.parse_args()
    verbs[arguments.verb](arguments)


main()
