// Prepare functions: descriptors.
#include "begin.hpp"

#include <ferry/descriptor.h>

using ferry::Prepared;

void ferry_prepare_descriptor_adopt(ferry_request *request, int64_t descriptor, uint32_t kind) {
    Prepared adopt(request, FERRY_OP_DESCRIPTOR_ADOPT);
    adopt->adopt = {descriptor, kind};
}

void ferry_prepare_descriptor_release(ferry_request *request, ferry_handle handle) {
    Prepared release(request, FERRY_OP_DESCRIPTOR_RELEASE, handle);
}
