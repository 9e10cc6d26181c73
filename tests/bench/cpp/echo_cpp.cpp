/**
 * @file
 * Echo server on ferry.hpp, host-driven: a coroutine for each connection.
 *
 *     echo_cpp own|lent      into a buffer in the coroutine's frame, or lent when bytes arrive
 */
#include "ferry.hpp"
#include "support.h"

#include <array>
#include <cstdio>
#include <cstring>

using namespace ferry;

static Task<> echo_own(Stream stream) {
    std::array<std::byte, 16384> buffer;
    for (;;) {
        auto got = co_await stream.receive(buffer);
        if (!got || *got == 0)
            co_return;
        auto sent = co_await stream.send(std::span(buffer).first(*got));
        if (!sent)
            co_return;
    }
}

static Task<> echo_lent(Stream stream) {
    auto chunks = stream.chunks();
    for (;;) {
        auto chunk = co_await chunks.next();
        if (!chunk || chunk->empty())
            co_return;
        auto sent = co_await stream.send(chunk->bytes());
        if (!sent)
            co_return;
    }
}

static Task<> serve(bool lent) {
    auto listener = co_await TcpListener::listen(*parse_address("127.0.0.1", 0));
    if (!listener)
        bench_die("listen: %s", listener.message());
    std::printf("port %d\n", listener->port);
    std::fflush(stdout);
    auto incoming = listener->incoming();
    Loop &loop = co_await this_loop();
    for (;;) {
        auto stream = co_await incoming.next();
        if (!stream)
            bench_die("accept: %s", stream.message());
        (void)loop.spawn(lent ? echo_lent(std::move(*stream)) : echo_own(std::move(*stream)));
    }
}

int main(int argc, char **argv) {
    bench_start(120);
    auto loop = Loop::create();
    if (!loop)
        bench_die("no loop");
    auto ended = (*loop)->run_until(serve(argc > 1 && std::strcmp(argv[1], "lent") == 0));
    bench_die("ended: %s", ended.message());
}
