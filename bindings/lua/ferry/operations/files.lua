-- Files.
local ffi = require("ffi")
local library = require("ferry.native")
local owned = require("ferry.owned")
local common = require("ferry.operations.common")

local K = library.constants
local bor = bit.bor
local OK, INVALID = K.OK, K.E_INVALID
local failed, finish_plainly = common.failed, common.finish_plainly
local finish_opened, finish_sent = common.finish_opened, common.finish_sent
local take_string, take_record = common.take_string, common.take_record
local take_memory, text_of = common.take_memory, common.text_of
local bytes_of, fill_slices = common.bytes_of, common.fill_slices
local plain = common.plain
local operations = {}

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
        local memory = owned.allocate(size)
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

return operations
