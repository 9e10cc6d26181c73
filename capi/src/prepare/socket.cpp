// Prepare functions: sockets.
#include "begin.hpp"

#include <ferry/socket.h>

using ferry::Prepared;

void ferry_prepare_socket_set(ferry_request *request, ferry_handle socket, uint32_t option,
                              int64_t value) {
    Prepared set(request, FERRY_OP_SOCKET_SET, socket);
    set->socket_set.option = option;
    set->socket_set.value = value;
}

void ferry_prepare_socket_local_address(ferry_request *request, ferry_handle socket) {
    Prepared address(request, FERRY_OP_SOCKET_ADDRESS, socket);
}

void ferry_prepare_socket_peer_address(ferry_request *request, ferry_handle socket) {
    Prepared address(request, FERRY_OP_SOCKET_ADDRESS, socket);
    address->socket_address.peer = 1;
}
