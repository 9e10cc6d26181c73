'use strict';
/*
 * Ferry from JavaScript: promises over an engine with a thread of its own.
 *
 * Node has no way to watch a foreign descriptor, and no JavaScript may run on a foreign thread. So
 * one call of ferry_queue_wait waits on a thread of Node's pool while something is in flight, and
 * Node calls back on its own thread when it returns. Memory that the engine may touch is never
 * V8's: what is received is lent and copied, what is sent is copied at submit, what is stored lies
 * outside.
 */
const koffi = require('koffi');

const FOREVER = 0xffffffffffffffffn;
const BATCH = 64;
// Node joins the threads of its pool when it exits, and waits for a worker's calls when that ends:
// no call may wait for ever.
const WAIT_NS = 100_000_000n;
const MULTISHOT = 1, COPY = 2, COPY_MAX = 65536; // in a request's flags
const MORE = 1, BUFFER = 2; // in a completion's

const EngineOptions = koffi.struct({
  struct_size: 'uint32_t', flags: 'uint32_t', shards: 'uint32_t', ops_max: 'uint32_t',
  handles_max: 'uint32_t', workers_max: 'uint32_t', buffer_bytes_max: 'uint64_t',
  allocate: 'void *', free: 'void *', log: 'void *', user_data: 'void *', trace: 'void *',
  trace_user_data: 'void *', name_workers_max: 'uint32_t', driver: 'uint32_t',
  ring_without: 'uint64_t', seed: 'uint64_t', stall_ns: 'uint64_t',
});
const Request = koffi.struct({
  opcode: 'uint16_t', reserved: 'uint16_t', flags: 'uint32_t', tag: 'uint64_t', target: 'uint64_t',
  callback: 'uint64_t', user_data: 'uint64_t', deadline_ns: 'uint64_t',
  words: koffi.array('uint64_t', 10),
});
const Completion = koffi.struct('ferry_completion', {
  tag: 'uint64_t', op: 'uint64_t', result: 'int64_t', status: 'int32_t', os_error: 'int32_t',
  opcode: 'uint16_t', reserved: 'uint16_t', flags: 'uint32_t', handle: 'uint64_t',
  data: 'uint64_t', buffer: 'uint64_t',
});
const at = {
  flags: koffi.offsetof(Request, 'flags'), tag: koffi.offsetof(Request, 'tag'),
  deadline: koffi.offsetof(Request, 'deadline_ns'),
};

const signatures = `
  int32_t ferry_layout_size(const char *record, const char *field)
  int32_t ferry_engine_create(void *options, _Out_ uint64_t *engine)
  int32_t ferry_engine_shutdown(uint64_t engine, uint64_t timeout_ns)
  int32_t ferry_engine_destroy(uint64_t engine)
  int32_t ferry_queue_create(uint64_t engine, void *options, _Out_ uint64_t *queue)
  int32_t ferry_queue_submit(uint64_t queue, void *requests, size_t n, _Out_ uint64_t *op, void *n)
  int32_t ferry_queue_cancel(uint64_t queue, uint64_t op)
  int32_t ferry_queue_reap(uint64_t queue, void *out, uint32_t capacity)
  int32_t ferry_queue_wait(uint64_t queue, void *out, uint32_t capacity, uint64_t timeout_ns)
  int32_t ferry_buffer_release(uint64_t engine, uint64_t buffer)
  int32_t ferry_handle_discard(uint64_t engine, uint64_t handle)
  int32_t ferry_address_parse(const char *text, uint16_t port, void *address)
  const char *ferry_status_name(int32_t status)
  void ferry_prepare_timer(void *request, uint64_t delay_ns, uint64_t interval_ns)
  void ferry_prepare_file_load(void *request, void *path, uint64_t size_max)
  void ferry_prepare_file_store(void *request, void *path, uint64_t data, size_t n, uint32_t m)
  void ferry_prepare_tcp_listen(void *request, void *address, uint32_t backlog)
  void ferry_prepare_tcp_accept(void *request, uint64_t listener)
  void ferry_prepare_tcp_connect(void *request, void *address)
  void ferry_prepare_stream_receive_multishot(void *request, uint64_t stream)
  void ferry_prepare_stream_send(void *request, uint64_t stream, void *data, size_t size)
  void ferry_prepare_handle_close(void *request, uint64_t handle)
`;

/*
 * Node's program exports a libuv of its own, and names of the program come first: without `deep`
 * Ferry would run on Node's libuv, whatever its version, instead of the one it was built with.
 */
