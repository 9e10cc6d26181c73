-- What each operation needs and brings: `fill` writes the request and says what must be kept until
-- it has ended (or nil and the status of a refusal), `finish` makes what the caller gets of the
-- completion. The same pairs describe the children of a composition.
local ffi = require("ffi")
local library = require("ferry.library")
local Engine = require("ferry.engine")

local C, K, failure = library.C, library.constants, library.failure
local band, bor = bit.band, bit.bor
local nanoseconds = library.nanoseconds
local OK, INVALID, BUFFER = K.OK, K.E_INVALID, K.BUFFER
local MULTISHOT, LEND = K.MULTISHOT, K.LEND

local operations = {}

-- How objects are made of handles; objects.lua puts them here.
local make = {}
operations.make = make

-- ---- what many have in common --------------------------------------------------------------------

-- A failure. What it brought nevertheless goes back.
local function failed(engine, status, record, ...)
    engine:release(record)
    return failure(status, ...)
end

local function finish_plainly(engine, status, _, record)
    if status ~= OK then
        return failed(engine, status, record)
    end
    return true
end

local function finish_opened(kind)
    return function(engine, status, result, record)
        if status ~= OK then
            return failed(engine, status, record)
        elseif record.handle == 0 then
            return false -- The composition around it has closed it.
        end
        return make[kind](engine, record.handle, result)
    end
end

-- The bytes that were lent, as a string.
local function take_string(engine, record)
    if band(record.flags, BUFFER) == 0 then
        return ""
    end
    local text = ffi.string(record.data, record.result)
    C.ferry_buffer_release(engine.pointer, record.buffer)
    return text
end

local function take_record(engine, record, type)
    local copy = ffi.new(type)
    ffi.copy(copy, record.data, ffi.sizeof(type))
    C.ferry_buffer_release(engine.pointer, record.buffer)
    return copy
end

local text_pointer = ffi.typeof("const char *")

-- Where a text for C begins: one without NUL bytes.
local function text_of(text)
    if text:find("\0", 1, true) then
        return nil
    end
    return text_pointer(text)
end

-- Where bytes lie: a string, a lent buffer, or memory of the program's with its size.
local function bytes_of(data, size)
    if type(data) == "string" then
        return text_pointer(data), #data
    elseif ffi.istype("struct ferry_lua_buffer", data) then
        return data.data, data.size
    end
    return data, size or ffi.sizeof(data)
end

local function plain(opcode)
    return {
        fill = function(request, object)
            request.opcode = opcode
            request.target = object.handle
        end,
        finish = finish_plainly,
    }
end

-- ---- time ----------------------------------------------------------------------------------------

operations.nop = {
    fill = function(request) request.opcode = K.OP_NOP end,
    finish = finish_plainly,
}

operations.sleep = {
    fill = function(request, seconds)
        request.opcode = K.OP_TIMER
        request.params.timer.delay_ns = seconds > 0 and math.ceil(seconds * 1e9) or 0
    end,
    finish = finish_plainly,
}

operations.interval = {
    fill = function(request, seconds)
        request.opcode, request.flags = K.OP_TIMER, MULTISHOT
        request.params.timer.delay_ns = nanoseconds(seconds)
        request.params.timer.interval_ns = nanoseconds(seconds)
    end,
    decode = function(_, result) return result end,
}

-- ---- names and connections -----------------------------------------------------------------------

local function parse(host, port, address)
    if port % 1 ~= 0 or port < 0 or port > 65535 or host:find("\0", 1, true) then
        return INVALID
    end
    return C.ferry_address_parse(host, port, address)
end

local function host_of(address)
    local text = ffi.new("char[64]")
    C.ferry_address_format(address, text, 64)
    local whole = ffi.string(text)
    return whole:match("^%[(.*)%]:%d+$") or whole:match("^(.*):%d+$"), address.port
end

local function finish_address(engine, status, _, record)
    if status ~= OK then
        return failed(engine, status, record)
    end
    return host_of(take_record(engine, record, "ferry_address"))
