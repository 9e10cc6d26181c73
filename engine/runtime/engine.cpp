#include "runtime/engine.hpp"

#include "base/assert.hpp"
#include "base/saturating.hpp"
#include "runtime/shard.hpp"

#include <ferry/status.h>

#include <chrono>
#include <cstdio>
#include <mutex>

namespace ferry {

// A number that tells this process's engines apart in their handles. The only thing that engines share;
// it is never read again.
static uint32_t next_tag() {
    static std::atomic<uint32_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) & kEngineMask;
}

// The absolute end of a wait that begins now.
static uint64_t end_of(uint64_t wait_ns, uint64_t now_ns) {
    return wait_ns == FERRY_FOREVER ? UINT64_MAX : add_saturating(now_ns, wait_ns);
}

// ---- life ---------------------------------------------------------------------------------------

Engine::Engine(const ferry_engine_options &options, const OpTable &operations)
    : options_(options), operations_(operations),
      allocator_(options.allocate, options.free, options.user_data),
      loads_(options.buffer_bytes_max), tag_(next_tag()),
      shard_count_(options.shards == 0 ? 1 : options.shards), threads_here_(allocator_) {
    allocator_.set_large_hint(os::hint_large_pages);
}

ferry_status Engine::open() noexcept {
    workers_ =
        allocator_.create<driver::WorkerPool>(allocator_, options_.workers_max, "ferry-worker");
    names_ =
        allocator_.create<driver::WorkerPool>(allocator_, options_.name_workers_max, "ferry-name");
    shards_ = allocator_.allocate_array<Shard *>(shard_count_);
    if (workers_ == nullptr || names_ == nullptr || shards_ == nullptr || !fork_mark_.open())
        return FERRY_E_NO_MEMORY;
    for (uint32_t i = 0; i < shard_count_; ++i) {
        shards_[i] = allocator_.create<Shard>(*this, i);
        if (shards_[i] == nullptr)
            return FERRY_E_NO_MEMORY;
        ferry_status status = shards_[i]->open();
        if (status != FERRY_OK)
            return status;
    }
    // A limit that nothing reaches only measures.
    if (watches() && options_.log != nullptr && options_.stall_ns != FERRY_FOREVER) {
        ferry_status status = watchdog_.start(options_.stall_ns);
        if (status != FERRY_OK)
            return status;
    }
    return host_driven() ? shards_[0]->begin() : start_threads();
}

ferry_status Engine::start_threads() noexcept {
    threads_ = allocator_.allocate_array<ShardThread>(shard_count_);
    if (threads_ == nullptr || !threads_here_.open(shard_count_))
        return FERRY_E_NO_MEMORY;
    uint32_t started = 0;
    for (; started < shard_count_; ++started) {
        ShardThread &one = threads_[started];
        one.engine = this;
        one.shard = shards_[started];
        char name[16];
        std::snprintf(name, sizeof name, "ferry-%u", started % kShardsMax);
        if (!one.thread.start(name, thread_entry, &one))
            break;
    }
    ferry_status status = started == shard_count_ ? FERRY_OK : FERRY_E_NO_MEMORY;
    for (uint32_t i = 0; i < started; ++i) {
        ferry_status begun = wait_until_begun(threads_[i]);
        if (status == FERRY_OK)
            status = begun;
    }
    if (status == FERRY_OK)
        return FERRY_OK;
    // Those that run must end before the memory goes. All at once: none ends before the others stop.
    for (uint32_t i = 0; i < started; ++i)
        shards_[i]->ask_to_stop();
    for (uint32_t i = started; i < shard_count_; ++i)
        shard_stopping();
    for (uint32_t i = 0; i < started; ++i)
        threads_[i].thread.join();
    return status;
}

ferry_status Engine::wait_until_begun(ShardThread &one) noexcept {
    std::unique_lock<std::mutex> lock(life_mutex_);
    while (!one.begun)
        thread_moved_->wait(lock);
    return one.status;
}

void Engine::thread_entry(void *shard_thread) {
    auto *self = static_cast<ShardThread *>(shard_thread);
    Shard &shard = *self->shard;
    shard.bind(os::thread_self());
    self->engine->threads_here_.add(os::thread_self(), &shard);
    ferry_status status = shard.begin();
    {
        std::lock_guard<std::mutex> guard(self->engine->life_mutex_);
        self->status = status;
        self->begun = true;
        self->engine->thread_moved_->notify_all();
    }
    shard.work();
    while (!shard.quiet()) {
        shard.poll(UINT64_MAX);
        shard.work();
    }
    shard.end();
    shard.bind(0); // The thread's identity may be given to another one.
    self->engine->threads_here_.remove(os::thread_self());
    std::lock_guard<std::mutex> guard(self->engine->life_mutex_);
    self->ended = true;
    self->engine->thread_moved_->notify_all();
}

