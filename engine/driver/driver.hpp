// The only seam to the operating system.
//
// A shard owns one driver and calls it on its own thread (wake() alone may be called from any). The
// runtime starts primitives; the driver completes each exactly once, at once or later from poll().
// Completion is the common ground: a readiness driver (uv) does the call when the descriptor is ready, a
// completion driver (io_uring) hands over the kernel's result, a simulated one makes it up. A function
// stands here only if two drivers do it differently.
#pragma once

#include "base/allocator.hpp"
#include "base/block_pool.hpp"
#include "base/id.hpp"
#include "coro/fiber.hpp"
#include "driver/resource.hpp"

#include <ferry/address.h>
#include <ferry/engine.h>
#include <ferry/file.h>
#include <ferry/request.h>
#include <ferry/status.h>
#include <ferry/trace.h>

#include <cstddef>
#include <cstdint>

namespace ferry::driver {

namespace sim {
class SimDriver;
}

class WorkerPool;
struct File;
struct Socket;

struct Outcome {
    int32_t status = 0;   // FERRY_OK or FERRY_E_...
    int32_t os_error = 0; // The system's own number beside it.
    int64_t result = 0;   // Bytes.
};

// Something started that has not ended yet.
struct Primitive {
    Outcome outcome;
    coro::Wait *wait = nullptr; // Woken when it ends; null when it ended within its start call.
    bool active = false;        // From start to complete().

    void complete(Outcome with) noexcept {
        FERRY_ASSERT(active);
        outcome = with;
        active = false;
        if (coro::Wait *waiting = wait) {
            wait = nullptr;
            waiting->wake();
        }
    }
};

// Bytes from a stream: into memory, or where memory is null into a buffer lent when data arrives.
// outcome.result = bytes, 0 = end of stream. With every buffer lent it ends with FERRY_E_FULL.
struct Receive : Primitive {
    // Memory is null: behind the stream's rest, where it stays, lent to nobody.
    bool gather = false;
    bool again = false; // The next follows at once, until stop_receive().
    void *memory = nullptr;
    size_t size = 0;
    uint64_t buffer = 0; // Out: the lent buffer's id; memory is then its address.
};

// One connection from a listener.
struct Accept : Primitive {
    bool again = false;       // The next follows at once, until stop_accept().
    Socket *socket = nullptr; // Out.

    // The runtime's, and here because a stream has no use for them:
    bool spread = false; // Its connections go to all shards by turns.
    uint32_t turn = 0;   // Whose it is.
};

// One connection to an address.
struct Connect : Primitive {
    ferry_address address = {};
    ferry_address local = {}; // Where from; all zero = the system chooses.
    Socket *socket = nullptr; // Out; the driver's own while active.
    void *job = nullptr;      // The driver's own while active.
};

// A whole file.
struct FileLoad : Primitive {
    const char *path = nullptr; // Copied by the driver: a cancelled load may outlive its operation.
    uint64_t size_max = 0;
    void *data = nullptr;  // Out: from Host::allocate_load(); outcome.result bytes, null if 0.
    void *job = nullptr;   // The driver's own while active.
    void *steps = nullptr; // The same.
};

// One call on a file or a path that may block. Cancelled, those that use memory of the host's (read, write,
// store) end early only if they have not begun.
struct FileCall : Primitive {
    enum class What : uint8_t { open, store, read, write, stat, path_stat, sync, truncate };

