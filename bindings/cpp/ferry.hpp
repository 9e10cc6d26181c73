/**
 * @file
 * Ferry for C++20: coroutines over the C ABI, header only.
 *
 * A Task<T> is a lazy coroutine. A Loop runs tasks on one thread, over a queue of an engine. What a
 * task awaits is an Operation: it lies in the awaiting coroutine's frame, its address is the
 * request's tag, and so nothing is allocated and nothing is looked up for it.
 *
 * The structure keeps memory safe: a task that has begun can be ended by nobody but itself. It is
 * awaited, or owned by a Scope that waits for it. To cancel is to ask (StopSource); the task goes on
 * when the operation's final completion has come, so the kernel never writes into a frame that has
 * gone. A loop's destructor asks all tasks to stop and waits for them.
 *
 * Everything here belongs to the loop's thread, but for Loop::post and the operations of one handle
 * by several loops. Failures are Results; exceptions are neither thrown nor let through.
 */
#ifndef FERRY_HPP
#define FERRY_HPP

#include <ferry.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <span>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace ferry {

using Nanoseconds = std::chrono::nanoseconds;

template <class T> class Task;
template <class T> class Result;
class Loop;
class Scope;
class StopSource;

/** The bytes of a text, to be sent or written. */
inline std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/** A piece of a vectored operation. */
inline ferry_slice slice(std::span<const std::byte> piece) {
    ferry_slice slice = {};
    slice.data = const_cast<std::byte *>(piece.data());
    slice.size = piece.size();
    return slice;
}

// ---- Result -------------------------------------------------------------------------------------

/** Why something failed. Converts to any Result. */
struct Error {
    ferry_status status = FERRY_OK; /**< FERRY_E_... */
    std::int32_t os_error = 0;      /**< The system's own number, 0 if it has none to say. */
    std::int64_t count = 0;         /**< How far it came: bytes sent or received nevertheless. */
    std::uint32_t flags = 0;        /**< FERRY_REUSABLE, ... */
};

namespace detail {

/** What Result<T> and Result<void> share. */
class Outcome {
  public:
    [[nodiscard]] bool ok() const { return error_.status == FERRY_OK; }
    explicit operator bool() const { return ok(); }
    [[nodiscard]] ferry_status status() const { return error_.status; }
    [[nodiscard]] std::int32_t os_error() const { return error_.os_error; }
    /** How far a failed operation came. */
    [[nodiscard]] std::int64_t count() const { return error_.count; }
    /** It failed, but nothing is torn: the handle can be used on. */
    [[nodiscard]] bool reusable() const { return (error_.flags & FERRY_REUSABLE) != 0; }
    [[nodiscard]] const Error &error() const { return error_; }
    /** One English sentence. */
    [[nodiscard]] const char *message() const { return ferry_status_message(error_.status); }

  protected:
    Outcome() = default;
    explicit Outcome(const Error &error) : error_(error) {}
    Error error_;
};

} // namespace detail

/** A value, or why there is none. To take the value of a failure ends the program. */
template <class T> class [[nodiscard]] Result : public detail::Outcome {
  public:
    using value_type = T;

    Result(T value) : value_(std::move(value)) {}
    Result(const Error &error) : Outcome(error) {}

    T &value() & { return *checked(); }
    const T &value() const & { return *const_cast<Result *>(this)->checked(); }
    T &&value() && { return std::move(*checked()); }
    T value_or(T other) && { return ok() ? std::move(*value_) : std::move(other); }
    T &operator*() & { return value(); }
    const T &operator*() const & { return value(); }
    T &&operator*() && { return std::move(*this).value(); }
    T *operator->() { return checked(); }
    const T *operator->() const { return const_cast<Result *>(this)->checked(); }

  private:
    T *checked() {
        if (!value_.has_value())
            std::abort();
        return &*value_;
    }

    std::optional<T> value_;
};

template <> class [[nodiscard]] Result<void> : public detail::Outcome {
  public:
    using value_type = void;

    Result() = default;
    Result(const Error &error) : Outcome(error) {}
};

// ---- engine -------------------------------------------------------------------------------------

namespace detail {

/** What handles and lent buffers share with their engine: its memory outlives them. */
struct Core {
    ferry_engine *engine;

    explicit Core(ferry_engine *given) : engine(given) {}
    Core(const Core &) = delete;
    Core &operator=(const Core &) = delete;
    ~Core() {
        // One that refuses holds memory of ours: better lost than freed.
        if (ferry_engine_destroy(engine) == FERRY_E_BUSY &&
            ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK)
            (void)ferry_engine_destroy(engine);
    }
};

using CorePointer = std::shared_ptr<Core>;

} // namespace detail

/** How to make an engine: ferry_engine_options, whose 0 is always the default. */
struct EngineOptions {
    std::uint32_t shards = 0; /**< 0: the loop drives it; else so many threads of the engine's. */
    std::uint32_t ops_max = 0;
    std::uint32_t handles_max = 0;
    std::uint32_t workers_max = 0;
    std::uint32_t name_workers_max = 0;
    std::uint64_t buffer_bytes_max = 0;
    std::uint32_t driver = FERRY_DRIVER_AUTO; /**< Or FERRY_DRIVER_UV, FERRY_DRIVER_URING. */
    std::uint64_t ring_without = 0;           /**< FERRY_RING_...: not these. */
    ferry_allocate_fn allocate = nullptr;
    ferry_free_fn free = nullptr;
    ferry_log_fn log = nullptr;
    void *user_data = nullptr;
    ferry_trace_fn trace = nullptr;
    void *trace_user_data = nullptr;
};

/** How to make a queue. */
struct QueueOptions {
    std::uint32_t mode = FERRY_QUEUE_REAP; /**< Of a Loop always FERRY_QUEUE_MAPPED. */
    std::uint32_t capacity = 0;            /**< Places in the ring. */
    std::uint32_t shard = 0;               /**< Where requests without a handle run. */
    ferry_wake_fn wake = nullptr;          /**< Of a Loop its own. */
    void *user_data = nullptr;
};

/** Owns an engine: shut down by the destructor, freed when its handles have gone, too. */
class Engine {
  public:
    static Result<Engine> create(const EngineOptions &wanted = {}) {
        ferry_engine_options options = {};
        options.struct_size = sizeof options;
        options.shards = wanted.shards;
        options.ops_max = wanted.ops_max;
        options.handles_max = wanted.handles_max;
        options.workers_max = wanted.workers_max;
        options.name_workers_max = wanted.name_workers_max;
        options.buffer_bytes_max = wanted.buffer_bytes_max;
        options.allocate = wanted.allocate;
        options.free = wanted.free;
        options.log = wanted.log;
        options.user_data = wanted.user_data;
        options.trace = wanted.trace;
        options.trace_user_data = wanted.trace_user_data;
        options.driver = wanted.driver;
        options.ring_without = wanted.ring_without;
        ferry_engine *engine = nullptr;
        if (ferry_status status = ferry_engine_create(&options, &engine))
            return Error{status};
        return Engine(std::make_shared<detail::Core>(engine));
    }
    Engine(Engine &&) = default;
    Engine &operator=(Engine &&other) noexcept {
        close();
        core_ = std::move(other.core_);
        return *this;
    }
    ~Engine() { close(); }

    [[nodiscard]] ferry_engine *get() const { return core_->engine; }
    [[nodiscard]] const detail::CorePointer &core() const { return core_; }
    Result<void> shutdown(Nanoseconds timeout) {
        return Error{ferry_engine_shutdown(get(), static_cast<std::uint64_t>(timeout.count()))};
    }
    Result<void> shutdown() { return Error{ferry_engine_shutdown(get(), FERRY_FOREVER)}; }
    [[nodiscard]] ferry_engine_info info() const {
        ferry_engine_info info = {};
        info.struct_size = sizeof info;
        (void)ferry_engine_get_info(get(), &info);
        return info;
    }

  private:
    explicit Engine(detail::CorePointer core) : core_(std::move(core)) {}
    void close() {
        if (core_)
            (void)shutdown();
        core_.reset();
    }

    detail::CorePointer core_;
};

