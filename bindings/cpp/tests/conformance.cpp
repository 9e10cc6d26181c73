/**
 * @file
 * The scenarios of bindings/CONFORMANCE.md in C++.
 *
 *     conformance [SCENARIO...]      FERRY_SHARDS=1: an engine with a thread of its own
 */
#include "ferry.hpp"
#include "sha256.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace ferry;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Bytes = std::vector<std::byte>;

namespace {

/** Empty: passed. "skip ...": why there is no such thing. Else what went wrong. */
using Verdict = std::string;

std::string told(const char *what, int line) {
    return "line " + std::to_string(line) + ": not so: " + what;
}

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            co_return told(#condition, __LINE__);                                                  \
    } while (false)
#define ENSURE(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return told(#condition, __LINE__);                                                     \
    } while (false)
/** A part that is a Verdict itself. */
#define PASS(verdict)                                                                              \
    do {                                                                                           \
        Verdict part = (verdict);                                                                  \
        if (!part.empty())                                                                         \
            co_return part;                                                                        \
    } while (false)

EngineOptions options() {
    const char *shards = std::getenv("FERRY_SHARDS");
    EngineOptions options;
    options.shards = shards != nullptr ? static_cast<std::uint32_t>(std::atoi(shards)) : 0;
    const char *driver = std::getenv("FERRY_TEST_DRIVER");
    if (driver != nullptr && std::string(driver) == "uv")
        options.driver = FERRY_DRIVER_UV;
    return options;
}

std::unique_ptr<Loop> make_loop(const EngineOptions &engine = options(),
                                const QueueOptions &queue = {}) {
    auto loop = Loop::create(engine, queue);
    return loop ? std::move(*loop) : nullptr;
}

ferry_address peer_address() {
    const char *peer = std::getenv("FERRY_PEER");
    std::string text = peer != nullptr ? peer : "127.0.0.1:1";
    auto colon = text.rfind(':');
    auto port = static_cast<std::uint16_t>(std::atoi(text.c_str() + colon + 1));
    return *parse_address(text.substr(0, colon).c_str(), port);
}

std::string scratch(const std::string &name) {
    const char *folder = std::getenv("FERRY_SCRATCH");
    return std::string(folder != nullptr ? folder : ".") + "/" + name;
}

std::mt19937 &random_source() {
    static std::mt19937 source(4711);
    return source;
}
std::size_t random_below(std::size_t bound) {
    return random_source()() % bound;
}

Bytes random_bytes(std::size_t size) {
    Bytes data(size);
    for (std::byte &byte : data)
        byte = static_cast<std::byte>(random_below(256));
    return data;
}
/** What the peer sends on `bytes` and `drip`. */
bool is_pattern(std::span<const std::byte> data, std::size_t from) {
    for (std::size_t i = 0; i < data.size(); ++i)
        if (data[i] != static_cast<std::byte>((from + i) % 256))
            return false;
    return true;
}
std::string_view text_of(std::span<const std::byte> data) {
    return {reinterpret_cast<const char *>(data.data()), data.size()};
}

Task<Result<Stream>> peer(std::string line) {
    auto stream = co_await Stream::connect(peer_address());
    if (!stream)
        co_return stream.error();
    line += '\n';
    auto sent = co_await stream->send(bytes(line));
    if (!sent)
        co_return sent.error();
    co_return std::move(*stream);
}

Task<Result<TcpListener>> listen() {
    co_return co_await TcpListener::listen(*parse_address("127.0.0.1", 0));
}
ferry_address address_of(const ListenerRef &listener) {
    return *parse_address("127.0.0.1", listener.port);
}

/** A port of loopback that nobody listens on. */
Task<ferry_address> closed_port() {
    auto listener = co_await listen();
    ferry_address address = address_of(*listener);
    (void)co_await listener->close();
    co_return address;
}

// Small tasks of which the scenarios are made.

Task<Result<void>> sleeps(Nanoseconds time) {
    co_return co_await sleep(time);
}
Task<Result<std::size_t>> receives(StreamRef stream, std::span<std::byte> into) {
    co_return co_await stream.receive(into);
}
Task<Result<std::size_t>> sends(StreamRef stream, std::span<const std::byte> data) {
    co_return co_await stream.send(data);
}
Task<> counts(Nanoseconds time, ferry_status wanted, std::size_t &count) {
    auto slept = co_await sleep(time);
    count += slept.status() == wanted ? 1 : 0;
}
Task<> stops(StopSource &source, Nanoseconds after) {
    (void)co_await sleep(after);
    source.request_stop();
}

Task<> serve_echo(Stream stream) {
    Bytes buffer(65536);
    for (;;) {
        auto got = co_await stream.receive(buffer);
        if (!got || *got == 0)
            break;
        if (!co_await stream.send(std::span(buffer).first(*got)))
            break;
    }
}

Task<Verdict> round_trips(const Stream &stream, int count, std::size_t most) {
    for (int i = 0; i < count; ++i) {
        std::size_t size = i == 0 ? 1 : i == 1 ? most : 1 + random_below(most);
        Bytes data = random_bytes(size), back(size);
        auto sent = co_await stream.send(data);
        EXPECT(sent && *sent == size);
        auto got = co_await stream.receive_exactly(back);
        EXPECT(got && *got == size);
        EXPECT(back == data);
    }
    co_return "";
}

/** What the peer counted is what was sent. */
Task<Verdict> counted(const Stream &stream, std::span<const std::byte> sent) {
    auto down = co_await stream.shutdown();
    EXPECT(down);
    Bytes line(200);
    auto got = co_await stream.receive_until(line, "\n");
    EXPECT(got);
    std::string wanted = std::to_string(sent.size()) + " " + sha256(sent) + "\n";
    EXPECT(text_of(std::span(line).first(*got)) == wanted);
    co_return "";
}

