// The intrusive lists: order, removal at every place, and a mailbox under four pushers.
#include "base/lists.hpp"
#include "unit.hpp"

#include <algorithm>
#include <deque>
#include <thread>
#include <vector>

namespace {

struct Letter {
    Letter *next = nullptr;
    uint32_t sender = 0;
    uint32_t number = 0;
};

struct Waiting : ferry::Line<Waiting>::Place {};

using Fifo = ferry::Fifo<Letter, &Letter::next>;
using Mailbox = ferry::Mailbox<Letter, &Letter::next>;

// ---- Fifo ---------------------------------------------------------------------------------------

void fifo_gives_in_the_order_it_took(void **) {
    Fifo fifo;
    Letter letters[3];
    assert_true(fifo.empty());
    assert_null(fifo.pop());
    for (Letter &letter : letters)
        fifo.push(&letter);
    assert_ptr_equal(fifo.front(), &letters[0]);
    for (Letter &letter : letters) {
        assert_ptr_equal(fifo.pop(), &letter);
        assert_null(letter.next);
    }
    assert_true(fifo.empty());
    assert_null(fifo.pop());
}

void fifo_removes_at_every_place(void **) {
    for (size_t count = 1; count <= 4; ++count) {
        for (size_t at = 0; at < count; ++at) {
            Fifo fifo;
            Letter letters[4];
            Letter last;
            for (size_t i = 0; i < count; ++i)
                fifo.push(&letters[i]);
            assert_true(fifo.remove(&letters[at]));
            assert_null(letters[at].next);
            assert_false(fifo.remove(&letters[at]));
            // The end must still be the end.
            fifo.push(&last);
            for (size_t i = 0; i < count; ++i) {
                if (i != at)
                    assert_ptr_equal(fifo.pop(), &letters[i]);
            }
            assert_ptr_equal(fifo.pop(), &last);
            assert_true(fifo.empty());
        }
    }
}

void fifo_agrees_with_a_deque(void **) {
    unit::Random random = unit::random();
    Fifo fifo;
    std::deque<Letter *> model;
    std::vector<Letter> letters(20);
    for (uint64_t i = 0; i < unit::rounds(1000000); ++i) {
        Letter *letter = &letters[random.below(letters.size())];
        if (random.one_in(3)) {
            Letter *expected = model.empty() ? nullptr : model.front();
            if (!model.empty())
                model.pop_front();
            assert_ptr_equal(fifo.pop(), expected);
        } else {
            auto place = std::find(model.begin(), model.end(), letter);
            bool in = place != model.end();
            if (in)
                model.erase(place);
            assert_int_equal(fifo.remove(letter), in);
            if (!in) {
                model.push_back(letter);
                fifo.push(letter);
            }
        }
        assert_int_equal(fifo.empty(), model.empty());
        if (!model.empty()) {
            assert_ptr_equal(fifo.front(), model.front());
        }
    }
}

// ---- Line ---------------------------------------------------------------------------------------

void line_gives_in_order(void **) {
    ferry::Line<Waiting> line;
    Waiting waiting[4];
    assert_true(line.empty());
    line.push(&waiting[1]);
    line.push(&waiting[2]);
    line.push_front(&waiting[0]);
    line.push(&waiting[3]);
    assert_int_equal(line.size(), 4);
    for (Waiting &element : waiting)
        assert_ptr_equal(line.pop(), &element);
    assert_true(line.empty());
    line.push_front(&waiting[0]);
    line.push(&waiting[1]);
    assert_ptr_equal(line.pop(), &waiting[0]);
    assert_ptr_equal(line.pop(), &waiting[1]);
}

void line_removes_at_every_place(void **) {
    for (size_t count = 1; count <= 4; ++count) {
        for (size_t at = 0; at < count; ++at) {
            ferry::Line<Waiting> line;
            Waiting waiting[4];
            Waiting last;
            for (size_t i = 0; i < count; ++i)
                line.push(&waiting[i]);
            assert_true(line.remove(&waiting[at]));
            assert_false(line.remove(&waiting[at]));
            assert_int_equal(line.size(), count - 1);
            line.push(&last);
            for (size_t i = 0; i < count; ++i) {
                if (i != at)
                    assert_ptr_equal(line.pop(), &waiting[i]);
            }
            assert_ptr_equal(line.pop(), &last);
            assert_false(line.remove(&last));
            assert_true(line.empty());
        }
    }
}

// ---- Mailbox ------------------------------------------------------------------------------------

void mailbox_gives_in_the_order_it_took(void **) {
    Mailbox mailbox;
    Letter letters[3];
    assert_true(mailbox.empty());
    assert_null(mailbox.take_all());
    for (Letter &letter : letters)
        mailbox.push(&letter);
    assert_false(mailbox.empty());
    Letter *at = mailbox.take_all();
    assert_true(mailbox.empty());
    for (Letter &letter : letters) {
        assert_ptr_equal(at, &letter);
        at = at->next;
    }
    assert_null(at);
}

void mailbox_loses_nothing_of_four_threads(void **) {
    constexpr uint32_t kSenders = 4;
    const auto count = static_cast<uint32_t>(unit::rounds(200000));
    Mailbox mailbox;
    std::vector<std::vector<Letter>> letters(kSenders, std::vector<Letter>(count));
    std::atomic<bool> go{false};
    std::vector<std::thread> senders;
    for (uint32_t sender = 0; sender < kSenders; ++sender) {
        senders.emplace_back([&, sender] {
            while (!go.load())
                std::this_thread::yield();
            for (uint32_t i = 0; i < count; ++i) {
                Letter &letter = letters[sender][i];
                letter.sender = sender;
                letter.number = i;
                mailbox.push(&letter);
                if (i % 64 == 0)
                    std::this_thread::yield(); // With few cores they would take turns otherwise.
            }
        });
    }
    uint32_t expected[kSenders] = {};
    uint64_t taken = 0;
    uint64_t out_of_order = 0;
    go.store(true);
    while (taken < uint64_t{count} * kSenders) {
        Letter *letter = mailbox.take_all();
        if (letter == nullptr)
            std::this_thread::yield();
        while (letter != nullptr) {
            Letter *next = letter->next;
            if (letter->number != expected[letter->sender]++)
                ++out_of_order;
            ++taken;
            letter = next;
        }
    }
    for (std::thread &sender : senders)
        sender.join();
    assert_true(mailbox.empty());
    assert_int_equal(out_of_order, 0);
    for (uint32_t sender = 0; sender < kSenders; ++sender)
        assert_int_equal(expected[sender], count);
}

void mailbox_takes_what_was_taken_out_again(void **) {
    // As with cancels: an element is pushed again once it was taken, by whoever comes first.
    constexpr uint32_t kSenders = 4;
    constexpr uint32_t kLetters = 8;
    const uint64_t count = unit::rounds(200000);
    struct Slot {
        Letter letter;
        std::atomic<bool> mailed{false};
    };
    Mailbox mailbox;
    Slot slots[kLetters];
    for (uint32_t i = 0; i < kLetters; ++i)
        slots[i].letter.number = i;
    std::atomic<uint64_t> pushed{0};
    std::atomic<uint32_t> done{0};
    std::vector<std::thread> senders;
    for (uint32_t sender = 0; sender < kSenders; ++sender) {
        senders.emplace_back([&, sender] {
            unit::Random random(unit::run_seed() + sender);
            for (uint64_t i = 0; i < count; ++i) {
                Slot &slot = slots[random.below(kLetters)];
                if (!slot.mailed.exchange(true)) {
                    mailbox.push(&slot.letter);
                    pushed.fetch_add(1);
                }
            }
            done.fetch_add(1);
        });
    }
    uint64_t taken = 0;
    uint64_t strangers = 0;
    bool last = false;
    for (;;) {
        Letter *letter = mailbox.take_all();
        if (letter == nullptr) {
            if (last)
                break;
            last = done.load() == kSenders; // One more look after the last of them.
            std::this_thread::yield();
            continue;
        }
        while (letter != nullptr) {
            Letter *next = letter->next;
            ++taken;
            if (letter->number >= kLetters || !slots[letter->number].mailed.exchange(false))
                ++strangers;
            letter = next;
        }
    }
    for (std::thread &sender : senders)
        sender.join();
    assert_int_equal(strangers, 0);
    assert_int_equal(taken, pushed.load());
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(fifo_gives_in_the_order_it_took),
        UNIT_TEST(fifo_removes_at_every_place),
        UNIT_TEST(line_gives_in_order),
        UNIT_TEST(line_removes_at_every_place),
        UNIT_TEST(fifo_agrees_with_a_deque),
        UNIT_TEST(mailbox_gives_in_the_order_it_took),
        UNIT_TEST(mailbox_loses_nothing_of_four_threads),
        UNIT_TEST(mailbox_takes_what_was_taken_out_again),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
