/* The opcodes' names: each opcode that this version knows has its own. */
#include "check.h"

#include <string.h>

static const struct {
    uint16_t opcode;
    const char *name;
} known[] = {
#define OPCODE(name)                                                                               \
    { name, #name }
    OPCODE(FERRY_OP_NOP),         OPCODE(FERRY_OP_POST),           OPCODE(FERRY_OP_HANDLE_CLOSE),
    OPCODE(FERRY_OP_TIMER),       OPCODE(FERRY_OP_TCP_LISTEN),     OPCODE(FERRY_OP_TCP_ACCEPT),
    OPCODE(FERRY_OP_TCP_CONNECT), OPCODE(FERRY_OP_STREAM_RECEIVE), OPCODE(FERRY_OP_STREAM_SEND),
    OPCODE(FERRY_OP_FILE_LOAD),
#undef OPCODE
};

static void each_name_is_the_constants(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_string_equal(ferry_opcode_name(known[i].opcode), known[i].name);
    }
}

/* Submit says FERRY_E_UNSUPPORTED to every opcode that does not exist, and to some that do. */
static void whatever_can_be_submitted_has_a_name(void **state) {
    (void)state;
    ferry_engine *engine;
    ferry_queue *queue;
    assert_status(ferry_engine_create(NULL, &engine), FERRY_OK);
    assert_status(ferry_queue_create(engine, NULL, &queue), FERRY_OK);
    size_t named = 0;
    for (uint32_t opcode = 0; opcode <= UINT16_MAX; opcode++) {
        ferry_request request = {.opcode = (uint16_t)opcode};
        const char *name = ferry_opcode_name((uint16_t)opcode);
        assert_memory_equal(name, "FERRY_OP_", strlen("FERRY_OP_"));
        if (ferry_queue_submit(queue, &request, 1, NULL, NULL) != FERRY_E_UNSUPPORTED) {
            assert_string_not_equal(name, "FERRY_OP_?");
        }
        named += strcmp(name, "FERRY_OP_?") != 0;
    }
    assert_true(named >= sizeof known / sizeof known[0]);
    assert_status(ferry_engine_shutdown(engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(engine), FERRY_OK);
}

static void unknown_numbers_have_a_name_too(void **state) {
    (void)state;
    static const uint16_t unknown[] = {0, 1000, UINT16_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_string_equal(ferry_opcode_name(unknown[i]), "FERRY_OP_?");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(each_name_is_the_constants),
        PLAIN(whatever_can_be_submitted_has_a_name),
        PLAIN(unknown_numbers_have_a_name_too),
    };
    return RUN_SUITE(tests);
}
