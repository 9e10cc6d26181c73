/* FERRY_SPREAD: one listener, one accept, connections on all shards; and the look into each shard. */
#include "fixture.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PEERS = 12, BURST = 60, ROUNDS = 15, CHILDREN = 10 };

static uint32_t shards_of(fixture *f) {
    return fixture_info(f).shards;
}

static ferry_shard_info shard_info(fixture *f, uint32_t index) {
    ferry_shard_info info = {.struct_size = sizeof info};
    assert_status(ferry_engine_get_shard_info(f->engine, index, &info), FERRY_OK);
    assert_int_equal(info.struct_size, sizeof info);
    assert_int_equal(info.index, index);
    return info;
}

static ferry_handle listen_spread(fixture *f, uint16_t *port) {
    ferry_address address = loopback(0);
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 0);
    request.flags = FERRY_SPREAD;
    ferry_completion listening = fixture_do(f, &request);
    assert_status(listening.status, FERRY_OK);
    *port = (uint16_t)listening.result;
    return listening.handle;
}

static ferry_op start_accept(fixture *f, ferry_handle listener, uint32_t flags) {
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    request.flags = flags;
    return fixture_submit(f, &request);
}

static ferry_handle next_stream(fixture *f, ferry_op accept) {
    ferry_completion accepted = fixture_next(f, accept);
    assert_status(accepted.status, FERRY_OK);
    assert_int_not_equal(accepted.handle, FERRY_NONE);
    return accepted.handle;
}

/* A byte each way, wherever the stream lives. */
static void it_carries(fixture *f, ferry_handle stream, int peer) {
    char *byte = fixture_memory(f, 1);
    ferry_request request;
    peer_send(peer, "a", 1);
    ferry_prepare_stream_receive(&request, stream, byte, 1);
    ferry_completion got = fixture_do(f, &request);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, 1);
    ferry_prepare_stream_send(&request, stream, byte, 1);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    char back;
    peer_receive(peer, &back, 1);
    assert_int_equal(back, 'a');
}

static void the_shards_have_equal_parts(fixture *f, uint64_t connections) {
    uint32_t shards = shards_of(f);
    for (uint32_t i = 0; i < shards; i++) {
        assert_int_equal(shard_info(f, i).connections, connections / shards);
    }
}

/* --- Spreading ----------------------------------------------------------------------------- */

static void every_shard_gets_its_part(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_op accept = start_accept(f, listen_spread(f, &port), FERRY_MULTISHOT);
    for (int i = 0; i < PEERS; i++) {
        int peer = fixture_keep(f, peer_connect(port));
        it_carries(f, next_stream(f, accept), peer);
    }
    the_shards_have_equal_parts(f, PEERS);
    assert_info(f, handles_open, 1 + PEERS);
}

static void single_accepts_take_turns_too(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = listen_spread(f, &port);
    for (int i = 0; i < PEERS; i++) {
        ferry_op accept = start_accept(f, listener, 0);
        int peer = fixture_keep(f, peer_connect(port));
        ferry_completion accepted = fixture_next(f, accept);
        assert_status(accepted.status, FERRY_OK);
        assert_int_equal(accepted.flags & FERRY_MORE, 0);
        it_carries(f, accepted.handle, peer);
    }
    the_shards_have_equal_parts(f, PEERS);
}

static void a_burst_is_spread(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = listen_spread(f, &port);
    for (int i = 0; i < BURST; i++) {
        fixture_keep(f, peer_connect(port));
    }
    ferry_op accept = start_accept(f, listener, FERRY_MULTISHOT);
    for (int i = 0; i < BURST; i++) {
        next_stream(f, accept);
    }
    the_shards_have_equal_parts(f, BURST);
}

static void without_the_flag_all_stay(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_op accept = start_accept(f, fixture_listen(f, &port), FERRY_MULTISHOT);
    for (int i = 0; i < PEERS; i++) {
        fixture_keep(f, peer_connect(port));
        next_stream(f, accept);
    }
    uint64_t most = 0;
    for (uint32_t i = 0; i < shards_of(f); i++) {
        uint64_t connections = shard_info(f, i).connections;
        most = connections > most ? connections : most;
    }
    assert_int_equal(most, PEERS);
}

static int unix_listener(const char *path, struct sockaddr_un *address) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    REQUIRE(bind(fd, (struct sockaddr *)address, sizeof *address) == 0 && listen(fd, PEERS) == 0);
    return fd;
}

