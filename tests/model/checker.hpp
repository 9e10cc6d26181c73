// An exhaustive search through what threads may do to each other, over the engine's own object code.
//
// The code under test is compiled with -fsanitize=thread and not linked with that sanitizer but with this:
// so each load, store and atomic operation of it is a call to here, and no line of it had to be changed or
// copied. "Threads" are fibers. Before each atomic operation on memory that several of them use the checker
// may let another one go on; it tries all ways to do so, depth first, with a bound on how often a fiber is
// interrupted (CHESS, Musuvathi and Qadeer 2007: most mistakes need two interruptions or less).
//
// Memory is weaker than the order of execution: a store may be held back in its fiber's buffer, and then
// stays there until something forces it out:
//   - a release store, or stronger, leaves after all earlier ones; others may overtake each other;
//   - a sequentially consistent load waits until the fiber's own sequentially consistent stores have left;
//   - read-modify-write with release or stronger empties the buffer, and so does going to sleep.
// That is weaker than x86 and within what C++ allows. Loads are not reordered; a load that should be an
// acquire, or a store that should be a release, is noticed by the data race that follows: plain memory
// carries vector clocks, as in the sanitizer that this takes the place of.
#pragma once

#include <cstddef>
#include <cstdint>

namespace model {

constexpr int kFibersMax = 4;

struct Scenario {
    const char *name;
    void (
        *setup)(); // Once; what it leaves behind in allocated memory is where each schedule begins.
    struct {
        const char *name;
        void (*run)();
    } fibers[kFibersMax];
    void (*check)(); // After each schedule.
    int preemptions;
    int held; // So many stores of one schedule are held back.
};

// Print a line about it. False: a schedule failed, which is shown step by step.
bool explore(const Scenario &scenario);

// Of the memory that is watched and put back before each schedule. Zeroed; never given back for others to use.
void *allocate(size_t size);
void release(void *memory, size_t size);

// This schedule is wrong.
[[noreturn]] void fail(const char *what);
#define MODEL_CHECK(condition) ((condition) ? (void)0 : model::fail("not so: " #condition))

// What an eventfd is: readable from signal() to clear().
int open_event();
void signal_event(int event);
void clear_event(int event);
void wait_for_event(int event); // If nobody ever signals it, the schedule fails.

// Let the others go on, if there are any that can.
void yield();

// ---- what the instrumented code calls, see instrumented.cpp ----
using Change = uint64_t (*)(uint64_t before, uint64_t operand);
void read(const void *address, size_t size, const void *pc);
void write(void *address, size_t size, const void *pc);
uint64_t load(const volatile void *address, size_t size, int order, const void *pc);
void store(volatile void *address, size_t size, uint64_t value, int order, const void *pc);
uint64_t change(volatile void *address, size_t size, Change change, uint64_t operand, int order,
                const void *pc);
bool exchange_if(volatile void *address, size_t size, uint64_t *expected, uint64_t value, int order,
                 int failure_order, const void *pc);

} // namespace model
