/**
 * @file
 * An echo server: a task for each connection, one thread for all of them.
 *
 *     echo_server [port]         serves until it is killed; port 0: the system chooses
 *     echo_server --selftest     serves a hundred clients of its own, then stops
 */
#include <ferry.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace ferry;

static Task<> serve(Stream stream) {
    std::array<std::byte, 16384> buffer;
    for (;;) {
        auto got = co_await stream.receive(buffer);
        if (!got || *got == 0)
            co_return; // Its destructor closes the stream.
        auto sent = co_await stream.send(std::span(buffer).first(*got));
        if (!sent)
            co_return;
    }
}

/** Until it is asked to stop; the scope then stops its connections, and waits for them. */
static Task<> accept_all(TcpListener listener) {
    auto body = [&listener](Scope &connections) -> Task<> {
        auto incoming = listener.incoming();
        for (;;) {
            auto stream = co_await incoming.next();
            if (stream)
                connections.spawn(serve(std::move(*stream)));
            else if (stream.status() != FERRY_E_NO_DESCRIPTORS)
                co_return;
        }
    };
    co_await with_scope(body);
}

static Task<bool> ask(ferry_address address) {
    auto stream = co_await Stream::connect(address);
    if (!stream)
        co_return false;
    auto sent = co_await stream->send(bytes("hello"));
    if (!sent)
        co_return false;
    std::array<std::byte, 5> back;
    auto got = co_await stream->receive_exactly(back);
    co_return got.ok() && std::memcmp(back.data(), "hello", 5) == 0;
}

static Task<int> ask_all(ferry_address address) {
    std::vector<Task<bool>> clients;
    for (int i = 0; i < 100; ++i)
        clients.push_back(ask(address));
    int answered = 0;
    for (bool right : co_await all(std::move(clients)))
        answered += right ? 1 : 0;
    co_return answered;
}

static Task<int> run(std::uint16_t port, bool selftest) {
    auto listener = co_await TcpListener::listen(*parse_address("127.0.0.1", port));
    if (!listener) {
        std::fprintf(stderr, "listen: %s\n", listener.message());
        co_return 1;
    }
    std::printf("port %d\n", listener->port);
    std::fflush(stdout);
    auto address = *parse_address("127.0.0.1", listener->port);
    if (!selftest) {
        co_await accept_all(std::move(*listener));
        co_return 1;
    }
    auto first = co_await race(accept_all(std::move(*listener)), ask_all(address));
    int answered = first.index() == 1 ? std::get<1>(first) : 0;
    std::printf("%d of 100 clients were answered\n", answered);
    co_return answered == 100 ? 0 : 1;
}

int main(int argc, char **argv) {
    bool selftest = argc > 1 && std::strcmp(argv[1], "--selftest") == 0;
    auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 7000);
    auto loop = Loop::create();
    if (!loop)
        return 1;
    auto code = (*loop)->run_until(run(selftest ? std::uint16_t{0} : port, selftest));
    return code ? *code : 1;
}
