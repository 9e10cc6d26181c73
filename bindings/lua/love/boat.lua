-- The ferry, its wake, and the cargo that drifts on the river.
local river = require("river")

local boat = {}
local graphics = love.graphics
local game
local CRATE_EVERY = 150

function boat.load(the_game)
    game = the_game
    boat.across, boat.tilt, boat.wake, boat.taken = 0, 0, {}, {}
end

local function place(x)
    return river.center(x) + boat.across
end

-- Crates lie at places of their own; which, the number of the stretch decides.
local function crate(number)
    local x = number * CRATE_EVERY + 60 * river.scatter(number, 5, 91)
    local aside = (river.scatter(number, 6, 92) - 0.5) * 1.3 * river.half_width(x)
    return x, river.center(x) + aside
end

local function steer(elapsed)
    local goal
    if love.keyboard.isDown("up", "down") then
        goal = boat.across + (love.keyboard.isDown("up") and -60 or 60)
    else
        local number = math.floor(boat.x / CRATE_EVERY)
        local x, y = crate(number)
        if x < boat.x + 6 or boat.taken[number] then
            x, y = crate(number + 1)
        end
        goal = y - river.center(x)
    end
    local most = river.half_width(boat.x) - 22
    goal = math.max(-most, math.min(most, goal))
    boat.across = boat.across + (goal - boat.across) * math.min(1, 2.6 * elapsed)
end

local function pick_up()
    local here = math.floor(boat.x / CRATE_EVERY)
    for number = here - 1, here + 1 do
        local x, y = crate(number)
        if not boat.taken[number] and math.abs(x - boat.x) < 26 and math.abs(y - boat.y) < 18 then
            boat.taken[number] = game.time
            game.cargo = game.cargo + 1
        end
    end
    boat.taken[here - 8] = nil
end

local function foam(elapsed)
    local wake = boat.wake
    boat.spray = (boat.spray or 0) + elapsed * 70
    while boat.spray > 1 do
        boat.spray = boat.spray - 1
        local side = math.random() < 0.5 and -1 or 1
        wake[#wake + 1] = { x = boat.x - 24 + math.random() * 6, age = 0,
            y = boat.y + side * (4 + math.random() * 4), drift = side * (6 + math.random() * 12) }
    end
    for i = #wake, 1, -1 do
        local drop = wake[i]
        drop.age, drop.y = drop.age + elapsed, drop.y + drop.drift * elapsed
        if drop.age > 1.5 then
            wake[i] = wake[#wake]
            wake[#wake] = nil
        end
    end
end

function boat.update(elapsed)
    boat.x = game.camera + graphics.getWidth() * 0.42
    steer(elapsed)
    boat.y = place(boat.x)
    boat.tilt = math.atan2(place(boat.x + 14) - place(boat.x - 14), 28)
    foam(elapsed)
    pick_up()
end

local function draw_crates()
    local first = math.floor(game.camera / CRATE_EVERY) - 1
    for number = first, first + math.ceil(graphics.getWidth() / CRATE_EVERY) + 2 do
        local x, y = crate(number)
        local taken = boat.taken[number]
        local rise = taken and game.time - taken or 0
        if rise < 0.6 then
            local bob = math.sin(game.time * 3 + number) * 1.5
            graphics.push()
            graphics.translate(x - game.camera, y + bob - rise * 40)
            graphics.rotate(math.sin(number) * 0.4)
            local alpha = 1 - rise / 0.6
            graphics.setColor(0.05, 0.15, 0.25, 0.35 * alpha)
            graphics.rectangle("fill", -6, -4, 15, 14, 3)
            graphics.setColor(0.80, 0.55, 0.28, alpha)
            graphics.rectangle("fill", -7, -7, 14, 14, 1.5)
            graphics.setColor(0.47, 0.28, 0.12, alpha)
            graphics.rectangle("line", -7, -7, 14, 14, 1.5)
            graphics.line(-7, -7, 7, 7)
            graphics.line(-7, 7, 7, -7)
            graphics.pop()
        end
    end
end

local function draw_wake()
    for _, drop in ipairs(boat.wake) do
        graphics.setColor(0.92, 0.98, 1, 0.5 * (1 - drop.age / 1.5))
        graphics.circle("fill", drop.x - game.camera, drop.y, 1.6 + 2.4 * drop.age)
    end
end

local function draw_hull()
    graphics.setColor(0.03, 0.12, 0.2, 0.35)
    graphics.polygon("fill", -26, 0, -22, 15, 18, 15, 32, 4, 18, -7, -22, -7)
    graphics.setColor(0.93, 0.94, 0.92)
    graphics.polygon("fill", -28, 0, -26, -11, 16, -11, 31, 0, 16, 11, -26, 11)
    graphics.setColor(0.77, 0.25, 0.2)
    graphics.setLineWidth(2)
    graphics.polygon("line", -28, 0, -26, -11, 16, -11, 31, 0, 16, 11, -26, 11)
    graphics.setLineWidth(1)
    graphics.setColor(0.62, 0.47, 0.32)
    graphics.rectangle("fill", -22, -7, 32, 14, 2)
end

local function draw_deck()
    for i = 1, math.min(6, game.cargo) do -- What has been picked up stands on the deck.
        local x, y = -20 + math.floor((i - 1) / 2) * 7.5, i % 2 == 1 and -6 or 0.5
        graphics.setColor(0.80, 0.55, 0.28)
        graphics.rectangle("fill", x, y, 6, 5.5)
        graphics.setColor(0.47, 0.28, 0.12)
        graphics.rectangle("line", x, y, 6, 5.5)
    end
    graphics.setColor(0.16, 0.32, 0.45)
    graphics.rectangle("fill", 5, -7, 10, 14, 2)
    graphics.setColor(0.75, 0.9, 0.98)
    graphics.rectangle("fill", 12, -5, 3, 10, 1)
    graphics.setColor(0.95, 0.75, 0.2)
    graphics.circle("fill", 8, 0, 3)
    graphics.setColor(1, 1, 1, 0.35)
    for i = 1, 3 do
        local age = (game.time * 0.7 + i / 3) % 1
        graphics.setColor(1, 1, 1, 0.4 * (1 - age))
        graphics.circle("fill", 8 - age * 26, -age * 4, 2 + age * 5)
    end
end

function boat.draw()
    draw_wake()
    draw_crates()
    graphics.push()
    graphics.translate(boat.x - game.camera, boat.y)
    graphics.rotate(boat.tilt * 0.7)
    draw_hull()
    draw_deck()
    graphics.pop()
end

return boat
