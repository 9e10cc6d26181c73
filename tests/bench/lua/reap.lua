-- What it costs to take one completion out of the mapped ring: luajit reap.lua [count]
--
-- prints {"raw_ns":..,"binding_ns":..,"task_ns":..}: a loop that reads a record's tag, status,
-- flags and result; the binding's own, which finds who waits and frees the slot; the whole of an
-- operation that does nothing, from a coroutine's call until it goes on.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../../../bindings/lua/?.lua;" .. package.path
local bit = require("bit")
local ferry = require("ferry")
local operations = require("ferry.operations")

local C, K = ferry.native.C, ferry.native.constants
local COUNT, BATCH = tonumber(arg[1] or 4000000), 256
local engine = ferry.engine()

local taken = 0
local counter = {}
function counter:push() taken = taken + 1 end

local function complete_batch()
    for _ = 1, BATCH do
        local request = engine:request()
        request.opcode = K.OP_NOP
        engine:commit(request, counter)
    end
    engine:flush()
    assert(C.ferry_engine_run(engine.pointer, 0, 0, nil) == 0)
end

-- The least that a reader does.
local sum = 0
local function read_raw()
    local head, tail = engine.head, bit.tobit(engine.tail_at[0])
    local words, mask = engine.words, engine.mask
    while head ~= tail do
        local word = bit.band(head, mask) * 16
        if bit.band(words[word + 11], K.MORE) == 0 and words[word + 6] == 0 then
            sum = sum + words[word] + words[word + 4]
        end
        head = bit.tobit(head + 1)
    end
end

-- The median of the batches: one during which another program ran does not count.
local function measure(call)
    local spent = {}
    for i = 1, COUNT / BATCH do
        complete_batch()
        local begun = ferry.now()
        call()
        spent[i] = ferry.now() - begun
        engine:reap()
    end
    table.sort(spent)
    return spent[math.ceil(#spent / 2)] / BATCH * 1e9
end

local raw = measure(read_raw)
local before = taken
local binding = measure(function() engine:reap() end)
assert(taken - before >= COUNT - BATCH)

local tasks = 64
for _ = 1, tasks do
    engine:spawn(function()
        for _ = 1, COUNT / tasks do
            engine:perform(operations.nop)
        end
    end)
end
local begun = os.clock()
engine:run()
local task = (os.clock() - begun) / COUNT * 1e9
print(('{"raw_ns":%.2f,"binding_ns":%.2f,"task_ns":%.2f}'):format(raw, binding, task))
