#include "world.hpp"

#include "checker.hpp"
#include "coro/fiber.hpp"
#include "driver/make.hpp"
#include "driver/os.hpp"

#include <ferry/status.h>

#include <new>

// ---- the system ---------------------------------------------------------------------------------

namespace ferry::os {

uint64_t now_ns() noexcept {
    return 1'000'000'000;
}

bool Thread::start(const char *, void (*)(void *), void *) noexcept {
    return false;
}
void Thread::join() noexcept {}

ferry_status Event::open() noexcept {
    descriptor_ = model::open_event();
    return descriptor_ >= 0 ? FERRY_OK : FERRY_E_NO_DESCRIPTORS;
}
void Event::close() noexcept {
    descriptor_ = -1;
}
void Event::signal() noexcept {
    model::signal_event(descriptor_);
}
void Event::clear() noexcept {
    model::clear_event(descriptor_);
}
bool Event::wait(uint64_t) noexcept {
    model::wait_for_event(descriptor_);
    return true;
}

bool ForkMark::open() noexcept {
    word_ = new (model::allocate(sizeof *word_)) std::atomic<uint32_t>(1);
    return true;
}
void ForkMark::close() noexcept {}

void hint_large_pages(void *, size_t) noexcept {}
void close_descriptor(int64_t) noexcept {}

} // namespace ferry::os

// ---- the driver ---------------------------------------------------------------------------------

namespace ferry::driver {
namespace {

class ModelDriver final : public Driver {
  public:
    explicit ModelDriver(const Environment &) : event_(model::open_event()) {}
    ~ModelDriver() = default;

    void dispose() noexcept override {}
    const char *name() const noexcept override { return "model"; }
    uint64_t now_ns() const noexcept override { return os::now_ns(); }
    void poll(uint64_t until_ns) noexcept override {
        if (until_ns == 0)
            return;
        model::wait_for_event(event_);
        model::clear_event(event_);
    }
    void wake() noexcept override { model::signal_event(event_); }
    int descriptor() const noexcept override { return -1; }
    void keep_until(uint64_t) noexcept override {}

    Outcome listen(const ferry_address &, uint32_t, bool, Socket **) noexcept override {
        return kUnsupported;
    }
    void start_accept(Socket &listener) noexcept override { unsupported(listener.accept); }
    void cancel_accept(Socket &) noexcept override {}
    void start_connect(Connect &connect) noexcept override { unsupported(connect); }
    void cancel_connect(Connect &) noexcept override {}
    void start_receive(Socket &stream) noexcept override { unsupported(stream.receive); }
    void cancel_receive(Socket &) noexcept override {}
    void start_load(FileLoad &load) noexcept override { unsupported(load); }
    void cancel_load(FileLoad &) noexcept override {}
    bool send(Socket &, const ConstSpan *, size_t, Outcome *outcome) noexcept override {
        *outcome = kUnsupported;
        return true;
    }
    void cancel_send(Socket &) noexcept override {}
    void close(Socket &) noexcept override {}
    void abandon(Socket &) noexcept override {}
    void abandon_all() noexcept override {}

  private:
    int event_;
};

} // namespace

ferry_status make(const Environment &environment, Driver **driver) noexcept {
    *driver = environment.allocator.create<ModelDriver>(environment);
    return *driver != nullptr ? FERRY_OK : FERRY_E_NO_MEMORY;
}

} // namespace ferry::driver

// ---- operations ---------------------------------------------------------------------------------

namespace model {

using namespace ferry;

namespace {

Operation nothing(Op *) {
    co_return Ending{};
}

// Nobody wakes this list: only an interrupt ends the wait.
struct Forever {
    coro::WaitList list{"nothing"};
};

Operation stand(Op *op) {
    Forever forever;
    co_await coro::ListWait(*op, forever.list);
    co_return Ending{.status = op->interrupted};
}

// As a receive into a lent buffer does it.
Operation lend(Op *op) {
    driver::Span span;
    while (op->shard().buffers().space(&span, Buffers::kChunkSize) == FERRY_E_FULL) {
        op->shard().note_hunger();
        co_await coro::ListWait(*op, op->shard().memory());
    }
    uint64_t buffer = op->shard().buffers().lend(span.size);
    co_return Ending{.data = span.data, .buffer = buffer, .flags = FERRY_BUFFER};
}

Operation say(Op *op) {
    for (int64_t i = 0; i < 2; ++i) {
        while (!op->shard().emit(op, Ending{.result = i}))
            co_await coro::ListWait(*op, op->shard().room());
    }
    co_return Ending{.result = 2};
}

const OpTable &table() {
    static OpTable operations;
    operations[kNothing].start = nothing;
    operations[kStand].start = stand;
    operations[kLend].start = lend;
    operations[kSay].start = say;
    return operations;
}

void *allocate_for(size_t size, void *) {
    return allocate(size);
}
void free_for(void *memory, size_t size, void *) {
    release(memory, size);
}

} // namespace

Engine *make_engine(uint32_t operations_max) {
    ferry_engine_options options = {};
    options.struct_size = sizeof options;
    options.ops_max = operations_max;
    options.handles_max = 4;
    options.workers_max = 1;
    options.name_workers_max = 1;
    options.buffer_bytes_max = Buffers::kChunkSize;
    options.allocate = allocate_for;
    options.free = free_for;
    auto *engine = new (allocate(sizeof(Engine))) Engine(options, table());
    MODEL_CHECK(engine->open() == FERRY_OK);
    return engine;
}

Queue *make_queue(Engine &engine, uint32_t mode, uint32_t capacity) {
    ferry_queue_options options = {};
    options.struct_size = sizeof options;
    options.mode = mode;
    options.capacity = capacity;
    Queue *queue = nullptr;
    MODEL_CHECK(engine.create_queue(options, &queue) == FERRY_OK);
    return queue;
}

ferry_request request(Opcode opcode, uint64_t tag) {
    ferry_request request = {};
    request.opcode = opcode;
    request.tag = tag;
    return request;
}

ferry_op submit(Engine &engine, Queue &queue, const ferry_request &request) {
    ferry_op op = 0;
    size_t accepted = 0;
    ferry_status status = engine.submit(queue, &request, 1, &op, &accepted);
    MODEL_CHECK(status == FERRY_OK || status == FERRY_E_FULL);
    return accepted != 0 ? op : 0;
}

} // namespace model
