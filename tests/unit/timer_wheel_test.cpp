// The timer wheel against a sorted map: what is due, in which order, and never early.
#include "runtime/timer_wheel.hpp"
#include "unit.hpp"

#include <iterator>
#include <map>
#include <vector>

using ferry::TimerWheel;

namespace {

constexpr uint64_t kTick = uint64_t{1} << 14;
constexpr uint64_t kLevels = 9;

uint64_t tick_of(uint64_t ns) {
    return ns / kTick + (ns % kTick != 0 ? 1 : 0);
}

// ---- by hand ------------------------------------------------------------------------------------

void is_empty_at_first(void **) {
    TimerWheel wheel;
    assert_true(wheel.empty());
    assert_int_equal(wheel.next_ns(), TimerWheel::kNever);
    int fired = 0;
    wheel.advance(UINT64_MAX - 1, [&](TimerWheel::Node *) { ++fired; });
    assert_int_equal(fired, 0);
}

void fires_in_its_tick_and_not_before(void **) {
    // On both sides of every level's border, from beginnings on both sides of one.
    for (uint64_t start : {uint64_t{0}, 63 * kTick, 64 * kTick - 1, 4095 * kTick + 5}) {
        uint64_t width = kTick;
        for (uint64_t level = 0; level < kLevels; ++level, width *= 64) {
            uint64_t end = level + 1 < kLevels ? 64 * width : UINT64_MAX;
            for (uint64_t delay : {width - 1, width, width + 1, end - width, end - 1}) {
                if (delay > UINT64_MAX - 2 * kTick - start)
                    continue; // Past the end of time.
                TimerWheel wheel(start);
                TimerWheel::Node node;
                uint64_t expiry = start + delay;
                uint64_t due = tick_of(expiry) * kTick;
                int fired = 0;
                auto fire = [&](TimerWheel::Node *which) {
                    assert_ptr_equal(which, &node);
                    ++fired;
                };
                wheel.insert(&node, expiry);
                assert_true(node.linked());
                assert_int_equal(wheel.count(), 1);
                wheel.advance(due - 1, fire);
                assert_int_equal(fired, 0);
                assert_true(wheel.next_ns() <= due);
                wheel.advance(due, fire);
                assert_int_equal(fired, 1);
                assert_false(node.linked());
                assert_true(wheel.empty());
            }
        }
    }
}

void the_past_is_due_at_once(void **) {
    TimerWheel wheel(1000 * kTick);
    TimerWheel::Node nodes[3];
    int fired = 0;
    wheel.insert(&nodes[0], 0);
    wheel.insert(&nodes[1], 999 * kTick);
    wheel.insert(&nodes[2], 1000 * kTick);
    assert_true(wheel.next_ns() <= 1000 * kTick);
    wheel.advance(1000 * kTick, [&](TimerWheel::Node *node) {
        assert_ptr_equal(node, &nodes[fired]);
        ++fired;
    });
    assert_int_equal(fired, 3);
}

void time_does_not_run_backwards(void **) {
    TimerWheel wheel(1000 * kTick);
    TimerWheel::Node node;
    int fired = 0;
    auto fire = [&](TimerWheel::Node *) { ++fired; };
    wheel.insert(&node, 1001 * kTick);
    wheel.advance(10 * kTick, fire);
    wheel.catch_up(10 * kTick);
    assert_int_equal(fired, 0);
    wheel.advance(1001 * kTick, fire);
    assert_int_equal(fired, 1);
}

void equal_times_fire_in_the_order_they_were_set(void **) {
    constexpr int kCount = 100;
    // Near and far: the far ones are dealt out once for each level, which turns the list each time.
    for (uint64_t expiry = kTick; expiry < uint64_t{1} << 58; expiry *= 64) {
        TimerWheel wheel;
        TimerWheel::Node nodes[kCount];
        int fired = 0;
        for (TimerWheel::Node &node : nodes)
            wheel.insert(&node, expiry);
        wheel.advance(expiry, [&](TimerWheel::Node *node) {
            assert_ptr_equal(node, &nodes[fired]);
            ++fired;
        });
        assert_int_equal(fired, kCount);
    }
}

void what_is_due_first_in_a_tick_fires_first(void **) {
    // Also where a slot of a higher level begins: what is due just there is not dealt out.
    for (uint64_t due = kTick; due < uint64_t{1} << 60; due *= 2) {
        TimerWheel wheel;
        TimerWheel::Node nodes[4];
        int fired = 0;
        wheel.insert(&nodes[3], due);
        wheel.insert(&nodes[1], due - 9);
        wheel.insert(&nodes[0], due - 10);
        wheel.insert(&nodes[2], due - 9);
        wheel.advance(due, [&](TimerWheel::Node *node) {
            assert_ptr_equal(node, &nodes[fired]);
            ++fired;
        });
        assert_int_equal(fired, 4);
    }
}

void catches_up_while_it_is_empty(void **) {
    TimerWheel wheel;
    TimerWheel::Node node;
    // A slot's bit of long ago must not be taken for a timer when its place comes round again.
    wheel.insert(&node, 5 * kTick);
    wheel.remove(&node);
    uint64_t now = 1000000 * kTick + 3;
    wheel.catch_up(now);
    wheel.insert(&node, now + 20 * kTick);
    uint64_t due = tick_of(now + 20 * kTick) * kTick;
    // Close to the time asked for: a poll that ended too early would only look again.
    assert_true(wheel.next_ns() > now);
    assert_true(wheel.next_ns() <= due);
    int fired = 0;
    auto fire = [&](TimerWheel::Node *) { ++fired; };
    wheel.advance(due - 1, fire);
    assert_int_equal(fired, 0);
    wheel.catch_up(now + 50 * kTick); // Not empty: this must not skip anything.
    wheel.advance(due, fire);
    assert_int_equal(fired, 1);
}

void next_ns_leads_to_the_timer_in_a_few_steps(void **) {
    unit::Random random = unit::random();
    for (int round = 0; round < 20000; ++round) {
        uint64_t now = random.of_any_size(60);
        uint64_t expiry = now + random.of_any_size(60);
        TimerWheel wheel(now);
        TimerWheel::Node node;
        wheel.insert(&node, expiry);
        uint64_t due = tick_of(expiry) * kTick;
        bool fired = false;
        uint64_t steps = 0;
        while (!fired) {
            uint64_t next = wheel.next_ns();
            assert_true(next <= due || next <= now);
            wheel.advance(next, [&](TimerWheel::Node *) { fired = true; });
            assert_true(!fired || next >= expiry || next / kTick == now / kTick);
            // Each step is one level nearer, or the engine would turn in vain.
            assert_true(++steps <= kLevels);
        }
    }
}

void the_farthest_timer_waits_and_can_be_removed(void **) {
    TimerWheel wheel(12345);
    TimerWheel::Node far;
    TimerWheel::Node farthest;
    TimerWheel::Node near;
    wheel.insert(&far, uint64_t{1} << 63);
    wheel.insert(&farthest, UINT64_MAX - 1);
    wheel.insert(&near, uint64_t{1} << 40);
    assert_true(wheel.next_ns() <= uint64_t{1} << 40);
    int fired = 0;
    auto fire = [&](TimerWheel::Node *node) {
        assert_ptr_equal(node, &near);
        ++fired;
    };
    wheel.advance(uint64_t{1} << 61, fire);
    assert_int_equal(fired, 1);
    assert_true(wheel.next_ns() > uint64_t{1} << 61);
    assert_true(wheel.next_ns() <= uint64_t{1} << 63);
    wheel.remove(&farthest);
    wheel.remove(&far);
    assert_true(wheel.empty());
    assert_int_equal(wheel.next_ns(), TimerWheel::kNever);
}

void a_timer_for_ever_does_not_keep_anybody_awake(void **) {
    // What a delay saturates to. It never expires; but it must not seem to be due, either.
    for (uint64_t now : {uint64_t{0}, uint64_t{1} << 40, uint64_t{1} << 63, UINT64_MAX - kTick}) {
        TimerWheel wheel(now);
        TimerWheel::Node node;
        wheel.insert(&node, UINT64_MAX - 1);
        assert_true(wheel.next_ns() > now);
        int fired = 0;
        wheel.advance(now, [&](TimerWheel::Node *) { ++fired; });
        assert_int_equal(fired, 0);
        wheel.remove(&node);
        assert_true(wheel.empty());
    }
}

void the_far_future_comes(void **) {
    // A simulated clock gets there. Nothing may fire early, nothing may turn in place on the way.
    constexpr uint64_t kExpiries[] = {uint64_t{63} << 56, (uint64_t{63} << 56) + 7 * kTick,
                                      uint64_t{1} << 62,  (uint64_t{1} << 62) + 5 * kTick,
                                      uint64_t{1} << 63,  UINT64_MAX - 3 * kTick};
    constexpr size_t kCount = std::size(kExpiries);
    TimerWheel wheel;
    TimerWheel::Node nodes[kCount];
    for (size_t i = 0; i < kCount; ++i)
        wheel.insert(&nodes[i], kExpiries[i]);
    size_t fired = 0;
    uint64_t now = 0;
    for (int steps = 0; fired < kCount; ++steps) {
        assert_true(steps < 1000);
        uint64_t next = wheel.next_ns();
        assert_true(next > now);
        now = next;
        wheel.advance(now, [&](TimerWheel::Node *node) {
            assert_ptr_equal(node, &nodes[fired]);
            assert_true(node->expiry_ns <= now);
            ++fired;
        });
    }
}

// ---- against a model ----------------------------------------------------------------------------

struct Timer : TimerWheel::Node {
    std::multimap<std::pair<uint64_t, uint64_t>, Timer *>::iterator place;
    bool in_model = false;
    bool set_while_firing = false;
};

// The wheel and a map by tick and expiry, in which equals keep the order in which they were set.
class Model {
  public:
    explicit Model(uint64_t now_ns) : wheel_(now_ns), now_ns_(now_ns), tick_(now_ns / kTick) {
        timers_.resize(300);
    }

