#include <ferry/address.h>

#include <arpa/inet.h>

#include <cstdio>
#include <cstring>

ferry_status ferry_address_parse(const char *text, uint16_t port, ferry_address *address_out) {
    if (address_out == nullptr)
        return FERRY_E_INVALID;
    std::memset(address_out, 0, sizeof *address_out);
    if (text == nullptr)
        return FERRY_E_INVALID;
    ferry_address parsed = {};
    parsed.port = port;
    if (inet_pton(AF_INET, text, parsed.bytes) == 1)
        parsed.family = FERRY_IPV4;
    else if (inet_pton(AF_INET6, text, parsed.bytes) == 1)
        parsed.family = FERRY_IPV6;
    else
        return FERRY_E_INVALID;
    *address_out = parsed;
    return FERRY_OK;
}

ferry_status ferry_address_format(const ferry_address *address, char *text, size_t size) {
    if (text == nullptr || size == 0)
        return FERRY_E_INVALID;
    *text = '\0';
    if (address == nullptr || (address->family != FERRY_IPV4 && address->family != FERRY_IPV6))
        return FERRY_E_INVALID;
    bool v6 = address->family == FERRY_IPV6;
    char literal[INET6_ADDRSTRLEN];
    inet_ntop(v6 ? AF_INET6 : AF_INET, address->bytes, literal, sizeof literal);
    char zone[16] = "";
    if (v6 && address->scope_id != 0)
        std::snprintf(zone, sizeof zone, "%%%u", address->scope_id);
    char full[80];
    int length = std::snprintf(full, sizeof full, v6 ? "[%s%s]:%u" : "%s%s:%u", literal, zone,
                               static_cast<unsigned>(address->port));
    if (static_cast<size_t>(length) >= size)
        return FERRY_E_LIMIT;
    std::memcpy(text, full, static_cast<size_t>(length) + 1);
    return FERRY_OK;
}
