// The way into a shard: ids are handed out once, the inbox keeps order, and the end is exact.
#include "runtime/intake.hpp"
#include "unit.hpp"

#include <thread>
#include <vector>

using ferry::InboxEntry;
using ferry::Intake;
using ferry::kSlotBits;
using ferry::kSlotsMax;

namespace {

constexpr uint32_t kSubmitters = 8;

uint32_t slot_of(uint64_t id) {
    return static_cast<uint32_t>(id) & kSlotsMax;
}
uint64_t generation_of(uint64_t id) {
    return id >> kSlotBits;
}
uint64_t next_generation(uint64_t id) {
    return id + (uint64_t{1} << kSlotBits);
}

void send_one(Intake &intake, uint64_t tag) {
    uint64_t id;
    uint64_t position;
    assert_int_equal(intake.reserve(&id, 1, &position), 1);
    intake.entry(position).request.tag = tag;
    intake.publish(position, id, true);
}

// ---- one thread ---------------------------------------------------------------------------------

void gives_every_slot_once_and_then_none(void **) {
    // Also a number of slots that is no power of two: the inbox is larger then, the slots are not.
    for (uint32_t slots : {1u, 2u, 3u, 64u, 100u}) {
        ferry::Allocator allocator;
        Intake intake(allocator);
        assert_true(intake.open(slots));
        assert_int_equal(intake.capacity(), slots);
        assert_int_equal(intake.free_hint(), slots);
        std::vector<uint64_t> ids(slots + 1);
        assert_int_equal(intake.take(ids.data(), slots + 1), slots);
        assert_int_equal(intake.take(&ids[slots], 1), 0);
        assert_int_equal(intake.taken(), slots);
        assert_int_equal(intake.made(), slots);
        assert_int_equal(intake.free_hint(), 0);
        std::vector<bool> seen(slots);
        for (uint32_t i = 0; i < slots; ++i) {
            assert_true(ids[i] < slots); // Generation 0.
            assert_false(seen[ids[i]]);
            seen[ids[i]] = true;
        }
        // One given back is one to be had, and it is the very one.
        uint64_t back = next_generation(ids[0]);
        intake.give(&back, 1);
        assert_int_equal(intake.taken(), slots - 1);
        uint64_t again[2] = {};
        assert_int_equal(intake.take(again, 2), 1);
        assert_int_equal(again[0], back);
    }
}

void an_entry_is_seen_when_it_is_published_and_in_its_place(void **) {
    ferry::Allocator allocator;
    Intake intake(allocator);
    assert_true(intake.open(8));
    uint64_t ids[3];
    uint64_t position;
    uint64_t id;
    assert_int_equal(intake.reserve(ids, 3, &position), 3);
    for (uint64_t i = 0; i < 3; ++i)
        intake.entry(position + i).request.tag = 100 + i;
    assert_true(intake.inbox_empty());
    // The later ones are ready, but nobody overtakes the first.
    intake.publish(position + 1, ids[1], false);
    intake.publish(position + 2, ids[2], true);
    assert_true(intake.inbox_empty());
    assert_null(intake.front(&id));
    intake.publish(position, ids[0], true);
    for (uint64_t i = 0; i < 3; ++i) {
        assert_false(intake.inbox_empty());
        InboxEntry *entry = intake.front(&id);
        assert_non_null(entry);
        assert_int_equal(entry->request.tag, 100 + i);
        assert_int_equal(id, ids[i]);
        intake.pop();
    }
    assert_true(intake.inbox_empty());
}

void the_inbox_goes_round(void **) {
    ferry::Allocator allocator;
    Intake intake(allocator);
    assert_true(intake.open(3)); // Four places.
    for (uint64_t tag = 0; tag < 1000; ++tag) {
        send_one(intake, tag);
        uint64_t id;
        InboxEntry *entry = intake.front(&id);
        assert_non_null(entry);
        assert_int_equal(entry->request.tag, tag);
        intake.pop();
        id = next_generation(id);
        intake.give(&id, 1);
    }
    assert_int_equal(intake.taken(), 0);
}

void is_drained_when_it_is_closed_and_empty(void **) {
    ferry::Allocator allocator;
    Intake intake(allocator);
    assert_true(intake.open(4));
    uint64_t id;
    uint64_t position;
    assert_false(intake.drained());
    assert_int_equal(intake.reserve(&id, 1, &position), 1);
    assert_false(intake.closed());
    intake.close();
    assert_true(intake.closed());
    // Nothing new, but what was reserved may still come.
    uint64_t refused;
    uint64_t nowhere;
    assert_int_equal(intake.reserve(&refused, 1, &nowhere), 0);
    assert_int_equal(intake.take(&refused, 1), 0);
    assert_false(intake.drained());
    intake.publish(position, id, true);
    assert_false(intake.drained());
    assert_non_null(intake.front(&id));
    intake.pop();
    assert_true(intake.drained());
}

void a_refusing_allocator_is_told_and_nothing_leaks(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    {
        Intake intake(allocator);
        assert_true(intake.open(100));
        assert_true(heap.blocks() > 0);
    }
    heap.refuse(true);
    {
        Intake intake(allocator);
        assert_false(intake.open(100));
    }
    assert_int_equal(heap.blocks(), 0);
    assert_int_equal(heap.wrong_sizes(), 0);
}

// ---- many threads -------------------------------------------------------------------------------

// The shard's side: takes entries in, keeps some slots busy, gives them back one generation on.
class Drain {
  public:
    explicit Drain(Intake &intake)
        : intake_(intake), random_(unit::random()), busy_(intake.capacity()),
          generations_(intake.capacity()) {}

