"""Echo server: Python on Ferry. usage: echo_ferry.py own|driven [uvloop] [awaited]

own: the engine has a thread; driven: the loop's thread runs it. awaited: each send is waited for.
"""
import asyncio
import contextlib
import sys

import ferry


async def serve(stream):
    with contextlib.suppress(ConnectionError):
        async with stream:
            async for chunk in stream:
                stream.write(chunk)
                await stream.drain()


async def serve_awaited(stream):
    with contextlib.suppress(ConnectionError):
        async with stream:
            while chunk := await stream.receive():
                await stream.send(chunk)


async def main(shards, serve):
    async with ferry.Engine(shards=shards) as engine:
        async with await engine.listen(backlog=4096) as listener:
            _, port = await listener.local_address()
            print('port', port, flush=True)
            tasks = set()
            async for stream in listener:
                task = asyncio.ensure_future(serve(stream))
                tasks.add(task)
                task.add_done_callback(tasks.discard)


if 'uvloop' in sys.argv:
    import uvloop
    uvloop.install()
asyncio.run(main(0 if sys.argv[1] == 'driven' else 1,
                 serve_awaited if 'awaited' in sys.argv else serve))