static void an_adopted_unix_listener_is_spread(void **state) {
    fixture *f = fixture_open(state);
    struct sockaddr_un address;
    int fd = unix_listener(fixture_path(f, "socket"), &address);
    ferry_request request;
    ferry_prepare_descriptor_adopt(&request, fd, FERRY_DESCRIPTOR_LISTENER);
    request.flags = FERRY_SPREAD;
    ferry_completion adopted = fixture_do(f, &request);
    assert_status(adopted.status, FERRY_OK);
    ferry_op accept = start_accept(f, adopted.handle, FERRY_MULTISHOT);
    for (int i = 0; i < PEERS; i++) {
        int peer = fixture_keep(f, socket(AF_UNIX, SOCK_STREAM, 0));
        REQUIRE(connect(peer, (struct sockaddr *)&address, sizeof address) == 0);
        it_carries(f, next_stream(f, accept), peer);
    }
    the_shards_have_equal_parts(f, PEERS);
}

static void only_listeners_are_spread(void **state) {
    fixture *f = fixture_open(state);
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    fixture_keep(f, pair[0]);
    fixture_keep(f, pair[1]);
    ferry_request request;
    ferry_prepare_descriptor_adopt(&request, pair[0], FERRY_DESCRIPTOR_STREAM);
    request.flags = FERRY_SPREAD;
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    uint16_t port;
    ferry_prepare_tcp_accept(&request, fixture_listen(f, &port));
    request.flags |= FERRY_SPREAD;
    assert_status(fixture_fate(f, &request), FERRY_E_UNSUPPORTED);
}

/* The accept's connection lives elsewhere, and what comes after it goes there. */
static void a_chain_goes_on_where_the_connection_is(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = listen_spread(f, &port);
    for (int i = 0; i < PEERS; i++) {
        ferry_request parts[3];
        ferry_prepare_tcp_accept(&parts[0], listener);
        parts[0].flags = 0;
        ferry_prepare_stream_send(&parts[1], ferry_child_handle(0, 0), "hello", 5);
        ferry_prepare_handle_close(&parts[2], ferry_child_handle(0, 0));
        ferry_request chain;
        ferry_prepare_chain(&chain, parts, 3);
        ferry_op op = fixture_submit(f, &chain);
        int peer = fixture_keep(f, peer_connect(port));
        ferry_completion done = fixture_final(f, op);
        assert_status(done.status, FERRY_OK);
        char got[8];
        assert_int_equal(peer_receive_all(peer, got, sizeof got), 5);
        fixture_release(f, &done);
    }
    the_shards_have_equal_parts(f, PEERS);
    assert_info(f, handles_open, 1);
}

/* --- Its end ------------------------------------------------------------------------------- */

/* Final at last, and every connection was told of or is closed. */
static void all_is_accounted_for(fixture *f, ferry_op accept, ferry_handle listener,
                                 const int *peers, int count, ferry_status wanted) {
    ferry_completion next;
    while (((next = fixture_next(f, accept)).flags & FERRY_MORE) != 0) {
        assert_status(next.status, FERRY_OK);
        fixture_close_handle(f, next.handle);
    }
    assert_status(next.status, wanted);
    assert_int_equal(next.handle, listener);
    fixture_close_handle(f, listener);
    for (int i = 0; i < count; i++) {
        assert_true(peer_sees_end(peers[i]));
        close(peers[i]);
    }
    assert_info(f, handles_open, 0);
    assert_info(f, ops_in_flight, 0);
}

typedef enum finish { BY_CANCEL, BY_CLOSE, BY_DISCARD, BY_DEADLINE } finish;

static void end_amid_arrivals(fixture *f, finish how) {
    for (int round = 0; round < ROUNDS; round++) {
        uint16_t port;
        ferry_handle listener = listen_spread(f, &port);
        int peers[BURST];
        for (int i = 0; i < BURST; i++) {
            peers[i] = peer_connect(port);
        }
        ferry_request request;
        ferry_prepare_tcp_accept(&request, listener);
        request.deadline_ns = how == BY_DEADLINE ? (uint64_t)round * 100 * US + 1 : 0;
        ferry_op accept = fixture_submit(f, &request);
        sleep_ns((uint64_t)round * 20 * US);
        if (how == BY_CANCEL) {
            fixture_cancel(f, accept);
        } else if (how == BY_CLOSE) {
            ferry_prepare_handle_close(&request, listener);
            assert_status(fixture_do(f, &request).status, FERRY_OK);
        } else if (how == BY_DISCARD) {
            assert_status(ferry_handle_discard(f->engine, listener), FERRY_OK);
        }
        ferry_status wanted = how == BY_CANCEL     ? FERRY_E_CANCELED
                              : how == BY_DEADLINE ? FERRY_E_TIMED_OUT
                                                   : FERRY_E_CLOSED;
        all_is_accounted_for(f, accept, listener, peers, BURST, wanted);
    }
}