/** Owns a queue. */
class Queue {
  public:
    static Result<Queue> create(detail::CorePointer core, const QueueOptions &wanted = {}) {
        ferry_queue_options options = {};
        options.struct_size = sizeof options;
        options.mode = wanted.mode;
        options.capacity = wanted.capacity;
        options.shard = wanted.shard;
        options.wake = wanted.wake;
        options.user_data = wanted.user_data;
        ferry_queue *queue = nullptr;
        if (ferry_status status = ferry_queue_create(core->engine, &options, &queue))
            return Error{status};
        return Queue(std::move(core), queue);
    }
    Queue(Queue &&other) noexcept
        : core_(std::move(other.core_)), queue_(std::exchange(other.queue_, nullptr)) {}
    Queue &operator=(Queue &&other) noexcept {
        std::swap(core_, other.core_);
        std::swap(queue_, other.queue_);
        return *this;
    }
    /** One that is still in use goes with its engine. */
    ~Queue() { (void)ferry_queue_destroy(queue_); }

    [[nodiscard]] ferry_queue *get() const { return queue_; }

  private:
    Queue(detail::CorePointer core, ferry_queue *queue) : core_(std::move(core)), queue_(queue) {}

    detail::CorePointer core_;
    ferry_queue *queue_;
};

/** Memory of the engine's, given back by the destructor. Empty: nothing came (the end). */
class LentBuffer {
  public:
    LentBuffer() = default;
    LentBuffer(detail::CorePointer core, const ferry_completion &done)
        : core_(std::move(core)), data_(static_cast<const std::byte *>(done.data)),
          size_(static_cast<std::size_t>(done.result)), id_(done.buffer) {}
    LentBuffer(LentBuffer &&other) noexcept { swap(other); }
    LentBuffer &operator=(LentBuffer &&other) noexcept {
        LentBuffer(std::move(other)).swap(*this);
        return *this;
    }
    ~LentBuffer() {
        if (core_)
            (void)ferry_buffer_release(core_->engine, id_);
    }

    [[nodiscard]] const std::byte *data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
    [[nodiscard]] std::string_view text() const {
        return {reinterpret_cast<const char *>(data_), size_};
    }
    /** The records that it holds, as ferry_address. */
    template <class Record> [[nodiscard]] std::span<const Record> as() const {
        return {reinterpret_cast<const Record *>(data_), size_ / sizeof(Record)};
    }

  private:
    void swap(LentBuffer &other) noexcept {
        std::swap(core_, other.core_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(id_, other.id_);
    }

    detail::CorePointer core_;
    const std::byte *data_ = nullptr;
    std::size_t size_ = 0;
    ferry_buffer id_ = FERRY_NONE;
};

// ---- stopping -----------------------------------------------------------------------------------

namespace detail {

/** Something that can be asked to stop, while it is linked into a StopSource. */
struct StopNode {
    StopNode *before = nullptr;
    StopNode *after = nullptr;

    StopNode() = default;
    StopNode(const StopNode &) : StopNode() {} // whatever moves is not linked yet
    StopNode &operator=(const StopNode &) = delete;
    virtual void stop() = 0;
    void unlink() {
        if (before == nullptr)
            return;
        before->after = after;
        after->before = before;
        before = after = nullptr;
    }

  protected:
    ~StopNode() { unlink(); }
};

} // namespace detail

/**
 * Asks whatever runs below it to end early: operations that wait are cancelled, later ones do not
 * begin (FERRY_E_CANCELED), unless they are shielded(). All, race and scopes have one inside; one of
 * your own is given to with_stop(). On the loop's thread only.
 */
class StopSource : detail::StopNode {
  public:
    StopSource() { head_.before = head_.after = &head_; }
    StopSource(const StopSource &) = delete;
    StopSource &operator=(const StopSource &) = delete;
    ~StopSource() {
        while (head_.after != &head_)
            head_.after->unlink();
        head_.before = head_.after = nullptr;
    }

    [[nodiscard]] bool stop_requested() const { return requested_; }
    void request_stop() { stop(); }

    /** Whatever stops outer stops this, too. */
    void stop_with(StopSource *outer) {
        if (outer != nullptr && before == nullptr)
            outer->add(*this);
    }
    void add(detail::StopNode &node) {
        if (requested_) {
            node.stop();
            return;
        }
        node.before = head_.before;
        node.after = &head_;
        head_.before->after = &node;
        head_.before = &node;
    }

  private:
    struct Head : detail::StopNode {
        void stop() override {}
    };
    void stop() override {
        requested_ = true;
        while (head_.after != &head_) {
            detail::StopNode *node = head_.after;
            node->unlink();
            node->stop();
        }
    }

    Head head_;
    bool requested_ = false;
};

// ---- Task ---------------------------------------------------------------------------------------

namespace detail {

struct PromiseBase;

/** Told when a task has ended, by the loop: never from within the task. */
struct Joiner {
    virtual void ended(PromiseBase &child) = 0;

  protected:
    ~Joiner() = default;
};

/** Which loop a coroutine runs on, who waits for it, and who may ask it to stop. */
struct PromiseBase {
    Loop *loop = nullptr;
    StopSource *stop = nullptr;
    Joiner *joiner = nullptr;
    PromiseBase *next = nullptr; // in the loop's list of those ready
    PromiseBase *left = nullptr; // among a scope's children
    PromiseBase *right = nullptr;
    std::coroutine_handle<> self;

    struct Final {
        bool await_ready() noexcept { return false; }
        template <class Promise> void await_suspend(std::coroutine_handle<Promise> ended) noexcept;
        void await_resume() noexcept {}
    };
    std::suspend_always initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return {}; }
    [[noreturn]] void unhandled_exception() noexcept { std::abort(); }
    void begin(Loop &on, StopSource *below, Joiner &tell);
};

template <class T> struct Promise : PromiseBase {
    std::optional<T> value;

    Task<T> get_return_object();
    template <class U> void return_value(U &&given) { value.emplace(std::forward<U>(given)); }
    T take() { return std::move(*value); }
};

template <> struct Promise<void> : PromiseBase {
    Task<void> get_return_object();
    void return_void() {}
    void take() {}
};

/** The end of one task, for the coroutine that awaits it. */
struct TaskEnd : Joiner {
    PromiseBase *waiter = nullptr;

    void ended(PromiseBase &) override { waiter->self.resume(); }
};

} // namespace detail

/**
 * A coroutine that begins when it is awaited, and ends before whoever awaits it goes on. Move only.
 * Its arguments live in its frame: take by value what must outlive the caller's expression, and
 * mind that a lambda's captures live in the lambda, not in the frame.
 */
