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
AT(ferry_request, params.load.path, 48);
AT(ferry_request, params.load.path_u64, 48);
AT(ferry_request, params.load.size_max, 56);

SIZE(ferry_timer_params, 16);
SIZE(ferry_listen_params, 40);
SIZE(ferry_connect_params, 32);
SIZE(ferry_receive_params, 16);
SIZE(ferry_send_params, 16);
SIZE(ferry_load_params, 16);

SIZE(ferry_handle, 8);
SIZE(ferry_op, 8);
SIZE(ferry_buffer, 8);
SIZE(ferry_status, 4);

#if UINTPTR_MAX == UINT64_MAX
SIZE(ferry_engine_options, 64);
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

SIZE(ferry_engine_info, 64);
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
_Static_assert(FERRY_MULTISHOT == 1 && FERRY_COPY == 2 && FERRY_LEND == 4 && FERRY_REUSE_PORT == 8,
               "request flags");
_Static_assert(FERRY_COPY_MAX == 65536 && FERRY_PATH_MAX == 4095, "ceilings");

int main(void) {
    return 0;
}
