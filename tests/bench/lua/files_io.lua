-- Whole-file load the plain way: io.open, one after the other.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. here .. "/../../../bindings/lua/?.lua;" .. package.path
local now = require("ferry").now
local job = require("files_job")

job.measure(now, function()
    for path in job.next do
        local file = assert(io.open(path, "rb"))
        job.loaded(file:read("*a"))
        file:close()
    end
end)
