/* The prepare functions: they write every byte of the record, and nothing happens yet. */
#include "check.h"

#include <string.h>

/* Two copies over different garbage are equal only if no byte was left as it was. */
#define assert_writes_all(prepare_call)                                                            \
    do {                                                                                           \
        ferry_request first;                                                                       \
        ferry_request second;                                                                      \
        ferry_request *request = &first;                                                           \
        memset(&first, 0x00, sizeof first);                                                        \
        memset(&second, 0xff, sizeof second);                                                      \
        prepare_call;                                                                              \
        request = &second;                                                                         \
        prepare_call;                                                                              \
        assert_memory_equal(&first, &second, sizeof first);                                        \
        assert_int_equal(first.reserved, 0);                                                       \
        assert_int_equal(first.tag, 0);                                                            \
        assert_int_equal(first.deadline_ns, 0);                                                    \
        assert_int_equal(first.callback_u64, 0);                                                   \
        assert_int_equal(first.user_data_u64, 0);                                                  \
    } while (0)

static char memory[8];

static ferry_address an_address(void) {
    ferry_address address;
    assert_status(ferry_address_parse("127.0.0.1", 80, &address), FERRY_OK);
    return address;
}

static void every_byte_is_written(void **state) {
    (void)state;
    ferry_address address = an_address();
    assert_writes_all(ferry_prepare_nop(request));
    assert_writes_all(ferry_prepare_handle_close(request, 5));
    assert_writes_all(ferry_prepare_timer(request, 1, 2));
    assert_writes_all(ferry_prepare_timer(request, 1, 0));
    assert_writes_all(ferry_prepare_tcp_listen(request, &address, 3));
    assert_writes_all(ferry_prepare_tcp_listen(request, NULL, 3));
    assert_writes_all(ferry_prepare_tcp_accept(request, 5));
    assert_writes_all(ferry_prepare_tcp_connect(request, &address));
    assert_writes_all(ferry_prepare_tcp_connect(request, NULL));
    assert_writes_all(ferry_prepare_stream_receive(request, 5, memory, sizeof memory));
    assert_writes_all(ferry_prepare_stream_receive_multishot(request, 5));
    assert_writes_all(ferry_prepare_stream_send(request, 5, memory, sizeof memory));
    assert_writes_all(ferry_prepare_file_load(request, "name", 6));
    assert_writes_all(ferry_prepare_file_load(request, NULL, 6));
    assert_writes_all(ferry_prepare_channel_open(request, 7));
    assert_writes_all(ferry_prepare_channel_send(request, 5, 6, 7));
    assert_writes_all(ferry_prepare_channel_receive(request, 5));
    assert_writes_all(ferry_prepare_channel_finish(request, 5));
    assert_writes_all(ferry_prepare_name_resolve(request, "name", 80, FERRY_IPV6));
    assert_writes_all(ferry_prepare_name_resolve(request, NULL, 80, 0));
    assert_writes_all(ferry_prepare_tcp_connect_name(request, "name", 80));
    assert_writes_all(ferry_prepare_tcp_connect_name(request, NULL, 80));
}

static void every_byte_is_written_of_streams_and_sockets(void **state) {
    (void)state;
    ferry_address address = an_address();
    ferry_slice slice = {.data = memory, .size = sizeof memory};
    assert_writes_all(ferry_prepare_stream_receive_exactly(request, 5, memory, sizeof memory));
    assert_writes_all(
        ferry_prepare_stream_receive_until(request, 5, memory, sizeof memory, "\r\n", 2));
    assert_writes_all(ferry_prepare_stream_receive_until(request, 5, NULL, 9, NULL, 2));
    assert_writes_all(ferry_prepare_stream_send_vectored(request, 5, &slice, 1));
    assert_writes_all(ferry_prepare_stream_shutdown(request, 5));
    assert_writes_all(ferry_prepare_socket_set(request, 5, FERRY_SOCKET_NO_DELAY, 1));
    assert_writes_all(ferry_prepare_socket_local_address(request, 5));
    assert_writes_all(ferry_prepare_socket_peer_address(request, 5));
    assert_writes_all(ferry_prepare_descriptor_adopt(request, 3, FERRY_DESCRIPTOR_FILE));
    assert_writes_all(ferry_prepare_descriptor_release(request, 5));
    assert_writes_all(ferry_prepare_handle_copy(request, 5, 6, 7, 8, 9));
    assert_writes_all(ferry_prepare_tcp_connect_from(request, &address, &address));
}