    What what = What::open;
    bool data_only = false;     // sync
    bool no_follow = false;     // path_stat
    uint32_t open_flags = 0;    // open: FERRY_OPEN_...
    uint32_t mode = 0;          // open, store
    const char *path = nullptr; // open, store, path_stat. Copied by the driver: see FileLoad.
    File *file = nullptr;       // The others. Out: open.
    const ferry_slice *slices = nullptr; // read, write, store: the host's memory.
    size_t slice_count = 0;
    uint64_t offset = 0;             // read, write; truncate: the new size.
    ferry_file_info *info = nullptr; // stat, path_stat: filled when it completes.
    void *job = nullptr;             // The driver's own while active.
    uint64_t done = 0;               // The same: bytes.
    bool unwanted = false;           // The same: it is to end early.
};

// The addresses of a name, in the order in which to try them.
struct Resolve : Primitive {
    const char *name = nullptr; // Copied by the driver: a cancelled one may outlive its operation.
    uint32_t family = 0;        // FERRY_IPV4, FERRY_IPV6, 0 = both.
    uint16_t port = 0;
    void *data =
        nullptr; // Out: ferry_address records, from Host::allocate_load(); outcome.result bytes.
    void *job = nullptr; // The driver's own while active.
};

// Bytes from one stream or file to another; outcome.result = those that arrived, also on failure. A
// stream's next receive and the front of its sends belong to it while it is active.
struct Transfer : Primitive {
    bool torn = false; // Out: bytes were taken from the source and have not arrived.
    Resource *from = nullptr;
    Resource *to = nullptr;
    const void *head = nullptr; // Bytes that come before those of the source.
    size_t head_size = 0;
    uint64_t size = 0; // Of all, the head included.
    uint64_t from_offset = 0;
    uint64_t to_offset = 0;
    void *job = nullptr; // The driver's own while active.
};

// One that waits for its turn to send on a stream: with bytes, or, without any, to do something there
// while later ones wait.
struct Outgoing {
    Outgoing *next = nullptr;
    const ferry_slice *slices = nullptr; // From the first that is not taken whole.
    uint64_t part = 0;                   // Of the first slice, taken.
    uint64_t left = 0;                   // Bytes not taken by the system.
    uint64_t taken = 0;
    Outcome outcome;
    coro::Wait *wait = nullptr;
    coro::Fiber *fiber = nullptr;
    bool turn = false;     // No bytes: it is woken at the front and stays there until it passes.
    bool has_turn = false; // It has been.
};

// Received bytes that nobody has asked for yet; the runtime's.
struct Rest;

// A listener or a connected stream, made by the driver, which keeps its own part behind this one. The
// runtime's part lives here too, because an idle connection is counted in bytes: one block for all.
struct Socket : Resource {
    Socket() noexcept : receive() {}

    union {
        Receive receive; // A stream's: one at a time.
        Accept accept;   // A listener's: one at a time.
    };

    coro::Fiber *reader = nullptr; // The operation that receives or accepts.
    Rest *rest = nullptr;          // A stream's, if any: its next receive begins with it.

    // Sends, in submission order; the front one may be partly taken.
    Outgoing *unsent = nullptr;
    Outgoing *unsent_last = nullptr;
    Socket *next_dirty = nullptr; // In the shard's list of sockets to flush.
    bool dirty = false;
    bool sending = false; // The driver owes us a Host::sent().

    bool is_listener = false;
};

// An open file, made by the driver, which keeps its own part behind this one.
struct File : SharedResource {};

// As a kind of descriptor beside FERRY_DESCRIPTOR_...: a stream that another shard's driver has accepted and
// released. What it is like is known.
constexpr uint64_t kAcceptedStream = 256;

struct Span {
    void *data = nullptr;
    size_t size = 0;
};

struct ConstSpan {
    const void *data;
    size_t size;
};

// Most spans in one send call: what one vectored send may have.
constexpr size_t kSendSpansMax = FERRY_SLICES_MAX;

// What a driver may ask of the shard that owns it; all on the shard's thread unless it says otherwise.
class Host {
  public:
    // Memory for a stream's next receive; lend() turns its beginning into a lent buffer and returns the
    // id, or 0 for a receive that gathers. Nothing may come between the two.
    // status: FERRY_OK, FERRY_E_FULL when everything is lent, FERRY_E_NO_MEMORY.
    virtual Span lend_space(Socket &stream, int32_t *status) noexcept = 0;
    virtual uint64_t lend(Socket &stream, size_t used) noexcept = 0;

