// The real engine on a made-up system: what the driver's seam promises, and what stands above it
// must do whichever way a driver keeps the promise. Each test runs three times: on a driver that is
// ready at the next poll, on one that ends things within their start call, on one that ends
// everything later.
#include <chrono>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#include "../../capi/src/objects.hpp"
#include "driver/fake/fake_driver.hpp"
#include "runtime/shard.hpp"

#include <ferry.h>

using namespace ferry;
using driver::fake::Call;

static constexpr uint64_t kHour = 3'600'000'000'000;

namespace {

enum class Manner : uint8_t { ready, eager, later };
Manner kManners[] = {Manner::ready, Manner::eager, Manner::later};

// An engine that the test runs, its world, and what has completed.
class World {
  public:
    explicit World(Manner manner, ferry_engine_options options = {}) {
        options.struct_size = sizeof options;
        assert_int_equal(ferry_engine_create(&options, &engine), FERRY_OK);
        assert_int_equal(ferry_queue_create(engine, nullptr, &queue), FERRY_OK);
        os = &static_cast<driver::fake::FakeDriver &>(engine->engine.shard(0).driver());
        os->eager = manner == Manner::eager;
        os->completes_later = manner == Manner::later;
    }
    ~World() {
        assert_int_equal(ferry_engine_shutdown(engine, kHour), FERRY_OK);
        assert_int_equal(os->sockets(), 0);
        assert_int_equal(os->open_files(), 0);
        collect();
        for (const ferry_completion &completion : come)
            release(completion);
        assert_int_equal(ferry_engine_destroy(engine), FERRY_OK);
    }

    ferry_op submit(const ferry_request &request) {
        ferry_op op = FERRY_NONE;
        assert_int_equal(ferry_queue_submit(queue, &request, 1, &op, nullptr), FERRY_OK);
        return op;
    }
    void collect() {
        ferry_completion out[16];
        int32_t count;
        while ((count = ferry_queue_reap(queue, out, 16)) > 0)
            come.insert(come.end(), out, out + count);
    }
    // Let happen what can happen without time.
    void turn(int times = 1) {
        while (times-- > 0)
            assert_int_equal(ferry_engine_run(engine, 0, 0, nullptr), FERRY_OK);
        collect();
    }
    bool has(ferry_op op) const {
        for (const ferry_completion &completion : come) {
            if (completion.op == op)
                return true;
        }
        return false;
    }
    // The next completion of an operation; time passes if it must.
    ferry_completion next(ferry_op op) {
        for (int turns = 0; turns < 10000; ++turns) {
            for (size_t i = 0; i < come.size(); ++i) {
                if (come[i].op != op)
                    continue;
                ferry_completion found = come[i];
                come.erase(come.begin() + static_cast<ptrdiff_t>(i));
                return found;
            }
            assert_int_equal(ferry_engine_run(engine, kHour, 0, nullptr), FERRY_OK);
            collect();
        }
        fail_msg("an operation does not end");
        return {};
    }
    ferry_completion await(const ferry_request &request) { return next(submit(request)); }
    void cancel(ferry_op op) { assert_int_equal(ferry_queue_cancel(queue, op), FERRY_OK); }
    void release(const ferry_completion &completion) {
        if ((completion.flags & FERRY_BUFFER) != 0)
            assert_int_equal(ferry_buffer_release(engine, completion.buffer), FERRY_OK);
    }

    ferry_handle listen(uint16_t port, uint32_t backlog = 0) {
        ferry_address address;
        ferry_address_parse("127.0.0.1", port, &address);
        ferry_request request;
        ferry_prepare_tcp_listen(&request, &address, backlog);
        ferry_completion done = await(request);
        assert_int_equal(done.status, FERRY_OK);
        return done.handle;
    }
    ferry_op connect(uint16_t port) {
        ferry_address address;
        ferry_address_parse("127.0.0.1", port, &address);
        ferry_request request;
        ferry_prepare_tcp_connect(&request, &address);
        return submit(request);
    }
    ferry_op accept(ferry_handle listener) {
        ferry_request request;
        ferry_prepare_tcp_accept(&request, listener);
        return submit(request);
    }
    ferry_op receive(ferry_handle stream, void *buffer, size_t size) {
        ferry_request request;
        ferry_prepare_stream_receive(&request, stream, buffer, size);
        return submit(request);
    }
    ferry_op receive_all(ferry_handle stream) {
        ferry_request request;
        ferry_prepare_stream_receive_multishot(&request, stream);
        return submit(request);
    }
    ferry_op send(ferry_handle stream, const std::string &bytes) {
        ferry_request request;
        ferry_prepare_stream_send(&request, stream, bytes.data(), bytes.size());
        return submit(request);
    }
    ferry_op close(ferry_handle handle) {
        ferry_request request;
        ferry_prepare_handle_close(&request, handle);
        return submit(request);
    }
    void pair(ferry_handle *near, ferry_handle *far) {
        ferry_handle listener = listen(0);
        uint16_t port = static_cast<uint16_t>(last_port++);
        ferry_op accepting = accept(listener);
        *near = next(connect(port)).handle;
        *far = next(accepting).handle;
        assert_int_equal(next(close(listener)).status, FERRY_OK);
        assert_int_equal(next(accepting).status, FERRY_E_CLOSED);
    }

