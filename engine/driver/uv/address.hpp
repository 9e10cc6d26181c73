// Addresses as the system has them.
#pragma once

#include <ferry/address.h>

#include <sys/socket.h>

namespace ferry::driver::uv {

socklen_t to_system(const ferry_address &address, sockaddr_storage *out) noexcept;

// False: it is no IP address.
bool from_system(const sockaddr_storage &name, ferry_address *out) noexcept;

// Turn an option on. One that the socket does not know stays off.
void set_option(int fd, int level, int option) noexcept;

} // namespace ferry::driver::uv
