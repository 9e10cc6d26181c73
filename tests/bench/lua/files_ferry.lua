-- Whole-file load through Ferry: a task for each that is in flight.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. here .. "/../../../bindings/lua/?.lua;" .. package.path
local ferry = require("ferry")
local job = require("files_job")

local function load_some()
    for path in job.next do
        job.loaded(assert(ferry.load(path)))
    end
end

job.measure(ferry.now, function()
    for _ = 1, job.in_flight do
        ferry.spawn(load_some)
    end
    ferry.run()
end)
