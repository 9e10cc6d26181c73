// One call's wish to see inside a shard that runs on another thread.
#pragma once

#include "base/text.hpp"

#include <condition_variable>

namespace ferry {

// On the stack of who asks, linked into the shard's list; all under the engine's inspect lock. The shard writes
// under that lock, too, so who gives up waiting never leaves while its text is written.
struct DumpRequest {
    explicit DumpRequest(Text &to) : text(to) {}

    Text &text;
    bool answered = false;
    DumpRequest *next = nullptr;
    std::condition_variable moved;
};

} // namespace ferry
