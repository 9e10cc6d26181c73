'use strict';
/*
 * Ferry in Node: files and sockets of both, timers of both, and two copies of libuv in one process,
 * Node's inside its program and the one that Ferry is linked with.
 *
 * usage: host_test.js LIBRARY [CHILD]
 */
const assert = require('assert/strict');
const { execFile } = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const { performance } = require('perf_hooks');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { open, Engine } = require('./ferry.js');

const LIBRARY = isMainThread ? process.argv[2] : workerData.library;
const ferry = open(LIBRARY);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function withEngine(body) {
  const engine = new Engine(ferry);
  try {
    await body(engine);
  } finally {
    await engine.close();
  }
}

async function withFolder(body) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ferry-node-'));
  try {
    await body(folder);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

// Run work(0) to work(count - 1), some at a time.
async function many(count, atOnce, work) {
  let next = 0;
  const runner = async () => {
    while (next < count)
      await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, runner));
}

// Node's own timer goes on, whatever Ferry does.
async function besideTicks(body) {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 2);
  try {
    await body();
    while (ticks < 3)
      await sleep(1);
  } finally {
    clearInterval(timer);
  }
}

// --- The two sides of a connection, of both kinds ---------------------------------------------

function nodeServer() {
  const server = net.createServer((socket) => socket.setNoDelay().pipe(socket));
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

async function ferryEcho(engine, stream) {
  for (let bytes; (bytes = await engine.receive(stream)) !== null;)
    await engine.send(stream, bytes);
  await engine.closeHandle(stream);
}

function ferryServer(engine, streams = []) {
  return engine.listen((stream) => streams.push(ferryEcho(engine, stream)));
}

async function ferryClient(engine, port, trips) {
  const stream = await engine.connect(port);
  for (let trip = 0; trip < trips; trip++) {
    const sent = crypto.randomBytes(1 + (trip * 4099) % 100000);
    const sending = engine.send(stream, sent);
    const pieces = [];
    for (let size = 0; size < sent.length; size += pieces.at(-1).length)
      pieces.push(await engine.receive(stream));
    await sending;
    assert(Buffer.concat(pieces).equals(sent));
  }
  await engine.closeHandle(stream);
}

async function nodeClient(port, trips) {
  const socket = net.connect(port, '127.0.0.1').setNoDelay();
  const arriving = socket[Symbol.asyncIterator]();
  for (let trip = 0; trip < trips; trip++) {
    const sent = crypto.randomBytes(1 + (trip * 4099) % 100000);
    socket.write(sent);
    const pieces = [];
    for (let size = 0; size < sent.length; size += pieces.at(-1).length)
      pieces.push((await arriving.next()).value);
    assert(Buffer.concat(pieces).equals(sent));
  }
  socket.end();
  assert((await arriving.next()).done);
}

async function closeListener(engine, server) {
  await engine.closeHandle(server.handle);
  await assert.rejects(server.ended, { code: 'FERRY_E_CLOSED' });
}

// --- Other processes and threads -------------------------------------------------------------

// Run inChild[name] in another Node; resolves with how it ended.
function child(name, environment = {}) {
  const options = {
    env: { ...process.env, ...environment }, timeout: 20000, maxBuffer: 2 ** 26,
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [__filename, LIBRARY, name], options, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, killed: error?.killed ?? false, stdout, stderr }));
  });
}

const inChild = {
  exit() {
    const engine = new Engine(ferry);
    for (let i = 0; i < 100; i++)
      engine.sleep(3600e3);
    engine.listen(() => {});
    setTimeout(() => process.exit(7), 20);
  },
  async end() {
    const engine = new Engine(ferry);
    await engine.sleep(1);
    console.log('done'); // Nothing is in flight: Node ends by itself.
  },
  async bindings() {
    const engine = new Engine(ferry);
    await engine.sleep(1);
    await engine.close();
  },
};

const inWorker = {
  async echo() {
    await withEngine(async (engine) => {
      const streams = [];
      const server = await ferryServer(engine, streams);
      parentPort.postMessage(server.port);
      const port = await new Promise((resolve) => parentPort.once('message', resolve));
      await ferryClient(engine, port, 30);
      parentPort.postMessage('done');
      await new Promise((resolve) => parentPort.once('message', resolve));
      await closeListener(engine, server);
      await Promise.all(streams);
    });
  },
  async hang() {
    const engine = new Engine(ferry);
    for (let i = 0; i < 100; i++)
      engine.sleep(3600e3);
    await engine.sleep(1);
    parentPort.postMessage('hangs');
  },
};

function worker(name) {
  const thread = new Worker(__filename, { workerData: { library: LIBRARY, name } });
  thread.heard = () => new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
  });
  thread.ended = new Promise((resolve) => thread.once('exit', resolve));
  return thread;
}

// --- The tests -------------------------------------------------------------------------------

