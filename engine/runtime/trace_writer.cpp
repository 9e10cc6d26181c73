#include "runtime/trace_writer.hpp"

#include <ferry/opcode.h>
#include <ferry/status.h>
#include <ferry/trace.h>

namespace ferry {

TraceWriter::TraceWriter(const ferry_trace_writer_options &options)
    : allocator_(options.allocate, options.free, options.user_data), sink_(options.write),
      user_data_(options.user_data), capacity_(options.buffer_size) {}

TraceWriter::~TraceWriter() {
    allocator_.free_array(buffer_, capacity_);
}

ferry_status TraceWriter::open() noexcept {
    buffer_ = allocator_.allocate_array<char>(capacity_);
    return buffer_ != nullptr && fork_mark_.open() ? FERRY_OK : FERRY_E_NO_MEMORY;
}

void TraceWriter::flush() noexcept {
    if (used_ != 0)
        sink_(buffer_, used_, user_data_);
    used_ = 0;
}

void TraceWriter::put(const Text &text, const char *memory) noexcept {
    if (capacity_ - used_ < text.size())
        flush();
    std::memcpy(buffer_ + used_, memory, text.size());
    used_ += text.size();
}

// An array, whose end is optional: what a process wrote that died can be looked at.
static constexpr const char *kHead =
    "[\n{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":1,\"tid\":0,\"args\":{\"name\":\"ferry\"}}";

// A shard is a thread of the picture's; it gets its name with its first event.
void TraceWriter::introduce(uint32_t shard) noexcept {
    uint64_t bit = uint64_t{1} << (shard & 63);
    if ((known_shards_ & bit) != 0)
        return;
    char memory[kEventMax];
    Text text(memory, sizeof memory);
    if (known_shards_ == 0)
        text.add(kHead);
    known_shards_ |= bit;
    text.add(",\n{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":").number(shard);
    text.add(",\"args\":{\"name\":\"shard ").number(shard).add("\"}}");
    put(text, memory);
}

// What belongs together has one id. A child has one of its own, or it could not overlap with its siblings.
static void add_id(Text &text, ferry_op op, uint32_t child) {
    text.add("\"").hex(op);
    if (child != 0)
        text.add(".").number(child);
    text.add("\"");
}

// 64-bit numbers are text: JSON's have 53 bits.
static void add_arguments(Text &text, const ferry_trace_event &event) {
    text.add(",\"args\":{\"tag\":\"").number(event.tag).add("\"");
    if (event.child != 0)
        add_id(text.add(",\"parent\":"), event.op, event.parent);
    if (event.target != FERRY_NONE)
        text.add(",\"handle\":\"").hex(event.target).add("\"");
    if (event.kind == FERRY_TRACE_MORE || event.kind == FERRY_TRACE_END) {
        text.add(",\"status\":\"").add(ferry_status_name(event.status));
        text.add("\",\"result\":").number(event.result);
    }
    text.add("}}");
}

static void add_event(Text &text, const ferry_trace_event &event) {
    static constexpr const char *kPhases[] = {"", "b", "n", "n", "e"};
    const char *name = ferry_opcode_name(event.opcode);
    if (event.kind == FERRY_TRACE_STEP)
        name = "step";
    else if (event.kind == FERRY_TRACE_MORE)
        name = "more";
    text.add(",\n{\"ph\":\"").add(kPhases[event.kind]);
    text.add("\",\"cat\":\"ferry\",\"name\":\"").add(name).add("\",\"id\":");
    add_id(text, event.op, event.child);
    text.add(",\"pid\":1,\"tid\":").number(event.shard);
    text.add(",\"ts\":").fraction(event.time_ns, 3);
    add_arguments(text, event);
}

void TraceWriter::write(const ferry_trace_event &event) noexcept {
    if (event.kind < FERRY_TRACE_BEGIN || event.kind > FERRY_TRACE_END || fork_mark_.forked())
        return;
    char memory[kEventMax];
    Text text(memory, sizeof memory);
    add_event(text, event);
    std::lock_guard<std::mutex> guard(lock_);
    introduce(event.shard);
    put(text, memory);
}

void TraceWriter::finish() noexcept {
    if (fork_mark_.forked())
        return;
    char memory[kEventMax];
    Text text(memory, sizeof memory);
    if (known_shards_ == 0)
        text.add(kHead);
    text.add("\n]\n");
    put(text, memory);
    flush();
}

} // namespace ferry
