-- Names, connections, sockets, and descriptors of the system's.
local ffi = require("ffi")
local library = require("ferry.native")
local common = require("ferry.operations.common")

local C, K = library.C, library.constants
local OK, INVALID = K.OK, K.E_INVALID
local failed, finish_plainly = common.failed, common.finish_plainly
local finish_opened, finish_sent = common.finish_opened, common.finish_sent
local take_record, text_of = common.take_record, common.text_of
local operations = {}

-- ---- names and connections ----------------------------------------------------------------------

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

-- ---- descriptors --------------------------------------------------------------------------------

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

return operations
