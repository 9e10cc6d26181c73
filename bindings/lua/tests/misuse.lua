-- What a program should not do: it gets an error or silence, never a crash.
--
--     luajit misuse.lua [case]
--
-- How a process may end with operations in flight is the scenario `exit` of the conformance kit.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. package.path
local ffi = require("ffi")
local ferry = require("ferry")

ffi.cdef [[
int fork(void);
int waitpid(int child, int *status, int options);
void _exit(int code);
int mkfifo(const char *path, unsigned mode);
]]

local fifo = os.tmpname()
os.remove(fifo)

local function fails(code, value, message, got)
    assert(value == nil and type(message) == "string" and got == code,
        ("expected %s, came %s, %s"):format(ferry.code_name(code), tostring(value),
            tostring(message)))
end

local function raises(text, call, ...)
    local fine, problem = pcall(call, ...)
    assert(not fine and tostring(problem):find(text, 1, true), tostring(problem))
end

-- A connection to a listener of this process that nobody accepts on.
local function silent_stream(engine)
    local listener = assert(engine:listen("127.0.0.1", 0))
    return assert(engine:connect("127.0.0.1", listener.port)), listener
end

local cases, order = {}, {}
local function case(name, call)
    cases[name] = call
    order[#order + 1] = name
end

case("collected while live", function()
    for _ = 1, 50 do
        local engine = ferry.engine({ ops_max = 64, capacity = 64 })
        local stream = silent_stream(engine)
        local buffer = ffi.new("uint8_t[?]", 65536)
        engine:spawn(stream.receive_into, stream, buffer)
        engine:spawn(stream.send, stream, ("x"):rep(100000))
        engine:spawn(engine.sleep, engine, 3600)
        engine:step()
        engine, stream, buffer = nil, nil, nil
        collectgarbage()
    end
    collectgarbage()
    -- What the engines had open is gone: the descriptors of 50 of them do not pile up.
    assert(not io.open("/proc/self/fd/200", "rb"), "descriptors pile up")
end)

case("collected with memory that the system writes", function()
    local path = fifo
    assert(ffi.C.mkfifo(path, 384) == 0)
    local writer = ffi.C.fork()
    if writer == 0 then
        local pipe = io.open(path, "wb")
        os.execute("sleep 0.3")
        pipe:write(("w"):rep(4096))
        pipe:close()
        ffi.C._exit(0)
    end
    do
        local engine = ferry.engine()
        local file = assert(engine:open(path, "r"))
        engine:spawn(file.read, file, 4096)
        engine:turn(0.05)
    end
    for _ = 1, 5 do
        collectgarbage() -- Shuts down, which waits for the read.
    end
    ffi.C.waitpid(writer, nil, 0)
    local blocks = {}
    for i = 1, 100 do
        blocks[i] = ffi.new("uint8_t[4096]")
        for j = 0, 4095 do
            assert(blocks[i][j] == 0)
        end
    end
    os.remove(path)
end)

case("memory is kept while the engine may write it", function()
    local engine = ferry.engine()
    local stream = silent_stream(engine)
    local weak = setmetatable({}, { __mode = "v" })
    local task
    do
        local buffer = ffi.new("uint8_t[?]", 1000)
        weak[1] = buffer
        task = engine:spawn(stream.receive_into, stream, buffer)
    end
    engine:step()
    collectgarbage()
    assert(weak[1], "it was freed while the receive was pending")
    task:cancel()
    collectgarbage()
    assert(weak[1], "it was freed before the completion")
    fails(ferry.CANCELED, task:join())
    task = nil
    engine:step()
    collectgarbage()
    collectgarbage()
    assert(not weak[1], "it is never freed")
    engine:close()
end)

case("a reader that is slower than the sender", function()
    local engine = ferry.engine()
    local size, most, sum = 4 * 2 ^ 20, 0, 0
    engine:run(function()
        local listener = assert(engine:listen("127.0.0.1", 0))
        local sending = engine:spawn(function()
            local stream = assert(engine:connect("127.0.0.1", listener.port))
            assert(stream:send(("0123456789abcdef"):rep(size / 16)))
            stream:close()
        end)
        local stream = assert(listener:accept())
        for buffer in stream:receive_all() do
            assert(tostring(buffer):sub(1, 1) == ("0123456789abcdef"):sub(sum % 16 + 1, sum % 16 + 1))
            sum = sum + #buffer
            buffer:release()
            most = math.max(most, engine:info().buffers_lent)
            if sum % 3 == 0 then
                engine:sleep(0.001)
            end
        end
        sending:join()
        -- The same as strings, and one reader at a time.
        local again = engine:spawn(function()
            return assert(engine:connect("127.0.0.1", listener.port)):send(("x"):rep(300000))
        end)
        local second, count = assert(listener:accept()), 0
        for piece in second:pieces() do
            count = count + #piece
            fails(ferry.BUSY, second:receive_exactly(1))
            engine:sleep(0)
            if count == 300000 then
                break
            end
        end
        assert(again:join())
        local waiting = engine:spawn(second.receive, second)
        engine:sleep(0.001)
        fails(ferry.BUSY, second:receive())
        second:close()
        fails(ferry.CLOSED, waiting:join())
    end)
    assert(sum == size, sum)
    assert(most <= 200, "what was not taken piles up: " .. most)
    engine:close()
end)

case("a coroutine of the program's own", function()
    raises("use ferry.spawn", function()
        ferry.run(function()
            local mine = coroutine.wrap(function() return ferry.sleep(0) end)
            mine()
        end)
    end)
    -- Outside a task it waits like the main program.
    assert(coroutine.wrap(function() return ferry.sleep(0) end)())
end)

case("wrong arguments", function()
    local engine = ferry.engine()
    local stream = silent_stream(engine)
    raises("", stream.send, stream, nil)
    raises("", stream.send, stream, {})
    raises("", stream.receive_exactly, stream, "many")
    raises("", engine.sleep, engine)
    raises("", engine.load, engine)
    raises("", engine.connect, engine, 7)
    raises("no operation", function() return ferry.op.fly() end)
    fails(ferry.INVALID, stream:receive_exactly(0))
    fails(ferry.INVALID, stream:receive_exactly(-5))
    fails(ferry.INVALID, stream:receive_until(""))
    fails(ferry.INVALID, stream:receive_until(("x"):rep(17)))
    fails(ferry.LIMIT, stream:receive_until("\n", 65537))
    fails(ferry.INVALID, engine:load("a\0b"))
    fails(ferry.INVALID, engine:open("/dev/null", "q"))
    fails(ferry.INVALID, engine:connect("127.0.0.1", 65536))
    fails(ferry.INVALID, engine:connect("127.0.0.1", 0))
    fails(ferry.INVALID, engine:listen("no address", 0))
    fails(ferry.INVALID, engine:resolve("x", 1, "ipv5"))
    fails(ferry.UNSUPPORTED, stream:set("colour", 1))
    fails(ferry.INVALID, engine:all({}))
    fails(ferry.INVALID, engine:chain({ ferry.op.close(ferry.child(1)) }))
    fails(ferry.INVALID, engine:adopt(0, "window"))
    fails(ferry.BAD_HANDLE, engine:await(ferry.op.close({ handle = 12345 })))
    -- After all that it works.
    assert(engine:sleep(0))
    engine:close()
end)

case("within a task", function()
    ferry.run(function()
        local engine = ferry.current()
        fails(ferry.BUSY, engine:turn())
        fails(ferry.BUSY, engine:step(1))
        fails(ferry.BUSY, engine:close())
        fails(ferry.BUSY, engine:run(function() end))
    end)
end)

case("an error in a task", function()
    local engine = ferry.engine()
    engine:spawn(function() error("lost on purpose") end)
    raises("lost on purpose", engine.turn, engine)
    local task = engine:spawn(function() error("joined on purpose") end)
    local value, problem = engine:run(task.join, task)
    assert(value == nil and problem:find("joined on purpose"))
    raises("waits for another", engine.run, engine, function()
        local first, second
        first = engine:spawn(function() return second:join() end)
        second = engine:spawn(function() return first:join() end)
        return second:join()
    end)
end)

case("buffers", function()
    local engine = ferry.engine()
    local buffer = assert(engine:load_lent(arg[0]))
    assert(#buffer > 1000 and tostring(buffer):find("misuse"))
    buffer:release()
    buffer:release()
    assert(#buffer == 0 and tostring(buffer) == "")
    local late = assert(engine:load_lent(arg[0]))
    engine:close()
    assert(tostring(late) == "")
    late:release()
    for _ = 1, 100 do
        assert(ferry.load_lent(arg[0])) -- Forgotten: the collector gives them back.
    end
    collectgarbage()
    collectgarbage()
    assert(ferry.info().buffers_lent == 0)
end)

case("the child of a fork", function()
    local engine = ferry.current()
    local stream = silent_stream(engine)
    ferry.spawn(stream.receive, stream)
    ferry.step()
    local child = ffi.C.fork()
    if child == 0 then
        local fine = pcall(function()
            fails(ferry.FORKED, ferry.sleep(1))
            fails(ferry.FORKED, ferry.load("/dev/null"))
            fails(ferry.FORKED, stream:send("x"))
            fails(ferry.FORKED, ferry.run(function() return ferry.sleep(1) end))
            local mine = ferry.engine() -- One of its own works.
            assert(mine:sleep(0.001))
            assert(mine:close())
            stream = nil
            collectgarbage()
            assert(ferry.close())
        end)
        ffi.C._exit(fine and 0 or 1)
    end
    local status = ffi.new("int[1]")
    ffi.C.waitpid(child, status, 0)
    assert(status[0] == 0, "the child failed")
    assert(ferry.sleep(0)) -- The parent's engine is as it was.
end)

case("a close that many wait for", function()
    local engine = ferry.engine()
    local stubborn = engine:spawn(function()
        while true do
            engine:sleep(3600) -- Never looks at what comes back.
        end
    end)
    engine:step()
    assert(engine:close())
    assert(not stubborn.done)
end)

case("the driver is an option", function()
    local engine = ferry.engine({ driver = "uv" })
    local info = engine:info()
    assert(info.driver == "uv" and next(info.ring) == nil)
    assert(engine:close())
    engine = ferry.engine({ ring_without = { "send" } })
    info = engine:info()
    assert(not info.ring.send and (info.ring.accept or false) == (info.driver == "uring"))
    assert(engine:close())
    assert(not pcall(ferry.engine, { driver = "none" }))
    assert(not pcall(ferry.engine, { ring_without = { "none" } }))
end)

for _, name in ipairs(arg[1] and { arg[1] } or order) do
    cases[name]()
    print("ok: " .. name)
end