// ---- streams ------------------------------------------------------------------------------------

Task<Verdict> echo_client(ferry_address address) {
    auto stream = co_await Stream::connect(address);
    EXPECT(stream);
    co_return co_await round_trips(*stream, 100, 65536);
}
Task<Verdict> echo_once(const TcpListener &listener) {
    auto stream = co_await listener.accept();
    EXPECT(stream);
    co_await serve_echo(std::move(*stream));
    co_return "";
}
Task<Verdict> echo() {
    auto listener = co_await listen();
    EXPECT(listener);
    auto [served, asked] = co_await all(echo_once(*listener), echo_client(address_of(*listener)));
    co_return served + asked;
}

Task<Verdict> small_client(ferry_address address) {
    auto stream = co_await Stream::connect(address);
    EXPECT(stream);
    co_return co_await round_trips(*stream, 20, 1000);
}
Task<> serve_many(const TcpListener &listener, Scope &scope, int count) {
    auto incoming = listener.incoming();
    while (count-- > 0) {
        auto stream = co_await incoming.next();
        if (!stream)
            break;
        scope.spawn(serve_echo(std::move(*stream)));
    }
}
Task<Verdict> echo_many() {
    auto listener = co_await listen();
    EXPECT(listener);
    auto body = [&listener](Scope &scope) -> Task<Verdict> {
        scope.spawn(serve_many(*listener, scope, 64));
        std::vector<Task<Verdict>> clients;
        for (int i = 0; i < 64; ++i)
            clients.push_back(small_client(address_of(*listener)));
        for (Verdict &verdict : co_await all(std::move(clients)))
            PASS(verdict);
        co_return "";
    };
    co_return co_await with_scope(body);
}

Task<Verdict> receive_short() {
    auto stream = co_await peer("drip 20 1");
    EXPECT(stream);
    std::array<std::byte, 64> buffer;
    std::size_t total = 0;
    for (;;) {
        auto got = co_await stream->receive(buffer);
        EXPECT(got);
        if (*got == 0)
            break;
        EXPECT(is_pattern(std::span(buffer).first(*got), total));
        total += *got;
    }
    EXPECT(total == 20);
    co_return "";
}

Task<Verdict> receive_exactly() {
    auto stream = co_await peer("bytes 100000");
    EXPECT(stream);
    Bytes buffer(100000);
    std::size_t total = 0;
    for (std::size_t size : {1, 99, 65536}) {
        auto piece = std::span(buffer).first(size);
        auto got = co_await stream->receive_exactly(piece);
        EXPECT(got && *got == size);
        EXPECT(is_pattern(piece, total));
        total += size;
    }
    auto rest = co_await stream->receive_exactly(buffer);
    EXPECT(rest.status() == FERRY_E_END);
    EXPECT(static_cast<std::size_t>(rest.count()) == 100000 - total);
    EXPECT(is_pattern(std::span(buffer).first(100000 - total), total));
    co_return "";
}

Task<Verdict> receive_until() {
    auto stream = co_await peer("lines 1000");
    EXPECT(stream);
    Bytes buffer(64);
    for (int i = 0; i < 1000; ++i) {
        auto got = co_await stream->receive_until(buffer, "\n");
        EXPECT(got);
        EXPECT(text_of(std::span(buffer).first(*got)) == "line " + std::to_string(i) + "\n");
    }
    auto more = co_await peer("lines 1000");
    EXPECT(more);
    auto small = co_await more->receive_until(std::span(buffer).first(4), "\n");
    EXPECT(small.status() == FERRY_E_LIMIT && small.reusable());
    auto whole = co_await more->receive_until(buffer, "\n");
    EXPECT(whole && text_of(std::span(buffer).first(*whole)) == "line 0\n");
    auto pieces = more->pieces(100, "\n");
    for (int i = 1; i < 1000; ++i) {
        auto piece = co_await pieces.next();
        EXPECT(piece && piece->text() == "line " + std::to_string(i) + "\n");
    }
    auto end = co_await pieces.next();
    EXPECT(end && end->empty());
    co_return "";
}

Task<Verdict> receive_lent() {
    auto stream = co_await peer("bytes 10000000");
    EXPECT(stream);
    auto chunks = stream->chunks();
    std::size_t total = 0;
    for (;;) {
        auto chunk = co_await chunks.next();
        EXPECT(chunk);
        if (chunk->empty())
            break;
        EXPECT(is_pattern(chunk->bytes(), total));
        total += chunk->size();
    }
    EXPECT(total == 10000000);
    co_return "";
}

Task<Verdict> send_large() {
    auto stream = co_await peer("count");
    EXPECT(stream);
    Bytes data = random_bytes(8 << 20);
    auto sent = co_await stream->send(data);
    EXPECT(sent && *sent == data.size());
    std::vector<std::size_t> sizes;
    std::size_t first = data.size(), at = first;
    for (int i = 0; i < 300; ++i)
        sizes.push_back(1 + random_below(2000));
    for (std::size_t size : sizes) {
        Bytes piece = random_bytes(size);
        data.insert(data.end(), piece.begin(), piece.end());
    }
    std::vector<Task<Result<std::size_t>>> tasks;
    for (std::size_t size : sizes) {
        tasks.push_back(sends(*stream, std::span(data).subspan(at, size)));
        at += size;
    }
    for (auto &result : co_await all(std::move(tasks)))
        EXPECT(result);
    co_return co_await counted(*stream, data);
}

