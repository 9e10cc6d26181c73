#include "driver/uv/status.hpp"

#include <ferry/status.h>

#include <cerrno>

namespace ferry::driver::uv {

static int32_t status_of(int error) {
    switch (error) {
    case EINVAL:
    case EFAULT:
        return FERRY_E_INVALID;
    case ENOMEM:
    case ENOBUFS:
        return FERRY_E_NO_MEMORY;
    case ECANCELED:
        return FERRY_E_CANCELED;
    case ENOENT:
        return FERRY_E_NOT_FOUND;
    case EACCES:
    case EPERM:
        return FERRY_E_ACCESS;
    case EEXIST:
        return FERRY_E_EXISTS;
    case ENOTDIR:
        return FERRY_E_NOT_DIRECTORY;
    case EISDIR:
        return FERRY_E_IS_DIRECTORY;
    case ENOSPC:
    case EDQUOT:
        return FERRY_E_NO_SPACE;
    case EMFILE:
    case ENFILE:
        return FERRY_E_NO_DESCRIPTORS;
    case EIO:
        return FERRY_E_IO;
    case ENAMETOOLONG:
        return FERRY_E_NAME_TOO_LONG;
    case ELOOP:
        return FERRY_E_LOOP;
    case EROFS:
        return FERRY_E_READ_ONLY;
    case EFBIG:
    case EOVERFLOW:
        return FERRY_E_FILE_TOO_LARGE;
    case ECONNREFUSED:
        return FERRY_E_CONNECTION_REFUSED;
    case ECONNRESET:
        return FERRY_E_CONNECTION_RESET;
    case ECONNABORTED:
        return FERRY_E_CONNECTION_ABORTED;
    case ETIMEDOUT:
        return FERRY_E_CONNECTION_TIMED_OUT;
    case EPIPE:
        return FERRY_E_BROKEN_PIPE;
    case EADDRINUSE:
        return FERRY_E_ADDRESS_IN_USE;
    case EADDRNOTAVAIL:
        return FERRY_E_ADDRESS_NOT_AVAILABLE;
    case EHOSTUNREACH:
        return FERRY_E_HOST_UNREACHABLE;
    case ENETUNREACH:
        return FERRY_E_NETWORK_UNREACHABLE;
    case ENETDOWN:
        return FERRY_E_NETWORK_DOWN;
    case ENOTCONN:
        return FERRY_E_NOT_CONNECTED;
    case EAFNOSUPPORT:
        return FERRY_E_ADDRESS_FAMILY;
    default:
        return FERRY_E_OS;
    }
}

Outcome outcome_of(int error) noexcept {
    return {.status = status_of(error), .os_error = error, .result = 0};
}

} // namespace ferry::driver::uv
