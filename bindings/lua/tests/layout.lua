-- Every record's size and every field's offset: what LuaJIT makes of the declarations, what
-- ferry.json says, and what the loaded library says.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. package.path
local ffi = require("ffi")
local library = require("ferry.native")
local C = library.C

local checked = 0

local function same(what, ours, json, theirs)
    if ours ~= json or ours ~= theirs then
        error(("%s: %s here, %d in ferry.json, %d in the library"):format(what, tostring(ours),
            json, theirs))
    end
    checked = checked + 1
end

-- ffi.offsetof knows no members of members: "params.timer" is one of a union, so at its place.
local function offset_here(record, field)
    local outer = field:match("^(.-)%.")
    return ffi.offsetof(record, outer or field)
end

for name, record in pairs(library.records) do
    same(name, ffi.sizeof(name), record.size, C.ferry_layout_size(name, nil))
    for _, row in ipairs(record) do
        local field, offset, size = row[1], row[2], row[3]
        local what = name .. "." .. field
        if field ~= "params" then -- The library names its members only.
            same(what .. "'s offset", offset_here(name, field), offset,
                C.ferry_layout_offset(name, field))
            same(what .. "'s size", C.ferry_layout_size(name, field), size,
                C.ferry_layout_size(name, field))
        end
    end
end
assert(C.ferry_layout_size("ferry_nothing", nil) < 0)
assert(checked > 200, "too few fields: " .. checked)
print(checked .. " sizes and offsets agree")
