"""Three classics: python -m ferry.demo

Two sleeps of a second that take one second; a producer and a consumer; three pages at once.
"""
import asyncio
import time

import ferry

PAGE = b'HTTP/1.0 200 OK\r\n\r\n<p>This is page %d.</p>\n'


async def two_sleeps(engine):
    print('two sleeps of a second at once:')

    async def one(name):
        await engine.sleep(1)
        print(f'  {name} has slept')
    began = time.monotonic()
    await asyncio.gather(one('the first'), one('the second'))
    print(f'  together they took {time.monotonic() - began:.1f} s')


async def producer_and_consumer(engine):
    print('a producer and a consumer, with room for two between them:')
    async with await engine.channel(2) as channel:
        async def produce():
            for number in range(5):
                await channel.send(f'message {number}')
            await channel.finish()
        producing = asyncio.create_task(produce())
        async for message in channel:
            print(f'  got {message}')
        await producing


async def serve_page(engine, connection):
    """A web server's whole work for one request: slow, but for all at the same time."""
    async with connection:
        number = int((await connection.receive_until(b'\r\n')).split()[1].strip(b'/'))
        await connection.receive_until(b'\r\n\r\n')
        await engine.sleep(0.3)
        await connection.send(PAGE % number)


async def serve_pages(engine, listener):
    async with asyncio.TaskGroup() as tasks:
        async for connection in listener:
            tasks.create_task(serve_page(engine, connection))


async def fetch(engine, address, number):
    async with await engine.connect(*address) as stream:
        await stream.send(b'GET /%d HTTP/1.0\r\nHost: localhost\r\n\r\n' % number)
        page = b''.join([chunk async for chunk in stream])
        print('  ' + page.partition(b'\r\n\r\n')[2].decode().strip())


async def three_pages(engine):
    print('three pages at once, from a server that takes 0.3 s for each:')
    async with await engine.listen() as listener:
        serving = asyncio.create_task(serve_pages(engine, listener))
        address = await listener.local_address()
        began = time.monotonic()
        await asyncio.gather(*(fetch(engine, address, number) for number in (1, 2, 3)))
        print(f'  together they took {time.monotonic() - began:.1f} s')
    await serving


async def main():
    async with ferry.Engine() as engine:
        await two_sleeps(engine)
        await producer_and_consumer(engine)
        await three_pages(engine)


if __name__ == '__main__':
    asyncio.run(main())
