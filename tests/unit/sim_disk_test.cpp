// A simulated disk: paths, files, space, and what a crash leaves of what was not synced.
#include "driver/sim/disk.hpp"
#include "unit.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace {

using ferry::driver::Outcome;
using ferry::driver::sim::Disk;
using Chance = ferry::driver::sim::Random;

constexpr uint32_t kRead = FERRY_OPEN_READ;
constexpr uint32_t kWrite = FERRY_OPEN_WRITE;
constexpr uint32_t kCreate = FERRY_OPEN_WRITE | FERRY_OPEN_CREATE;
constexpr uint32_t kRewrite = kCreate | FERRY_OPEN_TRUNCATE;
constexpr uint64_t kNow = 5'000'000'000;
constexpr size_t kSector = 512;

// A disk whose memory is counted.
struct World {
    World() { assert_int_equal(disk.open(), FERRY_OK); }

    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    Disk disk{allocator};
};

Disk::Node *open(Disk &disk, const char *path, uint32_t flags) {
    Disk::Node *node = nullptr;
    assert_int_equal(disk.open(path, flags, 0, kNow, &node).status, FERRY_OK);
    return node;
}

int32_t open_status(Disk &disk, const char *path, uint32_t flags) {
    Disk::Node *node = nullptr;
    Outcome outcome = disk.open(path, flags, 0, kNow, &node);
    if (outcome.status == FERRY_OK)
        disk.close(*node);
    return outcome.status;
}

void write(Disk &disk, Disk::Node &node, uint64_t offset, const std::string &bytes) {
    Outcome outcome = disk.write(node, offset, bytes.data(), bytes.size(), kNow);
    assert_int_equal(outcome.status, FERRY_OK);
    assert_int_equal(outcome.result, bytes.size());
}

std::string read(Disk &disk, Disk::Node &node) {
    std::string bytes(Disk::size_of(node), '?');
    if (!bytes.empty())
        assert_int_equal(disk.read(node, 0, bytes.data(), bytes.size(), kNow).result, bytes.size());
    return bytes;
}

void put(Disk &disk, const char *path, const std::string &bytes) {
    assert_int_equal(disk.put(path, bytes.data(), bytes.size(), kNow).status, FERRY_OK);
}

// What a path holds, or "-".
std::string get(Disk &disk, const char *path) {
    uint64_t size = 0;
    if (disk.get(path, nullptr, 0, &size).status != FERRY_OK)
        return "-";
    std::string bytes(size, '?');
    assert_int_equal(disk.get(path, bytes.data(), bytes.size(), &size).status, FERRY_OK);
    return bytes;
}

Disk::Node &folder(Disk &disk, const char *path) {
    Disk::Place place;
    assert_int_equal(disk.walk(path, &place).status, FERRY_OK);
    assert_non_null(place.node);
    return *place.node;
}

// ---- paths --------------------------------------------------------------------------------------

