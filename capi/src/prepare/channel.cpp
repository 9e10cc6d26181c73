// Prepare functions: channels.
#include "begin.hpp"

#include <ferry/channel.h>

using ferry::Prepared;

void ferry_prepare_channel_open(ferry_request *request, uint32_t capacity) {
    Prepared open(request, FERRY_OP_CHANNEL_OPEN);
    open->channel.capacity = capacity;
}

void ferry_prepare_channel_send(ferry_request *request, ferry_handle channel, int64_t result,
                                uint64_t data_u64) {
    Prepared send(request, FERRY_OP_CHANNEL_SEND, channel);
    send->message = {result, data_u64};
}

void ferry_prepare_channel_receive(ferry_request *request, ferry_handle channel) {
    Prepared receive(request, FERRY_OP_CHANNEL_RECEIVE, channel, FERRY_MULTISHOT);
}

void ferry_prepare_channel_finish(ferry_request *request, ferry_handle channel) {
    Prepared finish(request, FERRY_OP_CHANNEL_FINISH, channel);
}
