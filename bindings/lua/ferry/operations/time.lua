-- Time, and messages between tasks.
local library = require("ferry.native")
local common = require("ferry.operations.common")

local K = library.constants
local nanoseconds = library.nanoseconds
local OK, MULTISHOT = K.OK, K.MULTISHOT
local failed, finish_plainly = common.failed, common.finish_plainly
local finish_opened, plain = common.finish_opened, common.plain
local operations = {}

-- ---- time ---------------------------------------------------------------------------------------

operations.nop = {
    fill = function(request) request.opcode = K.OP_NOP end,
    finish = finish_plainly,
}

operations.sleep = {
    fill = function(request, seconds)
        request.opcode = K.OP_TIMER
        request.params.timer.delay_ns = seconds > 0 and math.ceil(seconds * 1e9) or 0
    end,
    finish = finish_plainly,
}

operations.interval = {
    fill = function(request, seconds)
        request.opcode, request.flags = K.OP_TIMER, MULTISHOT
        request.params.timer.delay_ns = nanoseconds(seconds)
        request.params.timer.interval_ns = nanoseconds(seconds)
    end,
    decode = function(_, result) return result end,
}

-- ---- channels -----------------------------------------------------------------------------------

operations.channel = {
    fill = function(request, capacity)
        request.opcode = K.OP_CHANNEL_OPEN
        request.params.channel.capacity = capacity
    end,
    finish = finish_opened("channel"),
}

-- A message is one or two whole numbers.
operations.channel_send = {
    fill = function(request, channel, first, second)
        request.opcode, request.target = K.OP_CHANNEL_SEND, channel.handle
        request.params.message.result, request.params.message.data_u64 = first, second or 0
    end,
    finish = finish_plainly,
}

operations.channel_receive = {
    fill = function(request, channel)
        request.opcode, request.target = K.OP_CHANNEL_RECEIVE, channel.handle
    end,
    finish = function(engine, status, result, record)
        if status == K.E_END then
            return nil
        elseif status ~= OK then
            return failed(engine, status, record)
        end
        return result, tonumber(record.data_u64)
    end,
}

operations.channel_receive_all = {
    fill = function(request, channel)
        operations.channel_receive.fill(request, channel)
        request.flags = MULTISHOT
    end,
    decode = function(_, result, record) return result, tonumber(record.data_u64) end,
}

operations.channel_finish = plain(K.OP_CHANNEL_FINISH)

return operations
