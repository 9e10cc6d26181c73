-- What programs hold: listeners, streams, files, channels, and sources of many completions. Each
-- owns its handle, and gives it back when it is closed or forgotten.
local library = require("ferry.native")
local operations = require("ferry.operations")
local Task = require("ferry.task")

local K, failure = library.constants, library.failure
local OK, BUFFER = K.OK, K.BUFFER
local band, continue, yield = bit.band, Task.continue, coroutine.yield

local function class()
    local methods = {}
    methods.__index = methods
    -- Close it. What is pending on it ends with CLOSED. Closing again is fine.
    function methods:close()
        return self.engine:perform(operations.close, nil, self)
    end
    return methods
end

local function new(class_of, engine, handle)
    return setmetatable({ engine = engine, handle = handle, owner = engine:own(handle) }, class_of)
end

-- ---- sources ------------------------------------------------------------------------------------

-- Where the completions of a multishot request gather until somebody takes them. When many have
-- gathered the request is cancelled, which loses nothing, and begun again when they were taken: so
-- whoever sends feels that nobody takes.
local Inbox = {}
Inbox.__index = Inbox
local MANY = 32

local function new_inbox(engine, operation, argument, many)
    return setmetatable({
        engine = engine, operation = operation, argument = argument, many = many or MANY,
        first = 1, last = 0, firsts = {}, seconds = {},
    }, Inbox)
end

function Inbox:begin()
    local request = self.engine:request()
    self.operation.fill(request, self.argument)
    self.slot = self.engine:commit(request, self)
    return self.slot ~= nil
end

local function ended(self, status)
    self.slot = nil
    if not self.pausing or status ~= K.E_CANCELED then
        self.ended = status
        return
    end
    self.pausing = nil
    if self.last == 0 and not self:begin() then -- All was taken in the meantime: go on.
        self.ended = K.E_FULL
    end
end

-- The task that waits, if there is one: it is to go on.
local function waiting_task(self)
    local task = self.task
    if task and task.parked == self then
        task.parked, self.task = nil, nil
        return task
    end
end

local function keep(self, a, b)
    local last = self.last + 1
    self.last = last
    self.firsts[last], self.seconds[last] = a, b
    if last - self.first >= self.many and self.slot and not self.pausing then
        self.pausing = true
        self.engine:cancel(self.slot)
    end
end

function Inbox:push(status, result, record, more)
    if not more then
        ended(self, status)
    end
    if record ~= nil and (more or band(record.flags, BUFFER) ~= 0) then
        local a, b = self.operation.decode(self.engine, result, record)
        local task = waiting_task(self)
        if task then
            continue(task, true, a, b)
        else
            keep(self, a, b)
        end
    elseif self.ended then
        local task = waiting_task(self)
        if task then
            continue(task, false)
        end
    end
end

local function is_over(self)
    return self.first <= self.last or self.ended ~= nil
end

local function pop(self)
    local first = self.first
    if first > self.last then
        if self.ended == OK or self.ended == K.E_END then
            return nil
        end
        return failure(self.ended)
    end
    local a, b = self.firsts[first], self.seconds[first]
    self.firsts[first], self.seconds[first] = nil, nil
    if first == self.last then
        self.first, self.last = 1, 0
    else
        self.first = first + 1
    end
    return a, b
end

-- In the main program.
local function take_here(self)
    local fine, message, code = Task.park(self.engine, self, is_over)
    if not fine then
        return nil, message, code
    end
    return pop(self)
end

function Inbox:take()
    if self.last > 0 or self.ended then
        return pop(self)
    elseif not self.slot and self.operation.fill and not self:begin() then
        return failure(K.E_FULL)
    end
    local task = Task.current()
    if not task then
        return take_here(self)
    elseif task.cancelled then
        task.cancelled = nil
        return failure(K.E_CANCELED)
    elseif self.task and self.task.parked == self then
        return failure(K.E_BUSY)
    end
    self.task, task.parked = task, self
    local came, a, b = yield()
    if came then
        return a, b
    elseif came == nil then
        return failure(K.E_CANCELED)
    end
    return pop(self)
end

-- End it and drop what has come.
function Inbox:stop()
    if self.slot then
        self.pausing = nil
        self.engine:cancel(self.slot)
    end
    while not self.ended and self.slot do
        local value, _, code = self:take()
        if value == nil and code == K.E_SHUTDOWN then
            break
        end
    end
    self.first, self.last, self.firsts, self.seconds = 1, 0, {}, {}
    self.ended = OK
    return true
end

-- For many completions of one request: source() waits for the next one, so it can be iterated. It
-- is nil at the end, and nil, message, code when it failed.
local Source = {}
Source.__index = Source

function Source.__call(self)
    return self.inbox:take()
end

-- No more of them. What it worked on can be used on.
function Source:stop()
    return self.inbox:stop()
end

-- The inbox must not keep the object: it is in the engine's hands while the request is, and an
-- object that is forgotten is to be closed. The source keeps it.
local function start(engine, operation, object, argument, many)
    if engine.closed then
        return failure(K.E_SHUTDOWN)
    end
    argument = object and { handle = object.handle } or argument
    local inbox = new_inbox(engine, operation, argument, many)
    if not inbox:begin() then
        return failure(K.E_FULL)
    end
    return setmetatable({ inbox = inbox, object = object }, Source)
end

-- ---- listeners ----------------------------------------------------------------------------------

local Listener = class()

function operations.make.listener(engine, handle, port)
    local listener = new(Listener, engine, handle)
    listener.port = port
    return listener
end

