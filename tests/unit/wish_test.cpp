// Wishes: the slot is mailed once, a late wish hits nothing, and none that is in time gets lost.
#include "base/lists.hpp"
#include "runtime/wish.hpp"
#include "unit.hpp"

#include <thread>
#include <vector>

using ferry::kGenerationMask;
using ferry::Wish;

namespace {

// As the engine has it: in zeroed memory, never constructed.
struct Slot {
    Slot *next_wished = nullptr;
    std::atomic<uint32_t> generation{0};
    Wish wish{};
};

// The shard found the slot in its mailbox.
bool take(Slot &slot, uint32_t generation) {
    return slot.wish.taken(generation, true);
}

void is_for_nobody_at_first(void **) {
    for (uint32_t generation : {0u, 1u, kGenerationMask}) {
        Slot slot;
        assert_false(slot.wish.claim(generation));
        assert_false(take(slot, generation));
    }
}

void a_wish_waits_for_a_slot_that_is_not_live_yet(void **) {
    Slot slot;
    assert_true(slot.wish.ask(7));
    assert_false(slot.wish.taken(7, false));
    assert_false(slot.wish.claim(8));
    assert_true(slot.wish.claim(7));
    assert_false(slot.wish.claim(7));
}

void mails_once_however_often_one_asks(void **) {
    Slot slot;
    assert_true(slot.wish.ask(7));
    assert_false(slot.wish.ask(7));
    assert_false(slot.wish.ask(7));
    assert_true(take(slot, 7));
    // Taken: who asks now mails again.
    assert_true(slot.wish.ask(7));
    assert_false(slot.wish.ask(7));
}

void a_late_wish_hits_nothing(void **) {
    Slot slot;
    assert_true(slot.wish.ask(7));
    assert_false(take(slot, 8));
    // And does not stand in the way of the next.
    assert_true(slot.wish.ask(8));
    assert_true(take(slot, 8));
}

void a_slow_caller_does_not_undo_a_later_wish(void **) {
    Slot slot;
    assert_true(slot.wish.ask(8));
    assert_false(slot.wish.ask(7));
    assert_true(take(slot, 8));
    slot.wish.ask(7);
    assert_false(take(slot, 8));
}

void a_wish_made_while_the_slot_is_mailed_is_seen(void **) {
    Slot slot;
    assert_true(slot.wish.ask(7));
    assert_false(slot.wish.ask(8)); // Not mailed again: it still lies in the mailbox.
    assert_true(take(slot, 8));
}

void generations_wrap(void **) {
    Slot slot;
    assert_true(slot.wish.ask(kGenerationMask));
    assert_true(take(slot, kGenerationMask));
    assert_true(slot.wish.ask(0));
    assert_true(take(slot, 0));
    assert_true(slot.wish.ask(0));
    assert_false(slot.wish.ask(kGenerationMask)); // Slow, not early.
    assert_true(take(slot, 0));
}

void an_old_wish_does_not_outweigh_a_new_one(void **) {
    // A busy slot goes through half of all generations within seconds, and nobody cancels anything
    // in between. Then the last wish must not look as if it were the later one.
    for (uint32_t between : {kGenerationMask / 2, kGenerationMask / 2 + 1, kGenerationMask / 2 + 2,
                             kGenerationMask - 1, kGenerationMask}) {
        Slot slot;
        uint32_t first = 5;
        uint32_t later = (first + between) & kGenerationMask;
        slot.wish.ask(first);
        assert_true(take(slot, first));
        slot.wish.ask(later);
        bool seen = take(slot, later);
        if (!seen)
            print_error("%u generations after the last wish, one was lost\n", between);
        assert_true(seen);
    }
}

void loses_no_wish_of_four_threads(void **) {
    constexpr uint32_t kAskers = 4;
    const uint64_t count = unit::rounds(100000);
    ferry::Mailbox<Slot, &Slot::next_wished> mailbox;
    Slot slot;
    std::atomic<bool> over{false};
    std::atomic<uint64_t> waits{0};
    std::vector<std::thread> askers;
    for (uint32_t asker = 0; asker < kAskers; ++asker) {
        askers.emplace_back([&, asker] {
            unit::Random random(unit::run_seed() + asker);
            while (!over.load()) {
                uint32_t generation = slot.generation.load(std::memory_order_acquire);
                if (random.one_in(4))
                    std::this_thread::yield(); // Then it is late, often.
                if (slot.wish.ask(generation))
                    mailbox.push(&slot);
                waits.fetch_add(1);
                // Whoever asked, the present user of the slot must end of it.
                while (slot.generation.load() == generation && !over.load())
                    std::this_thread::yield();
            }
        });
    }
    unit::Random random = unit::random();
    uint64_t strangers = 0;
    uint64_t granted = 0;
    // Ends by the watchdog if a wish gets lost: nobody asks twice for the same generation.
    while (granted < count) {
        Slot *wished = mailbox.take_all();
        if (wished == nullptr) {
            std::this_thread::yield();
            continue;
        }
        if (wished != &slot || wished->next_wished != nullptr)
            ++strangers; // Mailed twice.
        uint32_t generation = slot.generation.load(std::memory_order_relaxed);
        if (!take(slot, generation))
            continue; // It was for one that has ended by itself.
        ++granted;
        slot.generation.store((generation + 1) & kGenerationMask, std::memory_order_release);
        if (random.one_in(3)) {
            // This one ends without being asked to.
            slot.generation.store((generation + 2) & kGenerationMask, std::memory_order_release);
        }
    }
    over.store(true);
    for (std::thread &asker : askers)
        asker.join();
    assert_int_equal(strangers, 0);
    assert_true(waits.load() >= count);
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(is_for_nobody_at_first),
        UNIT_TEST(a_wish_waits_for_a_slot_that_is_not_live_yet),
        UNIT_TEST(mails_once_however_often_one_asks),
        UNIT_TEST(a_late_wish_hits_nothing),
        UNIT_TEST(a_slow_caller_does_not_undo_a_later_wish),
        UNIT_TEST(a_wish_made_while_the_slot_is_mailed_is_seen),
        UNIT_TEST(generations_wrap),
        UNIT_TEST(an_old_wish_does_not_outweigh_a_new_one),
        UNIT_TEST(loses_no_wish_of_four_threads),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
