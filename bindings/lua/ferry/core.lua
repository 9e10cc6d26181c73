-- The core of the engine: requests are written into one array, submitted together once a turn, and
-- their completions read from the mapped ring. A request's tag is the number of a slot: `waiters`
-- tells who waits there, `anchors` keeps what the engine may still read or write.
local ffi = require("ffi")
local library = require("ferry.native")
local owned = require("ferry.owned")
local Task = require("ferry.task")

local C, K, now = library.C, library.constants, library.now
local band, bor, tobit = bit.band, bit.bor, bit.tobit
local continue = Task.continue
local BATCH = 256

-- The ring as 32-bit words: a load of one makes no object, which one of 64 bits would.
local RECORD_BYTES = ffi.sizeof("ferry_completion")
local RECORD_WORDS = RECORD_BYTES / 4
local TAG = ffi.offsetof("ferry_completion", "tag") / 4
local RESULT = ffi.offsetof("ferry_completion", "result") / 4
local STATUS = ffi.offsetof("ferry_completion", "status") / 4
local FLAGS = ffi.offsetof("ferry_completion", "flags") / 4
local OPCODE = ffi.offsetof("ferry_completion", "opcode") / 4
local POST, MORE, BUFFER, HELD = K.OP_POST, K.MORE, K.BUFFER, K.QUEUE_HELD
local REQUEST_BYTES = ffi.sizeof("ferry_request")

local Engine = {}
Engine.__index = Engine

-- ---- making one ---------------------------------------------------------------------------------

local function check(status, what)
    if status ~= K.OK then
        error(what .. ": " .. ffi.string(C.ferry_status_message(status)), 4)
    end
end

local function make_queue(self, capacity)
    local options = ffi.new("ferry_queue_options")
    options.struct_size = ffi.sizeof(options)
    options.mode, options.capacity = K.QUEUE_MAPPED, capacity
    local out = ffi.new("ferry_queue *[1]")
    local status = C.ferry_queue_create(self.pointer, options, out)
    if status ~= K.OK then
        owned.destroy(self.number, K.FOREVER)
        check(status, "ferry_queue_create")
    end
    self.queue = out[0]

    local ring = ffi.new("ferry_queue_mapping")
    ring.struct_size = ffi.sizeof(ring)
    check(C.ferry_queue_map(self.queue, ring), "ferry_queue_map")
    self.head, self.mask = 0, ring.capacity - 1
    self.head_at, self.tail_at, self.held_at = ring.head, ring.tail, ring.flags
    self.words = ffi.cast("const int32_t *", ring.records)
    self.unsigned = ffi.cast("const uint32_t *", ring.records)
    self.shorts = ffi.cast("const uint16_t *", ring.records)
    self.places = {} -- One pointer to each record, made once.
    for i = 0, self.mask do
        self.places[i] = ring.records + i
    end
end

local function make_slots(self, ops_max)
    local slots = ops_max + 2 * BATCH -- Those that wait to be submitted or refused have one, too.
    self.waiters, self.anchors, self.in_use = {}, {}, 0
    self.ops = ffi.new("uint64_t[?]", slots)
    self.free, self.next_free = 0, ffi.new("int32_t[?]", slots)
    for i = 0, slots - 1 do
        self.next_free[i] = i + 1
    end
    self.next_free[slots - 1] = -1
    self.requests = ffi.new("ferry_request[?]", BATCH)
    self.count = 0
    self.request_at = {}
    for i = 0, BATCH - 1 do
        self.request_at[i] = self.requests + i
    end
    self.request_slots = ffi.new("int32_t[?]", BATCH)
    self.new_ops = ffi.new("uint64_t[?]", BATCH)
    self.accepted = ffi.new("size_t[1]")
end

-- options: ops_max, handles_max, workers_max, name_workers_max, buffer_bytes_max as in
-- ferry_engine_options; capacity of the queue's ring; shards = 0 (run by this program) or more;
-- driver = "auto", "uv" or "uring"; ring_without = what must not go through io_uring, by names as
-- info() gives them: { "accept", "send" }.
function Engine.new(options)
    options = options or {}
    if jit.arch ~= "x64" and jit.arch ~= "x86" then
        error("the ring needs loads and stores in order, which LuaJIT has on x86 only")
    end
    local raw = ffi.new("ferry_engine_options")
    raw.struct_size = ffi.sizeof(raw)
    for _, name in ipairs({ "shards", "ops_max", "handles_max", "workers_max", "name_workers_max",
                            "buffer_bytes_max" }) do
        raw[name] = options[name] or 0
    end
    raw.driver = assert(K["DRIVER_" .. (options.driver or "auto"):upper()], "no such driver")
    for _, name in ipairs(options.ring_without or {}) do
        local part = assert(K["RING_" .. name:upper()], "no such part of a ring")
        raw.ring_without = bor(raw.ring_without, part)
    end
    local out = ffi.new("ferry_engine *[1]")
    check(C.ferry_engine_create(raw, out), "ferry_engine_create")

    local self = setmetatable({
        tasks = 0, problems = {}, ready_tasks = {}, ready_count = 0,
        refused = {}, driven = raw.shards == 0,
    }, Engine)
    self.pointer = ffi.cast("ferry_engine *", out[0])
    make_slots(self, options.ops_max or 16384)
    local number = owned.adopt(self.pointer, self.anchors)
    self.number = number
    self.owner = ffi.gc(out[0], function() owned.destroy(number, 1e9) end)
    make_queue(self, options.capacity or 0)
    if not self.driven then
        self.poll = ffi.new("struct ferry_lua_poll", { events = 1 })
        local fd = ffi.new("int32_t[1]")
        check(C.ferry_queue_fd(self.queue, fd), "ferry_queue_fd")
        self.poll.fd = fd[0]
    end
    return self