function open(path, options = { deep: true }) {
  const library = koffi.load(path, options);
  const ferry = {};
  for (const line of signatures.trim().split('\n')) {
    const name = /ferry_(\w+)\(/.exec(line)[1];
    ferry[name] = library.func(line.trim());
  }
  for (const [name, type] of Object.entries({
    ferry_engine_options: EngineOptions, ferry_request: Request, ferry_completion: Completion,
  })) {
    if (ferry.layout_size(name, null) !== koffi.sizeof(type))
      throw new Error(`${name} is not as this file says`);
  }
  return ferry;
}

// A prepare function only notes where the path is, and submit reads it: a string that koffi
// converts for one call is gone by then.
function lasting(path) {
  return Buffer.from(`${path}\0`);
}

class FerryError extends Error {
  constructor(ferry, status) {
    super(ferry.status_name(status));
    this.code = this.message;
  }
}

class Engine {
  #ferry;
  #engine;
  #queue;
  #completions = koffi.alloc(Completion, BATCH);
  #inFlight = new Map(); // by tag
  #nextTag = 1n;
  #waiting = false;
  #closing = null;
  waits = 0;

  constructor(ferry) {
    this.#ferry = ferry;
    const options = Buffer.alloc(koffi.sizeof(EngineOptions));
    koffi.encode(options, EngineOptions, { struct_size: options.length, shards: 1 });
    const out = [0n];
    this.#check(ferry.engine_create(options, out));
    this.#engine = out[0];
    this.#check(ferry.queue_create(this.#engine, null, out));
    this.#queue = out[0];
  }

  #check(status) {
    if (status < 0)
      throw new FerryError(this.#ferry, status);
    return status;
  }

  // prepare(request) fills the record. Resolves with the final completion; those before it go to
  // onMore.
  submit(prepare, { flags = 0, drop = 0, deadline = 0, onMore = null } = {}) {
    const request = Buffer.alloc(koffi.sizeof(Request));
    const tag = this.#nextTag++;
    const op = [0n];
    prepare(request);
    request.writeUInt32LE((request.readUInt32LE(at.flags) | flags) & ~drop, at.flags);
    request.writeBigUInt64LE(tag, at.tag);
    request.writeBigUInt64LE(BigInt(Math.round(deadline * 1e6)), at.deadline);
    if (this.#closing !== null)
      throw new Error('the engine is closed');
    this.#check(this.#ferry.queue_submit(this.#queue, request, 1, op, null));
    const promise = new Promise((resolve, reject) => {
      this.#inFlight.set(tag, { resolve, reject, onMore });
    });
    promise.cancel = () => this.#ferry.queue_cancel(this.#queue, op[0]);
    this.#wait();
    return promise;
  }

  // [wait] While something is in flight, one thread of Node's pool waits for it.
  #wait() {
    if (this.#waiting || this.#inFlight.size === 0)
      return;
    this.#waiting = true;
    this.waits++;
    this.#ferry.queue_wait.async(this.#queue, this.#completions, BATCH, WAIT_NS, (error, count) => {
      this.#waiting = false;
      if (error !== null || count < 0)
        throw error ?? new FerryError(this.#ferry, count);
      this.#take(count);
      this.#wait();
    });
  }
  // [wait]

  // Without another thread: look now and then. Costs time or processor; the test shows how much.
  poll() {
    this.#take(this.#check(this.#ferry.queue_reap(this.#queue, this.#completions, BATCH)));
  }

  #take(count) {
    for (const done of count > 0 ? koffi.decode(this.#completions, Completion, count) : []) {
      const tag = BigInt(done.tag);
      const { resolve, reject, onMore } = this.#inFlight.get(tag);
      if (done.flags & BUFFER) {
        done.bytes = Buffer.from(koffi.decode(BigInt(done.data), 'uint8_t', Number(done.result)));
        this.#ferry.buffer_release(this.#engine, done.buffer);
      }
      if (done.flags & MORE) {
        onMore(done);
        continue;
      }
      this.#inFlight.delete(tag);
      if (done.status < 0)
        reject(new FerryError(this.#ferry, done.status));
      else
        resolve(done);
    }
  }

  sleep(ms, options) {
    const ns = BigInt(Math.round(ms * 1e6));
    return this.submit((request) => this.#ferry.prepare_timer(request, ns, 0n), options);
  }

  async load(path) {
    const name = lasting(path);
    const done = await this.submit((r) => this.#ferry.prepare_file_load(r, name, 0n));
    return done.bytes ?? Buffer.alloc(0);
  }

  async store(path, bytes) {
    const name = lasting(path);
    const outside = koffi.alloc('uint8_t', Math.max(1, bytes.length));
    koffi.encode(outside, 'uint8_t', bytes, bytes.length);
    try {
      await this.submit((r) => this.#ferry.prepare_file_store(r, name, outside, bytes.length, 0));
    } finally {
      koffi.free(outside);
    }
  }

  #loopback(port) {
    const address = Buffer.alloc(32);
    this.#check(this.#ferry.address_parse('127.0.0.1', port, address));
    return address;
  }

  async listen(onStream) {
    const address = this.#loopback(0);
    const { handle, result } = await this.submit((r) =>
      this.#ferry.prepare_tcp_listen(r, address, 0));
    const ended = this.submit((r) => this.#ferry.prepare_tcp_accept(r, handle),
      { onMore: (done) => onStream(done.handle) });
    return { handle, port: Number(result), ended };
  }

  async connect(port) {
    const address = this.#loopback(port);
    return (await this.submit((r) => this.#ferry.prepare_tcp_connect(r, address))).handle;
  }

  // What has come: null at the end.
  async receive(stream, options) {
    const done = await this.submit((r) =>
      this.#ferry.prepare_stream_receive_multishot(r, stream), { drop: MULTISHOT, ...options });
    return done.bytes ?? null;
  }

  async send(stream, bytes) {
    const pieces = [];
    for (let from = 0; from < bytes.length; from += COPY_MAX) {
      const piece = bytes.subarray(from, from + COPY_MAX);
      pieces.push(this.submit((r) =>
        this.#ferry.prepare_stream_send(r, stream, piece, piece.length), { flags: COPY }));
    }
    await Promise.all(pieces);
  }

  closeHandle(handle) {
    return this.submit((request) => this.#ferry.prepare_handle_close(request, handle));
  }

  // What is in flight fails; resolves when the engine is gone.
  close() {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #shutDown() {
    await new Promise((resolve, reject) => {
      this.#ferry.engine_shutdown.async(this.#engine, FOREVER, (error, status) =>
        error === null && status === 0 ? resolve() : reject(error ?? new Error(String(status))));
    });
    while (this.#waiting || this.#inFlight.size > 0)
      await new Promise((resolve) => setTimeout(resolve, 1));
    this.#check(this.#ferry.engine_destroy(this.#engine));
    koffi.free(this.#completions);
  }
}

module.exports = { open, Engine };
