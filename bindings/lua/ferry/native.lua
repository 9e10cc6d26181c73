-- The library, loaded and looked at: what every other file of the binding calls C.
local ffi = require("ffi")
local abi = require("ferry.abi")

ffi.cdef(abi.cdef)

-- Names of our own for the system's functions: another module may have declared those differently.
ffi.cdef([[
struct ferry_lua_time { int64_t seconds, nanoseconds; };
struct ferry_lua_poll { int32_t fd; int16_t events, revents; };
int ferry_lua_clock(int which, struct ferry_lua_time *) __asm__("clock_gettime");
int ferry_lua_poll(struct ferry_lua_poll *, unsigned long count, int timeout_ms) __asm__("poll");
void *ferry_lua_allocate(size_t size) __asm__("malloc");
void ferry_lua_free(void *memory) __asm__("free");
]])

local library = { constants = abi.constants, records = abi.records }

local function load_first(...)
    local reasons = {}
    for _, name in ipairs({ ... }) do
        local found, it = pcall(ffi.load, name)
        if found then
            return it
        end
        reasons[#reasons + 1] = it
    end
    error("cannot load the Ferry library (FERRY_LIBRARY names it): " .. table.concat(reasons, "; "))
end

local named = os.getenv("FERRY_LIBRARY")
library.C = named and load_first(named) or load_first("ferry", "libferry.so.0")

if library.C.ferry_api_level() < abi.api_level then
    error("the Ferry library is older than this binding")
end

local messages = {}

-- What a failed call returns: nil, message, code, and whatever else is to be told.
function library.failure(status, ...)
    local message = messages[status]
    if not message then
        message = ffi.string(library.C.ferry_status_message(status))
        messages[status] = message
    end
    return nil, message, status, ...
end

function library.status_name(status)
    return ffi.string(library.C.ferry_status_name(status))
end

local time = ffi.new("struct ferry_lua_time")
local CLOCK_MONOTONIC = 1

-- Seconds since some moment.
function library.now()
    ffi.C.ferry_lua_clock(CLOCK_MONOTONIC, time)
    return tonumber(time.seconds) + tonumber(time.nanoseconds) * 1e-9
end

-- A float's seconds as whole nanoseconds; nothing, a negative or an endless time is none.
function library.nanoseconds(seconds)
    if not seconds or seconds == math.huge then
        return 0
    end
    return math.max(1, math.ceil(seconds * 1e9))
end

return library
