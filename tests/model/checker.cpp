// The search, the fibers and the memory; see checker.hpp.
#include "checker.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <link.h>
#include <map>
#include <string>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

// The checker's own copies are not the engine's.
extern "C" void *__real_memcpy(void *to, const void *from, size_t size);

namespace model {
namespace {

constexpr size_t kArena = size_t{2} << 20;
constexpr size_t kPage = 4096;
constexpr size_t kStack = size_t{256} << 10;
constexpr int kEvents = 16;
constexpr uint64_t kStepsMax = 20000; // More of them in one schedule is a loop without an end.
constexpr uint64_t kSchedulesMax = 4'000'000'000; // More of them is a scenario that is too large.

bool acquires(int order) {
    return order != __ATOMIC_RELAXED && order != __ATOMIC_RELEASE;
}
bool releases(int order) {
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

// ---- time, as vectors ---------------------------------------------------------------------------

struct Clock {
    uint32_t at[kFibersMax] = {};

    void join(const Clock &other) {
        for (int i = 0; i < kFibersMax; ++i)
            at[i] = std::max(at[i], other.at[i]);
    }
};

// When each fiber last touched eight bytes, and which of them; of another schedule, nobody did.
struct Shadow {
    struct Touch {
        uint32_t wrote, read;
        uint8_t bytes_written, bytes_read;
    };
    uint32_t schedule;
    Touch by[kFibersMax];
};

// What an atomic variable's last store released.
struct Location {
    uint32_t schedule;
    Clock released;
};

// Over all schedules of a scenario: which fibers use it, a bit each.
struct Use {
    uint8_t readers, writers;
    bool shared() const {
        uint8_t all = readers | writers;
        return writers != 0 && (all & (all - 1)) != 0;
    }
};

struct Pending {
    uintptr_t address;
    size_t size;
    uint64_t value;
    int order;
    Clock clock;
};

// ---- fibers -------------------------------------------------------------------------------------

struct Fiber {
    const char *name = nullptr;
    void (*run)() = nullptr;
    bool ended = false;
    bool yielded = false;      // Not again before somebody else has had a turn.
    int event = -1;            // Sleeps until this is signalled.
    uintptr_t spins_on = 0;    // Waits for somebody to change this.
    uintptr_t last_loaded = 0; // For noticing that it spins.
    uint64_t last_value = 0;
    int same_loads = 0;
    Clock clock;
    std::vector<Pending> pending;
    ucontext_t context;
};

struct Event {
    bool set;
    Clock clock;
};

struct Choice {
    uint8_t taken, count;
};

struct Step {
    int fiber;
    std::string what;
    const void *pc;
};

char *arena, *arena_copy, *stacks;
size_t arena_used, arena_at_start;
std::vector<bool> dirty(kArena / kPage);
Shadow *shadows;
Location *locations;
Use *uses;

Fiber fibers[kFibersMax];
int fiber_count;
int current = -1; // Nobody: setup or check runs, alone.
ucontext_t searcher;
Event events[kEvents];
int event_count, events_at_start;

uint32_t schedule;
uint64_t steps;
std::vector<Choice> trail;
size_t depth;
int preemptions_left, held_left;
bool more_is_shared;
const char *volatile failure;
bool telling;
std::vector<Step> told;

bool watched(uintptr_t address) {
    return address - reinterpret_cast<uintptr_t>(arena) < kArena;
}
size_t offset_of(uintptr_t address) {
    return address - reinterpret_cast<uintptr_t>(arena);
}

uint64_t fetch(uintptr_t address, size_t size) {
    uint64_t value = 0;
    __real_memcpy(&value, reinterpret_cast<const void *>(address), size);
    return value;
}

void touch(uintptr_t address, size_t size) {
    for (size_t at = offset_of(address) / kPage; at <= (offset_of(address) + size - 1) / kPage;
         ++at)
        dirty[at] = true;
}

void put(uintptr_t address, size_t size, uint64_t value) {
    if (watched(address))
        touch(address, size);
    __real_memcpy(reinterpret_cast<void *>(address), &value, size);
}

[[gnu::format(printf, 2, 3)]] void tell(const void *pc, const char *format, ...) {
    char line[160];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    told.push_back({current, line, pc});
}
#define TELL(...)                                                                                  \
    if (telling)                                                                                   \
    tell(__VA_ARGS__)

const char *name_of(int order) {
    static const char *const names[] = {"relaxed", "consume", "acquire",
                                        "release", "acq_rel", "seq_cst"};
    return names[order];
}

// ---- choosing -----------------------------------------------------------------------------------

int choose(int count) {
    if (count == 1)
        return 0;
    if (depth == trail.size())
        trail.push_back({0, static_cast<uint8_t>(count)});
    if (trail[depth].count != count) {
        std::fputs("the same choices led elsewhere: the scenario is not deterministic\n", stderr);
        std::abort();
    }
    return trail[depth++].taken;
}

bool next_trail() {
    while (!trail.empty() && trail.back().taken + 1 == trail.back().count)
        trail.pop_back();
    if (trail.empty())
        return false;
    ++trail.back().taken;
    return true;
}

bool runnable(const Fiber &fiber) {
    return !fiber.ended && !fiber.yielded && fiber.spins_on == 0 &&
           (fiber.event < 0 || events[fiber.event].set);
}

void switch_to(int next) {
    int before = current;
    if (next == before)
        return;
    for (int i = 0; i < fiber_count; ++i)
        fibers[i].yielded = false;
    current = next;
    ucontext_t *to = next < 0 ? &searcher : &fibers[next].context;
    if (before < 0)
        swapcontext(&searcher, to);
    else
        swapcontext(&fibers[before].context, to);
}

// The current fiber cannot go on, or not yet.
void leave() {
    int ready[kFibersMax];
    int count = 0;
    for (int i = 0; i < fiber_count; ++i) {
        if (runnable(fibers[i]))
            ready[count++] = i;
    }
    if (count != 0) {
        switch_to(ready[choose(count)]);
        return;
    }
    // Who seemed to spin may only have looked twice; who yields goes on if nobody else does.
    bool ended = true;
    for (int i = 0; i < fiber_count; ++i) {
        Fiber &fiber = fibers[i];
        ended = ended && fiber.ended;
        if (fiber.ended || fiber.event >= 0)
            continue;
        if (fiber.yielded || (fiber.spins_on != 0 && fiber.same_loads < 8)) {
            fiber.spins_on = 0;
            fiber.yielded = false;
            switch_to(i);
            return;
        }
    }
    if (!ended)
        fail("nobody goes on: a wake-up was lost");
    switch_to(-1);
}

// Before an operation that others can see: one of them may come first.
void point() {
    if (++steps > kStepsMax)
        fail("no end: a loop that goes round for ever");
    if (preemptions_left == 0)
        return;
    int ready[kFibersMax];
    int count = 0;
    ready[count++] = current;
    for (int i = 0; i < fiber_count; ++i) {
        if (i != current && runnable(fibers[i]))
            ready[count++] = i;
    }
    int taken = choose(count);
    if (taken == 0)
        return;
    --preemptions_left;
    switch_to(ready[taken]);
}

// ---- memory -------------------------------------------------------------------------------------

bool note_use(uintptr_t address, bool writes) {
    Use &use = uses[offset_of(address)];
    bool before = use.shared();
    (writes ? use.writers : use.readers) |= static_cast<uint8_t>(1 << current);
    more_is_shared = more_is_shared || (!before && use.shared());
    return use.shared();
}

Location &location(uintptr_t address) {
    Location &found = locations[offset_of(address)];
    if (found.schedule != schedule) {
        found.schedule = schedule;
        found.released = Clock();
    }
    return found;
}

void become_visible(const Pending &one) {
    put(one.address, one.size, one.value);
    location(one.address).released = one.clock;
    for (int i = 0; i < fiber_count; ++i) {
        if (fibers[i].spins_on == one.address) {
            fibers[i].spins_on = 0;
            fibers[i].same_loads = 0;
        }
    }
}

void let_out(size_t count) {
    std::vector<Pending> &pending = fibers[current].pending;
    for (size_t i = 0; i < count; ++i) {
        TELL(nullptr, "      what it held at %zx is visible: %llu", offset_of(pending[i].address),
             static_cast<unsigned long long>(pending[i].value));
        become_visible(pending[i]);
    }
    pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(count));
}

void let_all_out() {
    let_out(fibers[current].pending.size());
}

// Up to the last one that an operation on this address must not overtake.
void let_out_before(uintptr_t address, int order) {
    std::vector<Pending> &pending = fibers[current].pending;
    size_t count = pending.size();
    while (!releases(order) && count != 0 && pending[count - 1].address != address)
        --count;
    let_out(count);
}

Clock release_clock(int order) {
    Fiber &fiber = fibers[current];
    if (!releases(order))
        return Clock();
    Clock clock = fiber.clock;
    ++fiber.clock.at[current];
    return clock;
}

void did_something() {
    fibers[current].same_loads = 0;
    fibers[current].last_loaded = 0;
}

// The same load with the same outcome again and again: until somebody changes it there is nothing to see.
void notice_spinning(uintptr_t address, uint64_t value) {
    Fiber &fiber = fibers[current];
    if (fiber.last_loaded != address || fiber.last_value != value) {
        fiber.last_loaded = address;
        fiber.last_value = value;
        fiber.same_loads = 0;
        return;
    }
    if (++fiber.same_loads < 2)
        return;
    let_all_out();
    fiber.spins_on = address;
    leave();
}

void race(const char *what, uintptr_t address) {
    static char line[120];
    std::snprintf(line, sizeof line, "data race: %s at %zx that is not ordered after another's",
                  what, offset_of(address));
    fail(line);
}

// What a fiber touched before of the same eight bytes is forgotten, if it was others of them: this overlooks
// rather than cries wolf.
bool access_word(Shadow &shadow, uint8_t bytes, bool writes) {
    if (shadow.schedule != schedule)
        shadow = Shadow{schedule, {}};
    const Clock &now = fibers[current].clock;
    for (int other = 0; other < fiber_count; ++other) {
        const Shadow::Touch &theirs = shadow.by[other];
        if (((theirs.bytes_written & bytes) != 0 && theirs.wrote > now.at[other]) ||
            (writes && (theirs.bytes_read & bytes) != 0 && theirs.read > now.at[other]))
            return false;
    }
    Shadow::Touch &own = shadow.by[current];
    uint32_t &when = writes ? own.wrote : own.read;
    uint8_t &which = writes ? own.bytes_written : own.bytes_read;
    which = when == now.at[current] ? which | bytes : bytes;
    when = now.at[current];
    return true;
}

void access_plain(uintptr_t address, size_t size, bool writes, const void *pc) {
    if (size == 0 || !watched(address))
        return;
    if (writes)
        touch(address, size);
    if (current < 0)
        return;
    for (uintptr_t at = address; at < address + size;) {
        uintptr_t next = std::min((at | 7) + 1, address + size);
        auto bytes = static_cast<uint8_t>(((1u << (next - at)) - 1) << (at & 7));
        if (!access_word(shadows[offset_of(at) / 8], bytes, writes)) {
            TELL(pc, "plain %s", writes ? "write" : "read");
            race(writes ? "a write" : "a read", at);
        }
        at = next;
    }
}

// ---- one schedule -------------------------------------------------------------------------------

void fiber_main() {
    fibers[current].run();
    point(); // What it holds back leaves at its end, not before.
    let_all_out();
    fibers[current].ended = true;
    leave();
    std::abort();
}

void put_back() {
    for (size_t page = 0; page < kArena / kPage; ++page) {
        if (!dirty[page])
            continue;
        dirty[page] = false;
        __real_memcpy(arena + page * kPage, arena_copy + page * kPage, kPage);
    }
    arena_used = arena_at_start;
    // What escaped the compiler's instrumentation would make a schedule depend on the one before.
    if (schedule < 20 && std::memcmp(arena, arena_copy, kArena) != 0) {
        std::fputs("memory was changed unseen\n", stderr);
        std::abort();
    }
}

void begin_fiber(int index, const Scenario &scenario) {
    Fiber &fiber = fibers[index];
    fiber = Fiber();
    fiber.name = scenario.fibers[index].name;
    fiber.run = scenario.fibers[index].run;
    fiber.clock.at[index] = 1;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stacks + static_cast<size_t>(index) * kStack;
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, fiber_main, 0);
}

void run_once(const Scenario &scenario) {
    put_back();
    ++schedule;
    steps = 0;
    depth = 0;
    preemptions_left = scenario.preemptions;
    held_left = scenario.held;
    failure = nullptr;
    event_count = events_at_start;
    for (Event &event : events)
        event = Event();
    fiber_count = 0;
    while (fiber_count < kFibersMax && scenario.fibers[fiber_count].run != nullptr)
        begin_fiber(fiber_count++, scenario);
    // Who begins is no interruption.
    switch_to(choose(fiber_count));
    getcontext(&searcher); // To where fail() goes back from the check.
    if (failure == nullptr)
        scenario.check();
}

// ---- telling ------------------------------------------------------------------------------------

uintptr_t load_base() {
    uintptr_t base = 0;
    dl_iterate_phdr(
        [](dl_phdr_info *info, size_t, void *out) {
            *static_cast<uintptr_t *>(out) = info->dlpi_addr;
            return 1;
        },
        &base);
    return base;
}

// The first line of each that is not the standard library's.
std::map<const void *, std::string> lines_of(const std::vector<Step> &all) {
    std::map<const void *, std::string> lines;
    std::vector<const void *> order;
    char program[512];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    std::string command = "addr2line -asi -e '" +
                          std::string(program, static_cast<size_t>(std::max<ssize_t>(length, 0))) +
                          "'";
    for (const Step &step : all) {
        if (step.pc == nullptr || lines.count(step.pc) != 0)
            continue;
        char address[32];
        std::snprintf(address, sizeof address, " %zx",
                      reinterpret_cast<uintptr_t>(step.pc) - 1 - load_base());
        command += address;
        lines[step.pc] = "";
        order.push_back(step.pc);
    }
    FILE *pipe = order.empty() ? nullptr : popen((command + " 2>/dev/null").c_str(), "r");
    char line[512];
    size_t at = 0;
    while (pipe != nullptr && std::fgets(line, sizeof line, pipe) != nullptr) {
        line[std::strcspn(line, " \n")] = '\0';
        if (std::strncmp(line, "0x", 2) == 0)
            ++at;
        else if (at != 0 && at <= order.size() && lines[order[at - 1]].empty() &&
                 std::strstr(line, "atomic") == nullptr)
            lines[order[at - 1]] = line;
    }
    if (pipe != nullptr)
        pclose(pipe);
    return lines;
}

void show(const Scenario &scenario) {
    telling = true;
    told.clear();
    std::string what = failure;
    run_once(scenario);
    telling = false;
    std::map<const void *, std::string> lines = lines_of(told);
    for (const Step &step : told)
        std::printf("    %-10s %-52s %s\n", step.fiber >= 0 ? fibers[step.fiber].name : "",
                    step.what.c_str(), step.pc != nullptr ? lines[step.pc].c_str() : "");
    std::printf("    %s\n", what.c_str());
}

void map_memory() {
    auto map = [](size_t size) {
        void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            std::perror("mmap");
            std::exit(77);
        }
        return static_cast<char *>(memory);
    };
    arena = map(kArena);
    arena_copy = map(kArena);
    stacks = map(kStack * kFibersMax);
    shadows = reinterpret_cast<Shadow *>(map(kArena / 8 * sizeof(Shadow)));
    locations = reinterpret_cast<Location *>(map(kArena * sizeof(Location)));
    uses = reinterpret_cast<Use *>(map(kArena * sizeof(Use)));
}