    // The same for a driver whose system wants the room before anything arrives: a piece of kPieceSize,
    // of which lend_piece() lends the beginning. A piece is the driver's until it is lent or dropped.
    static constexpr size_t kPieceSize = 16384;
    struct Piece {
        void *memory = nullptr; // Null: there is no room.
        void *owner = nullptr;
    };
    virtual Piece take_piece() noexcept = 0;
    virtual uint64_t lend_piece(const Piece &piece) noexcept = 0; // 0: it is the driver's still.
    virtual void drop_piece(const Piece &piece) noexcept = 0;

    // Bytes came for which nobody waits: the stream's next receive begins with them. False: no memory.
    virtual bool keep(Socket &stream, const void *data, size_t size) noexcept = 0;

    // Memory for a loaded file, counted against the engine's ceiling. Any thread.
    virtual Outcome allocate_load(size_t size, void **memory) noexcept = 0;
    virtual void free_load(void *memory, size_t size) noexcept = 0;

    // The send in progress has ended: outcome.result bytes were taken, maybe none yet.
    virtual void sent(Socket &socket, Outcome outcome) noexcept = 0;

    // From poll(): the file is closed, as well as the system could. Its memory goes after this.
    virtual void closed(File &file, Outcome outcome) noexcept = 0;

    // After every event: run what it made ready. False when the time is used up: leave the remaining
    // events for the next poll.
    virtual bool run_ready() noexcept = 0;

    // The time is used up already: deliver nothing, it must come again.
    bool out_of_time() const noexcept { return out_of_time_; }

    // There is a limit at all.
    bool limited() const noexcept { return limited_; }

    // Any thread: the driver has something to deliver in its next poll().
    virtual void nudge() noexcept = 0;

  protected:
    ~Host() = default;
    bool out_of_time_ = false;
    bool limited_ = false;
};

// What a driver is made from.
struct Environment {
    Host &host;
    WorkerPool &workers; // For files.
    WorkerPool &names;   // For names, so that neither waits for the other.
    const Allocator &allocator;
    BlockPool &blocks;
    const ferry_engine_options &options;
};

class Driver {
  public:
    // Free it; every socket is closed, or the process is a fork's child and it was abandoned.
    virtual void dispose() noexcept = 0;
    Driver(const Driver &) = delete;
    Driver &operator=(const Driver &) = delete;

    virtual const char *name() const noexcept = 0;
    // Null: the world is the real one.
    virtual sim::SimDriver *simulated() noexcept { return nullptr; }
    // The last poll() found that nothing will ever happen by itself.
    virtual bool stands_still() const noexcept { return false; }
    // What becomes of an operation, for the simulated world's trace.
    virtual void note(const ferry_trace_event &) noexcept {}
    // FERRY_RING_... bits.
    virtual uint64_t ring() const noexcept { return 0; }

    // On the thread that will poll, or for a host-driven engine on the one that makes it; before all else.
    virtual ferry_status begin() noexcept { return FERRY_OK; }

    // Monotonic nanoseconds. Any thread.
    virtual uint64_t now_ns() const noexcept = 0;
    // The same, late by some milliseconds, and cheaper.
    virtual uint64_t coarse_ns() const noexcept { return now_ns(); }

    // Deliver what has happened; wait for it until the given time, 0 = do not wait.
    virtual void poll(uint64_t until_ns) noexcept = 0;

    // Files are being closed, maybe some without a handle: the driver cannot go yet.
    virtual bool closing() const noexcept { return false; }

    // The last poll stopped before it had delivered all there was.
    virtual bool more() const noexcept { return false; }

    // For how long the next poll may be occupied before it delivers anything. It is an estimate.
    virtual uint64_t step_ns() const noexcept { return 0; }

    // Hand over to the system what was started since the last poll: the next may be long in coming.
    virtual void flush() noexcept {}

    // End the wait of a poll, now or the next one. Any thread, also none of ours.
    virtual void wake() noexcept = 0;

