-- The mapped queue read from LuaJIT: declarations by hand, no callback, no C between Lua and the
-- ring. The script submits messages of its own first, with interval timers among them; then threads
-- send.
--
--     luajit reader.lua <libferry.so> <libsenders.so> edge|level [seed]
--
-- LuaJIT may keep a loaded value across a loop's turns, even one that was volatile; a C call makes
-- it load again. Every turn has one, arm.
local ffi = require("ffi")
if jit.arch ~= "x64" then
    print("skipped: plain loads and stores are ordered enough on x86 only")
    os.exit(77)
end

ffi.cdef [[
typedef struct { uint64_t tag, op; int64_t result; int32_t status, os_error;
    uint16_t opcode, reserved; uint32_t flags; uint64_t handle, data, buffer; } ferry_completion;
typedef struct { uint16_t opcode, reserved; uint32_t flags; uint64_t tag, rest[14]; } ferry_request;
typedef struct { uint32_t struct_size, flags, shards, ops_max, handles_max, workers_max;
    uint64_t buffer_bytes_max; void *allocate, *free, *log, *user_data;
    uint32_t name_workers_max, driver; uint64_t ring_without; } ferry_engine_options;
typedef struct { uint32_t struct_size, flags, mode, capacity, shard, reserved;
    void *wake, *user_data; } ferry_queue_options;
typedef struct { uint32_t struct_size, capacity; const ferry_completion *records;
    uint32_t *head; const uint32_t *tail, *flags; } ferry_queue_mapping;
int32_t ferry_engine_create(const ferry_engine_options *, void **);
int32_t ferry_engine_shutdown(void *engine, uint64_t timeout_ns);
int32_t ferry_engine_destroy(void *engine);
int32_t ferry_queue_create(void *engine, const ferry_queue_options *, void **);
int32_t ferry_queue_destroy(void *queue);
int32_t ferry_queue_map(void *queue, ferry_queue_mapping *);
int32_t ferry_queue_fd(void *queue, int32_t *);
int32_t ferry_queue_arm(void *queue);
int32_t ferry_queue_submit(void *queue, const ferry_request *, size_t, uint64_t *ops, size_t *);
int32_t ferry_queue_cancel(void *queue, uint64_t op);
void ferry_prepare_nop(ferry_request *);
void ferry_prepare_timer(ferry_request *, uint64_t delay_ns, uint64_t interval_ns);
void *senders_start(void *queue, uint32_t which, uint64_t count, uint64_t seed);
int32_t senders_join(void *senders);
typedef struct __attribute__((packed)) { uint32_t events; uint64_t data; } epoll_event;
int epoll_create1(int flags);
int epoll_ctl(int epoll, int what, int fd, epoll_event *);
int epoll_wait(int epoll, epoll_event *, int count, int timeout_ms);
unsigned alarm(unsigned seconds);
]]
local C, ferry, senders = ffi.C, ffi.load(arg[1]), ffi.load(arg[2])
local TIMER, MORE, MAPPED, FOREVER = 16, 1, 1, -1ULL
local EPOLLIN, EPOLLET = 1, 2 ^ 31
local seed = tonumber(arg[4]) or os.time()
print("seed " .. seed)
C.alarm(60) -- A lost wake-up would last for ever.

local function check(status)
    assert(status >= 0, "status " .. status)
    return status
end

local function make(type, create, options, ...)
    local out = ffi.new("void *[1]")
    options.struct_size = ffi.sizeof(type)
    local arguments = { ... }
    arguments[#arguments + 1] = ffi.new(type, options)
    arguments[#arguments + 1] = out
    check(create(unpack(arguments)))
    return out[0]
end

local engine = make("ferry_engine_options", ferry.ferry_engine_create, { shards = 1 })
local queue = make("ferry_queue_options", ferry.ferry_queue_create,
    { mode = MAPPED, capacity = 64 }, engine)
local ring = ffi.new("ferry_queue_mapping", { struct_size = ffi.sizeof("ferry_queue_mapping") })
local number = ffi.new("int32_t[1]")
check(ferry.ferry_queue_map(queue, ring))
check(ferry.ferry_queue_fd(queue, number))
local epoll, event = C.epoll_create1(0), ffi.new("epoll_event")
event.events = EPOLLIN + (arg[3] == "edge" and EPOLLET or 0)
assert(C.epoll_ctl(epoll, 1, number[0], event) == 0)

-- ---- the reader ---------------------------------------------------------------------------------

local taken, expiries, ended, sleeps = 0, 0, 0, 0
local expected = { [0] = 0, [1] = 0 } -- The next number of each sender.
local head = 0

local function read_ring()
    local tail = ring.tail[0]
    while head ~= tail do
        local record = ring.records[head % 2 ^ 32 % ring.capacity]
        if record.opcode == TIMER then
            if record.flags % 2 == MORE then
                expiries = expiries + tonumber(record.result)
            else
                ended = ended + 1
            end
        else
            local tag = tonumber(record.tag)
            local sender = math.floor(tag / 2 ^ 32)
            assert(record.status == 0 and tag % 2 ^ 32 == expected[sender], "out of order")
            expected[sender] = expected[sender] + 1
        end
        taken = taken + 1
        head = (head + 1) % 2 ^ 32
    end
    ring.head[0] = head
end

-- Read until done() says so; between() runs before each sleep.
local function read_until(done, between)
    while true do
        read_ring()
        if done() then return end
        if between then between() end
        if check(ferry.ferry_queue_arm(queue)) == 0 then
            sleeps = sleeps + 1
            C.epoll_wait(epoll, event, 1, -1)
        end
    end
end

-- ---- messages of its own ------------------------------------------------------------------------

local OWN, BATCH = 200000, 32
local requests = ffi.new("ferry_request[?]", BATCH)
local accepted = ffi.new("size_t[1]")
local sent = 0

local function submit_some()
    local count = math.min(math.random(0, BATCH), OWN - sent)
    for i = 0, count - 1 do
        ferry.ferry_prepare_nop(requests + i)
        requests[i].tag = sent + i
    end
    check(ferry.ferry_queue_submit(queue, requests, count, nil, accepted))
    sent = sent + count
end

math.randomseed(seed)
local timers = ffi.new("uint64_t[2]")
for i = 0, 1 do
    ferry.ferry_prepare_timer(requests + i, 50000, 50000 + i)
end
check(ferry.ferry_queue_submit(queue, requests, 2, timers, accepted))
read_until(function() return expected[0] == OWN and expiries >= 2000 end, submit_some)
check(ferry.ferry_queue_cancel(queue, timers[0]))
check(ferry.ferry_queue_cancel(queue, timers[1]))
read_until(function() return ended == 2 end)

-- ---- messages of threads ------------------------------------------------------------------------

-- Each alone, for nobody else makes good then what one's wake-up lost; and both together.
for _, which in ipairs({ 1, 2, 3 }) do
    local count = 250000
    local posts, nops = which % 2 * count, math.floor(which / 2) * count
    expected[0], expected[1] = 0, 0
    local threads = senders.senders_start(queue, which, count, seed)
    assert(threads ~= nil)
    read_until(function() return expected[0] == posts and expected[1] == nops end)
    check(senders.senders_join(threads))
end

check(ferry.ferry_queue_destroy(queue))
check(ferry.ferry_engine_shutdown(engine, FOREVER))
check(ferry.ferry_engine_destroy(engine))
print(("luajit, %s: %d messages, %d expiries, slept %d times"):format(
    arg[3], taken, expiries, sleeps))
assert(taken >= 1000000 and sleeps >= 2000)
