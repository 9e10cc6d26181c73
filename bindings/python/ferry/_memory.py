"""Addresses of Python's buffers, and the engine's memory as Python sees it."""
import ctypes

from ._library import memory


def _offset_of_bytes():
    """Where in a bytes object its bytes are: what the interpreter says, and tried."""
    offset = bytes.__basicsize__ - 1
    probe = b'is this where the bytes are?'
    if memory[id(probe) + offset:id(probe) + offset + len(probe)] != probe:
        raise ImportError('this is not CPython: bytes are not where they should be')
    return offset


BYTES_AT = _offset_of_bytes()


def borrow(data):
    """(address, size, anchor) of bytes to be read; they stay there as long as the anchor lives."""
    if type(data) is not bytes:
        view = memoryview(data).cast('B')
        if not view.readonly and view.nbytes:
            return pin(view)
        data = view.tobytes()
    return id(data) + BYTES_AT, len(data), data


def pin(buffer):
    """(address, size, anchor) of memory to be written. The anchor exports the buffer: a bytearray
    cannot be resized meanwhile."""
    view = memoryview(buffer).cast('B')
    if view.readonly:
        raise TypeError('a writable buffer is needed')
    if not view.nbytes:
        raise ValueError('the buffer is empty')
    anchor = (ctypes.c_ubyte * view.nbytes).from_buffer(view)
    return ctypes.addressof(anchor), view.nbytes, anchor


class _Loan:
    """A lent buffer; given back when the last view of it is gone."""

    __slots__ = ('core', 'buffer')

    def __init__(self, core, buffer):
        self.core = core
        self.buffer = buffer

    def __del__(self):
        self.core.release(self.buffer)


def lent_view(core, address, size, buffer):
    """A read-only view of lent memory, which goes back to the engine with the last view of it."""
    array = (ctypes.c_ubyte * size).from_address(address)
    array.loan = _Loan(core, buffer)
    return memoryview(array).toreadonly().cast('B')
