// What has happened in the simulated world, as lines of text: the newest so many bytes.
#pragma once

#include "base/allocator.hpp"

#include <ferry/status.h>

#include <cstddef>
#include <cstdint>

namespace ferry::driver::sim {

class Trace {
  public:
    static constexpr size_t kLineMax = 255; // With its end.

    explicit Trace(const Allocator &allocator) : allocator_(allocator) {}
    ~Trace() { allocator_.free(bytes_, capacity_); }
    Trace(const Trace &) = delete;
    Trace &operator=(const Trace &) = delete;

    // FERRY_OK or FERRY_E_NO_MEMORY: it is as it was.
    ferry_status keep(size_t bytes_max) noexcept;
    bool on() const noexcept { return bytes_ != nullptr; }
    // Whole lines, the oldest first, which leave. Bytes.
    size_t read(char *text, size_t capacity) noexcept;
    [[gnu::format(printf, 3, 4)]] void line(uint64_t now_ns, const char *format, ...) noexcept;

  private:
    size_t first_line() const noexcept;
    void drop(size_t size) noexcept;

    const Allocator &allocator_;
    char *bytes_ = nullptr;
    size_t capacity_ = 0;
    size_t begin_ = 0;
    size_t used_ = 0;
};

} // namespace ferry::driver::sim
