// An open file of the simulation's, and a call under way on a file or a path.
#pragma once

#include "driver/sim/sim_driver.hpp"

#include <cstddef>
#include <cstdint>

namespace ferry::driver::sim {

// Its path, as it was given, lies behind: faults are ordered by it.
struct SimFile final : File {
    SimFile *next = nullptr; // In the driver's list.
    SimFile **link = nullptr;
    Machine *machine = nullptr;
    uint32_t crashes = 0; // Its machine's, when it was opened.
    uint32_t flags = 0;   // FERRY_OPEN_...
    Disk::Node *node = nullptr;
    uint64_t position = 0;
    size_t size = 0; // Of its block.
    Event closing;
    Outcome outcome; // Of the close.

    char *path() noexcept { return reinterpret_cast<char *>(this + 1); }
    bool dead() const noexcept { return !machine->up || crashes != machine->crashes; }
};

// A call on a file, or a whole load or store: one step after the other, with time between them. A crash
// may fall there. The path lies behind.
struct FileJob final : Job {
    enum class Step : uint8_t {
        open,
        stat,
        read,
        write,
        truncate,
        sync,
        rename,
        sync_folder,
        end // It is to end as outcome says.
    };

    FileJob *next = nullptr; // In the driver's list.
    FileJob **link = nullptr;
    Machine *machine = nullptr;
    const char *path = nullptr;  // As it was given.
    const char *local = nullptr; // On its machine's disk.
    FileCall call;               // A copy. Of a load: its path only.
    bool loads = false;
    bool begun = false; // A step was made, or cannot be called back any more.
    Step step = Step::end;
    Verdict verdict; // On the next step.
    Outcome outcome;
    uint64_t done = 0; // Bytes.
    uint64_t total = 0;
    size_t piece = 0; // Of the next step.

    SimFile *file = nullptr;    // Which it works on, or which it opens.
    Disk::Node *node = nullptr; // A load's file, a store's temporary; open.

    // Of the host's memory:
    size_t slice = 0;
    uint64_t slice_used = 0;

    // A load's:
    uint64_t size_max = 0;
    char *data = nullptr;
    size_t data_size = 0;

    // A store's:
    Disk::Node *folder = nullptr; // Open.
    const char *name = nullptr;   // In it.
    char temporary[32] = "";      // The other one's name while it is there.

    char *own_path() noexcept { return reinterpret_cast<char *>(this + 1); }
    // Whether it may end while its file is still at work: nothing of the host's is in use.
    bool detachable() const noexcept {
        using What = FileCall::What;
        return loads || call.what == What::open || call.what == What::stat ||
               call.what == What::path_stat;
    }
    bool is_store() const noexcept { return !loads && call.what == FileCall::What::store; }
};

} // namespace ferry::driver::sim
