// Memory of one engine: the host's hooks, or the C library's.
//
// Every allocation tells its size again when it is freed, so that a host's hook can count. Failure is a
// null pointer, never an exception. The hooks may be called from any thread.
#pragma once

#include <ferry/engine.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace ferry {

class Allocator {
  public:
    Allocator() = default;
    Allocator(ferry_allocate_fn allocate, ferry_free_fn free, void *user_data)
        : allocate_(allocate), free_(free), user_data_(user_data) {}

    // Told of blocks of at least kLarge bytes of our own, never of the host's.
    using LargeHint = void (*)(void *memory, size_t size);
    void set_large_hint(LargeHint hint) noexcept { large_hint_ = hint; }
    static constexpr size_t kLarge = size_t{8} << 20;

    void *allocate(size_t size) const noexcept {
        if (allocate_ != nullptr)
            return allocate_(size, user_data_);
        return hinted(std::malloc(size), size);
    }

    // Zeroed. With the C library's allocator a large block costs no memory until it is touched.
    void *allocate_zeroed(size_t size) const noexcept {
        if (allocate_ == nullptr)
            return hinted(std::calloc(1, size != 0 ? size : 1), size);
        void *memory = allocate_(size, user_data_);
        if (memory != nullptr)
            std::memset(memory, 0, size);
        return memory;
    }

    void free(void *memory, size_t size) const noexcept {
        if (memory == nullptr)
            return;
        if (allocate_ != nullptr)
            free_(memory, size, user_data_);
        else
            std::free(memory); // NOLINT: the analyzer follows a time as if it were this pointer.
    }

    template <class T> T *allocate_array(size_t count) const noexcept {
        static_assert(alignof(T) <= alignof(std::max_align_t));
        // NOLINTNEXTLINE(bugprone-sizeof-expression): T may well be a pointer.
        return static_cast<T *>(allocate_zeroed(count * sizeof(T)));
    }

    template <class T> void free_array(T *array, size_t count) const noexcept {
        free(array, count * sizeof(T)); // NOLINT(bugprone-sizeof-expression)
    }

    template <class T, class... Arguments> T *create(Arguments &&...arguments) const noexcept {
        void *raw = allocate(padded<T>());
        if (raw == nullptr)
            return nullptr;
        uintptr_t place = reinterpret_cast<uintptr_t>(raw);
        if constexpr (alignof(T) > alignof(std::max_align_t)) {
            place = (place + sizeof(void *) + alignof(T) - 1) & ~(uintptr_t{alignof(T)} - 1);
            reinterpret_cast<void **>(place)[-1] = raw;
        }
        return ::new (reinterpret_cast<void *>(place)) T(std::forward<Arguments>(arguments)...);
    }

    template <class T> void destroy(T *object) const noexcept {
        if (object == nullptr)
            return;
        void *raw = object;
        if constexpr (alignof(T) > alignof(std::max_align_t))
            raw = reinterpret_cast<void **>(object)[-1];
        object->~T();
        free(raw, padded<T>());
    }

  private:
    void *hinted(void *memory, size_t size) const noexcept {
        if (size >= kLarge && memory != nullptr && large_hint_ != nullptr)
            large_hint_(memory, size);
        return memory;
    }

    template <class T> static constexpr size_t padded() {
        return alignof(T) > alignof(std::max_align_t) ? sizeof(T) + alignof(T) + sizeof(void *)
                                                      : sizeof(T);
    }

    ferry_allocate_fn allocate_ = nullptr;
    ferry_free_fn free_ = nullptr;
    void *user_data_ = nullptr;
    LargeHint large_hint_ = nullptr;
};

} // namespace ferry
