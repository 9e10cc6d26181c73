// A hash table whose elements carry their own links. Inserting never fails: where memory for more
// buckets is refused, chains are longer.
#pragma once

#include "base/allocator.hpp"

#include <cstddef>
#include <cstdint>

namespace ferry::driver::sim {

// T derives from Table<T>::Place. What is in it when it goes is not its own.
template <class T> class Table {
  public:
    class Place {
        friend class Table;
        T *chained_ = nullptr;
        uint64_t key_ = 0;
    };

    explicit Table(const Allocator &allocator) : allocator_(allocator) {}
    ~Table() { free_buckets(); }
    Table(const Table &) = delete;
    Table &operator=(const Table &) = delete;

    // The one with this key that is meant; null if there is none.
    template <class Meant> T *find(uint64_t key, Meant &&meant) const noexcept {
        for (T *at = *bucket_of(key); at != nullptr; at = next(at)) {
            if (place(at).key_ == key && meant(*at))
                return at;
        }
        return nullptr;
    }

    void insert(T &element, uint64_t key) noexcept {
        if (count_ >= size_)
            grow();
        ++count_;
        place(&element).key_ = key;
        push(bucket_of(key), &element);
    }

    // It is there.
    void remove(T &element) noexcept {
        T **link = bucket_of(place(&element).key_);
        while (*link != &element)
            link = &place(*link).chained_;
        *link = next(&element);
        --count_;
    }

    // In an order that does not depend on addresses. each may remove the one that it is given.
    template <class Each> void for_each(Each &&each) noexcept {
        for (size_t i = 0; i < size_; ++i) {
            for (T *at = buckets_[i], *after; at != nullptr; at = after) {
                after = next(at);
                each(*at);
            }
        }
    }

  private:
    static Place &place(T *element) noexcept { return *element; }
    static T *next(T *element) noexcept { return place(element).chained_; }
    static void push(T **bucket, T *element) noexcept {
        place(element).chained_ = *bucket;
        *bucket = element;
    }
    T **bucket_of(uint64_t key) const noexcept { return &buckets_[key & (size_ - 1)]; }

    void free_buckets() noexcept {
        if (buckets_ != &only_)
            allocator_.free_array(buckets_, size_);
    }

    void grow() noexcept {
        T **more = allocator_.allocate_array<T *>(size_ * 2);
        if (more == nullptr)
            return;
        size_t mask = size_ * 2 - 1;
        for_each([&](T &element) { push(&more[place(&element).key_ & mask], &element); });
        free_buckets();
        buckets_ = more;
        size_ *= 2;
    }

    const Allocator &allocator_;
    T *only_ = nullptr;
    T **buckets_ = &only_;
    size_t size_ = 1; // A power of two.
    size_t count_ = 0;
};

} // namespace ferry::driver::sim
