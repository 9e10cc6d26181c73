-- Paint the landscape's tiles, raw RGBA, into a folder: luajit make_tiles.lua FOLDER
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. here .. "/../?.lua;" .. package.path
local ffi = require("ffi")
local ferry = require("ferry")
local river = require("river")

local TILE = river.TILE

local function byte(value)
    return math.max(0, math.min(255, value))
end

local function paint(column, row)
    local pixels = ffi.new("uint8_t[?]", TILE * TILE * 4)
    local at = 0
    for y = row * TILE, row * TILE + TILE - 1 do
        for x = column * TILE, column * TILE + TILE - 1 do
            local r, g, b = river.color(x, y)
            pixels[at], pixels[at + 1], pixels[at + 2] = byte(r), byte(g), byte(b)
            pixels[at + 3] = 255
            at = at + 4
        end
    end
    return pixels
end

-- Open, write and close are one request.
local op, file = ferry.op, ferry.child(1)

ferry.run(function()
    for column = 0, river.COLUMNS - 1 do
        local tasks = {}
        for row = 0, river.ROWS - 1 do
            local path = ("%s/%d_%d.raw"):format(arg[1], column, row)
            tasks[#tasks + 1] = ferry.spawn(ferry.chain, {
                op.open(path, "w"), op.write(file, paint(column, row), 0), op.close(file) })
        end
        for _, task in ipairs(tasks) do
            assert(task:join())
        end
    end
end)
