#!/usr/bin/env python3
"""Run cargo on copies of Rust projects, offline: nothing is written into the source tree.

usage: cargo.py SOURCE FOLDER [--with SOURCE] [--use-tokio FEATURE | --want-tokio FEATURE]
                [--copy-out FROM TO] -- CARGO ARGUMENT...

Cargo runs in the first source's copy. The copies lie in FOLDER/src as the sources do in the
repository, what is built goes to FOLDER/target. Crates come from the folder that the
system's packages install them to. With tokio among them --use-tokio and --want-tokio switch the
feature on; without it the optional dependency is taken out of the copy, and --want-tokio answers
77, "skipped".
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

CRATES = pathlib.Path('/usr/share/cargo/registry')
CONFIG = f"""[source.crates-io]
replace-with = "system"
[source.system]
directory = "{CRATES}"
"""
SKIPPED = 77
ROOT = pathlib.Path(__file__).resolve().parents[2]


def has_tokio():
    return any(CRATES.glob('tokio-1*'))


def wanted_text(path):
    text = path.read_text(encoding='utf-8')
    if path.name == 'Cargo.toml' and not has_tokio():
        text = re.sub(r'^tokio = .*\n', '', text, flags=re.M)
        text = re.sub(r'^\[features\]\n', '[features]\ntokio = []\n', text, flags=re.M)
    return text


def renew(source, copy):
    """Bring the copy up to date; what is unchanged keeps its time, so that cargo builds little."""
    wanted = {}
    for path in source.rglob('*'):
        if path.is_file() and 'target' not in path.parts and path.name != 'Cargo.lock':
            wanted[path.relative_to(source)] = wanted_text(path)
    if CRATES.is_dir():
        wanted[pathlib.Path('.cargo/config.toml')] = CONFIG
    for path in copy.rglob('*'):
        if path.is_file() and path.name != 'Cargo.lock' and path.relative_to(copy) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        place = copy / name
        if not place.exists() or place.read_text(encoding='utf-8') != text:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding='utf-8')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('source', type=pathlib.Path)
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--with', dest='beside', type=pathlib.Path)
    parser.add_argument('--use-tokio', metavar='FEATURE')
    parser.add_argument('--want-tokio', metavar='FEATURE')
    parser.add_argument('--copy-out', nargs=2, type=pathlib.Path)
    parser.add_argument('command', nargs='+')
    arguments = parser.parse_args()
    if arguments.want_tokio and not has_tokio():
        print(f'skipped: there is no tokio in {CRATES}')
        sys.exit(SKIPPED)
    folder = arguments.folder.resolve()
    places = {}
    for source in filter(None, (arguments.source, arguments.beside)):
        places[source] = folder / 'src' / source.resolve().relative_to(ROOT)
        renew(source.resolve(), places[source])
    command = list(arguments.command)
    feature = arguments.want_tokio or arguments.use_tokio
    if feature and has_tokio():
        command[2:2] = ['--features', feature]
    result = subprocess.run(command, cwd=places[arguments.source], check=False,
                            env=dict(os.environ, CARGO_TARGET_DIR=str(folder / 'target')))
    if result.returncode == 0 and arguments.copy_out:
        built, place = arguments.copy_out
        shutil.copy2(folder / 'target' / built, place)
    sys.exit(result.returncode)


if __name__ == '__main__':
    main()
