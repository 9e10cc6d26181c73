"""Files, channels, mailboxes and timers."""
import asyncio
import os
import threading
import time

from support import SHARDS, Case

import ferry
from ferry import abi


class Files(Case):
    async def test_modes_are_those_of_open(self):
        with self.assertRaises(FileNotFoundError) as caught:
            await self.engine.open_file(self.path('new'))
        self.assertEqual(caught.exception.filename, self.path('new'))
        async with await self.engine.open_file(self.path('new'), 'x') as file:
            await file.write(b'one')
        with self.assertRaises(FileExistsError):
            await self.engine.open_file(self.path('new'), 'xb')
        async with await self.engine.open_file(self.path('new'), 'a+') as file:
            await file.write(b' two')
            self.assertEqual(await file.read(100, 0), b'one two')
        async with await self.engine.open_file(self.path('new'), 'rb') as file:
            self.assertEqual([await file.read(4) for _ in range(3)], [b'one ', b'two', b''])
            with self.assertRaises(PermissionError):
                await file.write(b'not that')
        with self.assertRaises(ValueError):
            await self.engine.open_file(self.path('new'), 'rw')
        with self.assertRaises(IsADirectoryError):
            await self.engine.open_file(self.folder, 'w')

    async def test_pieces(self):
        async with await self.engine.open_file(self.path('pieces'), 'w+') as file:
            self.assertEqual(await file.write_vectored([b'ab', bytearray(b'cd'), b'e']), 5)
            first, second = bytearray(2), bytearray(4)
            self.assertEqual(await file.read_vectored([first, second], 0), 5)
            self.assertEqual((first, second), (b'ab', b'cde\0'))
            self.assertEqual(await file.read_into(first, 3), 2)
            self.assertEqual(first, b'de')

    async def test_load_store_stat(self):
        self.assertEqual(await self.engine.store(self.path('s'), b'', mode=0o600), 0)
        self.assertEqual(await self.engine.load(self.path('s')), b'')
        self.assertEqual(bytes(await self.engine.load(self.path('s'), lent=True)), b'')
        info = await self.engine.stat(self.path('s'))
        self.assertEqual((info.size, info.permissions, info.type), (0, 0o600, abi.FILE_REGULAR))
        os.symlink('s', self.path('link'))
        info = await self.engine.stat(os.fsencode(self.path('link')), follow=False)
        self.assertEqual(info.type, abi.FILE_LINK)

    async def test_a_read_that_nobody_ends_can_be_cancelled(self):
        os.mkfifo(self.path('silent'))
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(self.engine.load(self.path('silent')), 0.05)
        # Lets the engine's worker go; on a busy machine it may not have come yet.
        writer = os.open(self.path('silent'), os.O_RDWR | os.O_NONBLOCK)
        await asyncio.sleep(0.05)
        os.close(writer)
        os.mkfifo(self.path('fifo'))
        # The read itself holds its memory until the system lets go; its task does not wait for it.
        async with await self.engine.open_file(self.path('fifo'), 'r+') as file:
            reading = asyncio.ensure_future(file.read(4096))
            await asyncio.sleep(0.05)
            reading.cancel()
            await asyncio.wait([reading], timeout=5)
            self.assertTrue(reading.cancelled())
            self.assertEqual(self.engine.info().ops_in_flight, 1)
            await file.write(b'at last')

    async def test_many_at_once_end_once(self):
        for i in range(50):
            with open(self.path(str(i)), 'wb') as file:
                file.write(b'%d' % i)
        loads = [asyncio.ensure_future(self.engine.load(self.path(str(i % 50))))
                 for i in range(1000)]
        for i, loading in enumerate(loads):
            if i % 7 == 0:
                loading.cancel()
        results = await asyncio.gather(*loads, return_exceptions=True)
        for i, result in enumerate(results):
            if i % 7 == 0:
                self.assertIsInstance(result, asyncio.CancelledError)
            else:
                self.assertEqual(result, b'%d' % (i % 50))


class Channels(Case):
    async def test_objects_go_through(self):
        async with await self.engine.channel(2) as channel:
            thing = object()
            await channel.send(thing)
            self.assertIs(await channel.receive(), thing)

    async def test_cancelled_ends_lose_nothing(self):
        async with await self.engine.channel(1) as channel:
            receiving = asyncio.ensure_future(channel.receive())
            await asyncio.sleep(0.01)
            await channel.send('early')
            receiving.cancel()
            await asyncio.wait([receiving])
            if receiving.cancelled():
                self.assertEqual(await channel.receive(), 'early')
            await channel.send('kept')
            blocked = asyncio.ensure_future(channel.send('never sent'))
            await asyncio.sleep(0.01)
            blocked.cancel()
            await asyncio.wait([blocked])
            self.assertEqual(await channel.receive(), 'kept')
            await channel.finish()
            self.assertEqual([item async for item in channel], [])
            with self.assertRaises(BrokenPipeError):
                await channel.send('too late')
            self.assertEqual(channel._shared[1], {})

    async def test_between_two_loops(self):
        async with await self.engine.channel(4) as channel:
            def produce():
                async def main():
                    async with ferry.Engine(share=self.engine) as engine:
                        sender = channel.via(engine)
                        for i in range(500):
                            await sender.send([i])
                        await sender.finish()
                asyncio.run(main())
            producing = asyncio.ensure_future(asyncio.to_thread(produce))
            self.assertEqual([item async for item in channel], [[i] for i in range(500)])
            await producing

    async def test_a_full_mailbox_says_so(self):
        mailbox = self.engine.mailbox(4)
        for i in range(4):
            mailbox.post(i)
        with self.assertRaises(BlockingIOError):
            mailbox.post(4)
        self.assertEqual([await mailbox.receive() for _ in range(4)], [(i, 0) for i in range(4)])
        waiting = asyncio.ensure_future(mailbox.receive())
        await asyncio.sleep(0.01)
        waiting.cancel()
        threading.Thread(target=mailbox.post, args=(-1, 1 << 63)).start()
        self.assertEqual(await mailbox.receive(), (-1, 1 << 63))
        mailbox.post(5)
        mailbox.close()
        self.assertEqual(await mailbox.receive(), (5, 0))
        with self.assertRaises(ferry.ShutdownError):
            await mailbox.receive()


class Timers(Case):
    async def test_an_interval_counts_what_was_missed(self):
        async with self.engine.interval(0.001) as ticks:
            await ticks.__anext__()
            time.sleep(0.02)
            missed = 0
            while missed < 15:
                missed += await ticks.__anext__()

    async def test_a_deadline_of_the_engines_own(self):
        with self.assertRaises(TimeoutError) as caught:
            await self.engine.run(ferry.op.sleep(3600).within(0.01))
        self.assertEqual(caught.exception.status, abi.E_TIMED_OUT)

    async def test_negative_and_endless_sleeps(self):
        await self.engine.sleep(-1)
        endless = asyncio.ensure_future(self.engine.sleep(1e12))
        await asyncio.sleep(0.01)
        self.assertFalse(endless.done())
        endless.cancel()

    async def test_more_than_there_are_slots_for(self):
        async with ferry.Engine(shards=SHARDS, ops_max=16) as engine:
            ended = await asyncio.gather(*(engine.sleep(0) for _ in range(2000)))
            self.assertEqual(len(ended), 2000)
            waiting = [asyncio.ensure_future(engine.sleep(3600)) for _ in range(1000)]
            await asyncio.sleep(0.01)
            for task in waiting:  # most were never submitted
                task.cancel()
            await asyncio.wait(waiting)
            await asyncio.wait_for(engine.sleep(0), 10)
