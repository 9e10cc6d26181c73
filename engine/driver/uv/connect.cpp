// Connecting.
#include "driver/uv/address.hpp"
#include "driver/uv/status.hpp"
#include "driver/uv/uv_driver.hpp"

#include <ferry/status.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <unistd.h>

namespace ferry::driver::uv {

// Where a connection comes from, if that was asked for. With port 0 the system chooses one when it connects:
// then a port that other connections use will do, to other peers.
static Outcome bind_local(int fd, const ferry_address &local) {
    if (local.family == 0)
        return {};
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (local.port == 0)
        set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    sockaddr_storage name;
    socklen_t size = to_system(local, &name);
    return bind(fd, reinterpret_cast<sockaddr *>(&name), size) == 0 ? Outcome{} : outcome_of(errno);
}

// A socket for it, bound where it is to come from. Null: the primitive has ended.
UvSocket *UvDriver::make_connecting(Connect &connect, sockaddr_storage *name,
                                    socklen_t *size) noexcept {
    *size = to_system(connect.address, name);
    int fd = ::socket(name->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        connect.complete(outcome_of(errno));
        return nullptr;
    }
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    Outcome outcome = bind_local(fd, connect.local);
    if (outcome.status != FERRY_OK) {
        ::close(fd);
        connect.complete(outcome);
        return nullptr;
    }
    UvSocket *made = make_socket(fd, &outcome);
    if (made == nullptr)
        connect.complete(outcome);
    return made;
}

void UvDriver::start_connect(Connect &connect) noexcept {
    sockaddr_storage name;
    socklen_t size;
    UvSocket *made = make_connecting(connect, &name, &size);
    if (made == nullptr)
        return;
    int error = ::connect(made->fd, reinterpret_cast<sockaddr *>(&name), size) == 0 ? 0 : errno;
    if (error != 0 && error != EINPROGRESS && error != EINTR) {
        close(*made);
        connect.complete(outcome_of(error));
        return;
    }
    if (!watch(*made, UV_WRITABLE)) {
        close(*made);
        connect.complete({.status = FERRY_E_NO_MEMORY});
        return;
    }
    note_connect(*made, connect);
}

// For a fork's child, who must close it.
void UvDriver::note_connect(UvSocket &socket, Connect &connect) noexcept {
    connect.socket = &socket;
    socket.connecting = &connect;
    socket.connects = true;
    socket.next_dirty = connecting_;
    connecting_ = &socket;
}

void UvDriver::forget_connect(UvSocket &socket) noexcept {
    Socket **link = &connecting_;
    while (*link != &socket)
        link = &(*link)->next_dirty;
    *link = socket.next_dirty;
    socket.next_dirty = nullptr;
    socket.connecting = nullptr;
    socket.connects = false;
}

void UvDriver::cancel_connect(Connect &connect) noexcept {
    forget_connect(own(*connect.socket));
    close(*connect.socket);
    connect.socket = nullptr;
    connect.complete({.status = FERRY_E_CANCELED});
}

void UvDriver::connect_ready(UvSocket &socket) noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    Connect &connect = *socket.connecting;
    forget_connect(socket);
    watch(socket, 0);
    if (error != 0) {
        connect.socket = nullptr;
        close(socket);
    }
    connect.complete(error != 0 ? outcome_of(error) : Outcome{});
}

} // namespace ferry::driver::uv