    uint64_t popped() const { return popped_; }
    uint64_t mistakes() const { return mistakes_; }

    // False: there was nothing.
    bool step() {
        uint64_t id;
        InboxEntry *entry = intake_.front(&id);
        if (entry == nullptr) {
            give_back(0);
            return false;
        }
        uint64_t sender = entry->request.tag >> 32;
        uint64_t number = entry->request.tag & UINT32_MAX;
        if (sender >= kSubmitters || number != expected_[sender]++)
            ++mistakes_; // Lost, doubled or overtaken.
        uint32_t slot = slot_of(id);
        if (slot >= busy_.size() || busy_[slot] || generation_of(id) != generations_[slot])
            ++mistakes_; // Handed out twice, or not as it came back.
        else
            busy_[slot] = true;
        held_.push_back(id);
        intake_.pop();
        ++popped_;
        if (random_.one_in(8))
            give_back(random_.below(16));
        return true;
    }

    void give_back(uint64_t keep) {
        while (held_.size() > keep) {
            uint64_t &id = held_[random_.below(held_.size())];
            uint32_t slot = slot_of(id);
            uint64_t back = next_generation(id);
            busy_[slot] = false;
            generations_[slot] = generation_of(back);
            id = held_.back();
            held_.pop_back();
            intake_.give(&back, 1);
        }
    }

