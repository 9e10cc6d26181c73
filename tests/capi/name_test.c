/*
 * Names: what the resolver says becomes addresses or a status, and one that does not answer holds up
 * nobody.
 *
 * The resolver is the test's own (resolver.h), so that it answers, fails and hangs as told. The system's
 * is name_server_test's matter.
 */
#include "resolver.h"

#include <sys/socket.h>

#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

enum { PORT = 4711, MANY = 64, QUEUED = 5, LENT_MAX = 64 * 1024 };

static const ferry_address v4_one = {.family = FERRY_IPV4, .bytes = {192, 0, 2, 1}};
static const ferry_address v4_two = {.family = FERRY_IPV4, .bytes = {192, 0, 2, 2}};
static const ferry_address v6_one = {.family = FERRY_IPV6, .bytes = {0x20, 1, 0xd, 0xb8, [15] = 1}};
static const ferry_address v6_local = {
    .family = FERRY_IPV6, .scope_id = 7, .bytes = {0xfe, 0x80, [15] = 9}};
static const ferry_address v6_elsewhere = {
    .family = FERRY_IPV6, .scope_id = 8, .bytes = {0xfe, 0x80, [15] = 9}};
static const ferry_address unknown_family = {.family = 99};

static ferry_op start(fixture *f, const char *name, uint32_t family) {
    ferry_request request;
    ferry_prepare_name_resolve(&request, name, PORT, family);
    return fixture_submit(f, &request);
}

static ferry_completion resolve(fixture *f, const char *name, uint32_t family) {
    return fixture_final(f, start(f, name, family));
}

/* These addresses in this order, with the request's port; releases them. */
static void expect(fixture *f, const ferry_completion *resolved, const ferry_address *addresses,
                   size_t count) {
    assert_status(resolved->status, FERRY_OK);
    assert_int_equal(resolved->os_error, 0);
    assert_int_equal(resolved->flags, FERRY_BUFFER);
    assert_int_equal(resolved->handle, FERRY_NONE);
    assert_int_equal(resolved->result, count * sizeof *addresses);
    for (size_t i = 0; i < count; i++) {
        ferry_address wanted = addresses[i];
        wanted.port = PORT;
        assert_memory_equal((const ferry_address *)resolved->data + i, &wanted, sizeof wanted);
    }
    fixture_release(f, resolved);
}

static void expect_failure(const ferry_completion *resolved, ferry_status status, int os_error) {
    assert_status(resolved->status, status);
    assert_int_equal(resolved->os_error, os_error);
    assert_int_equal(resolved->flags & FERRY_BUFFER, 0);
    assert_int_equal(resolved->result, 0);
}

static void until_hanging(fixture *f, size_t count) {
    while (resolver_hanging() != count) {
        fixture_turn(f, MS);
    }
}

/* --- Literal addresses and the system's own names ------------------------------------------- */

static ferry_address parsed(const char *text) {
    ferry_address address;
    assert_status(ferry_address_parse(text, 0, &address), FERRY_OK);
    return address;
}