Task<Verdict> send_vectored() {
    auto stream = co_await peer("count");
    EXPECT(stream);
    Bytes data = random_bytes(100 * 333);
    std::vector<ferry_slice> slices;
    for (std::size_t i = 0; i < 100; ++i)
        slices.push_back(slice(std::span(data).subspan(i * 333, 333)));
    auto sent = co_await stream->send_vectored(slices);
    EXPECT(sent && *sent == data.size());
    co_return co_await counted(*stream, data);
}

Task<Verdict> backpressure() {
    auto stream = co_await peer("slow 65536");
    EXPECT(stream);
    EXPECT(co_await stream->set(FERRY_SOCKET_SEND_BUFFER, 65536));
    Bytes data = random_bytes(4 << 20);
    for (std::size_t at = 0; at < data.size(); at += 65536) { // one piece in flight at a time
        auto sent = co_await stream->send(std::span(data).subspan(at, 65536));
        EXPECT(sent && *sent == 65536);
    }
    co_return co_await counted(*stream, data);
}

Task<Verdict> half_close() {
    auto stream = co_await peer("echo");
    EXPECT(stream);
    EXPECT(co_await stream->send(bytes("half")));
    EXPECT(co_await stream->shutdown());
    std::array<std::byte, 16> buffer;
    auto rest = co_await stream->receive_exactly(std::span(buffer).first(4));
    EXPECT(rest && text_of(std::span(buffer).first(4)) == "half");
    auto end = co_await stream->receive(buffer);
    EXPECT(end && *end == 0);
    co_return "";
}

Task<Verdict> peer_reset() {
    auto stream = co_await peer("reset 10");
    EXPECT(stream);
    std::array<std::byte, 16> buffer;
    EXPECT(co_await stream->receive_exactly(std::span(buffer).first(10)));
    EXPECT(co_await stream->send(bytes("x")));
    auto got = co_await stream->receive(buffer);
    EXPECT(got.status() == FERRY_E_CONNECTION_RESET);
    auto sent = co_await stream->send(bytes("y"));
    EXPECT(sent.status() == FERRY_E_CONNECTION_RESET || sent.status() == FERRY_E_BROKEN_PIPE);
    co_return "";
}

Task<Verdict> connect_refused() {
    ferry_address address = co_await closed_port();
    auto stream = co_await Stream::connect(address);
    EXPECT(stream.status() == FERRY_E_CONNECTION_REFUSED);
    co_return "";
}

Task<Verdict> connect_name() {
    auto stream = co_await Stream::connect("localhost", peer_address().port);
    EXPECT(stream);
    EXPECT(co_await stream->send(bytes("echo\n")));
    co_return co_await round_trips(*stream, 3, 1000);
}

Task<Verdict> name_resolve() {
    auto found = co_await resolve("localhost", 80);
    EXPECT(found && !found->as<ferry_address>().empty());
    const ferry_address &address = found->as<ferry_address>()[0];
    EXPECT(address.port == 80);
    EXPECT(address.family == FERRY_IPV4 ? address.bytes[0] == 127 : address.bytes[15] == 1);
    co_return "";
}

Task<Verdict> name_failed() {
    auto found = co_await resolve("nowhere.invalid", 80);
    EXPECT(found.status() == FERRY_E_NAME_NOT_FOUND || found.status() == FERRY_E_NAME_TRY_AGAIN ||
           found.status() == FERRY_E_NAME_FAILED);
    co_return "";
}

Task<Result<Stream>> accepts(const TcpListener &listener) {
    co_return co_await listener.accept();
}
Task<Result<Stream>> connects(ferry_address address) {
    co_return co_await Stream::connect(address);
}

bool same(const ferry_address &a, const ferry_address &b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}
Task<Verdict> socket() {
    auto listener = co_await listen();
    EXPECT(listener);
    auto [there, here] = co_await all(accepts(*listener), connects(address_of(*listener)));
    EXPECT(there && here);
    auto a = co_await here->local_address();
    auto b = co_await there->peer_address();
    EXPECT(a && b && same(*a, *b));
    auto c = co_await here->peer_address();
    auto d = co_await there->local_address();
    EXPECT(c && d && same(*c, *d));
    EXPECT(co_await here->set(FERRY_SOCKET_NO_DELAY, 1));
    auto impossible = co_await here->set(FERRY_SOCKET_KEEP_ALIVE, 1 << 20);
    EXPECT(impossible.status() == FERRY_E_INVALID);
    co_return "";
}

// ---- time and cancelling ------------------------------------------------------------------------

Task<Clock::time_point> wakes(Nanoseconds time) {
    (void)co_await sleep(time);
    co_return Clock::now();
}
Task<Verdict> sleep_two() {
    auto start = Clock::now();
    auto [shorter, longer] = co_await all(wakes(20ms), wakes(40ms));
    EXPECT(shorter - start >= 20ms && longer - start >= 40ms);
    EXPECT(shorter < longer);
    co_return "";
}

Task<Verdict> interval_five() {
    auto ticks = interval(2ms);
    std::size_t expired = 0;
    while (expired < 5) {
        auto tick = co_await ticks.next();
        EXPECT(tick && *tick >= 1);
        expired += *tick;
    }
    ticks.cancel();
    for (;;) {
        auto tick = co_await ticks.next();
        if (!tick) {
            EXPECT(tick.status() == FERRY_E_CANCELED);
            co_return "";
        }
    }
}

Task<Verdict> late(const Stream &stream) {
    std::array<std::byte, 16> buffer;
    auto got = co_await stream.receive(buffer);
    EXPECT(got && text_of(std::span(buffer).first(*got)) == "late\n");
    co_return "";
}