void paths_lead_where_they_say(void **) {
    World world;
    Disk &disk = world.disk;
    put(disk, "/a/b/file", "x");
    for (const char *path : {"/a/b/file", "a/b/file", "//a///b/file", "/a/./b/file",
                             "/a/../a/b/../b/file", "/../../a/b/file", "./a/b/file"})
        assert_string_equal(get(disk, path).c_str(), "x");
    std::string too_long(256, 'n');
    std::string longest(255, 'n');
    std::string path_too_long;
    while (path_too_long.size() <= 4095)
        path_too_long += "/a";
    struct {
        const char *path;
        uint32_t flags;
        int32_t status;
    } cases[] = {
        {"", kRead, FERRY_E_NOT_FOUND},
        {"/", kRead, FERRY_OK},
        {"/", kWrite, FERRY_E_IS_DIRECTORY},
        {"/a/b", kRead, FERRY_OK},
        {"/a/b/", kRead, FERRY_OK},
        {"/a/b", kWrite, FERRY_E_IS_DIRECTORY},
        {"/a/b/.", kCreate, FERRY_E_IS_DIRECTORY},
        {"/a/b/file/", kRead, FERRY_E_NOT_DIRECTORY},
        {"/a/b/file/c", kRead, FERRY_E_NOT_DIRECTORY},
        {"/a/b/file/..", kRead, FERRY_E_NOT_DIRECTORY},
        {"/a/c", kRead, FERRY_E_NOT_FOUND},
        {"/a/c/", kRead, FERRY_E_NOT_FOUND},
        {"/a/c/", kCreate, FERRY_E_IS_DIRECTORY},
        {"/c/d", kCreate, FERRY_E_NOT_FOUND},
        {"/c/..", kRead, FERRY_E_NOT_FOUND},
        {"/a/b/file", kCreate | FERRY_OPEN_EXCLUSIVE, FERRY_E_EXISTS},
        {"/a/b", kCreate | FERRY_OPEN_EXCLUSIVE, FERRY_E_EXISTS},
        {too_long.c_str(), kCreate, FERRY_E_NAME_TOO_LONG},
        {longest.c_str(), kCreate, FERRY_OK},
        {path_too_long.c_str(), kRead, FERRY_E_NAME_TOO_LONG},
    };
    for (const auto &one : cases)
        assert_int_equal(open_status(disk, one.path, one.flags), one.status);
}

void what_is_put_is_there(void **) {
    World world;
    Disk &disk = world.disk;
    put(disk, "/one", "1");
    put(disk, "/folder/", "");
    put(disk, "/folder/sub/two", "22");
    ferry_file_info info;
    assert_int_equal(disk.stat("/folder", &info).status, FERRY_OK);
    assert_int_equal(info.type, FERRY_FILE_DIRECTORY);
    assert_int_equal(disk.stat("/folder/sub/two", &info).status, FERRY_OK);
    assert_int_equal(info.type, FERRY_FILE_REGULAR);
    assert_int_equal(info.size, 2);
    assert_int_equal(info.allocated, kSector);
    assert_int_equal(info.links, 1);
    assert_int_equal(info.permissions, 0644);
    assert_int_equal(info.modified_ns, kNow);
    assert_int_equal(disk.stat("/folder/sub/two/", &info).status, FERRY_E_NOT_DIRECTORY);
    assert_int_equal(disk.put("/folder", "x", 1, kNow).status, FERRY_E_IS_DIRECTORY);
    assert_int_equal(disk.put("/folder/", "x", 1, kNow).status, FERRY_E_IS_DIRECTORY);
    assert_int_equal(disk.put("/one/", "", 0, kNow).status, FERRY_E_NOT_DIRECTORY);
    assert_int_equal(disk.put("/one/two", "", 0, kNow).status, FERRY_E_NOT_DIRECTORY);
    assert_int_equal(disk.remove("/", kNow).status, FERRY_E_INVALID);
    assert_int_equal(disk.remove("/none", kNow).status, FERRY_E_NOT_FOUND);
    assert_int_equal(disk.remove("/one/", kNow).status, FERRY_E_NOT_DIRECTORY);
    assert_int_equal(disk.remove("/folder", kNow).status, FERRY_E_EXISTS);
    assert_int_equal(disk.remove("/folder/sub/two", kNow).status, FERRY_OK);
    assert_int_equal(disk.remove("/folder/sub/", kNow).status, FERRY_OK);
    assert_int_equal(disk.remove("/folder", kNow).status, FERRY_OK);
    uint64_t size;
    assert_int_equal(disk.get("/folder", nullptr, 0, &size).status, FERRY_E_NOT_FOUND);
    assert_int_equal(disk.get("/", nullptr, 0, &size).status, FERRY_E_IS_DIRECTORY);
    assert_string_equal(get(disk, "/one").c_str(), "1");
}