end

local families = { ipv4 = K.IPV4, ipv6 = K.IPV6 }

operations.resolve = {
    fill = function(request, name, port, family)
        local text = text_of(name)
        if not text or family and not families[family] or (port or 0) > 65535 then
            return nil, INVALID
        end
        local params = request.params.resolve
        request.opcode = K.OP_NAME_RESOLVE
        params.name, params.port, params.family = text, port or 0, families[family] or 0
        return name
    end,
    finish = function(engine, status, result, record)
        if status ~= OK then
            return failed(engine, status, record)
        end
        local list = {}
        local address = ffi.cast("const ferry_address *", record.data)
        for i = 0, result / ffi.sizeof("ferry_address") - 1 do
            local host, port = host_of(address + i)
            list[#list + 1] = { host = host, port = port }
        end
        engine:release(record)
        return list
    end,
}

operations.listen = {
    fill = function(request, host, port, options)
        local status = parse(host, port, request.params.listen.address)
        request.opcode = K.OP_TCP_LISTEN
        if options then
            request.params.listen.backlog = options.backlog or 0
            request.flags = options.reuse_port and K.REUSE_PORT or 0
        end
        return nil, status ~= OK and status or nil
    end,
    finish = finish_opened("listener"),
}

operations.accept = {
    fill = function(request, listener)
        request.opcode, request.target = K.OP_TCP_ACCEPT, listener.handle
    end,
    finish = finish_opened("stream"),
}

-- By address where the host is one, else by name.
operations.connect = {
    fill = function(request, host, port)
        local params = request.params
        if port % 1 ~= 0 or port < 1 or port > 65535 then
            return nil, INVALID
        elseif parse(host, port, params.connect.address) == OK then
            request.opcode = K.OP_TCP_CONNECT
            return nil
        end
        local text = text_of(host)
        request.opcode = K.OP_TCP_CONNECT_NAME
        params.connect_name.name, params.connect_name.port = text, port
        return host, not text and INVALID or nil
    end,
    finish = finish_opened("stream"),
}

local function address_of(peer)
    return {
        fill = function(request, socket)
            request.opcode, request.target = K.OP_SOCKET_ADDRESS, socket.handle
            request.params.socket_address.peer = peer
        end,
        finish = finish_address,
    }
end
operations.local_address = address_of(0)
operations.peer_address = address_of(1)

local socket_options = {
    no_delay = K.SOCKET_NO_DELAY, keep_alive = K.SOCKET_KEEP_ALIVE, linger = K.SOCKET_LINGER,
    receive_buffer = K.SOCKET_RECEIVE_BUFFER, send_buffer = K.SOCKET_SEND_BUFFER,
}

operations.set = {
    fill = function(request, socket, option, value)
        local params = request.params.socket_set
        if type(value) == "boolean" then
            value = value and 1 or 0
        end
        request.opcode, request.target = K.OP_SOCKET_SET, socket.handle
        params.option, params.value = socket_options[option] or 0, value
    end,
    finish = finish_plainly,
}

-- ---- streams -------------------------------------------------------------------------------------

local function finish_received(engine, status, result, record)
    if status ~= OK then
        return failed(engine, status, record)
    elseif result == 0 then
        return nil -- The end, which is no error.
    end
    return take_string(engine, record)
end

operations.receive = {
    fill = function(request, stream)
        request.opcode, request.flags, request.target = K.OP_STREAM_RECEIVE, LEND, stream.handle
    end,
    finish = finish_received,
}

operations.receive_lent = {
    fill = operations.receive.fill,
    finish = function(engine, status, result, record)
        if status ~= OK then
            return failed(engine, status, record)
        end
        return result > 0 and engine:lent(record) or nil
    end,
}

operations.receive_all = {
    fill = function(request, stream)
        request.opcode, request.target = K.OP_STREAM_RECEIVE, stream.handle
        request.flags = bor(MULTISHOT, LEND)
    end,
    decode = function(engine, _, record) return engine:lent(record) end,
}

operations.receive_pieces = {
    fill = operations.receive_all.fill,
    decode = function(engine, _, record) return take_string(engine, record) end,
}

-- Into memory of the program's, which is kept until this has ended.
operations.receive_into = {
    fill = function(request, stream, buffer, size)
        local params = request.params.receive
        request.opcode, request.target = K.OP_STREAM_RECEIVE, stream.handle
        params.buffer, params.size = buffer, size or ffi.sizeof(buffer)
        return buffer
    end,
    finish = function(engine, status, result, record)
        if status ~= OK then
            return failed(engine, status, record)
        elseif result == 0 then
            return nil
        end
        return result
    end,
}

-- Memory of an operation's own as a string, and the memory back.
local function take_memory(memory, size)
    local text = ffi.string(memory.data, size)
    Engine.free(memory)
    return text
end

local function finish_exactly(engine, status, result, record, memory)
    local text = take_memory(memory, result)
    if status ~= OK then
        return failed(engine, status, record, text)
    end
    return text
end

operations.receive_exactly = {
    fill = function(request, stream, size)
        if not (size > 0) then
            return nil, INVALID
        end
        local memory = Engine.allocate(size)
        local params = request.params.receive
        request.opcode, request.target = K.OP_STREAM_RECEIVE_EXACTLY, stream.handle
        params.buffer, params.size = memory.data, size
        return memory
    end,
    finish = finish_exactly,
}

-- With the delimiter, in at most `limit` bytes.
operations.receive_until = {
    fill = function(request, stream, delimiter, limit)
        local params = request.params.receive_until
        limit = limit or K.UNTIL_LEND_MAX
        if #delimiter < 1 or #delimiter > 16 then
            return nil, INVALID
        elseif limit > K.UNTIL_LEND_MAX then
            return nil, K.E_LIMIT
        end
        request.opcode, request.flags = K.OP_STREAM_RECEIVE_UNTIL, LEND
        request.target = stream.handle
        params.size, params.delimiter_size = limit, #delimiter
        ffi.copy(params.delimiter, delimiter, #delimiter)
    end,
    finish = finish_received,
}

-- What was sent before it failed comes as the fourth result.
local function finish_sent(engine, status, result, record)
    if status ~= OK then
        return failed(engine, status, record, result)
    end
    return result
end

operations.send = {
    fill = function(request, stream, data, size)
        local params = request.params.send
        request.opcode, request.target = K.OP_STREAM_SEND, stream.handle
        params.data, params.size = bytes_of(data, size)
        return data
    end,
    finish = finish_sent,
}

local function slices_of(pieces)
    local slices = ffi.new("ferry_slice[?]", #pieces)
    for i, piece in ipairs(pieces) do
        local data, size = bytes_of(piece)
        slices[i - 1].data = ffi.cast("void *", data)
        slices[i - 1].size = size
    end
    return slices
end

local function fill_slices(request, opcode, object, pieces, offset)
    local slices = slices_of(pieces)
    local params = request.params.slices
    request.opcode, request.target = opcode, object.handle
    params.slices, params.count, params.offset = slices, #pieces, offset
    return { slices, unpack(pieces) }
end

operations.send_pieces = {
    fill = function(request, stream, pieces)
        return fill_slices(request, K.OP_STREAM_SEND_VECTORED, stream, pieces, 0)
    end,
    finish = finish_sent,
}

operations.shutdown = plain(K.OP_STREAM_SHUTDOWN)
operations.close = plain(K.OP_HANDLE_CLOSE)

-- From one stream or file to another; without a size, until the source ends.
operations.copy = {
    fill = function(request, from, to, size, options)
        local params = request.params.copy
        request.opcode, request.target = K.OP_HANDLE_COPY, from.handle
        params.to, params.size = to.handle, size or K.FOREVER
        if options then
            params.from_offset, params.to_offset = options.from or 0, options.to or 0
        end
    end,
    finish = finish_sent,
}

-- ---- files ---------------------------------------------------------------------------------------

local R, W, CREATE = K.OPEN_READ, K.OPEN_WRITE, K.OPEN_CREATE
local open_modes = {
    r = R, ["r+"] = bor(R, W),
    w = bor(W, CREATE, K.OPEN_TRUNCATE), ["w+"] = bor(R, W, CREATE, K.OPEN_TRUNCATE),
    a = bor(W, CREATE, K.OPEN_APPEND), ["a+"] = bor(R, W, CREATE, K.OPEN_APPEND),
    x = bor(W, CREATE, K.OPEN_EXCLUSIVE), ["x+"] = bor(R, W, CREATE, K.OPEN_EXCLUSIVE),
}

operations.open = {
    fill = function(request, path, mode, permissions)
        local text, flags = text_of(path), open_modes[(mode or "r"):gsub("b", "")]
        if not text or not flags then
            return nil, INVALID
        end
        local params = request.params.open
        request.opcode = K.OP_FILE_OPEN
        params.path, params.open_flags, params.mode = text, flags, permissions or 0
        return path
    end,
    finish = finish_opened("file"),
}

-- At an offset, or at the file's own position. Into memory of the operation's own.
operations.read = {
    fill = function(request, file, size, offset)
        if not (size > 0) then
            return nil, INVALID
        end
        local memory = Engine.allocate(size)
        local params = request.params.file
        request.opcode, request.target = K.OP_FILE_READ, file.handle
        params.buffer, params.size, params.offset = memory.data, size, offset or K.AT_POSITION
        return memory
    end,
    finish = function(engine, status, result, record, memory)
        local text = take_memory(memory, math.max(result, 0))
        if status ~= OK then
            return failed(engine, status, record, text)
        end
        return result > 0 and text or nil
    end,
}

-- A string, a lent buffer, or a list of them.
operations.write = {
    fill = function(request, file, data, offset)
        offset = offset or K.AT_POSITION
        if type(data) == "table" then
            return fill_slices(request, K.OP_FILE_WRITE_VECTORED, file, data, offset)
        end
        local bytes, size = bytes_of(data)
        local params = request.params.file
        request.opcode, request.target = K.OP_FILE_WRITE, file.handle
        params.buffer, params.size, params.offset = ffi.cast("void *", bytes), size, offset
        return data
    end,
    finish = finish_sent,
}

local types = {
    [K.FILE_REGULAR] = "file", [K.FILE_DIRECTORY] = "directory", [K.FILE_LINK] = "link",
    [K.FILE_FIFO] = "fifo", [K.FILE_SOCKET] = "socket", [K.FILE_CHARACTER] = "character",
    [K.FILE_BLOCK] = "block",
}

local function finish_info(engine, status, _, record)
    if status ~= OK then
        return failed(engine, status, record)
    end
    local info = take_record(engine, record, "ferry_file_info")
    return {
        size = tonumber(info.size), type = types[info.type] or "other",
        permissions = info.permissions, modified = tonumber(info.modified_ns) * 1e-9,
        accessed = tonumber(info.accessed_ns) * 1e-9, links = tonumber(info.links),
        user = info.user, group = info.group, inode = info.inode, device = info.device,
    }
end

operations.stat = plain(K.OP_FILE_STAT)
operations.stat.finish = finish_info

operations.path_stat = {
    fill = function(request, path, no_follow)
        local text = text_of(path)
        if not text then
            return nil, INVALID
        end
        request.opcode = K.OP_PATH_STAT
        request.params.path.path, request.params.path.no_follow = text, no_follow and 1 or 0
        return path
    end,
    finish = finish_info,
}

operations.sync = {
    fill = function(request, file, data_only)
        request.opcode, request.target = K.OP_FILE_SYNC, file.handle
        request.params.sync.data_only = data_only and 1 or 0
    end,
    finish = finish_plainly,
}

operations.truncate = {
    fill = function(request, file, size)
        request.opcode, request.target = K.OP_FILE_TRUNCATE, file.handle
        request.params.truncate.size = size
    end,
    finish = finish_plainly,
}

local function fill_load(request, path, limit)
    local text = text_of(path)
    if not text then
        return nil, INVALID
    end
    request.opcode = K.OP_FILE_LOAD
    request.params.load.path, request.params.load.size_max = text, limit or 0
    return path
end

operations.load = {
    fill = fill_load,
    finish = function(engine, status, _, record)
        if status ~= OK then
            return failed(engine, status, record)
        end
        return take_string(engine, record)
    end,
}

operations.load_lent = {
    fill = fill_load,
    finish = function(engine, status, _, record)
        if status ~= OK then
            return failed(engine, status, record)
        end
        return engine:lent(record)
    end,
}

operations.store = {
    fill = function(request, path, data, permissions)
        local text = text_of(path)
        if not text then
            return nil, INVALID
        end
        local params = request.params.store
        request.opcode = K.OP_FILE_STORE
        params.path, params.mode = text, permissions or 0
        params.data, params.size = bytes_of(data)
        return { path, data }
    end,
    finish = finish_sent,
}

-- ---- descriptors ---------------------------------------------------------------------------------

local descriptor_kinds = {
    stream = K.DESCRIPTOR_STREAM, listener = K.DESCRIPTOR_LISTENER, file = K.DESCRIPTOR_FILE,
}

operations.adopt = {
    fill = function(request, descriptor, kind)
        if not descriptor_kinds[kind] then
            return nil, INVALID
        end
        request.opcode = K.OP_DESCRIPTOR_ADOPT
        request.params.adopt.descriptor = descriptor
        request.params.adopt.kind = descriptor_kinds[kind]
    end,
    finish = function(engine, status, result, record, _, _, kind)
        return finish_opened(kind)(engine, status, result, record)
    end,
}

operations.give_up = {
    fill = function(request, object)
        request.opcode, request.target = K.OP_DESCRIPTOR_RELEASE, object.handle
    end,
    finish = finish_sent,
}

-- ---- channels ------------------------------------------------------------------------------------

operations.channel = {
    fill = function(request, capacity)
        request.opcode = K.OP_CHANNEL_OPEN
        request.params.channel.capacity = capacity
    end,
    finish = finish_opened("channel"),
}

-- A message is one or two whole numbers.
operations.channel_send = {
    fill = function(request, channel, first, second)
        request.opcode, request.target = K.OP_CHANNEL_SEND, channel.handle
        request.params.message.result, request.params.message.data_u64 = first, second or 0
    end,
    finish = finish_plainly,
}

operations.channel_receive = {
    fill = function(request, channel)
        request.opcode, request.target = K.OP_CHANNEL_RECEIVE, channel.handle
    end,
    finish = function(engine, status, result, record)
        if status == K.E_END then
            return nil
        elseif status ~= OK then
            return failed(engine, status, record)
        end
        return result, tonumber(record.data_u64)
    end,
}

operations.channel_receive_all = {
    fill = function(request, channel)
        operations.channel_receive.fill(request, channel)
        request.flags = MULTISHOT
    end,
    decode = function(_, result, record) return result, tonumber(record.data_u64) end,
}

operations.channel_finish = plain(K.OP_CHANNEL_FINISH)

-- ---- compositions --------------------------------------------------------------------------------

-- A described child: an operation with its arguments.
local function fill_child(request, child)
    local anchor, refusal = child.operation.fill(request, child[1], child[2], child[3], child[4])
    if child.timeout then
        request.deadline_ns = nanoseconds(child.timeout)
    end
    return anchor, refusal
end

local function finish_child(engine, child, record, anchor)
    return child.operation.finish(engine, record.status, tonumber(record.result), record, anchor,
        child[1], child[2], child[3], child[4])
end

-- Memory that children have taken goes back when the whole is refused.
local function drop(anchors)
    for _, anchor in pairs(anchors) do
        if ffi.istype("struct ferry_lua_memory", anchor) then
            Engine.free(anchor)
        elseif type(anchor) == "table" and anchor.children then
            drop(anchor)
        end
    end
end

-- The children's requests, with all that they need kept; or nil and why one is refused.
local function describe(children)
    local requests = ffi.new("ferry_request[?]", #children)
    local anchors = { children = requests }
    for i, child in ipairs(children) do
        local anchor, refusal = fill_child(requests[i - 1], child)
        if refusal then
            drop(anchors)
            return nil, refusal
        end
        anchors[i] = anchor
    end
    return anchors
end

local function completions_of(record)
    if record ~= nil and record.data ~= nil then
        return ffi.cast("const ferry_completion *", record.data)
    end
end

local function pack(...)
    return { n = select("#", ...), ... }
end

-- What each child came to: { value or nil, message, code }. A whole that never ran tells of none.
local function outcomes_of(engine, record, anchors, children)
    local completions = completions_of(record)
    if not completions then
        drop(anchors)
        return {}
    end
    local outcomes = {}
    for i, child in ipairs(children) do
        outcomes[i] = pack(finish_child(engine, child, completions[i - 1], anchors[i]))
    end
    return outcomes
end

local function group(opcode, finish)
    return {
        fill = function(request, children)
            local anchors, refusal = describe(children)
            if refusal then
                return nil, refusal
            end
            request.opcode = opcode
            request.params.children.children = anchors.children
            request.params.children.count = #children
            return anchors
        end,
        finish = finish,
    }
end

local function finish_group(engine, status, _, record, anchors, children)
    local outcomes = outcomes_of(engine, record, anchors, children)
    engine:release(record)
    if status ~= OK then
        return failure(status, outcomes)
    end
    local values = {}
    for i, outcome in ipairs(outcomes) do
        values[i] = outcome[1]
    end
    return values
end

operations.chain = group(K.OP_CHAIN, finish_group)
operations.all = group(K.OP_ALL, finish_group)

-- Which won, and what it brought.
operations.race = group(K.OP_RACE, function(engine, status, _, record, anchors, children)
    local completions, winner = completions_of(record), nil
    for i = 1, completions and #children or 0 do
        if band(completions[i - 1].flags, K.WINNER) ~= 0 then
            winner = i
        end
    end
    local outcomes = outcomes_of(engine, record, anchors, children)
    engine:release(record)
    if not winner then
        return failure(status)
    end
    return winner, unpack(outcomes[winner], 1, outcomes[winner].n)
end)

operations.retry = {
    fill = function(request, child, attempts, delay, delay_max)
        local anchors, refusal = describe({ child })
        if refusal then
            return nil, refusal
        end
        local params = request.params.retry
        request.opcode = K.OP_RETRY
        params.child, params.attempts_max = anchors.children, attempts or 0
        params.delay_ns = nanoseconds(delay)
        params.delay_max_ns = nanoseconds(delay_max)
        return anchors
    end,
    finish = function(engine, status, _, record, anchors, child)
        local last = completions_of(record)
        -- Ended from outside between two attempts, it has a status of its own.
        local cut_short = not last or last[0].status ~= status
        local outcome = outcomes_of(engine, record, anchors, { child })[1]
        engine:release(record)
        if cut_short then
            return failure(status)
        end
        return unpack(outcome, 1, outcome.n)
    end,
}

-- ---- descriptions --------------------------------------------------------------------------------

local Description = {}
Description.__index = Description

-- The description, with a deadline of so many seconds from its own start.
function Description:within(seconds)
    self.timeout = seconds
    return self
end

-- ferry.op.sleep(1) and so on: the same arguments, nothing happens yet.
operations.describe = setmetatable({}, {
    __index = function(_, name)
        local operation = operations[name]
        if type(operation) ~= "table" or not operation.finish then
            error("no operation is called " .. tostring(name), 2)
        end
        return function(...)
            return setmetatable({ operation = operation, ... }, Description)
        end
    end,
})

return operations
