"""Streams as a user of asyncio expects them."""
import asyncio
import gc
import socket

from support import Case

import ferry
from ferry import abi, op


class Receiving(Case):
    async def test_a_timeout_loses_no_byte_of_an_exact_receive(self):
        async with self.pair() as (stream, peer):
            peer.sendall(b'half')
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(stream.receive_exactly(8), 0.02)
            peer.sendall(b'done')
            self.assertEqual(await stream.receive_exactly(8), b'halfdone')

    async def test_a_timeout_loses_no_byte_of_a_line(self):
        async with self.pair() as (stream, peer):
            peer.sendall(b'half a ')
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await stream.receive_until()
            peer.sendall(b'line\nand')
            self.assertEqual(await stream.receive_until(), b'half a line\n')
            self.assertEqual(await stream.receive(), b'and')

    async def test_two_receives_at_once_take_turns(self):
        async with self.pair() as (stream, peer):
            first = asyncio.ensure_future(stream.receive_exactly(3))
            second = asyncio.ensure_future(stream.receive_exactly(3))
            await asyncio.sleep(0.01)
            peer.sendall(b'onetwo')
            self.assertEqual(await asyncio.gather(first, second), [b'one', b'two'])

    async def test_a_receive_that_waits_for_its_turn_can_be_cancelled(self):
        async with self.pair() as (stream, peer):
            first = asyncio.ensure_future(stream.receive_exactly(3))
            second = asyncio.ensure_future(stream.receive_exactly(3))
            await asyncio.sleep(0.01)
            second.cancel()
            third = asyncio.ensure_future(stream.receive_exactly(3))
            peer.sendall(b'onetwo')
            self.assertEqual(await asyncio.gather(first, third), [b'one', b'two'])
            self.assertTrue(second.cancelled())

    async def test_a_size_keeps_the_rest(self):
        async with self.pair() as (stream, peer):
            peer.sendall(b'abcdef')
            await asyncio.sleep(0.01)
            self.assertEqual([await stream.receive(2) for _ in range(3)], [b'ab', b'cd', b'ef'])

    async def test_iterating_and_receiving_may_be_mixed(self):
        async with self.pair() as (stream, peer):
            peer.sendall(b'first chunk')
            async for chunk in stream:
                self.assertEqual(chunk, b'first chunk')
                break
            peer.sendall(b'a line\nfour')
            self.assertEqual(await stream.receive_until(), b'a line\n')
            self.assertEqual(await stream.receive_exactly(4), b'four')
            peer.sendall(b'12345678')
            buffer = bytearray(3)
            self.assertEqual(await stream.receive_into(buffer), 3)
            self.assertEqual(buffer, b'123')
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual([chunk async for chunk in stream], [b'45678'])
            self.assertEqual(await stream.receive(), b'')
            with self.assertRaises(asyncio.IncompleteReadError):
                await stream.receive_exactly(1)

    async def test_limits_hold_whichever_way_the_bytes_came(self):
        async with self.pair() as (stream, peer):
            for iterated in (False, True):
                if iterated:
                    peer.sendall(b'x')
                    self.assertEqual(await stream.__anext__(), b'x')
                peer.sendall(b'too long for that\n')
                await asyncio.sleep(0.01)
                with self.assertRaises(asyncio.LimitOverrunError):
                    await stream.receive_until(limit=5)
                self.assertEqual(await stream.receive_until(), b'too long for that\n')

    async def test_long_delimited_pieces(self):
        async with self.pair() as (stream, peer):
            text = b'y' * 100000 + b'END'
            sending = asyncio.ensure_future(asyncio.to_thread(peer.sendall, text + b'z'))
            self.assertEqual(await stream.receive_until(b'END', 200000), text)
            self.assertEqual(await stream.receive(), b'z')
            await sending

    async def test_a_flood_pauses_the_peer(self):
        async with self.pair() as (stream, peer):
            data = bytes(64 << 20)
            sending = asyncio.ensure_future(asyncio.to_thread(peer.sendall, data))
            size = len(await stream.__anext__())
            await asyncio.sleep(0.3)
            self.assertFalse(sending.done())
            self.assertLess(sum(map(len, stream._items)), 32 << 20)
            while size < len(data):
                size += len(await stream.__anext__())
            await sending

    async def test_lent_views_outlive_their_loop(self):
        async with self.pair() as (stream, peer):
            peer.sendall(b'lent')
            async for view in stream.lent():
                break
            self.assertEqual(self.engine.info().buffers_lent, 1)
            part = view[1:3]
            del view
            gc.collect()
            self.assertEqual(bytes(part), b'en')
            with self.assertRaises(TypeError):
                part[0] = 1
            del part
            self.assertEqual(self.engine.info().buffers_lent, 0)

    async def test_a_lent_view_outlives_its_engine(self):
        with open(self.path('file'), 'wb') as file:
            file.write(b'still here')
        view = await self.engine.load(self.path('file'), lent=True)
        await self.engine.close()
        del self.engine
        gc.collect()
        self.assertEqual(bytes(view), b'still here')
        del view
        self.engine = ferry.Engine()
        self.engine.open()

    async def test_a_buffer_cannot_go_while_it_is_received_into(self):
        async with self.pair() as (stream, peer):
            buffer = bytearray(8)
            receiving = asyncio.ensure_future(stream.receive_into(buffer))
            await asyncio.sleep(0.01)
            with self.assertRaises(BufferError):
                buffer.clear()
            peer.sendall(b'arrived')
            self.assertEqual(await receiving, 7)
            self.assertEqual(buffer, b'arrived\0')
            buffer.clear()

    async def test_impossible_arguments(self):
        async with self.pair() as (stream, _):
            for call in (lambda: stream.receive(0), lambda: stream.receive_exactly(-1),
                         lambda: stream.receive_until(b''), lambda: stream.receive_until(b'x' * 17),
                         lambda: stream.receive_into(bytearray()),
                         lambda: stream.set_option('volume', 11)):
                with self.assertRaises(ValueError):
                    await call()
            with self.assertRaises(TypeError):
                await stream.receive_into(b'read-only')
            self.assertEqual(await stream.receive_exactly(0), b'')


