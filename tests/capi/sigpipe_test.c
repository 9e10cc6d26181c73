/*
 * SIGPIPE: the host keeps its default action, which is to die, and lives.
 *
 * And the other way round: a SIGPIPE of the host's own making is not swallowed.
 */
#include "fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int caught;

static void catch_it(int number) {
    (void)number;
    atomic_fetch_add(&caught, 1);
}

static void expect_default_action(void) {
    struct sigaction action;
    REQUIRE(sigaction(SIGPIPE, NULL, &action) == 0);
    assert_true(action.sa_handler == SIG_DFL);
}

static bool pending(void) {
    sigset_t set;
    REQUIRE(sigpending(&set) == 0);
    return sigismember(&set, SIGPIPE) == 1;
}

/* A stream whose peer has gone: the first send may still be taken, a later one cannot. */
static ferry_handle abandoned_stream(fixture *f) {
    uint16_t port;
    int listener = peer_listen(&port);
    ferry_address address = loopback(port);
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &address);
    ferry_completion connected = fixture_do(f, &request);
    assert_status(connected.status, FERRY_OK);
    peer_reset(peer_accept(listener));
    close(listener);
    return connected.handle;
}

static ferry_completion send_until_it_fails(fixture *f, ferry_handle stream) {
    ferry_completion sent;
    do {
        ferry_request request;
        ferry_prepare_stream_send(&request, stream, "into the void", 13);
        sent = fixture_do(f, &request);
    } while (sent.status == FERRY_OK);
    return sent;
}

static void sending_to_nobody_fails_and_does_not_kill(void **state) {
    fixture *f = fixture_open(state);
    expect_default_action();
    for (int i = 0; i < 5; i++) {
        ferry_handle stream = abandoned_stream(f);
        for (int again = 0; again < 3; again++) {
            ferry_completion sent = send_until_it_fails(f, stream);
            assert_status_either(sent.status, FERRY_E_BROKEN_PIPE, FERRY_E_CONNECTION_RESET);
            assert_true(sent.os_error == EPIPE || sent.os_error == ECONNRESET);
            assert_int_equal(sent.result, 0);
        }
        fixture_close_handle(f, stream);
    }
    assert_false(pending());
    expect_default_action();
}

static void nor_does_a_send_that_was_under_way(void **state) {
    fixture *f = fixture_open(state);
    expect_default_action();
    uint16_t port;
    int listener = fixture_keep(f, peer_listen_small(&port));
    ferry_address address = loopback(port);
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &address);
    ferry_handle stream = fixture_do(f, &request).handle;
    int peer = peer_accept(listener);
    ferry_op op = fixture_stuck_send(f, stream, 0);
    fixture_until_readable(f, peer);
    close(peer);
    ferry_completion sent = fixture_final(f, op);
    assert_status_either(sent.status, FERRY_E_BROKEN_PIPE, FERRY_E_CONNECTION_RESET);
    assert_false(pending());
}

static void shutdown_does_not_kill_either(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_stream_send(&request, abandoned_stream(f), "x", 1);
    for (int i = 0; i < 5; i++) {
        fixture_submit(f, &request);
    }
    fixture_shutdown(f);
    assert_false(pending());
}

static void raise_sigpipe(void) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    close(ends[0]);
    REQUIRE(write(ends[1], "x", 1) < 0 && errno == EPIPE);
    close(ends[1]);
}

static void the_hosts_own_is_delivered(void **state) {
    fixture *f = fixture_open(state);
    struct sigaction counting = {.sa_handler = catch_it};
    struct sigaction before;
    REQUIRE(sigaction(SIGPIPE, &counting, &before) == 0);
    atomic_store(&caught, 0);
    send_until_it_fails(f, abandoned_stream(f));
    int by_ferry = atomic_load(&caught);
    raise_sigpipe();
    int by_host = atomic_load(&caught);
    REQUIRE(sigaction(SIGPIPE, &before, NULL) == 0);
    assert_int_equal(by_ferry, 0);
    assert_int_equal(by_host, 1);
}

static void what_the_host_holds_back_stays_held_back(void **state) {
    fixture *f = fixture_open(state);
    sigset_t only;
    sigset_t before;
    sigset_t after;
    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &only, &before) == 0);
    raise_sigpipe();
    bool first = pending();
    send_until_it_fails(f, abandoned_stream(f));
    bool second = pending();
    REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    /* Take it, so that the test outlives it. */
    struct timespec now = {0, 0};
    while (sigtimedwait(&only, NULL, &now) == SIGPIPE) {
    }
    REQUIRE(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    assert_true(first);
    assert_true(second);
    assert_int_equal(sigismember(&after, SIGPIPE), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(sending_to_nobody_fails_and_does_not_kill),
        ON_EACH_SHARDS(nor_does_a_send_that_was_under_way),
        ON_EACH_SHARDS(shutdown_does_not_kill_either),
        ON_EACH_SHARDS(the_hosts_own_is_delivered),
        ON_EACH_SHARDS(what_the_host_holds_back_stays_held_back),
    };
    return RUN_SUITE(tests);
}
