"""An echo server: python echo_server.py [port]"""
import asyncio
import sys

import ferry


async def serve(connection):
    async with connection:
        try:
            async for chunk in connection:
                connection.write(chunk)
                await connection.drain()
        except ConnectionError as error:
            print(f'lost a connection: {error}', file=sys.stderr)


async def main(port):
    async with ferry.Engine() as engine, await engine.listen(port=port) as listener:
        print('listening on {}:{}'.format(*await listener.local_address()), flush=True)
        async with asyncio.TaskGroup() as tasks:
            async for connection in listener:
                tasks.create_task(serve(connection))


if __name__ == '__main__':
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    except KeyboardInterrupt:
        pass