template <class T = void> class [[nodiscard]] Task {
  public:
    using value_type = T;
    using promise_type = detail::Promise<T>;

    Task(Task &&other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Task &operator=(Task &&other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    /** Whoever began it awaits its end: here it has not begun, or has ended. */
    ~Task() {
        if (handle_)
            handle_.destroy();
    }

    auto operator co_await() && { return Awaiter(std::move(*this), nullptr); }

    // For the parts of this header.

    [[nodiscard]] promise_type &promise() { return handle_.promise(); }
    promise_type &release() { return std::exchange(handle_, {}).promise(); }

    /** Awaits the task, below a StopSource of its own if one is given. */
    class Awaiter : detail::TaskEnd {
      public:
        Awaiter(Task task, StopSource *source) : task_(std::move(task)), source_(source) {}
        bool await_ready() const noexcept { return false; }
        template <class P> void await_suspend(std::coroutine_handle<P> handle) {
            waiter = &handle.promise();
            if (source_ != nullptr)
                source_->stop_with(waiter->stop);
            task_.promise().begin(*waiter->loop, source_ ? source_ : waiter->stop, *this);
        }
        T await_resume() { return task_.promise().take(); }

      private:
        Task task_;
        StopSource *source_;
    };

  private:
    friend promise_type;
    explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}

    std::coroutine_handle<promise_type> handle_;
};

template <class T> Task<T> detail::Promise<T>::get_return_object() {
    auto handle = std::coroutine_handle<Promise<T>>::from_promise(*this);
    self = handle;
    return Task<T>(handle);
}
inline Task<void> detail::Promise<void>::get_return_object() {
    auto handle = std::coroutine_handle<Promise<void>>::from_promise(*this);
    self = handle;
    return Task<void>(handle);
}

// ---- Loop ---------------------------------------------------------------------------------------

namespace detail {

/** Where completions go: the tag of a request is the address of one. */
struct Receiver {
    virtual void complete(const ferry_completion &done) = 0;

  protected:
    ~Receiver() = default;
};

inline bool opens_handle(std::uint16_t opcode) {
    return opcode == FERRY_OP_TCP_LISTEN || opcode == FERRY_OP_TCP_ACCEPT ||
           opcode == FERRY_OP_TCP_CONNECT || opcode == FERRY_OP_TCP_CONNECT_NAME ||
           opcode == FERRY_OP_FILE_OPEN || opcode == FERRY_OP_CHANNEL_OPEN ||
           opcode == FERRY_OP_DESCRIPTOR_ADOPT;
}

inline bool is_composition(std::uint16_t opcode) {
    return opcode >= FERRY_OP_CHAIN && opcode <= FERRY_OP_RETRY;
}

/** Give back what a completion brought that nobody wants: its handle, its buffer, its children's. */
inline void give_back(ferry_engine *engine, const ferry_completion &done) {
    if (is_composition(done.opcode) && done.data != nullptr) {
        const auto *children = static_cast<const ferry_completion *>(done.data);
        auto count = static_cast<std::size_t>(done.result) / sizeof *children;
        for (std::size_t i = 0; i < count; ++i)
            give_back(engine, children[i]);
    }
    if (opens_handle(done.opcode) && done.status == FERRY_OK && done.handle != FERRY_NONE)
        (void)ferry_handle_discard(engine, done.handle);
    if ((done.flags & FERRY_BUFFER) != 0)
        (void)ferry_buffer_release(engine, done.buffer);
}

} // namespace detail

/** What Loop::post brings. */
struct Message {
    std::uint64_t tag = 0;
    std::int64_t result = 0;
    std::uint64_t data = 0;
};

/**
 * Children that a coroutine starts and does not wait for one by one. Made by with_scope(), which
 * waits for all of them, and by every loop.
 */
class Scope : detail::Joiner {
  public:
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;

    /** Begins at the loop's next step; what it returns is dropped. */
    template <class T> void spawn(Task<T> task) {
        detail::PromiseBase &child = task.release();
        child.right = children_;
        if (children_ != nullptr)
            children_->left = &child;
        children_ = &child;
        ++count_;
        child.begin(*loop_, &stop_, *this);
    }
    /** Asks all of them to end. */
    void stop() { stop_.request_stop(); }
    [[nodiscard]] std::size_t size() const { return count_; }

    /** Awaits the end of all children. */
    auto join() { return Join{*this}; }

    // For with_scope() and Loop.

    explicit Scope(Loop *loop, StopSource *outer = nullptr) : loop_(loop) {
        stop_.stop_with(outer);
    }
    /** Children are left only if nothing of the engine's can reach them any more; see ~Loop. */
    ~Scope() {
        while (children_ != nullptr)
            std::exchange(children_, children_->right)->self.destroy();
    }
    /** Forgets the children without ending them. */
    void abandon() { children_ = nullptr; }
    [[nodiscard]] StopSource *stop_source() { return &stop_; }

  private:
    struct Join {
        Scope &scope;
        bool await_ready() const { return scope.count_ == 0; }
        template <class P> void await_suspend(std::coroutine_handle<P> handle) {
            scope.waiter_ = &handle.promise();
        }
        void await_resume() const {}
    };
    void ended(detail::PromiseBase &child) override;

    Loop *loop_;
    StopSource stop_;
    detail::PromiseBase *children_ = nullptr;
    detail::PromiseBase *waiter_ = nullptr;
    std::size_t count_ = 0;
};

/** What one Loop::step did. */
struct Step {
    std::uint32_t left = 0;    /**< Operations that the budget left over in the engine. */
    std::uint64_t resumed = 0; /**< Completions delivered. */
};

/**
 * Runs tasks on one thread: the first that calls run_until() or step(). It has a mapped queue, and
 * an engine that it drives itself (shards 0) or one with threads of its own.
 */
class Loop {
  public:
    /** A loop with an engine of its own. */
    static Result<std::unique_ptr<Loop>> create(const EngineOptions &engine = {},
                                                const QueueOptions &queue = {}) {
        auto made = Engine::create(engine);
        if (!made)
            return made.error();
        auto core = made->core();
        return create(std::move(core), std::optional<Engine>(std::move(*made)), queue);
    }
    /** A loop of an engine that has threads of its own; there may be several, on a thread each. */
    static Result<std::unique_ptr<Loop>> create(const Engine &engine,
                                                const QueueOptions &queue = {}) {
        return create(engine.core(), std::nullopt, queue);
    }
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;

    /** Asks all tasks to stop and waits for them, then shuts its engine down. */
    ~Loop() {
        root_.stop();
        ferry_status status = FERRY_OK;
        while (status == FERRY_OK && (root_.size() != 0 || in_flight_ != 0)) {
            if (drain([] { return true; }))
                continue;
            if (in_flight_ == 0 && yielded_ == nullptr)
                break; // Who waits now waits for nothing of ours.
            status = sleep();
        }
        drain([] { return true; });
        // A frame that the kernel may write into stays, if it must be for ever.
        if (in_flight_ != 0 && status != FERRY_E_FORKED)
            root_.abandon();
    }

    /**
     * Runs a task, and whatever else is ready, until that task has ended. A Result is handed
     * through. Fails with what the engine says: FERRY_E_WRONG_THREAD, FERRY_E_BUSY (from within a
     * task), FERRY_E_SHUTDOWN, FERRY_E_FORKED.
     */
    template <class T> auto run_until(Task<T> task);

    /** One turn without waiting, for about so long: a frame of a game. */
    Result<Step> step(Nanoseconds budget) {
        if (ferry_status status = enter())
            return Error{status};
        auto until = std::chrono::steady_clock::now() + budget;
        std::uint64_t before = delivered_;
        Step step;
        deliver_until(until);
        ferry_status status = host_driven_ ? run_engine(until, &step) : FERRY_OK;
        deliver_until(until);
        inside_ = false;
        step.resumed = delivered_ - before;
        if (status != FERRY_OK)
            return Error{status};
        return step;
    }

    /** Starts a task that nobody waits for but the loop's destructor. On the loop's thread. */
    template <class T> Result<void> spawn(Task<T> task) {
        if (ferry_status status = check_thread())
            return Error{status};
        root_.spawn(std::move(task));
        return {};
    }

    /** From any thread: on_message is called on the loop's. FERRY_E_FULL: not now. */
    Result<void> post(const Message &message) {
        return Error{ferry_queue_post(queue_->get(), message.tag, message.result, message.data)};
    }
    void on_message(std::function<void(const Message &)> told) { on_message_ = std::move(told); }

    /** The loop's thread sleeps no longer: another loop watches this queue's descriptor instead. */
    Result<std::int32_t> descriptor() {
        std::int32_t fd = -1;
        ferry_status status =
            host_driven_ ? ferry_engine_fd(core_->engine, &fd) : ferry_queue_fd(queue_->get(), &fd);
        if (status != FERRY_OK)
            return Error{status};
        return fd;
    }

    Result<void> shutdown() { return Error{ferry_engine_shutdown(core_->engine, FERRY_FOREVER)}; }
    [[nodiscard]] ferry_engine_info info() const {
        ferry_engine_info info = {};
        info.struct_size = sizeof info;
        (void)ferry_engine_get_info(core_->engine, &info);
        return info;
    }
    [[nodiscard]] const detail::CorePointer &core() const { return core_; }
    [[nodiscard]] ferry_engine *engine() const { return core_->engine; }
    [[nodiscard]] ferry_queue *queue() const { return queue_->get(); }

    // For the parts of this header.

    /** Resumed by the loop itself, never by another coroutine: a chain of awaits takes no stack. */
    void make_ready(detail::PromiseBase &promise) {
        promise.next = nullptr;
        *last_ready_ = &promise;
        last_ready_ = &promise.next;
    }
    /** The same at the next turn. */
    void yield(detail::PromiseBase &promise) {
        promise.next = yielded_;
        yielded_ = &promise;
    }
    ferry_status submit(const ferry_request &request, ferry_op *op) {
        ferry_status status = ferry_queue_submit(queue_->get(), &request, 1, op, nullptr);
        in_flight_ += status == FERRY_OK ? 1 : 0;
        return status;
    }
    void cancel(ferry_op op) { (void)ferry_queue_cancel(queue_->get(), op); }

  private:
    Loop(detail::CorePointer core, std::optional<Engine> engine, bool host_driven)
        : engine_(std::move(engine)), core_(std::move(core)), host_driven_(host_driven) {}

    static Result<std::unique_ptr<Loop>>
    create(detail::CorePointer core, std::optional<Engine> engine, QueueOptions options) {
        ferry_engine_info info = {};
        info.struct_size = sizeof info;
        (void)ferry_engine_get_info(core->engine, &info);
        std::unique_ptr<Loop> loop(new Loop(core, std::move(engine), info.host_driven != 0));
        options.mode = FERRY_QUEUE_MAPPED;
        if (!loop->host_driven_) {
            options.wake = [](void *self) { static_cast<Loop *>(self)->wakeups_.release(); };
            options.user_data = loop.get();
        }
        auto queue = Queue::create(std::move(core), options);
        if (!queue)
            return queue.error();
        loop->queue_.emplace(std::move(*queue));
        loop->ring_.struct_size = sizeof loop->ring_;
        if (ferry_status status = ferry_queue_map(loop->queue_->get(), &loop->ring_))
            return Error{status};
        return loop;
    }

    ferry_status check_thread() const {
        return thread_ == std::thread::id() || thread_ == std::this_thread::get_id()
                   ? FERRY_OK
                   : FERRY_E_WRONG_THREAD;
    }
    ferry_status enter() {
        if (ferry_status status = check_thread())
            return status;
        if (inside_)
            return FERRY_E_BUSY;
        thread_ = std::this_thread::get_id();
        inside_ = true;
        return FERRY_OK;
    }

    void run_ready() {
        while (ready_ != nullptr) {
            detail::PromiseBase *promise = ready_;
            ready_ = promise->next;
            if (ready_ == nullptr)
                last_ready_ = &ready_;
            if (promise->self.done())
                promise->joiner->ended(*promise);
            else
                promise->self.resume();
        }
    }

    void deliver(const ferry_completion &done) {
        ++delivered_;
        if (done.opcode == FERRY_OP_POST) {
            if (on_message_)
                on_message_({done.tag, done.result, done.data_u64});
            return;
        }
        if ((done.flags & FERRY_MORE) == 0)
            --in_flight_;
        reinterpret_cast<detail::Receiver *>(static_cast<std::uintptr_t>(done.tag))->complete(done);
    }

    /** All that waits in the ring, or as long as go_on() says so. True if there was anything. */
    template <class GoOn> bool drain(GoOn go_on) {
        bool any = false;
        for (auto *yielded = std::exchange(yielded_, nullptr); yielded != nullptr;)
            make_ready(*std::exchange(yielded, yielded->next));
        run_ready();
        std::atomic_ref<std::uint32_t> shared_head(*ring_.head);
        std::uint32_t head = shared_head.load(std::memory_order_relaxed);
        for (bool more = true; more;) {
            std::uint32_t tail = load(ring_.tail);
            if (head == tail) {
                if ((load(ring_.flags) & FERRY_QUEUE_HELD) == 0 ||
                    ferry_queue_arm(queue_->get()) != 1)
                    break;
                continue;
            }
            while (more && head != tail) {
                deliver(ring_.records[head & (ring_.capacity - 1)]);
                ++head;
                run_ready();
                more = go_on();
            }
            shared_head.store(head, std::memory_order_release);
            any = true;
        }
        return any;
    }
    static std::uint32_t load(const std::uint32_t *counter) {
        return std::atomic_ref<std::uint32_t>(*const_cast<std::uint32_t *>(counter))
            .load(std::memory_order_acquire);
    }
    void deliver_until(std::chrono::steady_clock::time_point until) {
        drain([until] { return std::chrono::steady_clock::now() < until; });
    }

    ferry_status run_engine(std::chrono::steady_clock::time_point until, Step *step) {
        ferry_run_report report = {};
        report.struct_size = sizeof report;
        auto left = Nanoseconds(until - std::chrono::steady_clock::now()).count();
        ferry_status status = ferry_engine_run(
            core_->engine, 0, static_cast<std::uint64_t>(left > 0 ? left : 1), &report);
        step->left = report.left;
        return status;
    }

    /** Until there may be something in the ring. */
    ferry_status sleep() {
        if (host_driven_)
            return ferry_engine_run(core_->engine, yielded_ ? 0 : FERRY_FOREVER, 0, nullptr);
        if (yielded_ != nullptr)
            return FERRY_OK;
        std::int32_t waiting = ferry_queue_arm(queue_->get());
        if (waiting == 0)
            wakeups_.acquire();
        return waiting < 0 ? waiting : FERRY_OK;
    }

    std::optional<Engine> engine_;
    detail::CorePointer core_;
    std::optional<Queue> queue_;
    ferry_queue_mapping ring_ = {};
    detail::PromiseBase *ready_ = nullptr;
    detail::PromiseBase **last_ready_ = &ready_;
    detail::PromiseBase *yielded_ = nullptr;
    Scope root_{this};
    std::size_t in_flight_ = 0;
    std::uint64_t delivered_ = 0;
    std::counting_semaphore<> wakeups_{0};
    std::function<void(const Message &)> on_message_;
    std::thread::id thread_;
    bool host_driven_;
    bool inside_ = false;
};

template <class Promise>
void detail::PromiseBase::Final::await_suspend(std::coroutine_handle<Promise> ended) noexcept {
    ended.promise().loop->make_ready(ended.promise());
}

inline void detail::PromiseBase::begin(Loop &on, StopSource *below, Joiner &tell) {
    loop = &on;
    stop = below;
    joiner = &tell;
    loop->make_ready(*this);
}

inline void Scope::ended(detail::PromiseBase &child) {
    if (child.left != nullptr)
        child.left->right = child.right;
    else
        children_ = child.right;
    if (child.right != nullptr)
        child.right->left = child.left;
    child.self.destroy();
    if (--count_ == 0 && waiter_ != nullptr)
        std::exchange(waiter_, nullptr)->self.resume();
}

namespace detail {

/** Result<U> for a task that returns one, else Result<T>. */
template <class T> struct Flat { using type = Result<T>; };
template <class T> struct Flat<Result<T>> { using type = Result<T>; };

} // namespace detail

template <class T> auto Loop::run_until(Task<T> task) {
    using Whole = typename detail::Flat<T>::type;
    struct End : detail::Joiner {
        bool reached = false;
        void ended(detail::PromiseBase &) override { reached = true; }
    } end;
    if (ferry_status status = enter())
        return Whole(Error{status});
    task.promise().begin(*this, root_.stop_source(), end);
    ferry_status status = FERRY_OK;
    for (;;) {
        bool any = drain([] { return true; });
        if (end.reached || (!any && status != FERRY_OK))
            break;
        if (!any)
            status = sleep();
    }
    inside_ = false;
    if (!end.reached) {
        // Nothing will come any more. What the kernel may still write into is not freed.
        if (in_flight_ != 0 && status != FERRY_E_FORKED)
            (void)task.release();
        return Whole(Error{status});
    }
    if constexpr (std::is_void_v<T>)
        return Whole();
    else
        return Whole(task.promise().take());
}

// ---- operations ---------------------------------------------------------------------------------

namespace detail {

inline Error failure(const ferry_completion &done) {
    return Error{done.status, done.os_error, done.result, done.flags};
}

inline std::uint64_t nanoseconds(Nanoseconds duration, std::uint64_t least = 0) {
    return duration.count() > static_cast<std::int64_t>(least)
               ? static_cast<std::uint64_t>(duration.count())
               : least;
}

// From a final completion to what co_await gives.

struct TakeNothing {
    static Result<void> take(Loop &, const ferry_completion &done) {
        return done.status == FERRY_OK ? Result<void>() : Result<void>(failure(done));
    }
};
struct TakeSize {
    static Result<std::size_t> take(Loop &, const ferry_completion &done) {
        if (done.status != FERRY_OK)
            return failure(done);
        return static_cast<std::size_t>(done.result);
    }
};
struct TakeLent {
    /** Bytes count whatever the status says: they are lent, and gone from the stream. */
    static Result<LentBuffer> take(Loop &loop, const ferry_completion &done) {
        if ((done.flags & FERRY_BUFFER) != 0)
            return LentBuffer(loop.core(), done);
        return none(done);
    }
    static Result<LentBuffer> none(const ferry_completion &done) {
        if (done.status != FERRY_OK)
            return failure(done);
        return LentBuffer();
    }
};
template <class Record> struct TakeRecord {
    static Result<Record> take(Loop &loop, const ferry_completion &done) {
        if (done.status != FERRY_OK)
            return failure(done);
        LentBuffer lent(loop.core(), done);
        return lent.as<Record>()[0];
    }
};
struct TakeMessage {
    static Result<Message> take(Loop &, const ferry_completion &done) {
        if (done.status != FERRY_OK)
            return failure(done);
        return Message{done.tag, done.result, done.data_u64};
    }
};
struct TakeCompletion {
    static Result<ferry_completion> take(Loop &, const ferry_completion &done) {
        if (done.status != FERRY_OK)
            return failure(done);
        return done;
    }
};
template <class Handle> struct TakeHandle {
    static Result<Handle> take(Loop &loop, const ferry_completion &done) {
        if (done.status != FERRY_OK)
            return failure(done);
        return Handle(loop.core(), done);
    }
};

} // namespace detail

/**
 * One request, to be awaited once. It and the memory it was given stay where they are while it is
 * awaited: the coroutine that awaits it cannot go before the final completion has come.
 */
template <class Take> class [[nodiscard]] Operation final : detail::Receiver, detail::StopNode {
  public:
    template <class... Wanted, class... Given>
    explicit Operation(void (*prepare)(ferry_request *, Wanted...), Given... given) {
        prepare(&request_, given...);
    }
    explicit Operation(const ferry_request &request) : request_(request) {}

    /** It ends with FERRY_E_TIMED_OUT if it takes longer. */
    Operation &&within(Nanoseconds time) && {
        request_.deadline_ns = detail::nanoseconds(time, 1);
        return std::move(*this);
    }
    /** A stop does not concern it: for what must be done even then. */
    Operation &&shielded() && {
        shielded_ = true;
        return std::move(*this);
    }
    Operation &&flags(std::uint32_t flags) && {
        request_.flags = flags;
        return std::move(*this);
    }
    [[nodiscard]] const ferry_request &request() const { return request_; }

    bool await_ready() const noexcept { return false; }
    template <class P> bool await_suspend(std::coroutine_handle<P> handle) {
        static_assert(std::is_base_of_v<detail::PromiseBase, P>, "to be awaited in a ferry::Task");
        waiter_ = &handle.promise();
        StopSource *stop = shielded_ ? nullptr : waiter_->stop;
        ferry_status status = FERRY_E_CANCELED;
        if (stop == nullptr || !stop->stop_requested()) {
            request_.tag = reinterpret_cast<std::uintptr_t>(static_cast<detail::Receiver *>(this));
            status = waiter_->loop->submit(request_, &op_);
        }
        if (status != FERRY_OK) {
            done_ = {};
            done_.status = status;
            return false;
        }
        if (stop != nullptr)
            stop->add(*this);
        return true;
    }
    auto await_resume() { return Take::take(*waiter_->loop, done_); }

  private:
    void complete(const ferry_completion &done) override {
        done_ = done;
        unlink();
        waiter_->self.resume();
    }
    void stop() override { waiter_->loop->cancel(op_); }

    ferry_request request_;
    ferry_completion done_;
    detail::PromiseBase *waiter_ = nullptr;
    ferry_op op_ = FERRY_NONE;
    bool shielded_ = false;
};

using NothingOperation = Operation<detail::TakeNothing>;
using SizeOperation = Operation<detail::TakeSize>;
using LentOperation = Operation<detail::TakeLent>;
using AddressOperation = Operation<detail::TakeRecord<ferry_address>>;
using InfoOperation = Operation<detail::TakeRecord<ferry_file_info>>;
using MessageOperation = Operation<detail::TakeMessage>;

/** Any request of the C API that completes once. Its tag is taken. What it brings is yours. */
inline Operation<detail::TakeCompletion> perform(const ferry_request &request) {
    return Operation<detail::TakeCompletion>(request);
}

inline NothingOperation nop() {
    return NothingOperation(ferry_prepare_nop);
}

/** Never early. */
inline NothingOperation sleep(Nanoseconds time) {
    return NothingOperation(ferry_prepare_timer, detail::nanoseconds(time), std::uint64_t{0});
}

/** The addresses of a name, as<ferry_address>(), in the order in which to try them. */
inline LentOperation resolve(const char *name, std::uint16_t port, std::uint32_t family = 0) {
    return LentOperation(ferry_prepare_name_resolve, name, port, family);
}

/** A literal address. */
inline Result<ferry_address> parse_address(const char *text, std::uint16_t port) {
    ferry_address address;
    if (ferry_status status = ferry_address_parse(text, port, &address))
        return Error{status};
    return address;
}

// ---- multishot ----------------------------------------------------------------------------------

/**
 * A request that brings one thing after the other: co_await next() until it fails or, where there is
 * an end, brings an empty LentBuffer. What nobody has asked for yet waits here; of a stream no more
 * than a ring full of buffers, then receiving pauses until they were taken. May be dropped at any
 * time: what comes after that is given back.
 */
template <class Take> class Multishot {
  public:
    using Value = decltype(Take::take(std::declval<Loop &>(), std::declval<ferry_completion &>()));

    explicit Multishot(const ferry_request &request) : state_(new State(request)) {}
    Multishot(Multishot &&other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    Multishot &operator=(Multishot &&other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~Multishot() {
        if (state_ != nullptr)
            state_->abandon();
    }

    auto next() { return Next{*state_}; }
    /** next() still brings what had come, then FERRY_E_CANCELED. */
    void cancel() { state_->cancel(); }

  private:
    static constexpr std::size_t pause_at = 64;

    /** On the heap, for it may have to outlive the Multishot. */
    struct State final : detail::Receiver, detail::StopNode {
        explicit State(const ferry_request &given) : request(given) {}

        [[nodiscard]] bool has_something() const { return taken < waiting.size() || ended; }
        /** False: it is not to begin. */
        bool wait(detail::PromiseBase &promise) {
            if (promise.stop != nullptr && promise.stop->stop_requested())
                return false;
            loop = promise.loop;
            if (!running)
                begin();
            if (ended)
                return true;
            waiter = &promise;
            if (promise.stop != nullptr)
                promise.stop->add(*this);
            return true;
        }
        void begin() {
            request.tag = reinterpret_cast<std::uintptr_t>(static_cast<detail::Receiver *>(this));
            pausing = false;
            last = {};
            last.status = loop->submit(request, &op);
            running = last.status == FERRY_OK;
            ended = !running;
        }
        Value take() {
            if (taken == waiting.size())
                return Take::take(*loop, last);
            Value value = Take::take(*loop, waiting[taken]);
            if (++taken == waiting.size()) {
                waiting.clear();
                taken = 0;
            }
            return value;
        }
        void complete(const ferry_completion &done) override {
            bool final = (done.flags & FERRY_MORE) == 0;
            running = !final;
            if (abandoned) {
                detail::give_back(loop->engine(), done);
                if (final)
                    delete this;
                return;
            }
            if (!final || (done.flags & FERRY_BUFFER) != 0)
                keep(done);
            if (final && !(pausing && done.status == FERRY_E_CANCELED)) {
                ended = true;
                last = done;
                last.flags &= ~std::uint32_t{FERRY_BUFFER};
            }
            if (waiter != nullptr && has_something()) {
                unlink();
                std::exchange(waiter, nullptr)->self.resume();
            }
        }
        void keep(const ferry_completion &done) {
            if (done.opcode == FERRY_OP_TIMER && taken < waiting.size()) {
                waiting.back().result += done.result;
                return;
            }
            waiting.push_back(done);
            // A receive loses nothing by this; an accept would lose a connection.
            bool pauses = (request.flags & FERRY_LEND) != 0 && waiting.size() - taken >= pause_at;
            if (pauses && running && !pausing) {
                pausing = true;
                loop->cancel(op);
            }
        }
        void cancel() {
            if (running) {
                pausing = false;
                loop->cancel(op);
            } else if (!ended) {
                ended = true;
                last = {};
                last.status = FERRY_E_CANCELED;
            }
        }
        void stop() override { cancel(); }
        void abandon() {
            while (taken < waiting.size())
                detail::give_back(loop->engine(), waiting[taken++]);
            abandoned = true;
            if (running)
                loop->cancel(op);
            else
                delete this;
        }

        ferry_request request;
        ferry_completion last = {};
        std::vector<ferry_completion> waiting;
        std::size_t taken = 0;
        Loop *loop = nullptr;
        detail::PromiseBase *waiter = nullptr;
        ferry_op op = FERRY_NONE;
        bool running = false;
        bool ended = false;
        bool pausing = false;
        bool abandoned = false;
    };

    struct Next {
        State &state;
        bool stopped = false;
        bool await_ready() const { return state.has_something(); }
        template <class P> bool await_suspend(std::coroutine_handle<P> handle) {
            stopped = !state.wait(handle.promise());
            return !stopped && !state.has_something();
        }
        Value await_resume() { return stopped ? Value(Error{FERRY_E_CANCELED}) : state.take(); }
    };

    State *state_;
};

/** Expiries, counted: one that nobody asked for in time comes with the next. */
inline auto interval(Nanoseconds every) {
    ferry_request request;
    auto time = detail::nanoseconds(every, 1);
    ferry_prepare_timer(&request, time, time);
    return Multishot<detail::TakeSize>(request);
}

// ---- handles ------------------------------------------------------------------------------------

/** What every handle can do. A ...Ref names a handle without owning it. */
struct HandleRef {
    ferry_handle id = FERRY_NONE;

    /** Ends what is pending on it with FERRY_E_CLOSED. Closing again is fine. */
    NothingOperation close() const { return NothingOperation(ferry_prepare_handle_close, id); }
    /** The descriptor is yours, the handle is stale. */
    SizeOperation release_descriptor() const {
        return SizeOperation(ferry_prepare_descriptor_release, id);
    }
};

struct SocketRef : HandleRef {
    AddressOperation local_address() const {
        return AddressOperation(ferry_prepare_socket_local_address, id);
    }
    AddressOperation peer_address() const {
        return AddressOperation(ferry_prepare_socket_peer_address, id);
    }
    /** option: FERRY_SOCKET_... */
    NothingOperation set(std::uint32_t option, std::int64_t value) const {
        return NothingOperation(ferry_prepare_socket_set, id, option, value);
    }
};

/**
 * Owns a handle: the destructor closes it, without waiting (ferry_handle_discard). What is pending
 * on it then ends with FERRY_E_CLOSED.
 */
template <class Ref> class Owner : public Ref {
  public:
    Owner() = default;
    Owner(detail::CorePointer core, const ferry_completion &done)
        : Ref(Ref::of(done)), core_(std::move(core)) {}
    Owner(Owner &&other) noexcept : Ref(other), core_(std::move(other.core_)) {
        other.id = FERRY_NONE;
    }
    Owner &operator=(Owner &&other) noexcept {
        std::swap(static_cast<Ref &>(*this), static_cast<Ref &>(other));
        std::swap(core_, other.core_);
        return *this;
    }
    ~Owner() {
        if (core_)
            (void)ferry_handle_discard(core_->engine, this->id);
    }

    [[nodiscard]] const Ref &ref() const { return *this; }
    /** The handle is yours to close from now on. */
    ferry_handle release() {
        core_.reset();
        return this->id;
    }

  private:
    detail::CorePointer core_;
};

struct StreamRef;
struct ListenerRef;
struct FileRef;
struct ChannelRef;
using Stream = Owner<StreamRef>;
using TcpListener = Owner<ListenerRef>;
using File = Owner<FileRef>;
using Channel = Owner<ChannelRef>;

struct StreamRef : SocketRef {
    static StreamRef of(const ferry_completion &done) { return {{{done.handle}}}; }

    static Operation<detail::TakeHandle<Stream>> connect(const ferry_address &address) {
        return Operation<detail::TakeHandle<Stream>>(ferry_prepare_tcp_connect, &address);
    }
    static Operation<detail::TakeHandle<Stream>> connect(const ferry_address &address,
                                                         const ferry_address &from) {
        return Operation<detail::TakeHandle<Stream>>(ferry_prepare_tcp_connect_from, &address,
                                                     &from);
    }
    /** By name, its addresses tried side by side (happy eyeballs). */
    static Operation<detail::TakeHandle<Stream>> connect(const char *name, std::uint16_t port) {
        return Operation<detail::TakeHandle<Stream>>(ferry_prepare_tcp_connect_name, name, port);
    }
    /** A connected socket; the descriptor is the engine's from success on. */
    static Operation<detail::TakeHandle<Stream>> adopt(int descriptor) {
        return Operation<detail::TakeHandle<Stream>>(ferry_prepare_descriptor_adopt,
                                                     std::int64_t{descriptor},
                                                     std::uint32_t{FERRY_DESCRIPTOR_STREAM});
    }

    /** As soon as there is something; 0 at the end. One receive at a time. */
    SizeOperation receive(std::span<std::byte> into) const {
        return SizeOperation(ferry_prepare_stream_receive, id, static_cast<void *>(into.data()),
                             into.size());
    }
    /** All of it; FERRY_E_END if the stream ends before, with count() of those that came. */
    SizeOperation receive_exactly(std::span<std::byte> into) const {
        return SizeOperation(ferry_prepare_stream_receive_exactly, id,
                             static_cast<void *>(into.data()), into.size());
    }
    /** Up to and with a delimiter of 1 to 16 bytes; FERRY_E_LIMIT if it is not within into. */
    SizeOperation receive_until(std::span<std::byte> into, std::string_view delimiter) const {
        return SizeOperation(ferry_prepare_stream_receive_until, id,
                             static_cast<void *>(into.data()), into.size(),
                             static_cast<const void *>(delimiter.data()), delimiter.size());
    }
    /** The next bytes, in a buffer that is lent when they arrive. */
    LentOperation receive_lent() const {
        return LentOperation(ferry_prepare_stream_receive_multishot, id).flags(FERRY_LEND);
    }
    LentOperation receive_until_lent(std::size_t most, std::string_view delimiter) const {
        return LentOperation(until_lent(most, delimiter, FERRY_LEND));
    }
    /** Everything until the end, in lent buffers. */
    Multishot<detail::TakeLent> chunks() const {
        ferry_request request;
        ferry_prepare_stream_receive_multishot(&request, id);
        return Multishot<detail::TakeLent>(request);
    }
    /** Every piece that ends with the delimiter, until the end. */
    Multishot<detail::TakeLent> pieces(std::size_t most, std::string_view delimiter) const {
        return Multishot<detail::TakeLent>(
            until_lent(most, delimiter, FERRY_LEND | FERRY_MULTISHOT));
    }
    /** All of it. The bytes stay where they are until it has ended. */
    SizeOperation send(std::span<const std::byte> data) const {
        return SizeOperation(ferry_prepare_stream_send, id, static_cast<const void *>(data.data()),
                             data.size());
    }
    SizeOperation send_vectored(std::span<const ferry_slice> slices) const {
        return SizeOperation(ferry_prepare_stream_send_vectored, id, slices.data(), slices.size());
    }
    /** After the sends before it the peer sees the end. */
    NothingOperation shutdown() const {
        return NothingOperation(ferry_prepare_stream_shutdown, id);
    }

  private:
    ferry_request until_lent(std::size_t most, std::string_view delimiter,
                             std::uint32_t flags) const {
        ferry_request request;
        ferry_prepare_stream_receive_until(&request, id, nullptr, most, delimiter.data(),
                                           delimiter.size());
        request.flags = flags;
        return request;
    }
};

struct ListenerRef : SocketRef {
    std::uint16_t port = 0; /**< As listened on. */

    static ListenerRef of(const ferry_completion &done) {
        return {{{done.handle}}, static_cast<std::uint16_t>(done.result)};
    }
    /** Port 0: the system chooses. Share the address with flags(FERRY_REUSE_PORT). */
    static Operation<detail::TakeHandle<TcpListener>> listen(const ferry_address &address,
                                                             std::uint32_t backlog = 0) {
        return Operation<detail::TakeHandle<TcpListener>>(ferry_prepare_tcp_listen, &address,
                                                          backlog);
    }
    Operation<detail::TakeHandle<Stream>> accept() const {
        return Operation<detail::TakeHandle<Stream>>(ferry_prepare_tcp_accept, id).flags(0);
    }
    /** One connection after the other. */
    Multishot<detail::TakeHandle<Stream>> incoming() const {
        ferry_request request;
        ferry_prepare_tcp_accept(&request, id);
        return Multishot<detail::TakeHandle<Stream>>(request);
    }
};

struct FileRef : HandleRef {
    static FileRef of(const ferry_completion &done) { return {{done.handle}}; }

    /** flags: FERRY_OPEN_... The path is copied when it is awaited. */
    static Operation<detail::TakeHandle<File>> open(const char *path, std::uint32_t flags,
                                                    std::uint32_t mode = 0) {
        return Operation<detail::TakeHandle<File>>(ferry_prepare_file_open, path, flags, mode);
    }
    /** A whole file. */
    static LentOperation load(const char *path, std::uint64_t most = 0) {
        return LentOperation(ferry_prepare_file_load, path, most);
    }
    /** A whole file, so that the path names the old one or the new one, complete. */
    static SizeOperation store(const char *path, std::span<const std::byte> data,
                               std::uint32_t mode = 0) {
        return SizeOperation(ferry_prepare_file_store, path, static_cast<const void *>(data.data()),
                             data.size(), mode);
    }
    static InfoOperation stat(const char *path, bool no_follow = false) {
        return InfoOperation(ferry_prepare_path_stat, path, no_follow);
    }

    /** Fewer bytes than asked for, 0 too, only at the end. */
    SizeOperation read(std::span<std::byte> into, std::uint64_t offset) const {
        return SizeOperation(ferry_prepare_file_read, id, static_cast<void *>(into.data()),
                             into.size(), offset);
    }
    SizeOperation write(std::span<const std::byte> data, std::uint64_t offset) const {
        return SizeOperation(ferry_prepare_file_write, id, static_cast<const void *>(data.data()),
                             data.size(), offset);
    }
    SizeOperation read_vectored(std::span<const ferry_slice> slices, std::uint64_t offset) const {
        return SizeOperation(ferry_prepare_file_read_vectored, id, slices.data(), slices.size(),
                             offset);
    }
    SizeOperation write_vectored(std::span<const ferry_slice> slices, std::uint64_t offset) const {
        return SizeOperation(ferry_prepare_file_write_vectored, id, slices.data(), slices.size(),
                             offset);
    }
    InfoOperation stat() const { return InfoOperation(ferry_prepare_file_stat, id); }
    NothingOperation sync(bool data_only = false) const {
        return NothingOperation(ferry_prepare_file_sync, id, data_only);
    }
    NothingOperation truncate(std::uint64_t size) const {
        return NothingOperation(ferry_prepare_file_truncate, id, size);
    }
};

/** Messages of two words between tasks and threads. Any loop of the engine may use it. */
struct ChannelRef : HandleRef {
    static ChannelRef of(const ferry_completion &done) { return {{done.handle}}; }

    /** Capacity 0: a send ends when a receiver has taken the message. */
    static Operation<detail::TakeHandle<Channel>> open(std::uint32_t capacity) {
        return Operation<detail::TakeHandle<Channel>>(ferry_prepare_channel_open, capacity);
    }
    NothingOperation send(std::int64_t result, std::uint64_t data = 0) const {
        return NothingOperation(ferry_prepare_channel_send, id, result, data);
    }
    /** FERRY_E_END when it is finished and empty. */
    MessageOperation receive() const {
        return MessageOperation(ferry_prepare_channel_receive, id).flags(0);
    }
    NothingOperation finish() const { return NothingOperation(ferry_prepare_channel_finish, id); }
};

/** Between streams and files of one shard, until the source ends if no size is given. */
inline SizeOperation copy(HandleRef from, HandleRef to, std::uint64_t size = UINT64_MAX,
                          std::uint64_t from_offset = 0, std::uint64_t to_offset = 0) {
    return SizeOperation(ferry_prepare_handle_copy, from.id, to.id, size, from_offset, to_offset);
}

// ---- tasks together -----------------------------------------------------------------------------

/** Awaits a task below a StopSource of the caller's; what stops the caller stops it as well. */
template <class T> auto with_stop(StopSource &source, Task<T> task) {
    return typename Task<T>::Awaiter(std::move(task), &source);
}

namespace detail {

/** What a task's value is in a tuple or variant. */
template <class T> using Slot = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T> Slot<T> value_of(Task<T> &task) {
    if constexpr (std::is_void_v<T>)
        return std::monostate();
    else
        return task.promise().take();
}

/** Several tasks at once, for one coroutine. With racing the first that ends stops the others. */
class Together : Joiner {
  public:
    explicit Together(bool racing) : racing_(racing) {}
    [[nodiscard]] const PromiseBase *winner() const { return winner_; }

  protected:
    void wait_in(PromiseBase &waiter, std::size_t count) {
        waiter_ = &waiter;
        left_ = count;
        stop_.stop_with(waiter.stop);
    }
    void begin(PromiseBase &child) { child.begin(*waiter_->loop, &stop_, *this); }

  private:
    void ended(PromiseBase &child) override {
        if (winner_ == nullptr) {
            winner_ = &child;
            if (racing_)
                stop_.request_stop();
        }
        if (--left_ == 0)
            waiter_->self.resume();
    }

    StopSource stop_;
    PromiseBase *waiter_ = nullptr;
    PromiseBase *winner_ = nullptr;
    std::size_t left_ = 0;
    bool racing_;
};

template <class... T> class TupleTogether : public Together {
  public:
    TupleTogether(bool racing, Task<T> &&...tasks)
        : Together(racing), tasks_(std::move(tasks)...) {}
    bool await_ready() const noexcept { return false; }
    template <class P> void await_suspend(std::coroutine_handle<P> handle) {
        wait_in(handle.promise(), sizeof...(T));
        std::apply([this](auto &...task) { (begin(task.promise()), ...); }, tasks_);
    }

  protected:
    std::tuple<Task<T>...> tasks_;
};

template <class... T> class AllOf : public TupleTogether<T...> {
  public:
    explicit AllOf(Task<T> &&...tasks) : TupleTogether<T...>(false, std::move(tasks)...) {}
    std::tuple<Slot<T>...> await_resume() {
        return std::apply([](auto &...task) { return std::tuple<Slot<T>...>(value_of(task)...); },
                          this->tasks_);
    }
};

template <class... T> class RaceOf : public TupleTogether<T...> {
  public:
    using Value = std::variant<Slot<T>...>;
    explicit RaceOf(Task<T> &&...tasks) : TupleTogether<T...>(true, std::move(tasks)...) {}
    Value await_resume() {
        std::optional<Value> value;
        take(value, std::index_sequence_for<T...>());
        return std::move(*value);
    }

  private:
    template <std::size_t... I> void take(std::optional<Value> &value, std::index_sequence<I...>) {
        (take_if_winner<I>(value), ...);
    }
    template <std::size_t I> void take_if_winner(std::optional<Value> &value) {
        auto &task = std::get<I>(this->tasks_);
        if (&task.promise() == this->winner())
            value.emplace(std::in_place_index<I>, value_of(task));
    }
};

template <class T> class VectorTogether : public Together {
  public:
    VectorTogether(bool racing, std::vector<Task<T>> tasks)
        : Together(racing), tasks_(std::move(tasks)) {}
    bool await_ready() const noexcept { return tasks_.empty(); }
    template <class P> void await_suspend(std::coroutine_handle<P> handle) {
        wait_in(handle.promise(), tasks_.size());
        for (auto &task : tasks_)
            begin(task.promise());
    }

  protected:
    std::vector<Task<T>> tasks_;
};

} // namespace detail

/**
 * Awaits all of them; a tuple of what they return, std::monostate for void. None is stopped because
 * another failed. A stop of the caller's reaches all.
 */
template <class... T> auto all(Task<T>... tasks) {
    static_assert(sizeof...(T) > 0);
    return detail::AllOf<T...>(std::move(tasks)...);
}

/**
 * Awaits the first, stops the others and waits for their end. A variant: index() is the winner's.
 */
template <class... T> auto race(Task<T>... tasks) {
    static_assert(sizeof...(T) > 0);
    return detail::RaceOf<T...>(std::move(tasks)...);
}

/** The same for many of one kind: a vector of what they return. */
template <class T> auto all(std::vector<Task<T>> tasks) {
    struct Awaiter : detail::VectorTogether<T> {
        using detail::VectorTogether<T>::VectorTogether;
        auto await_resume() {
            std::vector<detail::Slot<T>> values;
            values.reserve(this->tasks_.size());
            for (auto &task : this->tasks_)
                values.push_back(detail::value_of(task));
            return values;
        }
    };
    return Awaiter(false, std::move(tasks));
}

/** The winner of a race of many. */
template <class T> struct Winner {
    std::size_t index;
    T value;
};

/** Must not be empty. */
template <class T> auto race(std::vector<Task<T>> tasks) {
    struct Awaiter : detail::VectorTogether<T> {
        using detail::VectorTogether<T>::VectorTogether;
        auto await_resume() {
            std::size_t index = 0;
            while (&this->tasks_[index].promise() != this->winner())
                ++index;
            return Winner<detail::Slot<T>>{index, detail::value_of(this->tasks_[index])};
        }
    };
    if (tasks.empty())
        std::abort();
    return Awaiter(true, std::move(tasks));
}

namespace detail {

/** The promise of the coroutine that awaits this. It does not suspend. */
struct Here {
    PromiseBase *promise = nullptr;
    bool await_ready() const noexcept { return false; }
    template <class P> bool await_suspend(std::coroutine_handle<P> handle) noexcept {
        promise = &handle.promise();
        return false;
    }
    PromiseBase *await_resume() const noexcept { return promise; }
};

} // namespace detail

/** The loop that runs the coroutine: co_await this_loop(). */
inline auto this_loop() {
    struct Awaiter : detail::Here {
        Loop &await_resume() const noexcept { return *promise->loop; }
    };
    return Awaiter();
}

namespace detail {

struct Yield {
    bool await_ready() const noexcept { return false; }
    template <class P> void await_suspend(std::coroutine_handle<P> handle) {
        handle.promise().loop->yield(handle.promise());
    }
    void await_resume() const noexcept {}
};

} // namespace detail

/** Goes on at the loop's next turn, after what the engine has completed by then. */
inline auto yield() {
    return detail::Yield();
}

/**
 * Runs body(scope), a Task, then waits for every child that it spawned; the body's value is the
 * value. The body is kept until then, so a lambda may capture.
 */
template <class Body> auto with_scope(Body body) -> decltype(body(std::declval<Scope &>())) {
    using T = typename decltype(body(std::declval<Scope &>()))::value_type;
    detail::PromiseBase *here = co_await detail::Here();
    Scope scope(here->loop, here->stop);
    if constexpr (std::is_void_v<T>) {
        co_await body(scope);
        co_await scope.join();
    } else {
        T value = co_await body(scope);
        co_await scope.join();
        co_return value;
    }
}

// ---- compositions -------------------------------------------------------------------------------

/**
 * What came of a composition: one completion for each child, by index. What the children brought
 * and nobody took goes with this.
 */
class [[nodiscard]] Whole : public detail::Outcome {
  public:
    Whole(detail::CorePointer core, const ferry_completion &done)
        : Outcome(detail::failure(done)), core_(std::move(core)), done_(done) {}
    Whole(Whole &&other) noexcept
        : Outcome(other), core_(std::move(other.core_)), done_(other.done_),
          taken_(std::move(other.taken_)) {}
    Whole &operator=(Whole &&) = delete;
    ~Whole() {
        if (core_)
            give_back(done_);
    }

    /** The direct children's completions; none if it never ran. */
    [[nodiscard]] std::span<const ferry_completion> children() const { return children(done_); }
    /** Those of a child that is a composition. */
    [[nodiscard]] static std::span<const ferry_completion> children(const ferry_completion &of) {
        if (!detail::is_composition(of.opcode) || of.data == nullptr)
            return {};
        return {static_cast<const ferry_completion *>(of.data),
                static_cast<std::size_t>(of.result) / sizeof(ferry_completion)};
    }
    [[nodiscard]] const ferry_completion &operator[](std::size_t index) const {
        return children()[index];
    }
    /** The handle that a child opened: take<Stream>(whole[0]). */
    template <class Handle> Result<Handle> take(const ferry_completion &child) {
        if (child.status != FERRY_OK)
            return detail::failure(child);
        if (!detail::opens_handle(child.opcode) || child.handle == FERRY_NONE || is_taken(child))
            return Error{FERRY_E_STALE};
        taken_.push_back(&child);
        return Handle(core_, child);
    }
    /** The bytes that a child was lent. */
    Result<LentBuffer> take_lent(const ferry_completion &child) {
        if (is_taken(child))
            return Error{FERRY_E_STALE};
        if ((child.flags & FERRY_BUFFER) == 0)
            return detail::TakeLent::none(child);
        taken_.push_back(&child);
        return LentBuffer(core_, child);
    }

  private:
    [[nodiscard]] bool is_taken(const ferry_completion &child) const {
        for (const ferry_completion *taken : taken_)
            if (taken == &child)
                return true;
        return false;
    }
    /** The children first: they lie in the buffer of the whole. */
    void give_back(const ferry_completion &done) const {
        for (const ferry_completion &child : children(done))
            give_back(child);
        if (is_taken(done))
            return;
        if (detail::opens_handle(done.opcode) && done.status == FERRY_OK &&
            done.handle != FERRY_NONE)
            (void)ferry_handle_discard(core_->engine, done.handle);
        if ((done.flags & FERRY_BUFFER) != 0)
            (void)ferry_buffer_release(core_->engine, done.buffer);
    }

    detail::CorePointer core_;
    ferry_completion done_;
    std::vector<const ferry_completion *> taken_;
};

namespace detail {
struct TakeWhole {
    static Whole take(Loop &loop, const ferry_completion &done) { return {loop.core(), done}; }
};
} // namespace detail

/** Requests that the engine runs as one. What its operations were given stays until it has ended. */
class [[nodiscard]] Composition {
  public:
    Composition(std::uint16_t opcode, std::vector<Composition> children)
        : children_(std::move(children)) {
        request_.opcode = opcode;
    }
    template <class Take>
    Composition(const Operation<Take> &operation) : request_(operation.request()) {}

    /** Of the whole: from submit. Of a child: from its own start. */
    Composition &&within(Nanoseconds time) && {
        request_.deadline_ns = detail::nanoseconds(time, 1);
        return std::move(*this);
    }
    ferry_request &request() { return request_; }

    class Awaiter {
      public:
        explicit Awaiter(const Composition &root) {
            records_.reserve(root.size());
            operation_.emplace(place(root));
        }
        bool await_ready() const noexcept { return false; }
        template <class P> bool await_suspend(std::coroutine_handle<P> handle) {
            return operation_->await_suspend(handle);
        }
        Whole await_resume() { return operation_->await_resume(); }

      private:
        /** The children of each side by side; the room was reserved, so nothing moves. */
        ferry_request place(const Composition &node) {
            ferry_request request = node.request_;
            if (node.children_.empty())
                return request;
            std::size_t first = records_.size();
            records_.resize(first + node.children_.size());
            for (std::size_t i = 0; i < node.children_.size(); ++i)
                records_[first + i] = place(node.children_[i]);
            request.params.children.children = &records_[first];
            if (request.opcode != FERRY_OP_RETRY)
                request.params.children.count = node.children_.size();
            return request;
        }

        std::vector<ferry_request> records_;
        std::optional<Operation<detail::TakeWhole>> operation_;
    };
    auto operator co_await() && { return Awaiter(*this); }

  private:
    [[nodiscard]] std::size_t size() const {
        std::size_t size = children_.size();
        for (const Composition &child : children_)
            size += child.size();
        return size;
    }

    ferry_request request_ = {};
    std::vector<Composition> children_;
};

/** Compositions by the engine: one request, one completion, no coroutine in between. */
namespace compose {

/** The handle that an earlier child of a chain opens: StreamRef{...} of it is a stream to be. */
template <class Ref> Ref opened(std::uint32_t index, std::uint32_t level = 0) {
    ferry_completion done = {};
    done.handle = ferry_child_handle(index, level);
    return Ref::of(done);
}

namespace detail {
template <class... Child> Composition make(std::uint16_t opcode, Child &&...child) {
    std::vector<Composition> children;
    children.reserve(sizeof...(Child));
    (children.emplace_back(std::forward<Child>(child)), ...);
    return Composition(opcode, std::move(children));
}
} // namespace detail

/** One after the other, until one fails. */
template <class... Child> Composition chain(Child &&...child) {
    return detail::make(FERRY_OP_CHAIN, std::forward<Child>(child)...);
}
/** At once, until all have ended. */
template <class... Child> Composition all(Child &&...child) {
    return detail::make(FERRY_OP_ALL, std::forward<Child>(child)...);
}
/** At once, until the first has ended. */
template <class... Child> Composition race(Child &&...child) {
    return detail::make(FERRY_OP_RACE, std::forward<Child>(child)...);
}
/** Again and again, after delays that double; 0 attempts: until it succeeds. */
template <class Child>
Composition retry(Child &&child, std::uint64_t attempts, Nanoseconds delay,
                  Nanoseconds delay_max = Nanoseconds(0)) {
    Composition whole = detail::make(FERRY_OP_RETRY, std::forward<Child>(child));
    whole.request().params.retry.attempts_max = attempts;
    whole.request().params.retry.delay_ns = ferry::detail::nanoseconds(delay);
    whole.request().params.retry.delay_max_ns = ferry::detail::nanoseconds(delay_max);
    return whole;
}

} // namespace compose

} // namespace ferry

#endif