static void cancel_amid_arrivals(void **state) {
    end_amid_arrivals(fixture_open(state), BY_CANCEL);
}

static void close_amid_arrivals(void **state) {
    end_amid_arrivals(fixture_open(state), BY_CLOSE);
}

static void discard_amid_arrivals(void **state) {
    end_amid_arrivals(fixture_open(state), BY_DISCARD);
}

static void deadline_amid_arrivals(void **state) {
    end_amid_arrivals(fixture_open(state), BY_DEADLINE);
}

static void a_single_accept_can_be_cancelled(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = listen_spread(f, &port);
    for (int i = 0; i < ROUNDS * 4; i++) {
        ferry_op accept = start_accept(f, listener, 0);
        int peer = peer_connect(port);
        sleep_ns((uint64_t)i * 2 * US);
        fixture_cancel(f, accept);
        ferry_completion end = fixture_final(f, accept);
        assert_status_either(end.status, FERRY_OK, FERRY_E_CANCELED);
        if (end.status == FERRY_OK) {
            fixture_close_handle(f, end.handle);
        }
        close(peer);
    }
    fixture_close_handle(f, listener);
    assert_info(f, handles_open, 0);
}

static void shutdown_amid_arrivals(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = listen_spread(f, &port);
    int peers[BURST];
    for (int i = 0; i < BURST; i++) {
        peers[i] = fixture_keep(f, peer_connect(port));
    }
    ferry_op accept = start_accept(f, listener, FERRY_MULTISHOT);
    sleep_ns(100 * US);
    fixture_shutdown(f);
    assert_status(fixture_final(f, accept).status, FERRY_E_SHUTDOWN);
    for (int i = 0; i < BURST; i++) {
        assert_true(peer_sees_end(peers[i]));
    }
}

static void one_accept_at_a_time(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = listen_spread(f, &port);
    ferry_op first = start_accept(f, listener, FERRY_MULTISHOT);
    for (int i = 0; i < PEERS; i++) {
        ferry_request request;
        ferry_prepare_tcp_accept(&request, listener);
        assert_status(fixture_do(f, &request).status, FERRY_E_BUSY);
        fixture_keep(f, peer_connect(port));
        next_stream(f, first);
    }
}

/* --- Ceilings ------------------------------------------------------------------------------ */

/* The next completion of an accept that is not the report of a ceiling. */
static ferry_handle next_despite(fixture *f, ferry_op accept, ferry_status report, int *reports) {
    ferry_completion next = fixture_next(f, accept);
    while (next.status == report) {
        assert_int_equal(next.flags, FERRY_MORE);
        (*reports)++;
        next = fixture_next(f, accept);
    }
    assert_status(next.status, FERRY_OK);
    assert_int_equal(next.flags, FERRY_MORE);
    return next.handle;
}

static void out_of_handles_it_waits(void **state) {
    ferry_engine_options options = {.handles_max = 3};
    fixture *f = fixture_open_with(state, &options, NULL);
    int room = (int)shards_of(f) * 3 - 1;
    uint16_t port;
    ferry_op accept = start_accept(f, listen_spread(f, &port), FERRY_MULTISHOT);
    ferry_handle streams[8];
    int reports = 0;
    for (int i = 0; i < 16; i++) {
        fixture_keep(f, peer_connect(port));
    }
    /* Every place is taken, whoever's turn it is. */
    for (int i = 0; i < room; i++) {
        streams[i] = next_despite(f, accept, FERRY_E_NO_HANDLES, &reports);
    }
    while (reports == 0) {
        assert_status(fixture_next(f, accept).status, FERRY_E_NO_HANDLES);
        reports++;
    }
    for (int i = 0; i < 16 - room; i++) {
        fixture_close_handle(f, streams[i % room]);
        streams[i % room] = next_despite(f, accept, FERRY_E_NO_HANDLES, &reports);
    }
    assert_true(reports >= 1);
    fixture_cancel(f, accept);
    assert_status(fixture_final(f, accept).status, FERRY_E_CANCELED);
    assert_info(f, handles_open, (uint64_t)room + 1);
}

