/*
 * The simulated network: time, connections, what befalls them.
 *
 * Each test runs under a number of seeds: what the seed leaves to chance must not matter to it.
 */
#include "sim.h"

#include <string.h>

enum { HOURS = 3600 };

static void close_all(fixture *f, ferry_handle one, ferry_handle other) {
    ferry_request request;
    ferry_prepare_handle_close(&request, one);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    ferry_prepare_handle_close(&request, other);
    assert_status(sim_do(f, &request).status, FERRY_OK);
}

/* --- Time ---------------------------------------------------------------------------------- */

static void hours_pass_at_once(fixture *f) {
    ferry_request request;
    uint64_t begin = sim_now(f);
    for (int i = 0; i < 100; i++) {
        ferry_prepare_timer(&request, HOUR, 0);
        assert_status(sim_do(f, &request).status, FERRY_OK);
    }
    uint64_t passed = sim_now(f) - begin;
    assert_true(passed >= 100 * HOUR && passed < 100 * HOUR + SECOND);
}

static void time_stands_still_without_a_wait(fixture *f) {
    ferry_request request;
    ferry_prepare_timer(&request, MS, 0);
    ferry_op op = fixture_submit(f, &request);
    uint64_t begin = sim_now(f);
    for (int i = 0; i < 100; i++) {
        fixture_turn(f, 0);
    }
    assert_int_equal(sim_now(f), begin);
    fixture_turn(f, MS / 2);
    assert_int_equal(sim_now(f), begin + MS / 2);
    assert_false(fixture_has(f, op));
    assert_status(ferry_sim_advance(f->engine, HOUR), FERRY_OK);
    assert_status(sim_final(f, op).status, FERRY_OK);
    assert_true(sim_now(f) >= begin + MS / 2 + HOUR);
}

static void a_wait_for_nothing_ends(fixture *f) {
    uint64_t begin = sim_now(f);
    assert_status(ferry_engine_run(f->engine, FERRY_FOREVER, 0, NULL), FERRY_OK);
    assert_int_equal(sim_now(f), begin);
}

/* --- Connections --------------------------------------------------------------------------- */

static void echoes(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    static const size_t sizes[] = {1, 1460, 1461, 100000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        char *sent = fixture_memory(f, size);
        char *got = fixture_memory(f, size);
        for (size_t j = 0; j < size; j++) {
            sent[j] = (char)(j * 31 + i);
        }
        ferry_request request;
        ferry_prepare_stream_send(&request, near, sent, size);
        ferry_op send = fixture_submit(f, &request);
        ferry_prepare_stream_receive_exactly(&request, far, got, size);
        ferry_completion received = sim_do(f, &request);
        assert_status(received.status, FERRY_OK);
        assert_int_equal(received.result, size);
        assert_memory_equal(got, sent, size);
        ferry_completion completion = sim_final(f, send);
        assert_status(completion.status, FERRY_OK);
        assert_int_equal(completion.result, size);
    }
    close_all(f, near, far);
}

static ferry_completion connect_to(fixture *f, const ferry_address *peer) {
    ferry_address local = sim_address(SIM_ONE, 0);
    ferry_request request;
    ferry_prepare_tcp_connect_from(&request, peer, &local);
    return sim_do(f, &request);
}

static void nobody_listens(fixture *f) {
    ferry_address peer = sim_address(SIM_TWO, 99);
    assert_status(connect_to(f, &peer).status, FERRY_E_CONNECTION_REFUSED);
    ferry_address nowhere = sim_address(77, 99);
    uint64_t begin = sim_now(f);
    assert_status(connect_to(f, &nowhere).status, FERRY_E_HOST_UNREACHABLE);
    assert_true(sim_now(f) - begin >= 3 * SECOND);
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &nowhere, 0);
    assert_status(sim_do(f, &request).status, FERRY_E_ADDRESS_NOT_AVAILABLE);
    uint16_t port;
    sim_listen(f, SIM_TWO, &port);
    ferry_address taken = sim_address(SIM_TWO, port);
    ferry_prepare_tcp_listen(&request, &taken, 0);
    assert_status(sim_do(f, &request).status, FERRY_E_ADDRESS_IN_USE);
}

