-- Whole-file load on luv: open, fstat, read and close, each a request to its thread pool.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local uv = require("luv")
local job = require("files_job")

local function begin()
    local path = job.next()
    if not path then
        return
    end
    uv.fs_open(path, "r", 438, function(_, file)
        uv.fs_fstat(file, function(_, info)
            uv.fs_read(file, info.size, 0, function(_, bytes)
                job.loaded(bytes)
                uv.fs_close(file, begin)
            end)
        end)
    end)
end

local function now()
    return uv.hrtime() * 1e-9
end

job.measure(now, function()
    for _ = 1, job.in_flight do
        begin()
    end
    uv.run()
end)
