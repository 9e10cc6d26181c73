// The inbox, the ways to sleep and the completion queue, in every order in which a few threads can get into
// each other's way. See checker.hpp for what that covers; docs/design/007-model-check.md for why.
//
// usage: model_test [--deep] [NAME...]
//     scenarios whose name contains one of these, all by default; deep: one more interruption, one more store
//     held back, which takes hours
#include "checker.hpp"
#include "world.hpp"

#include <ferry/status.h>

#include <cstdio>
#include <cstring>
#include <iterator>
#include <new>

using namespace ferry;
using namespace model;

namespace {

// All that the fibers of a scenario share, in memory that is put back before each schedule.
struct World {
    Engine *engine;
    Queue *queue;
    ferry_op first; // Submitted by setup.
    uint64_t reaped[8];
    uint32_t count;
    std::atomic<bool> asked;
};
World *world;

void make_world(uint32_t operations_max, uint32_t mode, uint32_t capacity) {
    world = new (allocate(sizeof(World))) World();
    world->engine = make_engine(operations_max);
    world->queue = make_queue(*world->engine, mode, capacity);
}

void note(uint64_t tag) {
    MODEL_CHECK(world->count < std::size(world->reaped));
    world->reaped[world->count++] = tag;
}

bool came(uint64_t tag) {
    uint32_t times = 0;
    for (uint32_t i = 0; i < world->count; ++i)
        times += world->reaped[i] == tag ? 1 : 0;
    MODEL_CHECK(times <= 1);
    return times == 1;
}

bool came_before(uint64_t tag, uint64_t other) {
    uint32_t at = 0;
    while (at < world->count && world->reaped[at] != tag)
        ++at;
    while (at < world->count && world->reaped[at] != other)
        ++at;
    return at < world->count;
}

void submit_now(Opcode opcode, uint64_t tag) {
    MODEL_CHECK(submit(*world->engine, *world->queue, request(opcode, tag)) != 0);
}

void nothing_is_left() {
    ferry_engine_info info = {};
    world->engine->info(&info);
    MODEL_CHECK(info.ops_in_flight == 0);
    MODEL_CHECK(info.buffers_lent == 0);
}

// ---- the inbox, and the shard that sleeps ---------------------------------------------------------

// On the shard's thread.
void noted_inline(const ferry_completion *completion, void *) {
    note(completion->tag);
}

void submit_noted(uint64_t tag) {
    ferry_request one = request(kNothing, tag);
    one.callback = noted_inline;
    MODEL_CHECK(submit(*world->engine, *world->queue, one) != 0);
}

template <uint32_t Count> void run_until_noted() {
    while (world->count < Count)
        MODEL_CHECK(world->engine->run(FERRY_FOREVER, 0, nullptr) == FERRY_OK);
}

void set_up_inbox() {
    make_world(4, FERRY_QUEUE_INLINE, 0);
}

template <uint64_t Tag> void submit_one() {
    submit_noted(Tag);
}

template <uint64_t Tag> void submit_two() {
    submit_noted(Tag);
    submit_noted(Tag + 1);
}

template <uint64_t Tag> void submit_both() {
    ferry_request two[2] = {request(kNothing, Tag), request(kNothing, Tag + 1)};
    two[0].callback = two[1].callback = noted_inline;
    size_t accepted = 0;
    MODEL_CHECK(world->engine->submit(*world->queue, two, 2, nullptr, &accepted) == FERRY_OK);
    MODEL_CHECK(accepted == 2);
}

void check_one_submitter() {
    MODEL_CHECK(world->count == 2);
    MODEL_CHECK(came_before(10, 11));
    nothing_is_left();
}

void check_two_submitters() {
    MODEL_CHECK(world->count == 3);
    MODEL_CHECK(came(20) && came_before(10, 11));
    nothing_is_left();
}

// Slots are used again while submitters look for one.
void set_up_one_slot() {
    make_world(1, FERRY_QUEUE_INLINE, 0);
}

template <uint64_t Tag> void submit_when_there_is_room() {
    ferry_request one = request(kNothing, Tag);
    one.callback = noted_inline;
    while (submit(*world->engine, *world->queue, one) == 0)
        yield();
}

void check_both_came() {
    MODEL_CHECK(world->count == 2 && came(10) && came(20));
    nothing_is_left();
}

// ---- the completion queue -------------------------------------------------------------------------

// As a thread of an engine that has its own; the inbox's scenarios drive it as a host does.
Shard &shard_of_this_thread() {
    Shard &shard = world->engine->shard(0);
    shard.bind(os::thread_self());
    return shard;
}

void drive() {
    Shard &shard = shard_of_this_thread();
    shard.work();
    while (!world->asked.load(std::memory_order_acquire)) {
        shard.poll(UINT64_MAX);
        shard.work();
    }
}

// Each in a turn of its own, so that each finds the reader elsewhere.
template <Opcode What, uint32_t Count> void drive_one_by_one() {
    for (uint64_t tag = 0; tag < Count; ++tag) {
        shard_of_this_thread().work();
        submit_now(What, tag);
    }
    drive();
}

// What the consumer does when it has seen all: the shard's fiber may go.
void let_go() {
    world->asked.store(true, std::memory_order_release);
    world->engine->shard(0).nudge();
}

template <uint32_t Count> void wait_for() {
    while (world->count < Count) {
        ferry_completion some[2];
        int32_t got = world->queue->wait(some, 2, FERRY_FOREVER);
        MODEL_CHECK(got > 0);
        for (int32_t i = 0; i < got; ++i)
            note(some[i].tag);
    }
}

template <uint32_t Count> void wait_and_let_go() {
    wait_for<Count>();
    let_go();
}

// A reader of the mapped ring, by the rules of docs/pages/sleeping.md.
template <uint32_t Count> void read_mapped_ring() {
    ferry_queue_mapping ring;
    world->queue->map(&ring);
    int32_t fd;
    MODEL_CHECK(world->queue->open_fd(&fd) == FERRY_OK);
    auto *records = static_cast<const ferry_completion *>(ring.records);
    uint32_t head = 0;
    while (world->count < Count) {
        uint32_t tail = __atomic_load_n(ring.tail, __ATOMIC_ACQUIRE);
        bool nothing = head == tail;
        for (; head != tail; ++head)
            note(records[head & (ring.capacity - 1)].tag);
        if (!nothing)
            __atomic_store_n(ring.head, head, __ATOMIC_RELEASE);
        if (world->count == Count)
            break;
        if (nothing || (__atomic_load_n(ring.flags, __ATOMIC_RELAXED) & FERRY_QUEUE_HELD) != 0) {
            if (world->queue->arm() == 0)
                wait_for_event(fd);
        }
    }
    let_go();
}

template <uint32_t Mode, uint32_t Capacity, uint32_t Count> void set_up_queue() {
    make_world(4, Mode, Capacity);
    for (uint64_t tag = 0; tag < Count; ++tag)
        submit_now(kNothing, tag);
}

template <uint32_t Count> void check_in_order() {
    MODEL_CHECK(world->count == Count);
    for (uint32_t tag = 0; tag < Count; ++tag)
        MODEL_CHECK(world->reaped[tag] == tag);
    nothing_is_left();
}

template <uint64_t Tag> void post_one() {
    ferry_completion message = {};
    message.tag = Tag;
    MODEL_CHECK(world->queue->post(message) == FERRY_OK);
}

void set_up_posts() {
    make_world(2, FERRY_QUEUE_REAP, 2);
}

void check_posts() {
    MODEL_CHECK(world->count == 2 && came(10) && came(20));
}

// Completions with FERRY_MORE into a ring with one place: the operation waits for room.
void set_up_more() {
    make_world(2, FERRY_QUEUE_REAP, 1);
    submit_now(kSay, 7);
}

void wait_for_said() {
    while (world->count < 3) {
        ferry_completion one;
        MODEL_CHECK(world->queue->wait(&one, 1, FERRY_FOREVER) == 1);
        MODEL_CHECK(one.tag == 7 && one.result == static_cast<int64_t>(world->count));
        MODEL_CHECK(((one.flags & FERRY_MORE) != 0) == (world->count < 2));
        note(world->count);
    }
    let_go();
}

// ---- cancel --------------------------------------------------------------------------------------

void cancel_first() {
    ferry_status status = world->engine->cancel(world->first);
    MODEL_CHECK(status == FERRY_OK || status == FERRY_E_TOO_LATE);
}

// Two ask for the same.
void set_up_stand() {
    make_world(1, FERRY_QUEUE_INLINE, 0);
    ferry_request one = request(kStand, 1);
    one.callback = noted_inline;
    world->first = submit(*world->engine, *world->queue, one);
}

void check_cancelled() {
    MODEL_CHECK(world->count == 1 && came(1));
    nothing_is_left();
}

// The first may have ended, and another one stands in its slot: that one is not meant.
void never_before_it_is_asked(const ferry_completion *completion, void *) {
    MODEL_CHECK(completion->status == FERRY_E_CANCELED);
    MODEL_CHECK(world->asked.load(std::memory_order_relaxed));
    note(completion->tag);
}

void set_up_reuse() {
    make_world(1, FERRY_QUEUE_INLINE, 0);
    ferry_request one = request(kNothing, 1);
    one.callback = noted_inline;
    world->first = submit(*world->engine, *world->queue, one);
}

void submit_next_and_cancel() {
    ferry_request one = request(kStand, 2);
    one.callback = never_before_it_is_asked;
    ferry_op next;
    while ((next = submit(*world->engine, *world->queue, one)) == 0)
        yield();
    world->asked.store(true, std::memory_order_relaxed);
    MODEL_CHECK(world->engine->cancel(next) == FERRY_OK);
}

void check_reuse() {
    MODEL_CHECK(world->count == 2 && came_before(1, 2));
    nothing_is_left();
}

// ---- lent buffers --------------------------------------------------------------------------------

void set_up_buffers() {
    make_world(2, FERRY_QUEUE_REAP, 2);
}

void wait_and_release() {
    while (world->count < 2) {
        ferry_completion one;
        MODEL_CHECK(world->queue->wait(&one, 1, FERRY_FOREVER) == 1);
        note(one.tag);
        MODEL_CHECK(world->engine->release(one.buffer) == FERRY_OK);
        MODEL_CHECK(world->engine->release(one.buffer) == FERRY_E_STALE);
    }
    let_go();
}

const Scenario kScenarios[] = {
    {"sleep: a shard that lies down",
     set_up_inbox,
     {{"shard", run_until_noted<2>}, {"submitter", submit_two<10>}},
     check_one_submitter,
     2,
     2},
    {"sleep: two requests at once",
     set_up_inbox,
     {{"shard", run_until_noted<2>}, {"submitter", submit_both<10>}},
     check_one_submitter,
     3,
     2},
    {"inbox: two submitters",
     set_up_inbox,
     {{"shard", run_until_noted<3>}, {"one", submit_two<10>}, {"other", submit_one<20>}},
     check_two_submitters,
     2,
     1},
    {"inbox: two submitters, one slot",
     set_up_one_slot,
     {{"shard", run_until_noted<2>},
      {"one", submit_when_there_is_room<10>},
      {"other", submit_when_there_is_room<20>}},
     check_both_came,
     2,
     0},
    {"queue: writer and reaper",
     set_up_queue<FERRY_QUEUE_REAP, 4, 2>,
     {{"shard", drive}, {"reaper", wait_and_let_go<2>}},
     check_in_order<2>,
     2,
     2},
    {"queue: one place for three",
     set_up_queue<FERRY_QUEUE_REAP, 1, 3>,
     {{"shard", drive}, {"reaper", wait_and_let_go<3>}},
     check_in_order<3>,
     2,
     1},
    {"mapped: one place for two",
     set_up_queue<FERRY_QUEUE_MAPPED, 1, 0>,
     {{"shard", drive_one_by_one<kNothing, 2>}, {"reader", read_mapped_ring<2>}},
     check_in_order<2>,
     2,
     1},
    {"post: two writers and reaper",
     set_up_posts,
     {{"one", post_one<10>}, {"other", post_one<20>}, {"reaper", wait_for<2>}},
     check_posts,
     2,
     1},
    {"room: none for more",
     set_up_more,
     {{"shard", drive}, {"reaper", wait_for_said}},
     check_in_order<3>,
     2,
     1},
    {"cancel: two ask for one",
     set_up_stand,
     {{"shard", run_until_noted<1>}, {"one", cancel_first}, {"other", cancel_first}},
     check_cancelled,
     2,
     1},
    {"cancel: the slot is another's",
     set_up_reuse,
     {{"shard", run_until_noted<2>}, {"late", cancel_first}, {"next", submit_next_and_cancel}},
     check_reuse,
     2,
     0},
    {"buffers: a hungry operation",
     set_up_buffers,
     {{"shard", drive_one_by_one<kLend, 2>}, {"reaper", wait_and_release}},
     check_in_order<2>,
     2,
     1},
};

bool chosen(const char *name, int count, char **arguments) {
    for (int i = 1; i < count; ++i) {
        if (std::strstr(name, arguments[i]) != nullptr)
            return true;
    }
    return count == 1;
}

} // namespace

int main(int count, char **arguments) {
    bool deep = count > 1 && std::strcmp(arguments[1], "--deep") == 0;
    if (deep) {
        --count;
        ++arguments;
    }
    for (Scenario scenario : kScenarios) {
        scenario.preemptions += deep ? 1 : 0;
        scenario.held += deep ? 1 : 0;
        if (chosen(scenario.name, count, arguments) && !explore(scenario))
            return 1;
    }
    return 0;
}