static void an_end_is_seen(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    char memory[8];
    ferry_request request;
    ferry_prepare_stream_send(&request, near, "abc", 3);
    ferry_op send = fixture_submit(f, &request);
    ferry_prepare_stream_shutdown(&request, near);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    assert_status(sim_final(f, send).status, FERRY_OK);
    ferry_prepare_stream_receive_exactly(&request, far, memory, 8);
    ferry_completion completion = sim_do(f, &request);
    assert_status(completion.status, FERRY_E_END);
    assert_int_equal(completion.result, 3);
    ferry_prepare_stream_send(&request, near, "d", 1);
    assert_status(sim_do(f, &request).status, FERRY_E_BROKEN_PIPE);
    ferry_prepare_stream_send(&request, far, "xyz", 3);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    ferry_prepare_stream_receive_exactly(&request, near, memory, 3);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    close_all(f, near, far);
}

static void closing_with_bytes_unread_resets(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    char memory[8];
    ferry_request request;
    ferry_prepare_stream_send(&request, near, "abc", 3);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    sim_linger(f, MS);
    ferry_prepare_handle_close(&request, far);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    ferry_prepare_stream_receive(&request, near, memory, sizeof memory);
    assert_status(sim_do(f, &request).status, FERRY_E_CONNECTION_RESET);
    ferry_prepare_stream_send(&request, near, "abc", 3);
    assert_status(sim_do(f, &request).status, FERRY_E_BROKEN_PIPE);
}

static void a_slow_reader_holds_the_sender(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    size_t size = 1000000;
    char *data = fixture_memory(f, size);
    memset(data, 'x', size);
    ferry_request request;
    ferry_prepare_stream_send(&request, near, data, size);
    ferry_op send = fixture_submit(f, &request);
    sim_linger(f, HOUR);
    assert_false(fixture_has(f, send));
    ferry_prepare_stream_receive_exactly(&request, far, data, size);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    assert_status(sim_final(f, send).status, FERRY_OK);
}

/* --- The way ------------------------------------------------------------------------------- */

static uint64_t time_of_a_message(fixture *f, ferry_handle near, ferry_handle far, size_t size) {
    char *data = fixture_memory(f, size);
    memset(data, 'x', size);
    ferry_request request;
    uint64_t begin = sim_now(f);
    ferry_prepare_stream_send(&request, near, data, size);
    ferry_op send = fixture_submit(f, &request);
    ferry_prepare_stream_receive_exactly(&request, far, data, size);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    uint64_t passed = sim_now(f) - begin;
    assert_status(sim_final(f, send).status, FERRY_OK);
    return passed;
}

static void a_link_has_latency_and_bandwidth(fixture *f) {
    ferry_handle near, far;
    sim_links(f, (ferry_sim_link){.latency_ns = 40 * MS});
    sim_connect(f, &near, &far);
    uint64_t passed = time_of_a_message(f, near, far, 10);
    assert_true(passed >= 40 * MS && passed < 41 * MS);
    sim_links(f, (ferry_sim_link){.latency_ns = 40 * MS, .bytes_per_second = 100000});
    passed = time_of_a_message(f, near, far, 50000);
    assert_true(passed >= 540 * MS && passed < 560 * MS);
    sim_links(f, (ferry_sim_link){.latency_ns = MS, .jitter_ns = 10 * MS});
    uint64_t least = HOUR, most = 0;
    for (int i = 0; i < 50; i++) {
        passed = time_of_a_message(f, near, far, 1);
        least = passed < least ? passed : least;
        most = passed > most ? passed : most;
    }
    assert_true(least >= MS && most < 11 * MS && most > least + MS);
}

static void what_is_lost_comes_later_in_order(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    sim_links(f, (ferry_sim_link){.latency_ns = MS, .loss_ppm = 200000});
    size_t size = 100000;
    unsigned char *sent = fixture_memory(f, size);
    unsigned char *got = fixture_memory(f, size);
    for (size_t i = 0; i < size; i++) {
        sent[i] = (unsigned char)(i * 7 + i / 256);
    }
    ferry_request request;
    uint64_t begin = sim_now(f);
    ferry_prepare_stream_send(&request, near, sent, size);
    ferry_op send = fixture_submit(f, &request);
    ferry_prepare_stream_receive_exactly(&request, far, got, size);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    assert_memory_equal(sent, got, size);
    assert_status(sim_final(f, send).status, FERRY_OK);
    assert_true(sim_now(f) - begin >= 200 * MS);
}

