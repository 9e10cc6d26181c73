// What a file request alone shows to be wrong, and what it only borrows.
#pragma once

#include <ferry/request.h>
#include <ferry/status.h>

#include <cstddef>

namespace ferry::ops {

ferry_status check_load(const ferry_request &request);
ferry_status check_store(const ferry_request &request);
ferry_status check_open(const ferry_request &request);
ferry_status check_transfer(const ferry_request &request);
ferry_status check_vectored_transfer(const ferry_request &request);
ferry_status check_sync(const ferry_request &request);
ferry_status check_truncate(const ferry_request &request);
ferry_status check_path_stat(const ferry_request &request);

// The path at words[0] and the slices there.
const void *path_borrows(const ferry_request &request, size_t *size);
const void *slices_borrows(const ferry_request &request, size_t *size);

} // namespace ferry::ops