Engine::~Engine() {
    bool child = fork_mark_.forked();
    if (!child)
        watchdog_.stop();
    for (Queue *queue = queues_; queue != nullptr;) {
        Queue *next = queue->next;
        allocator_.destroy(queue);
        queue = next;
    }
    if (child && shards_ != nullptr) {
        for (uint32_t i = 0; i < shard_count_; ++i) {
            if (shards_[i] != nullptr)
                shards_[i]->abandon();
        }
    }
    if (shards_ != nullptr) {
        for (uint32_t i = 0; i < shard_count_; ++i)
            allocator_.destroy(shards_[i]);
    }
    allocator_.free_array(shards_, shard_count_);
    allocator_.free_array(threads_, shard_count_);
    free_workers(workers_, child);
    free_workers(names_, child);
}

void Engine::free_workers(driver::WorkerPool *workers, bool child) noexcept {
    if (workers != nullptr && child)
        workers->discard();
    else
        allocator_.destroy(workers);
}

void Engine::poison(const char *what) noexcept {
    if (poisoned_.exchange(true))
        return;
    if (options_.log != nullptr)
        options_.log(FERRY_LOG_ERROR, what, options_.user_data);
    FERRY_ASSERT(!"poisoned");
}

uint64_t Engine::now_ns() const noexcept {
    return shards_[0]->now_ns();
}

Shard *Engine::shard_here() const noexcept {
    uintptr_t self = os::thread_self();
    if (shard_count_ == 1)
        return shards_[0]->thread() == self ? shards_[0] : nullptr;
    return threads_here_.find(self);
}

bool Engine::all_at_home() const noexcept {
    if (!all_stopping())
        return false;
    for (uint32_t i = 0; i < shard_count_; ++i) {
        if (shards_[i]->children_away() != 0)
            return false;
    }
    return true;
}

// ---- driven by the host -------------------------------------------------------------------------

// The host-driven shard is this thread's from now on, unless it is another's. A dump may have it for a
// moment: then once more, when that is over.
bool Engine::claim_shard() noexcept {
    if (shards_[0]->bind_once(os::thread_self()))
        return true;
    std::lock_guard<std::mutex> guard(inspect_lock_);
    return shards_[0]->bind_once(os::thread_self());
}

ferry_status Engine::bind_host_thread() noexcept {
    if (!host_driven())
        return FERRY_E_UNSUPPORTED;
    if (!claim_shard())
        return any_thread() ? FERRY_E_BUSY : FERRY_E_WRONG_THREAD;
    if (running_ || in_callback())
        return FERRY_E_BUSY;
    return state() == FERRY_ENGINE_STOPPED ? FERRY_E_SHUTDOWN : FERRY_OK;
}

// Unless this call was made within a turn of this thread's, which goes on.
void Engine::unbind_host_thread() noexcept {
    if (any_thread() && shards_[0]->thread() == os::thread_self() && !running_)
        shards_[0]->unbind();
}

ferry_status Engine::simulated(driver::sim::SimDriver **world) noexcept {
    *world = shards_[0]->driver().simulated();
    if (*world == nullptr)
        return FERRY_E_UNSUPPORTED;
    return claim_shard() ? FERRY_OK : FERRY_E_WRONG_THREAD;
}

// Whether a callback on this thread, of dispatch, makes this call.
bool Engine::in_callback() noexcept {
    if (dispatching_.load(std::memory_order_relaxed) == 0)
        return false;
    SpinGuard guard(queues_lock_);
    for (Queue *queue = queues_; queue != nullptr; queue = queue->next) {
        if (queue->dispatching_here())
            return true;
    }
    return false;
}

ferry_status Engine::run(uint64_t wait_ns, uint64_t budget_ns, ferry_run_report *report) noexcept {
    ferry_status status = bind_host_thread();
    if (status == FERRY_OK)
        run_bound(wait_ns, budget_ns, report);
    unbind_host_thread();
    return status;
}

void Engine::run_bound(uint64_t wait_ns, uint64_t budget_ns, ferry_run_report *report) noexcept {
    Shard &shard = *shards_[0];
    running_ = true;
    uint64_t progress = shard.progress();
    uint64_t completed = shard.completed();
    uint64_t until = wait_ns == 0 ? 0 : end_of(wait_ns, shard.now_ns());
    shard.rouse();
    shard.set_budget(budget_ns);
    shard.work();
    while (!shard.has_run_out()) {
        shard.poll(shard.progress() == progress ? until : 0);
        shard.work();
        if (shard.driver().more())
            continue;
        if (shard.progress() != progress || until == 0 || shard.now_ns() >= until)
            break;
    }
    if (descriptor_wanted_)
        shard.settle_for_descriptor();
    else
        shard.driver().flush();
    if (budget_ns != 0)
        note_budget(shard.budget_end_ns(), shard.now_ns());
    if (report != nullptr)
        fill_report(shard, completed, report);
    shard.set_budget(0);
    running_ = false;
}

