-- What many operations have in common.
--
-- Each operation is a pair: `fill` writes the request and says what must be kept until it has ended
-- (or nil and the status of a refusal), `finish` makes what the caller gets of the completion. The
-- same pairs describe the children of a composition.
local ffi = require("ffi")
local library = require("ferry.native")
local owned = require("ferry.owned")

local C, K, failure = library.C, library.constants, library.failure
local band = bit.band
local OK, BUFFER = K.OK, K.BUFFER

local common = {}

-- How objects are made of handles; objects.lua puts them here.
local make = {}
common.make = make

-- A failure. What it brought nevertheless goes back.
function common.failed(engine, status, record, ...)
    engine:release(record)
    return failure(status, ...)
end

function common.finish_plainly(engine, status, _, record)
    if status ~= OK then
        return common.failed(engine, status, record)
    end
    return true
end

function common.finish_opened(kind)
    return function(engine, status, result, record)
        if status ~= OK then
            return common.failed(engine, status, record)
        elseif record.handle == 0 then
            return false -- The composition around it has closed it.
        end
        return make[kind](engine, record.handle, result)
    end
end

-- The bytes that were lent, as a string.
function common.take_string(engine, record)
    if band(record.flags, BUFFER) == 0 then
        return ""
    end
    local text = ffi.string(record.data, record.result)
    C.ferry_buffer_release(engine.pointer, record.buffer)
    return text
end

function common.take_record(engine, record, type)
    local copy = ffi.new(type)
    ffi.copy(copy, record.data, ffi.sizeof(type))
    C.ferry_buffer_release(engine.pointer, record.buffer)
    return copy
end

local text_pointer = ffi.typeof("const char *")

-- Where a text for C begins: one without NUL bytes.
function common.text_of(text)
    if text:find("\0", 1, true) then
        return nil
    end
    return text_pointer(text)
end

-- Where bytes lie: a string, a lent buffer, or memory of the program's with its size.
function common.bytes_of(data, size)
    if type(data) == "string" then
        return text_pointer(data), #data
    elseif ffi.istype("struct ferry_lua_buffer", data) then
        if not owned.is_alive(data.engine) then
            return nil, 0 -- Its engine has been closed: there are no bytes any more.
        end
        return data.data, data.size
    end
    return data, size or ffi.sizeof(data)
end

function common.plain(opcode)
    return {
        fill = function(request, object)
            request.opcode = opcode
            request.target = object.handle
        end,
        finish = common.finish_plainly,
    }
end

-- Memory of an operation's own as a string, and the memory back.
function common.take_memory(memory, size)
    local text = ffi.string(memory.data, size)
    owned.free(memory)
    return text
end

-- What was sent before it failed comes as the fourth result.
function common.finish_sent(engine, status, result, record)
    if status ~= OK then
        return common.failed(engine, status, record, result)
    end
    return result
end

local function slices_of(pieces)
    local slices = ffi.new("ferry_slice[?]", #pieces)
    for i, piece in ipairs(pieces) do
        local data, size = common.bytes_of(piece)
        slices[i - 1].data = ffi.cast("void *", data)
        slices[i - 1].size = size
    end
    return slices
end

function common.fill_slices(request, opcode, object, pieces, offset)
    local slices = slices_of(pieces)
    local params = request.params.slices
    request.opcode, request.target = opcode, object.handle
    params.slices, params.count, params.offset = slices, #pieces, offset
    return { slices, unpack(pieces) }
end

return common
