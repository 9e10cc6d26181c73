// Writes the events of the trace hook as a trace that Perfetto and chrome://tracing show: Chrome's trace
// event format, JSON. Each operation is an asynchronous slice of its own ("b", "n", "e"), so that those of
// one shard may overlap.
#pragma once

#include "base/allocator.hpp"
#include "base/text.hpp"
#include "driver/os.hpp"

#include <ferry/inspect.h>

#include <cstddef>
#include <cstdint>
#include <mutex>

namespace ferry {

class TraceWriter {
  public:
    // options: complete and checked.
    explicit TraceWriter(const ferry_trace_writer_options &options);
    ~TraceWriter();
    TraceWriter(const TraceWriter &) = delete;
    TraceWriter &operator=(const TraceWriter &) = delete;

    ferry_status open() noexcept;
    const Allocator &allocator() const noexcept { return allocator_; }

    // Any thread, several at once.
    void write(const ferry_trace_event &event) noexcept;
    // The end of the JSON; nothing may be written any more.
    void finish() noexcept;

  private:
    // More than any event takes.
    static constexpr size_t kEventMax = 512;

    void put(const Text &text, const char *memory) noexcept;
    void flush() noexcept;
    void introduce(uint32_t shard) noexcept;

    const Allocator allocator_;
    const ferry_text_fn sink_;
    void *const user_data_;
    const size_t capacity_;
    os::ForkMark fork_mark_; // A child must not write into what it shares with its parent.
    std::mutex lock_;
    char *buffer_ = nullptr;
    size_t used_ = 0;
    uint64_t known_shards_ = 0; // A bit for each that has a name.
};

} // namespace ferry