static void a_partition_heals(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    assert_status(ferry_sim_partition(f->engine, SIM_ONE, SIM_TWO, true), FERRY_OK);
    char memory[4];
    ferry_request request;
    ferry_prepare_stream_send(&request, near, "abcd", 4);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    ferry_prepare_stream_receive_exactly(&request, far, memory, 4);
    ferry_op receive = fixture_submit(f, &request);
    sim_linger(f, 60 * SECOND);
    assert_false(fixture_has(f, receive));
    assert_status(ferry_sim_partition(f->engine, SIM_ONE, SIM_TWO, false), FERRY_OK);
    assert_status(sim_final(f, receive).status, FERRY_OK);
    assert_memory_equal(memory, "abcd", 4);
}

static void a_partition_that_lasts_times_out(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    assert_status(ferry_sim_partition(f->engine, SIM_ONE, FERRY_SIM_EVERY, true), FERRY_OK);
    char memory[4];
    ferry_request request;
    ferry_prepare_stream_send(&request, near, "abcd", 4);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    ferry_prepare_stream_receive(&request, near, memory, 4);
    assert_status(sim_do(f, &request).status, FERRY_E_CONNECTION_TIMED_OUT);
    /* The other end has sent nothing, and waits for ever. */
    ferry_prepare_stream_receive(&request, far, memory, 4);
    request.deadline_ns = 1000 * HOUR;
    assert_status(sim_do(f, &request).status, FERRY_E_TIMED_OUT);
    ferry_address peer = sim_address(SIM_TWO, 1);
    uint64_t begin = sim_now(f);
    assert_status(connect_to(f, &peer).status, FERRY_E_CONNECTION_TIMED_OUT);
    assert_true(sim_now(f) - begin >= 127 * SECOND);
}

static void a_crashed_host_is_silent_and_then_resets(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    char memory[4];
    ferry_request request;
    ferry_prepare_stream_receive(&request, far, memory, 4);
    ferry_op there = fixture_submit(f, &request);
    fixture_turn(f, 0);
    assert_status(ferry_sim_crash(f->engine, SIM_TWO), FERRY_OK);
    assert_status(ferry_sim_crash(f->engine, SIM_TWO), FERRY_E_BUSY);
    assert_status(sim_final(f, there).status, FERRY_E_NETWORK_DOWN);
    ferry_prepare_stream_send(&request, far, "x", 1);
    assert_status(sim_do(f, &request).status, FERRY_E_NETWORK_DOWN);
    /* A half-open peer. */
    ferry_prepare_stream_receive(&request, near, memory, 4);
    ferry_op here = fixture_submit(f, &request);
    sim_linger(f, HOUR);
    assert_false(fixture_has(f, here));
    ferry_prepare_stream_send(&request, near, "x", 1);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    sim_linger(f, SECOND);
    assert_status(ferry_sim_restart(f->engine, SIM_TWO), FERRY_OK);
    assert_status(ferry_sim_restart(f->engine, SIM_TWO), FERRY_E_BUSY);
    assert_status(sim_final(f, here).status, FERRY_E_CONNECTION_RESET);
    ferry_prepare_stream_send(&request, far, "x", 1);
    assert_status(sim_do(f, &request).status, FERRY_E_NETWORK_DOWN);
    uint16_t port;
    sim_listen(f, SIM_TWO, &port);
    ferry_address peer = sim_address(SIM_TWO, port);
    assert_status(connect_to(f, &peer).status, FERRY_OK);
}

static void keep_alive_finds_a_dead_peer(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    char memory[4];
    ferry_request request;
    ferry_prepare_socket_set(&request, near, FERRY_SOCKET_KEEP_ALIVE, 60);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    assert_status(ferry_sim_crash(f->engine, SIM_TWO), FERRY_OK);
    uint64_t begin = sim_now(f);
    ferry_prepare_stream_receive(&request, near, memory, 4);
    assert_status(sim_do(f, &request).status, FERRY_E_CONNECTION_TIMED_OUT);
    assert_true(sim_now(f) - begin >= 60 * SECOND && sim_now(f) - begin <= 200 * SECOND);
}