static void a_single_accept_tells_of_no_handles(void **state) {
    ferry_engine_options options = {.handles_max = 1};
    fixture *f = fixture_open_with(state, &options, NULL);
    uint16_t port;
    ferry_handle listener = listen_spread(f, &port);
    for (uint32_t i = 1; i < shards_of(f); i++) {
        ferry_op accept = start_accept(f, listener, 0);
        fixture_keep(f, peer_connect(port));
        next_stream(f, accept);
    }
    ferry_op accept = start_accept(f, listener, 0);
    fixture_keep(f, peer_connect(port));
    ferry_completion end = fixture_final(f, accept);
    assert_status(end.status, FERRY_E_NO_HANDLES);
    assert_true((end.flags & FERRY_REUSABLE) != 0);
}

static struct rlimit full_limit;

static int limit_setup(void **state) {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &full_limit) == 0);
    return fixture_setup(state);
}

static int limit_teardown(void **state) {
    REQUIRE(setrlimit(RLIMIT_NOFILE, &full_limit) == 0);
    return fixture_teardown(state);
}

/* The limit comes first: the system may take it down with the accept. */
static void out_of_descriptors_it_waits(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = listen_spread(f, &port);
    int peer = fixture_keep(f, peer_connect(port));
    int lowest = dup(STDERR_FILENO);
    REQUIRE(lowest >= 0);
    close(lowest);
    struct rlimit limit = full_limit;
    limit.rlim_cur = (rlim_t)lowest;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    ferry_op accept = start_accept(f, listener, FERRY_MULTISHOT);
    ferry_completion told = fixture_next(f, accept);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &full_limit) == 0);
    assert_status(told.status, FERRY_E_NO_DESCRIPTORS);
    assert_int_equal(told.flags, FERRY_MORE);
    int reports = 0;
    it_carries(f, next_despite(f, accept, FERRY_E_NO_DESCRIPTORS, &reports), peer);
}

/* With nobody to reap, it pauses; the connections wait in the system, and none is lost. */
static void a_full_queue_holds_it_up(void **state) {
    ferry_queue_options options = {.capacity = 4};
    fixture *f = fixture_open_with(state, NULL, &options);
    uint16_t port;
    ferry_op accept = start_accept(f, listen_spread(f, &port), FERRY_MULTISHOT);
    for (int i = 0; i < BURST; i++) {
        fixture_keep(f, peer_connect(port));
    }
    sleep_ns(20 * MS);
    uint64_t accepted = 0;
    for (uint32_t i = 0; i < shards_of(f); i++) {
        accepted += shard_info(f, i).connections;
    }
    assert_true(accepted < BURST);
    for (int i = 0; i < BURST; i++) {
        next_stream(f, accept);
    }
    the_shards_have_equal_parts(f, BURST);
}

static void a_full_queue_and_cancel(void **state) {
    ferry_queue_options options = {.capacity = 4};
    fixture *f = fixture_open_with(state, NULL, &options);
    uint16_t port;
    ferry_handle listener = listen_spread(f, &port);
    ferry_op accept = start_accept(f, listener, FERRY_MULTISHOT);
    int peers[BURST];
    for (int i = 0; i < BURST; i++) {
        peers[i] = peer_connect(port);
    }
    sleep_ns(20 * MS);
    fixture_cancel(f, accept);
    all_is_accounted_for(f, accept, listener, peers, BURST, FERRY_E_CANCELED);
}

/* --- After a fork -------------------------------------------------------------------------- */

typedef struct parent {
    fixture *f;
    counting_allocator *allocator;
} parent;

static int destroy_it(void *argument) {
    const parent *p = argument;
    CHILD_CHECK(ferry_engine_destroy(p->f->engine) == FERRY_OK);
    return 0;
}

static int destroy_it_and_count(void *argument) {
    const parent *p = argument;
    CHILD_CHECK(destroy_it(argument) == 0);
    CHILD_CHECK(atomic_load(&p->allocator->blocks) == 0);
    return 0;
}

static void a_forked_child_lets_go(void **state) {
    parent p = {.allocator = fixture_memory(*state, sizeof *p.allocator)};
    memset(p.allocator, 0, sizeof *p.allocator);
    ferry_engine_options options = {0};
    allocator_install(p.allocator, &options);
    p.f = fixture_open_with(state, &options, NULL);
    uint16_t port;
    ferry_op accept = start_accept(p.f, listen_spread(p.f, &port), FERRY_MULTISHOT);
    fixture_linger(p.f, 20 * MS);
    assert_int_equal(run_in_child(destroy_it_and_count, &p), 0);
    if (sanitized()) {
        SKIP_BECAUSE("a sanitizer's allocator may be locked in a busy process's child");
    }
    for (int i = 0; i < CHILDREN; i++) {
        int peer = fixture_keep(p.f, peer_connect(port));
        assert_int_equal(run_in_child(destroy_it, &p), 0);
        it_carries(p.f, next_stream(p.f, accept), peer);
    }
}

