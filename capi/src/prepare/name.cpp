// Prepare functions: names.
#include "begin.hpp"

#include <ferry/name.h>

using ferry::Prepared;
using ferry::word;

void ferry_prepare_name_resolve(ferry_request *request, const char *name, uint16_t port,
                                uint32_t family) {
    Prepared resolve(request, FERRY_OP_NAME_RESOLVE);
    resolve->resolve.name_u64 = word(name);
    resolve->resolve.family = family;
    resolve->resolve.port = port;
}