static void literal_addresses(void **state) {
    fixture *f = fixture_open(state);
    static const struct {
        const char *text;
        uint32_t family;
        uint32_t other;
    } literals[] = {{"127.0.0.1", FERRY_IPV4, FERRY_IPV6},
                    {"255.255.255.255", FERRY_IPV4, FERRY_IPV6},
                    {"::1", FERRY_IPV6, FERRY_IPV4},
                    {"2001:db8::1:2", FERRY_IPV6, FERRY_IPV4},
                    {"::ffff:192.0.2.1", FERRY_IPV6, FERRY_IPV4}};
    for (size_t i = 0; i < sizeof literals / sizeof literals[0]; i++) {
        ferry_address wanted = parsed(literals[i].text);
        ferry_completion resolved = resolve(f, literals[i].text, 0);
        expect(f, &resolved, &wanted, 1);
        resolved = resolve(f, literals[i].text, literals[i].family);
        expect(f, &resolved, &wanted, 1);
        resolved = resolve(f, literals[i].text, literals[i].other);
        expect_failure(&resolved, FERRY_E_NAME_NOT_FOUND, EAI_ADDRFAMILY);
    }
    assert_info(f, workers, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

static void a_zone_is_kept(void **state) {
    fixture *f = fixture_open(state);
    ferry_address wanted = parsed("fe80::1");
    wanted.scope_id = if_nametoindex("lo");
    if (wanted.scope_id == 0) {
        SKIP_BECAUSE("this machine has no interface lo");
    }
    ferry_completion resolved = resolve(f, "fe80::1%lo", 0);
    expect(f, &resolved, &wanted, 1);
    resolved = resolve(f, "fe80::1%lo", FERRY_IPV6);
    expect(f, &resolved, &wanted, 1);
}

static void localhost_is_the_loopback(void **state) {
    fixture *f = fixture_open(state);
    static const uint32_t families[] = {0, FERRY_IPV4};
    for (size_t i = 0; i < 2; i++) {
        ferry_completion resolved = resolve(f, "localhost", families[i]);
        assert_status(resolved.status, FERRY_OK);
        const ferry_address *addresses = resolved.data;
        size_t count = (size_t)resolved.result / sizeof *addresses;
        assert_in_range(count, 1, 16);
        bool found = false;
        for (size_t k = 0; k < count; k++) {
            ferry_address wanted = loopback(PORT);
            found = found || memcmp(&addresses[k], &wanted, sizeof wanted) == 0;
            assert_true(addresses[k].family == FERRY_IPV4 || families[i] == 0);
        }
        assert_true(found);
        fixture_release(f, &resolved);
    }
}

/* --- What the resolver says ----------------------------------------------------------------- */

static void the_order_is_the_resolvers(void **state) {
    fixture *f = fixture_open(state);
    ferry_address all[] = {v4_two, v6_one, v4_one, v6_local};
    resolver_teach("mixed.test", all, 4);
    ferry_completion resolved = resolve(f, "mixed.test", 0);
    expect(f, &resolved, all, 4);
    ferry_address only_v4[] = {v4_two, v4_one};
    resolved = resolve(f, "mixed.test", FERRY_IPV4);
    expect(f, &resolved, only_v4, 2);
    ferry_address only_v6[] = {v6_one, v6_local};
    resolved = resolve(f, "mixed.test", FERRY_IPV6);
    expect(f, &resolved, only_v6, 2);
    assert_int_equal(resolver_calls(), 3);
}

static void the_resolver_is_asked_for_what_is_wanted(void **state) {
    fixture *f = fixture_open(state);
    static const struct {
        uint32_t ferry;
        int system;
    } families[] = {{0, AF_UNSPEC}, {FERRY_IPV4, AF_INET}, {FERRY_IPV6, AF_INET6}};
    ferry_address both[] = {v4_one, v6_one};
    resolver_teach("both.test", both, 2);
    for (size_t i = 0; i < 3; i++) {
        ferry_completion resolved = resolve(f, "both.test", families[i].ferry);
        assert_status(resolved.status, FERRY_OK);
        fixture_release(f, &resolved);
        int family = -1;
        int type = -1;
        int flags = -1;
        resolver_last_hints(&family, &type, &flags);
        assert_int_equal(family, families[i].system);
        assert_int_equal(type, SOCK_STREAM);
        /* It would take the loopback for no address at all. */
        assert_int_equal(flags & AI_ADDRCONFIG, 0);
    }
}

static void each_address_comes_once(void **state) {
    fixture *f = fixture_open(state);
    ferry_address twice[] = {v4_one, v6_local, v4_one, v6_elsewhere, v6_local, v4_two, v4_one};
    ferry_address once[] = {v4_one, v6_local, v6_elsewhere, v4_two};
    resolver_teach("twice.test", twice, 7);
    ferry_completion resolved = resolve(f, "twice.test", 0);
    expect(f, &resolved, once, 4);
    assert_info(f, buffer_bytes_lent, 0);
}

static void families_that_ferry_does_not_know_are_left_out(void **state) {
    fixture *f = fixture_open(state);
    ferry_address some[] = {unknown_family, v4_one, unknown_family, v6_one};
    ferry_address known[] = {v4_one, v6_one};
    resolver_teach("some.test", some, 4);
    ferry_completion resolved = resolve(f, "some.test", 0);
    expect(f, &resolved, known, 2);
    resolver_teach("none.test", &unknown_family, 1);
    resolved = resolve(f, "none.test", 0);
    expect_failure(&resolved, FERRY_E_NAME_NOT_FOUND, EAI_NONAME);
    assert_info(f, buffer_bytes_lent, 0);
}

static void a_name_may_have_many_addresses(void **state) {
    fixture *f = fixture_open(state);
    ferry_address *many = fixture_memory(f, RESOLVER_ADDRESSES_MAX * sizeof *many);
    for (size_t i = 0; i < RESOLVER_ADDRESSES_MAX; i++) {
        many[i] = i % 3 == 0 ? v6_one : v4_one;
        many[i].bytes[2] = (uint8_t)(i >> 8);
        many[i].bytes[3] = (uint8_t)i;
    }
    resolver_teach("many.test", many, RESOLVER_ADDRESSES_MAX);
    ferry_completion resolved = resolve(f, "many.test", 0);
    expect(f, &resolved, many, RESOLVER_ADDRESSES_MAX);
}

static void failures_have_their_names(void **state) {
    fixture *f = fixture_open(state);
    static const struct {
        int error;
        int system_error;
        ferry_status status;
    } failures[] = {
        {EAI_NONAME, 0, FERRY_E_NAME_NOT_FOUND},      {EAI_NODATA, 0, FERRY_E_NAME_NOT_FOUND},
        {EAI_ADDRFAMILY, 0, FERRY_E_NAME_NOT_FOUND},  {EAI_AGAIN, 0, FERRY_E_NAME_TRY_AGAIN},
        {EAI_MEMORY, 0, FERRY_E_NO_MEMORY},           {EAI_FAIL, 0, FERRY_E_NAME_FAILED},
        {EAI_FAMILY, 0, FERRY_E_NAME_FAILED},         {EAI_BADFLAGS, 0, FERRY_E_NAME_FAILED},
        {EAI_OVERFLOW, 0, FERRY_E_NAME_FAILED},       {-9999, 0, FERRY_E_NAME_FAILED},
        {EAI_SYSTEM, EMFILE, FERRY_E_NO_DESCRIPTORS}, {EAI_SYSTEM, ENOMEM, FERRY_E_NO_MEMORY},
        {EAI_SYSTEM, EACCES, FERRY_E_ACCESS},         {EAI_SYSTEM, EXDEV, FERRY_E_OS},
    };
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        char name[32];
        snprintf(name, sizeof name, "failure-%zu.test", i);
        resolver_teach_failure(name, failures[i].error, failures[i].system_error);
        ferry_completion resolved = resolve(f, name, 0);
        expect_failure(&resolved, failures[i].status, failures[i].error);
    }
    resolver_teach_failure("missing.invalid", EAI_NONAME, 0);
    ferry_completion resolved = resolve(f, "missing.invalid", 0);
    expect_failure(&resolved, FERRY_E_NAME_NOT_FOUND, EAI_NONAME);
    /* Addresses, but none of this family. */
    resolver_teach("v4.test", &v4_one, 1);
    resolved = resolve(f, "v4.test", FERRY_IPV6);
    expect_failure(&resolved, FERRY_E_NAME_NOT_FOUND, EAI_NODATA);
    assert_info(f, buffer_bytes_lent, 0);
}

static void the_name_may_change_after_submit(void **state) {
    fixture *f = fixture_open(state);
    char *name = fixture_memory(f, FERRY_NAME_MAX + 1);
    /* A short one and the longest: they are kept in different places. */
    static const size_t sizes[] = {10, FERRY_NAME_MAX};
    for (size_t i = 0; i < 2; i++) {
        memset(name, 'a' + (int)i, sizes[i]);
        memcpy(name + sizes[i] - 5, ".test", 6);
        resolver_teach(name, &v4_one, 1);
        ferry_op op = start(f, name, 0);
        memset(name, 'x', sizes[i]);
        ferry_completion resolved = fixture_final(f, op);
        expect(f, &resolved, &v4_one, 1);
    }
}

static void many_at_once(void **state) {
    fixture *f = fixture_open(state);
    ferry_op ops[MANY];
    resolver_teach("one.test", &v4_one, 1);
    resolver_teach("two.test", &v6_one, 1);
    resolver_teach_failure("three.test", EAI_NONAME, 0);
    static const char *const names[] = {"one.test", "two.test", "three.test", "192.0.2.1"};
    for (size_t i = 0; i < MANY; i++) {
        ops[i] = start(f, names[i % 4], 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        ferry_completion resolved = fixture_final(f, ops[i]);
        if (i % 4 == 2) {
            expect_failure(&resolved, FERRY_E_NAME_NOT_FOUND, EAI_NONAME);
        } else {
            expect(f, &resolved, i % 4 == 1 ? &v6_one : &v4_one, 1);
        }
    }
    assert_in_range(fixture_info(f).workers, 1, 4);
    assert_int_equal(resolver_calls(), MANY / 4 * 3);
}

/* --- Bad arguments -------------------------------------------------------------------------- */

static ferry_status try_request(fixture *f, const ferry_request *request) {
    size_t accepted = 9;
    ferry_status status = fixture_try(f, request, 1, NULL, &accepted);
    assert_int_equal(accepted, status == FERRY_OK ? 1 : 0);
    return status;
}

static void bad_arguments_are_refused(void **state) {
    fixture *f = fixture_open(state);
    ferry_request good;
    ferry_request bad;
    ferry_prepare_name_resolve(&bad, NULL, PORT, 0);
    assert_status(try_request(f, &bad), FERRY_E_INVALID);
    ferry_prepare_name_resolve(&bad, "", PORT, 0);
    assert_status(try_request(f, &bad), FERRY_E_INVALID);
    static const uint32_t families[] = {1, 2, 3, 5, 7, 10, 46, UINT32_MAX};
    ferry_prepare_name_resolve(&good, "127.0.0.1", PORT, 0);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        bad = good;
        bad.params.resolve.family = families[i];
        assert_status(try_request(f, &bad), FERRY_E_INVALID);
    }
    bad = good;
    bad.params.resolve.port = 65536;
    assert_status(try_request(f, &bad), FERRY_E_INVALID);
    bad.params.resolve.port = UINT32_MAX;
    assert_status(try_request(f, &bad), FERRY_E_INVALID);
    char *name = fixture_memory(f, FERRY_NAME_MAX + 2);
    memset(name, 'x', FERRY_NAME_MAX + 1);
    name[FERRY_NAME_MAX + 1] = '\0';
    ferry_prepare_name_resolve(&bad, name, PORT, 0);
    assert_status(try_request(f, &bad), FERRY_E_NAME_TOO_LONG);
    assert_int_equal(resolver_calls(), 0);
    assert_info(f, workers, 0);
}

static void ports_at_their_ends(void **state) {
    fixture *f = fixture_open(state);
    static const uint16_t ports[] = {0, 1, 65535};
    resolver_teach("one.test", &v4_one, 1);
    for (size_t i = 0; i < 6; i++) {
        ferry_request request;
        const char *name = i < 3 ? "one.test" : "192.0.2.1";
        ferry_prepare_name_resolve(&request, name, ports[i % 3], 0);
        ferry_completion resolved = fixture_do(f, &request);
        assert_status(resolved.status, FERRY_OK);
        assert_int_equal(((const ferry_address *)resolved.data)->port, ports[i % 3]);
        fixture_release(f, &resolved);
    }
}

/* --- Ceilings ------------------------------------------------------------------------------- */

static void the_ceiling_on_lent_bytes_holds(void **state) {
    ferry_engine_options small = {.buffer_bytes_max = LENT_MAX};
    fixture *f = fixture_open_with(state, &small, NULL);
    resolver_teach("one.test", &v4_one, 1);
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_file(f, "file", LENT_MAX - 16), 0);
    ferry_completion loaded = fixture_do(f, &request);
    assert_status(loaded.status, FERRY_OK);
    ferry_completion resolved = resolve(f, "one.test", 0);
    expect_failure(&resolved, FERRY_E_LIMIT, 0);
    resolved = resolve(f, "192.0.2.1", 0);
    expect_failure(&resolved, FERRY_E_LIMIT, 0);
    fixture_release(f, &loaded);
    resolved = resolve(f, "one.test", 0);
    expect(f, &resolved, &v4_one, 1);
    resolved = resolve(f, "192.0.2.1", 0);
    expect(f, &resolved, &v4_one, 1);
}

