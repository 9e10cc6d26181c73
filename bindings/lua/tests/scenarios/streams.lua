-- Connections: echo, every way to receive and to send, names, and what goes wrong.
local ferry = require("ferry")
local support = require("support")

local equal, expect, fails = support.equal, support.expect, support.fails
local peer = support.peer

local function echo(stream)
    for piece in stream:pieces() do
        assert(stream:send(piece))
    end
end

local function round_trip(stream, text)
    local sending = stream.engine:spawn(stream.send, stream, text)
    local back = assert(stream:receive_exactly(#text))
    assert(sending:join())
    expect(back == text, "what came back differs")
end

local function echo_once(engine)
    local listener, server, client = support.pair(engine)
    engine:spawn(echo, server)
    for i = 1, 100 do
        round_trip(client, support.random_bytes(i == 1 and 1 or i == 100 and 65536 or
            math.random(65536)))
    end
    client:close()
    listener:close()
end

local function echo_many(engine)
    local listener = assert(engine:listen("127.0.0.1", 0))
    local serving = engine:spawn(listener.serve, listener, echo)
    local tasks = {}
    for i = 1, 64 do
        tasks[i] = engine:spawn(function()
            local stream = assert(engine:connect("127.0.0.1", listener.port))
            for _ = 1, 20 do
                round_trip(stream, support.random_bytes(math.random(4096)))
            end
            stream:close()
        end)
    end
    support.join_all(tasks)
    listener:close()
    assert(serving:join())
end

local function receive_short(engine)
    local stream = peer(engine, "drip 20 1")
    equal(support.receive_rest(stream), support.series(0, 20), "bytes")
    local value, message = stream:receive()
    expect(value == nil and message == nil, "the end is nil alone")
    stream:close()
end

local function receive_exactly(engine)
    local stream = peer(engine, "bytes 100000")
    local at = 0
    for _, size in ipairs({ 1, 99, 65536 }) do
        expect(stream:receive_exactly(size) == support.series(at, size), "wrong bytes at " .. at)
        at = at + size
    end
    local value, message, code, partial = stream:receive_exactly(100000)
    fails(ferry.END, value, message, code)
    expect(partial == support.series(at, 100000 - at), "what had come")
    stream:close()
end

local function receive_until(engine)
    local stream = peer(engine, "lines 1000")
    for i = 0, 998 do
        equal(stream:receive_until("\n"), "line " .. i .. "\n", "line")
    end
    fails(ferry.LIMIT, stream:receive_until("\n", 4))
    equal(stream:receive_exactly(9), "line 999\n", "what was too long")
    stream:close()
end

local function receive_lent(engine)
    local stream = peer(engine, "bytes 10000000")
    local at = 0
    for buffer in stream:receive_all() do
        local size = #buffer
        expect(tostring(buffer) == support.series(at, size), "wrong bytes at " .. at)
        at = at + size
        buffer:release()
    end
    equal(at, 10000000, "bytes")
    equal(engine:info().buffers_lent, 0, "buffers lent")
    stream:close()
end

local function expect_counted(stream, text)
    assert(stream:shutdown())
    equal(stream:receive_until("\n"), support.counted(text), "count and hash")
    stream:close()
end

local function send_large(engine)
    local stream = peer(engine, "count")
    local pieces = { support.random_bytes(8 * 2 ^ 20) }
    equal(stream:send(pieces[1]), #pieces[1], "sent")
    local tasks = {}
    for i = 1, 300 do
        pieces[i + 1] = support.random_bytes(math.random(2000))
        tasks[i] = engine:spawn(stream.send, stream, pieces[i + 1])
    end
    support.join_all(tasks)
    expect_counted(stream, table.concat(pieces))
end

local function send_vectored(engine)
    local stream = peer(engine, "count")
    local pieces = {}
    for i = 1, 100 do
        pieces[i] = support.random_bytes(math.random(3000))
    end
    local text = table.concat(pieces)
    equal(stream:send_pieces(pieces), #text, "sent")
    expect_counted(stream, text)
end

local function backpressure(engine)
    local stream = peer(engine, "slow 65536")
    assert(stream:set("send_buffer", 65536))
    local piece, pieces = support.random_bytes(65536), {}
    local begun = ferry.now()
    for i = 1, 64 do
        equal(stream:send(piece), #piece, "sent")
        pieces[i] = piece
    end
    -- At 64 KiB each 10 ms, and what the system's buffers hold is sent at once.
    expect(ferry.now() - begun > 0.05, "4 MiB were taken faster than the peer reads")
    expect_counted(stream, table.concat(pieces))
end

local function half_close(engine)
    local stream = peer(engine, "echo")
    assert(stream:send("all of it"))
    assert(stream:shutdown())
    equal(support.receive_rest(stream), "all of it", "bytes")
    stream:close()
end

local function peer_reset(engine)
    local stream = peer(engine, "reset 10")
    equal(stream:receive_exactly(10), support.series(0, 10), "bytes")
    assert(stream:send("x"))
    fails(ferry.CONNECTION_RESET, stream:receive())
    fails({ ferry.CONNECTION_RESET, ferry.BROKEN_PIPE }, stream:send("y"))
    stream:close()
end

local function connect_refused(engine)
    fails(ferry.CONNECTION_REFUSED, engine:connect("127.0.0.1", support.closed_port(engine)))
end

local function connect_name(engine)
    local stream = assert(engine:connect("localhost", support.peer_port))
    assert(stream:send("echo\nhello"))
    equal(stream:receive_exactly(5), "hello", "bytes")
    stream:close()
end

local function name_resolve(engine)
    local list = assert(engine:resolve("localhost", 80))
    local first = list[1]
    expect(first.host == "127.0.0.1" or first.host == "::1", first.host .. " is not loopback")
    equal(first.port, 80, "port")
end

local function name_failed(engine)
    fails({ ferry.NAME_NOT_FOUND, ferry.NAME_TRY_AGAIN, ferry.NAME_FAILED },
        engine:resolve("nowhere.invalid", 80))
end

local function socket(engine)
    local listener, server, client = support.pair(engine)
    local function agree(a, b)
        local own_host, own_port = a:local_address()
        local host, port = b:peer_address()
        equal(own_host, host, "host")
        equal(own_port, port, "port")
        equal(own_host, "127.0.0.1", "host")
    end
    agree(server, client)
    agree(client, server)
    equal(select(2, client:peer_address()), listener.port, "port")
    assert(client:set("no_delay", false))
    assert(client:set("no_delay", true))
    fails(ferry.INVALID, client:set("no_delay", 7))
    for _, each in ipairs({ listener, server, client }) do
        each:close()
    end
end

return {
    { "echo", echo_once }, { "echo-many", echo_many }, { "receive-short", receive_short },
    { "receive-exactly", receive_exactly }, { "receive-until", receive_until },
    { "receive-lent", receive_lent }, { "send-large", send_large },
    { "send-vectored", send_vectored }, { "backpressure", backpressure },
    { "half-close", half_close }, { "peer-reset", peer_reset },
    { "connect-refused", connect_refused }, { "connect-name", connect_name },
    { "name-resolve", name_resolve }, { "name-failed", name_failed }, { "socket", socket },
}
