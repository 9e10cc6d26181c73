// The frozen records: these numbers never change.
#include <ferry.h>

#include <cstddef>

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
static_assert(offsetof(ferry_trace_event, reserved) == 56);
