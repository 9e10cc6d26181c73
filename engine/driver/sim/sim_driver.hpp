// The driver of a simulated world: its clock, its network, its disks, all decided by a seed.
//
// Nothing here asks the system for anything. Time stands still while the shard has something to do; a
// poll that may wait lets it jump to the next event. What the seam leaves open is left to the seed:
// whether a primitive ends within its start call or later, whether a cancelled one ends at once, how
// much is taken at a time, what happens first of what falls due together.
//
// Everything small comes from the shard's block pool, so that an engine that is destroyed in a fork's
// child leaks nothing.
#pragma once

#include "driver/driver.hpp"
#include "driver/sim/events.hpp"
#include "driver/sim/faults.hpp"
#include "driver/sim/network.hpp"
#include "driver/sim/random.hpp"
#include "driver/sim/trace.hpp"

#include <ferry/sim.h>

#include <atomic>
#include <new>

namespace ferry::driver::sim {

struct SimSocket;
struct ConnectJob;
struct ResolveJob;
struct TransferJob;
struct DiskCall;
struct FileJob;

// Something under way for a primitive; in its job pointer. size: of the block it lies in.
struct Job : Event {
    Primitive *primitive = nullptr;
    size_t size = 0;
};

// A packet's worth of bytes; they lie behind.
struct Segment {
    Segment *next = nullptr;
    uint64_t due_ns = 0;
    uint32_t size = 0;
    uint32_t taken = 0; // By the receiver.
    bool lost = false;  // Each time it was sent: the sender gives up when it is due.

    char *data() noexcept { return reinterpret_cast<char *>(this + 1); }
};

// One direction of a connection.
struct Pipe {
    Pipe *back = nullptr; // The other direction.
    Machine *from = nullptr;
    Machine *to = nullptr;
    uint32_t from_crashes = 0;   // As it was made.
    SimSocket *source = nullptr; // Null: closed.
    SimSocket *sink = nullptr;
    Event arrival; // What flies first is there, or the end is.
    Event room;    // The source hears that the sink has taken something.
    Event reset;   // The sink hears that there is no connection.
    Fifo<Segment, &Segment::next> flying;
    Fifo<Segment, &Segment::next> arrived;
    size_t flying_bytes = 0;
    size_t arrived_bytes = 0;
    uint64_t last_due_ns = 0; // Nothing overtakes.
    uint64_t clear_ns = 0;    // When the way has taken in what was sent.
    uint64_t stuck_ns = 0;    // Since when nothing gets through; 0 = it does.
    uint32_t tries = 0;
    uint64_t unheard_ns = 0; // Since when the source asks for room and hears nothing; 0 = it does.
    bool ending = false;     // The end was sent,
    bool ended = false;      // and has come.

    // What a crashed host has sent is not sent again.
    bool sender_gone() const noexcept { return !from->up || from->crashes != from_crashes; }
    bool nobody() const noexcept; // Is there to take what arrives.
    // Something comes, if nothing stops it.
    bool coming() const noexcept { return !flying.empty() || (ending && !ended); }
};

struct Connection {
    Pipe pipes[2];
};

// A listener, or one end of a connection.
struct SimSocket final : Socket {
    Machine *machine = nullptr;
    uint32_t crashes = 0;      // Its machine's, when it was made.
    SimSocket *next = nullptr; // In the driver's list.
    SimSocket **link = nullptr;
    ferry_address local = {};
    ferry_address peer = {};
    uint64_t receive_buffer = 65536;
    uint64_t send_buffer = 65536;

    // A listener's:
    uint32_t backlog = 0;
    bool reuse_port = false;
    SimSocket *waiting = nullptr; // Connections to be accepted, the oldest first, by next_waiting.
    SimSocket *next_waiting = nullptr;

    // A stream's:
    Connection *connection = nullptr;
    uint32_t side = 0;    // It is the source of that pipe and the sink of the other.
    Outcome error;        // To be told once.
    bool broken = false;  // Nothing can be sent any more.
    bool shut = false;    // It has sent its end.
    bool deaf = false;    // A fault: this receive or accept hears of nothing.
    bool judged = false;  // The fault that meets this receive or accept was asked for.
    bool blocked = false; // A send waits for room.
    bool send_canceled = false;
    bool linger_reset = false; // Closing it resets the connection.
    Verdict verdict;           // While judged.
    Event reading;             // Look at what there is to receive or accept.
    Event writing;             // The same for a send.
    Event canceling;           // The receive or accept ends.
    Event probe;               // Whether the peer is still there.
    uint64_t probe_ns = 0;     // 0 = never.
    uint32_t unanswered = 0;
    TransferJob *transfer_in = nullptr;  // Copies from here,
    TransferJob *transfer_out = nullptr; // or to here.
    static constexpr size_t kHeldMax = 8;
    ConstSpan held[kHeldMax]; // A send whose bytes are taken later.
    size_t held_count = 0;