void Engine::fill_report(Shard &shard, uint64_t completed_before,
                         ferry_run_report *report) noexcept {
    report->completed = shard.completed() - completed_before;
    report->left = shard.left();
    report->oldest_age_ns = 0;
    report->overrun_ns = 0;
    uint64_t now = shard.now_ns();
    if (report->left == 0)
        left_since_ns_ = 0;
    else if (left_since_ns_ == 0)
        left_since_ns_ = now;
    else
        report->oldest_age_ns = now - left_since_ns_;
    if (shard.budget_end_ns() != 0 && now > shard.budget_end_ns())
        report->overrun_ns = now - shard.budget_end_ns();
}

void Engine::note_own_work() noexcept {
    if (host_driven() && descriptor_wanted_ && !running_)
        shards_[0]->knock();
}

void Engine::note_post() noexcept {
    if (host_driven() && state() == FERRY_ENGINE_RUNNING)
        shards_[0]->nudge();
}

ferry_status Engine::descriptor(int32_t *fd) noexcept {
    ferry_status status = bind_host_thread();
    if (status == FERRY_OK && shards_[0]->driver().descriptor() < 0)
        status = FERRY_E_UNSUPPORTED; // A driver without one.
    if (status == FERRY_OK)
        *fd = descriptor_bound();
    unbind_host_thread();
    return status;
}

int32_t Engine::descriptor_bound() noexcept {
    descriptor_wanted_ = true;
    running_ = true; // It is a turn: a callback in it must not begin another one.
    shards_[0]->settle_for_descriptor();
    running_ = false;
    // Whatever was submitted before must be found by the first run.
    shards_[0]->nudge();
    return shards_[0]->driver().descriptor();
}

// ---- the end ------------------------------------------------------------------------------------

bool Engine::drain_host_driven(uint64_t timeout_ns) noexcept {
    Shard &shard = *shards_[0];
    uint64_t until_ns = end_of(timeout_ns, shard.now_ns());
    running_ = true;
    shard.rouse();
    shard.set_budget(0);
    shard.work();
    bool quiet;
    bool still = false;
    while (!(quiet = shard.quiet()) && shard.now_ns() < until_ns && !still) {
        shard.poll(until_ns);
        still = shard.driver().stands_still();
        shard.work();
    }
    running_ = false;
    return quiet;
}

bool Engine::wait_for_threads(uint64_t until_ns) noexcept {
    std::unique_lock<std::mutex> lock(life_mutex_);
    for (uint32_t i = 0; i < shard_count_; ++i) {
        while (!threads_[i].ended) {
            uint64_t now = os::now_ns();
            if (now >= until_ns)
                return false;
            // Far ends are waited for in pieces: chrono overflows on them.
            uint64_t left = until_ns - now < 1000000000u ? until_ns - now : 1000000000u;
            thread_moved_->wait_for(lock, std::chrono::nanoseconds(left));
        }
        lock.unlock();
        threads_[i].thread.join();
        lock.lock();
    }
    return true;
}

// The second is asked to stop even if the first took all the time.
bool Engine::stop_workers(uint64_t until_ns) noexcept {
    bool files_ended = workers_->stop(until_ns);
    bool names_ended = names_->stop(until_ns);
    return files_ended && names_ended;
}

ferry_status Engine::shut_down(uint64_t timeout_ns) noexcept {
    if (in_callback())
        return FERRY_E_BUSY;
    if (!host_driven())
        return shard_here() != nullptr ? FERRY_E_WRONG_THREAD : shut_down_bound(timeout_ns);
    ferry_status status = FERRY_E_BUSY;
    if (!claim_shard())
        status = any_thread() ? FERRY_E_BUSY : FERRY_E_WRONG_THREAD;
    else if (!running_)
        status = shut_down_bound(timeout_ns);
    unbind_host_thread();
    return status;
}

