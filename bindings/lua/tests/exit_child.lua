-- Ends with 100 operations in flight, in the way its argument says: exit, close, error, end.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. package.path
local ferry = require("ferry")

local listener = assert(ferry.listen("127.0.0.1", 0))
local stream = assert(ferry.connect("127.0.0.1", listener.port))
ferry.spawn(function() return stream:receive_exactly(1000) end)
ferry.spawn(function() return stream:receive_all()() end)
for _ = 3, 100 do
    ferry.spawn(ferry.sleep, 3600)
end
ferry.step()
assert(ferry.info().ops_in_flight >= 99)

if arg[1] == "exit" then
    os.exit(7)
elseif arg[1] == "close" then
    os.exit(7, true)
elseif arg[1] == "error" then
    error("on purpose")
end
