// The prepare functions: every byte of the record is written, nothing else happens.
#include <ferry/file.h>
#include <ferry/request.h>
#include <ferry/stream.h>
#include <ferry/tcp.h>
#include <ferry/timer.h>

#include <cstring>

// Into a record of our own when there is none, so that no function below must ask.
static ferry_request &begin(ferry_request *request, ferry_request &none, uint16_t opcode,
                            ferry_handle target = FERRY_NONE, uint32_t flags = 0) {
    ferry_request &filled = request != nullptr ? *request : none;
    std::memset(&filled, 0, sizeof filled);
    filled.opcode = opcode;
    filled.target = target;
    filled.flags = flags;
    return filled;
}

void ferry_prepare_nop(ferry_request *request) {
    ferry_request none;
    begin(request, none, FERRY_OP_NOP);
}

void ferry_prepare_handle_close(ferry_request *request, ferry_handle handle) {
    ferry_request none;
    begin(request, none, FERRY_OP_HANDLE_CLOSE, handle);
}

void ferry_prepare_timer(ferry_request *request, uint64_t delay_ns, uint64_t interval_ns) {
    ferry_request none;
    uint32_t flags = interval_ns != 0 ? FERRY_MULTISHOT : 0;
    ferry_request &timer = begin(request, none, FERRY_OP_TIMER, FERRY_NONE, flags);
    timer.params.timer.delay_ns = delay_ns;
    timer.params.timer.interval_ns = interval_ns;
}

void ferry_prepare_tcp_listen(ferry_request *request, const ferry_address *address,
                              uint32_t backlog) {
    ferry_request none;
    ferry_request &listen = begin(request, none, FERRY_OP_TCP_LISTEN);
    // Without an address the family stays 0, which submit refuses.
    if (address != nullptr)
        listen.params.listen.address = *address;
    listen.params.listen.backlog = backlog;
}

void ferry_prepare_tcp_accept(ferry_request *request, ferry_handle listener) {
    ferry_request none;
    begin(request, none, FERRY_OP_TCP_ACCEPT, listener, FERRY_MULTISHOT);
}

void ferry_prepare_tcp_connect(ferry_request *request, const ferry_address *address) {
    ferry_request none;
    ferry_request &connect = begin(request, none, FERRY_OP_TCP_CONNECT);
    if (address != nullptr)
        connect.params.connect.address = *address;
}

void ferry_prepare_stream_receive(ferry_request *request, ferry_handle stream, void *buffer,
                                  size_t size) {
    ferry_request none;
    ferry_request &receive = begin(request, none, FERRY_OP_STREAM_RECEIVE, stream);
    receive.params.receive.buffer_u64 = reinterpret_cast<uintptr_t>(buffer);
    receive.params.receive.size = size;
}

void ferry_prepare_stream_receive_multishot(ferry_request *request, ferry_handle stream) {
    ferry_request none;
    begin(request, none, FERRY_OP_STREAM_RECEIVE, stream, FERRY_MULTISHOT | FERRY_LEND);
}

void ferry_prepare_stream_send(ferry_request *request, ferry_handle stream, const void *data,
                               size_t size) {
    ferry_request none;
    ferry_request &send = begin(request, none, FERRY_OP_STREAM_SEND, stream);
    send.params.send.data_u64 = reinterpret_cast<uintptr_t>(data);
    send.params.send.size = size;
}

void ferry_prepare_file_load(ferry_request *request, const char *path, uint64_t size_max) {
    ferry_request none;
    ferry_request &load = begin(request, none, FERRY_OP_FILE_LOAD);
    load.params.load.path_u64 = reinterpret_cast<uintptr_t>(path);
    load.params.load.size_max = size_max;
}
