// What unit tests need: cmocka for C++, a watchdog, seeded randomness, an allocator that counts.
//
// The engine is built without exceptions, and cmocka leaves a failed test by longjmp: nothing but
// the test's main thread may assert. Other threads note what they see, the main thread asserts it.
#pragma once

#include <atomic>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <unistd.h>

// clang-format off: cmocka.h neither includes what it uses nor knows C++.
extern "C" {
#include <cmocka.h>
}
// clang-format on
#undef fail // The standard library's streams have a member of that name.

#include "base/allocator.hpp"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define UNIT_SANITIZED 1
#else
#define UNIT_SANITIZED 0
#endif

namespace unit {

// Under a sanitizer a loop is ten times slower; what it finds, it finds with fewer rounds.
constexpr bool kSanitized = UNIT_SANITIZED != 0;
constexpr uint64_t rounds(uint64_t count) {
    return kSanitized ? count / 10 : count;
}

constexpr unsigned kWatchdogSeconds = 60;

// A test that hangs ends with SIGALRM.
inline int start_watchdog(void **) {
    alarm(kWatchdogSeconds);
    return 0;
}

// splitmix64: every seed is a good one.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        uint64_t mixed = (state_ += 0x9e3779b97f4a7c15u);
        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
        return mixed ^ mixed >> 31;
    }
    uint64_t below(uint64_t bound) { return next() % bound; }
    bool one_in(uint64_t count) { return below(count) == 0; }
    // As many small numbers as large ones: up to so many bits.
    uint64_t of_any_size(uint32_t bits_max) {
        uint64_t bits = below(bits_max + 1);
        return bits == 0 ? 0 : next() >> (64 - bits);
    }

  private:
    uint64_t state_;
};

inline uint64_t &run_seed() {
    static uint64_t seed;
    return seed;
}

// The run's generator. The seed is another one each time; a run is repeated with it as argument.
inline Random random() {
    return Random(run_seed());
}

inline void choose_seed(int argc, char **argv) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    run_seed() = argc > 1 ? std::strtoull(argv[1], nullptr, 0)
                          : static_cast<uint64_t>(now.tv_sec) * 1000000000u +
                                static_cast<uint64_t>(now.tv_nsec);
    std::printf("seed %llu\n", static_cast<unsigned long long>(run_seed()));
    std::fflush(stdout);
}

// Counts what is out, refuses on demand, and notices a block that comes back with another size.
class Heap {
  public:
    ferry::Allocator allocator() { return ferry::Allocator(allocate, free, this); }

    uint64_t bytes() const { return bytes_.load(); }
    uint64_t blocks() const { return blocks_.load(); }
    uint64_t wrong_sizes() const { return wrong_sizes_.load(); }
    void refuse(bool whether) { refuse_.store(whether); }

  private:
    struct alignas(16) Head {
        size_t size;
    };

    static void *allocate(size_t size, void *user_data) {
        auto *heap = static_cast<Heap *>(user_data);
        if (heap->refuse_.load())
            return nullptr;
        auto *head = static_cast<Head *>(std::malloc(sizeof(Head) + size));
        if (head == nullptr)
            return nullptr;
        head->size = size;
        heap->bytes_.fetch_add(size);
        heap->blocks_.fetch_add(1);
        return head + 1;
    }

    static void free(void *memory, size_t size, void *user_data) {
        auto *heap = static_cast<Heap *>(user_data);
        Head *head = static_cast<Head *>(memory) - 1;
        if (head->size != size)
            heap->wrong_sizes_.fetch_add(1);
        heap->bytes_.fetch_sub(head->size);
        heap->blocks_.fetch_sub(1);
        std::free(head);
    }

    std::atomic<uint64_t> bytes_{0};
    std::atomic<uint64_t> blocks_{0};
    std::atomic<uint64_t> wrong_sizes_{0};
    std::atomic<bool> refuse_{false};
};

} // namespace unit

#define UNIT_TEST(test) cmocka_unit_test_setup(test, unit::start_watchdog)
