/* What the library says of its records' layout: as this program's compiler has it. */
#include "check.h"

#include <stddef.h>

#define FIELD(record, field)                                                                       \
    { #record, #field, offsetof(record, field), sizeof(((record *)0)->field) }

/* A field of each kind: plain, in a union without a name, in one with a name, an array. Whether all
   are there, bindings/generate --check knows. */
static const struct {
    const char *record;
    const char *field;
    size_t offset;
    size_t size;
} known[] = {
    FIELD(ferry_request, opcode),          FIELD(ferry_request, callback_u64),
    FIELD(ferry_request, params),          FIELD(ferry_request, params.words),
    FIELD(ferry_request, params.listen),   FIELD(ferry_request, params.retry),
    FIELD(ferry_completion, data),         FIELD(ferry_completion, data_u64),
    FIELD(ferry_completion, buffer),       FIELD(ferry_listen_params, backlog),
    FIELD(ferry_file_info, reserved),      FIELD(ferry_engine_options, name_workers_max),
    FIELD(ferry_engine_info, driver),      FIELD(ferry_run_report, overrun_ns),
    FIELD(ferry_queue_options, user_data), FIELD(ferry_queue_mapping, flags),
    FIELD(ferry_trace_event, child),
};

static void fields_are_where_the_compiler_has_them(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(ferry_layout_offset(known[i].record, known[i].field), known[i].offset);
        assert_int_equal(ferry_layout_size(known[i].record, known[i].field), known[i].size);
    }
}

static void no_field_means_the_record(void **state) {
    (void)state;
    assert_int_equal(ferry_layout_size("ferry_request", NULL), sizeof(ferry_request));
    assert_int_equal(ferry_layout_size("ferry_request", ""), sizeof(ferry_request));
    assert_int_equal(ferry_layout_offset("ferry_request", NULL), 0);
    assert_int_equal(ferry_layout_size("ferry_address", NULL), sizeof(ferry_address));
}

static void what_it_does_not_know_is_an_error(void **state) {
    (void)state;
    assert_status(ferry_layout_size(NULL, NULL), FERRY_E_INVALID);
    assert_status(ferry_layout_offset(NULL, "tag"), FERRY_E_INVALID);
    assert_status(ferry_layout_size("ferry_engine", NULL), FERRY_E_UNSUPPORTED);
    assert_status(ferry_layout_size("", ""), FERRY_E_UNSUPPORTED);
    assert_status(ferry_layout_offset("ferry_request", "params.nothing"), FERRY_E_UNSUPPORTED);
    assert_status(ferry_layout_offset("ferry_request", "Tag"), FERRY_E_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(fields_are_where_the_compiler_has_them),
        PLAIN(no_field_means_the_record),
        PLAIN(what_it_does_not_know_is_an_error),
    };
    return RUN_SUITE(tests);
}
