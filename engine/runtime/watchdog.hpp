// Tells of what holds a loop for too long, while it still does. One thread for an engine, which sleeps most of
// the time and looks at what each shard, and each thread that dispatches, says of itself.
#pragma once

#include "driver/os.hpp"
#include "runtime/watch.hpp"

#include <ferry/status.h>

#include <atomic>
#include <cstdint>

namespace ferry {

class Engine;
class Text;

class Watchdog {
  public:
    explicit Watchdog(Engine &engine) noexcept : engine_(engine) {}
    Watchdog(const Watchdog &) = delete;
    Watchdog &operator=(const Watchdog &) = delete;

    ferry_status start(uint64_t limit_ns) noexcept;
    // Waits for the thread.
    void stop() noexcept;

    // Puts what it is into words.
    static void describe(Text &text, const Task &task) noexcept;

  private:
    static void entry(void *watchdog);
    void run() noexcept;
    void look(Watch &watch, const char *whose, uint32_t number) noexcept;

    Engine &engine_;
    uint64_t limit_ns_ = 0;
    os::Event moved_;
    os::Thread thread_;
    std::atomic<bool> stopping_{false};
};

} // namespace ferry
