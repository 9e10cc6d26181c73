#!/usr/bin/env python3
"""Generate capi/abi/ferry.json from the public headers, and every raw layer from it.

Each language has a module here with a function emit(abi) -> {path: text}.

usage: generate.py [--check] [--cc COMPILER...]

With --check nothing is written: prints what differs, and fails if anything does.
"""
import argparse
import difflib
import importlib
import pathlib
import sys

sys.dont_write_bytecode = True

import headers  # noqa: E402 (leaves no __pycache__ behind)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

NO_EMITTERS = ('generate', 'headers', 'common')


def emitters():
    names = sorted(path.stem for path in HERE.glob('*.py') if path.stem not in NO_EMITTERS)
    return [importlib.import_module(name) for name in names]


def everything(compiler):
    """All generated files, by path."""
    abi = headers.describe(compiler)
    files = {'capi/abi/ferry.json': headers.text_of(abi) + '\n'}
    for emitter in emitters():
        files.update(emitter.emit(abi))
    return files


def difference(path, wanted):
    file = ROOT / path
    there = file.read_text(encoding='utf-8') if file.exists() else ''
    return list(difflib.unified_diff(there.splitlines(True), wanted.splitlines(True), path,
                                     f'{path}, generated'))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--cc', nargs='+', default=['cc'])
    arguments = parser.parse_args()
    try:
        files = everything(arguments.cc)
    except headers.Mistake as mistake:
        sys.exit(f'generate.py: {mistake}')
    stale = {path: lines for path, text in files.items() if (lines := difference(path, text))}
    for path, lines in stale.items():
        if arguments.check:
            sys.stdout.writelines(lines[:40])
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(files[path], encoding='utf-8')
            print(path)
    if arguments.check and stale:
        sys.exit('not as the headers say: python3 bindings/generate/generate.py renews '
                 + ', '.join(stale))


if __name__ == '__main__':
    main()