void set_up(const Scenario &scenario) {
    if (arena == nullptr)
        map_memory();
    std::memset(arena, 0, kArena);
    std::memset(uses, 0, kArena * sizeof(Use));
    arena_used = 0;
    event_count = 0;
    scenario.setup();
    arena_at_start = arena_used;
    events_at_start = event_count;
    __real_memcpy(arena_copy, arena, kArena);
    dirty.assign(kArena / kPage, false);
    trail.clear();
}

double seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

} // namespace

bool explore(const Scenario &scenario) {
    double begin = seconds();
    set_up(scenario);
    uint64_t count = 0, deepest = 0;
    do {
        more_is_shared = false;
        run_once(scenario);
        ++count;
        deepest = std::max(deepest, steps);
        if (more_is_shared) {
            // There are more places to interrupt than were known: begin anew, also with what went wrong.
            trail.clear();
            count = 0;
        } else if (failure != nullptr || count == kSchedulesMax) {
            break;
        }
    } while (more_is_shared || next_trail());
    bool done = failure == nullptr && count < kSchedulesMax;
    std::printf(
        "%-34s %8llu schedules, up to %3llu steps, %d interruptions, %d held: %s (%.1f s)\n",
        scenario.name, static_cast<unsigned long long>(count),
        static_cast<unsigned long long>(deepest), scenario.preemptions, scenario.held,
        done                 ? "right"
        : failure != nullptr ? "WRONG"
                             : "TOO MANY",
        seconds() - begin);
    if (failure != nullptr)
        show(scenario);
    std::fflush(stdout);
    return done;
}