    ferry_engine *engine = nullptr;
    ferry_queue *queue = nullptr;
    driver::fake::FakeDriver *os = nullptr;
    std::vector<ferry_completion> come;
    int last_port = 40000; // The fake's first free one.
};

Manner manner_of(void **state) {
    return *static_cast<Manner *>(*state);
}

ferry_completion load(World &world, const char *path, uint64_t size_max) {
    ferry_request request;
    ferry_prepare_file_load(&request, path, size_max);
    return world.await(request);
}

// ---- accept, connect ----------------------------------------------------------------------------

void accepts_until_cancelled(void **state) {
    World world(manner_of(state));
    ferry_handle listener = world.listen(80);
    ferry_op accepting = world.accept(listener);
    for (int i = 0; i < 3; ++i) {
        ferry_completion connected = world.next(world.connect(80));
        assert_int_equal(connected.status, FERRY_OK);
        ferry_completion accepted = world.next(accepting);
        assert_int_equal(accepted.status, FERRY_OK);
        assert_true((accepted.flags & FERRY_MORE) != 0);
        assert_true(accepted.handle != connected.handle);
    }
    world.cancel(accepting);
    ferry_completion last = world.next(accepting);
    assert_int_equal(last.status, FERRY_E_CANCELED);
    assert_int_equal(last.flags, FERRY_REUSABLE);
    // The listener is as it was.
    accepting = world.accept(listener);
    world.connect(80);
    assert_int_equal(world.next(accepting).status, FERRY_OK);
}

void refuses_where_nobody_listens(void **state) {
    World world(manner_of(state));
    assert_int_equal(world.next(world.connect(81)).status, FERRY_E_CONNECTION_REFUSED);
}

void waits_for_a_full_backlog(void **state) {
    World world(manner_of(state));
    ferry_handle listener = world.listen(80, 1);
    assert_int_equal(world.next(world.connect(80)).status, FERRY_OK);
    ferry_op waiting = world.connect(80);
    ferry_op never = world.connect(80);
    world.turn(5);
    assert_false(world.has(waiting));
    ferry_request one;
    ferry_prepare_tcp_accept(&one, listener);
    one.flags = 0;
    assert_int_equal(world.await(one).status, FERRY_OK);
    assert_int_equal(world.next(waiting).status, FERRY_OK);
    world.cancel(never);
    assert_int_equal(world.next(never).status, FERRY_E_CANCELED);
}

void goes_on_when_descriptors_are_back(void **state) {
    World world(manner_of(state));
    ferry_handle listener = world.listen(80);
    world.os->fail_next(Call::accept, {.status = FERRY_E_NO_DESCRIPTORS, .os_error = 24});
    world.os->fail_next(Call::accept, {.status = FERRY_E_NO_DESCRIPTORS, .os_error = 24});
    ferry_op accepting = world.accept(listener);
    world.connect(80);
    ferry_completion told = world.next(accepting);
    assert_int_equal(told.status, FERRY_E_NO_DESCRIPTORS);
    assert_int_equal(told.os_error, 24);
    assert_true((told.flags & FERRY_MORE) != 0);
    // Told once, though it happened twice.
    assert_int_equal(world.next(accepting).status, FERRY_OK);
}

// ---- receive, send ------------------------------------------------------------------------------

void receives_into_the_hosts_memory(void **state) {
    World world(manner_of(state));
    ferry_handle near, far;
    world.pair(&near, &far);
    char buffer[8] = {};
    ferry_op receiving = world.receive(far, buffer, sizeof buffer);
    world.turn(3);
    assert_false(world.has(receiving));
    assert_int_equal(world.next(world.receive(far, buffer, 1)).status, FERRY_E_BUSY);
    std::string bytes = "hello, world";
    assert_int_equal(world.next(world.send(near, bytes)).result, 12);
    assert_int_equal(world.next(receiving).result, 8);
    assert_memory_equal(buffer, "hello, w", 8);
    assert_int_equal(world.next(world.receive(far, buffer, sizeof buffer)).result, 4);
    assert_memory_equal(buffer, "orld", 4);
    world.close(near);
    assert_int_equal(world.next(world.receive(far, buffer, sizeof buffer)).result, 0);
}

void lends_what_keeps_coming(void **state) {
    World world(manner_of(state));
    ferry_handle near, far;
    world.pair(&near, &far);
    ferry_op receiving = world.receive_all(far);
    std::string all;
    for (const std::string bytes : {"one", "two", "three"}) {
        assert_int_equal(world.next(world.send(near, bytes)).status, FERRY_OK);
        ferry_completion some = world.next(receiving);
        assert_int_equal(some.flags, FERRY_MORE | FERRY_BUFFER);
        all.append(static_cast<const char *>(some.data), static_cast<size_t>(some.result));
        world.release(some);
    }
    assert_string_equal(all.c_str(), "onetwothree");
    world.close(near);
    ferry_completion last = world.next(receiving);
    assert_int_equal(last.status, FERRY_OK);
    assert_int_equal(last.result, 0);
    assert_int_equal(last.flags, 0);
}

void pauses_while_every_buffer_is_lent(void **state) {
    ferry_engine_options options = {};
    options.buffer_bytes_max = 65536;
    World world(manner_of(state), options);
    world.os->pipe_size = 1 << 20;
    ferry_handle near, far;
    world.pair(&near, &far);
    std::string bytes(100000, 'x');
    ferry_op receiving = world.receive_all(far);
    assert_int_equal(world.next(world.send(near, bytes)).result, 100000);
    ferry_completion first = world.next(receiving);
    assert_int_equal(first.result, 65536);
    world.turn(5);
    assert_false(world.has(receiving));
    world.release(first);
    ferry_completion second = world.next(receiving);
    assert_int_equal(second.result, 100000 - 65536);
    world.release(second);
}

void sends_in_parts_and_in_order(void **state) {
    World world(manner_of(state));
    world.os->pipe_size = 100;
    world.os->send_max = 7;
    ferry_handle near, far;
    world.pair(&near, &far);
    std::string sent;
    std::vector<std::string> parts;
    for (int i = 0; i < 100; ++i)
        parts.emplace_back(static_cast<size_t>(i % 17 + 1), static_cast<char>('a' + i % 26));
    std::vector<ferry_op> ops;
    for (const std::string &part : parts) {
        sent += part;
        ops.push_back(world.send(near, part));
    }
    std::string got;
    char buffer[33];
    while (got.size() < sent.size()) {
        ferry_completion some = world.next(world.receive(far, buffer, sizeof buffer));
        assert_int_equal(some.status, FERRY_OK);
        got.append(buffer, static_cast<size_t>(some.result));
    }
    assert_string_equal(got.c_str(), sent.c_str());
    for (size_t i = 0; i < ops.size(); ++i)
        assert_int_equal(world.next(ops[i]).result, parts[i].size());
}

void a_cancelled_send_tells_what_was_taken(void **state) {
    World world(manner_of(state));
    world.os->pipe_size = 10;
    ferry_handle near, far;
    world.pair(&near, &far);
    std::string first(25, 'a'), second(5, 'b'), third(5, 'c');
    ferry_op stuck = world.send(near, first);
    ferry_op behind = world.send(near, second);
    ferry_op last = world.send(near, third);
    world.turn(5);
    world.cancel(behind);
    ferry_completion untouched = world.next(behind);
    assert_int_equal(untouched.status, FERRY_E_CANCELED);
    assert_int_equal(untouched.result, 0);
    assert_int_equal(untouched.flags, FERRY_REUSABLE);
    world.cancel(stuck);
    ferry_completion torn = world.next(stuck);
    assert_int_equal(torn.status, FERRY_E_CANCELED);
    assert_int_equal(torn.result, 10);
    assert_int_equal(torn.flags, 0);
    // The one behind them goes on.
    char buffer[10];
    assert_int_equal(world.next(world.receive(far, buffer, 10)).result, 10);
    assert_int_equal(world.next(last).result, 5);
    assert_int_equal(world.next(world.receive(far, buffer, 10)).result, 5);
    assert_memory_equal(buffer, "ccccc", 5);
}

void a_cancelled_receive_loses_nothing(void **state) {
    World world(manner_of(state));
    ferry_handle near, far;
    world.pair(&near, &far);
    char buffer[16] = {};
    for (int round = 0; round < 3; ++round) {
        ferry_op receiving = world.receive(far, buffer, sizeof buffer);
        world.turn();
        std::string bytes = "abc";
        ferry_op sending = world.send(near, bytes);
        world.cancel(receiving); // At the same time: it may come first, or the bytes.
        ferry_completion ended = world.next(receiving);
        if (ended.status == FERRY_E_CANCELED) {
            assert_int_equal(ended.flags, FERRY_REUSABLE);
            ended = world.next(world.receive(far, buffer, sizeof buffer));
        }
        assert_int_equal(ended.result, 3);
        assert_memory_equal(buffer, "abc", 3);
        assert_int_equal(world.next(sending).result, 3);
    }
}

void the_systems_error_is_told(void **state) {
    World world(manner_of(state));
    ferry_handle near, far;
    world.pair(&near, &far);
    char buffer[4];
    world.os->fail_next(Call::receive, {.status = FERRY_E_CONNECTION_RESET, .os_error = 104});
    ferry_completion received = world.next(world.receive(far, buffer, sizeof buffer));
    assert_int_equal(received.status, FERRY_E_CONNECTION_RESET);
    assert_int_equal(received.os_error, 104);
    world.close(far);
    world.turn(3);
    std::string bytes = "x";
    assert_int_equal(world.next(world.send(near, bytes)).status, FERRY_E_BROKEN_PIPE);
}

// ---- close, shutdown ----------------------------------------------------------------------------

void close_ends_what_is_pending(void **state) {
    World world(manner_of(state));
    world.os->pipe_size = 10;
    ferry_handle near, far;
    world.pair(&near, &far);
    std::string bytes(20, 'x');
    ferry_op sending = world.send(near, bytes);
    ferry_op behind = world.send(near, bytes);
    ferry_op receiving = world.receive_all(near);
    world.turn(5);
    ferry_op closing = world.close(near);
    assert_int_equal(world.next(closing).status, FERRY_OK);
    // They ended before it.
    assert_true(world.has(sending) && world.has(behind) && world.has(receiving));
    assert_int_equal(world.next(sending).status, FERRY_E_CLOSED);
    assert_int_equal(world.next(behind).status, FERRY_E_CLOSED);
    assert_int_equal(world.next(receiving).status, FERRY_E_CLOSED);
    assert_int_equal(world.next(world.close(near)).status, FERRY_OK);
    char buffer[16];
    assert_int_equal(world.next(world.receive(far, buffer, 16)).result, 10);
    assert_int_equal(world.next(world.receive(far, buffer, 16)).result, 0);
}

void shutdown_ends_everything(void **state) {
    World world(manner_of(state));
    world.os->pipe_size = 10;
    ferry_handle near, far;
    world.pair(&near, &far);
    std::string bytes(20, 'x');
    ferry_request sleep;
    ferry_prepare_timer(&sleep, kHour, 0);
    ferry_op ops[] = {world.send(near, bytes), world.receive_all(near),
                      world.accept(world.listen(80, 1)), world.submit(sleep)};
    assert_int_equal(world.next(world.connect(80)).status, FERRY_OK);
    world.turn(2);
    assert_int_equal(ferry_engine_shutdown(world.engine, kHour), FERRY_OK);
    world.collect();
    assert_int_equal(world.next(ops[2]).status, FERRY_OK); // The one connection.
    for (ferry_op op : ops)
        assert_int_equal(world.next(op).status, FERRY_E_SHUTDOWN);
}

// ---- time ---------------------------------------------------------------------------------------

void an_hour_takes_no_time(void **state) {
    auto begun = std::chrono::steady_clock::now();
    {
        World world(manner_of(state));
        uint64_t before = world.os->now_ns();
        ferry_request sleep;
        ferry_prepare_timer(&sleep, kHour, 0);
        assert_int_equal(world.await(sleep).result, 1);
        uint64_t slept = world.os->now_ns() - before;
        assert_true(slept >= kHour && slept < kHour + 1'000'000);
        // A run that waits in vain passes the time, too, and only that.
        before = world.os->now_ns();
        assert_int_equal(ferry_engine_run(world.engine, 24 * kHour, 0, nullptr), FERRY_OK);
        assert_int_equal(world.os->now_ns(), before + 24 * kHour);
    }
    assert_true(std::chrono::steady_clock::now() - begun < std::chrono::minutes(1));
}

void a_deadline_comes_when_nothing_else_does(void **state) {
    World world(manner_of(state));
    ferry_handle near, far;
    world.pair(&near, &far);
    uint64_t before = world.os->now_ns();
    ferry_request request;
    char buffer[4];
    ferry_prepare_stream_receive(&request, near, buffer, sizeof buffer);
    request.deadline_ns = kHour;
    ferry_completion ended = world.await(request);
    assert_int_equal(ended.status, FERRY_E_TIMED_OUT);
    assert_int_equal(ended.flags, FERRY_REUSABLE);
    assert_true(world.os->now_ns() - before >= kHour);
}

// ---- files --------------------------------------------------------------------------------------

void loads_files(void **state) {
    World world(manner_of(state));
    world.os->set_file("/a", "some bytes");
    world.os->set_file("/empty", "");
    ferry_completion loaded = load(world, "/a", 0);
    assert_int_equal(loaded.status, FERRY_OK);
    assert_int_equal(loaded.result, 10);
    assert_memory_equal(loaded.data, "some bytes", 10);
    world.release(loaded);
    ferry_completion empty = load(world, "/empty", 0);
    assert_int_equal(empty.status, FERRY_OK);
    assert_int_equal(empty.result, 0);
    assert_int_equal(load(world, "/b", 0).status, FERRY_E_NOT_FOUND);
    assert_int_equal(load(world, "/a", 9).status, FERRY_E_LIMIT);
    world.os->fail_next(Call::load, {.status = FERRY_E_IO, .os_error = 5});
    assert_int_equal(load(world, "/a", 0).os_error, 5);
}

void a_load_can_be_cancelled(void **state) {
    World world(manner_of(state));
    world.os->set_file("/a", "some bytes");
    ferry_request request;
    ferry_prepare_file_load(&request, "/a", 0);
    ferry_op op = world.submit(request);
    world.cancel(op);
    ferry_completion ended = world.next(op);
    assert_int_equal(ended.status, FERRY_E_CANCELED);
    ferry_engine_info info = {};
    info.struct_size = sizeof info;
    assert_int_equal(ferry_engine_get_info(world.engine, &info), FERRY_OK);
    assert_int_equal(info.buffer_bytes_lent, 0);
    assert_string_equal(info.driver, "fake");
}

// ---- open files ---------------------------------------------------------------------------------

ferry_handle open_file(World &world, const char *path, uint32_t flags) {
    ferry_request request;
    ferry_prepare_file_open(&request, path, flags, 0);
    ferry_completion done = world.await(request);
    assert_int_equal(done.status, FERRY_OK);
    return done.handle;
}

void reads_and_writes_files(void **state) {
    World world(manner_of(state));
    ferry_handle file =
        open_file(world, "/a", FERRY_OPEN_READ | FERRY_OPEN_WRITE | FERRY_OPEN_CREATE);
    ferry_request request;
    const ferry_slice pieces[] = {{{const_cast<char *>("some ")}, 5},
                                  {{const_cast<char *>("bytes")}, 5}};
    ferry_prepare_file_write_vectored(&request, file, pieces, 2, 2);
    assert_int_equal(world.await(request).result, 10);
    char got[16];
    ferry_prepare_file_read(&request, file, got, sizeof got, 7);
    assert_int_equal(world.await(request).result, 5);
    assert_memory_equal(got, "bytes", 5);
    ferry_prepare_file_truncate(&request, file, 4);
    assert_int_equal(world.await(request).status, FERRY_OK);
    ferry_prepare_file_stat(&request, file);
    ferry_completion told = world.await(request);
    assert_int_equal(static_cast<const ferry_file_info *>(told.data)->size, 4);
    world.release(told);
    // Who has it open keeps what is replaced.
    ferry_prepare_file_store(&request, "/a", "new", 3, 0);
    assert_int_equal(world.await(request).result, 3);
    assert_true(*world.os->file("/a") == "new");
    ferry_prepare_file_read(&request, file, got, sizeof got, FERRY_AT_POSITION);
    assert_int_equal(world.await(request).result, 4);
    world.os->fail_next(Call::file, {.status = FERRY_E_NO_SPACE, .os_error = 28});
    ferry_prepare_file_write(&request, file, "x", 1, 0);
    assert_int_equal(world.await(request).status, FERRY_E_NO_SPACE);
}

void a_close_tells_what_the_system_says(void **state) {
    World world(manner_of(state));
    world.os->set_file("/a", "some bytes");
    ferry_handle file = open_file(world, "/a", FERRY_OPEN_READ);
    world.os->fail_next(Call::close, {.status = FERRY_E_NO_SPACE, .os_error = 28});
    ferry_completion closed = world.next(world.close(file));
    assert_int_equal(closed.status, FERRY_E_NO_SPACE);
    assert_int_equal(closed.os_error, 28);
    assert_int_equal(world.os->open_files(), 0);
    // Closed it is all the same; once more is fine.
    assert_int_equal(world.next(world.close(file)).status, FERRY_OK);
}

void close_ends_what_is_pending_on_a_file(void **state) {
    World world(manner_of(state));
    world.os->set_file("/a", "some bytes");
    ferry_handle file = open_file(world, "/a", FERRY_OPEN_READ);
    ferry_op reads[3];
    char got[3][16];
    for (int i = 0; i < 3; ++i) {
        ferry_request request;
        ferry_prepare_file_read(&request, file, got[i], sizeof got[i], 0);
        reads[i] = world.submit(request);
    }
    ferry_op closing = world.close(file);
    for (ferry_op read : reads) {
        ferry_completion done = world.next(read);
        assert_true(done.status == FERRY_OK || done.status == FERRY_E_CLOSED);
    }
    assert_int_equal(world.next(closing).status, FERRY_OK);
}

void handles_run_out_while_a_file_opens(void **state) {
    ferry_engine_options few = {};
    few.handles_max = 1;
    World world(manner_of(state), few);
    world.os->set_file("/a", "some bytes");
    ferry_op ops[3];
    int opened = 0;
    for (ferry_op &op : ops) {
        ferry_request request;
        ferry_prepare_file_open(&request, "/a", FERRY_OPEN_READ, 0);
        op = world.submit(request);
    }
    for (ferry_op op : ops) {
        ferry_completion done = world.next(op);
        assert_true(done.status == FERRY_OK || done.status == FERRY_E_NO_HANDLES);
        opened += done.status == FERRY_OK;
    }
    assert_int_equal(opened, 1);
    world.turn(3);
    assert_int_equal(world.os->open_files(), 1);
}

struct Named {
    const char *name;
    CMUnitTestFunction run;
};

#define NAMED(test)                                                                                \
    { #test, test }

const Named kTests[] = {
    NAMED(accepts_until_cancelled),
    NAMED(refuses_where_nobody_listens),
    NAMED(waits_for_a_full_backlog),
    NAMED(goes_on_when_descriptors_are_back),
    NAMED(receives_into_the_hosts_memory),
    NAMED(lends_what_keeps_coming),
    NAMED(pauses_while_every_buffer_is_lent),
    NAMED(sends_in_parts_and_in_order),
    NAMED(a_cancelled_send_tells_what_was_taken),
    NAMED(a_cancelled_receive_loses_nothing),
    NAMED(the_systems_error_is_told),
    NAMED(close_ends_what_is_pending),
    NAMED(shutdown_ends_everything),
    NAMED(an_hour_takes_no_time),
    NAMED(a_deadline_comes_when_nothing_else_does),
    NAMED(loads_files),
    NAMED(a_load_can_be_cancelled),
    NAMED(reads_and_writes_files),
    NAMED(a_close_tells_what_the_system_says),
    NAMED(close_ends_what_is_pending_on_a_file),
    NAMED(handles_run_out_while_a_file_opens),
};

constexpr size_t kTestCount = sizeof kTests / sizeof kTests[0];

} // namespace

int main() {
    static const char *const manners[] = {"ready", "eager", "later"};
    CMUnitTest tests[3 * kTestCount] = {};
    std::vector<std::string> names(3 * kTestCount);
    for (size_t i = 0; i < 3 * kTestCount; ++i) {
        names[i] = std::string(kTests[i / 3].name) + " [" + manners[i % 3] + "]";
        tests[i].name = names[i].c_str();
        tests[i].test_func = kTests[i / 3].run;
        tests[i].initial_state = &kManners[i % 3];
    }
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
