-- Ceilings, many at once, messages between tasks and from threads.
local ffi = require("ffi")
local ferry = require("ferry")
local support = require("support")

local equal, expect, fails = support.equal, support.expect, support.fails

local function queue_full(engine)
    local tasks = {}
    for i = 1, 8 do
        tasks[i] = engine:spawn(engine.sleep, engine, 3600)
    end
    while engine:info().ops_in_flight < 8 do
        tasks[9] = engine:spawn(function() end)
        tasks[9]:join() -- A turn without an operation of its own.
    end
    -- It is refused, and nothing has happened.
    fails(ferry.FULL, engine:sleep(0))
    tasks[1]:cancel()
    fails(ferry.CANCELED, tasks[1]:join())
    assert(engine:sleep(0))
    for i = 2, 8 do
        tasks[i]:cancel()
        fails(ferry.CANCELED, tasks[i]:join())
    end
end

local function count_sleeps(engine, count, seconds)
    local tasks, ended = {}, 0
    for i = 1, count do
        tasks[i] = engine:spawn(function()
            local fine, message, code = engine:sleep(seconds)
            ended = ended + 1
            return fine, message, code
        end)
    end
    return tasks, function() return ended end
end

local function ring_small(engine)
    local tasks, ended = count_sleeps(engine, 1000, 0)
    support.join_all(tasks)
    equal(ended(), 1000, "completions")
end

local function ten_thousand(engine)
    local begun = ferry.now()
    local tasks, ended = count_sleeps(engine, 10000, 0.02)
    engine:sleep(0)
    equal(ended(), 0, "ended at once")
    support.join_all(tasks)
    equal(ended(), 10000, "completions")
    expect(ferry.now() - begun >= 0.02, "too early")
end

local function ten_thousand_cancelled(engine)
    local tasks, ended = count_sleeps(engine, 10000, 3600)
    engine:sleep(0)
    for _, task in ipairs(tasks) do
        expect(task:cancel(), "it has not ended")
    end
    for _, task in ipairs(tasks) do
        fails(ferry.CANCELED, task:join())
    end
    equal(ended(), 10000, "completions")
end

-- ---- handles ------------------------------------------------------------------------------------

local function close_pending(engine)
    local stream = support.peer(engine, "silent")
    local task = engine:spawn(stream.receive, stream)
    engine:sleep(0.005)
    assert(stream:close())
    fails(ferry.CLOSED, task:join())
end

local function close_twice(engine)
    local stream = support.peer(engine, "silent")
    assert(stream:close())
    assert(stream:close())
    fails(ferry.STALE, stream:receive())
    fails(ferry.STALE, stream:send("x"))
    fails(ferry.STALE, stream:peer_address())
end

local function wrong_kind(engine)
    local stream = support.peer(engine, "silent")
    fails(ferry.WRONG_KIND, engine:await(ferry.op.read(stream, 10, 0)))
    stream:close()
end

local function foreign(engine)
    local other = ferry.engine()
    local stream = support.peer(engine, "silent")
    local task = other:spawn(other.await, other, ferry.op.receive(stream))
    assert(other:step())
    assert(other:step())
    fails(ferry.FOREIGN, task:join())
    assert(other:close())
    stream:close()
end

-- ---- messages -----------------------------------------------------------------------------------

local senders_path = os.getenv("FERRY_LUA_SENDERS")

local function post(engine)
    ffi.cdef [[
    void *senders_start(ferry_queue *queue, uint32_t which, uint64_t count, uint64_t seed);
    int32_t senders_join(void *senders);
    ]]
    local POSTS, COUNT = 1, 10000
    local senders = ffi.load(senders_path)
    local thread = senders.senders_start(engine.queue, POSTS, COUNT, os.time())
    for i = 0, COUNT - 1 do
        equal(engine:message(), i, "message")
    end
    assert(engine:sleep(0)) -- The thread waits for its places in the ring, which go with the turn.
    equal(senders.senders_join(thread), 0, "the thread's status")
end

local function no_senders()
    return not senders_path and "FERRY_LUA_SENDERS names no library with a thread that posts"
end

local function channel(engine)
    local messages = assert(engine:channel(4))
    local producer = engine:spawn(function()
        for i = 1, 1000 do
            assert(messages:send(i, 2 * i))
        end
        assert(messages:finish())
        fails(ferry.BROKEN_PIPE, messages:send(0))
    end)
    for i = 1, 1000 do
        local first, second = messages:receive()
        equal(first, i, "first number")
        equal(second, 2 * i, "second number")
    end
    local value, message = messages:receive()
    expect(value == nil and message == nil, "the end is nil alone")
    support.join_all({ producer })
    messages:close()
end

local function channel_rendezvous(engine)
    local messages = assert(engine:channel(0))
    local sent = false
    local producer = engine:spawn(function()
        sent = messages:send(7)
    end)
    engine:sleep(0.01)
    equal(sent, false, "sent without a receiver")
    equal(messages:receive(), 7, "message")
    support.join_all({ producer })
    equal(sent, true, "sent")
    messages:close()
end

return {
    { "queue-full", queue_full, options = { ops_max = 8 } },
    { "ring-small", ring_small, options = { capacity = 8 } },
    { "ten-thousand", ten_thousand }, { "ten-thousand-cancelled", ten_thousand_cancelled },
    { "close-pending", close_pending }, { "close-twice", close_twice },
    { "wrong-kind", wrong_kind }, { "foreign", foreign },
    { "post", post, skip = no_senders }, { "channel", channel },
    { "channel-rendezvous", channel_rendezvous },
}