void *allocate(size_t size) {
    size_t place = (arena_used + 63) & ~size_t{63};
    if (place + size > kArena)
        return nullptr;
    arena_used = place + size;
    return arena + place;
}

void release(void *memory, size_t size) {
    access_plain(reinterpret_cast<uintptr_t>(memory), size, true, nullptr);
}

void fail(const char *what) {
    failure = what;
    current = -1;
    setcontext(&searcher);
    std::abort();
}

// ---- events -------------------------------------------------------------------------------------

int open_event() {
    return event_count < kEvents ? event_count++ : -1;
}

void signal_event(int event) {
    if (current < 0) {
        events[event].set = true;
        return;
    }
    point();
    did_something();
    let_all_out();
    TELL(nullptr, "signal event %d", event);
    events[event].clock.join(release_clock(__ATOMIC_RELEASE));
    events[event].set = true;
}

void clear_event(int event) {
    point();
    did_something();
    let_all_out();
    TELL(nullptr, "clear event %d", event);
    fibers[current].clock.join(events[event].clock);
    events[event].set = false;
}

void wait_for_event(int event) {
    point(); // What it holds back leaves when it sleeps, not before.
    did_something();
    let_all_out();
    TELL(nullptr, "wait for event %d", event);
    fibers[current].event = event;
    if (!events[event].set)
        leave();
    fibers[current].event = -1;
    fibers[current].clock.join(events[event].clock);
}

