/* Addresses as text and back. */
#include "check.h"

#include <string.h>

static void parse(const char *text, uint16_t port, ferry_address *address) {
    memset(address, 0xff, sizeof *address);
    assert_status(ferry_address_parse(text, port, address), FERRY_OK);
}

static void parses_ipv4(void **state) {
    (void)state;
    ferry_address address;
    const uint8_t bytes[16] = {192, 0, 2, 33};
    parse("192.0.2.33", 8080, &address);
    assert_int_equal(address.family, FERRY_IPV4);
    assert_int_equal(address.port, 8080);
    assert_int_equal(address.scope_id, 0);
    assert_int_equal(address.reserved, 0);
    assert_memory_equal(address.bytes, bytes, sizeof bytes);
}

static void parses_ipv6(void **state) {
    (void)state;
    ferry_address address;
    const uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd};
    parse("2001:db8::abcd", 443, &address);
    assert_int_equal(address.family, FERRY_IPV6);
    assert_int_equal(address.port, 443);
    assert_int_equal(address.scope_id, 0);
    assert_int_equal(address.reserved, 0);
    assert_memory_equal(address.bytes, bytes, sizeof bytes);
}

static void refuses_what_is_no_literal(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",         "localhost",    "1.2.3",      "1.2.3.4.5", "256.0.0.1", "1.2.3.4 ",
        " 1.2.3.4", "1.2.3.x",      "[::1]",      ":::",       "1::2::3",   "12345::",
        "::1%lo",   "::ffff:1.2.3", "1.2.3.4:80", "-1.2.3.4",  "1..2.3",
    };
    ferry_address zero;
    memset(&zero, 0, sizeof zero);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ferry_address address;
        memset(&address, 0xff, sizeof address);
        if (ferry_address_parse(texts[i], 1, &address) != FERRY_E_INVALID) {
            fail_msg("\"%s\" was taken for an address", texts[i]);
        }
        assert_memory_equal(&address, &zero, sizeof zero);
    }
}

static void refuses_null(void **state) {
    (void)state;
    ferry_address address;
    ferry_address zero;
    char text[64];
    memset(&zero, 0, sizeof zero);
    memset(&address, 0xff, sizeof address);
    assert_status(ferry_address_parse(NULL, 1, &address), FERRY_E_INVALID);
    assert_memory_equal(&address, &zero, sizeof zero);
    assert_status(ferry_address_parse("::1", 1, NULL), FERRY_E_INVALID);
    assert_status(ferry_address_format(NULL, text, sizeof text), FERRY_E_INVALID);
    parse("::1", 1, &address);
    assert_status(ferry_address_format(&address, NULL, sizeof text), FERRY_E_INVALID);
}

static void formats_with_the_port(void **state) {
    (void)state;
    ferry_address address;
    char text[64];
    parse("127.0.0.1", 80, &address);
    assert_status(ferry_address_format(&address, text, sizeof text), FERRY_OK);
    assert_string_equal(text, "127.0.0.1:80");
    parse("::1", 65535, &address);
    assert_status(ferry_address_format(&address, text, sizeof text), FERRY_OK);
    assert_string_equal(text, "[::1]:65535");
    parse("0.0.0.0", 0, &address);
    assert_status(ferry_address_format(&address, text, sizeof text), FERRY_OK);
    assert_string_equal(text, "0.0.0.0:0");
}

static void formats_into_little_room(void **state) {
    (void)state;
    ferry_address address;
    char text[16];
    parse("127.0.0.1", 80, &address);
    const size_t needed = sizeof "127.0.0.1:80";
    assert_status(ferry_address_format(&address, text, needed), FERRY_OK);
    for (size_t size = 1; size < needed; size++) {
        memset(text, 'x', sizeof text);
        assert_status(ferry_address_format(&address, text, size), FERRY_E_LIMIT);
        assert_non_null(memchr(text, '\0', size));
        assert_int_equal(text[size], 'x');
    }
    memset(text, 'x', sizeof text);
    assert_true(ferry_address_format(&address, text, 0) < 0);
    assert_int_equal(text[0], 'x');
}

static void refuses_an_unknown_family(void **state) {
    (void)state;
    ferry_address address = {.family = 5, .port = 80};
    char text[64] = "x";
    assert_status(ferry_address_format(&address, text, sizeof text), FERRY_E_INVALID);
    assert_string_equal(text, "");
}

static void the_longest_fits_into_64(void **state) {
    (void)state;
    ferry_address address;
    char text[64];
    parse("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 65535, &address);
    address.scope_id = UINT32_MAX;
    assert_status(ferry_address_format(&address, text, sizeof text), FERRY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(parses_ipv4),
        PLAIN(parses_ipv6),
        PLAIN(refuses_what_is_no_literal),
        PLAIN(refuses_null),
        PLAIN(formats_with_the_port),
        PLAIN(formats_into_little_room),
        PLAIN(refuses_an_unknown_family),
        PLAIN(the_longest_fits_into_64),
    };
    return RUN_SUITE(tests);
}