    size_t size() const { return map_.size(); }
    uint64_t now_ns() const { return now_ns_; }
    Timer &any(unit::Random &random) { return timers_[random.below(timers_.size())]; }

    void insert(Timer &timer, uint64_t expiry_ns) {
        uint64_t tick = tick_of(expiry_ns);
        timer.place = map_.emplace(std::pair(tick > tick_ ? tick : tick_, expiry_ns), &timer);
        timer.in_model = true;
        timer.set_while_firing = firing_;
        wheel_.insert(&timer, expiry_ns);
    }

    void remove(Timer &timer) {
        map_.erase(timer.place);
        timer.in_model = false;
        wheel_.remove(&timer);
        assert_false(timer.linked());
    }

    template <class Fired> void advance(uint64_t now_ns, Fired &&then) {
        advance(
            now_ns, then, [] { return true; }, [] {});
    }

    // go_on() may cut it short; between() is called before it goes on.
    template <class Fired, class GoOn, class Between>
    void advance(uint64_t now_ns, Fired &&then, GoOn &&go_on, Between &&between) {
        now_ns_ = now_ns;
        firing_ = true;
        auto fire = [&](TimerWheel::Node *node) {
            auto *timer = static_cast<Timer *>(node);
            assert_true(timer->in_model);
            assert_false(timer->linked());
            assert_true(timer->expiry_ns <= now_ns); // Never early.
            uint64_t tick = timer->place->first.first;
            assert_int_equal(tick, map_.begin()->first.first); // In order.
            // What a timer sets while a slot is dealt out may overtake what is left of that slot, and
            // comes after it if it is due already.
            Timer *first = map_.begin()->second;
            assert_true(first == timer || timer->set_while_firing || first->set_while_firing);
            tick_ = tick;
            map_.erase(timer->place);
            timer->in_model = false;
            then(*timer);
        };
        while (!wheel_.advance(now_ns, fire, go_on)) {
            assert_int_equal(wheel_.count(), map_.size());
            between();
            // What is left over is due: nobody may sleep.
            assert_true(wheel_.empty() || wheel_.next_ns() <= now_ns || !map_due());
        }
        firing_ = false;
        if (now_ns / kTick > tick_)
            tick_ = now_ns / kTick;
        // All that is due has fired.
        assert_true(map_.empty() || map_.begin()->first.first > tick_);
    }