void an_open_file_keeps_its_bytes(void **) {
    World world;
    Disk &disk = world.disk;
    put(disk, "/f", std::string(1000, 'o'));
    Disk::Node *node = open(disk, "/f", kRead);
    put(disk, "/f", "new");
    assert_true(read(disk, *node) == std::string(1000, 'o'));
    assert_int_equal(disk.bytes_used(), 3 * kSector);
    disk.close(*node);
    assert_int_equal(disk.bytes_used(), kSector);
    node = open(disk, "/f", kRead);
    assert_int_equal(disk.unlink(folder(disk, "/"), "f", kNow).status, FERRY_OK);
    assert_string_equal(get(disk, "/f").c_str(), "-");
    assert_string_equal(read(disk, *node).c_str(), "new");
    ferry_file_info info;
    disk.stat(*node, &info);
    assert_int_equal(info.links, 0);
    assert_int_equal(disk.bytes_used(), kSector);
    disk.close(*node);
    assert_int_equal(disk.bytes_used(), 0);
}

void nothing_is_made_in_a_folder_that_is_gone(void **) {
    World world;
    Disk &disk = world.disk;
    put(disk, "/folder/", "");
    Disk::Node *gone = open(disk, "/folder", kRead);
    assert_int_equal(disk.remove("/folder", kNow).status, FERRY_OK);
    Disk::Node *node = nullptr;
    assert_int_equal(disk.create(*gone, "f", 0600, kNow, &node).status, FERRY_E_NOT_FOUND);
    disk.close(*gone);
}

// ---- bytes --------------------------------------------------------------------------------------

// Writes, truncations, holes, syncs and crashes without loss, against a string.
void files_agree_with_a_string(void **) {
    unit::Random random = unit::random();
    for (uint64_t round = 0; round < unit::rounds(200); ++round) {
        World world;
        Disk &disk = world.disk;
        Disk::Node *node = open(disk, "/f", kCreate);
        std::string model;
        for (int i = 0; i < 50; ++i) {
            uint64_t offset = random.of_any_size(15);
            if (random.one_in(4)) {
                assert_int_equal(disk.truncate(*node, offset, kNow).status, FERRY_OK);
                model.resize(offset, '\0');
            } else if (random.one_in(4)) {
                disk.sync(*node);
            } else {
                std::string bytes(random.below(9000) + 1, static_cast<char>('a' + i % 26));
                write(disk, *node, offset, bytes);
                if (model.size() < offset + bytes.size())
                    model.resize(offset + bytes.size(), '\0');
                model.replace(offset, bytes.size(), bytes);
            }
            assert_true(read(disk, *node) == model);
            assert_true(disk.bytes_used() <= (model.size() + kSector - 1) / kSector * kSector);
        }
        disk.close(*node);
        assert_int_equal(world.heap.wrong_sizes(), 0);
    }
}

