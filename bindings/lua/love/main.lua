-- A ferry on a river: it sails by itself (up and down steer it), picks up the cargo that drifts by,
-- and tells the harbour of it. The landscape streams in from hundreds of files while it sails.
--
--     love . --loader=ferry|filesystem|thread [--server=PORT] [--seconds=N] [--report=FILE]
--            [--screenshot=FILE]
local source = love.filesystem.getSource()
package.path = source .. "/?.lua;" .. source .. "/../?.lua;" .. package.path

local ferry = require("ferry")
local river = require("river")
local pace = require("pace")
local hud = require("hud")
local boat = require("boat")
local harbour = require("harbour")

local BUDGET_MS = 2
local SPEED = 170 -- Pixels a second.
local AHEAD = 5 -- Columns that are wanted before they are seen.

local game = {
    TILE = river.TILE, budget_ms = BUDGET_MS, time = 0, streamed = 0, cargo = 0, score = 0,
    tiles = {}, wanted = {}, wanted_first = 1,
}

local function parse(arguments)
    local options = { loader = "ferry" }
    for _, argument in ipairs(arguments) do
        local name, value = argument:match("^%-%-(%w+)=(.*)$")
        if name then
            options[name] = value
        end
    end
    return options
end

-- ---- tiles --------------------------------------------------------------------------------------

-- What a loader calls: the next tile to load, nearest first; and that it is there.
function game.next_wanted()
    while game.wanted_first <= #game.wanted do
        local tile = game.wanted[game.wanted_first]
        game.wanted[game.wanted_first] = false
        game.wanted_first = game.wanted_first + 1
        if game.tiles[tile.column] then -- Not passed by already.
            return tile
        end
    end
    game.wanted, game.wanted_first = {}, 1
end

function game.loaded(tile, image)
    tile.image, tile.since = image, game.time
    game.streamed = game.streamed + 1
end

local function want_column(column)
    local rows = {}
    for row = 0, river.ROWS - 1 do
        rows[row] = { column = column, row = row,
            name = ("%d_%d.raw"):format(column % river.COLUMNS, row) }
        game.wanted[#game.wanted + 1] = rows[row]
    end
    game.tiles[column] = rows
end

local function visible_columns()
    local first = math.floor(game.camera / river.TILE)
    return first, first + math.ceil(love.graphics.getWidth() / river.TILE)
end

local function stream()
    local first, last = visible_columns()
    for column = first, last + AHEAD do
        if not game.tiles[column] then
            want_column(column)
        end
    end
    for column, rows in pairs(game.tiles) do
        if column < first - 1 then
            for row = 0, river.ROWS - 1 do
                if rows[row].image then
                    rows[row].image:release()
                    rows[row].image = nil
                end
            end
            game.tiles[column] = nil
        end
    end
end

local function draw_tiles()
    local first, last = visible_columns()
    for column = first, last do
        for _, tile in pairs(game.tiles[column] or {}) do
            if tile.image then
                local age = (game.time - tile.since) / 0.25
                love.graphics.setColor(1, 1, 1, math.min(1, age))
                love.graphics.draw(tile.image, column * river.TILE - game.camera,
                    tile.row * river.TILE)
            end
        end
    end
end

-- ---- the frame ----------------------------------------------------------------------------------

function love.load(arguments)
    game.options = parse(arguments)
    game.folder = love.filesystem.getSaveDirectory() .. "/tiles"
    if not love.filesystem.getInfo("tiles/0_0.raw") then
        error("there are no tiles in " .. game.folder .. ": see make_tiles.lua")
    end
    love.graphics.setBackgroundColor(0.12, 0.36, 0.5)
    game.engine = ferry.engine()
    game.loader = require("loaders." .. game.options.loader)(game)
    game.camera = 0
    boat.load(game)
    if game.options.server then
        game.engine:spawn(harbour.visit, game, tonumber(game.options.server))
    end
end

function love.update(elapsed)
    game.time = game.time + elapsed
    game.camera = game.camera + SPEED * elapsed
    stream()
    game.loader.update()
    pace.measure("step", function()
        assert(game.engine:step(BUDGET_MS))
    end)
    boat.update(elapsed)
end

function love.draw()
    draw_tiles()
    boat.draw()
    hud.draw(game, pace)
end

local function finish()
    if game.options.report then
        pace.report(game)
    end
    love.event.quit()
end

-- The last second but one has the picture; taking it costs a frame, which is not counted.
function game.after_frame()
    local seconds = tonumber(game.options.seconds)
    if not seconds then
        return
    elseif game.options.screenshot and not game.pictured and game.time > seconds - 1 then
        game.pictured = true
        pace.skip()
        love.graphics.captureScreenshot(function(image)
            local file = assert(io.open(game.options.screenshot, "wb"))
            file:write(image:encode("png"):getString())
            file:close()
        end)
    elseif game.time > seconds then
        finish()
    end
end

function love.quit()
    if game.loader and game.loader.quit then
        game.loader.quit()
    end
    if game.engine then
        game.engine:close(2)
    end
end

function love.run()
    return pace.run(game)
end
