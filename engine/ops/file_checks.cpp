#include "ops/file_checks.hpp"

#include <ferry/file.h>

#include <cstring>

namespace ferry::ops {

static constexpr uint64_t kModes = 07777;

static ferry_status check_path(const char *path) {
    if (path == nullptr)
        return FERRY_E_INVALID;
    return strnlen(path, FERRY_PATH_MAX + 1) > FERRY_PATH_MAX ? FERRY_E_NAME_TOO_LONG : FERRY_OK;
}

static ferry_status valid(bool condition) {
    return condition ? FERRY_OK : FERRY_E_INVALID;
}

// A part of a file that ends where the system can count to.
static ferry_status check_range(uint64_t offset, uint64_t size) {
    if (size == 0 || size > INT64_MAX)
        return FERRY_E_INVALID;
    if (offset == FERRY_AT_POSITION)
        return FERRY_OK;
    return valid(offset <= INT64_MAX && size <= INT64_MAX - offset);
}

ferry_status check_load(const ferry_request &request) {
    return check_path(request.params.load.path);
}

ferry_status check_store(const ferry_request &request) {
    const ferry_store_params &store = request.params.store;
    if (store.mode > kModes || store.size > INT64_MAX || (store.data == nullptr && store.size != 0))
        return FERRY_E_INVALID;
    return check_path(store.path);
}

ferry_status check_open(const ferry_request &request) {
    constexpr uint32_t kKnown = FERRY_OPEN_READ | FERRY_OPEN_WRITE | FERRY_OPEN_CREATE |
                                FERRY_OPEN_EXCLUSIVE | FERRY_OPEN_TRUNCATE | FERRY_OPEN_APPEND |
                                FERRY_OPEN_NO_FOLLOW;
    constexpr uint32_t kWithWrite = FERRY_OPEN_CREATE | FERRY_OPEN_TRUNCATE | FERRY_OPEN_APPEND;
    const ferry_open_params &open = request.params.open;
    uint32_t flags = open.open_flags;
    if ((flags & ~kKnown) != 0)
        return FERRY_E_UNSUPPORTED;
    bool writes = (flags & FERRY_OPEN_WRITE) != 0;
    bool creates = (flags & FERRY_OPEN_CREATE) != 0;
    if ((flags & (FERRY_OPEN_READ | FERRY_OPEN_WRITE)) == 0 ||
        (!writes && (flags & kWithWrite) != 0) ||
        (!creates && (flags & FERRY_OPEN_EXCLUSIVE) != 0) || open.mode > kModes)
        return FERRY_E_INVALID;
    return check_path(open.path);
}

ferry_status check_transfer(const ferry_request &request) {
    const ferry_file_params &file = request.params.file;
    return file.buffer != nullptr ? check_range(file.offset, file.size) : FERRY_E_INVALID;
}

ferry_status check_vectored_transfer(const ferry_request &request) {
    const ferry_slices_params &slices = request.params.slices;
    if (slices.slices == nullptr || slices.count == 0 || slices.count > FERRY_SLICES_MAX)
        return FERRY_E_INVALID;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < slices.count; ++i) {
        const ferry_slice &slice = slices.slices[i];
        if ((slice.data == nullptr && slice.size != 0) ||
            __builtin_add_overflow(sum, slice.size, &sum))
            return FERRY_E_INVALID;
    }
    return check_range(slices.offset, sum);
}

ferry_status check_sync(const ferry_request &request) {
    return valid(request.params.sync.data_only <= 1);
}

ferry_status check_truncate(const ferry_request &request) {
    return valid(request.params.truncate.size <= INT64_MAX);
}

ferry_status check_path_stat(const ferry_request &request) {
    if (request.params.path.no_follow > 1)
        return FERRY_E_INVALID;
    return check_path(request.params.path.path);
}

const void *path_borrows(const ferry_request &request, size_t *size) {
    *size = std::strlen(request.params.path.path) + 1;
    return request.params.path.path;
}

const void *slices_borrows(const ferry_request &request, size_t *size) {
    *size = static_cast<size_t>(request.params.slices.count) * sizeof(ferry_slice);
    return request.params.slices.slices;
}

} // namespace ferry::ops