    Pipe &out() const noexcept { return connection->pipes[side]; }
    Pipe &in() const noexcept { return connection->pipes[1 - side]; }
    bool dead() const noexcept { return !machine->up || crashes != machine->crashes; }
    bool waits_for_room() const noexcept {
        return blocked || held_count != 0 || transfer_out != nullptr;
    }
};

inline bool Pipe::nobody() const noexcept {
    return sink == nullptr || sink->dead() || sink->broken;
}

class SimDriver final : public Driver {
  public:
    explicit SimDriver(const Environment &environment);

    // FERRY_OK or FERRY_E_NO_MEMORY.
    ferry_status open() noexcept;

    // ---- the seam ----
    const char *name() const noexcept override { return "sim"; }
    SimDriver *simulated() noexcept override { return this; }
    void note(const ferry_trace_event &event) noexcept override;
    void dispose() noexcept override;
    uint64_t now_ns() const noexcept override { return now_ns_.load(std::memory_order_relaxed); }
    void poll(uint64_t until_ns) noexcept override;
    bool more() const noexcept override { return more_; }
    bool stands_still() const noexcept override { return stands_still_; }
    void wake() noexcept override { woken_.store(true, std::memory_order_seq_cst); }
    int descriptor() const noexcept override { return -1; }
    void keep_until(uint64_t) noexcept override {}

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
    Outcome set(Socket &socket, uint32_t option, int64_t value) noexcept override;
    Outcome address(Socket &socket, bool peer, ferry_address *address) noexcept override;
    Outcome shut_down(Socket &stream) noexcept override;
    void close(Socket &socket) noexcept override;
    void start_load(FileLoad &load) noexcept override;
    void cancel_load(FileLoad &load) noexcept override;
    void start_file(FileCall &call) noexcept override;
    void cancel_file(FileCall &call) noexcept override;
    void close(File &file) noexcept override;
    void start_resolve(Resolve &resolve) noexcept override;
    void cancel_resolve(Resolve &resolve) noexcept override;
    void start_transfer(Transfer &transfer) noexcept override;
    void cancel_transfer(Transfer &transfer) noexcept override;
    void abandon(Socket &) noexcept override {}
    void abandon(File &) noexcept override {}
    void abandon_all() noexcept override {}

    // ---- control: as the functions of sim.h, arguments checked ----
    Network &network() noexcept { return network_; }
    Faults &faults() noexcept { return faults_; }
    Trace &trace() noexcept { return trace_; }
    void advance(uint64_t duration_ns) noexcept;
    void network_changed() noexcept;
    ferry_status crash(Machine &machine) noexcept;
    void restart(Machine &machine) noexcept;
    void partition(uint32_t one, uint32_t other, bool cut) noexcept;
    void set_disk(uint32_t host, const ferry_sim_disk &disk) noexcept;
    ferry_status put_file(const char *path, const void *data, size_t size) noexcept;
    ferry_status get_file(const char *path, void *data, size_t capacity, size_t *size) noexcept;
    ferry_status remove_file(const char *path) noexcept;

    // ---- for all parts of it ----
    const Environment &environment() const noexcept { return environment_; }
    Random &random() noexcept { return random_; }
    // event: not pending.
    void post(Event &event, uint64_t delay_ns) noexcept;
    void post_at(Event &event, uint64_t at_ns) noexcept;
    void drop(Event &event) noexcept { events_.remove(event); }
    bool at_once() noexcept { return random_.coin(); }
    Verdict meet(uint32_t call, const Machine &machine, const char *path = nullptr) noexcept;

    // A block for a job, with extra bytes behind it. Null: the primitive has ended.
    template <class T> T *make_job(Primitive &primitive, size_t extra = 0) noexcept {
        void *memory = environment_.blocks.allocate(sizeof(T) + extra);
        if (memory == nullptr) {
            primitive.complete({.status = FERRY_E_NO_MEMORY});
            return nullptr;
        }
        T *job = ::new (memory) T();
        job->primitive = &primitive;
        job->size = sizeof(T) + extra;
        return job;
    }
    template <class T> void free_job(T &job) noexcept {
        drop(job);
        size_t size = job.size;
        job.~T();
        environment_.blocks.free(&job, size);
    }

    // ---- what events mean ----
    void look(SimSocket &socket) noexcept { socket.is_listener ? accept(socket) : receive(socket); }
    void end_canceled(SimSocket &socket) noexcept;
    void finish_send(SimSocket &stream) noexcept;
    void look_for_peer(SimSocket &stream) noexcept;
    void arrive(Pipe &pipe) noexcept;
    void tell_room(Pipe &pipe) noexcept;
    void ask_for_room(SimSocket &stream) noexcept;
    void reset_arrived(Pipe &pipe) noexcept;
    void step_connect(ConnectJob &job) noexcept;
    void answer(ResolveJob &job) noexcept;
    void go_on(TransferJob &job) noexcept;
    void run_steps(FileJob &job) noexcept;
    void finish_close(SimFile &file) noexcept;

  private:
    friend class ferry::Allocator;
    ~SimDriver() = default;

    static SimSocket &own(Socket &socket) noexcept { return static_cast<SimSocket &>(socket); }