/* Nothing arrives any more, and so nobody would tell that there is room. */
static void who_waits_for_room_hears_of_a_dead_receiver(fixture *f) {
    for (int comes_back = 0; comes_back < 2; comes_back++) {
        ferry_handle near, far;
        sim_connect(f, &near, &far);
        size_t size = 1000000;
        char *data = fixture_memory(f, size);
        memset(data, 'x', size);
        ferry_request request;
        ferry_prepare_stream_send(&request, near, data, size);
        ferry_op send = fixture_submit(f, &request);
        sim_linger(f, HOUR);
        assert_false(fixture_has(f, send));
        uint64_t begin = sim_now(f);
        assert_status(ferry_sim_crash(f->engine, SIM_TWO), FERRY_OK);
        if (comes_back == 0) {
            assert_status(sim_final(f, send).status, FERRY_E_CONNECTION_TIMED_OUT);
            assert_true(sim_now(f) - begin >= 900 * SECOND && sim_now(f) - begin < 1000 * SECOND);
        }
        assert_status(ferry_sim_restart(f->engine, SIM_TWO), FERRY_OK);
        if (comes_back == 1) {
            assert_status(sim_final(f, send).status, FERRY_E_CONNECTION_RESET);
            assert_true(sim_now(f) - begin < 10 * SECOND);
        }
        close_all(f, near, far);
    }
}

static void a_way_that_loses_everything_ends_the_connection(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    char memory[4];
    ferry_request request;
    sim_links(f, (ferry_sim_link){.latency_ns = MS, .loss_ppm = 1000000});
    uint64_t begin = sim_now(f);
    ferry_address peer = sim_address(SIM_TWO, 1);
    assert_status(connect_to(f, &peer).status, FERRY_E_CONNECTION_TIMED_OUT);
    assert_true(sim_now(f) - begin >= 127 * SECOND && sim_now(f) - begin < 200 * SECOND);
    begin = sim_now(f);
    ferry_prepare_stream_send(&request, near, "abcd", 4);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    ferry_prepare_stream_receive(&request, near, memory, 4);
    assert_status(sim_do(f, &request).status, FERRY_E_CONNECTION_TIMED_OUT);
    assert_true(sim_now(f) - begin >= 900 * SECOND && sim_now(f) - begin < 1100 * SECOND);
}

/* The system of who has closed answers until all is delivered. */
static void keep_alive_lets_the_last_bytes_come(fixture *f) {
    ferry_handle near, far;
    sim_links(f, (ferry_sim_link){.latency_ns = MS, .bytes_per_second = 10000});
    sim_connect(f, &near, &far);
    size_t size = 60000;
    char *data = fixture_memory(f, size);
    memset(data, 'x', size);
    ferry_request request;
    ferry_prepare_socket_set(&request, near, FERRY_SOCKET_KEEP_ALIVE, 1);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    ferry_prepare_stream_send(&request, far, data, size);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    fixture_close_handle(f, far);
    ferry_prepare_stream_receive_exactly(&request, near, data, size);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    ferry_prepare_stream_receive(&request, near, data, size);
    ferry_completion last = sim_do(f, &request);
    assert_status_either(last.status, FERRY_OK, FERRY_E_END);
    assert_int_equal(last.result, 0);
}

static void a_wildcard_is_this_host(fixture *f) {
    ferry_address peer = {.family = FERRY_IPV4};
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &peer, 0);
    ferry_completion listening = sim_do(f, &request);
    assert_status(listening.status, FERRY_OK);
    peer.port = (uint16_t)listening.result;
    ferry_prepare_tcp_connect(&request, &peer);
    assert_status(sim_do(f, &request).status, FERRY_OK);
}

/* What is due after the last nanosecond never comes, and nobody waits for it. */
static void at_the_end_of_time_nothing_turns(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    ferry_request request;
    assert_status(ferry_sim_partition(f->engine, SIM_ONE, SIM_TWO, true), FERRY_OK);
    assert_status(ferry_sim_advance(f->engine, UINT64_MAX), FERRY_OK);
    assert_int_equal(sim_now(f), UINT64_MAX / 2);
    ferry_prepare_stream_send(&request, near, "abcd", 4);
    fixture_submit(f, &request);
    assert_status(ferry_engine_run(f->engine, FERRY_FOREVER, 0, NULL), FERRY_OK);
    assert_int_equal(sim_now(f), UINT64_MAX / 2);
}

