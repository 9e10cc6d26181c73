-- The plain way: whatever the frame wants is read within the frame.
return function(game)
    local loader = {}

    function loader.update()
        for tile in game.next_wanted do
            local bytes = love.filesystem.read("tiles/" .. tile.name)
            local pixels = love.image.newImageData(game.TILE, game.TILE, "rgba8", bytes)
            game.loaded(tile, love.graphics.newImage(pixels))
        end
    end

    return loader
end
