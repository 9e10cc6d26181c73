-- Time, what ends early, and requests made of several.
local ffi = require("ffi")
local ferry = require("ferry")
local support = require("support")

local equal, expect, fails = support.equal, support.expect, support.fails
local op = ferry.op

local function sleep(engine)
    local begun, order = ferry.now(), {}
    local function nap(seconds)
        assert(engine:sleep(seconds))
        expect(ferry.now() - begun >= seconds, "it ended early")
        order[#order + 1] = seconds
    end
    support.join_all({ engine:spawn(nap, 0.04), engine:spawn(nap, 0.02) })
    equal(order[1], 0.02, "the first to end")
    equal(order[2], 0.04, "the second to end")
end

local function interval(engine)
    local begun = ferry.now()
    local timer = assert(engine:interval(0.005))
    local expired = 0
    while expired < 5 do
        expired = expired + assert(timer())
    end
    expect(ferry.now() - begun >= 0.025, "it expired early")
    assert(timer:stop())
    equal(timer(), nil, "after its end")
end

local function deadline(engine)
    local stream = support.peer(engine, "silent-then 200")
    fails(ferry.TIMED_OUT, stream:receive(0.02))
    equal(stream:receive_exactly(5), "late\n", "bytes")
    stream:close()
end

local function cancel_before(engine)
    local ran = 0
    local task = engine:spawn(function()
        local value, message, code = engine:sleep(3600)
        ran = ran + 1
        return value, message, code
    end)
    expect(task:cancel(), "it has not ended")
    fails(ferry.CANCELED, task:join())
    equal(ran, 1, "how often it went on")
end

local function cancel_during(engine)
    local stream = support.peer(engine, "silent-then 100")
    local task = engine:spawn(stream.receive, stream)
    engine:sleep(0.02)
    expect(task:cancel(), "it has not ended")
    fails(ferry.CANCELED, task:join())
    equal(stream:receive_exactly(5), "late\n", "bytes")
    stream:close()
end

local function cancel_after(engine)
    local stream = support.peer(engine, "bytes 10")
    local task = engine:spawn(stream.receive_exactly, stream, 10)
    engine:sleep(0.05)
    equal(task:cancel(), false, "cancel")
    equal(task:join(), support.series(0, 10), "bytes")
    stream:close()
end

local SIZE, GUARD = 1000, 64

-- A buffer between two guards that nobody may write to.
local function guarded_buffer()
    local buffer = ffi.new("uint8_t[?]", SIZE + GUARD)
    ffi.fill(buffer, SIZE + GUARD, 0xa5)
    return buffer
end

local function receive_and_forget(stream, timeout)
    local buffer = guarded_buffer()
    local count = stream:receive_into(buffer, SIZE, timeout)
    for i = count or 0, SIZE + GUARD - 1 do
        expect(buffer[i] == 0xa5, "written beyond what was received")
    end
    return count
end

local function dropped(engine)
    for i = 1, 100 do
        local stream = support.peer(engine, "bytes 100000")
        local timeout = i % 3 == 0 and math.random() * 1e-3 or nil
        local task = engine:spawn(receive_and_forget, stream, timeout)
        for _ = 1, math.random(0, 3) do
            engine:sleep(0)
        end
        if i % 3 == 1 then
            task:cancel()
        elseif i % 3 == 2 then
            stream:close()
        end
        collectgarbage()
        local blocks = {} -- Memory of the same size, at once: what was freed would be taken.
        for j = 1, 20 do
            blocks[j] = guarded_buffer()
        end
        task:join()
        expect(not task.problem, task.problem)
        for _, block in ipairs(blocks) do
            for j = 0, SIZE + GUARD - 1 do
                expect(block[j] == 0xa5, "memory was written that was another one's already")
            end
        end
        stream:close()
    end
end

-- ---- compositions -------------------------------------------------------------------------------

local function all(engine)
    local begun = ferry.now()
    local results = assert(engine:all({ op.sleep(0.03), op.sleep(0.01), op.sleep(0.02) }))
    expect(ferry.now() - begun >= 0.03, "it ended before the last")
    expect(ferry.now() - begun < 0.06 * 10, "one after the other")
    equal(#results, 3, "results")
    local value, message, code, outcomes = engine:all({
        op.sleep(0), op.load("/nowhere/at/all"), op.sleep(0) })
    fails(ferry.NOT_FOUND, value, message, code)
    equal(outcomes[1][1], true, "the first")
    equal(outcomes[2][3], ferry.NOT_FOUND, "the second")
    equal(outcomes[3][1], true, "the third")
end

local function race(engine)
    local stream = support.peer(engine, "silent")
    local winner, value = engine:race({ op.receive(stream), op.sleep(0.01) })
    equal(winner, 2, "winner")
    equal(value, true, "its result")
    equal(engine:info().ops_in_flight, 0, "in flight")
    stream:close()
end

local function chain(engine)
    local path = support.scratch .. "/chain"
    assert(engine:store(path, "in the file"))
    local file = ferry.child(1)
    local results = assert(engine:chain({ op.open(path), op.read(file, 100, 0), op.close(file) }))
    equal(results[2], "in the file", "what was read")
end

local function chain_failed(engine)
    local file = ferry.child(1)
    local value, message, code, outcomes = engine:chain({
        op.open(support.scratch .. "/nowhere"), op.read(file, 100, 0), op.close(file) })
    fails(ferry.NOT_FOUND, value, message, code)
    equal(outcomes[1][3], ferry.NOT_FOUND, "open")
    equal(outcomes[2][3], ferry.CANCELED, "read")
    equal(outcomes[3][3], ferry.CANCELED, "close")
end

local function retry(engine)
    local port = support.closed_port(engine)
    local begun = ferry.now()
    fails(ferry.CONNECTION_REFUSED, engine:retry(op.connect("127.0.0.1", port),
        { attempts = 3, delay = 0.01 }))
    expect(ferry.now() - begun >= 0.03, "the delays of 10 and 20 ms have not passed")
end

return {
    { "sleep", sleep }, { "interval", interval }, { "deadline", deadline },
    { "cancel-before", cancel_before }, { "cancel-during", cancel_during },
    { "cancel-after", cancel_after }, { "dropped", dropped }, { "all", all }, { "race", race },
    { "chain", chain }, { "chain-failed", chain_failed }, { "retry", retry },
}
