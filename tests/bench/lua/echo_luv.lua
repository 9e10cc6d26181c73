-- Echo server on luv's callbacks: the peer of echo_ferry.lua. Prints "port N".
local uv = require("luv")

local server = uv.new_tcp()
assert(server:bind("127.0.0.1", 0))
assert(server:listen(4096, function(problem)
    assert(not problem, problem)
    local client = uv.new_tcp()
    assert(server:accept(client))
    client:nodelay(true)
    client:read_start(function(failed, piece)
        if piece then
            client:write(piece)
        elseif failed or not client:is_closing() then
            client:close()
        end
    end)
end))
print("port " .. server:getsockname().port)
io.stdout:flush()
uv.run()
