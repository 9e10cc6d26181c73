-- Ferry for LuaJIT: coroutines that wait for sockets, files, timers and names.
--
--     local ferry = require("ferry")
--     ferry.run(function()
--         local stream = assert(ferry.connect("localhost", 7))
--         stream:send("hello\n")
--         print(stream:receive_until("\n"))
--     end)
--
-- Whatever waits may be called in a task (ferry.spawn) or in the main program, which then runs the
-- engine meanwhile. Times are in seconds. Failures are nil, message, code; ferry.TIMED_OUT and so
-- on are the codes. The end of a stream, file or channel is nil alone.
local ffi = require("ffi")
local library = require("ferry.native")
local Engine = require("ferry.engine")
local Task = require("ferry.task")
local operations = require("ferry.operations")
local objects = require("ferry.objects")

local C, K, failure = library.C, library.constants, library.failure

local ferry = { op = operations.describe, native = library, now = library.now }

-- ferry.TIMED_OUT, ferry.NOT_FOUND, ...
for name, value in pairs(K) do
    if name:sub(1, 2) == "E_" then
        ferry[name:sub(3)] = value
    end
end
ferry.FOREVER = math.huge

-- "TIMED_OUT" for ferry.TIMED_OUT.
function ferry.code_name(code)
    return (library.status_name(code):gsub("^FERRY_E?_?", ""))
end

-- Stands for the handle that an earlier child of a chain opens: its number in the chain, and which
-- chain (0 the innermost around it, 1 the next one, ...).
function ferry.child(index, level)
    return { handle = C.ferry_child_handle(index - 1, level or 0) }
end

-- ---- what an engine can do ----------------------------------------------------------------------

function Engine:sleep(seconds, timeout)
    return self:perform(operations.sleep, timeout, seconds)
end

-- Expires every so many seconds: calling it waits for the next time, and says how often it has
-- expired since the last call.
function Engine:interval(seconds)
    return objects.start(self, operations.interval, nil, seconds, math.huge)
end

-- options: backlog, reuse_port. listener.port is the port.
function Engine:listen(host, port, options)
    return self:perform(operations.listen, nil, host, port or 0, options)
end

-- By address or by name.
function Engine:connect(host, port, timeout)
    return self:perform(operations.connect, timeout, host, port)
end

-- A list of { host = , port = }, in the order in which to try them. family: "ipv4", "ipv6", nil.
function Engine:resolve(name, port, family, timeout)
    return self:perform(operations.resolve, timeout, name, port, family)
end

-- A whole file as a string.
function Engine:load(path, limit, timeout)
    return self:perform(operations.load, timeout, path, limit)
end

-- The same in a lent buffer.
function Engine:load_lent(path, limit, timeout)
    return self:perform(operations.load_lent, timeout, path, limit)
end

-- Replace a whole file: whatever happens, the path names the old one or the new one.
function Engine:store(path, data, permissions, timeout)
    return self:perform(operations.store, timeout, path, data, permissions)
end

-- Modes are those of io.open, and "x": it must not be there yet.
function Engine:open(path, mode, permissions, timeout)
    return self:perform(operations.open, timeout, path, mode, permissions)
end

function Engine:stat(path, no_follow, timeout)
    return self:perform(operations.path_stat, timeout, path, no_follow)
end

-- Make an object of a descriptor of the system's: "stream", "listener" or "file".
function Engine:adopt(descriptor, kind)
    return self:perform(operations.adopt, nil, descriptor, kind)
end

-- A bounded queue of messages, each one or two whole numbers.
function Engine:channel(capacity)
    return self:perform(operations.channel, nil, capacity or 0)
end

-- One request made of several, described by ferry.op. The list of their results.
function Engine:chain(children, timeout)
    return self:perform(operations.chain, timeout, children)
end

function Engine:all(children, timeout)
    return self:perform(operations.all, timeout, children)
end

-- Which of them won, and its results.
function Engine:race(children, timeout)
    return self:perform(operations.race, timeout, children)
end

-- options: attempts, delay (doubled each time), delay_max. The results of the last attempt.
function Engine:retry(child, options, timeout)
    options = options or {}
    return self:perform(operations.retry, timeout, child, options.attempts, options.delay,
        options.delay_max)
end

-- What ferry.op described.
function Engine:await(description)
    return self:perform(description.operation, description.timeout, description[1], description[2],
        description[3], description[4])
end

-- ---- messages from elsewhere --------------------------------------------------------------------

local message_from_elsewhere = {
    decode = function(_, _, record)
        return { tonumber(record.tag), tonumber(record.result), tonumber(record.data_u64) }
    end,
}

function ferry.engine(options)
    local engine = Engine.new(options)
    engine.messages = objects.new_inbox(engine, message_from_elsewhere, nil, math.huge)
    return engine
end

-- Where this engine's messages go, as a number that can be given to another Lua state of this
-- process (a love.thread). It is good for as long as the engine is open.
function Engine:address()
    return tonumber(ffi.cast("uintptr_t", self.queue))
end

-- Send up to three whole numbers to an engine, on any thread: its own, or by its address.
function ferry.post(address, first, second, third)
    local queue = ffi.cast("ferry_queue *", ffi.cast("uintptr_t", address))
    local status = C.ferry_queue_post(queue, first, second or 0, third or 0)
    if status ~= K.OK then
        return failure(status)
    end
    return true
end

function Engine:post(first, second, third)
    if self.closed then
        return failure(K.E_SHUTDOWN)
    end
    return ferry.post(self:address(), first, second, third)
end

-- Wait for a message: its three numbers.
function Engine:message()
    self.expecting = true
    local message, problem, code = self.messages:take()
    self.expecting = self.messages.task ~= nil
    if not message then
        return nil, problem, code
    end
    return message[1], message[2], message[3]
end

-- ---- the engine of a plain program --------------------------------------------------------------

local default

-- That of the task which calls, else one that is made when it is first needed.
function ferry.current()
    local task = Task.current()
    if task then
        return task.engine
    end
    if not default or default.closed then
        default = ferry.engine()
    end
    return default
end

for _, name in ipairs({
    "sleep", "interval", "listen", "connect", "resolve", "load", "load_lent", "store", "open",
    "stat", "adopt", "channel", "chain", "all", "race", "retry", "await", "message",
    "spawn", "run", "step", "info", "address",
}) do
    ferry[name] = function(...)
        local engine = ferry.current()
        return engine[name](engine, ...)
    end
end

-- End the plain program's engine: whatever is pending ends with SHUTDOWN.
function ferry.close(timeout)
    if not default or default.closed then
        return true
    end
    return default:close(timeout)
end

return ferry