const tests = {
  async files_of_both() {
    await besideTicks(() => withEngine((engine) => withFolder(async (folder) => {
      const contents = Array.from({ length: 40 }, (_, i) => crypto.randomBytes(i * 2500));
      const name = (i) => path.join(folder, String(i));
      await many(40, 8, (i) =>
        i % 2 ? engine.store(name(i), contents[i]) : fs.promises.writeFile(name(i), contents[i]));
      await many(400, 16, async (i) => {
        const file = i % 40;
        const bytes = await (i % 3 ? engine.load(name(file)) : fs.promises.readFile(name(file)));
        assert(bytes.equals(contents[file]));
      });
      await assert.rejects(engine.load(name('missing')), { code: 'FERRY_E_NOT_FOUND' });
    })));
  },

  async a_client_of_ferrys_and_a_server_of_nodes() {
    await besideTicks(() => withEngine(async (engine) => {
      const server = await nodeServer();
      await many(8, 8, () => ferryClient(engine, server.address().port, 30));
      await new Promise((resolve) => server.close(resolve));
    }));
  },

  async a_client_of_nodes_and_a_server_of_ferrys() {
    await besideTicks(() => withEngine(async (engine) => {
      const streams = [];
      const server = await ferryServer(engine, streams);
      await many(8, 8, () => nodeClient(server.port, 30));
      await Promise.all(streams);
      await closeListener(engine, server);
    }));
  },

  async all_at_once() {
    await besideTicks(() => withEngine(async (engine) => {
      const streams = [];
      const [theirs, ours] = await Promise.all([nodeServer(), ferryServer(engine, streams)]);
      await Promise.all([
        many(4, 4, () => ferryClient(engine, theirs.address().port, 20)),
        many(4, 4, () => ferryClient(engine, ours.port, 20)),
        many(4, 4, () => nodeClient(ours.port, 20)),
        many(4, 4, () => nodeClient(theirs.address().port, 20)),
        many(200, 8, async () => assert((await engine.load(__filename)).length > 1000)),
        many(200, 8, () => fs.promises.stat(__filename)),
      ]);
      await Promise.all(streams);
      await closeListener(engine, ours);
      await new Promise((resolve) => theirs.close(resolve));
    }));
  },

  async timers_cancels_deadlines() {
    await withEngine(async (engine) => {
      const start = performance.now();
      await Promise.all([20, 5, 10].map(async (ms) => {
        await engine.sleep(ms);
        assert(performance.now() - start >= ms); // Never early.
      }));
      const hour = engine.sleep(3600e3);
      setTimeout(() => hour.cancel(), 5);
      await assert.rejects(hour, { code: 'FERRY_E_CANCELED' });
      await assert.rejects(engine.sleep(3600e3, { deadline: 5 }), { code: 'FERRY_E_TIMED_OUT' });
    });
  },

  async no_wake_up_is_lost() {
    await withEngine(async (engine) => {
      await many(5000, 4, (i) => engine.sleep((i % 7) / 20));
      console.log(`5000 sleeps, waited ${engine.waits} times`);
    });
  },

  async waiting_leaves_the_loop_idle() {
    const use = async (body) => {
      const before = performance.eventLoopUtilization();
      await body();
      return performance.eventLoopUtilization(before).utilization;
    };
    await withEngine(async (engine) => {
      const waiting = await use(() => engine.sleep(300));
      const timer = engine.sleep(300);
      let pending = true;
      timer.then(() => pending = false);
      const polling = await use(async () => {
        while (pending)
          await new Promise(setImmediate);
      });
      console.log(`the loop's time in use: waiting ${waiting.toFixed(3)}, ` +
        `polling with setImmediate ${polling.toFixed(3)}`);
      assert(waiting < 0.5);
    });
  },

  async what_is_in_flight_fails_when_the_engine_closes() {
    const engine = new Engine(ferry);
    const sleeps = Array.from({ length: 100 }, () => engine.sleep(3600e3));
    const failing = Promise.all(sleeps.map((one) =>
      assert.rejects(one, { code: 'FERRY_E_SHUTDOWN' })));
    await engine.close();
    await failing;
    assert.throws(() => engine.sleep(1));
  },

  async a_process_exits_with_operations_in_flight() {
    const ended = await child('exit');
    assert.deepEqual(ended, { code: 7, killed: false, stdout: '', stderr: '' });
  },

  async a_process_ends_when_nothing_is_in_flight() {
    const ended = await child('end');
    assert.deepEqual(ended, { code: 0, killed: false, stdout: 'done\n', stderr: '' });
  },

  async ferry_keeps_to_the_libuv_it_was_built_with() {
    const { code, stderr } = await child('bindings', { LD_DEBUG: 'bindings' });
    assert.equal(code, 0);
    const binding = /binding file \S*libferry\S* \[0\] to (\S+) \[0\]: normal symbol `uv_/g;
    const targets = new Set([...stderr.matchAll(binding)].map((match) => match[1]));
    console.log(`Ferry's calls of libuv go to ${[...targets].join(', ') || 'itself'}; ` +
      `Node has ${process.versions.uv} inside`);
    assert([...targets].every((target) => target.includes('libuv')));
  },

  async workers_with_engines_of_their_own() {
    const threads = [worker('echo'), worker('echo')];
    const ports = await Promise.all(threads.map((thread) => thread.heard()));
    threads.forEach((thread, i) => thread.postMessage(ports[1 - i]));
    await withEngine((engine) => ferryClient(engine, ports[0], 10));
    assert.deepEqual(await Promise.all(threads.map((thread) => thread.heard())), ['done', 'done']);
    threads.forEach((thread) => thread.postMessage('end'));
    assert.deepEqual(await Promise.all(threads.map((thread) => thread.ended)), [0, 0]);
  },

  async a_worker_ends_with_operations_in_flight() {
    const thread = worker('hang');
    assert.equal(await thread.heard(), 'hangs');
    await thread.terminate();
    await withEngine((engine) => engine.sleep(1));
  },
};

async function main() {
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    const watchdog = setTimeout(() => {
      console.log(`[  FAILED  ] ${name}: it hangs`);
      process.abort();
    }, 60000);
    try {
      await test();
      console.log(`[       OK ] ${name}`);
    } catch (error) {
      console.log(`[  FAILED  ] ${name}: ${error.stack}`);
      failed++;
    }
    clearTimeout(watchdog);
  }
  process.exitCode = failed ? 1 : 0;
}

if (!isMainThread)
  inWorker[workerData.name]();
else if (process.argv[3] !== undefined)
  inChild[process.argv[3]]();
else
  main();
