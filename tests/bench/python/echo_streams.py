"""Echo server: asyncio's streams, on its own loop or uvloop. usage: echo_streams.py [uvloop]"""
import asyncio
import sys


async def serve(reader, writer):
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.close()
    except ConnectionError:
        pass


async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0, backlog=4096)
    print('port', server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if 'uvloop' in sys.argv:
    import uvloop
    uvloop.install()
asyncio.run(main())
