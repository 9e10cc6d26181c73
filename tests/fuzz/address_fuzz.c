/* Addresses as text, beside the C library's own functions, and there and back again. */
#undef NDEBUG

#include <ferry.h>

#include <arpa/inet.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *text) {
    ferry_address got;
    uint8_t bytes[16] = {0};
    uint16_t family = inet_pton(AF_INET, text, bytes) == 1    ? FERRY_IPV4
                      : inet_pton(AF_INET6, text, bytes) == 1 ? FERRY_IPV6
                                                              : 0;
    ferry_status status = ferry_address_parse(text, 7, &got);
    assert(status == (family != 0 ? FERRY_OK : FERRY_E_INVALID));
    assert(got.family == family && got.port == (family != 0 ? 7 : 0));
    assert(family == 0 || memcmp(got.bytes, bytes, sizeof bytes) == 0);
}

/* What is written has the literal in it that it was made from. */
static void format(const ferry_address *address, size_t room) {
    char text[80], small[80], literal[INET6_ADDRSTRLEN];
    bool known = address->family == FERRY_IPV4 || address->family == FERRY_IPV6;
    ferry_status status = ferry_address_format(address, text, 64);
    assert(status == (known ? FERRY_OK : FERRY_E_INVALID));
    if (!known) {
        return;
    }
    bool six = address->family == FERRY_IPV6;
    inet_ntop(six ? AF_INET6 : AF_INET, address->bytes, literal, sizeof literal);
    assert(strncmp(text + six, literal, strlen(literal)) == 0);
    ferry_address back;
    assert(ferry_address_parse(literal, address->port, &back) == FERRY_OK);
    assert(memcmp(back.bytes, address->bytes, six ? 16 : 4) == 0);
    memset(small, 'x', sizeof small);
    status = ferry_address_format(address, small, room);
    assert(status == (room > strlen(text) ? FERRY_OK : room > 0 ? FERRY_E_LIMIT : FERRY_E_INVALID));
    assert(small[room] == 'x');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char alphabet[] = "0123456789abcdefABCDEF:.%[]x ";
    char text[64];
    size_t length = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, data, length);
    text[length] = '\0';
    parse(text);
    for (size_t i = 0; i < length; i++) {
        text[i] = alphabet[data[i] % (sizeof alphabet - 1)];
    }
    parse(text);
    if (size >= 24) {
        ferry_address address = {.port = (uint16_t)(data[1] << 8 | data[2])};
        address.family = data[0] % 4 == 3 ? data[3] : data[0] % 2 ? FERRY_IPV4 : FERRY_IPV6;
        address.scope_id = data[4] % 2 ? (uint32_t)data[5] << 24 : 0;
        memcpy(address.bytes, data + 8, sizeof address.bytes);
        format(&address, data[6] % 70);
    }
    return 0;
}