Task<Verdict> deadline() {
    auto stream = co_await peer("silent-then 200");
    EXPECT(stream);
    std::array<std::byte, 16> buffer;
    auto got = co_await stream->receive(buffer).within(20ms);
    EXPECT(got.status() == FERRY_E_TIMED_OUT && got.reusable());
    co_return co_await late(*stream);
}

Task<Verdict> cancel_before() {
    StopSource source;
    source.request_stop();
    auto slept = co_await with_stop(source, sleeps(1h));
    EXPECT(slept.status() == FERRY_E_CANCELED);
    co_return "";
}

Task<Verdict> cancel_during() {
    auto stream = co_await peer("silent-then 100");
    EXPECT(stream);
    std::array<std::byte, 16> buffer;
    StopSource source;
    auto stoppable = [&]() -> Task<Result<std::size_t>> {
        co_return co_await with_stop(source, receives(*stream, buffer));
    };
    auto [got, stopped] = co_await all(stoppable(), stops(source, 10ms));
    (void)stopped;
    EXPECT(got.status() == FERRY_E_CANCELED && got.reusable());
    co_return co_await late(*stream);
}

Task<Verdict> cancel_after() {
    StopSource source;
    auto loaded = co_await with_stop(source, []() -> Task<Result<LentBuffer>> {
        co_return co_await File::load("/proc/self/stat");
    }());
    source.request_stop();
    EXPECT(loaded && !loaded->empty());
    co_return "";
}

/** Into memory that is gone as soon as the receive has ended, whatever it came to. */
Task<> receive_and_forget(StreamRef stream, std::size_t size, Nanoseconds limit) {
    auto buffer = std::make_unique<std::byte[]>(size);
    auto operation = stream.receive(std::span(buffer.get(), size));
    if (limit.count() > 0)
        (void)co_await std::move(operation).within(limit);
    else
        (void)co_await std::move(operation);
}
Task<Verdict> dropped() {
    for (int i = 0; i < 100; ++i) {
        auto stream = co_await peer("bytes 100000");
        EXPECT(stream);
        auto moment = [] { return std::chrono::microseconds(1 + random_below(300)); };
        switch (i % 4) {
        case 0: // cancelled, having lost a race
            (void)co_await race(receive_and_forget(*stream, 50000, 0ns), sleeps(moment()));
            (void)co_await race(receive_and_forget(*stream, 50000, 0ns), sleeps(moment()));
            break;
        case 1: // timed out
            co_await receive_and_forget(*stream, 50000, moment());
            break;
        case 2: { // the stream closed under it
            auto closing = [&]() -> Task<> {
                (void)co_await sleep(moment());
                (void)co_await stream->close();
            };
            (void)co_await all(receive_and_forget(*stream, 50000, 0ns), closing());
            break;
        }
        default: { // a multishot receive dropped in its midst
            auto chunks = stream->chunks();
            (void)co_await chunks.next();
            break;
        }
        }
    }
    co_return "";
}

// ---- compositions -------------------------------------------------------------------------------

Task<Verdict> all_timers() {
    std::vector<Composition> timers;
    for (std::uint64_t i = 0; i < 3; ++i) {
        timers.emplace_back(sleep((30 - 10 * i) * 1ms));
        timers.back().request().tag = 100 + i;
    }
    Whole whole = co_await compose::all(timers[0], timers[1], timers[2]);
    EXPECT(whole.ok() && whole.children().size() == 3);
    for (std::uint64_t i = 0; i < 3; ++i)
        EXPECT(whole[i].tag == 100 + i && whole[i].status == FERRY_OK);
    co_return "";
}

Task<Verdict> race_timer() {
    auto stream = co_await peer("silent");
    EXPECT(stream);
    std::array<std::byte, 16> buffer;
    Whole whole = co_await compose::race(stream->receive(buffer), sleep(10ms));
    EXPECT(whole.ok() && whole.children().size() == 2);
    EXPECT((whole[1].flags & FERRY_WINNER) != 0);
    EXPECT(whole[0].status == FERRY_E_CANCELED);
    co_return "";
}

Task<Verdict> chain() {
    std::string path = scratch("chain");
    EXPECT(co_await File::store(path.c_str(), bytes("in one request")));
    std::array<std::byte, 64> buffer;
    auto file = compose::opened<FileRef>(0);
    Whole whole = co_await compose::chain(File::open(path.c_str(), FERRY_OPEN_READ),
                                          file.read(buffer, 0), file.close());
    EXPECT(whole.ok());
    EXPECT(text_of(std::span(buffer).first(static_cast<std::size_t>(whole[1].result))) ==
           "in one request");
    co_return "";
}

Task<Verdict> chain_failed() {
    std::array<std::byte, 64> buffer;
    auto file = compose::opened<FileRef>(0);
    Whole whole = co_await compose::chain(File::open(scratch("not there").c_str(), FERRY_OPEN_READ),
                                          file.read(buffer, 0), file.close());
    EXPECT(whole.status() == FERRY_E_NOT_FOUND);
    EXPECT(whole[1].status == FERRY_E_CANCELED && whole[2].status == FERRY_E_CANCELED);
    co_return "";
}

Task<Verdict> retry() {
    ferry_address address = co_await closed_port();
    auto start = Clock::now();
    Whole whole = co_await compose::retry(Stream::connect(address), 3, 10ms);
    EXPECT(whole.status() == FERRY_E_CONNECTION_REFUSED);
    EXPECT(Clock::now() - start >= 30ms);
    co_return "";
}

// ---- bounds -------------------------------------------------------------------------------------

/** A scenario for a loop that is made for it. */
Verdict run_on(std::unique_ptr<Loop> loop, Task<Verdict> task) {
    ENSURE(loop);
    auto verdict = loop->run_until(std::move(task));
    ENSURE(verdict);
    return *verdict;
}

