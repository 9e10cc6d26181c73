// Receiving up to a delimiter. What arrives is gathered in the stream's rest and handed out from there, piece
// by piece: so nothing is lost, however it ends.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

#include <cstring>

namespace ferry::ops {

namespace {

// What must come before it can go on.
enum class Next { data, room, memory, turn, nothing };

// After so many pieces others have their turn.
constexpr uint32_t kPiecesAtOnce = 64;

// Where the first delimiter ends, 0 = there is none. The bytes before searched are not the last of one.
size_t find(const char *data, size_t size, size_t searched,
            const ferry_receive_until_params &until) {
    size_t length = until.delimiter_size;
    uint8_t last = until.delimiter[length - 1];
    for (size_t at = searched; at < size;) {
        const void *found = std::memchr(data + at, last, size - at);
        if (found == nullptr)
            return 0;
        at = static_cast<size_t>(static_cast<const char *>(found) - data) + 1;
        if (length == 1 ||
            (at >= length && std::memcmp(data + at - length, until.delimiter, length) == 0))
            return at;
    }
    return 0;
}

class Pieces {
  public:
    Pieces(Op *op, driver::Socket &socket) : op_(op), socket_(socket) {}

    // nothing: what is how it ends.
    Next next(Ending *what) noexcept {
        if (op_->interrupted != 0)
            return end(interrupted(op_), what);
        if (gathering_ && !gathered(what))
            return socket_.receive.outcome.status == FERRY_E_FULL ? hungry() : Next::nothing;
        if ((op_->flags & FERRY_MULTISHOT) != 0)
            return hand_out_counted(what);
        size_t size;
        if (Next obstacle = look(&size, what); obstacle != Next::turn)
            return obstacle;
        return take(size, what);
    }

  private:
    static Next end(const Ending &how, Ending *what) {
        *what = how;
        return Next::nothing;
    }

    Next hungry() {
        op_->shard().note_hunger();
        return Next::memory;
    }

    Next gather(size_t searched) {
        searched_ = searched;
        gathering_ = true;
        op_->shard().settle_rest(socket_);
        driver::Receive &receive = socket_.receive;
        receive.gather = true;
        receive.memory = nullptr;
        receive.size = op_->params.receive_until.size;
        receive.buffer = 0;
        return Next::data;
    }

    // False: nothing more has come.
    bool gathered(Ending *what) {
        gathering_ = false;
        const driver::Outcome &outcome = socket_.receive.outcome;
        if (outcome.result > 0)
            return true;
        *what = failure(op_, outcome);
        if (outcome.status != FERRY_OK && outcome.os_error == 0)
            what->flags = FERRY_REUSABLE;
        if (outcome.status == FERRY_OK && Shard::rest(socket_).size != 0)
            *what = {.status = FERRY_E_END, .flags = FERRY_REUSABLE};
        return false;
    }

    // turn: a piece of so many bytes is there.
    Next look(size_t *size, Ending *what) {
        driver::Span rest = Shard::rest(socket_);
        const ferry_receive_until_params &until = op_->params.receive_until;
        size_t most = rest.size < until.size ? rest.size : until.size;
        *size = find(static_cast<const char *>(rest.data), most, searched_, until);
        if (*size != 0)
            return Next::turn;
        if (most == until.size)
            return end({.status = FERRY_E_LIMIT, .flags = FERRY_REUSABLE}, what);
        return gather(most);
    }

    Next no_buffer(int32_t status, Ending *what) {
        return status == FERRY_E_FULL ? hungry() : end({.status = status}, what);
    }

    // The one piece.
    Next take(size_t size, Ending *what) {
        Shard &shard = op_->shard();
        *what = {.result = static_cast<int64_t>(size)};
        if ((op_->flags & FERRY_LEND) == 0) {
            std::memcpy(op_->params.receive_until.buffer, Shard::rest(socket_).data, size);
        } else {
            Shard::Lent lent;
            if (int32_t status = shard.lend_rest(socket_, size, &lent))
                return no_buffer(status, what);
            what->data = lent.data;
            what->buffer = lent.buffer;
            what->flags = FERRY_BUFFER;
        }
        shard.drop_rest(socket_, size);
        shard.traffic().received.add(size);
        return Next::nothing;
    }

    Next hand_out_counted(Ending *what) {
        size_t before = Shard::rest(socket_).size;
        Next next = hand_out(what);
        op_->shard().traffic().received.add(before - Shard::rest(socket_).size);
        return next;
    }

    // Pieces as long as there are any; their completions differ in their bytes only.
    Next hand_out(Ending *what) {
        Shard &shard = op_->shard();
        ferry_completion piece = shard.more_of(*op_, {.flags = FERRY_BUFFER});
        for (uint32_t i = 0; i < kPiecesAtOnce; ++i) {
            size_t size;
            if (Next obstacle = look(&size, what); obstacle != Next::turn)
                return obstacle;
            Shard::Lent lent;
            if (int32_t status = shard.lend_rest(socket_, size, &lent))
                return no_buffer(status, what);
            piece.result = static_cast<int64_t>(size);
            piece.data = lent.data;
            piece.buffer = lent.buffer;
            if (!shard.emit(op_, piece)) {
                shard.unlend(lent.buffer); // It is looked for again when there is room.
                return Next::room;
            }
            shard.drop_rest(socket_, size);
            searched_ = 0;
        }
        return Next::turn;
    }

    Op *op_;
    driver::Socket &socket_;
    size_t searched_ = 0; // Of the rest: no delimiter ends there.
    bool gathering_ = false;
};

} // namespace

Operation stream_receive_until(Op *op) {
    Hold hold(op);
    if (int32_t status = hold.read(op))
        co_return Ending{.status = status};
    Pieces pieces(op, hold.socket());
    for (;;) {
        Ending what;
        switch (pieces.next(&what)) {
        case Next::nothing:
            co_return what;
        case Next::data:
            co_await GatherWait(op, hold.socket());
            break;
        case Next::room:
            co_await room(op);
            break;
        case Next::memory:
            co_await coro::ListWait(*op, op->shard().memory());
            break;
        case Next::turn:
            co_await YieldWait(op);
            break;
        }
    }
}

} // namespace ferry::ops