static void one_worker_is_enough(void **state) {
    ferry_engine_options one = {.name_workers_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    resolver_teach("one.test", &v4_one, 1);
    ferry_op ops[MANY];
    for (size_t i = 0; i < MANY; i++) {
        ops[i] = start(f, "one.test", 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        ferry_completion resolved = fixture_final(f, ops[i]);
        expect(f, &resolved, &v4_one, 1);
    }
    assert_info(f, workers, 1);
}

/* --- Ends before the answer ----------------------------------------------------------------- */

static void canceled_before_it_has_begun(void **state) {
    fixture *f = fixture_open(state);
    resolver_teach("one.test", &v4_one, 1);
    ferry_op op = start(f, "one.test", 0);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    assert_int_equal(resolver_calls(), 0);
}

static void canceled_after_its_end(void **state) {
    fixture *f = fixture_open(state);
    resolver_teach("one.test", &v4_one, 1);
    ferry_op op = start(f, "one.test", 0);
    ferry_completion resolved = fixture_final(f, op);
    expect(f, &resolved, &v4_one, 1);
    assert_status(ferry_queue_cancel(f->queue, op), FERRY_E_TOO_LATE);
}

static void a_hanging_one_can_be_canceled(void **state) {
    fixture *f = fixture_open(state);
    resolver_teach_silence("silent.test");
    ferry_op op = start(f, "silent.test", 0);
    until_hanging(f, 1);
    assert_info(f, workers_detached, 0);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    assert_int_equal(resolver_hanging(), 1);
    assert_info(f, workers_detached, 1);
    resolver_release();
    assert_info(f, workers_detached, 0);
    /* What came after all is nobody's. */
    assert_info(f, buffers_lent, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

static void a_hanging_one_has_a_deadline(void **state) {
    fixture *f = fixture_open(state);
    resolver_teach_silence("silent.test");
    ferry_request request;
    ferry_prepare_name_resolve(&request, "silent.test", PORT, 0);
    request.deadline_ns = 50 * MS;
    uint64_t begin = now_ns();
    ferry_completion resolved = fixture_do(f, &request);
    expect_failure(&resolved, FERRY_E_TIMED_OUT, 0);
    assert_true(now_ns() - begin >= 50 * MS);
    /* On a busy machine the deadline may have come before the worker. */
    assert_info(f, workers_detached, resolver_calls());
    resolver_release();
    assert_info(f, workers_detached, 0);
}

static void shutdown_ends_a_hanging_one(void **state) {
    fixture *f = fixture_open(state);
    resolver_teach_silence("silent.test");
    ferry_op op = start(f, "silent.test", 0);
    until_hanging(f, 1);
    assert_status(ferry_engine_shutdown(f->engine, 50 * MS), FERRY_E_TIMED_OUT);
    fixture_collect(f);
    assert_true(fixture_has(f, op));
    assert_status(fixture_final(f, op).status, FERRY_E_SHUTDOWN);
    assert_int_equal(fixture_info(f).state, FERRY_ENGINE_SHUTTING_DOWN);
    assert_int_equal(fixture_info(f).workers_detached, 1);
    assert_int_equal(fixture_info(f).workers, 1);
    assert_status(ferry_engine_destroy(f->engine), FERRY_E_BUSY);
    resolver_release();
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    assert_int_equal(fixture_info(f).state, FERRY_ENGINE_STOPPED);
    assert_int_equal(fixture_info(f).workers_detached, 0);
    assert_int_equal(fixture_info(f).workers, 0);
}

static int destroy_in_child(void *engine) {
    CHILD_CHECK(ferry_engine_destroy(engine) == FERRY_OK);
    return 0;
}

static void a_forked_child_does_not_wait_for_names(void **state) {
    fixture *f = fixture_open(state);
    if (sanitized()) {
        SKIP_BECAUSE("a sanitizer's own locks may be held when another thread forks");
    }
    resolver_teach_silence("silent.test");
    ferry_op op = start(f, "silent.test", 0);
    until_hanging(f, 1);
    assert_int_equal(run_in_child(destroy_in_child, f->engine), 0);
    resolver_release();
    ferry_completion resolved = fixture_final(f, op);
    ferry_address wanted = loopback(0);
    expect(f, &resolved, &wanted, 1);
}

/* --- Two lanes ------------------------------------------------------------------------------ */

static void everything_else_works(fixture *f) {
    ferry_request request;
    ferry_completion done;
    ferry_prepare_file_load(&request, fixture_file(f, "file", 5000), 0);
    for (int i = 0; i < 20; i++) {
        done = fixture_do(f, &request);
        assert_status(done.status, FERRY_OK);
        assert_true(pattern_matches(done.data, 5000, 0));
        fixture_release(f, &done);
    }
    ferry_prepare_timer(&request, MS, 0);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    int peer;
    char *memory = fixture_memory(f, 4);
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_prepare_stream_send(&request, stream, "ahoy", 4);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    peer_receive(peer, memory, 4);
    peer_send(peer, memory, 4);
    ferry_prepare_stream_receive(&request, stream, memory, 4);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    fixture_close_handle(f, stream);
    /* A literal address needs no resolver. */
    done = resolve(f, "192.0.2.1", 0);
    expect(f, &done, &v4_one, 1);
}

static void a_black_hole_starves_nobody(void **state) {
    ferry_engine_options two = {.name_workers_max = 2};
    fixture *f = fixture_open_with(state, &two, NULL);
    ferry_op hanging[2];
    ferry_op queued[QUEUED];
    resolver_teach_silence("silent.test");
    resolver_teach("one.test", &v4_one, 1);
    for (size_t i = 0; i < 2; i++) {
        hanging[i] = start(f, "silent.test", 0);
    }
    until_hanging(f, 2);
    for (size_t i = 0; i < QUEUED; i++) {
        queued[i] = start(f, "one.test", 0);
    }
    everything_else_works(f);

    /* Deadlines and cancels hold, also for those that nobody has begun; these hold no worker. */
    ferry_request request;
    ferry_prepare_name_resolve(&request, "one.test", PORT, 0);
    request.deadline_ns = 20 * MS;
    uint64_t begin = now_ns();
    assert_status(fixture_do(f, &request).status, FERRY_E_TIMED_OUT);
    assert_true(now_ns() - begin >= 20 * MS);
    fixture_cancel(f, queued[0]);
    assert_status(fixture_final(f, queued[0]).status, FERRY_E_CANCELED);
    assert_info(f, workers_detached, 0);
    fixture_cancel(f, hanging[0]);
    assert_status(fixture_final(f, hanging[0]).status, FERRY_E_CANCELED);
    assert_info(f, workers_detached, 1);
    assert_int_equal(resolver_calls(), 2);
    assert_false(fixture_has(f, queued[1]));

    resolver_release();
    ferry_address wanted = loopback(0);
    ferry_completion resolved = fixture_final(f, hanging[1]);
    expect(f, &resolved, &wanted, 1);
    for (size_t i = 1; i < QUEUED; i++) {
        resolved = fixture_final(f, queued[i]);
        expect(f, &resolved, &v4_one, 1);
    }
    assert_info(f, workers_detached, 0);
}

static void shutdown_with_every_worker_hanging(void **state) {
    ferry_engine_options two = {.name_workers_max = 2};
    fixture *f = fixture_open_with(state, &two, NULL);
    ferry_op ops[2 + QUEUED];
    resolver_teach_silence("silent.test");
    for (size_t i = 0; i < 2 + QUEUED; i++) {
        ops[i] = start(f, "silent.test", 0);
    }
    until_hanging(f, 2);
    everything_else_works(f);
    assert_status(ferry_engine_shutdown(f->engine, 50 * MS), FERRY_E_TIMED_OUT);
    for (size_t i = 0; i < 2 + QUEUED; i++) {
        assert_status(fixture_final(f, ops[i]).status, FERRY_E_SHUTDOWN);
    }
    assert_int_equal(fixture_info(f).workers_detached, 2);
    assert_status(ferry_engine_destroy(f->engine), FERRY_E_BUSY);
    assert_int_equal(resolver_calls(), 2);
    resolver_release();
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    assert_int_equal(resolver_calls(), 2);
}

static void names_do_not_wait_for_files(void **state) {
    ferry_engine_options one = {.workers_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    resolver_teach("one.test", &v4_one, 1);
    resolver_teach_silence("silent.test");
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_fifo(f, "fifo"), 0);
    ferry_op load = fixture_submit(f, &request);
    assert_true(fixture_wait_until_stuck(f, load));
    ferry_completion resolved = resolve(f, "one.test", 0);
    expect(f, &resolved, &v4_one, 1);
    /* Both lanes are counted. */
    ferry_op op = start(f, "silent.test", 0);
    until_hanging(f, 1);
    assert_true(fixture_info(f).workers >= 2);
    fixture_cancel(f, load);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, load).status, FERRY_E_CANCELED);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    assert_info(f, workers_detached, 2);
    resolver_release();
    assert_info(f, workers_detached, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RESOLVER_ON_EVERY_DRIVE(literal_addresses),
        RESOLVER_ON_EACH_SHARDS(a_zone_is_kept),
        RESOLVER_ON_EACH_SHARDS(localhost_is_the_loopback),
        RESOLVER_ON_EVERY_DRIVE(the_order_is_the_resolvers),
        RESOLVER_ON(the_resolver_is_asked_for_what_is_wanted, host),
        RESOLVER_ON_EACH_SHARDS(each_address_comes_once),
        RESOLVER_ON_EACH_SHARDS(families_that_ferry_does_not_know_are_left_out),
        RESOLVER_ON_EACH_SHARDS(a_name_may_have_many_addresses),
        RESOLVER_ON_EACH_SHARDS(failures_have_their_names),
        RESOLVER_ON_EACH_SHARDS(the_name_may_change_after_submit),
        RESOLVER_ON_EVERY_DRIVE(many_at_once),
        RESOLVER_ON_EACH_SHARDS(bad_arguments_are_refused),
        RESOLVER_ON_EACH_SHARDS(ports_at_their_ends),
        RESOLVER_ON_EACH_SHARDS(the_ceiling_on_lent_bytes_holds),
        RESOLVER_ON_EACH_SHARDS(one_worker_is_enough),
        RESOLVER_ON(canceled_before_it_has_begun, host),
        RESOLVER_ON_EACH_SHARDS(canceled_after_its_end),
        RESOLVER_ON_EVERY_DRIVE(a_hanging_one_can_be_canceled),
        RESOLVER_ON_EVERY_DRIVE(a_hanging_one_has_a_deadline),
        RESOLVER_ON_EVERY_DRIVE(shutdown_ends_a_hanging_one),
        RESOLVER_ON_EACH_SHARDS(a_forked_child_does_not_wait_for_names),
        RESOLVER_ON_EVERY_DRIVE(a_black_hole_starves_nobody),
        RESOLVER_ON_EACH_SHARDS(shutdown_with_every_worker_hanging),
        RESOLVER_ON_EACH_SHARDS(names_do_not_wait_for_files),
    };
    return RUN_SUITE(tests);
}