function Listener:accept(timeout)
    return self.engine:perform(operations.accept, timeout, self)
end

-- A task for each connection, until the listener is closed or fails. The connection is closed when
-- the task's function has returned.
function Listener:serve(call)
    local function serve_one(stream)
        call(stream)
        stream:close()
    end
    while true do
        local stream, message, code = self:accept()
        if stream then
            self.engine:spawn(serve_one, stream)
        elseif code == K.E_CLOSED or code == K.E_CANCELED then
            return true
        else
            return nil, message, code
        end
    end
end

function Listener:local_address()
    return self.engine:perform(operations.local_address, nil, self)
end

function Listener:set(option, value)
    return self.engine:perform(operations.set, nil, self, option, value)
end

-- The descriptor, which is the caller's from now on.
function Listener:give_up()
    return self.engine:perform(operations.give_up, nil, self)
end

-- ---- streams ------------------------------------------------------------------------------------

local Stream = class()

function operations.make.stream(engine, handle)
    return new(Stream, engine, handle)
end

-- No closure: the compiler's traces would keep that alive, and its stream with it.
local function next_piece(stream)
    return stream:receive()
end

-- Some bytes as a string; nil at the end.
function Stream:receive(timeout)
    local reader = self.reader
    if reader and not timeout then
        return reader:take()
    end
    return self.engine:perform(operations.receive, timeout, self)
end

-- `for piece in stream:pieces() do`: strings, until the end or a failure. One request receives them
-- all, so after it has begun only pieces() and receive() (without a timeout) go on with it; the
-- others are BUSY.
function Stream:pieces()
    if not self.reader and not self.engine.closed then
        self.reader = new_inbox(self.engine, operations.receive_pieces, { handle = self.handle })
    end
    return next_piece, self
end

-- The same as receive in a lent buffer.
function Stream:receive_lent(timeout)
    return self.engine:perform(operations.receive_lent, timeout, self)
end

-- Everything that comes, in lent buffers: `for buffer in stream:receive_all() do`. Nothing else may
-- be received until it has ended or was stopped.
function Stream:receive_all()
    return start(self.engine, operations.receive_all, self)
end

-- Into memory of the caller's (cdata); how many bytes came, nil at the end.
function Stream:receive_into(buffer, size, timeout)
    return self.engine:perform(operations.receive_into, timeout, self, buffer, size)
end

-- When it fails, the fourth result is what had come until then.
function Stream:receive_exactly(size, timeout)
    return self.engine:perform(operations.receive_exactly, timeout, self, size)
end

-- Up to and with a delimiter; when it fails, all bytes wait to be received.
function Stream:receive_until(delimiter, limit, timeout)
    return self.engine:perform(operations.receive_until, timeout, self, delimiter, limit)
end

-- All of a string, a lent buffer or cdata. When it fails, the fourth result is how many bytes the
-- system had taken.
function Stream:send(data, timeout)
    return self.engine:perform(operations.send, timeout, self, data)
end

-- All of several pieces, as if they were one.
function Stream:send_pieces(pieces, timeout)
    return self.engine:perform(operations.send_pieces, timeout, self, pieces)
end

-- The end of what is sent; receiving goes on.
function Stream:shutdown(timeout)
    return self.engine:perform(operations.shutdown, timeout, self)
end

-- Host and port.
function Stream:local_address()
    return self.engine:perform(operations.local_address, nil, self)
end

function Stream:peer_address()
    return self.engine:perform(operations.peer_address, nil, self)
end

-- no_delay, keep_alive, linger, receive_buffer, send_buffer.
function Stream:set(option, value)
    return self.engine:perform(operations.set, nil, self, option, value)
end

-- All that comes, or so many bytes, to another stream or a file.
function Stream:copy_to(to, size, timeout)
    return self.engine:perform(operations.copy, timeout, self, to, size)
end

Stream.give_up = Listener.give_up

-- ---- files --------------------------------------------------------------------------------------

local File = class()

function operations.make.file(engine, handle)
    return new(File, engine, handle)
end

-- At most so many bytes; nil at the end of the file. Without an offset at the file's own position.
function File:read(size, offset, timeout)
    return self.engine:perform(operations.read, timeout, self, size, offset)
end

-- A string, a lent buffer, or a list of them.
function File:write(data, offset, timeout)
    return self.engine:perform(operations.write, timeout, self, data, offset)
end

function File:stat(timeout)
    return self.engine:perform(operations.stat, timeout, self)
end

function File:sync(data_only, timeout)
    return self.engine:perform(operations.sync, timeout, self, data_only)
end

function File:truncate(size, timeout)
    return self.engine:perform(operations.truncate, timeout, self, size)
end

-- options: from and to, offsets in the files.
function File:copy_to(to, size, options, timeout)
    return self.engine:perform(operations.copy, timeout, self, to, size, options)
end

File.give_up = Listener.give_up

-- ---- channels -----------------------------------------------------------------------------------

local Channel = class()

function operations.make.channel(engine, handle)
    return new(Channel, engine, handle)
end

-- One or two whole numbers, as soon as there is room.
function Channel:send(first, second, timeout)
    return self.engine:perform(operations.channel_send, timeout, self, first, second)
end

-- The two numbers of the next message; nil when the channel is finished and empty.
function Channel:receive(timeout)
    return self.engine:perform(operations.channel_receive, timeout, self)
end

-- `for first, second in channel:receive_all() do`
function Channel:receive_all()
    return start(self.engine, operations.channel_receive_all, self)
end

function Channel:finish()
    return self.engine:perform(operations.channel_finish, nil, self)
end

return { start = start, new_inbox = new_inbox }