    // connect.cpp
    SimSocket *make_socket(Machine &machine) noexcept;
    void free_socket(SimSocket &socket) noexcept;
    bool may_go_on(SimSocket &socket, uint32_t call) noexcept;
    SimSocket *listener_at(const Machine &machine, const ferry_address &address) noexcept;
    bool port_taken(const Machine &machine, const ferry_address &address, bool reuse) noexcept;
    uint16_t free_port(Machine &machine, ferry_address address) noexcept;
    bool connection_exists(const Machine &machine, const ferry_address &local,
                           const ferry_address &peer) noexcept;
    void accept(SimSocket &listener) noexcept;
    void end_accept(SimSocket &listener, const Outcome &outcome) noexcept;
    void close_listener(SimSocket &listener) noexcept;
    Outcome find_ends(ConnectJob &job) noexcept;
    void retry_connect(ConnectJob &job) noexcept;
    void establish(ConnectJob &job, SimSocket &listener, const ferry_address &peer) noexcept;
    void end_connect(ConnectJob &job, const Outcome &outcome) noexcept;
    void crash_connects(Machine &machine) noexcept;

    // stream.cpp
    bool join(SimSocket &near, SimSocket &far) noexcept;
    void close_stream(SimSocket &stream) noexcept;
    void free_segments(Pipe &pipe) noexcept;
    void expect(Pipe &pipe) noexcept;
    bool stuck(Pipe &pipe) noexcept;
    void give_up(Pipe &pipe) noexcept;
    size_t fly(Pipe &pipe, const ConstSpan *spans, size_t count, size_t room,
               uint64_t delay_ns) noexcept;
    void send_end(SimSocket &stream) noexcept;
    void send_reset(Pipe &pipe) noexcept;
    void break_stream(SimSocket &stream, int32_t status) noexcept;
    void reset_both(SimSocket &stream) noexcept;
    void end_all_of(SimSocket &socket) noexcept;
    void end_receive(SimSocket &stream, const Outcome &outcome) noexcept;
    void watch_peer(SimSocket &stream) noexcept;
    void wake_reader(SimSocket &stream) noexcept;
    void receive(SimSocket &stream) noexcept;
    Outcome take_in(SimSocket &stream) noexcept;
    size_t copy_out(SimSocket &stream, void *memory, size_t capacity) noexcept;
    void wake_writer(SimSocket &stream) noexcept;
    size_t room_for(const SimSocket &stream) const noexcept;
    Outcome take(SimSocket &stream, const ConstSpan *spans, size_t count) noexcept;

    // transfer.cpp
    void end_transfer(TransferJob &job, const Outcome &outcome) noexcept;
    bool read_in(TransferJob &job) noexcept;
    bool write_out(TransferJob &job) noexcept;
    bool receive_for(TransferJob &job, size_t size, Outcome *outcome) noexcept;
    bool begin_disk_call(TransferJob &job, DiskCall &disk_call, SimFile &file, uint32_t call,
                         uint64_t wanted) noexcept;

    // file.cpp
    Machine *find_disk(const char *path, const char **local) noexcept;
    SimFile *make_file(const char *path) noexcept;
    void free_file(SimFile &file) noexcept;
    FileJob *make_file_job(Primitive &primitive, const char *path) noexcept;
    void begin_call(FileJob &job) noexcept;
    uint64_t prepare(FileJob &job) noexcept;
    uint64_t disk_delay(const Machine &machine, uint64_t bytes) noexcept;
    bool step(FileJob &job) noexcept;
    bool open_step(FileJob &job) noexcept;
    bool read_step(FileJob &job) noexcept;
    bool write_step(FileJob &job) noexcept;
    bool other_step(FileJob &job) noexcept;
    void end(FileJob &job) noexcept;
    void free_file_job(FileJob &job) noexcept;
    void withdraw(FileJob &job) noexcept;
    void drop_files() noexcept;
    // A piece at an offset, now: bytes, 0 = the end. What the disk's slowness adds is the caller's.
    Outcome read_now(SimFile &file, uint64_t offset, void *memory, size_t size) noexcept;
    Outcome write_now(SimFile &file, uint64_t offset, const void *data, size_t size) noexcept;
    // whole_file.cpp
    bool step_load(FileJob &job) noexcept;
    Outcome resize_load(FileJob &job, size_t size) noexcept;
    bool step_store(FileJob &job) noexcept;
    Outcome open_store(FileJob &job) noexcept;
    Outcome write_store(FileJob &job) noexcept;
    // The disk loses what it may lose, what is pending there ends. FERRY_OK or FERRY_E_NO_MEMORY.
    ferry_status crash_disk(Machine &machine) noexcept;

    Environment environment_;
    Random random_;
    Network network_;
    Faults faults_;
    Trace trace_;
    Events events_;
    std::atomic<uint64_t> now_ns_{1'000'000'000};
    std::atomic<bool> woken_{false};
    bool more_ = false;
    bool stands_still_ = false;
    SimSocket *sockets_ = nullptr;
    ConnectJob *connecting_ = nullptr;
    FileJob *file_jobs_ = nullptr;
    SimFile *files_ = nullptr;
};

} // namespace ferry::driver::sim
