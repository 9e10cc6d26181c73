-- What the engine lends or writes, and what outlives an engine's table: so that the collector, in
-- whatever order it works, frees nothing that is in use and forgets nothing that is open.
local ffi = require("ffi")
local library = require("ferry.native")

local C, K = library.C, library.constants

local owned = {}

-- Memory that the engine writes for as long as an operation runs. Not the collector's: when a state
-- is closed, that frees in any order.
ffi.cdef("struct ferry_lua_memory { char *data; };")
local Memory = ffi.typeof("struct ferry_lua_memory")

function owned.allocate(size)
    local data = ffi.C.ferry_lua_allocate(size)
    if data == nil then
        error("out of memory", 0)
    end
    return Memory(ffi.cast("char *", data))
end

function owned.free(memory)
    ffi.C.ferry_lua_free(memory.data)
    memory.data = nil
end

-- Free the memory among what was kept, that of a composition's children too.
function owned.drop(anchors)
    for _, anchor in pairs(anchors) do
        if ffi.istype(Memory, anchor) then
            owned.free(anchor)
        elseif type(anchor) == "table" and anchor.children then
            owned.drop(anchor)
        end
    end
end

-- By number: what is left of each engine that is not destroyed. Anchors are held here and not by
-- the engine's table alone: the collector may take that before the engine has let go of them.
local alive = {}
local last_number = 0

-- A number for an engine, which is to be destroyed by it.
function owned.adopt(pointer, anchors)
    last_number = last_number + 1
    alive[last_number] = { pointer = pointer, anchors = anchors }
    return last_number
end

function owned.is_alive(number)
    return alive[number] ~= nil
end

-- Shut down and free. An engine that the system still holds something of is left as it is, with
-- whatever memory it may write.
function owned.destroy(number, timeout_ns)
    local state = alive[number]
    if not state then
        return K.OK
    end
    C.ferry_engine_shutdown(state.pointer, timeout_ns)
    local status = C.ferry_engine_destroy(state.pointer)
    if status == K.OK then
        alive[number] = nil
        owned.drop(state.anchors)
    end
    return status
end

-- A handle or a buffer that is given back when its owner is forgotten.
ffi.cdef([[
struct ferry_lua_handle { ferry_handle id; uint32_t engine; };
struct ferry_lua_buffer {
    union { const uint8_t *data; uint64_t data_u64; };
    uint64_t size; ferry_buffer id; uint32_t engine;
};
]])

owned.Handle = ffi.metatype("struct ferry_lua_handle", {
    __gc = function(self)
        local state = alive[self.engine]
        if state and self.id ~= 0 then
            C.ferry_handle_discard(state.pointer, self.id)
        end
    end,
})

local function release(self)
    local state = alive[self.engine]
    if state and self.id ~= 0 then
        C.ferry_buffer_release(state.pointer, self.id)
    end
    self.id, self.size, self.data_u64 = 0, 0, 0
end

-- Lent bytes: #buffer, tostring(buffer), buffer.data; given back by buffer:release().
owned.Buffer = ffi.metatype("struct ferry_lua_buffer", {
    __gc = release,
    __len = function(self) return tonumber(self.size) end,
    __tostring = function(self)
        return alive[self.engine] and self.size > 0 and ffi.string(self.data, self.size) or ""
    end,
    __index = { release = release },
})

return owned
