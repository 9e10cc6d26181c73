#include "driver/sim/trace.hpp"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>

namespace ferry::driver::sim {

ferry_status Trace::keep(size_t bytes_max) noexcept {
    char *bytes = nullptr;
    if (bytes_max != 0) {
        // One line must always find room.
        bytes_max = bytes_max > kLineMax ? bytes_max : kLineMax;
        bytes = static_cast<char *>(allocator_.allocate(bytes_max));
        if (bytes == nullptr)
            return FERRY_E_NO_MEMORY;
    }
    allocator_.free(bytes_, capacity_);
    bytes_ = bytes;
    capacity_ = bytes_max;
    begin_ = used_ = 0;
    return FERRY_OK;
}

// The size of the oldest line, its end included. Not when there is none.
size_t Trace::first_line() const noexcept {
    size_t size = 0;
    while (bytes_[(begin_ + size) % capacity_] != '\n')
        ++size;
    return size + 1;
}

void Trace::drop(size_t size) noexcept {
    begin_ = (begin_ + size) % capacity_;
    used_ -= size;
}

size_t Trace::read(char *text, size_t capacity) noexcept {
    size_t written = 0;
    while (used_ != 0) {
        size_t size = first_line();
        if (size > capacity - written)
            break;
        for (size_t i = 0; i < size; ++i)
            text[written++] = bytes_[(begin_ + i) % capacity_];
        drop(size);
    }
    return written;
}

void Trace::line(uint64_t now_ns, const char *format, ...) noexcept {
    if (!on())
        return;
    char text[kLineMax + 1];
    auto start = static_cast<size_t>(std::snprintf(text, sizeof text, "%" PRIu64 ".%09" PRIu64 " ",
                                                   now_ns / 1'000'000'000, now_ns % 1'000'000'000));
    va_list arguments;
    va_start(arguments, format);
    int rest = std::vsnprintf(text + start, sizeof text - start, format, arguments);
    va_end(arguments);
    size_t size = start + static_cast<size_t>(rest < 0 ? 0 : rest);
    size = size < kLineMax ? size : kLineMax - 1;
    for (size_t i = start; i < size; ++i)
        text[i] = text[i] == '\n' ? '?' : text[i]; // Paths and names may have anything in them.
    text[size++] = '\n';
    while (capacity_ - used_ < size)
        drop(first_line());
    for (size_t i = 0; i < size; ++i)
        bytes_[(begin_ + used_ + i) % capacity_] = text[i];
    used_ += size;
}

} // namespace ferry::driver::sim
