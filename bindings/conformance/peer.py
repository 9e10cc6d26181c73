#!/usr/bin/env python3
"""Somebody else's end of a connection; ../CONFORMANCE.md says how it behaves on which line.

usage: peer.py      prints "127.0.0.1:PORT", then serves until its standard input ends.
"""
import contextlib
import hashlib
import socket
import struct
import sys
import threading
import time

RESET_ON_CLOSE = struct.pack('ii', 1, 0)
PATTERN = bytes(range(256)) * 256


def command_of(connection):
    """The first line, read byte by byte: what follows it is the command's."""
    line = b''
    while not line.endswith(b'\n'):
        byte = connection.recv(1)
        if not byte or len(line) > 100:
            return []
        line += byte
    return line.decode('ascii', 'replace').split()


def drain(connection):
    while connection.recv(65536):
        pass


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def drip(connection, count, milliseconds):
    for i in range(count):
        connection.sendall(bytes([i % 256]))
        time.sleep(milliseconds / 1000)


def send_bytes(connection, count):
    while count > 0:
        count -= connection.send(PATTERN[:count])


def send_lines(connection, count):
    """In pieces of changing size, none of which keeps to a line."""
    text = b''.join(b'line %d\n' % i for i in range(count))
    at, size = 0, 1
    while at < len(text):
        connection.sendall(text[at:at + size])
        at += size
        size = size * 3 % 1009 + 1


def count(connection, pause=None, piece=65536):
    total, digest = 0, hashlib.sha256()
    while data := connection.recv(piece):
        total += len(data)
        digest.update(data)
        if pause:
            time.sleep(pause)
    connection.sendall(f'{total} {digest.hexdigest()}\n'.encode())


def silent_then(connection, milliseconds):
    time.sleep(milliseconds / 1000)
    connection.sendall(b'late\n')
    echo(connection)


def reset(connection, size):
    send_bytes(connection, size)
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def slow(connection, size):
    count(connection, 0.01, size)


COMMANDS = {'echo': (echo, 0), 'drip': (drip, 2), 'bytes': (send_bytes, 1),
            'lines': (send_lines, 1), 'count': (count, 0), 'silent': (drain, 0),
            'silent-then': (silent_then, 1), 'reset': (reset, 1), 'slow': (slow, 1)}


def serve(connection):
    # A client that has gone is no concern of the peer's.
    with connection, contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        words = command_of(connection)
        behaviour, arity = COMMANDS.get(words[0], (None, 0)) if words else (None, 0)
        if behaviour and len(words) == arity + 1 and all(word.isdigit() for word in words[1:]):
            behaviour(connection, *map(int, words[1:]))
        elif words:
            connection.sendall(b'? ' + ' '.join(words).encode() + b'\n')


def accept_all(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def main():
    listener = socket.create_server(('127.0.0.1', 0), backlog=1024)
    print('%s:%d' % listener.getsockname(), flush=True)
    threading.Thread(target=accept_all, args=(listener,), daemon=True).start()
    sys.stdin.read()


if __name__ == '__main__':
    main()