ferry_status Engine::shut_down_bound(uint64_t timeout_ns) noexcept {
    if (shutting_down_.exchange(true, std::memory_order_acq_rel))
        return FERRY_E_BUSY;
    uint64_t until = end_of(timeout_ns, os::now_ns());
    ferry_status status = FERRY_OK;
    if (state() != FERRY_ENGINE_STOPPED) {
        if (state_.exchange(FERRY_ENGINE_SHUTTING_DOWN) == FERRY_ENGINE_RUNNING) {
            for (uint32_t i = 0; i < shard_count_; ++i)
                shards_[i]->ask_to_stop();
        }
        bool quiet = host_driven() ? drain_host_driven(timeout_ns) : wait_for_threads(until);
        if (quiet && stop_workers(until)) {
            for (uint32_t i = 0; i < shard_count_; ++i)
                shards_[i]->settle();
            if (host_driven())
                shards_[0]->end();
            watchdog_.stop();
            state_.store(FERRY_ENGINE_STOPPED, std::memory_order_release);
        } else {
            status = FERRY_E_TIMED_OUT;
        }
    }
    shutting_down_.store(false, std::memory_order_release);
    return status;
}

ferry_status Engine::can_destroy() noexcept {
    if (forked())
        return FERRY_OK;
    if (in_callback())
        return FERRY_E_BUSY;
    if (state() == FERRY_ENGINE_STOPPED)
        return FERRY_OK;
    // What was timed out on may have ended since.
    if (state() == FERRY_ENGINE_SHUTTING_DOWN && shut_down(0) == FERRY_OK)
        return FERRY_OK;
    return FERRY_E_BUSY;
}

void Engine::info(ferry_engine_info *info) noexcept {
    info->shards = shard_count_;
    info->host_driven = host_driven() ? 1 : 0;
    info->state = state();
    info->ops_in_flight = 0;
    info->handles_open = 0;
    info->buffers_lent = 0;
    for (uint32_t i = 0; i < shard_count_; ++i) {
        info->ops_in_flight += shards_[i]->ops_taken();
        info->handles_open += shards_[i]->handles_open();
        info->buffers_lent += shards_[i]->buffers_lent();
    }
    info->buffer_bytes_lent = loads_.taken();
    info->workers = workers_->alive() + names_->alive();
    info->workers_detached = workers_->detached() + names_->detached();
    info->driver = shards_[0]->driver().name();
    info->ring = shards_[0]->driver().ring();
}

ferry_status Engine::shard_info(uint32_t index, ferry_shard_info *info) noexcept {
    if (index >= shard_count_)
        return FERRY_E_INVALID;
    shards_[index]->info(info);
    return FERRY_OK;
}

ferry_status Engine::create_queue(const ferry_queue_options &options, Queue **queue_out) noexcept {
    if (state() != FERRY_ENGINE_RUNNING)
        return FERRY_E_SHUTDOWN;
    Queue *queue = allocator_.create<Queue>(*this, options);
    if (queue == nullptr)
        return FERRY_E_NO_MEMORY;
    ferry_status status = queue->open();
    if (status != FERRY_OK) {
        allocator_.destroy(queue);
        return status;
    }
    SpinGuard guard(queues_lock_);
    queue->set_number(queues_made_++);
    queue->next = queues_;
    queues_ = queue;
    *queue_out = queue;
    return FERRY_OK;
}

// ---- what comes by id ---------------------------------------------------------------------------

ferry_status Engine::cancel(ferry_op op) noexcept {
    Id id{op};
    if (id.kind() != Kind::op || id.engine() != tag_ || id.shard() >= shard_count_)
        return FERRY_E_UNKNOWN;
    return shards_[id.shard()]->cancel(id);
}

ferry_status Engine::discard(ferry_handle handle) noexcept {
    Id id{handle};
    if (!is_handle(id.kind()))
        return FERRY_E_BAD_HANDLE;
    if (id.engine() != tag_)
        return FERRY_E_FOREIGN;
    if (id.shard() >= shard_count_)
        return FERRY_E_BAD_HANDLE;
    return shards_[id.shard()]->discard(id);
}

void Engine::release_all(const ferry_completion &completion) noexcept {
    if (operations_[completion.opcode].group && completion.data != nullptr) {
        auto *children = static_cast<const ferry_completion *>(completion.data);
        auto count = static_cast<size_t>(completion.result) / sizeof(ferry_completion);
        for (size_t i = 0; i < count; ++i)
            release_all(children[i]);
    }
    if (completion.buffer != 0)
        release(completion.buffer);
}

void Engine::nudge_all() noexcept {
    for (uint32_t i = 0; i < shard_count_; ++i)
        shards_[i]->nudge();
}

ferry_status Engine::release(ferry_buffer buffer) noexcept {
    Id id{buffer};
    if (id.kind() != Kind::buffer)
        return FERRY_E_BAD_HANDLE;
    if (id.engine() != tag_)
        return FERRY_E_FOREIGN;
    if (id.shard() >= shard_count_)
        return FERRY_E_BAD_HANDLE;
    return shards_[id.shard()]->release(id);
}

} // namespace ferry
