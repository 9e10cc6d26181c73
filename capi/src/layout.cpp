// The frozen records: these numbers never change. And what the library knows of every record.
#include <ferry.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

static_assert(sizeof(ferry_request) == 128);
static_assert(offsetof(ferry_request, opcode) == 0);
static_assert(offsetof(ferry_request, reserved) == 2);
static_assert(offsetof(ferry_request, flags) == 4);
static_assert(offsetof(ferry_request, tag) == 8);
static_assert(offsetof(ferry_request, target) == 16);
static_assert(offsetof(ferry_request, callback) == 24);
static_assert(offsetof(ferry_request, user_data) == 32);
static_assert(offsetof(ferry_request, deadline_ns) == 40);
static_assert(offsetof(ferry_request, params) == 48);

static_assert(sizeof(ferry_completion) == 64);
static_assert(offsetof(ferry_completion, tag) == 0);
static_assert(offsetof(ferry_completion, op) == 8);
static_assert(offsetof(ferry_completion, result) == 16);
static_assert(offsetof(ferry_completion, status) == 24);
static_assert(offsetof(ferry_completion, os_error) == 28);
static_assert(offsetof(ferry_completion, opcode) == 32);
static_assert(offsetof(ferry_completion, reserved) == 34);
static_assert(offsetof(ferry_completion, flags) == 36);
static_assert(offsetof(ferry_completion, handle) == 40);
static_assert(offsetof(ferry_completion, data) == 48);
static_assert(offsetof(ferry_completion, buffer) == 56);

static_assert(sizeof(ferry_address) == 32);
static_assert(offsetof(ferry_address, bytes) == 8);
static_assert(offsetof(ferry_address, reserved) == 24);

static_assert(sizeof(ferry_file_info) == 128);
static_assert(sizeof(ferry_slice) == 16);

static_assert(sizeof(ferry_trace_event) == 64);
static_assert(offsetof(ferry_trace_event, time_ns) == 0);
static_assert(offsetof(ferry_trace_event, op) == 8);
static_assert(offsetof(ferry_trace_event, tag) == 16);
static_assert(offsetof(ferry_trace_event, target) == 24);
static_assert(offsetof(ferry_trace_event, result) == 32);
static_assert(offsetof(ferry_trace_event, status) == 40);
static_assert(offsetof(ferry_trace_event, opcode) == 44);
static_assert(offsetof(ferry_trace_event, kind) == 46);
static_assert(offsetof(ferry_trace_event, shard) == 48);
static_assert(offsetof(ferry_trace_event, child) == 52);
static_assert(offsetof(ferry_trace_event, parent) == 56);
static_assert(offsetof(ferry_trace_event, reserved) == 60);

namespace {

struct Place {
    std::string_view record;
    std::string_view field; // empty: the record itself
    int32_t offset;
    int32_t size;
};

#define FERRY_RECORD(record) {#record, {}, 0, sizeof(record)},
// NOLINTBEGIN(bugprone-macro-parentheses): neither a record nor a field can stand in them.
#define FERRY_FIELD(record, field)                                                                 \
    {#record, #field, offsetof(record, field), sizeof(static_cast<record *>(nullptr)->field)},
// NOLINTEND(bugprone-macro-parentheses)

constexpr Place kPlaces[] = {
#include "layout_fields.inc"
};

#undef FERRY_RECORD
#undef FERRY_FIELD

// A test or the start of a program asks, so looking through the list is quick enough.
const Place *find(const char *record, const char *field) {
    const std::string_view wanted = field ? field : "";
    for (const Place &place : kPlaces) {
        if (place.record == record && place.field == wanted) {
            return &place;
        }
    }
    return nullptr;
}

int32_t answer(const char *record, const char *field, int32_t Place::*figure) {
    if (!record) {
        return FERRY_E_INVALID;
    }
    const Place *place = find(record, field);
    return place ? place->*figure : FERRY_E_UNSUPPORTED;
}

} // namespace

int32_t ferry_layout_size(const char *record, const char *field) {
    return answer(record, field, &Place::size);
}

int32_t ferry_layout_offset(const char *record, const char *field) {
    return answer(record, field, &Place::offset);
}
