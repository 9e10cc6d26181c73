"""Finds and loads the library: FERRY_LIBRARY, else the system's libferry."""
import ctypes
import ctypes.util
import os

from . import _abi as abi


class Library:
    """Every function of the ABI, without its ferry_ prefix.

    What may block lets other threads run meanwhile. The others end within a microsecond: giving the
    interpreter's lock away and taking it back would cost more than they do.
    """

    def __init__(self, path):
        self.path = path
        blocking, quick = ctypes.CDLL(path), ctypes.PyDLL(path)
        for name, (result, parameters, may_block) in abi.FUNCTIONS.items():
            function = getattr(blocking if may_block else quick, name)
            function.restype = result
            function.argtypes = parameters
            setattr(self, name.removeprefix('ferry_'), function)
        # A host-driven engine is only polled between a loop's callbacks: that is quick, too.
        self.engine_poll = quick.ferry_engine_run
        self.engine_poll.restype, self.engine_poll.argtypes, _ = abi.FUNCTIONS['ferry_engine_run']


def _find():
    path = os.environ.get('FERRY_LIBRARY') or ctypes.util.find_library('ferry')
    if not path:
        raise ImportError('there is no libferry: install it, or set FERRY_LIBRARY to its path')
    return path


def _load():
    library = Library(_find())
    if library.api_level() < abi.API_LEVEL:
        raise ImportError(f'{library.path} has API level {library.api_level()}, '
                          f'this package needs {abi.API_LEVEL}')
    return library


library = _load()

# The process's memory as one array of bytes: memory[address:address + size] copies them out, for a
# quarter of what ctypes.string_at costs. Nothing is read but what the engine says is there.
memory = (ctypes.c_char * (1 << 47)).from_address(0)
