-- The engine: requests are written into one array, submitted together once a turn, and their
-- completions read from the mapped ring. A request's tag is the number of a slot: `waiters` tells
-- who waits there, `anchors` keeps what the engine may still read or write.
local ffi = require("ffi")
local library = require("ferry.library")
local Task = require("ferry.task")

local C, K, failure, now = library.C, library.constants, library.failure, library.now
local band, tobit = bit.band, bit.tobit
local continue, yield = Task.continue, coroutine.yield
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

-- ---- what outlives an engine's table -------------------------------------------------------------

-- Memory that the engine writes for as long as an operation runs. Not the collector's: when a state
-- is closed, that frees in any order.
ffi.cdef("struct ferry_lua_memory { char *data; };")
local Memory = ffi.typeof("struct ferry_lua_memory")

function Engine.allocate(size)
    local data = ffi.C.ferry_lua_allocate(size)
    if data == nil then
        error("out of memory", 0)
    end
    return Memory(ffi.cast("char *", data))
end

function Engine.free(memory)
    ffi.C.ferry_lua_free(memory.data)
    memory.data = nil
end

-- By number: what is left of each engine that is not destroyed. Anchors are held here and not by
-- the engine's table alone: the collector may take that before the engine has let go of them.
local alive = {}
local last_number = 0

-- Shut down and free. An engine that the system still holds something of is left as it is, with
-- whatever memory it may write.
local function destroy(number, timeout_ns)
    local state = alive[number]
    if not state then
        return K.OK
    end
    C.ferry_engine_shutdown(state.pointer, timeout_ns)
    local status = C.ferry_engine_destroy(state.pointer)
    if status == K.OK then
        alive[number] = nil
        for _, anchor in pairs(state.anchors) do
            if ffi.istype(Memory, anchor) then
                Engine.free(anchor)
            end
        end
    end
    return status
end

-- A handle or a buffer that is given back when its owner is forgotten.
ffi.cdef([[
struct ferry_lua_handle { ferry_handle id; uint32_t engine; };
struct ferry_lua_buffer {
    union { const uint8_t *data; uint64_t data_u64; };
    uint64_t size; ferry_buffer id; uint32_t engine;
};
]])

local Handle = ffi.metatype("struct ferry_lua_handle", {
    __gc = function(self)
        local state = alive[self.engine]
        if state and self.id ~= 0 then
            C.ferry_handle_discard(state.pointer, self.id)
        end
    end,
})

local function release(self)
    local state = alive[self.engine]
    if state and self.id ~= 0 then
        C.ferry_buffer_release(state.pointer, self.id)
    end
    self.id, self.size, self.data_u64 = 0, 0, 0
end

-- Lent bytes: #buffer, tostring(buffer), buffer.data; given back by buffer:release().
local Buffer = ffi.metatype("struct ferry_lua_buffer", {
    __gc = release,
    __len = function(self) return tonumber(self.size) end,
    __tostring = function(self)
        return alive[self.engine] and self.size > 0 and ffi.string(self.data, self.size) or ""
    end,
    __index = { release = release },
})

function Engine:own(handle)
    return Handle(handle, self.number)
end

-- What a completion lends, as a buffer; empty where there is none.
function Engine:lent(record)
    local buffer = Buffer()
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

-- ---- making one ----------------------------------------------------------------------------------

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
        destroy(self.number, K.FOREVER)
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
-- ferry_engine_options; capacity of the queue's ring; shards = 0 (run by this program) or more.
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
    local out = ffi.new("ferry_engine *[1]")
    check(C.ferry_engine_create(raw, out), "ferry_engine_create")

    last_number = last_number + 1
    local number = last_number
    local self = setmetatable({
        number = number, tasks = 0, problems = {}, ready_tasks = {}, ready_count = 0,
        refused = {}, driven = raw.shards == 0,
    }, Engine)
    self.pointer = ffi.cast("ferry_engine *", out[0])
    make_slots(self, options.ops_max or 16384)
    alive[number] = { pointer = ffi.cast("ferry_engine *", out[0]), anchors = self.anchors }
    self.owner = ffi.gc(out[0], function() destroy(number, 1e9) end)
    make_queue(self, options.capacity or 0)
    if not self.driven then
        self.poll = ffi.new("struct ferry_lua_poll", { events = 1 })
        local fd = ffi.new("int32_t[1]")
        check(C.ferry_queue_fd(self.queue, fd), "ferry_queue_fd")
        self.poll.fd = fd[0]
    end
    return self
