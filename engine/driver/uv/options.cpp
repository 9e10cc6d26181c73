// What is asked of and set for a socket.
#include "driver/uv/address.hpp"
#include "driver/uv/status.hpp"
#include "driver/uv/uv_driver.hpp"

#include <ferry/socket.h>
#include <ferry/status.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

namespace ferry::driver::uv {

static Outcome set_number(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0 ? Outcome{} : outcome_of(errno);
}

static Outcome set_keep_alive(int fd, int seconds) {
    if (seconds == 0)
        return set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
    int between = seconds / 10 > 1 ? seconds / 10 : 1;
    Outcome outcome = set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
    if (outcome.status == FERRY_OK)
        outcome = set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, between);
    if (outcome.status == FERRY_OK)
        outcome = set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, 10);
    return outcome.status == FERRY_OK ? set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1) : outcome;
}

static Outcome set_linger(UvSocket &socket, int seconds) {
    linger value = {.l_onoff = seconds >= 0, .l_linger = seconds >= 0 ? seconds : 0};
    if (setsockopt(socket.fd, SOL_SOCKET, SO_LINGER, &value, sizeof value) != 0)
        return outcome_of(errno);
    socket.lingers = seconds > 0;
    return {};
}

static bool is_tcp(int fd) {
    int domain = AF_UNIX;
    socklen_t size = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    return domain != AF_UNIX;
}

Outcome UvDriver::set(Socket &socket, uint32_t option, int64_t value) noexcept {
    UvSocket &target = own(socket);
    auto number = static_cast<int>(value);
    if (option == FERRY_SOCKET_RECEIVE_BUFFER)
        return set_number(target.fd, SOL_SOCKET, SO_RCVBUF, number);
    if (option == FERRY_SOCKET_SEND_BUFFER)
        return set_number(target.fd, SOL_SOCKET, SO_SNDBUF, number);
    if (socket.is_listener || (option != FERRY_SOCKET_LINGER && !is_tcp(target.fd)))
        return kUnsupported;
    if (option == FERRY_SOCKET_LINGER)
        return set_linger(target, number);
    if (option == FERRY_SOCKET_KEEP_ALIVE)
        return set_keep_alive(target.fd, number);
    return set_number(target.fd, IPPROTO_TCP, TCP_NODELAY, number);
}

Outcome UvDriver::address(Socket &socket, bool peer, ferry_address *address) noexcept {
    sockaddr_storage name = {};
    socklen_t size = sizeof name;
    auto *place = reinterpret_cast<sockaddr *>(&name);
    int fd = own(socket).fd;
    if ((peer ? getpeername(fd, place, &size) : getsockname(fd, place, &size)) != 0)
        return outcome_of(errno);
    if (!from_system(name, address))
        return {.status = FERRY_E_ADDRESS_FAMILY};
    return {};
}

} // namespace ferry::driver::uv