static void the_fields_are_where_the_header_says(void **state) {
    (void)state;
    ferry_request request;
    ferry_address address = an_address();

    ferry_prepare_nop(&request);
    assert_int_equal(request.opcode, FERRY_OP_NOP);

    ferry_prepare_handle_close(&request, 5);
    assert_int_equal(request.opcode, FERRY_OP_HANDLE_CLOSE);
    assert_int_equal(request.target, 5);

    ferry_prepare_timer(&request, 1, 0);
    assert_int_equal(request.opcode, FERRY_OP_TIMER);
    assert_int_equal(request.flags, 0);
    assert_int_equal(request.params.timer.delay_ns, 1);
    ferry_prepare_timer(&request, 1, 2);
    assert_int_equal(request.flags, FERRY_MULTISHOT);
    assert_int_equal(request.params.timer.interval_ns, 2);

    ferry_prepare_tcp_listen(&request, &address, 9);
    assert_int_equal(request.opcode, FERRY_OP_TCP_LISTEN);
    assert_memory_equal(&request.params.listen.address, &address, sizeof address);
    assert_int_equal(request.params.listen.backlog, 9);

    ferry_prepare_tcp_accept(&request, 5);
    assert_int_equal(request.opcode, FERRY_OP_TCP_ACCEPT);
    assert_int_equal(request.flags, FERRY_MULTISHOT);
    assert_int_equal(request.target, 5);

    ferry_prepare_tcp_connect(&request, &address);
    assert_int_equal(request.opcode, FERRY_OP_TCP_CONNECT);
    assert_memory_equal(&request.params.connect.address, &address, sizeof address);
}

static void the_stream_and_file_fields_are_where_the_header_says(void **state) {
    (void)state;
    ferry_request request;
    ferry_prepare_stream_receive(&request, 5, memory, sizeof memory);
    assert_int_equal(request.opcode, FERRY_OP_STREAM_RECEIVE);
    assert_int_equal(request.flags, 0);
    assert_ptr_equal(request.params.receive.buffer, memory);
    assert_int_equal(request.params.receive.size, sizeof memory);

    ferry_prepare_stream_receive_multishot(&request, 5);
    assert_int_equal(request.opcode, FERRY_OP_STREAM_RECEIVE);
    assert_int_equal(request.flags, FERRY_MULTISHOT | FERRY_LEND);
    assert_int_equal(request.params.words[0], 0);
    assert_int_equal(request.params.words[1], 0);

    ferry_prepare_stream_send(&request, 5, memory, 3);
    assert_int_equal(request.opcode, FERRY_OP_STREAM_SEND);
    assert_ptr_equal(request.params.send.data, memory);
    assert_int_equal(request.params.send.size, 3);

    ferry_prepare_file_load(&request, memory, 6);
    assert_int_equal(request.opcode, FERRY_OP_FILE_LOAD);
    assert_ptr_equal(request.params.load.path, memory);
    assert_int_equal(request.params.load.size_max, 6);
}

static void the_channel_fields_are_where_the_header_says(void **state) {
    (void)state;
    ferry_request request;
    ferry_prepare_channel_open(&request, UINT32_MAX);
    assert_int_equal(request.opcode, FERRY_OP_CHANNEL_OPEN);
    assert_int_equal(request.target, FERRY_NONE);
    assert_int_equal(request.params.channel.capacity, UINT32_MAX);

    ferry_prepare_channel_send(&request, 5, -6, UINT64_MAX);
    assert_int_equal(request.opcode, FERRY_OP_CHANNEL_SEND);
    assert_int_equal(request.target, 5);
    assert_int_equal(request.params.message.result, -6);
    assert_int_equal(request.params.message.data_u64, UINT64_MAX);

    ferry_prepare_channel_receive(&request, 5);
    assert_int_equal(request.opcode, FERRY_OP_CHANNEL_RECEIVE);
    assert_int_equal(request.flags, FERRY_MULTISHOT);
    assert_int_equal(request.target, 5);

    ferry_prepare_channel_finish(&request, 5);
    assert_int_equal(request.opcode, FERRY_OP_CHANNEL_FINISH);
    assert_int_equal(request.target, 5);
}

