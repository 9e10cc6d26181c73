-- The engine as a program drives it: in turns, each of which lets tasks go on, submits what they
-- ask for, and takes what has come.
local ffi = require("ffi")
local library = require("ferry.native")
local owned = require("ferry.owned")
local Engine = require("ferry.core")
local Task = require("ferry.task")

local band = require("bit").band
local C, K, failure, now = library.C, library.constants, library.failure, library.now
local yield = coroutine.yield

-- ---- turns --------------------------------------------------------------------------------------

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
    self:tell_refused()
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

-- ---- waiting for one operation ------------------------------------------------------------------

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

-- ---- the end ------------------------------------------------------------------------------------

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
    local ring = {}
    for name, bit_ in pairs(K) do
        local of_ring = name:match("^RING_(%w+)$")
        if of_ring and band(info.ring, bit_) ~= 0 then
            ring[of_ring:lower()] = true
        end
    end
    return {
        ops_in_flight = tonumber(info.ops_in_flight), handles_open = tonumber(info.handles_open),
        buffers_lent = tonumber(info.buffers_lent), workers = info.workers,
        workers_detached = info.workers_detached, driver = ffi.string(info.driver),
        ring = ring, -- What goes through io_uring: accept = true and so on.
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
        self:tell_refused()
        if all and self.in_use == 0 and self.ready_count == 0 and self.count == 0 then
            break
        end
    end
    self.turning = false
    self.closed = true
    owned.destroy(self.number, 0)
    raise_problems(self)
    return true
end

return Engine