/* --- The look inside ----------------------------------------------------------------------- */

static void shard_infos_add_up(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    for (int i = 0; i < 10; i++) {
        fixture_submit(f, &request);
    }
    int peer;
    fixture_stream(f, &peer);
    assert_info(f, ops_in_flight, 10);
    uint64_t ops = 0;
    uint64_t handles = 0;
    uint64_t completions = 0;
    for (uint32_t i = 0; i < shards_of(f); i++) {
        ferry_shard_info info = shard_info(f, i);
        ops += info.ops_in_flight;
        handles += info.handles_open;
        completions += info.completions;
        while (shard_info(f, i).turns == 0) { /* Its thread may have only just begun. */
            fixture_turn(f, MS);
        }
    }
    assert_int_equal(ops, 10);
    assert_int_equal(handles, 1);
    assert_true(completions >= 1);
}

/* A shard that sleeps is woken once for each of these, as they come one at a time. */
static void wakeups_are_counted(void **state) {
    fixture *f = fixture_open(state);
    uint64_t before = 0;
    uint64_t after = 0;
    for (uint32_t i = 0; i < shards_of(f); i++) {
        before += shard_info(f, i).wakeups;
    }
    for (int i = 0; i < PEERS; i++) {
        ferry_request request;
        ferry_prepare_nop(&request);
        sleep_ns(2 * MS);
        assert_status(fixture_do(f, &request).status, FERRY_OK);
    }
    for (uint32_t i = 0; i < shards_of(f); i++) {
        after += shard_info(f, i).wakeups;
    }
    assert_true(after > before);
    assert_true(after - before <= PEERS);
}

static void shard_info_wants_a_shard_and_a_size(void **state) {
    fixture *f = fixture_open(state);
    ferry_shard_info info = {.struct_size = sizeof info};
    assert_status(ferry_engine_get_shard_info(f->engine, shards_of(f), &info), FERRY_E_INVALID);
    assert_status(ferry_engine_get_shard_info(f->engine, UINT32_MAX, &info), FERRY_E_INVALID);
    assert_status(ferry_engine_get_shard_info(f->engine, 0, NULL), FERRY_E_INVALID);
    assert_status(ferry_engine_get_shard_info(NULL, 0, &info), FERRY_E_INVALID);
    info.struct_size = sizeof info - 8;
    assert_status(ferry_engine_get_shard_info(f->engine, 0, &info), FERRY_E_INVALID);
}

#define LIMITED(test, how)                                                                         \
    { #test " [" #how "]", test, limit_setup, limit_teardown, &drive_##how }

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(every_shard_gets_its_part),
        ON_EVERY_DRIVE(single_accepts_take_turns_too),
        ON_EACH_SHARDS(a_burst_is_spread),
        ON_EACH_SHARDS(without_the_flag_all_stay),
        ON_EACH_SHARDS(an_adopted_unix_listener_is_spread),
        ON_EACH_SHARDS(only_listeners_are_spread),
        ON_EACH_SHARDS(a_chain_goes_on_where_the_connection_is),
        ON_EVERY_DRIVE(cancel_amid_arrivals),
        ON_EACH_SHARDS(close_amid_arrivals),
        TEST_ON(close_amid_arrivals, two_inline),
        ON_EACH_SHARDS(discard_amid_arrivals),
        ON_EACH_SHARDS(deadline_amid_arrivals),
        ON_EVERY_DRIVE(a_single_accept_can_be_cancelled),
        ON_EVERY_DRIVE(shutdown_amid_arrivals),
        ON_EACH_SHARDS(one_accept_at_a_time),
        ON_EACH_SHARDS(out_of_handles_it_waits),
        TEST_ON(out_of_handles_it_waits, two_inline),
        ON_EACH_SHARDS(a_single_accept_tells_of_no_handles),
        LIMITED(out_of_descriptors_it_waits, one),
        LIMITED(out_of_descriptors_it_waits, two),
        ON_EACH_SHARDS(a_full_queue_holds_it_up),
        ON_EACH_SHARDS(a_full_queue_and_cancel),
        ON_EACH_SHARDS(a_forked_child_lets_go),
        ON_EVERY_DRIVE(shard_infos_add_up),
        TEST_ON(wakeups_are_counted, one),
        TEST_ON(wakeups_are_counted, two),
        ON_EACH_SHARDS(shard_info_wants_a_shard_and_a_size),
    };
    return RUN_SUITE(tests);
}