Task<Verdict> fill_and_recover() {
    auto body = [](Scope &scope) -> Task<Verdict> {
        std::size_t canceled = 0;
        for (int i = 0; i < 7; ++i)
            scope.spawn(counts(1h, FERRY_E_CANCELED, canceled));
        StopSource source;
        auto last = [&]() -> Task<> {
            (void)co_await with_stop(source, counts(1h, FERRY_E_CANCELED, canceled));
        };
        scope.spawn(last());
        co_await yield(); // The eight begin.
        auto ninth = co_await nop();
        if (ninth.status() != FERRY_E_FULL)
            co_return "the ninth did not find it full";
        source.request_stop();
        Result<void> again = co_await nop();
        while (again.status() == FERRY_E_FULL) {
            co_await yield();
            again = co_await nop();
        }
        if (!again)
            co_return again.message();
        scope.stop();
        co_await scope.join();
        co_return canceled == 8 ? "" : "not each of the eight ended once";
    };
    co_return co_await with_scope(body);
}
Verdict queue_full() {
    EngineOptions engine = options();
    engine.ops_max = 8;
    return run_on(make_loop(engine), fill_and_recover());
}

Task<Verdict> many_sleeps(std::size_t count, Nanoseconds time) {
    std::size_t ended = 0;
    auto body = [&](Scope &scope) -> Task<> {
        for (std::size_t i = 0; i < count; ++i)
            scope.spawn(counts(time, FERRY_OK, ended));
        co_return;
    };
    co_await with_scope(body);
    EXPECT(ended == count);
    co_return "";
}
Verdict ring_small() {
    QueueOptions queue;
    queue.capacity = 8;
    return run_on(make_loop(options(), queue), many_sleeps(1000, 0ns));
}
Task<Verdict> ten_thousand() {
    return many_sleeps(10000, 20ms);
}
Task<Verdict> ten_thousand_cancelled() {
    std::size_t ended = 0;
    auto body = [&](Scope &scope) -> Task<> {
        for (std::size_t i = 0; i < 10000; ++i)
            scope.spawn(counts(1h, FERRY_E_CANCELED, ended));
        (void)co_await nop();
        scope.stop();
    };
    co_await with_scope(body);
    EXPECT(ended == 10000);
    co_return "";
}

// ---- handles ------------------------------------------------------------------------------------

Task<Verdict> close_pending() {
    auto stream = co_await peer("silent");
    EXPECT(stream);
    std::array<std::byte, 16> buffer;
    auto closes = [&]() -> Task<Result<void>> {
        (void)co_await sleep(5ms);
        co_return co_await stream->close();
    };
    auto [got, closed] = co_await all(receives(*stream, buffer), closes());
    EXPECT(got.status() == FERRY_E_CLOSED);
    EXPECT(closed);
    co_return "";
}

Task<Verdict> close_twice() {
    auto stream = co_await peer("silent");
    EXPECT(stream);
    EXPECT(co_await stream->close());
    EXPECT(co_await stream->close());
    std::array<std::byte, 16> buffer;
    auto got = co_await stream->receive(buffer);
    EXPECT(got.status() == FERRY_E_STALE);
    co_return "";
}

Task<Verdict> wrong_kind() {
    auto stream = co_await peer("silent");
    EXPECT(stream);
    std::array<std::byte, 16> buffer;
    FileRef file{{stream->id}};
    auto got = co_await file.read(buffer, 0);
    EXPECT(got.status() == FERRY_E_WRONG_KIND);
    co_return "";
}

Task<Verdict> use_foreign(ferry_handle handle) {
    StreamRef stream{{{handle}}};
    std::array<std::byte, 16> buffer;
    auto got = co_await stream.receive(buffer);
    EXPECT(got.status() == FERRY_E_FOREIGN);
    co_return "";
}
Task<Verdict> foreign() {
    auto stream = co_await peer("silent");
    EXPECT(stream);
    co_return run_on(make_loop(), use_foreign(stream->id));
}

// ---- threads ------------------------------------------------------------------------------------

/** Resumed by the loop's on_message: the loop sleeps until then. */
struct Arrival {
    std::coroutine_handle<> waiter;
    bool arrived = false;
    bool await_ready() const { return arrived; }
    void await_suspend(std::coroutine_handle<> handle) { waiter = handle; }
    void await_resume() const {}
    void arrive() {
        arrived = true;
        if (waiter)
            waiter.resume();
    }
};

Task<Verdict> wait_for(Arrival &arrival) {
    co_await arrival;
    co_return "";
}
Verdict post() {
    auto loop = make_loop();
    ENSURE(loop);
    Arrival arrival;
    std::int64_t count = 0;
    bool in_order = true;
    loop->on_message([&](const Message &message) {
        in_order = in_order && message.result == count && message.data == 3 * message.tag;
        if (++count == 10000)
            arrival.arrive();
    });
    std::thread sender([&] {
        for (std::int64_t i = 0; i < 10000; ++i) {
            auto number = static_cast<std::uint64_t>(i);
            while (loop->post({number, i, 3 * number}).status() == FERRY_E_FULL)
                std::this_thread::yield();
        }
    });
    auto verdict = loop->run_until(wait_for(arrival));
    sender.join();
    ENSURE(verdict && in_order && count == 10000);
    return *verdict;
}

