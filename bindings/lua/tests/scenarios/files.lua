-- Files: whole ones, open ones, and one copied to a connection.
local ferry = require("ferry")
local support = require("support")

local equal, expect, fails = support.equal, support.expect, support.fails
local op = ferry.op

local FILES, AT_ONCE = 200, 16

local function path_of(name)
    return support.scratch .. "/" .. name
end

local function write_plainly(path, bytes)
    local file = assert(io.open(path, "wb"))
    file:write(bytes)
    file:close()
end

local function file_load(engine)
    local contents = {}
    for i = 1, FILES do
        local size = i == 1 and 0 or i == 2 and 100000 or math.random(0, 100000)
        contents[i] = support.random_bytes(size)
        write_plainly(path_of("load" .. i), contents[i])
    end
    local next_one = 0
    local function load_some()
        while next_one < FILES do
            next_one = next_one + 1
            local i = next_one
            local bytes = assert(engine:load(path_of("load" .. i)))
            expect(bytes == contents[i], "file " .. i .. " differs")
        end
    end
    local tasks = {}
    for i = 1, AT_ONCE do
        tasks[i] = engine:spawn(load_some)
    end
    support.join_all(tasks)
    local lent = assert(engine:load_lent(path_of("load2")))
    expect(tostring(lent) == contents[2], "the lent file differs")
    lent:release()
    fails(ferry.NOT_FOUND, engine:load(path_of("nowhere")))
    fails(ferry.LIMIT, engine:load(path_of("load2"), 99999))
end

local function file_store(engine)
    local path = path_of("stored")
    for _, bytes in ipairs({ "first", "", support.random_bytes(300000) }) do
        equal(engine:store(path, bytes), #bytes, "stored")
        expect(engine:load(path) == bytes, "what was stored differs")
    end
    local before = engine:load(path)
    fails(ferry.NOT_FOUND, engine:store(path_of("no/folder/here"), "x"))
    expect(engine:load(path) == before, "a failed store changed something")
end

local function file_io(engine)
    local file = assert(engine:open(path_of("open"), "x+"))
    equal(file:write("begin", 0), 5, "written")
    equal(file:write({ "e", "nd" }, 10000), 3, "written")
    equal(file:read(20000, 0), "begin" .. ("\0"):rep(9995) .. "end", "what was read")
    local info = assert(file:stat())
    equal(info.size, 10003, "size")
    equal(info.type, "file", "type")
    assert(file:truncate(3))
    assert(file:sync())
    equal(engine:stat(path_of("open")).size, 3, "size")
    equal(file:read(100), "beg", "at the file's own position")
    local value, message = file:read(100)
    expect(value == nil and message == nil, "the end is nil alone")
    assert(file:close())
    fails(ferry.EXISTS, engine:open(path_of("open"), "x"))
end

local function copy(engine)
    local bytes = support.random_bytes(1000000)
    write_plainly(path_of("copied"), bytes)
    local stream = support.peer(engine, "count")
    local results = assert(engine:chain({
        op.open(path_of("copied")),
        op.copy(ferry.child(1), stream),
        op.close(ferry.child(1)),
        op.shutdown(stream),
        op.receive_until(stream, "\n"),
    }))
    equal(results[2], #bytes, "copied")
    equal(results[5], support.counted(bytes), "count and hash")
    stream:close()
end

return {
    { "file-load", file_load }, { "file-store", file_store }, { "file-io", file_io },
    { "copy", copy },
}