end

-- ---- requests ------------------------------------------------------------------------------------

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

-- ---- completions ---------------------------------------------------------------------------------

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

local function tell_refused(self)
    local refused = self.refused
    self.refused = {}
    for _, entry in ipairs(refused) do
        local slot, status = entry[1], entry[2]
        local waiter = self.waiters[slot]
        free_slot(self, slot)
        deliver(self, waiter, status, 0, nil, false)
    end
end

-- ---- turns ---------------------------------------------------------------------------------------

-- A task that is to go on in the next turn.
function Engine:ready(task)
    local count = self.ready_count + 1
    self.ready_count = count
    self.ready_tasks[count] = task
end

local function run_ready(self)
    local tasks, count = self.ready_tasks, self.ready_count
    if count == 0 then
        return
    end
    self.ready_tasks, self.ready_count = {}, 0
    for i = 1, count do
        if not tasks[i].done then
            Task.start(tasks[i])
        end
    end
end

local function raise_problems(self)
    local task = table.remove(self.problems, 1)
    if task then
        error("in a task: " .. task.problem, 0)
    end
end

-- Let an engine with threads of its own work, or do its work: wait, then take what has come.
local function let_work(self, wait_ns, budget_ns)
    if self.driven then
        return C.ferry_engine_run(self.pointer, wait_ns, budget_ns, nil)
    end
    local waiting = C.ferry_queue_arm(self.queue)
    if waiting == 0 and wait_ns ~= 0 then
        local forever = wait_ns == K.FOREVER
        local wait_ms = forever and -1 or math.min(math.ceil(tonumber(wait_ns) / 1e6), 2 ^ 31 - 1)
        ffi.C.ferry_lua_poll(self.poll, 1, wait_ms)
    end
    return math.min(waiting, 0)
end

local function turn(self, wait_ns, until_time)
    run_ready(self)
    self:flush()
    local waited_for = self.in_use > 0 or self.expecting
    if not waited_for or #self.refused > 0 or self.ready_count > 0 or self.left then
        wait_ns = 0
    end
    -- Half of the time for the engine, the rest for those who wait for its completions.
    local budget_ns = until_time and math.max(1, (until_time - now()) * 5e8) or 0
    local status = let_work(self, wait_ns, budget_ns)
    self.left = not self:reap(until_time)
    tell_refused(self)
    return status
end

local function guarded(self, ...)
    if self.closed then
        return failure(K.E_SHUTDOWN)
    elseif self.turning then
        return failure(K.E_BUSY) -- Within a task.
    end
    self.turning = true
    local status = turn(self, ...)
    self.turning = false
    raise_problems(self)
    if status ~= K.OK then
        return failure(status)
    end
    return true
end

-- Sleep until something happens (or for so many seconds at most), and deal with it.
function Engine:turn(seconds)
    return guarded(self, seconds and library.nanoseconds(seconds) or K.FOREVER)
end

-- For a frame: do what is ready, in so many milliseconds at most (nil: once), without waiting.
function Engine:step(budget_ms)
    local until_time = budget_ms and now() + budget_ms * 1e-3
    repeat
        local fine, message, code = guarded(self, 0, until_time)
        if not fine then
            return nil, message, code
        end
    until not until_time or now() >= until_time or
        self.count == 0 and self.ready_count == 0 and not self.left
    return true
end

