"""What is shown to users works: the README's program, the demo, the example."""
import os
import re
import signal
import socket
import subprocess
import sys
import unittest

from support import PYTHON

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


class Shown(unittest.TestCase):
    def test_the_readmes_program(self):
        with open(os.path.join(ROOT, 'README.md'), encoding='utf-8') as file:
            programs = re.findall(r'```python\n(.*?)```', file.read(), flags=re.S)
        self.assertEqual(len(programs), 1)
        child = subprocess.run([*PYTHON, '-X', 'dev', '-c', programs[0]], capture_output=True,
                               text=True, timeout=30, check=False)
        self.assertEqual((child.stdout, child.stderr, child.returncode),
                         ('You said: hello\nthat took too long\n', '', 0))

    def test_the_demo(self):
        child = subprocess.run([*PYTHON, '-X', 'dev', '-m', 'ferry.demo'], capture_output=True,
                               text=True, timeout=60, check=False)
        self.assertEqual((child.stderr, child.returncode), ('', 0))
        for line in ('the first has slept', 'got message 4', '<p>This is page 3.</p>'):
            self.assertIn(line, child.stdout)

    def test_the_echo_server(self):
        path = os.path.join(ROOT, 'examples', 'echo_server.py')
        with subprocess.Popen([*PYTHON, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as server:
            try:
                host, _, port = server.stdout.readline().split()[-1].rpartition(':')
                for _ in range(3):
                    with socket.create_connection((host, int(port)), timeout=10) as client:
                        client.sendall(b'hello')
                        client.shutdown(socket.SHUT_WR)
                        self.assertEqual(client.recv(100, socket.MSG_WAITALL), b'hello')
                server.send_signal(signal.SIGINT)
                self.assertEqual(server.communicate(timeout=10), ('', ''))
                self.assertEqual(server.returncode, 0)
            finally:
                server.kill()

    def test_the_package_asks_for_nothing_else(self):
        with open(os.path.join(ROOT, 'pyproject.toml'), encoding='utf-8') as file:
            self.assertIn('\ndependencies = []\n', file.read())
        program = ('import sys; before = set(sys.modules); import ferry; print({name.split(".")[0] '
                   'for name in set(sys.modules) - before} - sys.stdlib_module_names)')
        child = subprocess.run([sys.executable, '-B', '-c', program], capture_output=True,
                               text=True, timeout=30, check=True)
        self.assertEqual(child.stdout.strip(), "{'ferry'}")


if __name__ == '__main__':
    unittest.main()