void yield() {
    if (current < 0)
        return;
    let_all_out();
    if (++steps > kStepsMax)
        fail("no end: a loop that goes round for ever");
    fibers[current].yielded = true;
    leave();
    fibers[current].yielded = false;
}

// ---- what the code does to memory ---------------------------------------------------------------

void read(const void *address, size_t size, const void *pc) {
    access_plain(reinterpret_cast<uintptr_t>(address), size, false, pc);
}

void write(void *address, size_t size, const void *pc) {
    access_plain(reinterpret_cast<uintptr_t>(address), size, true, pc);
}

uint64_t load(const volatile void *at, size_t size, int order, const void *pc) {
    auto address = reinterpret_cast<uintptr_t>(at);
    if (current < 0 || !watched(address))
        return fetch(address, size);
    bool shared = note_use(address, false);
    if (shared)
        point();
    Fiber &fiber = fibers[current];
    if (order == __ATOMIC_SEQ_CST &&
        std::any_of(fiber.pending.begin(), fiber.pending.end(),
                    [](const Pending &one) { return one.order == __ATOMIC_SEQ_CST; }))
        let_all_out();
    uint64_t value = fetch(address, size);
    bool own = false;
    for (const Pending &one : fiber.pending) {
        if (one.address == address) {
            value = one.value;
            own = true;
        }
    }
    if (!own && acquires(order))
        fiber.clock.join(location(address).released);
    if (shared) {
        TELL(pc, "load  %zx: %llu, %s%s", offset_of(address),
             static_cast<unsigned long long>(value), name_of(order), own ? ", its own" : "");
    }
    notice_spinning(address, value);
    return value;
}