static void the_name_fields_are_where_the_header_says(void **state) {
    (void)state;
    ferry_request request;
    ferry_prepare_name_resolve(&request, memory, 80, FERRY_IPV6);
    assert_int_equal(request.opcode, FERRY_OP_NAME_RESOLVE);
    assert_int_equal(request.flags, 0);
    assert_ptr_equal(request.params.resolve.name, memory);
    assert_int_equal(request.params.resolve.family, FERRY_IPV6);
    assert_int_equal(request.params.resolve.port, 80);

    ferry_prepare_tcp_connect_name(&request, memory, 80);
    assert_int_equal(request.opcode, FERRY_OP_TCP_CONNECT_NAME);
    assert_int_equal(request.flags, 0);
    assert_ptr_equal(request.params.connect_name.name, memory);
    assert_int_equal(request.params.connect_name.port, 80);
    assert_int_equal(request.params.connect_name.attempt_delay_ns, 0);
}

static void the_fields_of_streams_are_where_the_header_says(void **state) {
    (void)state;
    ferry_request request;
    ferry_slice slice = {.data = memory, .size = sizeof memory};
    ferry_prepare_stream_receive_exactly(&request, 5, memory, 3);
    assert_int_equal(request.opcode, FERRY_OP_STREAM_RECEIVE_EXACTLY);
    assert_int_equal(request.target, 5);
    assert_ptr_equal(request.params.receive.buffer, memory);
    assert_int_equal(request.params.receive.size, 3);

    ferry_prepare_stream_receive_until(&request, 5, memory, 3, "\r\n", 2);
    assert_int_equal(request.opcode, FERRY_OP_STREAM_RECEIVE_UNTIL);
    assert_int_equal(request.flags, 0);
    assert_ptr_equal(request.params.receive_until.buffer, memory);
    assert_int_equal(request.params.receive_until.size, 3);
    assert_int_equal(request.params.receive_until.delimiter_size, 2);
    assert_memory_equal(request.params.receive_until.delimiter, "\r\n\0\0\0\0\0\0\0\0\0\0\0\0\0",
                        16);
    /* What does not fit can be told from its size, at submit. */
    ferry_prepare_stream_receive_until(&request, 5, memory, 3, "0123456789abcdefg", 17);
    assert_int_equal(request.params.receive_until.delimiter_size, 17);

    ferry_prepare_stream_send_vectored(&request, 5, &slice, 1);
    assert_int_equal(request.opcode, FERRY_OP_STREAM_SEND_VECTORED);
    assert_ptr_equal(request.params.slices.slices, &slice);
    assert_int_equal(request.params.slices.count, 1);
    assert_int_equal(request.params.slices.offset, 0);

    ferry_prepare_stream_shutdown(&request, 5);
    assert_int_equal(request.opcode, FERRY_OP_STREAM_SHUTDOWN);
    assert_int_equal(request.target, 5);
}

static void the_fields_of_sockets_are_where_the_header_says(void **state) {
    (void)state;
    ferry_request request;
    ferry_address address = an_address();
    ferry_prepare_socket_set(&request, 5, FERRY_SOCKET_LINGER, -1);
    assert_int_equal(request.opcode, FERRY_OP_SOCKET_SET);
    assert_int_equal(request.target, 5);
    assert_int_equal(request.params.socket_set.option, FERRY_SOCKET_LINGER);
    assert_int_equal(request.params.socket_set.value, -1);

    ferry_prepare_socket_peer_address(&request, 5);
    assert_int_equal(request.opcode, FERRY_OP_SOCKET_ADDRESS);
    assert_int_equal(request.params.socket_address.peer, 1);
    ferry_prepare_socket_local_address(&request, 5);
    assert_int_equal(request.params.socket_address.peer, 0);

    ferry_prepare_descriptor_adopt(&request, 3, FERRY_DESCRIPTOR_LISTENER);
    assert_int_equal(request.opcode, FERRY_OP_DESCRIPTOR_ADOPT);
    assert_int_equal(request.target, FERRY_NONE);
    assert_int_equal(request.params.adopt.descriptor, 3);
    assert_int_equal(request.params.adopt.kind, FERRY_DESCRIPTOR_LISTENER);
    ferry_prepare_descriptor_release(&request, 5);
    assert_int_equal(request.opcode, FERRY_OP_DESCRIPTOR_RELEASE);
    assert_int_equal(request.target, 5);

    ferry_prepare_handle_copy(&request, 5, 6, 7, 8, 9);
    assert_int_equal(request.opcode, FERRY_OP_HANDLE_COPY);
    assert_int_equal(request.target, 5);
    assert_int_equal(request.params.copy.to, 6);
    assert_int_equal(request.params.copy.size, 7);
    assert_int_equal(request.params.copy.from_offset, 8);
    assert_int_equal(request.params.copy.to_offset, 9);

    ferry_prepare_tcp_connect_from(&request, &address, &address);
    assert_int_equal(request.opcode, FERRY_OP_TCP_CONNECT);
    assert_memory_equal(&request.params.connect.local, &address, sizeof address);
}

