-- The conversation with the server, as tasks that read from top to bottom.
local ferry = require("ferry")

local harbour = {}

local function ping(game, stream)
    local number = 0
    while true do
        number = number + 1
        game.ping_sent, game.ping_number = ferry.now(), number
        if not stream:send("ping " .. number .. "\n") then
            return
        end
        ferry.sleep(0.25)
    end
end

-- Tell of what has been picked up since the last time.
local function report_cargo(game, stream)
    local told = 0
    while true do
        if game.cargo > told then
            if not stream:send("cargo " .. game.cargo - told .. "\n") then
                return
            end
            told = game.cargo
        end
        ferry.sleep(0.1)
    end
end

function harbour.visit(game, port)
    local stream, message = ferry.connect("127.0.0.1", port, 2)
    if not stream then
        game.harbour = message
        return
    end
    ferry.spawn(ping, game, stream)
    ferry.spawn(report_cargo, game, stream)
    for line in function() return stream:receive_until("\n", 256) end do
        local word, number = line:match("^(%a+) (%d+)\n$")
        if word == "score" then
            game.score = tonumber(number)
        elseif tonumber(number) == game.ping_number then
            game.ping_ms = (ferry.now() - game.ping_sent) * 1e3
            game.pings = (game.pings or 0) + 1
        end
    end
end

return harbour
