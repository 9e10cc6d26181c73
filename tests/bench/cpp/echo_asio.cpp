/** @file Echo server on asio's C++20 coroutines, one thread. */
#include "support.h"

#include <array>
#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <cstdio>

using asio::ip::tcp;

static asio::awaitable<void> echo(tcp::socket socket) {
    std::array<char, 16384> buffer;
    asio::error_code error;
    auto told = asio::redirect_error(asio::use_awaitable, error);
    for (;;) {
        std::size_t got = co_await socket.async_read_some(asio::buffer(buffer), told);
        if (error)
            co_return;
        co_await asio::async_write(socket, asio::buffer(buffer.data(), got), told);
        if (error)
            co_return;
    }
}

static asio::awaitable<void> serve(tcp::acceptor acceptor) {
    for (;;) {
        tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
        socket.set_option(tcp::no_delay(true));
        asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
    }
}

int main() {
    bench_start(120);
    asio::io_context context(1);
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    std::printf("port %d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(context, serve(std::move(acceptor)), asio::detached);
    context.run();
}
