/* Status names and messages, and the library's version. */
#include "check.h"

#include <string.h>

static const struct {
    ferry_status status;
    const char *name;
} known[] = {
#define STATUS(name)                                                                               \
    { name, #name }
    STATUS(FERRY_OK),
    STATUS(FERRY_E_INVALID),
    STATUS(FERRY_E_UNSUPPORTED),
    STATUS(FERRY_E_NO_MEMORY),
    STATUS(FERRY_E_FULL),
    STATUS(FERRY_E_BUSY),
    STATUS(FERRY_E_CANCELED),
    STATUS(FERRY_E_TIMED_OUT),
    STATUS(FERRY_E_SHUTDOWN),
    STATUS(FERRY_E_FORKED),
    STATUS(FERRY_E_WRONG_THREAD),
    STATUS(FERRY_E_BAD_HANDLE),
    STATUS(FERRY_E_STALE),
    STATUS(FERRY_E_WRONG_KIND),
    STATUS(FERRY_E_FOREIGN),
    STATUS(FERRY_E_CLOSED),
    STATUS(FERRY_E_TOO_LATE),
    STATUS(FERRY_E_UNKNOWN),
    STATUS(FERRY_E_LIMIT),
    STATUS(FERRY_E_NO_HANDLES),
    STATUS(FERRY_E_OS),
    STATUS(FERRY_E_NOT_FOUND),
    STATUS(FERRY_E_ACCESS),
    STATUS(FERRY_E_EXISTS),
    STATUS(FERRY_E_NOT_DIRECTORY),
    STATUS(FERRY_E_IS_DIRECTORY),
    STATUS(FERRY_E_NO_SPACE),
    STATUS(FERRY_E_NO_DESCRIPTORS),
    STATUS(FERRY_E_IO),
    STATUS(FERRY_E_NAME_TOO_LONG),
    STATUS(FERRY_E_LOOP),
    STATUS(FERRY_E_READ_ONLY),
    STATUS(FERRY_E_FILE_TOO_LARGE),
    STATUS(FERRY_E_CONNECTION_REFUSED),
    STATUS(FERRY_E_CONNECTION_RESET),
    STATUS(FERRY_E_CONNECTION_ABORTED),
    STATUS(FERRY_E_CONNECTION_TIMED_OUT),
    STATUS(FERRY_E_BROKEN_PIPE),
    STATUS(FERRY_E_ADDRESS_IN_USE),
    STATUS(FERRY_E_ADDRESS_NOT_AVAILABLE),
    STATUS(FERRY_E_HOST_UNREACHABLE),
    STATUS(FERRY_E_NETWORK_UNREACHABLE),
    STATUS(FERRY_E_NETWORK_DOWN),
    STATUS(FERRY_E_NOT_CONNECTED),
    STATUS(FERRY_E_ADDRESS_FAMILY),
    STATUS(FERRY_E_INTERNAL),
#undef STATUS
};

enum { KNOWN = sizeof known / sizeof known[0] };

static void each_name_is_the_constants(void **state) {
    (void)state;
    for (size_t i = 0; i < KNOWN; i++) {
        assert_string_equal(ferry_status_name(known[i].status), known[i].name);
    }
}

static void each_message_is_a_sentence_of_its_own(void **state) {
    (void)state;
    for (size_t i = 0; i < KNOWN; i++) {
        const char *message = ferry_status_message(known[i].status);
        assert_non_null(message);
        assert_true(strlen(message) > 5);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(message, ferry_status_message(known[j].status));
        }
    }
}

static void unknown_numbers_have_a_name_too(void **state) {
    (void)state;
    static const ferry_status unknown[] = {1,    42,    -99,       -199,     -299,
                                           -899, -1000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_string_equal(ferry_status_name(unknown[i]), "FERRY_E_?");
        assert_non_null(ferry_status_message(unknown[i]));
    }
}

static void the_version_is_the_headers(void **state) {
    (void)state;
    assert_int_equal(ferry_version(), FERRY_VERSION_MAJOR * 1000000 + FERRY_VERSION_MINOR * 1000 +
                                          FERRY_VERSION_PATCH);
    assert_int_equal(ferry_api_level(), FERRY_API_LEVEL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(each_name_is_the_constants),
        PLAIN(each_message_is_a_sentence_of_its_own),
        PLAIN(unknown_numbers_have_a_name_too),
        PLAIN(the_version_is_the_headers),
    };
    return RUN_SUITE(tests);
}
