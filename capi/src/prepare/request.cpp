// Prepare functions: no noun in particular.
#include "begin.hpp"

#include <ferry/request.h>

using ferry::Prepared;

void ferry_prepare_nop(ferry_request *request) {
    Prepared nop(request, FERRY_OP_NOP);
}

void ferry_prepare_handle_close(ferry_request *request, ferry_handle handle) {
    Prepared close(request, FERRY_OP_HANDLE_CLOSE, handle);
}

void ferry_prepare_handle_copy(ferry_request *request, ferry_handle from, ferry_handle to,
                               uint64_t size, uint64_t from_offset, uint64_t to_offset) {
    Prepared copy(request, FERRY_OP_HANDLE_COPY, from);
    copy->copy = {to, size, from_offset, to_offset};
}
