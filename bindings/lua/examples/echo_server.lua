-- An echo server: luajit echo_server.lua [port]
local ferry = require("ferry")

ferry.run(function()
    local listener = assert(ferry.listen("127.0.0.1", tonumber(arg[1] or 0)))
    print("port " .. listener.port)
    io.stdout:flush()
    listener:serve(function(stream)
        for piece in stream:pieces() do
            if not stream:send(piece) then
                break
            end
        end
    end)
end)
