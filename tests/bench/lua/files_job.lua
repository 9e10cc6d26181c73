-- The job of the three file benchmarks: load every file of a folder, so many times over.
--
--     files_... FOLDER COUNT PASSES
--
-- The runner has made COUNT files of 4 KiB there, named 0, 1, 2 ...
local job = { in_flight = 64 }
local folder, count, passes = arg[1], tonumber(arg[2]), tonumber(arg[3])
local begun, done = 0, 0

-- The next path, or nil when all have begun.
function job.next()
    if begun < count * passes then
        begun = begun + 1
        return ("%s/%d"):format(folder, begun % count)
    end
end

-- Count one; its length and a byte of it are checked.
function job.loaded(bytes)
    assert(#bytes == 4096 and bytes:byte(4096) == 102, "a file was loaded wrongly")
    done = done + 1
end

-- `now` gives seconds. Prints {"count":..,"elapsed_ns":..,"cpu_ns":..}.
function job.measure(now, run)
    for i = 0, count - 1 do -- From here on the page cache is hot.
        assert(io.open(folder .. "/" .. i, "rb")):read("*a")
    end
    collectgarbage()
    local start, cpu = now(), os.clock()
    run()
    assert(done == count * passes)
    print(('{"count":%d,"elapsed_ns":%.0f,"cpu_ns":%.0f}'):format(done, (now() - start) * 1e9,
        (os.clock() - cpu) * 1e9))
end

return job
