// The functions that a compiler calls in code made with -fsanitize=thread, and those of the C library that it
// does not look into.
#include "checker.hpp"

#include <cstdint>
#include <cstdlib>
#include <sched.h>

using namespace model;

#define PC __builtin_return_address(0)

extern "C" {

void *__real_memcpy(void *to, const void *from, size_t size);
void *__real_memmove(void *to, const void *from, size_t size);
void *__real_memset(void *to, int byte, size_t size);

void *__wrap_memcpy(void *to, const void *from, size_t size) {
    read(from, size, PC);
    write(to, size, PC);
    return __real_memcpy(to, from, size);
}
void *__wrap_memmove(void *to, const void *from, size_t size) {
    read(from, size, PC);
    write(to, size, PC);
    return __real_memmove(to, from, size);
}
void *__wrap_memset(void *to, int byte, size_t size) {
    write(to, size, PC);
    return __real_memset(to, byte, size);
}
int __wrap_sched_yield() {
    yield();
    return 0;
}

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void **address, void *) {
    write(address, sizeof *address, PC);
}
void __tsan_vptr_read(void **address) {
    read(address, sizeof *address, PC);
}
void __tsan_read_range(void *address, size_t size) {
    read(address, size, PC);
}
void __tsan_write_range(void *address, size_t size) {
    write(address, size, PC);
}
void __tsan_atomic_thread_fence(int) {
    abort(); // The engine has none, and the checker knows none.
}
void __tsan_atomic_signal_fence(int) {}

#define PLAIN(size)                                                                                \
    void __tsan_read##size(void *address) {                                                        \
        read(address, size, PC);                                                                   \
    }                                                                                              \
    void __tsan_write##size(void *address) {                                                       \
        write(address, size, PC);                                                                  \
    }                                                                                              \
    void __tsan_unaligned_read##size(void *address) {                                              \
        read(address, size, PC);                                                                   \
    }                                                                                              \
    void __tsan_unaligned_write##size(void *address) {                                             \
        write(address, size, PC);                                                                  \
    }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

#define CHANGE(bits, name, expression)                                                             \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *address,                  \
                                                uint##bits##_t operand, int order) {               \
        return static_cast<uint##bits##_t>(change(                                                 \
            address, sizeof operand,                                                               \
            [](uint64_t before, uint64_t with) -> uint64_t {                                       \
                (void)before;                                                                      \
                return expression;                                                                 \
            },                                                                                     \
            operand, order, PC));                                                                  \
    }
#define EXCHANGE_IF(bits, name)                                                                    \
    int __tsan_atomic##bits##_compare_exchange_##name(                                             \
        volatile uint##bits##_t *address, uint##bits##_t *expected, uint##bits##_t value,          \
        int order, int failure_order) {                                                            \
        uint64_t wide = *expected;                                                                 \
        bool done = exchange_if(address, sizeof value, &wide, value, order, failure_order, PC);    \
        if (!done) {                                                                               \
            write(expected, sizeof *expected, PC);                                                 \
            *expected = static_cast<uint##bits##_t>(wide);                                         \
        }                                                                                          \
        return done;                                                                               \
    }
#define ATOMIC(bits)                                                                               \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *address, int order) { \
        return static_cast<uint##bits##_t>(load(address, bits / 8, order, PC));                    \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *address, uint##bits##_t value,       \
                                     int order) {                                                  \
        store(address, bits / 8, value, order, PC);                                                \
    }                                                                                              \
    CHANGE(bits, exchange, with)                                                                   \
    CHANGE(bits, fetch_add, before + with)                                                         \
    CHANGE(bits, fetch_sub, before - with)                                                         \
    CHANGE(bits, fetch_and, before &with)                                                          \
    CHANGE(bits, fetch_or, before | with)                                                          \
    CHANGE(bits, fetch_xor, before ^ with)                                                         \
    EXCHANGE_IF(bits, strong)                                                                      \
    EXCHANGE_IF(bits, weak)
ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

} // extern "C"
