// The worker threads: every job runs once or is withdrawn, threads come as they are needed, and a
// stop waits for what has begun but not for ever.
#include "driver/worker_pool.hpp"
#include "unit.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

using ferry::driver::Job;
using ferry::driver::WorkerPool;
using ferry::os::now_ns;

namespace {

constexpr uint64_t kMillisecond = 1000000;

// What jobs hang on until it is opened, and where one can wait for them to hang.
class Gate {
  public:
    void pass() {
        std::unique_lock<std::mutex> lock(mutex_);
        ++waiting_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return open_; });
        --waiting_;
    }
    void open() {
        std::lock_guard<std::mutex> guard(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    void wait_for(uint32_t waiting) {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return waiting_ == waiting; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    uint32_t waiting_ = 0;
    bool open_ = false;
};

struct StuckJob : Job {
    explicit StuckJob(Gate &where) : gate(where) {
        run = [](Job *job) { static_cast<StuckJob *>(job)->gate.pass(); };
    }
    Gate &gate;
};

struct CountingJob : Job {
    explicit CountingJob(std::atomic<uint32_t> &counter) : order(counter) {
        run = [](Job *job) {
            auto *self = static_cast<CountingJob *>(job);
            self->place.store(self->order.fetch_add(1));
            self->runs.fetch_add(1);
        };
    }
    std::atomic<uint32_t> &order;
    std::atomic<uint32_t> place{0};
    std::atomic<uint32_t> runs{0};
};

void wait_until(const std::atomic<uint32_t> &number, uint32_t wanted) {
    while (number.load() < wanted)
        std::this_thread::sleep_for(std::chrono::microseconds(50));
}

void sleep_ms(int duration) {
    std::this_thread::sleep_for(std::chrono::milliseconds(duration));
}

// ---- jobs ---------------------------------------------------------------------------------------

void starts_no_thread_without_work(void **) {
    ferry::Allocator allocator;
    WorkerPool pool(allocator, 4);
    assert_int_equal(pool.alive(), 0);
    assert_true(pool.stop(UINT64_MAX));
    assert_int_equal(pool.alive(), 0);
}

void runs_jobs_in_order(void **) {
    ferry::Allocator allocator;
    WorkerPool pool(allocator, 1);
    std::atomic<uint32_t> order{0};
    std::vector<CountingJob *> jobs;
    for (uint32_t i = 0; i < 100; ++i) {
        jobs.push_back(new CountingJob(order));
        assert_true(pool.submit(jobs.back()));
    }
    assert_true(pool.stop(UINT64_MAX)); // Not before all have run.
    for (uint32_t i = 0; i < 100; ++i) {
        assert_int_equal(jobs[i]->runs.load(), 1);
        assert_int_equal(jobs[i]->place.load(), i);
        delete jobs[i];
    }
}

void runs_every_job_of_four_threads_once(void **) {
    constexpr uint32_t kSubmitters = 4;
    const auto count = static_cast<uint32_t>(unit::rounds(20000));
    ferry::Allocator allocator;
    WorkerPool pool(allocator, 3);
    std::atomic<uint32_t> order{0};
    std::atomic<uint32_t> refused{0};
    std::vector<CountingJob *> jobs;
    for (uint32_t i = 0; i < count * kSubmitters; ++i)
        jobs.push_back(new CountingJob(order));
    std::vector<std::thread> submitters;
    for (uint32_t submitter = 0; submitter < kSubmitters; ++submitter) {
        submitters.emplace_back([&, submitter] {
            unit::Random random(unit::run_seed() + submitter);
            for (uint32_t i = 0; i < count; ++i) {
                if (!pool.submit(jobs[submitter * count + i]))
                    refused.fetch_add(1);
                // With pauses, so that workers go to sleep and must be woken.
                if (random.one_in(64))
                    std::this_thread::sleep_for(std::chrono::microseconds(random.below(100)));
            }
        });
    }
    for (std::thread &submitter : submitters)
        submitter.join();
    // Without a stop: whoever sleeps now must have been woken, or the watchdog ends this.
    wait_until(order, count * kSubmitters);
    assert_true(pool.alive() <= 3);
    assert_true(pool.stop(UINT64_MAX));
    assert_int_equal(refused.load(), 0);
    assert_int_equal(order.load(), count * kSubmitters);
    for (CountingJob *job : jobs) {
        assert_int_equal(job->runs.load(), 1);
        delete job;
    }
}

void a_job_may_be_submitted_again_once_it_has_run(void **) {
    ferry::Allocator allocator;
    WorkerPool pool(allocator, 2);
    std::atomic<uint32_t> order{0};
    CountingJob job(order);
    for (uint32_t i = 1; i <= 1000; ++i) {
        assert_true(pool.submit(&job));
        wait_until(job.runs, i);
    }
    assert_true(pool.stop(UINT64_MAX));
    assert_int_equal(job.runs.load(), 1000);
}

// ---- growth -------------------------------------------------------------------------------------

void grows_as_long_as_all_are_busy(void **) {
    constexpr uint32_t kMost = 3;
    ferry::Allocator allocator;
    WorkerPool pool(allocator, kMost);
    Gate gate;
    std::vector<StuckJob *> stuck;
    for (uint32_t i = 1; i <= kMost; ++i) {
        stuck.push_back(new StuckJob(gate));
        assert_true(pool.submit(stuck.back()));
        gate.wait_for(i);
        assert_int_equal(pool.alive(), i);
    }
    // No more than that: this one waits.
    std::atomic<uint32_t> order{0};
    CountingJob late(order);
    assert_true(pool.submit(&late));
    sleep_ms(20);
    assert_int_equal(late.runs.load(), 0);
    assert_int_equal(pool.alive(), kMost);
    gate.open();
    wait_until(late.runs, 1);
    assert_true(pool.stop(UINT64_MAX));
    assert_int_equal(pool.alive(), 0);
    for (StuckJob *job : stuck)
        delete job;
}

void jobs_that_come_together_get_a_thread_each(void **) {
    // All hang at once, though none had begun when the next was submitted.
    for (uint64_t round = 0; round < unit::rounds(200); ++round) {
        ferry::Allocator allocator;
        WorkerPool pool(allocator, 4);
        Gate gate;
        StuckJob jobs[4] = {StuckJob(gate), StuckJob(gate), StuckJob(gate), StuckJob(gate)};
        // With none, one or two threads that sleep already, or are about to.
        std::atomic<uint32_t> order{0};
        CountingJob warm[2] = {CountingJob(order), CountingJob(order)};
        for (uint32_t i = 0; i < round % 3; ++i)
            assert_true(pool.submit(&warm[i]));
        wait_until(order, static_cast<uint32_t>(round % 3));
        if (round % 2 == 0)
            sleep_ms(1);
        for (StuckJob &job : jobs)
            assert_true(pool.submit(&job));
        gate.wait_for(4);
        gate.open();
        assert_true(pool.stop(UINT64_MAX));
    }
}

void without_a_thread_a_job_is_refused(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    {
        WorkerPool pool(allocator, 2);
        std::atomic<uint32_t> order{0};
        CountingJob job(order);
        heap.refuse(true);
        assert_false(pool.submit(&job));
        assert_false(pool.withdraw(&job)); // It is not kept for later.
        heap.refuse(false);
        assert_true(pool.submit(&job));
        assert_true(pool.stop(UINT64_MAX));
        assert_int_equal(job.runs.load(), 1);
    }
    assert_int_equal(heap.blocks(), 0);
    assert_int_equal(heap.wrong_sizes(), 0);
}

// ---- withdrawal ---------------------------------------------------------------------------------

void what_has_not_begun_can_be_withdrawn(void **) {
    ferry::Allocator allocator;
    WorkerPool pool(allocator, 1);
    Gate gate;
    StuckJob stuck(gate);
    std::atomic<uint32_t> order{0};
    CountingJob first(order);
    CountingJob second(order);
    CountingJob third(order);
    assert_true(pool.submit(&stuck));
    gate.wait_for(1);
    assert_true(pool.submit(&first));
    assert_true(pool.submit(&second));
    assert_true(pool.submit(&third));
    assert_false(pool.withdraw(&stuck)); // It has begun.
    assert_true(pool.withdraw(&second));
    assert_false(pool.withdraw(&second));
    assert_true(pool.withdraw(&third)); // The last of the line: the next must still find its end.
    assert_true(pool.submit(&third));
    gate.open();
    assert_true(pool.stop(UINT64_MAX));
    assert_int_equal(first.place.load(), 0);
    assert_int_equal(third.place.load(), 1);
    assert_int_equal(second.runs.load(), 0);
    assert_int_equal(first.runs.load(), 1);
    assert_int_equal(third.runs.load(), 1);
    assert_false(pool.withdraw(&first)); // It has run.
}

void a_job_runs_or_is_withdrawn_never_both(void **) {
    const auto count = static_cast<uint32_t>(unit::rounds(50000));
    ferry::Allocator allocator;
    WorkerPool pool(allocator, 2);
    unit::Random random = unit::random();
    std::atomic<uint32_t> order{0};
    uint32_t withdrawn = 0;
    std::vector<CountingJob *> jobs;
    std::vector<bool> back;
    for (uint32_t i = 0; i < count; ++i) {
        jobs.push_back(new CountingJob(order));
        assert_true(pool.submit(jobs.back()));
        back.push_back(false);
        if (random.one_in(8))
            std::this_thread::yield();
        size_t which = i - (i > 4 ? random.below(4) : 0);
        if (random.one_in(2) && !back[which] && pool.withdraw(jobs[which])) {
            back[which] = true;
            ++withdrawn;
        }
    }
    wait_until(order, count - withdrawn);
    assert_true(pool.stop(UINT64_MAX));
    for (uint32_t i = 0; i < count; ++i) {
        assert_int_equal(jobs[i]->runs.load(), back[i] ? 0 : 1);
        delete jobs[i];
    }
}

// ---- the end ------------------------------------------------------------------------------------

void a_stop_does_not_wait_for_ever(void **) {
    ferry::Allocator allocator;
    WorkerPool pool(allocator, 2);
    Gate gate;
    StuckJob stuck(gate);
    std::atomic<uint32_t> order{0};
    CountingJob job(order);
    assert_true(pool.submit(&stuck));
    gate.wait_for(1);
    assert_true(pool.submit(&job));
    uint64_t begin = now_ns();
    assert_false(pool.stop(begin + 20 * kMillisecond));
    assert_true(now_ns() >= begin + 20 * kMillisecond);
    assert_false(pool.stop(0)); // A look, no wait.
    assert_int_equal(pool.alive(), 1);
    assert_int_equal(job.runs.load(), 1); // Only the stuck one is left.
    assert_false(pool.submit(&job));      // Nothing new.
    gate.open();
    assert_true(pool.stop(UINT64_MAX));
    assert_int_equal(pool.alive(), 0);
    assert_true(pool.stop(UINT64_MAX)); // Once more is no harm.
    assert_false(pool.submit(&job));
    assert_int_equal(job.runs.load(), 1);
}

void a_stop_wakes_those_who_sleep(void **) {
    for (uint64_t round = 0; round < unit::rounds(300); ++round) {
        ferry::Allocator allocator;
        WorkerPool pool(allocator, 3);
        std::atomic<uint32_t> order{0};
        CountingJob jobs[3] = {CountingJob(order), CountingJob(order), CountingJob(order)};
        for (CountingJob &job : jobs)
            assert_true(pool.submit(&job));
        if (round % 2 == 0)
            wait_until(order, 3);
        assert_true(pool.stop(UINT64_MAX));
        assert_int_equal(order.load(), 3);
    }
}

void detached_jobs_are_counted(void **) {
    ferry::Allocator allocator;
    WorkerPool pool(allocator, 1);
    assert_int_equal(pool.detached(), 0);
    ferry::driver::Job first;
    ferry::driver::Job second;
    pool.detach(&first);
    pool.detach(&second);
    assert_int_equal(pool.detached(), 2);
    pool.returned(&first);
    assert_int_equal(pool.detached(), 1);
    pool.returned(&second);
    assert_int_equal(pool.detached(), 0);
    // One that returned before its operation's end was noted is held by nobody.
    ferry::driver::Job late;
    pool.returned(&late);
    pool.detach(&late);
    assert_int_equal(pool.detached(), 0);
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(starts_no_thread_without_work),
        UNIT_TEST(runs_jobs_in_order),
        UNIT_TEST(runs_every_job_of_four_threads_once),
        UNIT_TEST(a_job_may_be_submitted_again_once_it_has_run),
        UNIT_TEST(grows_as_long_as_all_are_busy),
        UNIT_TEST(jobs_that_come_together_get_a_thread_each),
        UNIT_TEST(without_a_thread_a_job_is_refused),
        UNIT_TEST(what_has_not_begun_can_be_withdrawn),
        UNIT_TEST(a_job_runs_or_is_withdrawn_never_both),
        UNIT_TEST(a_stop_does_not_wait_for_ever),
        UNIT_TEST(a_stop_wakes_those_who_sleep),
        UNIT_TEST(detached_jobs_are_counted),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