static const ferry_slice slices[2] = {{{memory}, 1}, {{memory}, 2}};

static void every_byte_of_a_file_request_is_written(void **state) {
    (void)state;
    assert_writes_all(ferry_prepare_file_store(request, "name", memory, 3, 0600));
    assert_writes_all(ferry_prepare_file_open(request, "name", FERRY_OPEN_READ, 0600));
    assert_writes_all(ferry_prepare_file_read(request, 5, memory, 3, 7));
    assert_writes_all(ferry_prepare_file_write(request, 5, memory, 3, 7));
    assert_writes_all(ferry_prepare_file_read_vectored(request, 5, slices, 2, 7));
    assert_writes_all(ferry_prepare_file_write_vectored(request, 5, slices, 2, 7));
    assert_writes_all(ferry_prepare_file_stat(request, 5));
    assert_writes_all(ferry_prepare_file_sync(request, 5, true));
    assert_writes_all(ferry_prepare_file_truncate(request, 5, 7));
    assert_writes_all(ferry_prepare_path_stat(request, "name", true));
}

static void expect_transfer(const ferry_request *request, uint16_t opcode, const void *memory_at,
                            uint64_t size) {
    assert_int_equal(request->opcode, opcode);
    assert_int_equal(request->flags, 0);
    assert_int_equal(request->target, 5);
    assert_ptr_equal(request->params.file.buffer, memory_at);
    assert_int_equal(request->params.file.size, size);
    assert_int_equal(request->params.file.offset, 7);
}

static void the_fields_of_open_files_are_where_the_header_says(void **state) {
    (void)state;
    ferry_request request;
    ferry_prepare_file_read(&request, 5, memory, 3, 7);
    expect_transfer(&request, FERRY_OP_FILE_READ, memory, 3);
    ferry_prepare_file_write(&request, 5, memory, 3, 7);
    expect_transfer(&request, FERRY_OP_FILE_WRITE, memory, 3);
    ferry_prepare_file_read_vectored(&request, 5, slices, 2, 7);
    expect_transfer(&request, FERRY_OP_FILE_READ_VECTORED, slices, 2);
    assert_int_equal(request.params.slices.count, 2);
    ferry_prepare_file_write_vectored(&request, 5, slices, 2, 7);
    expect_transfer(&request, FERRY_OP_FILE_WRITE_VECTORED, slices, 2);
    ferry_prepare_file_stat(&request, 5);
    assert_int_equal(request.opcode, FERRY_OP_FILE_STAT);
    assert_int_equal(request.target, 5);
    ferry_prepare_file_sync(&request, 5, true);
    assert_int_equal(request.opcode, FERRY_OP_FILE_SYNC);
    assert_int_equal(request.target, 5);
    assert_int_equal(request.params.sync.data_only, 1);
    ferry_prepare_file_truncate(&request, 5, 7);
    assert_int_equal(request.opcode, FERRY_OP_FILE_TRUNCATE);
    assert_int_equal(request.target, 5);
    assert_int_equal(request.params.truncate.size, 7);
}

