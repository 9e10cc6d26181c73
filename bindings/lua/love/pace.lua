-- 60 frames a second, and what each of them costs: its work from its begin until it is shown,
-- and the part of that within engine:step(), as time that passed and as time of this thread's.
local ffi = require("ffi")

ffi.cdef [[
struct pace_time { int64_t seconds, nanoseconds; };
int pace_clock(int which, struct pace_time *) __asm__("clock_gettime");
]]

local MONOTONIC, THREAD_CPU = 1, 3
local FRAME = 1 / 60
local WARM_FRAMES = 60 -- The window opens, the shaders compile, the first traces are made.

local pace = { frames = {}, number = 0 }

local time = ffi.new("struct pace_time")
local function clock(which)
    ffi.C.pace_clock(which, time)
    return tonumber(time.seconds) + tonumber(time.nanoseconds) * 1e-9
end

local current = {}

function pace.measure(name, call)
    local begun, cpu = clock(MONOTONIC), clock(THREAD_CPU)
    call()
    current[name] = clock(MONOTONIC) - begun
    current[name .. "_cpu"] = clock(THREAD_CPU) - cpu
end

-- Do not count this frame and the next one.
function pace.skip()
    pace.skipped = 2
end

local function frame(game, elapsed)
    current = {}
    local begun, cpu = clock(MONOTONIC), clock(THREAD_CPU)
    love.event.pump()
    for name, a, b, c in love.event.poll() do
        if name == "quit" then
            love.quit()
            return a or 0
        end
        love.handlers[name](a, b, c)
    end
    love.update(elapsed)
    love.graphics.origin()
    love.graphics.clear(love.graphics.getBackgroundColor())
    love.draw()
    love.graphics.present()
    current.work, current.work_cpu = clock(MONOTONIC) - begun, clock(THREAD_CPU) - cpu
    if pace.skipped then
        pace.skipped = pace.skipped > 1 and pace.skipped - 1 or nil
    else
        pace.frames[#pace.frames + 1] = current
    end
    game.after_frame()
end

function pace.run(game)
    love.load(love.arg.parseGameArguments(arg))
    local next_frame, last = clock(MONOTONIC), nil
    return function()
        local now = clock(MONOTONIC)
        local elapsed = math.min(last and now - last or FRAME, 4 * FRAME)
        last = now
        local result = frame(game, elapsed)
        next_frame = math.max(next_frame + FRAME, clock(MONOTONIC) - FRAME)
        local left = next_frame - clock(MONOTONIC)
        if left > 0 then
            love.timer.sleep(left)
        end
        return result
    end
end

-- One line of JSON with each frame's numbers, in milliseconds.
function pace.report(game)
    local file = assert(io.open(game.options.report, "wb"))
    local columns = { "work", "work_cpu", "step", "step_cpu" }
    local lines = {}
    for _, name in ipairs(columns) do
        local values = {}
        local warm = math.min(WARM_FRAMES, math.floor(#pace.frames / 2)) -- A slow machine makes few.
        for i = warm + 1, #pace.frames do
            values[#values + 1] = ("%.4f"):format(pace.frames[i][name] * 1e3)
        end
        lines[#lines + 1] = ("%q: [%s]"):format(name, table.concat(values, ", "))
    end
    file:write(("{%s, \"streamed\": %d, \"score\": %d, \"cargo\": %d, \"pings\": %d}\n"):format(
        table.concat(lines, ", "), game.streamed, game.score, game.cargo, game.pings or 0))
    file:close()
end

return pace