end

-- ---- what completions bring ---------------------------------------------------------------------

function Engine:own(handle)
    return owned.Handle(handle, self.number)
end

-- What a completion lends, as a buffer; empty where there is none.
function Engine:lent(record)
    local buffer = owned.Buffer()
    buffer.engine = self.number
    if band(record.flags, BUFFER) ~= 0 then
        buffer.data_u64, buffer.size, buffer.id = record.data_u64, record.result, record.buffer
    end
    return buffer
end

function Engine:release(record)
    if record ~= nil and band(record.flags, BUFFER) ~= 0 then
        C.ferry_buffer_release(self.pointer, record.buffer)
    end
end

-- ---- requests -----------------------------------------------------------------------------------

-- The next request's place, all zero. It counts once it is committed.
function Engine:request()
    if self.count == BATCH then
        self:flush()
    end
    local request = self.request_at[self.count]
    ffi.fill(request, REQUEST_BYTES)
    return request
end

-- Take the request in: `waiter` is told of its completions, `anchor` is kept until the final one.
function Engine:commit(request, waiter, anchor)
    local slot = self.free
    if slot < 0 then
        return nil
    end
    self.free = self.next_free[slot]
    self.waiters[slot] = waiter
    self.anchors[slot] = anchor
    self.ops[slot] = 0
    request.tag = slot
    self.request_slots[self.count] = slot
    self.in_use = self.in_use + 1
    self.count = self.count + 1
    return slot
end

local function note_ops(self, first, count)
    local ops, new_ops, slots = self.ops, self.new_ops, self.request_slots
    for i = 0, count - 1 do
        ops[slots[first + i]] = new_ops[i]
    end
end

-- Submit what has gathered. Those refused are told in the next turn, never within this call.
function Engine:flush()
    local count, first = self.count, 0
    self.count = 0
    while first < count do
        local status = C.ferry_queue_submit(self.queue, self.requests + first, count - first,
            self.new_ops, self.accepted)
        local accepted = tonumber(self.accepted[0])
        note_ops(self, first, accepted)
        first = first + accepted
        if status ~= K.OK then
            if first < count then
                local refused = self.refused
                refused[#refused + 1] = { self.request_slots[first], status }
            end
            first = first + 1
        end
    end
end

-- Ask for the end of what waits in a slot.
function Engine:cancel(slot)
    self:flush()
    if self.ops[slot] ~= 0 then
        return C.ferry_queue_cancel(self.queue, self.ops[slot])
    end
    return K.E_TOO_LATE
end

local function free_slot(self, slot)
    self.waiters[slot], self.anchors[slot] = false, false
    self.next_free[slot] = self.free
    self.free = slot
    self.in_use = self.in_use - 1
end

-- ---- completions --------------------------------------------------------------------------------

local function deliver(self, waiter, status, result, record, more)
    if not waiter then
        self:release(record)
    elseif waiter.thread then
        continue(waiter, status, result, record)
    else
        waiter:push(status, result, record, more)
    end
end

-- Read the ring, until it is empty or the time is over; true if all was read. Whoever is told may
-- use the record until it waits or returns: its place is given back at the end.
function Engine:reap(until_time)
    local head, mask = self.head, self.mask
    local tail = tobit(self.tail_at[0])
    local words, unsigned, shorts = self.words, self.unsigned, self.shorts
    local waiters, anchors, places = self.waiters, self.anchors, self.places
    local next_free = self.next_free
    while head ~= tail do
        local place = band(head, mask)
        local word = place * RECORD_WORDS
        head = tobit(head + 1)
        if shorts[2 * (word + OPCODE)] == POST then
            self.messages:push(K.OK, 0, places[place], true)
        else
            local slot = unsigned[word + TAG]
            local more = band(words[word + FLAGS], MORE) ~= 0
            local waiter = waiters[slot]
            if not more then
                waiters[slot], anchors[slot] = false, false
                next_free[slot] = self.free
                self.free = slot
                self.in_use = self.in_use - 1
            end
            deliver(self, waiter, words[word + STATUS],
                unsigned[word + RESULT] + words[word + RESULT + 1] * 4294967296, places[place],
                more)
        end
        if until_time and now() >= until_time then
            break
        end
    end
    self.head, self.head_at[0] = head, head
    if band(self.held_at[0], HELD) ~= 0 then
        C.ferry_queue_arm(self.queue)
    end
    return tobit(self.tail_at[0]) == head
end

function Engine:tell_refused()
    local refused = self.refused
    self.refused = {}
    for _, entry in ipairs(refused) do
        local slot, status = entry[1], entry[2]
        local waiter = self.waiters[slot]
        free_slot(self, slot)
        deliver(self, waiter, status, 0, nil, false)
    end
end

return Engine
