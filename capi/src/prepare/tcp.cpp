// Prepare functions: TCP. Without an address the family stays 0, which submit refuses.
#include "begin.hpp"

#include <ferry/tcp.h>

using ferry::Prepared;
using ferry::word;

void ferry_prepare_tcp_listen(ferry_request *request, const ferry_address *address,
                              uint32_t backlog) {
    Prepared listen(request, FERRY_OP_TCP_LISTEN);
    if (address != nullptr)
        listen->listen.address = *address;
    listen->listen.backlog = backlog;
}

void ferry_prepare_tcp_accept(ferry_request *request, ferry_handle listener) {
    Prepared accept(request, FERRY_OP_TCP_ACCEPT, listener, FERRY_MULTISHOT);
}

void ferry_prepare_tcp_connect(ferry_request *request, const ferry_address *address) {
    ferry_prepare_tcp_connect_from(request, address, nullptr);
}

void ferry_prepare_tcp_connect_from(ferry_request *request, const ferry_address *address,
                                    const ferry_address *local) {
    Prepared connect(request, FERRY_OP_TCP_CONNECT);
    if (address != nullptr)
        connect->connect.address = *address;
    if (local != nullptr)
        connect->connect.local = *local;
}

void ferry_prepare_tcp_connect_name(ferry_request *request, const char *name, uint16_t port) {
    Prepared connect(request, FERRY_OP_TCP_CONNECT_NAME);
    connect->connect_name.name_u64 = word(name);
    connect->connect_name.port = port;
}