static void the_fields_of_paths_are_where_the_header_says(void **state) {
    (void)state;
    ferry_request request;
    ferry_prepare_file_store(&request, memory, memory + 1, 3, 0600);
    assert_int_equal(request.opcode, FERRY_OP_FILE_STORE);
    assert_ptr_equal(request.params.store.path, memory);
    assert_ptr_equal(request.params.store.data, memory + 1);
    assert_int_equal(request.params.store.size, 3);
    assert_int_equal(request.params.store.mode, 0600);
    ferry_prepare_file_open(&request, memory, FERRY_OPEN_WRITE | FERRY_OPEN_CREATE, 0600);
    assert_int_equal(request.opcode, FERRY_OP_FILE_OPEN);
    assert_ptr_equal(request.params.open.path, memory);
    assert_int_equal(request.params.open.open_flags, FERRY_OPEN_WRITE | FERRY_OPEN_CREATE);
    assert_int_equal(request.params.open.mode, 0600);
    ferry_prepare_path_stat(&request, memory, true);
    assert_int_equal(request.opcode, FERRY_OP_PATH_STAT);
    assert_ptr_equal(request.params.path.path, memory);
    assert_int_equal(request.params.path.no_follow, 1);
}

static void null_is_ignored(void **state) {
    (void)state;
    ferry_address address = an_address();
    ferry_prepare_nop(NULL);
    ferry_prepare_handle_close(NULL, 5);
    ferry_prepare_timer(NULL, 1, 2);
    ferry_prepare_tcp_listen(NULL, &address, 3);
    ferry_prepare_tcp_accept(NULL, 5);
    ferry_prepare_tcp_connect(NULL, &address);
    ferry_prepare_stream_receive(NULL, 5, memory, sizeof memory);
    ferry_prepare_stream_receive_multishot(NULL, 5);
    ferry_prepare_stream_send(NULL, 5, memory, sizeof memory);
    ferry_prepare_file_load(NULL, "name", 6);
    ferry_prepare_channel_open(NULL, 7);
    ferry_prepare_channel_send(NULL, 5, 6, 7);
    ferry_prepare_channel_receive(NULL, 5);
    ferry_prepare_channel_finish(NULL, 5);
    ferry_prepare_name_resolve(NULL, "name", 80, 0);
    ferry_prepare_tcp_connect_name(NULL, "name", 80);
    ferry_prepare_stream_receive_exactly(NULL, 5, memory, 3);
    ferry_prepare_stream_receive_until(NULL, 5, memory, 3, "x", 1);
    ferry_prepare_stream_send_vectored(NULL, 5, NULL, 1);
    ferry_prepare_stream_shutdown(NULL, 5);
    ferry_prepare_socket_set(NULL, 5, FERRY_SOCKET_LINGER, -1);
    ferry_prepare_socket_local_address(NULL, 5);
    ferry_prepare_socket_peer_address(NULL, 5);
    ferry_prepare_descriptor_adopt(NULL, 3, FERRY_DESCRIPTOR_FILE);
    ferry_prepare_descriptor_release(NULL, 5);
    ferry_prepare_handle_copy(NULL, 5, 6, 7, 8, 9);
    ferry_prepare_tcp_connect_from(NULL, &address, &address);
    ferry_prepare_file_store(NULL, "name", memory, 3, 0);
    ferry_prepare_file_open(NULL, "name", 1, 0);
    ferry_prepare_file_read(NULL, 5, memory, 3, 7);
    ferry_prepare_file_write(NULL, 5, memory, 3, 7);
    ferry_prepare_file_read_vectored(NULL, 5, slices, 2, 7);
    ferry_prepare_file_write_vectored(NULL, 5, slices, 2, 7);
    ferry_prepare_file_stat(NULL, 5);
    ferry_prepare_file_sync(NULL, 5, true);
    ferry_prepare_file_truncate(NULL, 5, 7);
    ferry_prepare_path_stat(NULL, "name", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(every_byte_is_written),
        PLAIN(every_byte_is_written_of_streams_and_sockets),
        PLAIN(the_fields_are_where_the_header_says),
        PLAIN(the_stream_and_file_fields_are_where_the_header_says),
        PLAIN(the_channel_fields_are_where_the_header_says),
        PLAIN(the_name_fields_are_where_the_header_says),
        PLAIN(the_fields_of_streams_are_where_the_header_says),
        PLAIN(the_fields_of_sockets_are_where_the_header_says),
        PLAIN(every_byte_of_a_file_request_is_written),
        PLAIN(the_fields_of_open_files_are_where_the_header_says),
        PLAIN(the_fields_of_paths_are_where_the_header_says),
        PLAIN(null_is_ignored),
    };
    return RUN_SUITE(tests);
}
