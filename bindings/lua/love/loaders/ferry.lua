-- Tiles through Ferry: each is a task that loads a file and makes an image of it. All of that
-- happens within engine:step(), and so within its budget.
local ffi = require("ffi")
local ferry = require("ferry")

local AT_ONCE = 32

return function(game)
    local under_way = 0

    local function load(tile)
        local bytes = ferry.load_lent(game.folder .. "/" .. tile.name)
        under_way = under_way - 1
        if bytes then
            local pixels = love.image.newImageData(game.TILE, game.TILE)
            ffi.copy(pixels:getFFIPointer(), bytes.data, math.min(#bytes, pixels:getSize()))
            bytes:release()
            game.loaded(tile, love.graphics.newImage(pixels))
        end
    end

    local loader = {}

    function loader.update()
        while under_way < AT_ONCE do
            local tile = game.next_wanted()
            if not tile then
                return
            end
            under_way = under_way + 1
            game.engine:spawn(load, tile)
        end
    end

    return loader
end
