// The portable driver: libuv's loop and readiness, the socket calls our own.
//
// uv_poll_t rather than uv_tcp_t: a uv_write cannot be cancelled in any release, so a send could not end
// at its deadline without closing the stream; libuv's listener closes connections when descriptors run
// out; and our own send() takes MSG_NOSIGNAL, so SIGPIPE never has to be masked. See
// docs/design/001-readiness.md.
#pragma once

#include "base/lists.hpp"
#include "driver/driver.hpp"
#include "driver/uv/jobs.hpp"

#include <sys/socket.h>
#include <uv.h>

#include <new>

namespace ferry::driver::uv {

struct TransferJob;

// A socket and the watch on its descriptor.
struct UvSocket : Socket {
    explicit UvSocket(int descriptor) : fd(descriptor) {}

    int fd;
    // What libuv watches for now: UV_READABLE, UV_WRITABLE. Reading stays watched after a receive has
    // ended, since most often the next one follows; events that nobody wants switch it off.
    uint8_t watched = 0;
    // It was readable once with nobody to receive. Only the second time in a row is the watch given up:
    // to give it up and take it again are three system calls.
    bool unwanted = false;
    uint8_t deferred = 0; // Events that there was no time for: it is in the driver's list of these.
    bool gone = false;    // Closed while it was there.
    bool feeds = false;   // A transfer waits to take from it: its job is in receive.memory.
    bool drains = false;  // A transfer waits to give to it.
    bool connects = false; // Then next_dirty links the driver's list of them.
    bool lingers = false;  // Closing it may take its time.
    // A driver that has other ways receives or accepts, or sends: what libuv says is late news.
    bool ring_reads = false;
    bool ring_sends = false;
    union {
        Connect *connecting = nullptr;
        TransferJob *drain;
    };
    uv_poll_t *poll = nullptr; // Null: it was never watched.
};

inline UvSocket &own(Socket &socket) {
    return static_cast<UvSocket &>(socket);
}

inline UvFile &own(File &file) {
    return static_cast<UvFile &>(file);
}

void free_file(UvFile &file) noexcept;
// It is nobody else's from here on.
int take_descriptor(UvFile &file) noexcept;

class UvDriver : public Driver {
  public:
    explicit UvDriver(const Environment &environment) : environment_(environment) {}
    ferry_status open() noexcept;

    const char *name() const noexcept override { return "uv"; }
    void dispose() noexcept override;
    uint64_t now_ns() const noexcept override;
    uint64_t coarse_ns() const noexcept override;
    void poll(uint64_t until_ns) noexcept override;
    bool more() const noexcept override { return has_deferred() || full_; }
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

    void start_transfer(Transfer &transfer) noexcept override;
    void cancel_transfer(Transfer &transfer) noexcept override;

    void start_load(FileLoad &load) noexcept override;
    void cancel_load(FileLoad &load) noexcept override;
    void start_file(FileCall &call) noexcept override;
    void cancel_file(FileCall &call) noexcept override;
    void close(File &file) noexcept override;

    void start_resolve(Resolve &resolve) noexcept override;
    void cancel_resolve(Resolve &resolve) noexcept override;

    void settle() noexcept override;
    void abandon(Socket &socket) noexcept override;
    void abandon(File &file) noexcept override;
    void abandon_transfers() noexcept;
    void abandon_all() noexcept override;

    // ---- for jobs ----
    Environment &environment() noexcept { return environment_; }
    // Nothing is handed to a worker any more.
    bool disposing() const noexcept { return disposing_; }
    // On a worker.
    void job_done(UvJob &job) noexcept;
    // A transfer's slice is done.
    void come_back(TransferJob &job) noexcept;

  protected:
    virtual ~UvDriver() = default;

    // Null, and why, on failure; the descriptor stays open.
    virtual UvSocket *wrap(int fd, Outcome *outcome) noexcept;
    // It is closed, and its watch, too.
    virtual void free_socket(UvSocket &socket) noexcept;
    // The same, but on failure the descriptor is closed.
    UvSocket *make_socket(int fd, Outcome *outcome) noexcept;
    UvSocket *make_connecting(Connect &connect, sockaddr_storage *name, socklen_t *size) noexcept;
    void note_connect(UvSocket &socket, Connect &connect) noexcept;
    void forget_connect(UvSocket &socket) noexcept;
    // False: no memory for a watch.
    bool watch(UvSocket &socket, int events) noexcept;
    // Give up what has been given out, before the object goes.
    void tear_down() noexcept;

