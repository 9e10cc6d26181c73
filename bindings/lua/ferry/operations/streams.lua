-- What goes over a connection.
local ffi = require("ffi")
local library = require("ferry.native")
local owned = require("ferry.owned")
local common = require("ferry.operations.common")

local K = library.constants
local bor = bit.bor
local OK, INVALID, MULTISHOT, LEND = K.OK, K.E_INVALID, K.MULTISHOT, K.LEND
local failed, finish_sent = common.failed, common.finish_sent
local take_string, take_memory = common.take_string, common.take_memory
local bytes_of, fill_slices = common.bytes_of, common.fill_slices
local plain = common.plain
local operations = {}

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
        local memory = owned.allocate(size)
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

operations.send = {
    fill = function(request, stream, data, size)
        local params = request.params.send
        request.opcode, request.target = K.OP_STREAM_SEND, stream.handle
        params.data, params.size = bytes_of(data, size)
        return data
    end,
    finish = finish_sent,
}

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

return operations
