"""What the tests share. FERRY_TEST: words 'own' (the engine has a thread) and 'uvloop'."""
import asyncio
import contextlib
import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

import ferry

WORDS = os.environ.get('FERRY_TEST', '').split()
SHARDS = 1 if 'own' in WORDS else 0
PYTHON = [sys.executable, '-B', '-W', 'default']


class Case(unittest.IsolatedAsyncioTestCase):
    """One engine for each test, which must leave nothing behind."""

    async def asyncSetUp(self):
        asyncio.get_running_loop().slow_callback_duration = 60  # not what is tested here
        if 'uvloop' in WORDS:
            import uvloop
            self.assertIsInstance(asyncio.get_running_loop(), uvloop.Loop)
        self.engine = ferry.Engine(shards=SHARDS)
        self.engine.open()
        self.folder = tempfile.mkdtemp(prefix='ferry-')

    async def asyncTearDown(self):
        shutil.rmtree(self.folder)
        if not self.engine.closed:
            gc.collect()
            await self.nothing_left()
            await self.engine.close()

    async def nothing_left(self):
        for _ in range(400):
            info = self.engine.info()
            if (info.ops_in_flight, info.handles_open, info.buffers_lent,
                    self.engine._pending) == (0, 0, 0, {}):
                return
            await asyncio.sleep(0.005)
        self.fail(f'left over: {info}, {self.engine}')

    def path(self, name):
        return os.path.join(self.folder, name)

    @contextlib.asynccontextmanager
    async def pair(self):
        """A Stream, and a blocking socket as its peer."""
        with socket.create_server(('127.0.0.1', 0)) as server:
            stream = await self.engine.connect(*server.getsockname())
            peer, _ = server.accept()
        with peer:
            async with stream:
                yield stream, peer


def run(program, *arguments, **options):
    """A Python program in a process of its own."""
    return subprocess.run([*PYTHON, '-c', program, str(SHARDS), *arguments], capture_output=True,
                          text=True, timeout=60, check=False, **options)


def main():
    if 'uvloop' in WORDS:
        try:
            import uvloop
        except ImportError:
            print('skipped: there is no uvloop for this Python')
            sys.exit(77)
        uvloop.install()
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    suite = unittest.defaultTestLoader.discover(os.path.dirname(os.path.abspath(__file__)))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(not result.wasSuccessful())


if __name__ == '__main__':
    main()
