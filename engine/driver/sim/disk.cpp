#include "driver/sim/disk.hpp"

#include "driver/sim/faults.hpp"

#include <algorithm>
#include <cstring>

namespace ferry::driver::sim {

// What a program's files and folders get less.
static constexpr uint32_t kUmask = 022;
static constexpr uint32_t kFilePermissions = 0666;
static constexpr uint32_t kPutPermissions = 0644;

// ---- nodes --------------------------------------------------------------------------------------

bool Disk::is_folder(const Node &node) noexcept {
    return node.folder;
}

uint64_t Disk::size_of(const Node &node) noexcept {
    return node.contents.size();
}

uint32_t Disk::permissions_of(const Node &node) noexcept {
    return node.permissions;
}

void Disk::set_permissions(Node &node, uint32_t permissions, uint64_t now_ns) noexcept {
    node.permissions = permissions;
    node.changed_ns = now_ns;
}

void Disk::open(Node &node) noexcept {
    use(node, &node.opens, 1);
}

void Disk::close(Node &node) noexcept {
    use(node, &node.opens, -1);
    free_if_unused(node);
}

// ---- as the system's calls ----------------------------------------------------------------------

Outcome Disk::open(const char *path, uint32_t flags, uint32_t mode, uint64_t now_ns,
                   Node **opened) noexcept {
    Place place;
    if (Outcome outcome = walk(path, &place); outcome.status != FERRY_OK)
        return outcome;
    bool creates = (flags & FERRY_OPEN_CREATE) != 0;
    if (place.node == nullptr) {
        if (!creates)
            return failure(FERRY_E_NOT_FOUND);
        if (place.slash)
            return failure(FERRY_E_IS_DIRECTORY);
        mode = (mode != 0 ? mode : kFilePermissions) & ~kUmask;
        return create(*place.folder, place.name, place.size, mode, now_ns, opened);
    }
    Node &node = *place.node;
    if ((flags & FERRY_OPEN_EXCLUSIVE) != 0)
        return failure(FERRY_E_EXISTS);
    if (node.folder && (creates || (flags & FERRY_OPEN_WRITE) != 0))
        return failure(FERRY_E_IS_DIRECTORY);
    if (!node.folder && place.slash)
        return failure(creates ? FERRY_E_IS_DIRECTORY : FERRY_E_NOT_DIRECTORY);
    if ((flags & FERRY_OPEN_TRUNCATE) != 0) {
        if (Outcome outcome = truncate(node, 0, now_ns); outcome.status != FERRY_OK)
            return outcome;
    }
    open(node);
    *opened = &node;
    return {};
}

Outcome Disk::read(Node &node, uint64_t offset, void *data, size_t size, uint64_t now_ns) noexcept {
    if (node.folder)
        return failure(FERRY_E_IS_DIRECTORY);
    node.accessed_ns = now_ns;
    return {.result = static_cast<int64_t>(node.contents.read(offset, data, size))};
}

Outcome Disk::write(Node &node, uint64_t offset, const void *data, size_t size,
                    uint64_t now_ns) noexcept {
    uint64_t before = node.contents.taken();
    Outcome outcome = node.contents.write(offset, data, size, room());
    used_ += node.contents.taken() - before;
    if (outcome.result > 0)
        node.modified_ns = node.changed_ns = now_ns;
    return outcome;
}

Outcome Disk::truncate(Node &node, uint64_t size, uint64_t now_ns) noexcept {
    uint64_t before = node.contents.taken();
    Outcome outcome = node.contents.resize(size);
    used_ -= before - node.contents.taken();
    if (outcome.status == FERRY_OK)
        node.modified_ns = node.changed_ns = now_ns;
    return outcome;
}

void Disk::sync(Node &node) noexcept {
    node.contents.sync();
    commit(node, node.change_count);
}

void Disk::stat(const Node &node, ferry_file_info *info) const noexcept {
    *info = {};
    info->size = node.contents.size();
    info->allocated = node.contents.taken();
    info->modified_ns = static_cast<int64_t>(node.modified_ns);
    info->changed_ns = static_cast<int64_t>(node.changed_ns);
    info->accessed_ns = static_cast<int64_t>(node.accessed_ns);
    info->created_ns = static_cast<int64_t>(node.created_ns);
    info->inode = node.number;
    info->links = node.names;
    info->type = node.folder ? FERRY_FILE_DIRECTORY : FERRY_FILE_REGULAR;
    info->permissions = node.permissions;
    info->block_size = 4096;
}

Outcome Disk::stat(const char *path, ferry_file_info *info) noexcept {
    Place place;
    if (Outcome outcome = walk(path, &place); outcome.status != FERRY_OK)
        return outcome;
    if (place.node == nullptr)
        return failure(FERRY_E_NOT_FOUND);
    if (place.slash && !place.node->folder)
        return failure(FERRY_E_NOT_DIRECTORY);
    stat(*place.node, info);
    return {};
}

// ---- from outside the world ---------------------------------------------------------------------

Outcome Disk::put_file(const Place &place, const void *data, size_t size,
                       uint64_t now_ns) noexcept {
    Node *old = place.node;
    Node *node = make_node(false, kPutPermissions, now_ns);
    if (node == nullptr)
        return failure(FERRY_E_NO_MEMORY);
    bool frees = old != nullptr && old->opens == 0 && old->names == 1;
    Outcome outcome =
        node->contents.write(0, data, size, room() + (frees ? old->contents.taken() : 0));
    Entry *entry = nullptr;
    if (outcome.status == FERRY_OK && static_cast<uint64_t>(outcome.result) < size)
        outcome = failure(FERRY_E_NO_SPACE);
    else if (outcome.status == FERRY_OK)
        entry = make_entry(*place.folder, place.name, place.size, *node);
    if (entry == nullptr) {
        free_if_unused(*node);
        return outcome.status != FERRY_OK ? outcome : failure(FERRY_E_NO_MEMORY);
    }
    node->contents.sync();
    if (old != nullptr)
        take_durably(*find(*place.folder, place.name, place.size));
    commit(*place.folder, place.folder->change_count);
    add(*entry);
    place.folder->modified_ns = place.folder->changed_ns = now_ns;
    return {};
}

Outcome Disk::put(const char *path, const void *data, size_t size, uint64_t now_ns) noexcept {
    Place place;
    if (Outcome outcome = walk(path, true, now_ns, &place); outcome.status != FERRY_OK)
        return outcome;
    if (place.slash || place.name == nullptr) {
        if (!place.node->folder)
            return failure(FERRY_E_NOT_DIRECTORY);
        return size == 0 ? Outcome{} : failure(FERRY_E_IS_DIRECTORY);
    }
    if (place.node != nullptr && place.node->folder)
        return failure(FERRY_E_IS_DIRECTORY);
    return put_file(place, data, size, now_ns);
}

Outcome Disk::get(const char *path, void *data, size_t capacity, uint64_t *size) noexcept {
    Place place;
    if (Outcome outcome = walk(path, &place); outcome.status != FERRY_OK)
        return outcome;
    if (place.node == nullptr)
        return failure(FERRY_E_NOT_FOUND);
    if (place.node->folder)
        return failure(FERRY_E_IS_DIRECTORY);
    if (place.slash)
        return failure(FERRY_E_NOT_DIRECTORY);
    *size = place.node->contents.size();
    place.node->contents.read(0, data, capacity);
    return {};
}

Outcome Disk::remove(const char *path, uint64_t now_ns) noexcept {
    Place place;
    if (Outcome outcome = walk(path, &place); outcome.status != FERRY_OK)
        return outcome;
    if (place.name == nullptr)
        return failure(FERRY_E_INVALID);
    Node *node = place.node;
    if (node == nullptr)
        return failure(FERRY_E_NOT_FOUND);
    if (place.slash && !node->folder)
        return failure(FERRY_E_NOT_DIRECTORY);
    if (node->size != 0)
        return failure(FERRY_E_EXISTS);
    if (node->folder)
        commit(*node, node->change_count);
    commit(*place.folder, place.folder->change_count);
    take_durably(*find(*place.folder, place.name, place.size));
    place.folder->modified_ns = place.folder->changed_ns = now_ns;
    return {};
}

// ---- the power fails ----------------------------------------------------------------------------

// Entries may bring files back or take their last names, so what is used is counted anew.
void Disk::recount() noexcept {
    used_ = 0;
    for (Node *node = nodes_; node != nullptr; node = node->next) {
        if (node->names != 0 || node->opens != 0)
            used_ += node->contents.taken();
    }
}

void Disk::crash(Random &random) noexcept {
    for (Node *node = nodes_; node != nullptr; node = node->next)
        node->contents.crash(random);
    // A folder is made and removed durably, so none of them goes here; files may.
    for (Node *node = nodes_; node != nullptr; node = node->next) {
        if (node->change_count == 0)
            continue;
        commit(*node, static_cast<uint32_t>(random.below(node->change_count + uint64_t{1})));
        undo(*node);
    }
    recount();
}

} // namespace ferry::driver::sim