Task<Verdict> produce(const ChannelRef &channel, int count) {
    for (int i = 0; i < count; ++i) {
        auto sent = co_await channel.send(i, 7);
        EXPECT(sent);
    }
    EXPECT(co_await channel.finish());
    co_return "";
}
Task<Verdict> consume(const ChannelRef &channel, int count) {
    for (int i = 0; i < count; ++i) {
        auto message = co_await channel.receive();
        EXPECT(message && message->result == i && message->data == 7);
    }
    auto end = co_await channel.receive();
    EXPECT(end.status() == FERRY_E_END);
    co_return "";
}
Task<Result<Channel>> open_channel(std::uint32_t capacity) {
    co_return co_await Channel::open(capacity);
}
Verdict channel() {
    auto engine = Engine::create({.shards = 1});
    ENSURE(engine);
    auto here = Loop::create(*engine);
    auto there = Loop::create(*engine);
    ENSURE(here && there);
    auto channel = (*here)->run_until(open_channel(4));
    ENSURE(channel);
    Verdict produced = "never ran";
    std::thread producer([&] {
        auto verdict = (*there)->run_until(produce(*channel, 1000));
        produced = verdict ? *verdict : verdict.message();
        there->reset();
    });
    auto verdict = (*here)->run_until(consume(*channel, 1000));
    producer.join();
    ENSURE(verdict);
    return *verdict + produced;
}

Task<Verdict> channel_rendezvous() {
    auto channel = co_await Channel::open(0);
    EXPECT(channel);
    bool received = false;
    auto sending = [&]() -> Task<Verdict> {
        auto sent = co_await channel->send(1);
        EXPECT(sent && received);
        co_return "";
    };
    auto receiving = [&]() -> Task<Verdict> {
        (void)co_await sleep(5ms);
        received = true;
        auto message = co_await channel->receive();
        EXPECT(message && message->result == 1);
        co_return "";
    };
    auto [sent, got] = co_await all(sending(), receiving());
    co_return sent + got;
}

// ---- files --------------------------------------------------------------------------------------

Task<Verdict> load_some(const std::vector<Bytes> &files, std::size_t &next) {
    while (next < files.size()) {
        std::size_t index = next++;
        auto loaded = co_await File::load(scratch("load-" + std::to_string(index)).c_str());
        EXPECT(loaded);
        EXPECT(std::ranges::equal(loaded->bytes(), files[index]));
    }
    co_return "";
}
Task<Verdict> file_load() {
    std::vector<Bytes> files;
    for (std::size_t i = 0; i < 200; ++i) {
        files.push_back(random_bytes(i == 0 ? 0 : random_below(100001)));
        std::FILE *file = std::fopen(scratch("load-" + std::to_string(i)).c_str(), "wb");
        EXPECT(file != nullptr);
        EXPECT(files[i].empty() || std::fwrite(files[i].data(), files[i].size(), 1, file) == 1);
        std::fclose(file);
    }
    std::size_t next = 0;
    std::vector<Task<Verdict>> loaders;
    for (int i = 0; i < 16; ++i)
        loaders.push_back(load_some(files, next));
    for (Verdict &verdict : co_await all(std::move(loaders)))
        PASS(verdict);
    auto missing = co_await File::load(scratch("missing").c_str());
    EXPECT(missing.status() == FERRY_E_NOT_FOUND);
    auto index =
        static_cast<std::size_t>(std::ranges::max_element(files, {}, &Bytes::size) - files.begin());
    auto large = co_await File::load(scratch("load-" + std::to_string(index)).c_str(),
                                     files[index].size() - 1);
    EXPECT(large.status() == FERRY_E_LIMIT);
    co_return "";
}

Task<Verdict> watch(const std::string &path, const Bytes &a, const Bytes &b, const bool &done) {
    while (!done) {
        auto loaded = co_await File::load(path.c_str());
        EXPECT(loaded);
        EXPECT(std::ranges::equal(loaded->bytes(), a) || std::ranges::equal(loaded->bytes(), b));
    }
    co_return "";
}
Task<Verdict> replace(const std::string &path, const Bytes &a, const Bytes &b, bool &done) {
    for (int i = 0; i < 10; ++i) {
        auto stored = co_await File::store(path.c_str(), i % 2 == 0 ? b : a);
        if (!stored) {
            done = true;
            co_return stored.message();
        }
    }
    done = true;
    co_return "";
}
Task<Verdict> file_store() {
    std::string path = scratch("stored");
    Bytes a = random_bytes(30000), b = random_bytes(50000);
    auto stored = co_await File::store(path.c_str(), a);
    EXPECT(stored && *stored == a.size());
    bool done = false;
    auto [watched, replaced] = co_await all(watch(path, a, b, done), replace(path, a, b, done));
    PASS(watched + replaced);
    auto nowhere = co_await File::store(scratch("no folder/stored").c_str(), a);
    EXPECT(nowhere.status() == FERRY_E_NOT_FOUND);
    co_return "";
}

Task<Verdict> file_io() {
    auto file = co_await File::open(scratch("io").c_str(),
                                    FERRY_OPEN_READ | FERRY_OPEN_WRITE | FERRY_OPEN_CREATE);
    EXPECT(file);
    Bytes head = random_bytes(100), tail = random_bytes(200), back(10200);
    EXPECT(co_await file->write(head, 0));
    EXPECT(co_await file->write(tail, 10000));
    auto got = co_await file->read(back, 0);
    EXPECT(got && *got == 10200);
    Bytes wanted(10200);
    std::ranges::copy(head, wanted.begin());
    std::ranges::copy(tail, wanted.begin() + 10000);
    EXPECT(back == wanted);
    auto info = co_await file->stat();
    EXPECT(info && info->size == 10200 && info->type == FERRY_FILE_REGULAR);
    EXPECT(co_await file->truncate(50));
    EXPECT(co_await file->sync());
    auto end = co_await file->read(back, 50);
    EXPECT(end && *end == 0);
    EXPECT(co_await file->close());
    auto named = co_await File::stat(scratch("io").c_str());
    EXPECT(named && named->size == 50);
    co_return "";
}