void holes_take_no_space(void **) {
    World world;
    Disk &disk = world.disk;
    Disk::Node *node = open(disk, "/f", kCreate);
    write(disk, *node, uint64_t{1} << 40, "x");
    assert_int_equal(disk.bytes_used(), kSector);
    char byte = '?';
    assert_int_equal(disk.read(*node, uint64_t{1} << 39, &byte, 1, kNow).result, 1);
    assert_int_equal(byte, 0);
    assert_true(world.heap.bytes() < 20'000);
    Outcome outcome = disk.write(*node, uint64_t{1} << 50, "x", 1, kNow);
    assert_int_equal(outcome.status, FERRY_E_FILE_TOO_LARGE);
    assert_int_not_equal(outcome.os_error, 0);
    assert_int_equal(disk.write(*node, (uint64_t{1} << 44) - 1, "xy", 2, kNow).result, 1);
    assert_int_equal(disk.truncate(*node, uint64_t{1} << 45, kNow).status, FERRY_E_FILE_TOO_LARGE);
    assert_int_equal(disk.truncate(*node, 0, kNow).status, FERRY_OK);
    assert_int_equal(disk.bytes_used(), 0);
    disk.close(*node);
}

void a_full_disk_takes_a_part_and_then_nothing(void **) {
    World world;
    Disk &disk = world.disk;
    disk.set_bytes_max(10 * kSector);
    Disk::Node *node = open(disk, "/f", kCreate);
    std::string bytes(20 * kSector, 'x');
    Outcome outcome = disk.write(*node, 100, bytes.data(), bytes.size(), kNow);
    assert_int_equal(outcome.status, FERRY_OK);
    assert_int_equal(outcome.result, 10 * kSector - 100);
    outcome = disk.write(*node, 10 * kSector, bytes.data(), 1, kNow);
    assert_int_equal(outcome.status, FERRY_E_NO_SPACE);
    assert_int_equal(outcome.result, 0);
    write(disk, *node, 0, std::string(10 * kSector, 'y')); // What is there may be overwritten.
    assert_int_equal(disk.put("/g", "x", 1, kNow).status, FERRY_E_NO_SPACE);
    assert_string_equal(get(disk, "/g").c_str(), "-");
    assert_int_equal(disk.truncate(*node, 1, kNow).status, FERRY_OK);
    put(disk, "/g", std::string(9 * kSector, 'g'));
    put(disk, "/g", std::string(9 * kSector, 'h')); // In the old one's place.
    assert_int_equal(disk.put("/g", bytes.data(), 9 * kSector + 1, kNow).status, FERRY_E_NO_SPACE);
    assert_true(get(disk, "/g") == std::string(9 * kSector, 'h'));
    disk.close(*node);
}

// The k-th allocation fails, for every k: the call says so, all else is as it was, nothing leaks.
struct Refusing {
    unit::Heap heap;
    ferry::Allocator inner = heap.allocator();
    uint64_t left = UINT64_MAX;

    static void *allocate(size_t size, void *user_data) {
        auto *self = static_cast<Refusing *>(user_data);
        return self->left-- != 0 ? self->inner.allocate(size) : nullptr;
    }
    static void free(void *memory, size_t size, void *user_data) {
        static_cast<Refusing *>(user_data)->inner.free(memory, size);
    }
};

bool every_call(Disk &disk) {
    std::string bytes(10'000, 'b');
    bool good = disk.put("/d/f", bytes.data(), bytes.size(), kNow).status == FERRY_OK;
    Disk::Node *node = nullptr;
    if (disk.open("/d/g", kCreate, 0, kNow, &node).status == FERRY_OK) {
        Disk::Node &where = folder(disk, "/d");
        Outcome outcome = disk.write(*node, 0, bytes.data(), bytes.size(), kNow);
        good = good && outcome.result == 10'000;
        disk.sync(*node);
        good = disk.truncate(*node, 5'000, kNow).status == FERRY_OK && good;
        good = disk.rename(where, "g", "f", kNow).status == FERRY_OK && good;
        good = disk.unlink(where, "f", kNow).status == FERRY_OK && good;
        disk.close(*node);
    } else {
        good = false;
    }
    Chance chance(1);
    disk.crash(chance);
    return good;
}

void refused_memory_leaves_everything_sound(void **) {
    uint64_t refused = 0;
    for (bool good = false; !good; ++refused) {
        Refusing refusing;
        ferry::Allocator allocator(Refusing::allocate, Refusing::free, &refusing);
        {
            Disk disk(allocator);
            assert_int_equal(disk.open(), FERRY_OK);
            refusing.left = refused;
            good = every_call(disk);
            good = good && refusing.left != UINT64_MAX && refusing.left < UINT64_MAX / 2;
            refusing.left = UINT64_MAX;
            uint64_t used = disk.bytes_used();
            put(disk, "/after", "x");
            assert_int_equal(disk.bytes_used(), used + kSector);
        }
        assert_int_equal(refusing.heap.blocks(), 0);
        assert_int_equal(refusing.heap.wrong_sizes(), 0);
    }
    assert_true(refused > 10);
}

// ---- crashes: bytes -----------------------------------------------------------------------------

struct Sectors {
    int old = 0;
    int fresh = 0;
    int torn = 0;
};

// A sector is the old one, the new one, or the beginning of the new one and the rest of the old one.
void count_sector(const std::string &sector, Sectors *seen) {
    size_t fresh = sector.find_first_not_of('n');
    fresh = fresh == std::string::npos ? sector.size() : fresh;
    assert_true(sector.find_first_not_of('o', fresh) == std::string::npos);
    ++(fresh == 0 ? seen->old : fresh == sector.size() ? seen->fresh : seen->torn);
}

void unsynced_sectors_are_kept_lost_or_torn(void **) {
    constexpr size_t kCount = 24;
    Sectors seen;
    for (uint64_t seed = 0; seed < 300; ++seed) {
        World world;
        Chance chance(seed);
        put(world.disk, "/f", std::string(kCount * kSector, 'o'));
        Disk::Node *node = open(world.disk, "/f", kWrite);
        write(world.disk, *node, 4 * kSector, std::string(10 * kSector, 'n'));
        world.disk.crash(chance);
        std::string after = read(world.disk, *node);
        assert_int_equal(after.size(), kCount * kSector);
        for (size_t i = 0; i < kCount; ++i) {
            std::string sector = after.substr(i * kSector, kSector);
            if (i < 4 || i >= 14)
                assert_true(sector == std::string(kSector, 'o'));
            else
                count_sector(sector, &seen);
        }
        assert_int_equal(world.disk.bytes_used(), kCount * kSector);
        world.disk.close(*node);
    }
    assert_true(seen.old > 500 && seen.fresh > 500 && seen.torn > 100);
}

void an_unsynced_size_is_the_old_or_the_new_one(void **) {
    std::set<size_t> grown, shrunk;
    for (uint64_t seed = 0; seed < 100; ++seed) {
        World world;
        Disk &disk = world.disk;
        Chance chance(seed);
        put(disk, "/up", std::string(700, 'o'));
        put(disk, "/down", std::string(9000, 'o'));
        Disk::Node *up = open(disk, "/up", kWrite);
        Disk::Node *down = open(disk, "/down", kWrite);
        write(disk, *up, 5000, "n");
        assert_int_equal(disk.truncate(*down, 100, kNow).status, FERRY_OK);
        disk.crash(chance);
        grown.insert(read(disk, *up).size());
        shrunk.insert(read(disk, *down).size());
        assert_true(read(disk, *up).substr(0, 700) == std::string(700, 'o'));
        assert_true(read(disk, *down).substr(0, 100) == std::string(100, 'o'));
        // Made longer again, what was cut off reads as zeros.
        uint64_t size = Disk::size_of(*up);
        assert_int_equal(disk.truncate(*up, 20'000, kNow).status, FERRY_OK);
        assert_true(read(disk, *up).find_first_not_of('\0', size) == std::string::npos);
        disk.close(*up);
        disk.close(*down);
    }
    assert_true(grown == (std::set<size_t>{700, 5001}));
    assert_true(shrunk == (std::set<size_t>{100, 9000}));
}

// Pages that hold nothing any more, in what is durable or in what is not.
void what_was_cut_off_before_a_sync_and_after_it(void **) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
        World world;
        Disk &disk = world.disk;
        Chance chance(seed);
        put(disk, "/f", "");
        Disk::Node *node = open(disk, "/f", kWrite);
        write(disk, *node, 512, std::string(512, 'x'));
        assert_int_equal(disk.truncate(*node, 100, kNow).status, FERRY_OK);
        disk.sync(*node);
        assert_int_equal(disk.truncate(*node, 0, kNow).status, FERRY_OK);
        disk.crash(chance);
        std::string left = read(disk, *node);
        assert_true(left.empty() || left == std::string(100, '\0'));
        assert_int_equal(disk.bytes_used(), 0);
        disk.close(*node);
    }
}

void what_is_synced_stays(void **) {
    unit::Random random = unit::random();
    for (uint64_t round = 0; round < unit::rounds(300); ++round) {
        World world;
        Disk &disk = world.disk;
        Chance chance(random.next());
        put(disk, "/f", "");
        Disk::Node *node = open(disk, "/f", kWrite);
        for (int i = 0; i < 10; ++i) {
            write(disk, *node, random.below(20'000), std::string(random.below(5000) + 1, 'x'));
            if (random.one_in(3))
                assert_int_equal(disk.truncate(*node, random.below(20'000), kNow).status, FERRY_OK);
        }
        disk.sync(*node);
        std::string synced = read(disk, *node);
        uint64_t used = disk.bytes_used();
        disk.crash(chance);
        assert_true(read(disk, *node) == synced);
        assert_int_equal(disk.bytes_used(), used);
        disk.close(*node);
    }
}

// ---- crashes: names -----------------------------------------------------------------------------

// The names of a folder and what they hold, as one line.
std::string names(Disk &disk) {
    std::string all;
    for (const char *path : {"/d/a", "/d/b", "/d/c"})
        all += get(disk, path) + " ";
    return all;
}

void a_crash_keeps_the_first_changes_of_names(void **) {
    std::set<std::string> seen;
    std::vector<std::string> states;
    for (uint64_t seed = 0; seed < 200; ++seed) {
        World world;
        Disk &disk = world.disk;
        Chance chance(seed);
        put(disk, "/d/a", "A");
        put(disk, "/d/b", "B");
        Disk::Node &where = folder(disk, "/d");
        states = {names(disk)};
        Disk::Node *node = open(disk, "/d/c", kCreate);
        write(disk, *node, 0, "C");
        disk.sync(*node); // Its bytes, not its name.
        states.push_back(names(disk));
        assert_int_equal(disk.rename(where, "c", "a", kNow).status, FERRY_OK);
        states.push_back(names(disk));
        assert_int_equal(disk.unlink(where, "b", kNow).status, FERRY_OK);
        states.push_back(names(disk));
        assert_int_equal(disk.rename(where, "a", "b", kNow).status, FERRY_OK);
        states.push_back(names(disk));
        disk.crash(chance);
        std::string after = names(disk);
        assert_true(std::find(states.begin(), states.end(), after) != states.end());
        seen.insert(after);
        // What is left is durable.
        disk.crash(chance);
        assert_true(names(disk) == after);
        disk.close(*node);
    }
    assert_int_equal(seen.size(), states.size());
}

void a_synced_folder_keeps_its_names(void **) {
    for (uint64_t seed = 0; seed < 100; ++seed) {
        World world;
        Disk &disk = world.disk;
        Chance chance(seed);
        put(disk, "/d/a", "A");
        Disk::Node &where = folder(disk, "/d");
        disk.close(*open(disk, "/d/b", kCreate));
        assert_int_equal(disk.rename(where, "a", "c", kNow).status, FERRY_OK);
        disk.sync(where);
        disk.crash(chance);
        assert_string_equal(names(disk).c_str(), "-  A ");
    }
}

// A journal that is full is written: the oldest changes stay, however many are made.
void changes_of_names_take_bounded_memory(void **) {
    World world;
    Disk &disk = world.disk;
    put(disk, "/d/a", "A");
    Disk::Node &where = folder(disk, "/d");
    uint64_t bytes = 0;
    for (int i = 0; i < 1000; ++i) {
        Disk::Node *node = open(disk, "/d/b", kRewrite);
        write(disk, *node, 0, std::string(100, 'x'));
        disk.close(*node);
        assert_int_equal(disk.rename(where, "b", "a", kNow).status, FERRY_OK);
        if (i == 100)
            bytes = world.heap.bytes();
    }
    assert_int_equal(world.heap.bytes(), bytes);
    assert_int_equal(disk.bytes_used(), kSector);
}

// ---- crashes: storing a whole file --------------------------------------------------------------

constexpr size_t kStoredSize = 6000;

// The steps of a store, up to the given one. syncs: as it must be done.
void store(Disk &disk, int steps, bool syncs) {
    Disk::Node &where = folder(disk, "/d");
    Disk::Node *node = nullptr;
    if (steps-- > 0)
        assert_int_equal(disk.create(where, "tmp", 0600, kNow, &node).status, FERRY_OK);
    for (size_t at = 0; at < kStoredSize; at += 2000) {
        if (steps-- > 0)
            write(disk, *node, at, std::string(2000, 'n'));
    }
    if (steps-- > 0 && syncs)
        disk.sync(*node);
    if (steps-- > 0)
        assert_int_equal(disk.rename(where, "tmp", "f", kNow).status, FERRY_OK);
    if (steps-- > 0 && syncs)
        disk.sync(where);
    if (node != nullptr)
        disk.close(*node);
}

constexpr int kSteps = 7;

// What is there after a crash: 'o' the old file, 'n' the new one, '?' something else.
char after_crash(uint64_t seed, int steps, bool syncs) {
    World world;
    Chance chance(seed);
    put(world.disk, "/d/f", std::string(5000, 'o'));
    store(world.disk, steps, syncs);
    world.disk.crash(chance);
    std::string found = get(world.disk, "/d/f");
    return found == std::string(5000, 'o')          ? 'o'
           : found == std::string(kStoredSize, 'n') ? 'n'
                                                    : '?';
}

void a_synced_store_survives_every_crash(void **) {
    std::set<char> between;
    for (uint64_t seed = 0; seed < 500; ++seed) {
        for (int steps = 0; steps <= kSteps; ++steps) {
            char found = after_crash(seed, steps, true);
            assert_true(found == 'o' || found == 'n');
            if (steps < kSteps - 1)
                assert_int_equal(found, 'o');
            else if (steps == kSteps)
                assert_int_equal(found, 'n');
            else
                between.insert(found);
        }
    }
    assert_int_equal(between.size(), 2); // Renamed and not synced: either.
}

void a_store_without_syncs_is_torn(void **) {
    std::set<char> seen;
    for (uint64_t seed = 0; seed < 500; ++seed)
        seen.insert(after_crash(seed, kSteps, false));
    assert_true(seen == (std::set<char>{'?', 'n', 'o'}));
}

void the_same_seed_leaves_the_same(void **) {
    for (uint64_t seed = 0; seed < 100; ++seed) {
        std::string found[2];
        for (std::string &one : found) {
            World world;
            Chance chance(seed);
            put(world.disk, "/d/f", std::string(50'000, 'o'));
            Disk::Node *node = open(world.disk, "/d/f", kWrite);
            write(world.disk, *node, 0, std::string(70'000, 'n'));
            world.disk.crash(chance);
            one = read(world.disk, *node);
            world.disk.close(*node);
        }
        assert_true(found[0] == found[1]);
    }
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(paths_lead_where_they_say),
        UNIT_TEST(what_is_put_is_there),
        UNIT_TEST(an_open_file_keeps_its_bytes),
        UNIT_TEST(nothing_is_made_in_a_folder_that_is_gone),
        UNIT_TEST(files_agree_with_a_string),
        UNIT_TEST(holes_take_no_space),
        UNIT_TEST(a_full_disk_takes_a_part_and_then_nothing),
        UNIT_TEST(refused_memory_leaves_everything_sound),
        UNIT_TEST(unsynced_sectors_are_kept_lost_or_torn),
        UNIT_TEST(an_unsynced_size_is_the_old_or_the_new_one),
        UNIT_TEST(what_was_cut_off_before_a_sync_and_after_it),
        UNIT_TEST(what_is_synced_stays),
        UNIT_TEST(a_crash_keeps_the_first_changes_of_names),
        UNIT_TEST(a_synced_folder_keeps_its_names),
        UNIT_TEST(changes_of_names_take_bounded_memory),
        UNIT_TEST(a_synced_store_survives_every_crash),
        UNIT_TEST(a_store_without_syncs_is_torn),
        UNIT_TEST(the_same_seed_leaves_the_same),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
