/*
 * The layout of what crosses the border, asserted by the compiler: the frozen records on every
 * system, the sized structs, which hold pointers, where those have eight bytes.
 */
#include <ferry.h>

#include <stddef.h>

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has another size")
#define AT(type, field, offset)                                                                    \
    _Static_assert(offsetof(type, field) == (offset), #type "." #field " has moved")

SIZE(ferry_address, 32);
AT(ferry_address, family, 0);
AT(ferry_address, port, 2);
AT(ferry_address, scope_id, 4);
AT(ferry_address, bytes, 8);
AT(ferry_address, reserved, 24);

SIZE(ferry_completion, 64);
AT(ferry_completion, tag, 0);
AT(ferry_completion, op, 8);
AT(ferry_completion, result, 16);
AT(ferry_completion, status, 24);
AT(ferry_completion, os_error, 28);
AT(ferry_completion, opcode, 32);
AT(ferry_completion, reserved, 34);
AT(ferry_completion, flags, 36);
AT(ferry_completion, handle, 40);
AT(ferry_completion, data, 48);
AT(ferry_completion, data_u64, 48);
AT(ferry_completion, buffer, 56);

SIZE(ferry_trace_event, 64);
AT(ferry_trace_event, time_ns, 0);
AT(ferry_trace_event, op, 8);
AT(ferry_trace_event, tag, 16);
AT(ferry_trace_event, target, 24);
AT(ferry_trace_event, result, 32);
AT(ferry_trace_event, status, 40);
AT(ferry_trace_event, opcode, 44);
AT(ferry_trace_event, kind, 46);
AT(ferry_trace_event, shard, 48);
AT(ferry_trace_event, child, 52);
AT(ferry_trace_event, parent, 56);
AT(ferry_trace_event, reserved, 60);

SIZE(ferry_request, 128);
AT(ferry_request, opcode, 0);
AT(ferry_request, reserved, 2);
AT(ferry_request, flags, 4);
AT(ferry_request, tag, 8);
AT(ferry_request, target, 16);
AT(ferry_request, callback, 24);
AT(ferry_request, callback_u64, 24);
AT(ferry_request, user_data, 32);
AT(ferry_request, user_data_u64, 32);
AT(ferry_request, deadline_ns, 40);
AT(ferry_request, params, 48);
AT(ferry_request, params.words, 48);
AT(ferry_request, params.timer.delay_ns, 48);
AT(ferry_request, params.timer.interval_ns, 56);
AT(ferry_request, params.listen.address, 48);
AT(ferry_request, params.listen.backlog, 80);
AT(ferry_request, params.connect.address, 48);
AT(ferry_request, params.receive.buffer, 48);
AT(ferry_request, params.receive.buffer_u64, 48);
AT(ferry_request, params.receive.size, 56);
AT(ferry_request, params.send.data, 48);
AT(ferry_request, params.send.data_u64, 48);
AT(ferry_request, params.send.size, 56);
AT(ferry_request, params.resolve.name, 48);
AT(ferry_request, params.resolve.name_u64, 48);
AT(ferry_request, params.resolve.family, 56);
AT(ferry_request, params.resolve.port, 60);
AT(ferry_request, params.connect_name.name, 48);
AT(ferry_request, params.connect_name.name_u64, 48);
AT(ferry_request, params.connect_name.port, 56);
AT(ferry_request, params.connect_name.attempt_delay_ns, 64);
AT(ferry_request, params.load.path, 48);
AT(ferry_request, params.load.path_u64, 48);
AT(ferry_request, params.load.size_max, 56);

SIZE(ferry_timer_params, 16);
SIZE(ferry_listen_params, 40);
SIZE(ferry_connect_params, 64);
AT(ferry_connect_params, local, 32);
SIZE(ferry_receive_params, 16);
SIZE(ferry_send_params, 16);
SIZE(ferry_load_params, 16);

SIZE(ferry_handle, 8);
SIZE(ferry_op, 8);
SIZE(ferry_buffer, 8);
SIZE(ferry_status, 4);

#if UINTPTR_MAX == UINT64_MAX
SIZE(ferry_engine_options, 112);
AT(ferry_engine_options, struct_size, 0);
AT(ferry_engine_options, flags, 4);
AT(ferry_engine_options, shards, 8);
AT(ferry_engine_options, ops_max, 12);
AT(ferry_engine_options, handles_max, 16);
AT(ferry_engine_options, workers_max, 20);
AT(ferry_engine_options, buffer_bytes_max, 24);
AT(ferry_engine_options, allocate, 32);
AT(ferry_engine_options, free, 40);
AT(ferry_engine_options, log, 48);
AT(ferry_engine_options, user_data, 56);
AT(ferry_engine_options, trace, 64);
AT(ferry_engine_options, trace_user_data, 72);
AT(ferry_engine_options, name_workers_max, 80);
AT(ferry_engine_options, driver, 84);
AT(ferry_engine_options, ring_without, 88);
AT(ferry_engine_options, seed, 96);
AT(ferry_engine_options, stall_ns, 104);

SIZE(ferry_engine_info, 72);
AT(ferry_engine_info, struct_size, 0);
AT(ferry_engine_info, shards, 4);
AT(ferry_engine_info, host_driven, 8);
AT(ferry_engine_info, state, 12);
AT(ferry_engine_info, ops_in_flight, 16);
AT(ferry_engine_info, handles_open, 24);
AT(ferry_engine_info, buffers_lent, 32);
AT(ferry_engine_info, buffer_bytes_lent, 40);
AT(ferry_engine_info, workers, 48);
AT(ferry_engine_info, workers_detached, 52);
AT(ferry_engine_info, driver, 56);
AT(ferry_engine_info, ring, 64);

SIZE(ferry_shard_info, 64);
AT(ferry_shard_info, struct_size, 0);
AT(ferry_shard_info, index, 4);
AT(ferry_shard_info, ops_in_flight, 8);
AT(ferry_shard_info, handles_open, 16);
AT(ferry_shard_info, buffers_lent, 24);
AT(ferry_shard_info, completions, 32);
AT(ferry_shard_info, connections, 40);
AT(ferry_shard_info, turns, 48);
AT(ferry_shard_info, wakeups, 56);

SIZE(ferry_queue_options, 40);
AT(ferry_queue_options, struct_size, 0);
AT(ferry_queue_options, flags, 4);
AT(ferry_queue_options, mode, 8);
AT(ferry_queue_options, capacity, 12);
AT(ferry_queue_options, shard, 16);
AT(ferry_queue_options, reserved, 20);
AT(ferry_queue_options, wake, 24);
AT(ferry_queue_options, user_data, 32);

SIZE(ferry_queue_mapping, 40);
AT(ferry_queue_mapping, struct_size, 0);
AT(ferry_queue_mapping, capacity, 4);
AT(ferry_queue_mapping, records, 8);
AT(ferry_queue_mapping, head, 16);
AT(ferry_queue_mapping, tail, 24);
AT(ferry_queue_mapping, flags, 32);
#endif

SIZE(ferry_run_report, 32);
AT(ferry_run_report, struct_size, 0);
AT(ferry_run_report, left, 4);
AT(ferry_run_report, completed, 8);
AT(ferry_run_report, oldest_age_ns, 16);
AT(ferry_run_report, overrun_ns, 24);

_Static_assert(FERRY_MORE == 1 && FERRY_BUFFER == 2 && FERRY_REUSABLE == 4, "completion flags");
_Static_assert(FERRY_MULTISHOT == 1 && FERRY_COPY == 2 && FERRY_LEND == 4 &&
                   FERRY_REUSE_PORT == 8 && FERRY_SPREAD == 16,
               "request flags");
_Static_assert(FERRY_TRACE_BEGIN == 1 && FERRY_TRACE_STEP == 2 && FERRY_TRACE_MORE == 3 &&
                   FERRY_TRACE_END == 4,
               "kinds of trace events");
_Static_assert(FERRY_COPY_MAX == 65536 && FERRY_PATH_MAX == 4095, "ceilings");

int main(void) {
    return 0;
}

SIZE(ferry_slice, 16);
AT(ferry_slice, data, 0);
AT(ferry_slice, data_u64, 0);
AT(ferry_slice, size, 8);

SIZE(ferry_connect_name_params, 24);
AT(ferry_connect_name_params, name, 0);
AT(ferry_connect_name_params, name_u64, 0);
AT(ferry_connect_name_params, port, 8);
AT(ferry_connect_name_params, attempt_delay_ns, 16);

SIZE(ferry_resolve_params, 16);
AT(ferry_resolve_params, name, 0);
AT(ferry_resolve_params, name_u64, 0);
AT(ferry_resolve_params, family, 8);
AT(ferry_resolve_params, port, 12);

SIZE(ferry_socket_address_params, 8);
AT(ferry_socket_address_params, peer, 0);

SIZE(ferry_socket_set_params, 16);
AT(ferry_socket_set_params, option, 0);
AT(ferry_socket_set_params, reserved, 4);
AT(ferry_socket_set_params, value, 8);

SIZE(ferry_adopt_params, 16);
AT(ferry_adopt_params, descriptor, 0);
AT(ferry_adopt_params, kind, 8);

SIZE(ferry_copy_params, 32);
AT(ferry_copy_params, to, 0);
AT(ferry_copy_params, size, 8);
AT(ferry_copy_params, from_offset, 16);
AT(ferry_copy_params, to_offset, 24);

SIZE(ferry_receive_until_params, 40);
AT(ferry_receive_until_params, buffer, 0);
AT(ferry_receive_until_params, buffer_u64, 0);
AT(ferry_receive_until_params, size, 8);
AT(ferry_receive_until_params, delimiter_size, 16);
AT(ferry_receive_until_params, delimiter, 24);

SIZE(ferry_slices_params, 24);
AT(ferry_slices_params, slices, 0);
AT(ferry_slices_params, slices_u64, 0);
AT(ferry_slices_params, count, 8);
AT(ferry_slices_params, offset, 16);

SIZE(ferry_file_params, 24);
AT(ferry_file_params, buffer, 0);
AT(ferry_file_params, buffer_u64, 0);
AT(ferry_file_params, size, 8);
AT(ferry_file_params, offset, 16);

SIZE(ferry_open_params, 16);
AT(ferry_open_params, path, 0);
AT(ferry_open_params, path_u64, 0);
AT(ferry_open_params, open_flags, 8);
AT(ferry_open_params, mode, 12);

SIZE(ferry_store_params, 32);
AT(ferry_store_params, path, 0);
AT(ferry_store_params, path_u64, 0);
AT(ferry_store_params, data, 8);
AT(ferry_store_params, data_u64, 8);
AT(ferry_store_params, size, 16);
AT(ferry_store_params, mode, 24);

SIZE(ferry_sync_params, 8);
AT(ferry_sync_params, data_only, 0);

SIZE(ferry_truncate_params, 8);
AT(ferry_truncate_params, size, 0);

SIZE(ferry_path_params, 16);
AT(ferry_path_params, path, 0);
AT(ferry_path_params, path_u64, 0);
AT(ferry_path_params, no_follow, 8);

SIZE(ferry_channel_params, 8);
AT(ferry_channel_params, capacity, 0);

SIZE(ferry_message_params, 16);
AT(ferry_message_params, result, 0);
AT(ferry_message_params, data_u64, 8);

SIZE(ferry_children_params, 16);
AT(ferry_children_params, children, 0);
AT(ferry_children_params, children_u64, 0);
AT(ferry_children_params, count, 8);

SIZE(ferry_retry_params, 32);
AT(ferry_retry_params, child, 0);
AT(ferry_retry_params, child_u64, 0);
AT(ferry_retry_params, attempts_max, 8);
AT(ferry_retry_params, delay_ns, 16);
AT(ferry_retry_params, delay_max_ns, 24);

SIZE(ferry_file_info, 128);
AT(ferry_file_info, size, 0);
AT(ferry_file_info, allocated, 8);
AT(ferry_file_info, modified_ns, 16);
AT(ferry_file_info, changed_ns, 24);
AT(ferry_file_info, accessed_ns, 32);
AT(ferry_file_info, created_ns, 40);
AT(ferry_file_info, device, 48);
AT(ferry_file_info, inode, 56);
AT(ferry_file_info, links, 64);
AT(ferry_file_info, type, 72);
AT(ferry_file_info, permissions, 76);
AT(ferry_file_info, user, 80);
AT(ferry_file_info, group, 84);
AT(ferry_file_info, block_size, 88);
AT(ferry_file_info, reserved, 92);

AT(ferry_request, params.timer, 48);
AT(ferry_request, params.listen, 48);
AT(ferry_request, params.connect, 48);
AT(ferry_request, params.connect_name, 48);
AT(ferry_request, params.resolve, 48);
AT(ferry_request, params.socket_address, 48);
AT(ferry_request, params.socket_set, 48);
AT(ferry_request, params.adopt, 48);
AT(ferry_request, params.copy, 48);
AT(ferry_request, params.receive, 48);
AT(ferry_request, params.receive_until, 48);
AT(ferry_request, params.send, 48);
AT(ferry_request, params.slices, 48);
AT(ferry_request, params.load, 48);
AT(ferry_request, params.store, 48);
AT(ferry_request, params.open, 48);
AT(ferry_request, params.file, 48);
AT(ferry_request, params.sync, 48);
AT(ferry_request, params.truncate, 48);
AT(ferry_request, params.path, 48);
AT(ferry_request, params.channel, 48);
AT(ferry_request, params.message, 48);
AT(ferry_request, params.children, 48);
AT(ferry_request, params.retry, 48);
