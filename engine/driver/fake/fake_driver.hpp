// A driver without a system: connections, files and time are made up in memory.
//
// For tests of what stands above the seam. Time stands still while anything happens and jumps when
// the shard would wait, so an hour's sleep takes none. All that the seam leaves open can be chosen:
// whether a primitive ends within its start call or in a later poll, whether a cancelled one ends
// at once, how much a send takes. Only the shard's thread may use it, wake() and now_ns() excepted.
#pragma once

#include "driver/driver.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ferry::driver::fake {

// What a test may order to fail.
enum class Call : uint8_t { listen, accept, connect, receive, send, load, file, close };

// A listener, or one end of a connection.
struct FakeSocket final : Socket {
    uint16_t port = 0;                // A listener's.
    size_t backlog = 0;               // A listener's.
    std::deque<FakeSocket *> waiting; // A listener's connections, not accepted yet.
    FakeSocket *peer = nullptr;       // The other end; null when it is closed.
    std::string arrived;              // Bytes for receive.
    std::vector<ConstSpan> held;      // Of a send under way whose memory the driver still uses.
    bool blocked = false;             // The send under way waits for room at the peer.
};

// An open file. Its bytes stay while it is open, whatever its path names by then.
struct FakeFile final : File {
    std::shared_ptr<std::string> contents;
    uint32_t flags = 0; // FERRY_OPEN_...
    uint64_t position = 0;
};

class FakeDriver final : public Driver {
  public:
    explicit FakeDriver(const Environment &environment) : environment_(environment) {}

    // ---- for tests ----
    // As a readiness driver: a send takes what fits at once, a cancel is done at once. As a
    // completion driver: all of that happens in a later poll, and until then the memory is in use.
    bool completes_later = false;
    // A primitive that can end at once does so within its start call.
    bool eager = false;
    size_t pipe_size = 65536;   // What a connection holds in one direction before sends wait.
    size_t send_max = SIZE_MAX; // What one send takes at most.

    void set_file(const char *path, std::string contents) {
        files_[path] = std::make_shared<std::string>(std::move(contents));
    }
    // What a path names; null if nothing.
    const std::string *file(const char *path) const {
        auto found = files_.find(path);
        return found != files_.end() ? found->second.get() : nullptr;
    }
    // The next such call ends like this.
    void fail_next(Call call, const Outcome &outcome) { failures_.push_back({call, outcome}); }
    size_t sockets() const noexcept { return sockets_; }
    size_t open_files() const noexcept { return open_files_; }

    // ---- the seam ----
    const char *name() const noexcept override { return "fake"; }
    void dispose() noexcept override;
    uint64_t now_ns() const noexcept override { return now_ns_.load(std::memory_order_relaxed); }
    void poll(uint64_t until_ns) noexcept override;
    void wake() noexcept override;
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
    void start_load(FileLoad &load) noexcept override;
    void cancel_load(FileLoad &load) noexcept override;
    bool send(Socket &stream, const ConstSpan *spans, size_t count,
              Outcome *outcome) noexcept override;
    void cancel_send(Socket &stream) noexcept override;
    void close(Socket &socket) noexcept override;
    void start_file(FileCall &call) noexcept override;
    void cancel_file(FileCall &call) noexcept override;
    void close(File &file) noexcept override;
    void abandon(Socket &) noexcept override {}
    void abandon_all() noexcept override {}

  private:
    ~FakeDriver() = default;
    friend class ferry::Allocator;

    // A reason to look at something in the next poll. It need not hold any more by then.
    struct Event {
        Call call;
        bool cancel;
        void *subject; // A FakeSocket, Connect, FileLoad, FileCall or FakeFile.
    };
    struct Failure {
        Call call;
        Outcome outcome;
    };

    void begin(Call call, void *subject) noexcept;
    void cancel(Call call, void *subject) noexcept;
    void post(Call call, void *subject, bool cancel = false) noexcept;
    void forget(Call call, const void *subject) noexcept;
    void end(Call call, void *subject, Primitive &primitive, const Outcome &outcome) noexcept;
    bool fails(Call call, Outcome *outcome) noexcept;
    void wait(uint64_t until_ns) noexcept;
    void deliver(const Event &event) noexcept;
    void accept(FakeSocket &listener) noexcept;
    void connect(Connect &connect) noexcept;
    void receive(FakeSocket &stream) noexcept;
    void finish_send(FakeSocket &stream) noexcept;
    Outcome take(FakeSocket &stream, const ConstSpan *spans, size_t count) noexcept;
    Outcome load(FileLoad &load) noexcept;
    Outcome make_call(FileCall &call) noexcept;
    Outcome open_file(FileCall &call) noexcept;
    void finish_close(FakeFile &file) noexcept;
    FakeSocket *make_socket() noexcept;
    void destroy(FakeSocket *socket) noexcept;
    void retry_connects() noexcept;

    Environment environment_;
    std::atomic<uint64_t> now_ns_{1'000'000'000};
    std::mutex mutex_;
    std::condition_variable woken_up_;
    bool woken_ = false; // Under mutex_.
    std::deque<Event> events_;
    std::vector<Failure> failures_;
    std::map<std::string, std::shared_ptr<std::string>> files_;
    std::map<uint16_t, FakeSocket *> listeners_;
    std::vector<Connect *> connecting_; // Those that wait for room in a backlog.
    uint16_t next_port_ = 40000;
    size_t sockets_ = 0;
    size_t open_files_ = 0;
};

} // namespace ferry::driver::fake
