// The portable driver: libuv's loop and readiness, the socket calls our own.
//
// uv_poll_t rather than uv_tcp_t: a uv_write cannot be cancelled in any release, so a send could not end
// at its deadline without closing the stream; libuv's listener closes connections when descriptors run
// out; and our own send() takes MSG_NOSIGNAL, so SIGPIPE never has to be masked. See
// docs/design/001-readiness.md.
#pragma once

#include "base/lists.hpp"
#include "driver/driver.hpp"
#include "driver/worker_pool.hpp"

#include <uv.h>

namespace ferry::driver::uv {

class UvDriver;
struct TransferJob;

// A socket and the watch on its descriptor.
struct UvSocket final : Socket {
    explicit UvSocket(int descriptor) : fd(descriptor) {}

    int fd;
    // What libuv watches for now: UV_READABLE, UV_WRITABLE. Reading stays watched after a receive has
    // ended, since most often the next one follows; an event that nobody wants switches it off.
    uint8_t watched = 0;
    uint8_t deferred = 0; // Events that there was no time for: it is in the driver's list of these.
    bool gone = false;    // Closed while it was there.
    bool feeds = false;   // A transfer waits to take from it: its job is in receive.memory.
    bool drains = false;  // A transfer waits to give to it.
    bool connects = false; // Then next_dirty links the driver's list of them.
    bool lingers = false;  // Closing it may take its time.
    union {
        Connect *connecting = nullptr;
        TransferJob *drain;
    };
    uv_poll_t poll;
};

inline UvSocket &own(Socket &socket) {
    return static_cast<UvSocket &>(socket);
}

struct UvFile final : File {
    explicit UvFile(int descriptor) : fd(descriptor) {}
    int fd;
};

// What a worker does for a shard, and what the shard does when it is done.
struct ShardJob : Job {
    UvDriver *driver = nullptr;
    void (*work)(ShardJob &job) = nullptr;
    void (*finish)(ShardJob &job) = nullptr;
    ShardJob *next_done = nullptr;
};

// A whole-file load on a worker. It outlives a cancelled operation.
struct LoadJob final : Job {
    UvDriver *driver = nullptr;
    FileLoad *load = nullptr; // Null: nobody waits any more. The shard's thread only.
    uint64_t size_max = 0;
    Outcome outcome;
    void *data = nullptr;
    size_t block = 0; // Size of this block, the path behind it included.
    LoadJob *next_done = nullptr;

    char *path() noexcept { return reinterpret_cast<char *>(this + 1); }
};

struct ResolveJob;

class UvDriver final : public Driver {
  public:
    explicit UvDriver(const Environment &environment) : environment_(environment) {}
    ferry_status open() noexcept;

    const char *name() const noexcept override { return "uv"; }
    void dispose() noexcept override;
    uint64_t now_ns() const noexcept override;
    void poll(uint64_t until_ns) noexcept override;
    bool more() const noexcept override { return deferred_first_ != deferred_end_ || full_; }
    uint64_t step_ns() const noexcept override { return step_ns_; }
    void wake() noexcept override;
    int descriptor() const noexcept override;
    void keep_until(uint64_t until_ns) noexcept override;

    Outcome listen(const ferry_address &address, uint32_t backlog, bool reuse_port,
                   Socket **socket) noexcept override;
    void start_accept(Socket &listener) noexcept override;
    void cancel_accept(Socket &listener) noexcept override;
    void start_connect(Connect &connect) noexcept override;
    void cancel_connect(Connect &connect) noexcept override;
    void start_receive(Socket &stream) noexcept override;
    void cancel_receive(Socket &stream) noexcept override;
    bool send(Socket &stream, const ConstSpan *spans, size_t count,
              Outcome *outcome) noexcept override;
    void cancel_send(Socket &stream) noexcept override;
    void close(Socket &socket) noexcept override;

    Outcome set(Socket &socket, uint32_t option, int64_t value) noexcept override;
    Outcome address(Socket &socket, bool peer, ferry_address *address) noexcept override;
    Outcome shut_down(Socket &stream) noexcept override;
    Outcome adopt(int64_t descriptor, uint64_t kind, Resource **resource) noexcept override;
    Outcome release(Resource &resource) noexcept override;
    void close(File &file) noexcept override;
    void abandon(File &file) noexcept override;

    void start_transfer(Transfer &transfer) noexcept override;
    void cancel_transfer(Transfer &transfer) noexcept override;

    void start_load(FileLoad &load) noexcept override;
    void cancel_load(FileLoad &load) noexcept override;

