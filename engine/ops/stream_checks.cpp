#include "ops/stream_checks.hpp"

#include "base/id.hpp"

#include <ferry/descriptor.h>
#include <ferry/socket.h>
#include <ferry/stream.h>

namespace ferry::ops {

ferry_status check_receive(const ferry_request &request) {
    const ferry_receive_params &receive = request.params.receive;
    if ((request.flags & FERRY_LEND) != 0)
        return receive.buffer_u64 == 0 && receive.size == 0 ? FERRY_OK : FERRY_E_INVALID;
    if ((request.flags & FERRY_MULTISHOT) != 0)
        return FERRY_E_INVALID; // One buffer cannot hold what keeps coming.
    if (receive.buffer == nullptr || receive.size == 0 || receive.size > INT64_MAX)
        return FERRY_E_INVALID;
    return FERRY_OK;
}

ferry_status check_send(const ferry_request &request) {
    const ferry_send_params &send = request.params.send;
    if (send.data == nullptr || send.size == 0)
        return FERRY_E_INVALID;
    if ((request.flags & FERRY_COPY) != 0)
        return send.size > FERRY_COPY_MAX ? FERRY_E_LIMIT : FERRY_OK;
    return send.size > INT64_MAX ? FERRY_E_INVALID : FERRY_OK;
}

const void *send_borrows(const ferry_request &request, size_t *size) {
    if ((request.flags & FERRY_COPY) != 0)
        *size = static_cast<size_t>(request.params.send.size);
    return request.params.send.data;
}

ferry_status check_exactly(const ferry_request &request) {
    const ferry_receive_params &receive = request.params.receive;
    if (receive.buffer == nullptr || receive.size == 0 || receive.size > INT64_MAX)
        return FERRY_E_INVALID;
    return FERRY_OK;
}

ferry_status check_until(const ferry_request &request) {
    const ferry_receive_until_params &until = request.params.receive_until;
    bool lend = (request.flags & FERRY_LEND) != 0;
    if (lend != (until.buffer == nullptr) || until.size == 0 || until.size > INT64_MAX ||
        until.delimiter_size == 0 || until.delimiter_size > sizeof until.delimiter)
        return FERRY_E_INVALID;
    if ((request.flags & FERRY_MULTISHOT) != 0 && !lend)
        return FERRY_E_INVALID; // One buffer cannot hold what keeps coming.
    for (size_t i = until.delimiter_size; i < sizeof until.delimiter; ++i) {
        if (until.delimiter[i] != 0)
            return FERRY_E_UNSUPPORTED;
    }
    return lend && until.size > FERRY_UNTIL_LEND_MAX ? FERRY_E_LIMIT : FERRY_OK;
}

ferry_status check_vectored(const ferry_request &request) {
    const ferry_slices_params &slices = request.params.slices;
    if (slices.slices == nullptr || slices.count == 0 || slices.count > FERRY_SLICES_MAX)
        return FERRY_E_INVALID;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < slices.count; ++i) {
        const ferry_slice &slice = slices.slices[i];
        if (slice.size != 0 && slice.data == nullptr)
            return FERRY_E_INVALID;
        if (__builtin_add_overflow(sum, slice.size, &sum) || sum > INT64_MAX)
            return FERRY_E_INVALID;
    }
    return sum != 0 ? FERRY_OK : FERRY_E_INVALID;
}

const void *vectored_borrows(const ferry_request &request, size_t *size) {
    *size = static_cast<size_t>(request.params.slices.count) * sizeof(ferry_slice);
    return request.params.slices.slices;
}

ferry_status check_socket_set(const ferry_request &request) {
    const ferry_socket_set_params &set = request.params.socket_set;
    int64_t least = 0;
    int64_t most = 0;
    switch (set.option) {
    case FERRY_SOCKET_NO_DELAY:
        most = 1;
        break;
    case FERRY_SOCKET_KEEP_ALIVE:
        most = 32767;
        break;
    case FERRY_SOCKET_RECEIVE_BUFFER:
    case FERRY_SOCKET_SEND_BUFFER:
        least = 1;
        most = int64_t{1} << 30;
        break;
    case FERRY_SOCKET_LINGER:
        least = -1;
        most = 32767;
        break;
    default:
        return FERRY_E_UNSUPPORTED;
    }
    if (set.reserved != 0)
        return FERRY_E_UNSUPPORTED;
    return set.value >= least && set.value <= most ? FERRY_OK : FERRY_E_INVALID;
}

ferry_status check_socket_address(const ferry_request &request) {
    return request.params.socket_address.peer <= 1 ? FERRY_OK : FERRY_E_INVALID;
}

ferry_status check_adopt(const ferry_request &request) {
    const ferry_adopt_params &adopt = request.params.adopt;
    if (adopt.descriptor < 0 || adopt.descriptor > INT32_MAX)
        return FERRY_E_INVALID;
    bool known = adopt.kind >= FERRY_DESCRIPTOR_STREAM && adopt.kind <= FERRY_DESCRIPTOR_FILE;
    bool spread = (request.flags & FERRY_SPREAD) != 0;
    return known && (!spread || adopt.kind == FERRY_DESCRIPTOR_LISTENER) ? FERRY_OK
                                                                         : FERRY_E_INVALID;
}

// An offset belongs to a file. What a name stands for is looked at again when its child starts.
static ferry_status check_offset(uint64_t handle, uint64_t offset) {
    bool file = Id{handle}.kind() == Kind::file || Id{handle}.kind() == Kind::child;
    return offset <= (file ? uint64_t{INT64_MAX} : 0) ? FERRY_OK : FERRY_E_INVALID;
}

ferry_status check_copy(const ferry_request &request) {
    const ferry_copy_params &copy = request.params.copy;
    if (request.target == copy.to || (copy.size > INT64_MAX && copy.size != UINT64_MAX))
        return FERRY_E_INVALID;
    ferry_status status = check_offset(request.target, copy.from_offset);
    return status != FERRY_OK ? status : check_offset(copy.to, copy.to_offset);
}

} // namespace ferry::ops
