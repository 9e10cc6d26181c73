#include "ops/registry.hpp"

#include "ops/file_checks.hpp"
#include "ops/stream_checks.hpp"

#include <ferry/channel.h>
#include <ferry/name.h>
#include <ferry/opcode.h>
#include <ferry/status.h>

#include <cstring>

namespace ferry::ops {

// ---- what a request alone shows -----------------------------------------------------------------

static ferry_status check_address(const ferry_address &address) {
    if (address.family != FERRY_IPV4 && address.family != FERRY_IPV6)
        return FERRY_E_INVALID;
    uint64_t unused = address.reserved;
    if (address.family == FERRY_IPV4) {
        unused |= address.scope_id;
        for (size_t i = 4; i < sizeof address.bytes; ++i)
            unused |= address.bytes[i];
    }
    return unused == 0 ? FERRY_OK : FERRY_E_UNSUPPORTED;
}

static ferry_status check_timer(const ferry_request &request) {
    bool interval = request.params.timer.interval_ns != 0;
    bool multishot = (request.flags & FERRY_MULTISHOT) != 0;
    return interval == multishot ? FERRY_OK : FERRY_E_INVALID;
}

static ferry_status check_listen(const ferry_request &request) {
    if (request.params.listen.backlog > 65535)
        return FERRY_E_INVALID;
    return check_address(request.params.listen.address);
}

static bool is_zero(const ferry_address &address) {
    static constexpr ferry_address kNone = {};
    return std::memcmp(&address, &kNone, sizeof address) == 0;
}

static ferry_status check_connect(const ferry_request &request) {
    const ferry_connect_params &connect = request.params.connect;
    ferry_status status = check_address(connect.address);
    if (status != FERRY_OK || is_zero(connect.local))
        return status;
    status = check_address(connect.local);
    if (status == FERRY_OK && connect.local.family != connect.address.family)
        return FERRY_E_INVALID;
    return status;
}

static ferry_status check_children(const ferry_request &request) {
    const ferry_children_params &children = request.params.children;
    return children.children != nullptr && children.count != 0 ? FERRY_OK : FERRY_E_INVALID;
}

static ferry_status check_retry(const ferry_request &request) {
    return request.params.retry.child != nullptr ? FERRY_OK : FERRY_E_INVALID;
}

static ferry_status check_channel(const ferry_request &request) {
    return request.params.channel.capacity > FERRY_CHANNEL_CAPACITY_MAX ? FERRY_E_LIMIT : FERRY_OK;
}

static ferry_status check_name(const char *name) {
    if (name == nullptr || name[0] == '\0')
        return FERRY_E_INVALID;
    return strnlen(name, FERRY_NAME_MAX + 1) > FERRY_NAME_MAX ? FERRY_E_NAME_TOO_LONG : FERRY_OK;
}

static ferry_status check_resolve(const ferry_request &request) {
    const ferry_resolve_params &resolve = request.params.resolve;
    bool known =
        resolve.family == 0 || resolve.family == FERRY_IPV4 || resolve.family == FERRY_IPV6;
    return known && resolve.port <= 65535 ? check_name(resolve.name) : FERRY_E_INVALID;
}

static ferry_status check_connect_name(const ferry_request &request) {
    const ferry_connect_name_params &connect = request.params.connect_name;
    return connect.port >= 1 && connect.port <= 65535 ? check_name(connect.name) : FERRY_E_INVALID;
}

// Of both: the name comes first.
static const void *name_borrows(const ferry_request &request, size_t *size) {
    *size = std::strlen(request.params.resolve.name) + 1;
    return request.params.resolve.name;
}

// ---- the table ----------------------------------------------------------------------------------

static constexpr uint32_t kListener = target_bit(Kind::listener);
static constexpr uint32_t kStream = target_bit(Kind::stream);
static constexpr uint32_t kFile = target_bit(Kind::file);
static constexpr uint32_t kChannel = target_bit(Kind::channel);

struct Table {
    constexpr Table() {
        entries[FERRY_OP_NOP] = {.start = nop};
        entries[FERRY_OP_HANDLE_CLOSE] = {.start = handle_close,
                                          .targets = kListener | kStream | kFile | kChannel};
        entries[FERRY_OP_CHAIN] = {
            .start = chain, .words = 2, .group = true, .check = check_children};
        entries[FERRY_OP_ALL] = {.start = all, .words = 2, .group = true, .check = check_children};
        entries[FERRY_OP_RACE] = {
            .start = race, .words = 2, .group = true, .check = check_children};
        entries[FERRY_OP_RETRY] = {.start = retry, .words = 4, .group = true, .check = check_retry};
        entries[FERRY_OP_TIMER] = {.start = timer,
                                   .flags = FERRY_MULTISHOT,
                                   .words = 2,
                                   .timed = true,
                                   .check = check_timer};
        entries[FERRY_OP_TCP_LISTEN] = {.start = tcp_listen,
                                        .flags = FERRY_REUSE_PORT | FERRY_SPREAD,
                                        .words = 5,
                                        .opens = true,
                                        .check = check_listen};
        entries[FERRY_OP_TCP_ACCEPT] = {
            .start = tcp_accept, .flags = FERRY_MULTISHOT, .targets = kListener, .opens = true};
        entries[FERRY_OP_TCP_CONNECT] = {
            .start = tcp_connect, .words = 8, .opens = true, .check = check_connect};
        entries[FERRY_OP_STREAM_RECEIVE] = {.start = stream_receive,
                                            .flags = FERRY_MULTISHOT | FERRY_LEND,
                                            .targets = kStream,
                                            .words = 2,
                                            .check = check_receive};
        entries[FERRY_OP_STREAM_SEND] = {.start = stream_send,
                                         .flags = FERRY_COPY,
                                         .targets = kStream,
                                         .words = 2,
                                         .check = check_send,
                                         .borrowed = send_borrows};
        entries[FERRY_OP_STREAM_RECEIVE_EXACTLY] = {.start = stream_receive_exactly,
                                                    .targets = kStream,
                                                    .words = 2,
                                                    .check = check_exactly};
        entries[FERRY_OP_STREAM_RECEIVE_UNTIL] = {.start = stream_receive_until,
                                                  .flags = FERRY_MULTISHOT | FERRY_LEND,
                                                  .targets = kStream,
                                                  .words = 5,
                                                  .check = check_until};
        entries[FERRY_OP_STREAM_SEND_VECTORED] = {.start = stream_send_vectored,
                                                  .targets = kStream,
                                                  .words = 2,
                                                  .check = check_vectored,
                                                  .borrowed = vectored_borrows};
        entries[FERRY_OP_STREAM_SHUTDOWN] = {.start = stream_shutdown, .targets = kStream};
        entries[FERRY_OP_SOCKET_SET] = {.start = socket_set,
                                        .targets = kStream | kListener,
                                        .words = 2,
                                        .check = check_socket_set};
        entries[FERRY_OP_SOCKET_ADDRESS] = {.start = socket_address,
                                            .targets = kStream | kListener,
                                            .words = 1,
                                            .check = check_socket_address};
        entries[FERRY_OP_DESCRIPTOR_ADOPT] = {.start = descriptor_adopt,
                                              .flags = FERRY_SPREAD,
                                              .words = 2,
                                              .opens = true,
                                              .once = true,
                                              .check = check_adopt};
        entries[FERRY_OP_DESCRIPTOR_RELEASE] = {
            .start = descriptor_release, .targets = kStream | kListener | kFile, .once = true};
        entries[FERRY_OP_HANDLE_COPY] = {.start = handle_copy,
                                         .targets = kStream | kFile,
                                         .words = 4,
                                         .handle_word = 0,
                                         .handle_targets = kStream | kFile,
                                         .check = check_copy};
        entries[FERRY_OP_CHANNEL_OPEN] = {
            .start = channel_open, .words = 1, .opens = true, .check = check_channel};
        entries[FERRY_OP_CHANNEL_SEND] = {.start = channel_send, .targets = kChannel, .words = 2};
        entries[FERRY_OP_CHANNEL_RECEIVE] = {
            .start = channel_receive, .flags = FERRY_MULTISHOT, .targets = kChannel};
        entries[FERRY_OP_CHANNEL_FINISH] = {.start = channel_finish, .targets = kChannel};
        entries[FERRY_OP_TCP_CONNECT_NAME] = {.start = tcp_connect_name,
                                              .words = 3,
                                              .opens = true,
                                              .check = check_connect_name,
                                              .borrowed = name_borrows};
        entries[FERRY_OP_NAME_RESOLVE] = {
            .start = name_resolve, .words = 2, .check = check_resolve, .borrowed = name_borrows};
        entries[FERRY_OP_FILE_LOAD] = {
            .start = file_load, .words = 2, .check = check_load, .borrowed = path_borrows};
        entries[FERRY_OP_FILE_STORE] = {
            .start = file_store, .words = 4, .check = check_store, .borrowed = path_borrows};
        entries[FERRY_OP_FILE_OPEN] = {.start = file_open,
                                       .words = 2,
                                       .opens = true,
                                       .check = check_open,
                                       .borrowed = path_borrows};
        entries[FERRY_OP_FILE_READ] = {
            .start = file_read, .targets = kFile, .words = 3, .check = check_transfer};
        entries[FERRY_OP_FILE_WRITE] = {
            .start = file_write, .targets = kFile, .words = 3, .check = check_transfer};
        entries[FERRY_OP_FILE_READ_VECTORED] = {.start = file_read_vectored,
                                                .targets = kFile,
                                                .words = 3,
                                                .check = check_vectored_transfer,
                                                .borrowed = slices_borrows};
        entries[FERRY_OP_FILE_WRITE_VECTORED] = {.start = file_write_vectored,
                                                 .targets = kFile,
                                                 .words = 3,
                                                 .check = check_vectored_transfer,
                                                 .borrowed = slices_borrows};
        entries[FERRY_OP_FILE_STAT] = {.start = file_stat, .targets = kFile};
        entries[FERRY_OP_FILE_SYNC] = {
            .start = file_sync, .targets = kFile, .words = 1, .check = check_sync};
        entries[FERRY_OP_FILE_TRUNCATE] = {
            .start = file_truncate, .targets = kFile, .words = 1, .check = check_truncate};
        entries[FERRY_OP_PATH_STAT] = {
            .start = path_stat, .words = 2, .check = check_path_stat, .borrowed = path_borrows};
    }
    OpTable entries = {};
};

static constexpr Table kTable;

const OpTable &table() noexcept {
    return kTable.entries;
}

} // namespace ferry::ops
