-- All operations by name, and descriptions of them for compositions.
local common = require("ferry.operations.common")

local operations = { make = common.make }

for _, name in ipairs({ "time", "sockets", "streams", "files", "compose" }) do
    for operation, pair in pairs(require("ferry.operations." .. name)) do
        operations[operation] = pair
    end
end

local Description = {}
Description.__index = Description

-- The description, with a deadline of so many seconds from its own start.
function Description:within(seconds)
    self.timeout = seconds
    return self
end

-- ferry.op.sleep(1) and so on: the same arguments, nothing happens yet.
operations.describe = setmetatable({}, {
    __index = function(_, name)
        local operation = operations[name]
        if type(operation) ~= "table" or not operation.finish then
            error("no operation is called " .. tostring(name), 2)
        end
        return function(...)
            return setmetatable({ operation = operation, ... }, Description)
        end
    end,
})

return operations
