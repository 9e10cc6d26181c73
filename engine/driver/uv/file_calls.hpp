// What workers do to files. Each is made at once and may block.
#pragma once

#include "driver/driver.hpp"

namespace ferry::driver::uv {

// What a call on a file's own descriptor failed with, after so many bytes.
Outcome file_failure(int error, int64_t before) noexcept;

// FERRY_OPEN_... bits as the system's.
int open_flags(uint32_t wanted) noexcept;

// outcome.result = the descriptor.
Outcome open_file(const FileCall &call) noexcept;

// outcome.result counts bytes, also on failure. fd: call.file's.
Outcome read_file(int fd, const FileCall &call) noexcept;
Outcome write_file(int fd, const FileCall &call) noexcept;

Outcome stat_file(int fd, ferry_file_info *info) noexcept;
Outcome stat_path(const FileCall &call, ferry_file_info *info) noexcept;
Outcome sync_file(int fd, bool data_only) noexcept;
Outcome truncate_file(int fd, uint64_t size) noexcept;
Outcome close_file(int fd) noexcept;

// All of call.slices into call.path, or nothing of it.
Outcome store_file(const FileCall &call) noexcept;

} // namespace ferry::driver::uv
