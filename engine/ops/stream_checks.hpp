// What requests on streams, sockets and descriptors alone show to be wrong, and what they borrow.
#pragma once

#include <ferry/request.h>
#include <ferry/status.h>

#include <cstddef>

namespace ferry::ops {

ferry_status check_receive(const ferry_request &request);
ferry_status check_exactly(const ferry_request &request);
ferry_status check_until(const ferry_request &request);
ferry_status check_send(const ferry_request &request);
const void *send_borrows(const ferry_request &request, size_t *size);
ferry_status check_vectored(const ferry_request &request);
const void *vectored_borrows(const ferry_request &request, size_t *size);
ferry_status check_socket_set(const ferry_request &request);
ferry_status check_socket_address(const ferry_request &request);
ferry_status check_adopt(const ferry_request &request);
ferry_status check_copy(const ferry_request &request);

} // namespace ferry::ops
