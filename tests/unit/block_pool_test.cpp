// The block pool: blocks that do not touch each other, come back at once, and leave nothing behind.
#include "base/block_pool.hpp"
#include "unit.hpp"

#include <cstring>
#include <vector>

using ferry::BlockPool;

namespace {

// Surely of the pool's own, and surely not.
constexpr size_t kSmall = 500;
constexpr size_t kLarge = 100000;

struct Block {
    void *memory;
    size_t size;
    int filling;
};

bool still_filled(const Block &block) {
    const auto *bytes = static_cast<const unsigned char *>(block.memory);
    for (size_t i = 0; i < block.size; ++i) {
        if (bytes[i] != static_cast<unsigned char>(block.filling))
            return false;
    }
    return true;
}

void blocks_are_aligned_at_every_size(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    {
        BlockPool pool(allocator);
        for (size_t size = 1; size <= 4 * kSmall; ++size) {
            void *block = pool.allocate(size);
            assert_non_null(block);
            assert_int_equal(reinterpret_cast<uintptr_t>(block) % 16, 0);
            std::memset(block, 0xa5, size);
            pool.free(block, size);
        }
    }
    assert_int_equal(heap.blocks(), 0);
    assert_int_equal(heap.wrong_sizes(), 0);
}

void a_freed_block_is_the_next_to_be_given(void **) {
    ferry::Allocator allocator;
    BlockPool pool(allocator);
    for (size_t size : {size_t{1}, size_t{32}, size_t{33}, kSmall}) {
        void *first = pool.allocate(size);
        void *second = pool.allocate(size);
        assert_ptr_not_equal(first, second);
        pool.free(first, size);
        pool.free(second, size);
        assert_ptr_equal(pool.allocate(size), second);
        assert_ptr_equal(pool.allocate(size), first);
    }
}

void a_steady_state_allocates_nothing(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    BlockPool pool(allocator);
    unit::Random random = unit::random();
    std::vector<Block> blocks;
    for (int i = 0; i < 500; ++i) {
        size_t size = 1 + random.below(kSmall);
        blocks.push_back({pool.allocate(size), size, 0});
    }
    uint64_t held = heap.bytes();
    heap.refuse(true); // Whoever asks now gets nothing.
    for (int round = 0; round < 1000; ++round) {
        Block &block = blocks[random.below(blocks.size())];
        pool.free(block.memory, block.size);
        block.memory = pool.allocate(block.size);
        assert_non_null(block.memory);
    }
    assert_int_equal(heap.bytes(), held);
    heap.refuse(false);
}

void large_blocks_are_the_allocators(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    BlockPool pool(allocator);
    void *block = pool.allocate(kLarge);
    assert_non_null(block);
    assert_int_equal(heap.bytes(), kLarge);
    pool.free(block, kLarge);
    assert_int_equal(heap.bytes(), 0);
    assert_int_equal(heap.wrong_sizes(), 0);
}

void refusal_is_null_and_passes(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    {
        BlockPool pool(allocator);
        heap.refuse(true);
        assert_null(pool.allocate(64));
        assert_null(pool.allocate(kLarge));
        heap.refuse(false);
        void *block = pool.allocate(64);
        assert_non_null(block);
        // What is carved already needs nobody.
        heap.refuse(true);
        assert_non_null(pool.allocate(64));
        // At the slab's end it is refused again, and the pool is none the worse.
        while (pool.allocate(kSmall) != nullptr) {
        }
        heap.refuse(false);
        assert_non_null(pool.allocate(kSmall));
        pool.free(block, 64);
        assert_ptr_equal(pool.allocate(64), block);
    }
    assert_int_equal(heap.blocks(), 0);
    assert_int_equal(heap.wrong_sizes(), 0);
}

void blocks_do_not_overlap(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    {
        BlockPool pool(allocator);
        unit::Random random = unit::random();
        std::vector<Block> blocks;
        for (uint64_t i = 0; i < unit::rounds(200000); ++i) {
            if (blocks.size() < 1000 && !random.one_in(3)) {
                size_t size = 1 + random.of_any_size(random.one_in(20) ? 14 : 11);
                Block block = {pool.allocate(size), size, static_cast<int>(random.below(256))};
                assert_non_null(block.memory);
                std::memset(block.memory, block.filling, size);
                blocks.push_back(block);
            } else if (!blocks.empty()) {
                Block &block = blocks[random.below(blocks.size())];
                assert_true(still_filled(block));
                pool.free(block.memory, block.size);
                block = blocks.back();
                blocks.pop_back();
            }
        }
        for (const Block &block : blocks) {
            assert_true(still_filled(block));
            pool.free(block.memory, block.size);
        }
    }
    assert_int_equal(heap.blocks(), 0);
    assert_int_equal(heap.wrong_sizes(), 0);
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(blocks_are_aligned_at_every_size),
        UNIT_TEST(a_freed_block_is_the_next_to_be_given),
        UNIT_TEST(a_steady_state_allocates_nothing),
        UNIT_TEST(large_blocks_are_the_allocators),
        UNIT_TEST(refusal_is_null_and_passes),
        UNIT_TEST(blocks_do_not_overlap),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
