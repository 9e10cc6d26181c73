// A disk's names: where paths lead, and which changes of names a crash may undo.
#include "driver/sim/disk.hpp"
#include "driver/sim/faults.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace ferry::driver::sim {

static constexpr size_t kPathMax = 4095;
static constexpr uint32_t kFolderPermissions = 0755;

// FNV-1a, so that names of one folder spread and equal names of two folders part.
static uint64_t key_of(uint64_t folder, const char *name, size_t size) noexcept {
    uint64_t key = 0xcbf29ce484222325 ^ folder;
    for (size_t i = 0; i < size; ++i)
        key = (key ^ static_cast<unsigned char>(name[i])) * 0x100000001b3;
    return key ^ key >> 32;
}

Disk::Disk(const Allocator &allocator) : allocator_(allocator), entries_(allocator) {}

ferry_status Disk::open() noexcept {
    root_ = make_node(true, kFolderPermissions, 0);
    if (root_ == nullptr)
        return FERRY_E_NO_MEMORY;
    root_->names = 1;
    root_->parent = root_;
    return FERRY_OK;
}

Disk::~Disk() {
    for (Node *node = nodes_; node != nullptr; node = node->next) {
        node->opens = 1; // None goes before all entries have.
        commit(*node, node->change_count);
    }
    entries_.for_each([this](Entry &entry) { take_durably(entry); });
    for (Node *node = nodes_, *next; node != nullptr; node = next) {
        next = node->next;
        allocator_.destroy(node);
    }
}

// ---- nodes and entries --------------------------------------------------------------------------

Disk::Node *Disk::make_node(bool folder, uint32_t permissions, uint64_t now_ns) noexcept {
    Node *node = allocator_.create<Node>(allocator_, folder);
    if (node == nullptr)
        return nullptr;
    node->link = nodes_end_;
    *nodes_end_ = node;
    nodes_end_ = &node->next;
    node->number = ++last_number_;
    node->permissions = permissions;
    node->created_ns = node->modified_ns = node->changed_ns = node->accessed_ns = now_ns;
    return node;
}

void Disk::free_if_unused(Node &node) noexcept {
    if (node.opens != 0 || node.entries != 0 || &node == root_)
        return;
    *node.link = node.next;
    (node.next != nullptr ? node.next->link : nodes_end_) = node.link;
    allocator_.destroy(&node);
}

// One of the two counts that keep its bytes on the disk.
void Disk::use(Node &node, uint32_t *uses, int32_t change) noexcept {
    bool before = node.names + node.opens != 0;
    *uses += static_cast<uint32_t>(change);
    bool after = node.names + node.opens != 0;
    if (before && !after)
        used_ -= node.contents.taken();
    else if (!before && after)
        used_ += node.contents.taken();
}

Disk::Entry *Disk::make_entry(Node &folder, const char *name, size_t size, Node &node) noexcept {
    void *memory = allocator_.allocate(sizeof(Entry) + size);
    if (memory == nullptr)
        return nullptr;
    auto *entry = ::new (memory) Entry();
    entry->folder = &folder;
    entry->node = &node;
    entry->size = size;
    std::memcpy(entry->name(), name, size);
    ++node.entries;
    return entry;
}

void Disk::free_entry(Entry &entry) noexcept {
    Node &node = *entry.node;
    allocator_.free(&entry, sizeof(Entry) + entry.size);
    --node.entries;
    free_if_unused(node);
}

void Disk::add(Entry &entry) noexcept {
    entries_.insert(entry, key_of(entry.folder->number, entry.name(), entry.size));
    ++entry.folder->size;
    use(*entry.node, &entry.node->names, 1);
}

void Disk::take(Entry &entry) noexcept {
    entries_.remove(entry);
    --entry.folder->size;
    use(*entry.node, &entry.node->names, -1);
}

void Disk::take_durably(Entry &entry) noexcept {
    take(entry);
    free_entry(entry);
}

Disk::Entry *Disk::find(const Node &folder, const char *name, size_t size) const noexcept {
    return entries_.find(key_of(folder.number, name, size), [&](const Entry &entry) {
        return entry.folder == &folder && entry.size == size &&
               std::memcmp(entry.name(), name, size) == 0;
    });
}

Disk::Node *Disk::look(const Node &folder, const char *name) const noexcept {
    Entry *entry = find(folder, name, std::strlen(name));
    return entry != nullptr ? entry->node : nullptr;
}

// At once, and durable.
Disk::Node *Disk::make_folder(Node &parent, const char *name, size_t size,
                              uint64_t now_ns) noexcept {
    Node *node = make_node(true, kFolderPermissions, now_ns);
    if (node == nullptr)
        return nullptr;
    Entry *entry = make_entry(parent, name, size, *node);
    if (entry == nullptr) {
        free_if_unused(*node);
        return nullptr;
    }
    node->parent = &parent;
    commit(parent, parent.change_count);
    add(*entry);
    parent.modified_ns = parent.changed_ns = now_ns;
    return node;
}

// ---- paths --------------------------------------------------------------------------------------

