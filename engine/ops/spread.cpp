// Accepting for all shards: connections of one listener go to the shards by turns.
//
// The listener's shard accepts; a descriptor travels; the shard that will own the connection makes its
// handle. All of it is children of the accept: one takes connections from the listener, the others each
// adopt one, there. So cancel, deadline, close and shutdown are those of compositions, and the accept
// alone speaks to the queue: its completions have one order and one end.
#include "ops/accept.hpp"
#include "ops/waits.hpp"
#include "runtime/engine.hpp"

#include <utility>

namespace ferry::ops {

// The child that takes the next connection from the listener, which its parent holds. Its completion's data
// is the driver's socket: it has no handle yet.
Operation accept_next(Op *op) {
    auto &listener = *reinterpret_cast<driver::Socket *>(op->params.words[0]);
    listener.accept.again = op->params.words[1] != 0;
    co_await AcceptWait(op, listener);
    if (listener.accept.outcome.status != FERRY_OK)
        co_return failure(op, listener.accept.outcome);
    co_return Ending{.data = listener.accept.socket};
}

namespace {

constexpr uint32_t kTravellers = Transit::kMax;

struct Travellers final : Transit {
    Child children[1 + kTravellers]; // The first one accepts.
    ferry_completion completions[1 + kTravellers];
};

class Spread {
  public:
    Spread(Op *op, driver::Socket &listener, Travellers &travellers);
    ~Spread();
    Spread(const Spread &) = delete;
    Spread &operator=(const Spread &) = delete;

    bool open() const noexcept { return open_; }
    // No further one is accepted.
    void stop() noexcept { open_ = false; }
    // Accept the next one, if it can be sent on, and send on those that found no place. Not FERRY_OK: there
    // is no place for any.
    int32_t go_on() noexcept;
    // What a child's end means: a new handle, or why there is none; neither: the connection is on its way.
    Ending settle(const Child &child) noexcept;

    Group group;

  private:
    Shard *next_place() noexcept;
    Ending accepted(driver::Socket *socket) noexcept;
    void send(uint32_t index, Shard &place) noexcept;
    void drop(uint32_t index) noexcept;
    void start(uint32_t child, Shard *place) noexcept;
    bool under_way(uint32_t child) const noexcept { return (under_way_ >> child & 1) != 0; }
    int64_t &descriptor(uint32_t index) noexcept { return travellers_.descriptors[index]; }

