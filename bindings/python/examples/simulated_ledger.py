"""A ledger on a server that crashes, and a client that moves money in it: tested under many seeds.

    python simulated_ledger.py [--careless] [--from SEED] [--seeds N] [--trace]

The server keeps its ledger in a file, stores it after each transfer and only then answers. With
--careless it answers first: then a crash may lose a transfer that the client was told is made. Each
transfer has a number, so that one which is asked for twice is made once. The first seed that fails
is played again with its trace; the same seed always plays the same.
"""
import argparse
import asyncio
import json
import random
import sys

import ferry
import ferry.sim

ADDRESS, PORT, FILE = '10.0.0.2', 7000, '//bank/ledger'
TRANSFERS, MONEY = 8, 100


class Bank:
    """One life of the server, from a restart to a crash."""

    def __init__(self, engine, careless):
        self.engine = engine
        self.careless = careless
        self.ledger = {'accounts': {'one': MONEY, 'two': MONEY}, 'made': []}
        self.storing = asyncio.Lock()

    async def live(self):
        try:
            self.ledger = json.loads(await self.engine.load(FILE))
        except FileNotFoundError:
            pass  # It is the first life.
        listener = await self.engine.listen(ADDRESS, PORT)
        async with listener, asyncio.TaskGroup() as group:
            async for connection in listener:
                group.create_task(self.serve(connection))

    async def serve(self, connection):
        async with connection:
            try:
                while line := await connection.receive_until(b'\n'):
                    await self.transfer(connection, json.loads(line))
            except (OSError, EOFError):
                pass  # The client comes again.

    async def transfer(self, connection, wanted):
        answer = b'%d\n' % wanted['number']
        if self.careless:
            await connection.send(answer)
        async with self.storing:
            if wanted['number'] not in self.ledger['made']:
                self.ledger['made'].append(wanted['number'])
                self.ledger['accounts'][wanted['from']] -= wanted['amount']
                self.ledger['accounts'][wanted['to']] += wanted['amount']
                await self.engine.store(FILE, json.dumps(self.ledger).encode())
        if not self.careless:
            await connection.send(answer)


async def ask(engine, wanted):
    async with asyncio.timeout(2), await engine.connect(ADDRESS, PORT) as connection:
        await connection.send(json.dumps(wanted).encode() + b'\n')
        return int(await connection.receive_until(b'\n'))


async def transfer(engine, wanted):
    """Ask until there is an answer, later each time; for five minutes."""
    delay = 0.05
    try:
        async with asyncio.timeout(300):
            while True:
                try:
                    return await ask(engine, wanted) == wanted['number']
                except (OSError, EOFError):
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, 20)
    except TimeoutError:
        return False


async def lives(world, engine, careless, chance):
    """The bank lives, crashes and comes again."""
    while True:
        life = asyncio.create_task(Bank(engine, careless).live())
        try:
            await asyncio.sleep(chance.expovariate(1 / 3))
            world.crash('bank')
            await asyncio.wait([life])
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        await asyncio.sleep(chance.expovariate(1 / 2))
        world.restart('bank')


async def game(world, careless, chance):
    """What is wrong in the end; None if nothing is."""
    async with ferry.Engine() as engine:
        bank = asyncio.create_task(lives(world, engine, careless, chance))
        told = []
        for number in range(1, TRANSFERS + 1):
            names = chance.sample(['one', 'two'], 2)
            wanted = {'number': number, 'from': names[0], 'to': names[1],
                      'amount': chance.randrange(1, 20)}
            if await transfer(engine, wanted):
                told.append(number)
        await asyncio.sleep(1)  # What the bank is still about.
        bank.cancel()
        await asyncio.wait([bank])
        ledger = json.loads(world.get_file(FILE))
    if sum(ledger['accounts'].values()) != 2 * MONEY:
        return f"money has come or gone: {ledger['accounts']}"
    if len(set(ledger['made'])) != len(ledger['made']):
        return f"a transfer was made twice: {ledger['made']}"
    lost = [number for number in told if number not in ledger['made']]
    return f'the client was told that {lost} are made, and they are lost' if lost else None


def play(seed, careless, trace=False):
    with ferry.sim.World(seed) as world:
        if trace:
            world.keep_trace()
        world.add_host('bank', ADDRESS)
        world.set_link(latency=0.005, jitter=0.05, loss=0.02)
        world.set_disk('bank', latency=0.02, jitter=0.05)
        world.fault('send', 'receive', chance=0.02, effects=['reset'])
        wrong = world.run(game(world, careless, random.Random(seed)))
        if trace:
            print('\n'.join(world.read_trace()))
        return wrong


def main():
    parser = argparse.ArgumentParser(description='A ledger in a simulated world.')
    parser.add_argument('--careless', action='store_true', help='answer before it is stored')
    parser.add_argument('--from', type=int, default=1, dest='first', metavar='SEED')
    parser.add_argument('--seeds', type=int, default=1000)
    parser.add_argument('--trace', action='store_true')
    wish = parser.parse_args()
    for seed in range(wish.first, wish.first + wish.seeds):
        wrong = play(seed, wish.careless, wish.trace)
        if wrong is None:
            continue
        if not wish.trace:
            play(seed, wish.careless, trace=True)
        print(f'seed {seed}: {wrong}')
        print(f"again: simulated_ledger.py{' --careless' if wish.careless else ''} --from {seed} "
              '--seeds 1 --trace')
        sys.exit(1)
    print(f'{wish.seeds} seeds, nothing is lost')


if __name__ == '__main__':
    main()
