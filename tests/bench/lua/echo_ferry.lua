-- Echo server on Ferry's Lua binding, as a user writes it: a task for each connection. Prints
-- "port N".
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../../../bindings/lua/?.lua;" .. package.path
local ferry = require("ferry")

ferry.run(function()
    local listener = assert(ferry.listen("127.0.0.1", 0, { backlog = 4096 }))
    print("port " .. listener.port)
    io.stdout:flush()
    listener:serve(function(stream)
        for piece in stream:pieces() do
            stream:send(piece)
        end
    end)
end)