void store(volatile void *at, size_t size, uint64_t value, int order, const void *pc) {
    auto address = reinterpret_cast<uintptr_t>(at);
    if (current < 0 || !watched(address)) {
        put(address, size, value);
        return;
    }
    bool shared = note_use(address, true);
    if (shared)
        point();
    did_something();
    Pending one{address, size, value, order, release_clock(order)};
    bool held = shared && held_left != 0 && choose(2) == 1;
    if (shared) {
        TELL(pc, "store %zx: %llu, %s%s", offset_of(address),
             static_cast<unsigned long long>(value), name_of(order), held ? ", held back" : "");
    }
    if (held) {
        --held_left;
        fibers[current].pending.push_back(one);
        return;
    }
    let_out_before(address, order);
    become_visible(one);
}

uint64_t change(volatile void *at, size_t size, Change function, uint64_t operand, int order,
                const void *pc) {
    auto address = reinterpret_cast<uintptr_t>(at);
    if (current < 0 || !watched(address)) {
        uint64_t before = fetch(address, size);
        put(address, size, function(before, operand));
        return before;
    }
    bool shared = note_use(address, true);
    if (shared)
        point();
    did_something();
    let_out_before(address, order);
    Fiber &fiber = fibers[current];
    uint64_t before = fetch(address, size);
    Clock clock = location(address).released; // It goes on, whatever the order of this one.
    if (acquires(order))
        fiber.clock.join(clock);
    clock.join(release_clock(order));
    become_visible({address, size, function(before, operand), order, clock});
    if (shared) {
        TELL(pc, "change %zx: %llu to %llu, %s", offset_of(address),
             static_cast<unsigned long long>(before),
             static_cast<unsigned long long>(fetch(address, size)), name_of(order));
    }
    return before;
}

bool exchange_if(volatile void *at, size_t size, uint64_t *expected, uint64_t value, int order,
                 int failure_order, const void *pc) {
    auto address = reinterpret_cast<uintptr_t>(at);
    if (current >= 0 && watched(address)) {
        if (note_use(address, true))
            point();
        did_something();
        let_out_before(address, order);
    }
    uint64_t before = fetch(address, size);
    bool equal = before == *expected;
    if (current < 0 || !watched(address)) {
        if (equal)
            put(address, size, value);
    } else {
        Clock clock = location(address).released;
        if (acquires(equal ? order : failure_order))
            fibers[current].clock.join(clock);
        if (equal) {
            clock.join(release_clock(order));
            become_visible({address, size, value, order, clock});
        }
        if (uses[offset_of(address)].shared()) {
            TELL(pc, "change %zx: %llu %s %llu, %s", offset_of(address),
                 static_cast<unsigned long long>(before), equal ? "to" : "stays, not to be",
                 static_cast<unsigned long long>(value), name_of(order));
        }
    }
    *expected = before;
    return equal;
}

} // namespace model

extern "C" void *model_thread(void) {
    // Setup and check are a thread of their own.
    return reinterpret_cast<void *>(static_cast<uintptr_t>(model::current + 2));
}
