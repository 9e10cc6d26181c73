#include "driver/uv/address.hpp"

#include <netinet/in.h>

#include <cstring>

namespace ferry::driver::uv {

socklen_t to_system(const ferry_address &address, sockaddr_storage *out) noexcept {
    std::memset(out, 0, sizeof *out);
    if (address.family == FERRY_IPV4) {
        auto *in = reinterpret_cast<sockaddr_in *>(out);
        in->sin_family = AF_INET;
        in->sin_port = htons(address.port);
        std::memcpy(&in->sin_addr, address.bytes, 4);
        return sizeof *in;
    }
    auto *in6 = reinterpret_cast<sockaddr_in6 *>(out);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address.port);
    in6->sin6_scope_id = address.scope_id;
    std::memcpy(&in6->sin6_addr, address.bytes, 16);
    return sizeof *in6;
}

bool from_system(const sockaddr_storage &name, ferry_address *out) noexcept {
    *out = {};
    if (name.ss_family == AF_INET) {
        const auto *in = reinterpret_cast<const sockaddr_in *>(&name);
        out->family = FERRY_IPV4;
        out->port = ntohs(in->sin_port);
        std::memcpy(out->bytes, &in->sin_addr, 4);
        return true;
    }
    if (name.ss_family != AF_INET6)
        return false;
    const auto *in6 = reinterpret_cast<const sockaddr_in6 *>(&name);
    out->family = FERRY_IPV6;
    out->port = ntohs(in6->sin6_port);
    out->scope_id = in6->sin6_scope_id;
    std::memcpy(out->bytes, &in6->sin6_addr, 16);
    return true;
}

void set_option(int fd, int level, int option) noexcept {
    int on = 1;
    setsockopt(fd, level, option, &on, sizeof on);
}

} // namespace ferry::driver::uv
