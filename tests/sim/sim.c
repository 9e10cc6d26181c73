#include "sim.h"

#include <string.h>

ferry_address sim_address(uint32_t host, uint16_t port) {
    ferry_address address = {
        .family = FERRY_IPV4, .port = port, .bytes = {10, 0, 0, (uint8_t)host}};
    return address;
}

fixture *sim_open(void **state, uint64_t seed) {
    ferry_engine_options options = {.driver = FERRY_DRIVER_SIM, .seed = seed};
    fixture *f = fixture_open_with(state, &options, NULL);
    ferry_address one = sim_address(SIM_ONE, 0);
    ferry_address two = sim_address(SIM_TWO, 0);
    uint32_t host;
    assert_status(ferry_sim_add_host(f->engine, "one", &one, 1, &host), FERRY_OK);
    assert_int_equal(host, SIM_ONE);
    assert_status(ferry_sim_add_host(f->engine, "two", &two, 1, &host), FERRY_OK);
    assert_int_equal(host, SIM_TWO);
    return f;
}

void sim_under_seeds(void **state, void (*test)(fixture *f)) {
    enum { SEEDS = 20 };
    drive *how = ((fixture *)*state)->drive;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        test(sim_open(state, seed));
        assert_int_equal(fixture_teardown(state), 0);
        *state = how;
        assert_int_equal(fixture_setup(state), 0);
    }
}

ferry_completion sim_next(fixture *f, ferry_op op) {
    for (int turns = 0; !fixture_has(f, op); turns++) {
        assert_true(turns < 1000000);
        fixture_turn(f, FERRY_FOREVER);
    }
    return fixture_next(f, op);
}

ferry_completion sim_final(fixture *f, ferry_op op) {
    for (;;) {
        ferry_completion completion = sim_next(f, op);
        if ((completion.flags & FERRY_MORE) == 0) {
            return completion;
        }
        if ((completion.flags & FERRY_BUFFER) != 0) {
            fixture_release(f, &completion);
        }
    }
}

ferry_completion sim_do(fixture *f, const ferry_request *request) {
    return sim_final(f, fixture_submit(f, request));
}

uint64_t sim_now(fixture *f) {
    uint64_t now;
    assert_status(ferry_sim_now(f->engine, &now), FERRY_OK);
    return now;
}

void sim_linger(fixture *f, uint64_t duration_ns) {
    uint64_t end = sim_now(f) + duration_ns;
    while (sim_now(f) < end) {
        fixture_turn(f, end - sim_now(f));
    }
}

ferry_handle sim_listen(fixture *f, uint32_t host, uint16_t *port_out) {
    ferry_address address = sim_address(host, 0);
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 0);
    ferry_completion completion = sim_do(f, &request);
    assert_status(completion.status, FERRY_OK);
    *port_out = (uint16_t)completion.result;
    return completion.handle;
}

void sim_connect(fixture *f, ferry_handle *near_out, ferry_handle *far_out) {
    uint16_t port;
    ferry_handle listener = sim_listen(f, SIM_TWO, &port);
    ferry_address local = sim_address(SIM_ONE, 0);
    ferry_address peer = sim_address(SIM_TWO, port);
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    request.flags &= ~(uint32_t)FERRY_MULTISHOT;
    ferry_op accept = fixture_submit(f, &request);
    ferry_prepare_tcp_connect_from(&request, &peer, &local);
    ferry_completion connected = sim_do(f, &request);
    assert_status(connected.status, FERRY_OK);
    ferry_completion accepted = sim_final(f, accept);
    assert_status(accepted.status, FERRY_OK);
    ferry_prepare_handle_close(&request, listener);
    assert_status(sim_do(f, &request).status, FERRY_OK);
    *near_out = connected.handle;
    *far_out = accepted.handle;
}

void sim_fault(fixture *f, ferry_sim_fault fault) {
    fault.struct_size = sizeof fault;
    assert_status(ferry_sim_add_fault(f->engine, &fault), FERRY_OK);
}

void sim_links(fixture *f, ferry_sim_link link) {
    link.struct_size = sizeof link;
    assert_status(ferry_sim_set_link(f->engine, FERRY_SIM_EVERY, FERRY_SIM_EVERY, &link), FERRY_OK);
}