    void start_resolve(Resolve &resolve) noexcept override;
    void cancel_resolve(Resolve &resolve) noexcept override;

    void abandon(Socket &socket) noexcept override;
    void abandon_transfers() noexcept;
    void abandon_all() noexcept override;

    // A transfer's slice is done.
    void come_back(TransferJob &job) noexcept;

  private:
    ~UvDriver() = default;
    friend class ferry::Allocator;

    static UvDriver &driver_of(uv_loop_t *loop) noexcept {
        return *static_cast<UvDriver *>(loop->data);
    }
    // As many events as libuv asks epoll for at once.
    static constexpr uint32_t kBatch = 1024;

    static void on_socket(uv_poll_t *handle, int status, int events);
    static void on_timer(uv_poll_t *handle, int status, int events);
    static void on_wake(uv_async_t *handle);
    static void run_load(Job *job);
    static void read_file(LoadJob &job);
    static void run_resolve(Job *job);

    // Null, and why, on failure; the descriptor is closed then.
    UvSocket *make_socket(int fd, Outcome *outcome) noexcept;
    UvSocket *wrap(int fd, Outcome *outcome) noexcept; // The same, but it stays open.
    int unwrap(UvSocket &socket) noexcept;
    bool close_on_worker(int fd) noexcept;
    bool submit(ShardJob &job) noexcept;
    void finish_jobs() noexcept;
    static void run_job(Job *job);

    Outcome adopt_socket(int fd, bool listens, Resource **resource) noexcept;
    Outcome adopt_file(int fd, Resource **resource) noexcept;

    void go_on(TransferJob &job) noexcept;
    void hand_to_worker(TransferJob &job) noexcept;
    void await_input(TransferJob &job) noexcept;
    void await_room(TransferJob &job) noexcept;
    void input_ready(UvSocket &socket) noexcept;
    void output_ready(UvSocket &socket) noexcept;
    void end_transfer(TransferJob &job, Outcome outcome) noexcept;
    void watch(UvSocket &socket, int events) noexcept;
    bool deliver(UvSocket &socket, int events) noexcept;
    void defer(UvSocket &socket, int events) noexcept;
    bool deliver_deferred() noexcept;
    void run_loop(uv_run_mode mode) noexcept;
    void cut_short() noexcept;
    void note_event() noexcept;
    void note_step() noexcept;
    void readable(UvSocket &socket) noexcept;
    void writable(UvSocket &socket) noexcept;
    void accept_ready(UvSocket &listener) noexcept;
    void receive_ready(UvSocket &stream) noexcept;
    void connect_ready(UvSocket &socket) noexcept;
    void forget_connect(UvSocket &socket) noexcept;
    bool finish_loads() noexcept;
    void finish_load(LoadJob *job) noexcept;
    void drop_loads(LoadJob *job) noexcept;
    void finish_resolves() noexcept;
    void drop_resolves() noexcept;
    void free_resolve(ResolveJob &job) noexcept;
    void free_job(LoadJob *job) noexcept;
    void drop_result(LoadJob &job) noexcept;

    Environment environment_;
    uv_loop_t loop_;
    uv_async_t wake_;
    uv_poll_t timer_;
    int timer_fd_ = -1;
    uint64_t timer_at_ns_ = UINT64_MAX; // When timer_fd_ fires; may be earlier than needed.
    bool loop_open_ = false;
    bool abandoned_ = false;
    Socket *connecting_ = nullptr;
    Mailbox<LoadJob, &LoadJob::next_done> done_;
    uint32_t loads_ = 0;          // Jobs not come back yet.
    LoadJob *finished_ = nullptr; // Come back; taken from done_.
    Mailbox<Job, &Job::next> resolved_;
    Mailbox<ShardJob, &ShardJob::next_done> jobs_done_;
    TransferJob *transfers_ = nullptr;

    // What the last poll had no time for.
    bool loads_late_ = false;
    uint32_t deferred_first_ = 0;
    uint32_t deferred_end_ = 0;
    UvSocket *deferred_[kBatch];
    int empty_fd_ = -1; // An epoll set without a descriptor; see cut_short().
    int cut_fd_ = -1;   // The loop's own meanwhile.

    // Of the present or last uv_run().
    uint32_t events_ = 0;
    bool full_ = false; // There were as many events as fit into a batch.
    uint64_t began_ns_ = 0;
    uint64_t step_ns_ = 0; // How long epoll takes; falls slowly.
};

} // namespace ferry::driver::uv
