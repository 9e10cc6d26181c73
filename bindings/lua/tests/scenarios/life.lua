-- How engines, processes and forgotten things end.
local ffi = require("ffi")
local ferry = require("ferry")
local support = require("support")

local equal, expect, fails = support.equal, support.expect, support.fails
local op, library = ferry.op, ferry.native

ffi.cdef [[
int fork(void);
int waitpid(int child, int *status, int options);
void _exit(int code);
int pthread_create(uint64_t *thread, const void *attributes, void *(*call)(void *), void *argument);
int pthread_join(uint64_t thread, void **result);
]]

local function pending_kinds(engine)
    local listener = assert(engine:listen("127.0.0.1", 0))
    local channel = assert(engine:channel(1))
    local function connect()
        return assert(engine:connect(support.peer_host, support.peer_port))
    end
    return {
        function() return engine:sleep(3600) end,
        function() return connect():receive() end,
        function() return connect():receive_exactly(1000) end,
        function() return connect():receive_until("\n") end,
        function() return channel:receive() end,
        function() return select(2, engine:race({ op.sleep(3600), op.sleep(3600) })) end,
        function() return engine:all({ op.sleep(3600), op.nop() }) end,
        function() return engine:chain({ op.nop(), op.sleep(3600) }) end,
        function() return engine:retry(op.load("/nowhere"), { delay = 3600 }) end,
        function() return engine:interval(3600)() end,
    }, listener
end

local function shutdown_load()
    local engine = ferry.engine()
    local codes, tasks = {}, {}
    local setup = engine:spawn(function()
        local kinds, listener = pending_kinds(engine)
        tasks[1] = engine:spawn(listener.accept, listener)
        for i = 2, 1000 do
            tasks[i] = engine:spawn(kinds[i % #kinds + 1])
        end
    end)
    repeat
        assert(engine:turn(0.01))
    until setup.done and engine:info().ops_in_flight >= 1000
    assert(engine:close())
    for i = 1, 1000 do
        local value, _, code = tasks[i]:join()
        expect(value == nil, "it succeeded")
        codes[code] = (codes[code] or 0) + 1
    end
    local sum = 0
    for _, code in ipairs({ ferry.SHUTDOWN, ferry.CANCELED, ferry.CLOSED }) do
        sum = sum + (codes[code] or 0)
    end
    equal(sum, 1000, "ended by the shutdown")
end

local function after_shutdown()
    local other = ferry.engine()
    local stream, file, listener, channel
    other:run(function()
        listener = assert(other:listen("127.0.0.1", 0))
        stream = assert(other:connect("127.0.0.1", listener.port))
        file = assert(other:open(support.scratch .. "/after", "w"))
        channel = assert(other:channel(1))
    end)
    assert(other:close())
    assert(other:close())
    for _, call in ipairs({
        function() return other:sleep(1) end,
        function() return other:load("/dev/null") end,
        function() return other:all({ op.nop() }) end,
        function() return other:interval(1) end,
        function() return other:info() end,
        function() return other:turn() end,
        function() return other:step(1) end,
        function() return other:post(1) end,
        function() return stream:receive() end,
        function() return stream:receive_all() end,
        function() return stream:send("x") end,
        function() return stream:close() end,
        function() return file:write("x") end,
        function() return listener:accept() end,
        function() return channel:send(1) end,
    }) do
        fails({ ferry.SHUTDOWN, ferry.STALE }, call())
    end
end

-- Both are run by this thread, by turns.
local function two_engines(engine)
    local other = ferry.engine()
    local listener = assert(engine:listen("127.0.0.1", 0))
    local serving = engine:spawn(listener.serve, listener, function(stream)
        for piece in stream:pieces() do
            assert(stream:send(piece))
        end
    end)
    local there = other:spawn(function()
        local stream = assert(other:connect("127.0.0.1", listener.port))
        for i = 1, 50 do
            assert(stream:send("message " .. i))
            equal(stream:receive(), "message " .. i, "echo")
        end
        stream:close()
    end)
    while not there.done do
        assert(other:step(1))
        assert(engine:sleep(0))
    end
    support.join_all({ there })
    listener:close()
    assert(serving:join())
    assert(other:close())
end

local function wrong_thread(engine)
    assert(engine:sleep(0)) -- Its first run binds the engine to this thread.
    local thread, result = ffi.new("uint64_t[1]"), ffi.new("void *[1]")
    -- A Lua state belongs to one thread, so this is the raw call. It takes a time, too, which does
    -- not matter: it is refused.
    local call = ffi.cast("void *(*)(void *)", library.C.ferry_engine_shutdown)
    equal(ffi.C.pthread_create(thread, nil, call, ffi.cast("void *", engine.pointer)), 0, "thread")
    ffi.C.pthread_join(thread[0], result)
    equal(tonumber(ffi.cast("int32_t", ffi.cast("uintptr_t", result[0]))), ferry.WRONG_THREAD,
        "status")
end

local function collected(engine)
    local listener = assert(engine:listen("127.0.0.1", 0))
    for i = 1, 200 do
        local task = engine:spawn(listener.accept, listener)
        assert(engine:connect("127.0.0.1", listener.port))
        assert(task:join())
        assert(engine:open(support.scratch .. "/collected" .. i, "w"))
    end
    local at_most = ferry.now() + 5
    repeat
        collectgarbage()
        engine:sleep(0.001)
    until engine:info().handles_open == 1 or ferry.now() > at_most
    equal(engine:info().handles_open, 1, "handles open")
    listener:close()
end

local function in_child(engine, other)
    local function code_of(_, _, code)
        return code
    end
    local fine = code_of(other:turn()) == ferry.FORKED and code_of(other:info()) == ferry.FORKED
        and code_of(other:post(1)) == ferry.FORKED and code_of(engine:info()) == ferry.FORKED
    collectgarbage()
    return fine and other:close() and 0 or 1
end

local function forked(engine)
    local other = ferry.engine()
    local task = other:spawn(other.sleep, other, 3600)
    assert(other:step())
    local child = ffi.C.fork()
    if child == 0 then
        local fine, code = pcall(in_child, engine, other)
        ffi.C._exit(fine and code or 2)
    end
    local status = ffi.new("int[1]")
    local at_most = ferry.now() + 10
    local NO_HANG = 1
    while ffi.C.waitpid(child, status, NO_HANG) == 0 do
        expect(ferry.now() < at_most, "the child hangs")
        engine:sleep(0.001)
    end
    equal(status[0], 0, "the child's end")
    task:cancel()
    assert(other:step())
    fails(ferry.CANCELED, task:join())
    assert(other:close())
end

local child_script = arg[0]:gsub("[^/]*$", "") .. "exit_child.lua"

local function exit(engine)
    for way, code in pairs({ exit = 7, close = 7, error = 1, ["end"] = 0 }) do
        local begun = ferry.now()
        local command = ("'%s' '%s' %s 2>&1; echo $?"):format(arg[-1], child_script, way)
        local pipe = io.popen(command)
        local said = pipe:read("*a")
        pipe:close()
        expect(ferry.now() - begun < 5, way .. ": it took long")
        if way == "error" then
            expect(said:find("on purpose"), said)
            equal(said:match("(%d+)\n$"), "1", way)
        else
            equal(said, code .. "\n", way)
        end
    end
    assert(engine:sleep(0))
end

return {
    { "shutdown-load", shutdown_load }, { "after-shutdown", after_shutdown },
    { "two-engines", two_engines }, { "wrong-thread", wrong_thread },
    { "collected", collected }, { "forked", forked }, { "exit", exit },
}
