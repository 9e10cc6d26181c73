-- The landscape: where the river flows and what every pixel of it looks like. It repeats after
-- river.LENGTH pixels. Plain Lua: the game and the maker of the tiles both use it.
local bit = require("bit")

local floor, sin, abs, min, max = math.floor, math.sin, math.abs, math.min, math.max
local band, bxor, rshift, tobit = bit.band, bit.bxor, bit.rshift, bit.tobit

local river = { TILE = 32, COLUMNS = 96, ROWS = 12 }
river.LENGTH, river.HEIGHT = river.TILE * river.COLUMNS, river.TILE * river.ROWS
local TURN = 2 * math.pi / river.LENGTH

function river.center(x)
    local t = x * TURN
    return 180 + 52 * sin(3 * t) + 26 * sin(7 * t + 1) + 9 * sin(17 * t)
end

function river.half_width(x)
    local t = x * TURN
    return 60 + 14 * sin(5 * t + 2) + 8 * sin(13 * t)
end

-- A number from 0 to 1 for each whole point.
local function scatter(x, y, salt)
    local h = tobit(x * 374761393 % 4294967296 + y * 668265263 % 4294967296 + salt * 974711)
    h = bxor(h, rshift(h, 13))
    h = tobit(band(h, 0xffff) * 40503 + rshift(h, 16) * 30011 + 12345)
    h = bxor(h, rshift(h, 11))
    h = tobit(band(h, 0xffff) * 52711 + rshift(h, 16) * 9176)
    return band(bxor(h, rshift(h, 15)), 0xffff) / 65536
end
river.scatter = scatter

local function smooth(t)
    return t * t * (3 - 2 * t)
end

-- Noise of cells of `size` pixels, which must divide the river's length.
local function noise(x, y, size, salt)
    local columns = river.LENGTH / size
    local cx, cy = floor(x / size), floor(y / size)
    local tx, ty = smooth(x / size - cx), smooth(y / size - cy)
    local left, right = cx % columns, (cx + 1) % columns
    local a, b = scatter(left, cy, salt), scatter(right, cy, salt)
    local c, d = scatter(left, cy + 1, salt), scatter(right, cy + 1, salt)
    local above, below = a + (b - a) * tx, c + (d - c) * tx
    return above + (below - above) * ty
end

local function rough(x, y, salt)
    return 0.55 * noise(x, y, 48, salt) + 0.3 * noise(x, y, 16, salt + 1) +
        0.15 * noise(x, y, 6, salt + 2)
end

local function mix(a, b, t)
    t = min(1, max(0, t))
    return a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t, a[3] + (b[3] - a[3]) * t
end

local DEEP, SHALLOW, FOAM = { 24, 82, 124 }, { 58, 146, 170 }, { 176, 216, 214 }
local SAND, WET = { 226, 204, 150 }, { 190, 164, 116 }
local GRASS, MEADOW = { 92, 148, 72 }, { 138, 180, 88 }
local WHEAT, FURROW = { 214, 186, 98 }, { 186, 156, 78 }
local LEAF, SUNLIT, SHADE = { 38, 92, 54 }, { 92, 152, 78 }, { 40, 66, 44 }
local ROOF, RIDGE, WALL = { 178, 74, 58 }, { 210, 112, 86 }, { 122, 48, 42 }

-- How far from the water; negative is in it.
local function shore(x, y)
    return abs(y - river.center(x)) - river.half_width(x) + (rough(x, y, 3) - 0.5) * 34
end

local function water(x, y, distance)
    local r, g, b = mix(SHALLOW, DEEP, -distance / 46)
    local ripple = (noise(x, y * 2, 12, 11) - 0.5) * 14
    if distance > -3 then
        r, g, b = mix({ r, g, b }, FOAM, (distance + 3) / 3 * 0.8)
    end
    return r + ripple, g + ripple, b + ripple
end

-- One thing at most in each cell of a grid: calls see(dx, dy, chance, salt) for those near by.
local function nearest(x, y, cell, salt)
    local columns = river.LENGTH / cell
    local best, which
    local cx, cy = floor(x / cell), floor(y / cell)
    for iy = cy - 1, cy + 1 do
        for ix = cx - 1, cx + 1 do
            local column = ix % columns
            local px = (ix + 0.2 + 0.6 * scatter(column, iy, salt)) * cell
            local py = (iy + 0.2 + 0.6 * scatter(column, iy, salt + 1)) * cell
            local d = (x - px) ^ 2 + (y - py) ^ 2
            if not best or d < best then
                best, which = d, { px, py, scatter(column, iy, salt + 2) }
            end
        end
    end
    return math.sqrt(best), which
end

local function tree(x, y)
    local distance, at = nearest(x, y, 12, 31)
    if shore(at[1], at[2]) < 16 or rough(at[1], at[2], 51) < 0.52 then
        return nil
    end
    local radius = 4 + 3 * at[3]
    if distance < radius then
        local light = (at[1] - x + at[2] - y) / radius * 0.5 + 0.45
        return mix(LEAF, SUNLIT, light + (noise(x, y, 4, 61) - 0.5) * 0.6)
    elseif (x - at[1] - 3) ^ 2 + (y - at[2] - 3) ^ 2 < radius * radius then
        return SHADE[1], SHADE[2], SHADE[3]
    end
end

local function house(x, y)
    local _, at = nearest(x, y, 96, 71)
    local dx, dy = x - at[1], y - at[2]
    local away = shore(at[1], at[2])
    if away < 22 or away > 90 or at[3] < 0.35 then
        return nil
    end
    if abs(dx) < 11 and abs(dy) < 7 then
        if abs(dy) < 1 then
            return RIDGE[1], RIDGE[2], RIDGE[3]
        end
        return mix(ROOF, WALL, dy / 9 + (floor(x) % 3 == 0 and 0.12 or 0))
    elseif abs(dx - 3) < 11 and abs(dy - 3) < 7 then
        return SHADE[1], SHADE[2], SHADE[3]
    end
end

local function field(x, y)
    local fx, fy = floor(x / 64), floor(y / 48)
    if scatter(fx, fy, 81) < 0.72 then
        return nil
    end
    local edge = min(x % 64, 64 - x % 64, y % 48, 48 - y % 48)
    if edge < 3 then
        return nil
    end
    local striped = scatter(fx, fy, 82) < 0.5 and x or y
    return mix(WHEAT, FURROW, striped % 6 < 2 and 0.9 or (rough(x, y, 85) - 0.3))
end

-- Red, green and blue, 0 to 255.
function river.color(x, y)
    local distance = shore(x, y)
    if distance < 0 then
        return water(x, y, distance)
    elseif distance < 9 then
        local grain = (noise(x, y, 3, 21) - 0.5) * 18
        local r, g, b = mix(WET, SAND, distance / 5)
        return r + grain, g + grain, b + grain
    end
    local r, g, b = house(x, y)
    if not r then
        r, g, b = tree(x, y)
    end
    if not r and distance > 34 then
        r, g, b = field(x, y)
    end
    if r then
        return r, g, b
    end
    local grain = (noise(x, y, 3, 25) - 0.5) * 16
    r, g, b = mix(GRASS, MEADOW, rough(x, y, 41) * 1.6 - 0.4)
    return r + grain, g + grain, b + grain
end

return river
