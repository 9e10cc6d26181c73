// One simulated host's file system: folders and regular files, in memory, and what of them a power
// failure leaves.
//
// A file's own sync makes its bytes durable but not its name, and a folder's sync makes names durable but
// not what they lead to. POSIX promises no more, and file systems that give more do not give it
// everywhere. So a program must sync the file, rename it, and sync the folder.
//
// There are no users: everything is root's, and nothing is refused for its permissions.
#pragma once

#include "base/allocator.hpp"
#include "base/lists.hpp"
#include "driver/driver.hpp"
#include "driver/sim/contents.hpp"
#include "driver/sim/random.hpp"
#include "driver/sim/table.hpp"

#include <ferry/file.h>

#include <cstddef>
#include <cstdint>

namespace ferry::driver::sim {

class Disk {
  public:
    static constexpr uint64_t kBytesMax = uint64_t{1} << 30;
    static constexpr size_t kNameMax = 255;

    // A file or folder, whatever its names.
    struct Node;

    // Where a path leads to.
    struct Place {
        Node *folder = nullptr;
        const char *name =
            nullptr;          // The last part, which lies in the path; null: "/", "." or "..".
        size_t size = 0;      // Of it.
        bool slash = false;   // Behind it.
        Node *node = nullptr; // What is there. Null: nothing.
    };

    explicit Disk(const Allocator &allocator);
    ~Disk();
    Disk(const Disk &) = delete;
    Disk &operator=(const Disk &) = delete;

    // Before all else: the root. FERRY_OK or FERRY_E_NO_MEMORY.
    ferry_status open() noexcept;
    void set_bytes_max(uint64_t bytes) noexcept { bytes_max_ = bytes; }
    // By sectors; of all files that have a name or are open.
    uint64_t bytes_used() const noexcept { return used_; }

    // ---- as the system's calls; now_ns: since 1970 ----
    // flags: FERRY_OPEN_... A node that is opened stays until it is closed as often.
    Outcome open(const char *path, uint32_t flags, uint32_t mode, uint64_t now_ns,
                 Node **opened) noexcept;
    void open(Node &node) noexcept;
    void close(Node &node) noexcept;
    // outcome.result = bytes; 0: the end.
    Outcome read(Node &node, uint64_t offset, void *data, size_t size, uint64_t now_ns) noexcept;
    // outcome.result = bytes, fewer than size where no more fit; it fails only with none.
    Outcome write(Node &node, uint64_t offset, const void *data, size_t size,
                  uint64_t now_ns) noexcept;
    Outcome truncate(Node &node, uint64_t size, uint64_t now_ns) noexcept;
    // A file's bytes, or a folder's names.
    void sync(Node &node) noexcept;
    void stat(const Node &node, ferry_file_info *info) const noexcept;
    Outcome stat(const char *path, ferry_file_info *info) noexcept;
    static bool is_folder(const Node &node) noexcept;
    static uint64_t size_of(const Node &node) noexcept;

    // ---- the same by a folder and names in it ----
    Outcome walk(const char *path, Place *place) noexcept { return walk(path, false, 0, place); }
    Node *look(const Node &folder, const char *name) const noexcept;
    // A new one, open.
    Outcome create(Node &folder, const char *name, uint32_t mode, uint64_t now_ns,
                   Node **opened) noexcept;
    static void set_permissions(Node &node, uint32_t permissions, uint64_t now_ns) noexcept;
    static uint32_t permissions_of(const Node &node) noexcept;
    // What has the other name is replaced, in one step.
    Outcome rename(Node &folder, const char *from, const char *to, uint64_t now_ns) noexcept;
    Outcome unlink(Node &folder, const char *name, uint64_t now_ns) noexcept;

    // ---- from outside the world: at once, durable ----
    // A path that ends in '/' is a folder. Folders on the way are made.
    Outcome put(const char *path, const void *data, size_t size, uint64_t now_ns) noexcept;
    Outcome get(const char *path, void *data, size_t capacity, uint64_t *size) noexcept;
    // A file or an empty folder.
    Outcome remove(const char *path, uint64_t now_ns) noexcept;

    // The power fails. Needs no memory.
    void crash(Random &random) noexcept;

  private:
    // A name in a folder; its text lies behind.
    struct Entry : Table<Entry>::Place {
        Node *folder = nullptr;
        Node *node = nullptr;
        size_t size = 0;

        char *name() noexcept { return reinterpret_cast<char *>(this + 1); }
        const char *name() const noexcept { return reinterpret_cast<const char *>(this + 1); }
    };
    // What was done to a folder's names, in one step. It owns what it has taken.
    struct Change {
        Change *next = nullptr;
        Entry *added = nullptr;
        Entry *taken[2] = {};
    };
    // A file system writes its journal when that is full, whether it was told to sync or not.
    static constexpr uint32_t kChangesMax = 64;

    Outcome walk(const char *path, bool make, uint64_t now_ns, Place *place) noexcept;
    Entry *find(const Node &folder, const char *name, size_t size) const noexcept;
    Node *make_node(bool folder, uint32_t permissions, uint64_t now_ns) noexcept;
    Entry *make_entry(Node &folder, const char *name, size_t size, Node &node) noexcept;
    Node *make_folder(Node &parent, const char *name, size_t size, uint64_t now_ns) noexcept;
    Outcome create(Node &folder, const char *name, size_t size, uint32_t mode, uint64_t now_ns,
                   Node **opened) noexcept;
    Outcome put_file(const Place &place, const void *data, size_t size, uint64_t now_ns) noexcept;
    void free_entry(Entry &entry) noexcept;
    void free_if_unused(Node &node) noexcept;
    void use(Node &node, uint32_t *uses, int32_t change) noexcept;
    void add(Entry &entry) noexcept;
    void take(Entry &entry) noexcept;
    void take_durably(Entry &entry) noexcept;
    void log(Node &folder, Change &change) noexcept;
    void commit(Node &folder, uint32_t count) noexcept;
    void undo(Node &folder) noexcept;
    void recount() noexcept;
    uint64_t room() const noexcept { return bytes_max_ > used_ ? bytes_max_ - used_ : 0; }

    const Allocator &allocator_;
    Table<Entry> entries_;  // Of all folders.
    Node *nodes_ = nullptr; // In the order of their numbers.
    Node **nodes_end_ = &nodes_;
    Node *root_ = nullptr;
    uint64_t last_number_ = 0;
    uint64_t bytes_max_ = kBytesMax;
    uint64_t used_ = 0;
};

// It goes when nothing leads to it: no entry, also none that a crash may bring back, and nobody has it open.
struct Disk::Node {
    Node(const Allocator &allocator, bool is_folder) : folder(is_folder), contents(allocator) {}

    const bool folder;
    Node *next = nullptr;
    Node **link = nullptr;
    uint64_t number = 0;
    uint32_t permissions = 0;
    uint32_t names = 0; // That lead to it now.
    uint32_t opens = 0;
    uint32_t entries = 0; // That lead to it, now or perhaps again.
    uint64_t created_ns = 0;
    uint64_t modified_ns = 0;
    uint64_t changed_ns = 0;
    uint64_t accessed_ns = 0;
    Contents contents;

    // A folder's:
    Node *parent = nullptr; // The root's: itself.
    uint32_t size = 0;      // Names in it.
    uint32_t change_count = 0;
    Fifo<Change, &Change::next> changes; // Since its last sync.
};

} // namespace ferry::driver::sim
