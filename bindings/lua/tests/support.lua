-- What the scenarios have in common: expectations, the peer, bytes to send, a hash to compare.
local ffi = require("ffi")
local bit = require("bit")
local ferry = require("ferry")

local support = {}

-- ---- expectations -------------------------------------------------------------------------------

local function shown(value)
    local text = tostring(value)
    return #text > 80 and text:sub(1, 80) .. "..." or text
end

function support.equal(got, wanted, what)
    if got ~= wanted then
        error(("%s: expected %s, came %s"):format(what or "value", shown(wanted), shown(got)), 2)
    end
end

function support.expect(condition, what)
    if not condition then
        error(what, 2)
    end
end

-- fails({ ferry.X, ferry.Y }, call(...)): nothing came, and the code is one of these.
function support.fails(codes, value, message, code)
    codes = type(codes) == "table" and codes or { codes }
    local names = {}
    for i, wanted in ipairs(codes) do
        if value == nil and code == wanted and type(message) == "string" then
            return
        end
        names[i] = ferry.code_name(wanted)
    end
    error(("expected %s, came %s, %s, %s"):format(table.concat(names, " or "), shown(value),
        shown(message), code and ferry.code_name(code) or "no code"), 2)
end

-- ---- the peer -----------------------------------------------------------------------------------

support.peer_host, support.peer_port = os.getenv("FERRY_PEER"):match("^(.*):(%d+)$")
support.peer_port = tonumber(support.peer_port)
support.scratch = os.getenv("FERRY_SCRATCH")

-- A connection to the peer, which then behaves as `line` says.
function support.peer(engine, line)
    local stream = assert(engine:connect(support.peer_host, support.peer_port))
    assert(stream:send(line .. "\n"))
    return stream
end

-- A listener, and the two ends of a connection to it.
function support.pair(engine)
    local listener = assert(engine:listen("127.0.0.1", 0))
    local client
    local task = engine:spawn(function()
        client = assert(engine:connect("127.0.0.1", listener.port))
    end)
    local server = assert(listener:accept())
    task:join()
    return listener, server, client
end

-- A port that nobody listens on.
function support.closed_port(engine)
    local listener = assert(engine:listen("127.0.0.1", 0))
    local port = listener.port
    assert(listener:close())
    return port
end

function support.join_all(tasks)
    for _, task in ipairs(tasks) do
        local _, problem = task:join()
        if task.problem then
            error(problem, 0)
        end
    end
end

-- Receive to the end.
function support.receive_rest(stream)
    local pieces = {}
    while true do
        local piece, message = stream:receive()
        if not piece then
            assert(not message, message)
            return table.concat(pieces)
        end
        pieces[#pieces + 1] = piece
    end
end

-- ---- bytes --------------------------------------------------------------------------------------

local noise = {}
for i = 1, 65536 + 4096 do
    noise[i] = string.char(math.random(0, 255))
end
noise = table.concat(noise)

function support.random_bytes(size)
    local pieces = {}
    while size > 0 do
        local from, count = math.random(1, 4096), math.min(size, 65536)
        pieces[#pieces + 1] = noise:sub(from, from + count - 1)
        size = size - count
    end
    return table.concat(pieces)
end

-- The bytes 0, 1, 2, ... that the peer sends, from the byte `first` on.
local series = {}
for i = 0, 255 do
    series[i + 1] = string.char(i)
end
series = table.concat(series)

function support.series(first, size)
    local turns = math.ceil(size / 256) + 1
    return series:rep(turns):sub(first % 256 + 1, first % 256 + size)
end

-- ---- SHA-256 (FIPS 180-4) -----------------------------------------------------------------------

local band, bxor, bnot, ror, rshift = bit.band, bit.bxor, bit.bnot, bit.ror, bit.rshift

-- The first 32 bits behind the point of a number.
local function fraction(number)
    return bit.tobit(math.floor(number % 1 * 2 ^ 32))
end

local K, FIRST = {}, {}
do
    local prime, found = 2, 0
    while found < 64 do
        local divisor = 2
        while divisor * divisor <= prime and prime % divisor ~= 0 do
            divisor = divisor + 1
        end
        if divisor * divisor > prime then
            -- The cube root with all its bits: one step of Newton's.
            local root = prime ^ (1 / 3)
            root = root - (root * root * root - prime) / (3 * root * root)
            K[found] = fraction(root)
            if found < 8 then
                FIRST[found] = fraction(math.sqrt(prime))
            end
            found = found + 1
        end
        prime = prime + 1
    end
end

local w = ffi.new("int32_t[64]")
local state = ffi.new("int32_t[8]")

local function block(bytes)
    for i = 0, 15 do
        w[i] = bit.bswap(ffi.cast("const int32_t *", bytes)[i])
    end
    for i = 16, 63 do
        local a, b = w[i - 15], w[i - 2]
        local s0 = bxor(ror(a, 7), ror(a, 18), rshift(a, 3))
        local s1 = bxor(ror(b, 17), ror(b, 19), rshift(b, 10))
        w[i] = bit.tobit(w[i - 16] + s0 + w[i - 7] + s1)
    end
    local a, b, c, d = state[0], state[1], state[2], state[3]
    local e, f, g, h = state[4], state[5], state[6], state[7]
    for i = 0, 63 do
        local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
        local t1 = h + s1 + bxor(band(e, f), band(bnot(e), g)) + K[i] + w[i]
        local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
        local t2 = s0 + bxor(band(a, b), band(a, c), band(b, c))
        h, g, f, e, d, c, b, a = g, f, e, bit.tobit(d + t1), c, b, a, bit.tobit(t1 + t2)
    end
    local sums = { a, b, c, d, e, f, g, h }
    for i = 0, 7 do
        state[i] = bit.tobit(state[i] + sums[i + 1])
    end
end

function support.sha256(text)
    for i = 0, 7 do
        state[i] = FIRST[i]
    end
    local bits = #text * 8
    local tail = "\128" .. ("\0"):rep((55 - #text) % 64) .. ("\0"):rep(3)
    for shift = 4, 0, -1 do
        tail = tail .. string.char(math.floor(bits / 256 ^ shift) % 256)
    end
    text = text .. tail
    local bytes = ffi.cast("const char *", text)
    for i = 0, #text - 64, 64 do
        block(bytes + i)
    end
    local words = {}
    for i = 0, 7 do
        words[i + 1] = bit.tohex(state[i])
    end
    return table.concat(words)
end

-- What the peer says it has counted.
function support.counted(text)
    return ("%d %s\n"):format(#text, support.sha256(text))
end

return support
