"""Open files."""
from . import op
from ._resource import Resource


class File(Resource):
    """An open file, always binary. Without an offset reads and writes go on at its own position."""

    async def read(self, size, offset=None):
        """Up to size bytes: fewer only at the file's end, b'' at or beyond it."""
        return await self._engine.run(op.read(self._handle, size, offset))

    async def read_into(self, buffer, offset=None):
        return await self._engine.run(op.read_into(self._handle, buffer, offset))

    async def read_vectored(self, buffers, offset=None):
        return await self._engine.run(op.read_vectored(self._handle, buffers, offset))

    async def write(self, data, offset=None):
        """All of it; brings the number of bytes."""
        if not len(data):
            return 0
        return await self._engine.run(op.write(self._handle, data, offset))

    async def write_vectored(self, pieces, offset=None):
        return await self._engine.run(op.write_vectored(self._handle, pieces, offset))

    async def stat(self):
        return await self._engine.run(op.stat(self._handle))

    async def sync(self, *, data_only=False):
        await self._engine.run(op.sync(self._handle, data_only=data_only))

    async def truncate(self, size):
        await self._engine.run(op.truncate(self._handle, size))


op.KINDS['File'] = File
