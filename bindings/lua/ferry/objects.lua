-- What programs hold: listeners, streams, files, channels, and sources of many completions. Each
-- owns its handle, and gives it back when it is closed or forgotten.
local library = require("ferry.library")
local operations = require("ferry.operations")
local Task = require("ferry.task")

local K, failure = library.constants, library.failure
local OK, BUFFER = K.OK, K.BUFFER

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

-- ---- sources -------------------------------------------------------------------------------------

-- Where the completions of a multishot request gather until somebody takes them.
local Inbox = {}
Inbox.__index = Inbox

function Inbox:push(status, result, record, more)
    if record ~= nil and (more or bit.band(record.flags, BUFFER) ~= 0) then
        self.last = self.last + 1
        self.firsts[self.last], self.seconds[self.last] = self.decode(self.engine, result, record)
    end
    if not more then
        self.ended = status
    end
    local task = self.task
    if task and task.parked == self then
        task.parked = nil
        Task.continue(task)
    end
end

local function has_something(inbox)
    return inbox.first <= inbox.last or inbox.ended ~= nil
end

local function new_inbox(engine, decode)
    return setmetatable({
        engine = engine, decode = decode, first = 1, last = 0, firsts = {}, seconds = {},
    }, Inbox)
end

function Inbox:take()
    if not has_something(self) then
        self.task = Task.current()
        local fine, message, code = Task.park(self.engine, self, has_something)
        self.task = nil
        if not fine then
            return nil, message, code
        elseif not has_something(self) then
            return failure(K.E_CANCELED)
        end
    end
    local first = self.first
    if first > self.last then
        if self.ended == OK or self.ended == K.E_END then
            return nil
        end
        return failure(self.ended)
    end
    local a, b = self.firsts[first], self.seconds[first]
    self.firsts[first], self.seconds[first] = nil, nil
    self.first = first + 1
    return a, b
end

-- For many completions of one request: source() waits for the next one, so it can be iterated. It
-- is nil at the end, and nil, message, code when it failed.
local Source = {}
Source.__index = Source

function Source.__call(self)
    return self.inbox:take()
end

-- No more of them: end the request and drop what has come. What it worked on can be used on.
function Source:stop()
    local inbox = self.inbox
    if not inbox.ended then
        inbox.engine:cancel(self.slot)
    end
    while not inbox.ended do
        local fine, message, code = inbox:take()
        if not fine and not inbox.ended then
            return nil, message, code
        end
    end
    inbox.first, inbox.last, inbox.firsts, inbox.seconds = 1, 0, {}, {}
    inbox.ended = OK
    return true
end

-- `object` is kept for as long as the source is: its finaliser would end it.
local function start(engine, operation, object, a)
    if engine.closed then
        return failure(K.E_SHUTDOWN)
    end
    local inbox = new_inbox(engine, operation.decode)
    local request = engine:request()
    operation.fill(request, object or a)
    local slot = engine:commit(request, inbox)
    if not slot then
        return failure(K.E_FULL)
    end
    return setmetatable({ inbox = inbox, object = object, slot = slot }, Source)
end

-- ---- listeners -----------------------------------------------------------------------------------

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

-- ---- streams -------------------------------------------------------------------------------------

local Stream = class()

function operations.make.stream(engine, handle)
    return new(Stream, engine, handle)
end

-- Some bytes as a string; nil at the end.
function Stream:receive(timeout)
    return self.engine:perform(operations.receive, timeout, self)
end

-- No closure: the compiler's traces would keep that alive, and its stream with it.
local function next_piece(stream)
    return stream:receive()
end

-- `for piece in stream:pieces() do`: receives until the end, or a failure.
function Stream:pieces()
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

-- ---- files ---------------------------------------------------------------------------------------

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

-- ---- channels ------------------------------------------------------------------------------------

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