/* --- Faults -------------------------------------------------------------------------------- */

static void faults_strike_as_ordered(fixture *f) {
    ferry_handle near, far;
    sim_connect(f, &near, &far);
    char memory[4];
    ferry_request request;
    sim_fault(f, (ferry_sim_fault){.calls = FERRY_SIM_SEND,
                                   .host = SIM_ONE,
                                   .status = FERRY_E_NO_MEMORY,
                                   .skip = 1,
                                   .times = 2});
    static const ferry_status expected[] = {FERRY_OK, FERRY_E_NO_MEMORY, FERRY_E_NO_MEMORY,
                                            FERRY_OK};
    for (size_t i = 0; i < 4; i++) {
        ferry_prepare_stream_send(&request, near, "x", 1);
        assert_status(sim_do(f, &request).status, expected[i]);
        ferry_prepare_stream_send(&request, far, "x", 1);
        assert_status(sim_do(f, &request).status, FERRY_OK);
    }
    sim_fault(f, (ferry_sim_fault){.calls = FERRY_SIM_RECEIVE,
                                   .host = SIM_TWO,
                                   .flags = FERRY_SIM_RESET,
                                   .from_ns = sim_now(f) + SECOND});
    ferry_prepare_stream_receive(&request, far, memory, 1);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    sim_linger(f, SECOND);
    ferry_prepare_stream_receive_exactly(&request, far, memory, 3);
    assert_status(sim_do(f, &request).status, FERRY_E_CONNECTION_RESET);
    ferry_prepare_stream_receive_exactly(&request, near, memory, 4);
    ferry_completion last = sim_do(f, &request);
    assert_status_either(last.status, FERRY_OK, FERRY_E_CONNECTION_RESET);
}

static void a_connect_can_fail_in_each_way(fixture *f) {
    uint16_t port;
    sim_listen(f, SIM_TWO, &port);
    ferry_address peer = sim_address(SIM_TWO, port);
    static const ferry_status statuses[] = {FERRY_E_CONNECTION_REFUSED, FERRY_E_HOST_UNREACHABLE,
                                            FERRY_E_NETWORK_UNREACHABLE, FERRY_E_NO_DESCRIPTORS};
    for (size_t i = 0; i < 4; i++) {
        sim_fault(
            f, (ferry_sim_fault){
                   .calls = FERRY_SIM_CONNECT, .host = SIM_ONE, .status = statuses[i], .times = 1});
        ferry_completion completion = connect_to(f, &peer);
        assert_status(completion.status, statuses[i]);
        assert_int_not_equal(completion.os_error, 0);
    }
    sim_fault(f, (ferry_sim_fault){.calls = FERRY_SIM_CONNECT,
                                   .host = FERRY_SIM_EVERY,
                                   .flags = FERRY_SIM_NEVER,
                                   .times = 1});
    ferry_address local = sim_address(SIM_ONE, 0);
    ferry_request request;
    ferry_prepare_tcp_connect_from(&request, &peer, &local);
    request.deadline_ns = 10 * HOUR;
    assert_status(sim_do(f, &request).status, FERRY_E_TIMED_OUT);
    assert_status(connect_to(f, &peer).status, FERRY_OK);
}

/* --- Names --------------------------------------------------------------------------------- */

