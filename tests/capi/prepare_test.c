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
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(every_byte_is_written),
        PLAIN(the_fields_are_where_the_header_says),
        PLAIN(the_stream_and_file_fields_are_where_the_header_says),
        PLAIN(the_channel_fields_are_where_the_header_says),
        PLAIN(the_name_fields_are_where_the_header_says),
        PLAIN(null_is_ignored),
    };
    return RUN_SUITE(tests);
}
