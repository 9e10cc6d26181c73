-- The harbour: answers pings and counts cargo. luajit server.lua, prints "port N".
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. package.path
local ferry = require("ferry")

local WORTH = 10

local function serve(stream)
    local score = 0
    while true do
        local line = stream:receive_until("\n", 256)
        if not line then
            return
        end
        local word, number = line:match("^(%a+) (%d+)\n$")
        if word == "ping" then
            stream:send("pong " .. number .. "\n")
        elseif word == "cargo" then
            score = score + WORTH * tonumber(number)
            stream:send("score " .. score .. "\n")
        else
            return
        end
    end
end

ferry.run(function()
    local listener = assert(ferry.listen("127.0.0.1"))
    print("port " .. listener.port)
    io.stdout:flush()
    listener:serve(serve)
end)
