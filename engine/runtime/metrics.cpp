// How much of everything there was, and is. Each count has one writer, so it costs that one a plain addition.
#include "runtime/engine.hpp"
#include "runtime/shard.hpp"

#include <ferry/inspect.h>

#include <iterator>

namespace ferry {

[[gnu::noinline, gnu::cold]] void Shard::count_failure(int32_t status) noexcept {
    if (status == FERRY_E_CANCELED)
        canceled_.add(1);
    else if (status == FERRY_E_TIMED_OUT)
        timed_out_.add(1);
    else
        failed_.add(1);
}

void Shard::add_metrics(ferry_metrics *sum) noexcept {
    sum->failed += failed_.get();
    sum->canceled += canceled_.get();
    sum->timed_out += timed_out_.get();
    sum->completions += completed_.get();
    sum->ops_in_flight += ops_taken();
    sum->handles_open += handles_open();
    sum->connections += accepted_.get();
    sum->buffers_lent += buffers_lent();
    sum->bytes_received += traffic_.received.get();
    sum->bytes_sent += traffic_.sent.get();
    sum->bytes_read += traffic_.read.get();
    sum->bytes_written += traffic_.written.get();
    sum->turns += turns_.get();
    sum->turn_ns += turn_ns_.get();
    if (turn_worst_ns_.get() > sum->turn_worst_ns)
        sum->turn_worst_ns = turn_worst_ns_.get();
    sum->wakeups += wakeups_.get();
    sum->stalls += watch_.stalls.get();
    for (Queue *queue = engine_.first_queue(); queue != nullptr; queue = queue->next)
        sum->ended += queue->ended(index_);
}

void Engine::note_refused(ferry_status status) noexcept {
    if (status == FERRY_E_FULL)
        refused_full_.fetch_add(1, std::memory_order_relaxed);
    else
        refused_.fetch_add(1, std::memory_order_relaxed);
}

void Engine::note_budget(uint64_t end_ns, uint64_t now_ns) noexcept {
    if (end_ns == 0 || now_ns <= end_ns)
        return;
    overruns_.add(1);
    if (now_ns - end_ns > overrun_worst_ns_.get())
        overrun_worst_ns_.set(now_ns - end_ns);
}

void Engine::metrics(ferry_metrics *metrics) noexcept {
    *metrics = {};
    metrics->shards = shard_count_;
    for (uint32_t i = 0; i < shard_count_; ++i)
        shards_[i]->add_metrics(metrics);
    for (Queue *queue = first_queue(); queue != nullptr; queue = queue->next) {
        metrics->submitted += queue->accepted();
        metrics->stalls += queue->watch().stalls.get();
        if (!queue->alive())
            continue;
        ++metrics->queues;
        metrics->queue_depth += queue->depth();
        metrics->queue_held += queue->held();
    }
    metrics->refused_full = refused_full_.load(std::memory_order_relaxed);
    metrics->refused = metrics->refused_full + refused_.load(std::memory_order_relaxed);
    metrics->buffer_bytes_lent = loads_.taken();
    metrics->budget_overruns = overruns_.get();
    metrics->budget_overrun_worst_ns = overrun_worst_ns_.get();
}

namespace {

struct Row {
    const char *name;
    uint64_t ferry_metrics::*field;
    bool of_shard; // Each shard has its own.
};

#define FERRY_ROW(field, of_shard)                                                                 \
    { #field, &ferry_metrics::field, of_shard }
constexpr Row kRows[] = {
    FERRY_ROW(submitted, false),
    FERRY_ROW(refused, false),
    FERRY_ROW(refused_full, false),
    FERRY_ROW(ended, true),
    FERRY_ROW(failed, true),
    FERRY_ROW(canceled, true),
    FERRY_ROW(timed_out, true),
    FERRY_ROW(completions, true),
    FERRY_ROW(ops_in_flight, true),
    FERRY_ROW(queues, false),
    FERRY_ROW(queue_depth, false),
    FERRY_ROW(queue_held, false),
    FERRY_ROW(handles_open, true),
    FERRY_ROW(connections, true),
    FERRY_ROW(buffers_lent, true),
    FERRY_ROW(buffer_bytes_lent, false),
    FERRY_ROW(bytes_received, true),
    FERRY_ROW(bytes_sent, true),
    FERRY_ROW(bytes_read, true),
    FERRY_ROW(bytes_written, true),
    FERRY_ROW(turns, true),
    FERRY_ROW(turn_ns, true),
    FERRY_ROW(turn_worst_ns, true),
    FERRY_ROW(wakeups, true),
    FERRY_ROW(stalls, true),
    FERRY_ROW(budget_overruns, false),
    FERRY_ROW(budget_overrun_worst_ns, false),
};
#undef FERRY_ROW
// Each field of the record has its row.
static_assert(sizeof(ferry_metrics) == 8 + std::size(kRows) * sizeof(uint64_t));

} // namespace

void Engine::walk_metrics(ferry_metric_fn each, void *user_data) noexcept {
    ferry_metrics values;
    metrics(&values);
    for (const Row &row : kRows)
        each(row.name, values.*row.field, user_data);
    for (uint32_t i = 0; i < shard_count_; ++i) {
        ferry_metrics of_shard = {};
        shards_[i]->add_metrics(&of_shard);
        for (const Row &row : kRows) {
            if (!row.of_shard)
                continue;
            char name[48];
            Text text(name, sizeof name);
            text.add("shard_").number(i).add("_").add(row.name).add("", 1);
            each(name, of_shard.*row.field, user_data);
        }
    }
}

} // namespace ferry