Task<Verdict> copy_file() {
    Bytes data = random_bytes(1000000);
    std::string path = scratch("copied");
    EXPECT(co_await File::store(path.c_str(), data));
    auto file = co_await File::open(path.c_str(), FERRY_OPEN_READ);
    auto stream = co_await peer("count");
    EXPECT(file && stream);
    auto copied = co_await copy(*file, *stream);
    EXPECT(copied && *copied == data.size());
    co_return co_await counted(*stream, data);
}

// ---- the end of engines -------------------------------------------------------------------------

bool ended_early(ferry_status status) {
    return status == FERRY_E_SHUTDOWN || status == FERRY_E_CANCELED || status == FERRY_E_CLOSED;
}
Task<> count_ended(Result<void> result, std::size_t &count) {
    count += ended_early(result.status()) ? 1 : 0;
    co_return;
}
Task<> pend_sleep(std::size_t &count) {
    co_await count_ended(co_await sleep(1h), count);
}
Task<> pend_receive(const Stream &stream, std::size_t &count) {
    std::array<std::byte, 16> buffer;
    auto got = co_await stream.receive(buffer);
    co_await count_ended(got.error(), count);
}
Task<> pend_channel(const Channel &channel, std::size_t &count) {
    auto got = co_await channel.receive();
    co_await count_ended(got.error(), count);
}
Task<> pend_race(std::size_t &count) {
    Whole whole = co_await compose::race(sleep(1h), sleep(2h));
    co_await count_ended(whole.error(), count);
}
Task<Verdict> shutdown_now() {
    Loop &loop = co_await this_loop();
    std::vector<Stream> streams;
    for (int i = 0; i < 100; ++i) {
        auto stream = co_await peer("silent");
        EXPECT(stream);
        streams.push_back(std::move(*stream));
    }
    auto channel = co_await Channel::open(1);
    EXPECT(channel);
    std::size_t ended = 0;
    auto body = [&](Scope &scope) -> Task<Verdict> {
        for (const Stream &stream : streams)
            scope.spawn(pend_receive(stream, ended));
        for (int i = 0; i < 300; ++i) {
            scope.spawn(pend_sleep(ended));
            scope.spawn(pend_channel(*channel, ended));
            scope.spawn(pend_race(ended));
        }
        (void)co_await nop();
        EXPECT(loop.shutdown());
        co_return "";
    };
    PASS(co_await with_scope(body));
    EXPECT(ended == 1000);
    co_return "";
}

Task<Verdict> use_after_shutdown() {
    Loop &loop = co_await this_loop();
    auto stream = co_await peer("silent");
    EXPECT(stream);
    EXPECT(loop.shutdown());
    auto gone = [](ferry_status status) {
        return status == FERRY_E_SHUTDOWN || status == FERRY_E_STALE;
    };
    std::array<std::byte, 16> buffer;
    EXPECT(gone((co_await stream->receive(buffer)).status()));
    EXPECT(gone((co_await stream->send(bytes("x"))).status()));
    EXPECT(gone((co_await stream->close()).status()));
    EXPECT(gone((co_await sleep(0ns)).status()));
    EXPECT(gone((co_await File::load("/dev/null")).status()));
    Whole whole = co_await compose::all(nop());
    EXPECT(gone(whole.status()));
    auto chunks = stream->chunks();
    EXPECT(gone((co_await chunks.next()).status()));
    EXPECT(loop.shutdown());
    co_return "";
}
Verdict after_shutdown() {
    auto loop = make_loop();
    ENSURE(loop);
    auto verdict = loop->run_until(use_after_shutdown());
    ENSURE(verdict);
    auto again =
        loop->run_until([]() -> Task<ferry_status> { co_return (co_await nop()).status(); }());
    ENSURE(again ? *again == FERRY_E_SHUTDOWN : again.status() == FERRY_E_SHUTDOWN);
    return *verdict;
}

Verdict two_engines() {
    auto server = make_loop(), client = make_loop();
    ENSURE(server && client);
    auto listener = server->run_until(listen());
    ENSURE(listener);
    ferry_address address = address_of(*listener);
    Verdict asked = "never ran";
    std::thread other([&] {
        auto verdict = client->run_until(echo_client(address));
        asked = verdict ? *verdict : verdict.message();
        client.reset();
    });
    auto served = server->run_until(echo_once(*listener));
    other.join();
    ENSURE(served);
    return *served + asked;
}

Verdict wrong_thread() {
    auto loop = make_loop();
    ENSURE(loop && loop->run_until(sleeps(0ns)));
    Verdict verdict;
    std::thread other([&] {
        if (loop->run_until(sleeps(0ns)).status() != FERRY_E_WRONG_THREAD ||
            loop->step(0ns).status() != FERRY_E_WRONG_THREAD ||
            loop->spawn(sleeps(0ns)).status() != FERRY_E_WRONG_THREAD)
            verdict = "another thread was let in";
    });
    other.join();
    return verdict;
}

