#!/usr/bin/env python3
"""The kit itself: the peer behaves as CONFORMANCE.md says, and the runner notices what is wrong."""
import hashlib
import pathlib
import socket
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))

import run  # noqa: E402


class Peer(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.peer = subprocess.Popen(run.PEER, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    text=True)
        host, _, port = cls.peer.stdout.readline().strip().rpartition(':')
        cls.address = (host, int(port))

    @classmethod
    def tearDownClass(cls):
        cls.peer.stdin.close()
        cls.peer.stdout.close()
        cls.peer.wait()

    def talk(self, command, data=b''):
        """All that the peer answers."""
        with socket.create_connection(self.address) as connection:
            connection.sendall(command + b'\n' + data)
            connection.shutdown(socket.SHUT_WR)
            return b''.join(iter(lambda: connection.recv(65536), b''))

    def test_echo(self):
        self.assertEqual(self.talk(b'echo', b'hello'), b'hello')

    def test_bytes_and_drip_count_up(self):
        self.assertEqual(self.talk(b'drip 5 1'), bytes(range(5)))
        self.assertEqual(self.talk(b'bytes 70000'), bytes(i % 256 for i in range(70000)))

    def test_lines(self):
        self.assertEqual(self.talk(b'lines 1000').splitlines(),
                         [b'line %d' % i for i in range(1000)])

    def test_count(self):
        data = b'some bytes'
        said = f'{len(data)} {hashlib.sha256(data).hexdigest()}\n'.encode()
        self.assertEqual(self.talk(b'count', data), said)
        self.assertEqual(self.talk(b'slow 3', data), said)

    def test_silence(self):
        self.assertEqual(self.talk(b'silent', b'hello'), b'')
        self.assertEqual(self.talk(b'silent-then 10', b'hello'), b'late\nhello')

    def test_reset(self):
        with socket.create_connection(self.address) as connection:
            connection.sendall(b'reset 10\n')
            self.assertEqual(connection.recv(10, socket.MSG_WAITALL), bytes(range(10)))
            connection.sendall(b'x')
            with self.assertRaises(ConnectionResetError):
                connection.recv(1)

    def test_nonsense_is_told(self):
        self.assertEqual(self.talk(b'dance 1'), b'? dance 1\n')
        self.assertEqual(self.talk(b'drip 1'), b'? drip 1\n')


class Runner(unittest.TestCase):

    def run_with(self, text, code=0):
        program = f'import sys; print({text!r}); sys.exit({code})'
        return subprocess.run([sys.executable, HERE / 'run.py', 'test', sys.executable, '-c', program],
                              stdout=subprocess.PIPE, text=True, check=False)

    def all_ok(self):
        return '\n'.join(f'{name} ok' for name in run.scenarios())

    def test_there_are_scenarios(self):
        self.assertGreater(len(run.scenarios()), 40)

    def test_all_green(self):
        done = self.run_with(self.all_ok())
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn('[       OK ] test: echo\n', done.stdout)

    def test_a_failed_one(self):
        done = self.run_with(self.all_ok().replace('forked ok', 'forked FAIL came back'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('[  FAILED  ] test: forked\n             came back\n', done.stdout)

    def test_a_missing_one(self):
        done = self.run_with(self.all_ok().replace('echo ok\n', '', 1))
        self.assertEqual(done.returncode, 1)
        self.assertIn('[  FAILED  ] test: echo\n', done.stdout)

    def test_an_unknown_one_a_second_one_and_a_bad_end(self):
        self.assertEqual(self.run_with(self.all_ok() + '\nsomething ok').returncode, 1)
        self.assertEqual(self.run_with(self.all_ok() + '\necho ok').returncode, 1)
        self.assertEqual(self.run_with(self.all_ok(), 3).returncode, 1)

    def test_a_skipped_one_needs_its_reason(self):
        skipped = self.all_ok().replace('forked ok', 'forked skip')
        self.assertEqual(self.run_with(skipped).returncode, 1)
        done = self.run_with(skipped.replace('skip', 'skip it cannot fork'))
        self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == '__main__':
    unittest.main()
