-- The conformance program and two threads' messages, within LÖVE: love tests/love [scenario...]
local source = love.filesystem.getSource()
local names = love.arg.parseGameArguments(arg)
package.path = source .. "/../../?.lua;" .. package.path

-- conformance.lua finds its folder by arg[0], and starts children with arg[-1].
arg = { [-1] = os.getenv("FERRY_LUAJIT") or "luajit", [0] = source .. "/../conformance.lua" }
for i, name in ipairs(names) do
    arg[i] = name
end

-- Another Lua state on a thread of its own posts to this one's engine.
local POSTER = [[
local path, address, count = ...
package.path = path .. ";" .. package.path
local ferry = require("ferry")
for i = 1, count do
    while not ferry.post(address, i, 2 * i) do
        ferry.sleep(0.0001) -- The ring is full.
    end
end
]]

local function messages_from_a_thread()
    local ferry = require("ferry")
    local engine, count = ferry.engine({ capacity = 64 }), 10000
    local thread = love.thread.newThread(POSTER)
    thread:start(package.path, engine:address(), count)
    engine:run(function()
        for i = 1, count do
            local first, second = engine:message()
            assert(first == i and second == 2 * i, thread:getError() or "a message is missing")
        end
    end)
    thread:wait()
    assert(not thread:getError(), thread:getError())
    assert(engine:close())
end

function love.run()
    messages_from_a_thread()
    dofile(arg[0])
    os.exit(0)
end
