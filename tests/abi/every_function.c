/*
 * Every exported function, by its address. Built as C11 and, through every_function.cpp, as C++17:
 * it links only if each is declared with C linkage and exported under its name.
 */
#include <ferry.h>

#include <stdio.h>

typedef void (*any_function)(void);

#define FUNCTION(name)                                                                             \
    { #name, (any_function)name }

static const struct {
    const char *name;
    any_function address;
} functions[] = {
    FUNCTION(ferry_address_format),
    FUNCTION(ferry_address_parse),
    FUNCTION(ferry_api_level),
    FUNCTION(ferry_buffer_release),
    FUNCTION(ferry_buffers_release),
    FUNCTION(ferry_child_handle),
    FUNCTION(ferry_engine_create),
    FUNCTION(ferry_engine_destroy),
    FUNCTION(ferry_engine_dump),
    FUNCTION(ferry_engine_fd),
    FUNCTION(ferry_engine_get_info),
    FUNCTION(ferry_engine_get_shard_info),
    FUNCTION(ferry_engine_get_metrics),
    FUNCTION(ferry_engine_run),
    FUNCTION(ferry_engine_shutdown),
    FUNCTION(ferry_engine_walk_metrics),
    FUNCTION(ferry_handle_discard),
    FUNCTION(ferry_layout_size),
    FUNCTION(ferry_layout_offset),
    FUNCTION(ferry_opcode_name),
    FUNCTION(ferry_prepare_all),
    FUNCTION(ferry_prepare_chain),
    FUNCTION(ferry_prepare_channel_finish),
    FUNCTION(ferry_prepare_channel_open),
    FUNCTION(ferry_prepare_channel_receive),
    FUNCTION(ferry_prepare_channel_send),
    FUNCTION(ferry_prepare_descriptor_adopt),
    FUNCTION(ferry_prepare_descriptor_release),
    FUNCTION(ferry_prepare_file_load),
    FUNCTION(ferry_prepare_file_open),
    FUNCTION(ferry_prepare_file_read),
    FUNCTION(ferry_prepare_file_read_vectored),
    FUNCTION(ferry_prepare_file_stat),
    FUNCTION(ferry_prepare_file_store),
    FUNCTION(ferry_prepare_file_sync),
    FUNCTION(ferry_prepare_file_truncate),
    FUNCTION(ferry_prepare_file_write),
    FUNCTION(ferry_prepare_file_write_vectored),
    FUNCTION(ferry_prepare_handle_close),
    FUNCTION(ferry_prepare_handle_copy),
    FUNCTION(ferry_prepare_name_resolve),
    FUNCTION(ferry_prepare_nop),
    FUNCTION(ferry_prepare_path_stat),
    FUNCTION(ferry_prepare_race),
    FUNCTION(ferry_prepare_retry),
    FUNCTION(ferry_prepare_socket_local_address),
    FUNCTION(ferry_prepare_socket_peer_address),
    FUNCTION(ferry_prepare_socket_set),
    FUNCTION(ferry_prepare_stream_receive),
    FUNCTION(ferry_prepare_stream_receive_exactly),
    FUNCTION(ferry_prepare_stream_receive_multishot),
    FUNCTION(ferry_prepare_stream_receive_until),
    FUNCTION(ferry_prepare_stream_send),
    FUNCTION(ferry_prepare_stream_send_vectored),
    FUNCTION(ferry_prepare_stream_shutdown),
    FUNCTION(ferry_prepare_tcp_accept),
    FUNCTION(ferry_prepare_tcp_connect),
    FUNCTION(ferry_prepare_tcp_connect_from),
    FUNCTION(ferry_prepare_tcp_connect_name),
    FUNCTION(ferry_prepare_tcp_listen),
    FUNCTION(ferry_prepare_timer),
    FUNCTION(ferry_queue_arm),
    FUNCTION(ferry_queue_cancel),
    FUNCTION(ferry_queue_create),
    FUNCTION(ferry_queue_destroy),
    FUNCTION(ferry_queue_dispatch),
    FUNCTION(ferry_queue_fd),
    FUNCTION(ferry_queue_map),
    FUNCTION(ferry_queue_post),
    FUNCTION(ferry_queue_reap),
    FUNCTION(ferry_queue_submit),
    FUNCTION(ferry_queue_wait),
    FUNCTION(ferry_sim_add_chaos),
    FUNCTION(ferry_sim_add_fault),
    FUNCTION(ferry_sim_add_host),
    FUNCTION(ferry_sim_advance),
    FUNCTION(ferry_sim_clear_faults),
    FUNCTION(ferry_sim_crash),
    FUNCTION(ferry_sim_get_file),
    FUNCTION(ferry_sim_keep_trace),
    FUNCTION(ferry_sim_now),
    FUNCTION(ferry_sim_partition),
    FUNCTION(ferry_sim_put_file),
    FUNCTION(ferry_sim_read_trace),
    FUNCTION(ferry_sim_remove_file),
    FUNCTION(ferry_sim_restart),
    FUNCTION(ferry_sim_set_disk),
    FUNCTION(ferry_sim_set_link),
    FUNCTION(ferry_sim_set_name),
    FUNCTION(ferry_status_message),
    FUNCTION(ferry_status_name),
    FUNCTION(ferry_trace_writer_create),
    FUNCTION(ferry_trace_writer_destroy),
    FUNCTION(ferry_trace_writer_event),
    FUNCTION(ferry_version),
};

/* The symbol check compares this list with the version script and the headers. */
int main(void) {
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (functions[i].address != 0) {
            puts(functions[i].name);
        }
    }
    return 0;
}
