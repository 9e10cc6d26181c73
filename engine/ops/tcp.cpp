// TCP: listen, accept, connect.
#include "ops/accept.hpp"
#include "ops/registry.hpp"
#include "ops/waits.hpp"
#include "runtime/engine.hpp"

#include <utility>

namespace ferry::ops {

Operation tcp_listen(Op *op) {
    if (op->shard().handles().full())
        co_return Ending{.status = FERRY_E_NO_HANDLES};
    const ferry_listen_params &listen = op->params.listen;
    auto backlog = static_cast<uint32_t>(listen.backlog != 0 ? listen.backlog : 511);
    bool reuse_port = (op->flags & FERRY_REUSE_PORT) != 0;
    driver::Socket *socket;
    driver::Outcome outcome =
        op->shard().driver().listen(listen.address, backlog, reuse_port, &socket);
    if (outcome.status != FERRY_OK)
        co_return failure(op, outcome);
    socket->accept.spread = (op->flags & FERRY_SPREAD) != 0;
    uint64_t handle = op->shard().handles().add(socket, Kind::listener);
    co_return Ending{.result = outcome.result, .handle = handle};
}

namespace {

// A connection that was accepted and has no handle yet: the last one may have gone to somebody else
// while the accept waited. Nobody knows of it, so it is closed with the operation.
class Nameless {
  public:
    explicit Nameless(Shard &shard) : shard_(shard) {}
    ~Nameless() {
        if (socket_ != nullptr)
            shard_.driver().close(*socket_);
    }
    Nameless(const Nameless &) = delete;
    Nameless &operator=(const Nameless &) = delete;

    bool there() const noexcept { return socket_ != nullptr; }

    Ending take(const Op *op, const driver::Socket &listener) noexcept {
        if (listener.accept.outcome.status != FERRY_OK)
            return failure(op, listener.accept.outcome);
        socket_ = listener.accept.socket;
        shard_.note_accepted();
        return name();
    }
    Ending name() noexcept {
        if (shard_.handles().full())
            return {.status = FERRY_E_NO_HANDLES};
        return {.handle = shard_.handles().add(std::exchange(socket_, nullptr), Kind::stream)};
    }

  private:
    Shard &shard_;
    driver::Socket *socket_ = nullptr;
};

} // namespace

// Shutdown, or a host that guessed its handle, may have closed it already.
static void close_untold(Op *op, uint64_t handle) {
    HandleSlot *slot;
    if (handle != 0 && op->shard().look_up(handle, &slot) == FERRY_OK)
        op->shard().close(*slot, nullptr);
}

static Operation accept_here(Op *op) {
    Hold hold(op);
    if (int32_t status = hold.read(op))
        co_return Ending{.status = status};
    bool multishot = (op->flags & FERRY_MULTISHOT) != 0;
    Nameless connection(op->shard());
    bool told = false; // That there is no room for a connection.
    Ending what;
    for (;;) {
        what = {.status = FERRY_E_NO_HANDLES};
        if (connection.there()) {
            what = connection.name();
        } else if (!op->shard().handles().full()) {
            hold.socket().accept.again = multishot;
            co_await AcceptWait(op, hold.socket());
            what = connection.take(op, hold.socket());
        }
        if (op->interrupted != 0 && what.status != FERRY_OK) {
            what = interrupted(op);
            break;
        }
        if (!multishot || (what.status != FERRY_OK && !passes(what.status))) {
            what.flags = what.status != FERRY_OK ? FERRY_REUSABLE : 0;
            break;
        }
        // A connection is told of, an obstacle once. A connection that finds the queue full waits
        // here; if the accept ends meanwhile, it is closed like every one that nobody reaped.
        while ((what.handle != 0 || !told) && !op->shard().emit(op, what)) {
            co_await room(op);
            if (op->interrupted == 0)
                continue;
            close_untold(op, what.handle);
            break;
        }
        told = what.handle == 0;
        if (told)
            co_await SleepWait(op, op->shard().now_ns() + kAcceptPauseNs);
        if (op->interrupted != 0) {
            what = interrupted(op);
            break;
        }
    }
    if (multishot)
        co_await StopAccept(op, hold.socket());
    co_return what;
}

Operation tcp_accept(Op *op) {
    if (is_part_of_accept(*op))
        return accept_next(op);
    HandleSlot *slot;
    bool spread = op->shard().look_up(op->target, &slot) == FERRY_OK &&
                  static_cast<driver::Socket *>(slot->resource)->accept.spread &&
                  op->shard().engine().shard_count() > 1;
    return spread ? accept_spread(op) : accept_here(op);
}

Operation tcp_connect(Op *op) {
    driver::Connect connect;
    connect.address = op->params.connect.address;
    connect.local = op->params.connect.local;
    co_await ConnectWait(op, connect);
    if (connect.outcome.status != FERRY_OK)
        co_return failure(op, connect.outcome);
    if (op->shard().handles().full()) {
        op->shard().driver().close(*connect.socket);
        co_return Ending{.status = FERRY_E_NO_HANDLES};
    }
    uint64_t handle = op->shard().handles().add(connect.socket, Kind::stream);
    co_return Ending{.handle = handle};
}

} // namespace ferry::ops