    // Readable when poll(0) would deliver something; keep_until() adds a time to that.
    virtual int descriptor() const noexcept = 0;
    virtual void keep_until(uint64_t until_ns) noexcept = 0;

    // Open a listener, at once. outcome.result = its port.
    virtual Outcome listen(const ferry_address &address, uint32_t backlog, bool reuse_port,
                           Socket **socket) noexcept = 0;

    // Each start_ makes the primitive active; each cancel_ makes an active one complete early with
    // FERRY_E_CANCELED, now or later: until then its memory is in use.
    virtual void start_accept(Socket &listener) noexcept = 0;
    virtual void cancel_accept(Socket &listener) noexcept = 0;
    virtual void start_connect(Connect &connect) noexcept = 0;
    virtual void cancel_connect(Connect &connect) noexcept = 0;
    virtual void start_receive(Socket &stream) noexcept = 0;
    virtual void cancel_receive(Socket &stream) noexcept = 0;
    // Who received or accepted "again" is about to end: the primitive ends when the system has let go. What
    // came until then is kept.
    virtual void stop_receive(Socket &stream) noexcept { stream.receive.complete({}); }
    virtual void stop_accept(Socket &listener) noexcept { listener.accept.complete({}); }
    virtual void start_load(FileLoad &load) noexcept = 0;
    virtual void cancel_load(FileLoad &load) noexcept = 0;

    virtual void start_file(FileCall &call) noexcept { unsupported(call); }
    virtual void cancel_file(FileCall &) noexcept {}
    virtual void start_resolve(Resolve &resolve) noexcept { unsupported(resolve); }
    virtual void cancel_resolve(Resolve &) noexcept {}

    virtual void start_transfer(Transfer &transfer) noexcept { unsupported(transfer); }
    virtual void cancel_transfer(Transfer &) noexcept {}

    // Of a socket, at once.
    virtual Outcome set(Socket &, uint32_t /*option*/, int64_t /*value*/) noexcept {
        return kUnsupported;
    }
    virtual Outcome address(Socket &, bool /*peer*/, ferry_address *) noexcept {
        return kUnsupported;
    }
    // No more will be sent; nothing waits to be.
    virtual Outcome shut_down(Socket &) noexcept { return kUnsupported; }

    // A descriptor of the system's becomes a socket or a file (by FERRY_DESCRIPTOR_...), and back:
    // outcome.result is the descriptor then, nothing is active on it, its memory is the driver's again.
    virtual Outcome adopt(int64_t /*descriptor*/, uint64_t /*kind*/, Resource **) noexcept {
        return kUnsupported;
    }
    virtual Outcome release(Resource &) noexcept { return kUnsupported; }

    // Give the system what it takes of these bytes now. True: done, outcome is set. False: later, by
    // Host::sent(); the spans' memory stays in use until then, the array does not.
    virtual bool send(Socket &stream, const ConstSpan *spans, size_t count,
                      Outcome *outcome) noexcept = 0;
    // Stop a send in progress; Host::sent() still comes, now or later. May be asked again before it does.
    virtual void cancel_send(Socket &stream) noexcept = 0;

    // Close for good; nothing is active on it. The socket's memory is the driver's again. A file takes
    // its time, and Host::closed() tells.
    virtual void close(Socket &socket) noexcept = 0;
    virtual void close(File &) noexcept {}

    // Everything has ended, the workers too: let go of what came back too late. Any thread.
    virtual void settle() noexcept {}

    // In a fork's child: close the descriptor, touch nothing that the parent shares.
    virtual void abandon(Socket &socket) noexcept = 0;
    virtual void abandon(File &) noexcept {}
    virtual void abandon_all() noexcept = 0;

  protected:
    Driver() = default;
    ~Driver() = default;

    // What a driver does not know yet says so.
    static constexpr Outcome kUnsupported = {.status = FERRY_E_UNSUPPORTED};
    static void unsupported(Primitive &primitive) noexcept { primitive.complete(kUnsupported); }
};

} // namespace ferry::driver