static void names_resolve(fixture *f) {
    ferry_request request;
    ferry_prepare_name_resolve(&request, "two", 80, 0);
    ferry_completion completion = sim_do(f, &request);
    assert_status(completion.status, FERRY_OK);
    assert_int_equal(completion.result, sizeof(ferry_address));
    ferry_address expected = sim_address(SIM_TWO, 80);
    assert_memory_equal(completion.data, &expected, sizeof expected);
    fixture_release(f, &completion);
    ferry_prepare_name_resolve(&request, "nobody", 80, 0);
    assert_status(sim_do(f, &request).status, FERRY_E_NAME_NOT_FOUND);
    ferry_prepare_name_resolve(&request, "two", 80, FERRY_IPV6);
    assert_status(sim_do(f, &request).status, FERRY_E_NAME_NOT_FOUND);
    assert_status(ferry_sim_set_name(f->engine, "late", &expected, 1, FERRY_OK, HOUR), FERRY_OK);
    uint64_t begin = sim_now(f);
    ferry_prepare_name_resolve(&request, "late", 80, 0);
    completion = sim_do(f, &request);
    assert_status(completion.status, FERRY_OK);
    fixture_release(f, &completion);
    assert_true(sim_now(f) - begin >= HOUR);
    assert_status(
        ferry_sim_set_name(f->engine, "late", NULL, 0, FERRY_E_NAME_TRY_AGAIN, FERRY_FOREVER),
        FERRY_OK);
    request.deadline_ns = SECOND;
    assert_status(sim_do(f, &request).status, FERRY_E_TIMED_OUT);
}

static void a_name_that_is_wrong_leads_to_a_second_address(fixture *f) {
    uint16_t port;
    sim_listen(f, SIM_TWO, &port);
    ferry_address addresses[2] = {sim_address(99, 0), sim_address(SIM_TWO, 0)};
    assert_status(ferry_sim_set_name(f->engine, "both", addresses, 2, FERRY_OK, 0), FERRY_OK);
    ferry_request request;
    ferry_prepare_tcp_connect_name(&request, "both", port);
    assert_status(sim_do(f, &request).status, FERRY_OK);
}

/* --- Bad calls ----------------------------------------------------------------------------- */

static void wrong_calls_are_refused(fixture *f) {
    ferry_engine *e = f->engine;
    ferry_address address = sim_address(9, 0);
    ferry_address wildcard = {.family = FERRY_IPV4};
    ferry_sim_link link = {.struct_size = sizeof link};
    ferry_sim_fault fault = {.struct_size = sizeof fault, .host = FERRY_SIM_EVERY};
    uint32_t host;
    uint64_t now;
    assert_status(ferry_sim_now(NULL, &now), FERRY_E_INVALID);
    assert_status(ferry_sim_now(e, NULL), FERRY_E_INVALID);
    assert_status(ferry_sim_advance(NULL, 1), FERRY_E_INVALID);
    assert_status(ferry_sim_add_host(e, NULL, &address, 1, &host), FERRY_E_INVALID);
    assert_status(ferry_sim_add_host(e, "", &address, 1, &host), FERRY_E_INVALID);
    assert_status(ferry_sim_add_host(e, "a/b", &address, 1, &host), FERRY_E_INVALID);
    assert_status(ferry_sim_add_host(e, "x", NULL, 1, &host), FERRY_E_INVALID);
    assert_status(ferry_sim_add_host(e, "x", &address, 0, &host), FERRY_E_INVALID);
    assert_status(ferry_sim_add_host(e, "x", &address, SIZE_MAX, &host), FERRY_E_INVALID);
    assert_status(ferry_sim_add_host(e, "x", &wildcard, 1, &host), FERRY_E_INVALID);
    assert_status(ferry_sim_add_host(e, "one", &address, 1, &host), FERRY_E_EXISTS);
    address = sim_address(SIM_ONE, 0);
    assert_status(ferry_sim_add_host(e, "x", &address, 1, &host), FERRY_E_ADDRESS_IN_USE);
    assert_status(ferry_sim_set_link(e, 0, 0, NULL), FERRY_E_INVALID);
    assert_status(ferry_sim_set_link(e, 3, 0, &link), FERRY_E_NOT_FOUND);
    link.loss_ppm = 1000001;
    assert_status(ferry_sim_set_link(e, 0, 0, &link), FERRY_E_INVALID);
    assert_status(ferry_sim_partition(e, 0, 3, true), FERRY_E_NOT_FOUND);
    assert_status(ferry_sim_set_name(e, "n", NULL, 0, FERRY_OK, 0), FERRY_E_INVALID);
    assert_status(ferry_sim_set_name(e, "n", &address, 1, FERRY_E_IO, 0), FERRY_E_INVALID);
    assert_status(ferry_sim_crash(e, 3), FERRY_E_NOT_FOUND);
    assert_status(ferry_sim_crash(e, FERRY_SIM_EVERY), FERRY_E_NOT_FOUND);
    assert_status(ferry_sim_restart(e, 0), FERRY_E_BUSY);
    assert_status(ferry_sim_add_fault(e, NULL), FERRY_E_INVALID);
    fault.calls = 1u << 31;
    assert_status(ferry_sim_add_fault(e, &fault), FERRY_E_UNSUPPORTED);
    fault.calls = 0;
    fault.status = FERRY_E_CANCELED;
    assert_status(ferry_sim_add_fault(e, &fault), FERRY_E_INVALID);
    fault.status = 7;
    assert_status(ferry_sim_add_fault(e, &fault), FERRY_E_INVALID);
    fault.status = FERRY_E_IO;
    fault.host = 3;
    assert_status(ferry_sim_add_fault(e, &fault), FERRY_E_NOT_FOUND);
    assert_status(ferry_sim_add_chaos(e, 1000001), FERRY_E_INVALID);
    assert_status(ferry_sim_keep_trace(e, SIZE_MAX), FERRY_E_INVALID);
    assert_status(ferry_sim_read_trace(e, NULL, 1, NULL), FERRY_E_INVALID);
    int32_t fd;
    assert_status(ferry_engine_fd(e, &fd), FERRY_E_UNSUPPORTED);
    ferry_request request;
    ferry_prepare_descriptor_adopt(&request, 0, FERRY_DESCRIPTOR_FILE);
    assert_status(sim_do(f, &request).status, FERRY_E_UNSUPPORTED);
}

