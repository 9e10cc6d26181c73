// Prepare functions: streams.
#include "begin.hpp"

#include <ferry/stream.h>

using ferry::Prepared;
using ferry::word;

void ferry_prepare_stream_receive(ferry_request *request, ferry_handle stream, void *buffer,
                                  size_t size) {
    Prepared receive(request, FERRY_OP_STREAM_RECEIVE, stream);
    receive->receive.buffer_u64 = word(buffer);
    receive->receive.size = size;
}

void ferry_prepare_stream_receive_multishot(ferry_request *request, ferry_handle stream) {
    Prepared receive(request, FERRY_OP_STREAM_RECEIVE, stream, FERRY_MULTISHOT | FERRY_LEND);
}

void ferry_prepare_stream_receive_exactly(ferry_request *request, ferry_handle stream, void *buffer,
                                          size_t size) {
    Prepared receive(request, FERRY_OP_STREAM_RECEIVE_EXACTLY, stream);
    receive->receive.buffer_u64 = word(buffer);
    receive->receive.size = size;
}

void ferry_prepare_stream_receive_until(ferry_request *request, ferry_handle stream, void *buffer,
                                        size_t size, const void *delimiter, size_t delimiter_size) {
    Prepared receive(request, FERRY_OP_STREAM_RECEIVE_UNTIL, stream);
    ferry_receive_until_params &until = receive->receive_until;
    until.buffer_u64 = word(buffer);
    until.size = size;
    // What does not fit is refused at submit, by its size.
    if (delimiter != nullptr && delimiter_size <= sizeof until.delimiter)
        std::memcpy(until.delimiter, delimiter, delimiter_size);
    until.delimiter_size = delimiter != nullptr ? delimiter_size : 0;
}

void ferry_prepare_stream_send(ferry_request *request, ferry_handle stream, const void *data,
                               size_t size) {
    Prepared send(request, FERRY_OP_STREAM_SEND, stream);
    send->send.data_u64 = word(data);
    send->send.size = size;
}

void ferry_prepare_stream_send_vectored(ferry_request *request, ferry_handle stream,
                                        const ferry_slice *slices, size_t count) {
    Prepared send(request, FERRY_OP_STREAM_SEND_VECTORED, stream);
    send->slices.slices_u64 = word(slices);
    send->slices.count = count;
}

void ferry_prepare_stream_shutdown(ferry_request *request, ferry_handle stream) {
    Prepared shutdown(request, FERRY_OP_STREAM_SHUTDOWN, stream);
}