// make: folders that are missing, where a '/' follows.
Outcome Disk::walk(const char *path, bool make, uint64_t now_ns, Place *place) noexcept {
    if (path[0] == '\0')
        return failure(FERRY_E_NOT_FOUND);
    if (strnlen(path, kPathMax + 1) > kPathMax)
        return failure(FERRY_E_NAME_TOO_LONG);
    *place = {.folder = root_, .node = root_};
    for (const char *at = path; *at != '\0';) {
        size_t size = std::strcspn(at, "/");
        const char *end = at + size;
        if (size != 0) {
            if (place->node == nullptr)
                return failure(FERRY_E_NOT_FOUND);
            if (!place->node->folder)
                return failure(FERRY_E_NOT_DIRECTORY);
            if (size > kNameMax)
                return failure(FERRY_E_NAME_TOO_LONG);
            place->folder = place->node;
            bool here = size == 1 && at[0] == '.';
            bool above = size == 2 && at[0] == '.' && at[1] == '.';
            place->name = here || above ? nullptr : at;
            place->size = size;
            if (above) {
                place->node = place->folder->parent;
            } else if (!here) {
                Entry *entry = find(*place->folder, at, size);
                place->node = entry != nullptr ? entry->node : nullptr;
            }
            if (place->node == nullptr && make && *end == '/') {
                place->node = make_folder(*place->folder, at, size, now_ns);
                if (place->node == nullptr)
                    return failure(FERRY_E_NO_MEMORY);
            }
        }
        place->slash = *end == '/';
        at = place->slash ? end + 1 : end;
    }
    return {};
}

// ---- changes, which a crash may undo ------------------------------------------------------------

Outcome Disk::create(Node &folder, const char *name, uint32_t mode, uint64_t now_ns,
                     Node **opened) noexcept {
    if (find(folder, name, std::strlen(name)) != nullptr)
        return failure(FERRY_E_EXISTS);
    return create(folder, name, std::strlen(name), mode, now_ns, opened);
}

Outcome Disk::create(Node &folder, const char *name, size_t size, uint32_t mode, uint64_t now_ns,
                     Node **opened) noexcept {
    if (folder.names == 0)
        return failure(FERRY_E_NOT_FOUND);
    auto *change = allocator_.create<Change>();
    Node *node = change != nullptr ? make_node(false, mode, now_ns) : nullptr;
    Entry *entry = node != nullptr ? make_entry(folder, name, size, *node) : nullptr;
    if (entry == nullptr) {
        if (node != nullptr)
            free_if_unused(*node);
        allocator_.destroy(change);
        return failure(FERRY_E_NO_MEMORY);
    }
    add(*entry);
    open(*node);
    change->added = entry;
    log(folder, *change);
    folder.modified_ns = folder.changed_ns = now_ns;
    *opened = node;
    return {};
}

Outcome Disk::rename(Node &folder, const char *from, const char *to, uint64_t now_ns) noexcept {
    Entry *source = find(folder, from, std::strlen(from));
    Entry *target = find(folder, to, std::strlen(to));
    if (source == nullptr)
        return failure(FERRY_E_NOT_FOUND);
    if (target != nullptr && target->node->folder)
        return failure(FERRY_E_IS_DIRECTORY);
    if (target == source)
        return {};
    auto *change = allocator_.create<Change>();
    Entry *entry =
        change != nullptr ? make_entry(folder, to, std::strlen(to), *source->node) : nullptr;
    if (entry == nullptr) {
        allocator_.destroy(change);
        return failure(FERRY_E_NO_MEMORY);
    }
    if (target != nullptr)
        take(*target);
    take(*source);
    add(*entry);
    *change = {.added = entry, .taken = {source, target}};
    log(folder, *change);
    entry->node->changed_ns = folder.modified_ns = folder.changed_ns = now_ns;
    return {};
}

// Of a file. Without memory to note it the journal is written: it needs none.
Outcome Disk::unlink(Node &folder, const char *name, uint64_t now_ns) noexcept {
    Entry *entry = find(folder, name, std::strlen(name));
    if (entry == nullptr)
        return failure(FERRY_E_NOT_FOUND);
    auto *change = allocator_.create<Change>();
    take(*entry);
    entry->node->changed_ns = folder.modified_ns = folder.changed_ns = now_ns;
    if (change == nullptr) {
        commit(folder, folder.change_count);
        free_entry(*entry);
        return {};
    }
    change->taken[0] = entry;
    log(folder, *change);
    return {};
}

void Disk::log(Node &folder, Change &change) noexcept {
    folder.changes.push(&change);
    if (++folder.change_count > kChangesMax)
        commit(folder, 1);
}

// The oldest so many are durable.
void Disk::commit(Node &folder, uint32_t count) noexcept {
    for (; count > 0; --count) {
        Change *change = folder.changes.pop();
        --folder.change_count;
        for (Entry *entry : change->taken) {
            if (entry != nullptr)
                free_entry(*entry);
        }
        allocator_.destroy(change);
    }
}

// All that is not durable never was: the newest first, so that each finds what it has left.
void Disk::undo(Node &folder) noexcept {
    Change *newest = nullptr;
    while (Change *change = folder.changes.pop()) {
        change->next = newest;
        newest = change;
    }
    folder.change_count = 0;
    while (Change *change = newest) {
        newest = change->next;
        if (change->added != nullptr)
            take_durably(*change->added);
        for (Entry *entry : change->taken) {
            if (entry != nullptr)
                add(*entry);
        }
        allocator_.destroy(change);
    }
}

} // namespace ferry::driver::sim