    void check() {
        assert_int_equal(wheel_.count(), map_.size());
        assert_int_equal(wheel_.empty(), map_.empty());
        uint64_t next = wheel_.next_ns();
        if (map_.empty()) {
            assert_int_equal(next, TimerWheel::kNever);
            return;
        }
        // Not later than the first is due; in ticks, since the very last one has no time at all.
        assert_true(next / kTick <= map_.begin()->first.first);
        assert_true(next / kTick >= tick_);
    }

  private:
    bool map_due() const { return !map_.empty() && map_.begin()->first.first <= now_ns_ / kTick; }

    TimerWheel wheel_;
    std::multimap<std::pair<uint64_t, uint64_t>, Timer *> map_; // By tick, then by expiry.
    std::vector<Timer> timers_;
    uint64_t now_ns_;
    uint64_t tick_;
    bool firing_ = false;
};

// Time stays where a delay of any size can be added to it.
constexpr uint64_t kEnd = uint64_t{1} << 63;

uint64_t some_expiry(unit::Random &random, uint64_t now) {
    if (random.one_in(50))
        return UINT64_MAX - 1;
    if (random.one_in(20))
        return now - random.below(now + 1); // Past already.
    uint64_t delay = random.of_any_size(62);
    if (random.one_in(3))
        delay -= delay % kTick; // Exactly on a tick.
    return now + delay;
}

uint64_t some_step(unit::Random &random, uint64_t now) {
    uint64_t step = random.of_any_size(random.one_in(100) ? 58 : 34);
    return now + step < kEnd ? now + step : now;
}

void agrees_with_a_sorted_map(void **) {
    unit::Random random = unit::random();
    for (uint64_t round = 0; round < unit::rounds(200); ++round) {
        Model model(random.of_any_size(60));
        for (int action = 0; action < 2000; ++action) {
            Timer &timer = model.any(random);
            if (random.one_in(4))
                model.advance(some_step(random, model.now_ns()), [](Timer &) {});
            else if (timer.in_model)
                model.remove(timer);
            else
                model.insert(timer, some_expiry(random, model.now_ns()));
            model.check();
        }
    }
}

void agrees_while_timers_set_and_remove_timers(void **) {
    unit::Random random = unit::random();
    for (uint64_t round = 0; round < unit::rounds(200); ++round) {
        Model model(random.of_any_size(60));
        for (int action = 0; action < 1000; ++action) {
            Timer &timer = model.any(random);
            if (!timer.in_model)
                model.insert(timer, some_expiry(random, model.now_ns()));
            if (!random.one_in(4))
                continue;
            model.advance(some_step(random, model.now_ns()), [&](Timer &fired) {
                // Half of the fired are set again, so that it comes to an end even within one tick.
                if (random.one_in(2))
                    model.insert(fired, some_expiry(random, model.now_ns()));
                Timer &other = model.any(random);
                if (other.in_model)
                    model.remove(other);
                else if (random.one_in(2))
                    model.insert(other, some_expiry(random, model.now_ns()));
            });
            model.check();
        }
    }
}

void agrees_when_it_is_cut_short(void **) {
    unit::Random random = unit::random();
    for (uint64_t round = 0; round < unit::rounds(200); ++round) {
        Model model(random.of_any_size(60));
        for (int action = 0; action < 1000; ++action) {
            Timer &timer = model.any(random);
            if (!timer.in_model)
                model.insert(timer, some_expiry(random, model.now_ns()));
            if (!random.one_in(20))
                continue;
            auto between = [&] {
                Timer &other = model.any(random);
                if (other.in_model)
                    model.remove(other);
                else
                    model.insert(other, model.now_ns() + (random.below(100) + 1) * kTick);
            };
            model.advance(
                some_step(random, model.now_ns()), [](Timer &) {}, [&] { return random.one_in(2); },
                between);
            model.check();
        }
    }
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(is_empty_at_first),
        UNIT_TEST(fires_in_its_tick_and_not_before),
        UNIT_TEST(the_past_is_due_at_once),
        UNIT_TEST(time_does_not_run_backwards),
        UNIT_TEST(equal_times_fire_in_the_order_they_were_set),
        UNIT_TEST(what_is_due_first_in_a_tick_fires_first),
        UNIT_TEST(catches_up_while_it_is_empty),
        UNIT_TEST(next_ns_leads_to_the_timer_in_a_few_steps),
        UNIT_TEST(the_farthest_timer_waits_and_can_be_removed),
        UNIT_TEST(a_timer_for_ever_does_not_keep_anybody_awake),
        UNIT_TEST(agrees_with_a_sorted_map),
        UNIT_TEST(agrees_while_timers_set_and_remove_timers),
        UNIT_TEST(agrees_when_it_is_cut_short),
        UNIT_TEST(the_far_future_comes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