  private:
    Intake &intake_;
    unit::Random random_;
    std::vector<bool> busy_;
    std::vector<uint64_t> generations_;
    std::vector<uint64_t> held_;
    uint64_t expected_[kSubmitters] = {};
    uint64_t popped_ = 0;
    uint64_t mistakes_ = 0;
};

// Sends until it has sent so many or the intake is closed; returns how many.
uint64_t submit(Intake &intake, uint64_t sender, uint64_t count) {
    constexpr uint32_t kBatch = 7;
    unit::Random random(unit::run_seed() + sender);
    uint64_t sent = 0;
    while (sent < count) {
        uint64_t ids[kBatch];
        uint64_t position;
        uint64_t wanted = 1 + random.below(kBatch);
        if (wanted > count - sent)
            wanted = count - sent;
        uint32_t taken = intake.reserve(ids, static_cast<uint32_t>(wanted), &position);
        if (taken == 0) {
            if (intake.closed())
                break;
            std::this_thread::yield();
            continue;
        }
        for (uint32_t i = 0; i < taken; ++i) {
            if (random.one_in(200))
                std::this_thread::yield(); // Others publish behind the gap meanwhile.
            intake.entry(position + i).request.tag = sender << 32 | (sent + i);
            intake.publish(position + i, ids[i], i + 1 == taken);
        }
        sent += taken;
    }
    return sent;
}

void keeps_the_order_of_eight_submitters(void **) {
    const uint64_t count = unit::rounds(100000);
    // So few slots that they run out all the time, and so many that they never do.
    for (uint32_t slots : {5u, 64u, 5000u}) {
        ferry::Allocator allocator;
        Intake intake(allocator);
        assert_true(intake.open(slots));
        std::vector<std::thread> submitters;
        for (uint64_t sender = 0; sender < kSubmitters; ++sender)
            submitters.emplace_back([&intake, sender, count] { submit(intake, sender, count); });
        Drain drain(intake);
        while (drain.popped() < count * kSubmitters) {
            if (!drain.step())
                std::this_thread::yield();
        }
        for (std::thread &submitter : submitters)
            submitter.join();
        drain.give_back(0);
        assert_int_equal(drain.mistakes(), 0);
        assert_int_equal(intake.taken(), 0);
        assert_int_equal(intake.free_hint(), slots);
        assert_true(intake.inbox_empty());
    }
}

void eight_threads_share_out_exactly_what_there_is(void **) {
    constexpr uint32_t kSlots = 1003;
    for (uint64_t round = 0; round < unit::rounds(200); ++round) {
        ferry::Allocator allocator;
        Intake intake(allocator);
        assert_true(intake.open(kSlots));
        std::vector<std::vector<uint64_t>> shares(kSubmitters);
        std::vector<std::thread> takers;
        std::atomic<bool> go{false};
        for (uint32_t taker = 0; taker < kSubmitters; ++taker) {
            takers.emplace_back([&, taker] {
                while (!go.load())
                    std::this_thread::yield();
                uint64_t ids[3];
                while (uint32_t taken = intake.take(ids, 3))
                    shares[taker].insert(shares[taker].end(), ids, ids + taken);
            });
        }
        go.store(true);
        for (std::thread &taker : takers)
            taker.join();
        std::vector<bool> seen(kSlots);
        size_t total = 0;
        for (const std::vector<uint64_t> &share : shares) {
            for (uint64_t id : share) {
                assert_true(id < kSlots);
                assert_false(seen[id]);
                seen[id] = true;
            }
            total += share.size();
        }
        assert_int_equal(total, kSlots);
    }
}

void closing_loses_nothing_that_was_reserved(void **) {
    for (uint64_t round = 0; round < unit::rounds(200); ++round) {
        ferry::Allocator allocator;
        Intake intake(allocator);
        assert_true(intake.open(64));
        std::atomic<uint64_t> sent{0};
        std::vector<std::thread> submitters;
        for (uint64_t sender = 0; sender < kSubmitters; ++sender) {
            submitters.emplace_back(
                [&, sender] { sent.fetch_add(submit(intake, sender, UINT32_MAX)); });
        }
        Drain drain(intake);
        bool closed = false;
        while (!closed || !intake.drained()) {
            if (!drain.step())
                std::this_thread::yield();
            if (!closed && drain.popped() > 500) {
                intake.close();
                closed = true;
            }
        }
        for (std::thread &submitter : submitters)
            submitter.join();
        assert_int_equal(drain.popped(), sent.load());
        assert_int_equal(drain.mistakes(), 0);
        assert_true(intake.inbox_empty());
    }
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(gives_every_slot_once_and_then_none),
        UNIT_TEST(an_entry_is_seen_when_it_is_published_and_in_its_place),
        UNIT_TEST(the_inbox_goes_round),
        UNIT_TEST(is_drained_when_it_is_closed_and_empty),
        UNIT_TEST(a_refusing_allocator_is_told_and_nothing_leaks),
        UNIT_TEST(keeps_the_order_of_eight_submitters),
        UNIT_TEST(eight_threads_share_out_exactly_what_there_is),
        UNIT_TEST(closing_loses_nothing_that_was_reserved),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