    void run_loop(uv_run_mode mode) noexcept;
    bool has_deferred() const noexcept { return deferred_first_ != deferred_end_; }
    bool deliver_deferred() noexcept;
    bool finish_jobs() noexcept;
    void free_job(UvJob &job) noexcept;
    UvFile *make_file() noexcept;
    // held: a descriptor that stays open until the call is done, or -1.
    void start_file(FileCall &call, int held) noexcept;
    void start_load(FileLoad &load, int held, bool again) noexcept;

    // A job for a primitive that is started, with room behind it. Null: the primitive has ended.
    template <class T> T *make_job(Primitive &primitive, size_t behind) noexcept {
        size_t block = sizeof(T) + behind;
        void *memory = environment_.blocks.allocate(block);
        if (memory == nullptr) {
            primitive.complete({.status = FERRY_E_NO_MEMORY});
            return nullptr;
        }
        T *job = ::new (memory) T();
        job->driver = this;
        job->primitive = &primitive;
        job->block = block;
        return job;
    }

    Environment environment_;
    uv_loop_t loop_;
    bool loop_open_ = false;
    bool abandoned_ = false;
    bool disposing_ = false;
    bool watch_changed_ = false; // libuv has not told epoll yet: it does when it runs.
    Mailbox<UvJob, &UvJob::next_done> done_;
    // What the last poll had no time for.
    bool jobs_late_ = false;
    // Of the present or last uv_run().
    uint32_t events_ = 0;

  private:
    friend class ferry::Allocator;

    static UvDriver &driver_of(uv_loop_t *loop) noexcept {
        return *static_cast<UvDriver *>(loop->data);
    }
    // As many events as libuv asks epoll for at once.
    static constexpr uint32_t kBatch = 1024;
    // So many connections are accepted upon one event at most.
    static constexpr int kAcceptsAtOnce = 16;

    static void on_socket(uv_poll_t *handle, int status, int events);
    static void on_timer(uv_poll_t *handle, int status, int events);
    static void on_wake(uv_async_t *handle);

    bool make_watch(UvSocket &socket) noexcept;
    int unwrap(UvSocket &socket) noexcept;
    int unwrap(UvFile &file) noexcept;
    bool close_on_worker(int fd) noexcept;

    Outcome adopt_socket(int fd, bool listens, Resource **resource) noexcept;
    Outcome adopt_file(int fd, Resource **resource) noexcept;

    void go_on(TransferJob &job) noexcept;
    void hand_to_worker(TransferJob &job) noexcept;
    void await_input(TransferJob &job) noexcept;
    void await_room(TransferJob &job) noexcept;
    void input_ready(UvSocket &socket) noexcept;
    void output_ready(UvSocket &socket) noexcept;
    void end_transfer(TransferJob &job, Outcome outcome) noexcept;
    bool deliver_events(UvSocket &socket, int events) noexcept;
    void defer(UvSocket &socket, int events) noexcept;
    void cut_short() noexcept;
    void note_event() noexcept;
    void note_step() noexcept;
    void readable(UvSocket &socket) noexcept;
    void writable(UvSocket &socket) noexcept;
    void accept_ready(UvSocket &listener) noexcept;
    bool accept_more(const Socket &listener) noexcept;
    void receive_ready(UvSocket &stream) noexcept;
    void connect_ready(UvSocket &socket) noexcept;

    bool submit(UvJob &job) noexcept;
    void start_job(UvJob &job) noexcept;
    void end_without(UvJob &job, const Outcome &outcome) noexcept;
    void cancel_job(UvJob &job, bool may_detach) noexcept;
    void finish(UvJob &job) noexcept;

    uv_async_t wake_;
    uv_poll_t timer_;
    int timer_fd_ = -1;
    uint64_t timer_at_ns_ = UINT64_MAX; // When timer_fd_ fires; may be earlier than needed.
    Socket *connecting_ = nullptr;
    Socket *restarted_ = nullptr; // The listener whose accept was started last, while it is open.
    uint64_t polls_ = 0;
    uint64_t accepted_in_ =
        UINT64_MAX - 1;         // Which of them last brought a connection to who accepts on.
    UvJob *finished_ = nullptr; // Come back; taken from done_.
    uint32_t jobs_ = 0;         // Those not come back yet.
    TransferJob *transfers_ = nullptr;

    // What the last poll had no time for.
    uint32_t deferred_first_ = 0;
    uint32_t deferred_end_ = 0;
    UvSocket *deferred_[kBatch];
    int empty_fd_ = -1; // An epoll set without a descriptor; see cut_short().
    int cut_fd_ = -1;   // The loop's own meanwhile.

    // Of the present or last uv_run().
    bool full_ = false; // There were as many events as fit into a batch.
    uint64_t began_ns_ = 0;
    uint64_t step_ns_ = 0; // How long epoll takes; falls slowly.
};

} // namespace ferry::driver::uv
