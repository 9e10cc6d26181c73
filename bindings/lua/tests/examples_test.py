#!/usr/bin/env python3
"""The examples run, the one in README.md is the one that runs, and the echo server echoes.

usage: examples_test.py LUAJIT FOLDER_OF_THE_BINDING
"""
import pathlib
import re
import socket
import subprocess
import sys

EXPECTED = """\
you said: hello 1
you said: hello 2
you said: hello 3
No such file or directory.\ttrue
A server and its\x20
2\ttrue
"""


def readme(luajit, folder):
    program = folder / 'examples' / 'readme.lua'
    shown = re.findall(r'```lua\n(.*?)```', (folder / 'README.md').read_text(encoding='utf-8'),
                       flags=re.S)
    assert program.read_text(encoding='utf-8') in shown, 'README.md shows another program'
    done = subprocess.run([luajit, program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, EXPECTED), done


def echo(luajit, folder):
    server = subprocess.Popen([luajit, folder / 'examples' / 'echo_server.lua'], text=True,
                              stdout=subprocess.PIPE)
    try:
        port = int(server.stdout.readline().split()[1])
        with socket.create_connection(('127.0.0.1', port), timeout=10) as stream:
            for text in (b'one', b'two', bytes(range(256)) * 1000):
                stream.sendall(text)
                back = b''
                while len(back) < len(text):
                    back += stream.recv(65536)
                assert back == text
    finally:
        server.terminate()
        server.wait()


def main():
    luajit, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    readme(luajit, folder)
    echo(luajit, folder)


if __name__ == '__main__':
    main()