Task<Verdict> collected() {
    auto listener = co_await listen();
    EXPECT(listener);
    std::string path = scratch("collected");
    EXPECT(co_await File::store(path.c_str(), bytes("x")));
    Loop &loop = co_await this_loop();
    std::uint64_t before = loop.info().handles_open;
    {
        std::vector<Stream> streams;
        std::vector<File> files;
        for (int i = 0; i < 100; ++i) {
            auto [there, here] = co_await all(accepts(*listener), connects(address_of(*listener)));
            EXPECT(there && here);
            streams.push_back(std::move(*there));
            streams.push_back(std::move(*here));
        }
        for (int i = 0; i < 200; ++i) {
            auto file = co_await File::open(path.c_str(), FERRY_OPEN_READ);
            EXPECT(file);
            files.push_back(std::move(*file));
        }
        EXPECT(loop.info().handles_open == before + 400);
    }
    for (int i = 0; i < 5000 && loop.info().handles_open != before; ++i)
        (void)co_await sleep(1ms);
    EXPECT(loop.info().handles_open == before);
    co_return "";
}

/** How a child process ended that ran this. */
template <class Run> int in_child(Run run) {
    std::fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        _exit(run());
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

Verdict forked() {
    auto loop = make_loop();
    ENSURE(loop && loop->run_until(sleeps(0ns)));
    int code = in_child([&] {
        auto slept = loop->run_until(sleeps(0ns));
        bool right = slept.status() == FERRY_E_FORKED &&
                     loop->step(0ns).status() == (options().shards ? FERRY_OK : FERRY_E_FORKED);
        loop.reset();
        return right ? 7 : 8;
    });
    ENSURE(code == 7);
    ENSURE(loop->run_until(sleeps(0ns)));
    return "";
}

Task<Verdict> leave() {
    Loop &loop = co_await this_loop();
    for (int i = 0; i < 100; ++i)
        (void)loop.spawn(sleeps(1h));
    (void)co_await nop();
    std::exit(7);
}
Verdict exit_at_once() {
    int code = in_child([] {
        auto loop = make_loop();
        (void)loop->run_until(leave());
        return 8;
    });
    ENSURE(code == 7);
    return "";
}

// ---- the table ----------------------------------------------------------------------------------

/** Nothing is in flight, open or lent any more; what a discard closes may take a moment. */
Task<Verdict> nothing_left() {
    Loop &loop = co_await this_loop();
    for (int i = 0; i < 5000; ++i) {
        ferry_engine_info info = loop.info();
        if (info.ops_in_flight == 0 && info.handles_open == 0 && info.buffers_lent == 0 &&
            info.buffer_bytes_lent == 0)
            co_return "";
        (void)co_await sleep(1ms);
    }
    co_return "something is left";
}

template <Task<Verdict> (*scenario)()> Verdict on_loop() {
    auto loop = make_loop();
    ENSURE(loop);
    auto verdict = loop->run_until(scenario());
    ENSURE(verdict);
    if (!verdict->empty())
        return *verdict;
    auto left = loop->run_until(nothing_left());
    return left ? *left : left.message();
}

const std::vector<std::pair<std::string, Verdict (*)()>> scenarios = {
    {"echo", on_loop<echo>},
    {"echo-many", on_loop<echo_many>},
    {"receive-short", on_loop<receive_short>},
    {"receive-exactly", on_loop<receive_exactly>},
    {"receive-until", on_loop<receive_until>},
    {"receive-lent", on_loop<receive_lent>},
    {"send-large", on_loop<send_large>},
    {"send-vectored", on_loop<send_vectored>},
    {"backpressure", on_loop<backpressure>},
    {"half-close", on_loop<half_close>},
    {"peer-reset", on_loop<peer_reset>},
    {"connect-refused", on_loop<connect_refused>},
    {"connect-name", on_loop<connect_name>},
    {"name-resolve", on_loop<name_resolve>},
    {"name-failed", on_loop<name_failed>},
    {"socket", on_loop<socket>},
    {"sleep", on_loop<sleep_two>},
    {"interval", on_loop<interval_five>},
    {"deadline", on_loop<deadline>},
    {"cancel-before", on_loop<cancel_before>},
    {"cancel-during", on_loop<cancel_during>},
    {"cancel-after", on_loop<cancel_after>},
    {"dropped", on_loop<dropped>},
    {"all", on_loop<all_timers>},
    {"race", on_loop<race_timer>},
    {"chain", on_loop<chain>},
    {"chain-failed", on_loop<chain_failed>},
    {"retry", on_loop<retry>},
    {"queue-full", queue_full},
    {"ring-small", ring_small},
    {"ten-thousand", on_loop<ten_thousand>},
    {"ten-thousand-cancelled", on_loop<ten_thousand_cancelled>},
    {"close-pending", on_loop<close_pending>},
    {"close-twice", on_loop<close_twice>},
    {"wrong-kind", on_loop<wrong_kind>},
    {"foreign", on_loop<foreign>},
    {"post", post},
    {"channel", channel},
    {"channel-rendezvous", on_loop<channel_rendezvous>},
    {"file-load", on_loop<file_load>},
    {"file-store", on_loop<file_store>},
    {"file-io", on_loop<file_io>},
    {"copy", on_loop<copy_file>},
    {"shutdown-load", []() -> Verdict { return run_on(make_loop(), shutdown_now()); }},
    {"after-shutdown", after_shutdown},
    {"two-engines", two_engines},
    {"wrong-thread", wrong_thread},
    {"collected", on_loop<collected>},
    {"forked", forked},
    {"exit", exit_at_once},
};

} // namespace

int main(int argc, char **argv) {
    std::vector<std::string> chosen(argv + 1, argv + argc);
    bool failed = false;
    for (const auto &[name, run] : scenarios) {
        if (!chosen.empty() && std::ranges::find(chosen, name) == chosen.end())
            continue;
        Verdict verdict = run();
        bool passed = verdict.empty();
        failed = failed || !passed;
        std::printf("%s %s%s\n", name.c_str(), passed ? "ok" : "FAIL ", verdict.c_str());
        std::fflush(stdout);
    }
    return failed ? 1 : 0;
}
