// The block cache: blocks large enough, kept for the next, bounded, and nothing left behind.
#include "base/block_cache.hpp"
#include "unit.hpp"

#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

using ferry::BlockCache;

namespace {

constexpr size_t kCached = 65536; // The largest that is kept.

void every_size_fits_and_comes_back(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    {
        BlockCache cache(allocator);
        for (size_t size = 1; size <= kCached + 100; size += size < 2000 ? 1 : 61) {
            void *block = cache.allocate(size);
            assert_non_null(block);
            assert_int_equal(reinterpret_cast<uintptr_t>(block) % 16, 0);
            std::memset(block, 0xa5, size); // The heap, or a sanitizer, sees what is too much.
            cache.free(block, size);
        }
    }
    assert_int_equal(heap.blocks(), 0);
    assert_int_equal(heap.wrong_sizes(), 0);
}

// The same block for the same size, and for one that is nearly as large.
void what_came_back_is_the_next_to_go(void **) {
    if (BlockCache::kKeptMax == 0) {
        std::puts("skipped: freed blocks are not kept here, so that a use after the free is seen");
        skip();
    }
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    BlockCache cache(allocator);
    for (size_t size : {size_t{1}, size_t{300}, size_t{5000}, kCached}) {
        void *block = cache.allocate(size);
        cache.free(block, size);
        assert_ptr_equal(cache.allocate(size), block);
        cache.free(block, size);
        uint64_t calls = heap.blocks();
        assert_ptr_equal(cache.allocate(size - size / 16), block);
        assert_int_equal(heap.blocks(), calls);
        cache.free(block, size - size / 16);
    }
}

void large_blocks_are_not_kept(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    BlockCache cache(allocator);
    cache.free(cache.allocate(kCached + 1), kCached + 1);
    assert_int_equal(heap.blocks(), 0);
}

void no_more_is_kept_than_it_may(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    BlockCache cache(allocator);
    std::vector<void *> blocks;
    for (size_t bytes = 0; bytes < 2 * BlockCache::kKeptMax; bytes += kCached)
        blocks.push_back(cache.allocate(kCached));
    for (void *block : blocks)
        cache.free(block, kCached);
    assert_int_equal(heap.blocks(), BlockCache::kKeptMax / kCached);
}

void a_refusal_is_null(void **) {
    ferry::Allocator allocator([](size_t, void *) -> void * { return nullptr; },
                               [](void *, size_t, void *) {}, nullptr);
    BlockCache cache(allocator);
    assert_null(cache.allocate(100));
    assert_null(cache.allocate(kCached + 1));
}

// Each block is one thread's at a time.
void threads_take_and_give(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    {
        BlockCache cache(allocator);
        std::vector<std::thread> threads;
        std::atomic<int> torn{0};
        for (int number = 1; number <= 4; ++number) {
            threads.emplace_back([&, number] {
                for (size_t round = 0; round < 5000; ++round) {
                    size_t size = 100 + round % 900;
                    auto *block = static_cast<unsigned char *>(cache.allocate(size));
                    std::memset(block, number, size);
                    torn += block[0] != number || block[size - 1] != number;
                    cache.free(block, size);
                }
            });
        }
        for (std::thread &thread : threads)
            thread.join();
        assert_int_equal(torn.load(), 0);
    }
    assert_int_equal(heap.blocks(), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        UNIT_TEST(every_size_fits_and_comes_back),
        UNIT_TEST(what_came_back_is_the_next_to_go),
        UNIT_TEST(large_blocks_are_not_kept),
        UNIT_TEST(no_more_is_kept_than_it_may),
        UNIT_TEST(a_refusal_is_null),
        UNIT_TEST(threads_take_and_give),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
