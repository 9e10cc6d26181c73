// All operations, by opcode.
#pragma once

#include "runtime/operation.hpp"

namespace ferry::ops {

const OpTable &table() noexcept;

Operation nop(Op *op);
Operation handle_close(Op *op);
Operation chain(Op *op);
Operation all(Op *op);
Operation race(Op *op);
Operation retry(Op *op);
Operation timer(Op *op);
Operation tcp_listen(Op *op);
Operation tcp_accept(Op *op);
Operation tcp_connect(Op *op);
Operation stream_receive(Op *op);
Operation stream_receive_exactly(Op *op);
Operation stream_receive_until(Op *op);
Operation stream_send(Op *op);
Operation stream_send_vectored(Op *op);
Operation stream_shutdown(Op *op);
Operation socket_set(Op *op);
Operation socket_address(Op *op);
Operation descriptor_adopt(Op *op);
Operation descriptor_release(Op *op);
Operation handle_copy(Op *op);
Operation file_load(Op *op);
Operation channel_open(Op *op);
Operation channel_send(Op *op);
Operation channel_receive(Op *op);
Operation channel_finish(Op *op);
Operation name_resolve(Op *op);
Operation tcp_connect_name(Op *op);
Operation file_store(Op *op);
Operation file_open(Op *op);
Operation file_read(Op *op);
Operation file_write(Op *op);
Operation file_read_vectored(Op *op);
Operation file_write_vectored(Op *op);
Operation file_stat(Op *op);
Operation file_sync(Op *op);
Operation file_truncate(Op *op);
Operation path_stat(Op *op);

} // namespace ferry::ops
