-- What the game says of itself: cargo, harbour, files, and what each frame costs.
local hud = {}
local graphics = love.graphics
local FRAMES = 220
local HEIGHT_MS = 20
local small, large

local function panel(x, y, width, height)
    graphics.setColor(0.04, 0.10, 0.15, 0.72)
    graphics.rectangle("fill", x, y, width, height, 6)
    graphics.setColor(1, 1, 1, 0.14)
    graphics.rectangle("line", x + 0.5, y + 0.5, width - 1, height - 1, 6)
end

local function draw_counts(game)
    panel(10, 10, 178, 62)
    graphics.setFont(large)
    graphics.setColor(1, 0.85, 0.5)
    graphics.print(("%d crates   %d points"):format(game.cargo, game.score), 20, 16)
    graphics.setFont(small)
    graphics.setColor(0.85, 0.92, 0.95)
    local ping = game.ping_ms and ("%.1f ms"):format(game.ping_ms) or game.harbour or "-"
    graphics.print("harbour answers in " .. ping, 20, 36)
    graphics.print(("%d files streamed by %s"):format(game.streamed, game.options.loader), 20, 51)
end

local function bar(x, bottom, from_ms, to_ms, scale)
    local top = math.min(to_ms, HEIGHT_MS)
    if top > from_ms then
        graphics.rectangle("fill", x, bottom - top * scale, 1, (top - from_ms) * scale)
    end
end

local function draw_frames(game, pace)
    local width, height = FRAMES + 20, 84
    local left, top = graphics.getWidth() - width - 10, 10
    local bottom, scale = top + height - 10, (height - 32) / HEIGHT_MS
    panel(left, top, width, height)
    local frames, worst = pace.frames, 0
    local first = math.max(1, #frames - FRAMES + 1)
    for i = first, #frames do
        local x = left + 10 + i - first
        local step, work = frames[i].step * 1e3, frames[i].work * 1e3
        worst = math.max(worst, work)
        graphics.setColor(1, 0.62, 0.2)
        bar(x, bottom, 0, math.max(step, 1 / scale), scale) -- A pixel at least.
        graphics.setColor(0.35, 0.75, 0.85)
        bar(x, bottom, step, work, scale)
    end
    graphics.setColor(1, 0.35, 0.3, 0.8)
    graphics.line(left + 10, bottom - 16.67 * scale, left + 10 + FRAMES, bottom - 16.67 * scale)
    graphics.setColor(1, 0.62, 0.2, 0.5)
    graphics.line(left + 10, bottom - game.budget_ms * scale, left + 10 + FRAMES,
        bottom - game.budget_ms * scale)
    graphics.setFont(small)
    graphics.setColor(0.85, 0.92, 0.95)
    graphics.print(("frame, worst %.1f ms"):format(worst), left + 10, top + 4)
    graphics.setColor(1, 0.72, 0.4)
    graphics.print("Ferry's step", left + 160, top + 4)
end

function hud.draw(game, pace)
    small, large = small or graphics.newFont(11), large or graphics.newFont(14)
    draw_counts(game)
    draw_frames(game, pace)
    graphics.setColor(1, 1, 1)
end

return hud
