#!/usr/bin/env python3
"""Run host_test.js in Node; exit code 77 and the reason when Node or its packages cannot be had.

The packages that package.json names are installed into FOLDER, by npm, when they are not there.

usage: run.py FOLDER LIBRARY
"""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
OLDEST_NODE = 18


def skip(reason):
    print(f'skipped: {reason}')
    sys.exit(77)


def find_node():
    node = shutil.which('node')
    if node is None:
        skip('there is no node')
    version = subprocess.check_output([node, '--version'], text=True)
    if int(version.lstrip('v').split('.')[0] or 0) < OLDEST_NODE:
        skip(f'node is {version.strip()}, older than {OLDEST_NODE}')
    return node


def install(folder):
    """Into the build directory alone; the source tree stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / 'installed').exists():
        return
    npm = shutil.which('npm')
    if npm is None:
        skip('there is no npm')
    shutil.copy(HERE / 'package.json', folder)
    # Scripts are not needed: the package brings what it needs compiled.
    command = [npm, 'install', '--prefix', folder, '--cache', folder / 'cache', '--ignore-scripts',
               '--no-package-lock', '--no-audit', '--no-fund', '--fetch-retries=1',
               '--fetch-timeout=30000']
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    except subprocess.TimeoutExpired:
        skip('npm does not answer')
    if done.returncode != 0:
        print(done.stderr)
        skip('npm cannot install koffi')
    (folder / 'installed').touch()


def main():
    folder = pathlib.Path(sys.argv[1])
    node = find_node()
    install(folder)
    environment = {**os.environ, 'NODE_PATH': str(folder / 'node_modules')}
    return subprocess.run([node, HERE / 'host_test.js', sys.argv[2]], env=environment,
                          check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
