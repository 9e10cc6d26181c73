"""The raw layer means the same bytes as the library."""
import ctypes
import struct
import unittest

from ferry import _abi as abi
from ferry._errors import TABLE, FerryError, error_of
from ferry._library import library


class Raw(unittest.TestCase):
    def places(self, kind, prefix='', base=0):
        """(name as the library knows it, offset, size) of every field."""
        anonymous = getattr(kind, '_anonymous_', ())
        for name, field in kind._fields_:
            descriptor = getattr(kind, name)
            at = base + descriptor.offset
            if issubclass(field, ctypes.Union):
                inside = prefix if name in anonymous else f'{prefix}{name}.'
                yield from self.places(field, inside, at)
            else:
                yield prefix + name, at, descriptor.size

    def test_records_lie_as_in_the_library(self):
        fields = 0
        for name, kind in abi.RECORDS.items():
            record = name.encode()
            self.assertEqual(ctypes.sizeof(kind), library.layout_size(record, None), name)
            for field, offset, size in self.places(kind):
                with self.subTest(record=name, field=field):
                    self.assertEqual(offset, library.layout_offset(record, field.encode()))
                    self.assertEqual(size, library.layout_size(record, field.encode()))
                    fields += 1
        self.assertGreater(fields, 150)

    def test_the_layout_functions_know_what_is_not_there(self):
        self.assertLess(library.layout_size(b'ferry_nothing', None), 0)

    def test_formats_have_the_records_sizes(self):
        for name, value in vars(abi).items():
            if isinstance(value, struct.Struct):
                wanted = 'ferry_request' if name.startswith('REQUEST_') else f'ferry_{name.lower()}'
                self.assertEqual(value.size, library.layout_size(wanted.encode(), None), name)

    def test_a_packed_request_is_what_a_prepare_function_makes(self):
        request = abi.Request()
        library.prepare_timer(ctypes.byref(request), 5, 7)
        self.assertEqual(bytes(request), abi.REQUEST_TIMER.pack(abi.OP_TIMER, abi.MULTISHOT, 0, 0,
                                                                5, 7))
        library.prepare_stream_receive_until(ctypes.byref(request), 1, None, 9, b'\r\n', 2)
        self.assertEqual(bytes(request), abi.REQUEST_RECEIVE_UNTIL.pack(
            abi.OP_STREAM_RECEIVE_UNTIL, 0, 0, 1, 0, 9, 2, b'\r\n'))
        library.prepare_tcp_accept(ctypes.byref(request), 1)
        self.assertEqual(bytes(request), abi.REQUEST_BARE.pack(abi.OP_TCP_ACCEPT, abi.MULTISHOT, 0,
                                                               1))

    def test_every_status_has_its_exception(self):
        statuses = {value for name, value in vars(abi).items() if name.startswith('E_')}
        self.assertEqual(statuses, set(TABLE))
        for status in statuses - {abi.E_CANCELED}:
            error = error_of(status, about='something')
            self.assertIsInstance(error, FerryError)
            self.assertEqual(error.status, status)
            self.assertIn('something', str(error))

    def test_a_status_from_the_future_is_an_error_all_the_same(self):
        self.assertIsInstance(error_of(-12345), OSError)

    def test_the_systems_number_is_told(self):
        error = error_of(abi.E_OS, 6, '/a/socket')
        self.assertEqual((error.errno, error.filename, error.os_error), (6, '/a/socket', 6))


if __name__ == '__main__':
    unittest.main()