class Sending(Case):
    async def test_a_cancelled_send_is_sent_whole(self):
        async with self.pair() as (stream, peer):
            data = bytes(range(256)) * 65536  # 16 MiB: more than the system takes at once
            sending = asyncio.ensure_future(stream.send(data))
            await asyncio.sleep(0.02)
            sending.cancel()
            await asyncio.wait([sending])
            del data
            gc.collect()

            def receive_all():
                received = bytearray()
                while len(received) < 256 * 65536:
                    received += peer.recv(1 << 20)
                return bytes(received)
            self.assertEqual(await asyncio.to_thread(receive_all), bytes(range(256)) * 65536)

    async def test_close_sends_what_was_written(self):
        async with self.pair() as (stream, peer):
            stream.write(b'w' * (4 << 20))
            closing = asyncio.ensure_future(stream.close())
            received = 0
            while data := await asyncio.to_thread(peer.recv, 1 << 20):
                received += len(data)
            await closing
            self.assertEqual(received, 4 << 20)

    async def test_discard_does_not_wait(self):
        async with self.pair() as (stream, _):
            stream.write(bytes(64 << 20))
            stream.discard()
            self.assertTrue(stream.closed)

    async def test_an_error_of_a_write_comes_with_the_next_drain(self):
        async with self.pair() as (stream, _):
            await stream.shutdown()
            stream.write(b'too late')
            await asyncio.sleep(0.02)
            with self.assertRaises(BrokenPipeError):
                await stream.drain()
            stream._unsent = 0

    async def test_any_buffer_can_be_sent(self):
        async with self.pair() as (stream, peer):
            stream.write(bytearray(b'one '))
            await stream.send(bytearray(b'two '))
            await stream.send(memoryview(b'three '))
            await stream.send_vectored([b'fo', bytearray(b'ur'), b'', memoryview(b'!')])
            await stream.send(b'')
            stream.write(b'')
            self.assertEqual(await asyncio.to_thread(
                peer.recv, 19, socket.MSG_WAITALL), b'one two three four!')