-- Run until every task has ended; with a function, that is the first of them, and what it returns
-- is returned.
function Engine:run(call, ...)
    local task = call and self:spawn(call, ...)
    while self.tasks > 0 do
        if self.in_use == 0 and self.ready_count == 0 and not self.expecting then
            error("every task waits for another one", 2)
        end
        local fine, message, code = self:turn()
        if not fine then
            return nil, message, code
        end
    end
    if task then
        return task:join()
    end
    return true
end

function Engine:spawn(call, ...)
    return Task.spawn(self, call, ...)
end

-- ---- waiting for one operation -------------------------------------------------------------------

-- The main program has no coroutine: it keeps the completion and runs the engine until it is there.
local Box = {}
Box.__index = Box

function Box:push(status, result, record)
    self.status, self.result, self.there = status, result, true
    if record ~= nil then
        self.record = ffi.new("ferry_completion", record[0])
    end
end

local function await_here(self, box)
    while not box.there do
        local fine, _, code = self:turn()
        if not fine and not box.there then
            return code, 0, nil
        end
    end
    return box.status, box.result, box.record
end

-- Do an operation and wait for it: `operation.fill` describes it and says what must be kept,
-- `operation.finish` makes of the completion what the caller gets.
function Engine:perform(operation, timeout, a, b, c, d)
    if self.closed then
        return failure(K.E_SHUTDOWN)
    end
    local task = Task.current()
    local request = self:request()
    local anchor, refusal = operation.fill(request, a, b, c, d)
    if refusal then
        return failure(refusal)
    end
    if timeout then
        request.deadline_ns = library.nanoseconds(timeout)
    end
    local waiter = task or setmetatable({}, Box)
    local slot = self:commit(request, waiter, anchor)
    local status, result, record
    if not slot then
        status, result = K.E_FULL, 0
    elseif not task then
        status, result, record = await_here(self, waiter)
    else
        task.slot, task.waits_on = slot, self
        if task.cancelled then
            task.cancelled = nil
            self:cancel(slot)
        end
        status, result, record = yield()
        task.slot = nil
    end
    return operation.finish(self, status, result, record, anchor, a, b, c, d)
end

-- ---- the end -------------------------------------------------------------------------------------

function Engine:info()
    if self.closed then
        return failure(K.E_SHUTDOWN)
    end
    local info = ffi.new("ferry_engine_info")
    info.struct_size = ffi.sizeof(info)
    local status = C.ferry_engine_get_info(self.pointer, info)
    if status ~= K.OK then
        return failure(status)
    end
    return {
        ops_in_flight = tonumber(info.ops_in_flight), handles_open = tonumber(info.handles_open),
        buffers_lent = tonumber(info.buffers_lent), workers = info.workers,
        workers_detached = info.workers_detached, driver = ffi.string(info.driver),
    }
end

-- A task that does not take SHUTDOWN for an answer must not keep this from ending.
local ROUNDS_MAX = 1000

-- End everything and free it: whatever is pending ends with SHUTDOWN. Waits for what the system
-- holds, so many seconds at most; then it is nil, message, TIMED_OUT, and may be called again.
function Engine:close(timeout)
    if self.closed then
        return true
    elseif self.turning then
        return failure(K.E_BUSY)
    end
    self:flush()
    local timeout_ns = timeout and library.nanoseconds(timeout) or K.FOREVER
    local status = C.ferry_engine_shutdown(self.pointer, timeout_ns)
    if status ~= K.OK and status ~= K.E_FORKED then
        return failure(status)
    end
    self.turning = true
    for _ = 1, status == K.OK and ROUNDS_MAX or 0 do
        run_ready(self)
        self:flush()
        local all = self:reap()
        tell_refused(self)
        if all and self.in_use == 0 and self.ready_count == 0 and self.count == 0 then
            break
        end
    end
    self.turning = false
    self.closed = true
    destroy(self.number, 0)
    raise_problems(self)
    return true
end

return Engine
