-- The scenarios of bindings/CONFORMANCE.md: luajit conformance.lua [scenario...]
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. here .. "/../?.lua;" .. package.path

local ferry = require("ferry")

local scenarios = {}
for _, name in ipairs({ "streams", "time", "files", "limits", "life" }) do
    for _, scenario in ipairs(require("scenarios." .. name)) do
        scenarios[#scenarios + 1] = scenario
    end
end

-- Nothing may be left: what was closed or forgotten ends within some turns.
local function look_for_rest(engine)
    local info
    local end_time = ferry.now() + 5
    repeat
        collectgarbage()
        engine:turn(0.001)
        info = assert(engine:info())
        if info.ops_in_flight == 0 and info.handles_open == 0 and info.buffers_lent == 0 then
            return
        end
    until ferry.now() > end_time
    error(("left over: %d operations, %d handles, %d buffers"):format(info.ops_in_flight,
        info.handles_open, info.buffers_lent), 0)
end

local function run(scenario)
    local engine = ferry.engine(scenario.options)
    local fine, problem = xpcall(function()
        local result, message = engine:run(scenario.run, engine)
        if message then
            error(message, 0)
        end
        if not engine.closed then
            look_for_rest(engine)
        end
        return result
    end, debug.traceback)
    pcall(engine.close, engine, 5) -- Tasks of a scenario that failed fail then, too.
    return fine, problem
end

local wanted = {}
for _, name in ipairs(arg) do
    wanted[name] = true
end

for _, scenario in ipairs(scenarios) do
    local name = scenario[1]
    scenario.run = scenario[2]
    if #arg == 0 or wanted[name] then
        local reason = scenario.skip and scenario.skip()
        if reason then
            print(name .. " skip " .. reason)
        else
            local fine, problem = run(scenario)
            print(name .. (fine and " ok" or " FAIL " .. tostring(problem):gsub("%s*\n%s*", " | ")))
        end
        io.stdout:flush()
    end
end
