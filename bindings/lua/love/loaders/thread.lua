-- LÖVE's own way: a thread reads and decodes, the frame makes images of what it has sent.
local WORKER = [[
local wanted, ready, size = ...
require("love.image")
require("love.filesystem")
while true do
    local name = wanted:demand()
    if name == "quit" then return end
    local bytes = love.filesystem.read("tiles/" .. name)
    ready:push({ name, love.image.newImageData(size, size, "rgba8", bytes) })
end
]]

return function(game)
    local wanted, ready = love.thread.newChannel(), love.thread.newChannel()
    local thread = love.thread.newThread(WORKER)
    local tiles, loader = {}, {}
    thread:start(wanted, ready, game.TILE)

    function loader.update()
        for tile in game.next_wanted do
            tiles[tile.name] = tile
            wanted:push(tile.name)
        end
        for message in function() return ready:pop() end do
            game.loaded(tiles[message[1]], love.graphics.newImage(message[2]))
        end
    end

    function loader.quit()
        wanted:clear()
        wanted:push("quit")
        thread:wait()
    end

    return loader
end
