-- Requests made of requests.
local ffi = require("ffi")
local library = require("ferry.native")
local owned = require("ferry.owned")

local K, failure = library.constants, library.failure
local band = bit.band
local nanoseconds = library.nanoseconds
local OK = K.OK

local operations = {}

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

-- The children's requests, with all that they need kept; or nil and why one is refused. What those
-- before it have allocated goes back.
local function describe(children)
    local requests = ffi.new("ferry_request[?]", #children)
    local anchors = { children = requests }
    for i, child in ipairs(children) do
        local anchor, refusal = fill_child(requests[i - 1], child)
        if refusal then
            owned.drop(anchors)
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
        owned.drop(anchors)
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

return operations