static void other_engines_have_no_world(void **state) {
    fixture *f = fixture_open(state);
    uint64_t now;
    assert_status(ferry_sim_now(f->engine, &now), FERRY_E_UNSUPPORTED);
    assert_status(ferry_sim_advance(f->engine, 1), FERRY_E_UNSUPPORTED);
    assert_status(ferry_sim_crash(f->engine, 0), FERRY_E_UNSUPPORTED);
}

static void options_that_make_no_world(void **state) {
    (void)state;
    ferry_engine *engine;
    ferry_engine_options options = {
        .struct_size = sizeof options, .driver = FERRY_DRIVER_SIM, .shards = 1};
    assert_status(ferry_engine_create(&options, &engine), FERRY_E_INVALID);
    options.shards = 0;
    options.flags = FERRY_ENGINE_ANY_THREAD;
    assert_status(ferry_engine_create(&options, &engine), FERRY_E_INVALID);
    options.flags = 0;
    options.driver = FERRY_DRIVER_UV;
    options.seed = 1;
    assert_status(ferry_engine_create(&options, &engine), FERRY_E_INVALID);
}

/* clang-format off */
#define EACH(do)                                                                                   \
    do(hours_pass_at_once) do(time_stands_still_without_a_wait) do(a_wait_for_nothing_ends)        \
    do(echoes) do(nobody_listens) do(an_end_is_seen) do(closing_with_bytes_unread_resets)          \
    do(a_slow_reader_holds_the_sender) do(a_link_has_latency_and_bandwidth)                        \
    do(what_is_lost_comes_later_in_order) do(a_partition_heals)                                    \
    do(a_partition_that_lasts_times_out) do(a_crashed_host_is_silent_and_then_resets)              \
    do(who_waits_for_room_hears_of_a_dead_receiver)\
 do(a_way_that_loses_everything_ends_the_connection)\
 do(keep_alive_lets_the_last_bytes_come) do(a_wildcard_is_this_host)\
 do(at_the_end_of_time_nothing_turns) \
    do(keep_alive_finds_a_dead_peer) do(faults_strike_as_ordered)                                  \
    do(a_connect_can_fail_in_each_way) do(names_resolve)                                           \
    do(a_name_that_is_wrong_leads_to_a_second_address) do(wrong_calls_are_refused)
EACH(UNDER_SEEDS)
#define LISTED(test) ON_HOST(test##_under_seeds),
/* clang-format on */

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(LISTED) ON_HOST(other_engines_have_no_world),
        cmocka_unit_test(options_that_make_no_world),
    };
    return RUN_SUITE(tests);
}
