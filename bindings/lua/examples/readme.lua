-- A server and its clients, files and time, in one program on one thread.
local ferry = require("ferry")

local function serve(listener)
    listener:serve(function(stream)
        local line = stream:receive_until("\n")
        stream:send("you said: " .. line)
    end)
end

local function ask(port, text)
    local stream = assert(ferry.connect("127.0.0.1", port, 1)) -- In a second, or not at all.
    stream:send(text .. "\n")
    local answer, message = stream:receive_until("\n", 1000, 0.5)
    stream:close()
    return answer or message
end

ferry.run(function()
    local listener = assert(ferry.listen("127.0.0.1"))
    ferry.spawn(serve, listener)

    -- Three at the same time: each task is a coroutine, and each reads from top to bottom.
    local tasks = {}
    for i = 1, 3 do
        tasks[i] = ferry.spawn(ask, listener.port, "hello " .. i)
    end
    for _, task in ipairs(tasks) do
        io.write(task:join())
    end

    -- Failures are nil, a message and a code.
    local _, message, code = ferry.load("/no/such/file")
    print(message, code == ferry.NOT_FOUND)

    -- One request made of several; the engine runs it whole.
    local op, file = ferry.op, ferry.child(1)
    local results = assert(ferry.chain({ op.open(arg[0]), op.read(file, 17, 3), op.close(file) }))
    print(results[2])
    print(ferry.race({ op.sleep(3600), op.sleep(0.01) }))

    listener:close()
end)