class Listening(Case):
    async def test_a_cancelled_accept_leaves_the_connection_to_the_next(self):
        async with await self.engine.listen() as listener:
            address = await listener.local_address()
            accepting = asyncio.ensure_future(listener.accept())
            await asyncio.sleep(0.01)
            accepting.cancel()
            with socket.create_connection(address), await self.accepted(listener) as stream:
                self.assertFalse(stream.closed)
                stream.discard()

    async def accepted(self, listener):
        return _Both(await asyncio.wait_for(listener.accept(), 5))

    async def test_closing_ends_the_iteration(self):
        listener = await self.engine.listen()

        async def take_all():
            async for connection in listener:
                connection.discard()
        taking = asyncio.ensure_future(take_all())
        await asyncio.sleep(0.01)
        await listener.close()
        await taking
        with self.assertRaises(ConnectionAbortedError):
            await listener.accept()

    async def test_an_address_in_use(self):
        async with await self.engine.listen() as listener:
            with self.assertRaises(OSError) as caught:
                await self.engine.listen(*await listener.local_address())
            self.assertEqual(caught.exception.status, abi.E_ADDRESS_IN_USE)

    async def test_connecting_from_an_address(self):
        async with await self.engine.listen() as listener:
            host, port = await listener.local_address()
            near = await self.engine.connect(host, port, local=('127.0.0.2', 0))
            async with near, await listener.accept() as far:
                self.assertEqual((await near.local_address())[0], '127.0.0.2')
                self.assertEqual(await far.peer_address(), await near.local_address())
            with self.assertRaises(ValueError):
                await self.engine.connect(host, port, local=('nowhere', 0))
            with self.assertRaises(ValueError):
                await self.engine.connect('localhost', port, local=('127.0.0.2', 0))

    async def test_ipv6(self):
        try:
            listener = await self.engine.listen('::1')
        except OSError as error:
            self.skipTest(f'no IPv6 here: {error}')
        async with listener:
            host, port, _, _ = await listener.local_address()
            async with await self.engine.connect(host, port) as near, \
                    await listener.accept() as far:
                self.assertEqual(await near.local_address(), await far.peer_address())

    async def test_adopt_and_release(self):
        ours, theirs = socket.socketpair()
        with theirs:
            stream = await self.engine.adopt(ours.detach())
            await stream.send(b'adopted')
            self.assertEqual(theirs.recv(100), b'adopted')
            with socket.socket(fileno=await self.engine.release(stream)) as released:
                theirs.sendall(b'released')
                released.setblocking(True)
                self.assertEqual(released.recv(100), b'released')
            self.assertTrue(stream.closed)


class _Both:
    """A Stream in a plain with."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        return self.stream

    def __exit__(self, *_):
        self.stream.discard()


class Compositions(Case):
    async def test_a_conversation_in_one_request(self):
        async with await self.engine.listen() as listener:
            host, port = await listener.local_address()
            answer = op.chain(op.accept(listener), op.receive_exactly(op.child(0), 4),
                              op.send(op.child(0), b'pong'), op.close(op.child(0)))
            ask = op.retry(op.chain(op.connect(host, port), op.send(op.child(0), b'ping'),
                                    op.receive(op.child(0)).within(5), op.close(op.child(0))),
                           3, 0.01)
            answered, asked = await self.engine.run(op.all(answer, ask).within(10))
            self.assertEqual(answered[1], b'ping')
            self.assertEqual(asked[2], b'pong')

    async def test_a_handed_on_handle_is_a_stream(self):
        async with await self.engine.listen() as listener:
            host, port = await listener.local_address()
            stream, sent = await self.engine.chain(op.connect(host, port),
                                                   op.send(op.child(0), b'hi'))
            self.assertEqual(sent, 2)
            async with stream, await listener.accept() as far:
                self.assertEqual(await far.receive(), b'hi')

    async def test_a_cancelled_composition_leaves_nothing(self):
        async with await self.engine.listen() as listener:
            host, port = await listener.local_address()
            task = asyncio.ensure_future(self.engine.all(op.connect(host, port), op.sleep(3600)))
            await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.wait([task])
            (await listener.accept()).discard()

    async def test_too_many_children(self):
        with self.assertRaises(ferry.LimitError):
            await self.engine.all(*(op.nop() for _ in range(65)))

    async def test_no_such_child(self):
        with self.assertRaises(ValueError):
            op.child(64)
        with self.assertRaises(ValueError):
            await self.engine.chain(op.close(op.child(0)))