    Op *op_;
    driver::Socket &listener_;
    Travellers &travellers_;
    bool open_ = true;
    // Started and not settled: one that has ended may still wait for settle().
    uint32_t under_way_ = 0; // A bit for each child.
};

Spread::Spread(Op *op, driver::Socket &listener, Travellers &travellers)
    : group(op, {travellers.children, 1 + kTravellers}), op_(op), listener_(listener),
      travellers_(travellers) {
    for (uint32_t i = 0; i <= kTravellers; ++i) {
        Child &child = travellers.children[i];
        child.child = true;
        child.number = own_child_number(*op, i);
        child.parent = op;
        child.completion = &travellers.completions[i];
        child.request.opcode = i == 0 ? FERRY_OP_TCP_ACCEPT : FERRY_OP_DESCRIPTOR_ADOPT;
        child.request.tag = op->tag;
    }
    ferry_request &accept = travellers.children[0].request;
    accept.target = op->target;
    accept.params.words[0] = reinterpret_cast<uintptr_t>(&listener);
    accept.params.words[1] = op->flags & FERRY_MULTISHOT;
    travellers.size = sizeof travellers;
    op->shard().keep_in_mind(travellers);
}

// All children are back.
Spread::~Spread() {
    for (uint32_t i = 0; i < kTravellers; ++i)
        drop(i);
    Shard::forget(travellers_);
    op_->shard().allocator().destroy(&travellers_);
}

void Spread::drop(uint32_t index) noexcept {
    os::close_descriptor(std::exchange(descriptor(index), -1));
}

// The next one in turn that has a handle to give; null: none has.
Shard *Spread::next_place() noexcept {
    Engine &engine = op_->shard().engine();
    for (uint32_t i = 0; i < engine.shard_count(); ++i) {
        Shard &shard = engine.shard(listener_.accept.turn++ % engine.shard_count());
        if (shard.has_handles())
            return &shard;
    }
    return nullptr;
}

void Spread::start(uint32_t child, Shard *place) noexcept {
    under_way_ |= 1u << child;
    group.start(travellers_.children[child], place);
}

void Spread::send(uint32_t index, Shard &place) noexcept {
    ferry_request &adopt = travellers_.children[1 + index].request;
    adopt.params.adopt = {.descriptor = descriptor(index), .kind = driver::kAcceptedStream};
    start(1 + index, &place);
}

int32_t Spread::go_on() noexcept {
    bool idle = false;
    for (uint32_t i = 0; i < kTravellers; ++i) {
        if (under_way(1 + i))
            continue;
        if (descriptor(i) < 0) {
            idle = true;
            continue;
        }
        Shard *place = next_place();
        if (place == nullptr)
            return FERRY_E_NO_HANDLES;
        send(i, *place);
    }
    if (!idle || under_way(0))
        return FERRY_OK;
    const Engine &engine = op_->shard().engine();
    bool any = false;
    for (uint32_t i = 0; i < engine.shard_count() && !any; ++i)
        any = engine.shard(i).has_handles();
    if (!any)
        return FERRY_E_NO_HANDLES;
    start(0, nullptr);
    return FERRY_OK;
}

Ending Spread::accepted(driver::Socket *socket) noexcept {
    Shard &here = op_->shard();
    if ((op_->flags & FERRY_MULTISHOT) == 0)
        stop();
    if (op_->interrupted != 0) {
        here.driver().close(*socket);
        return {.status = op_->interrupted};
    }
    Shard *place = next_place();
    if (place == &here) {
        here.note_accepted();
        return {.handle = here.handles().add(socket, Kind::stream)};
    }
    uint32_t index = 0;
    while (descriptor(index) >= 0)
        ++index; // There is one: go_on() has looked.
    driver::Outcome outcome = here.driver().release(*socket);
    if (outcome.status != FERRY_OK) {
        here.driver().close(*socket);
        return {.status = outcome.status, .os_error = outcome.os_error};
    }
    descriptor(index) = outcome.result;
    if (place == nullptr)
        return {.status = FERRY_E_NO_HANDLES};
    send(index, *place);
    return {};
}

Ending Spread::settle(const Child &child) noexcept {
    const ferry_completion &completion = *child.completion;
    Ending what = {.status = completion.status, .os_error = completion.os_error};
    auto number = static_cast<uint32_t>(&child - travellers_.children);
    under_way_ &= ~(1u << number);
    if (number == 0) {
        bool there = what.status == FERRY_OK;
        return there ? accepted(static_cast<driver::Socket *>(const_cast<void *>(completion.data)))
                     : what;
    }
    uint32_t index = number - 1;
    if (what.status == FERRY_OK) {
        descriptor(index) = -1;
        what.handle = completion.handle;
    } else if (!passes(what.status)) {
        drop(index);
    }
    return what;
}

} // namespace

Operation accept_spread(Op *op) {
    Hold hold(op);
    if (int32_t status = hold.read(op))
        co_return Ending{.status = status};
    auto *travellers = op->shard().allocator().create<Travellers>();
    if (travellers == nullptr)
        co_return Ending{.status = FERRY_E_NO_MEMORY, .flags = FERRY_REUSABLE};
    Spread spread(op, hold.socket(), *travellers);
    const bool multishot = (op->flags & FERRY_MULTISHOT) != 0;
    bool told = false; // That there is no room for a connection.
    Ending last;
    for (;;) {
        Ending what;
        if (op->interrupted != 0)
            spread.stop();
        if (spread.open() && !spread.group.any_ended())
            what.status = spread.go_on();
        if (what.status == FERRY_OK) {
            Child *child = co_await spread.group.next();
            if (child == nullptr)
                break; // Stopped, and all are back.
            what = spread.settle(*child);
        }
        bool obstacle = what.handle == 0;
        if (obstacle && what.status == FERRY_OK)
            continue;
        if (!multishot || (obstacle && (op->interrupted != 0 || !passes(what.status)))) {
            last = what;
            spread.stop();
            continue;
        }
        // As in accept_here(): a connection is told of, an obstacle once.
        while ((!obstacle || !told) && !op->shard().emit(op, what)) {
            co_await room(op);
            if (op->interrupted == 0)
                continue;
            if (!obstacle)
                op->shard().engine().discard(what.handle);
            break;
        }
        told = obstacle;
        if (told)
            co_await SleepWait(op, op->shard().now_ns() + kAcceptPauseNs);
    }
    if (multishot)
        co_await StopAccept(op, hold.socket());
    if (last.handle != 0)
        co_return last;
    if (op->interrupted != 0)
        co_return interrupted(op);
    last.flags = FERRY_REUSABLE;
    co_return last;
}

} // namespace ferry::ops
