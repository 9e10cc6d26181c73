// What is in flight, as JSON. A shard's memory is its thread's: each shard tells of itself, when it is asked,
// at the end of a turn. Nothing of it costs those whom nobody asks, but for a stamp in each operation.
#include "base/saturating.hpp"
#include "base/text.hpp"
#include "runtime/engine.hpp"
#include "runtime/shard.hpp"

#include <ferry/opcode.h>

#include <algorithm>
#include <chrono>
#include <mutex>

namespace ferry {

namespace {

// The members of an array or an object, with commas between them.
class Members {
  public:
    Members(Text &text, const char *name, char open, char close) : text_(text), close_(close) {
        text.add("\"").add(name).add("\":").add(&open, 1);
    }
    ~Members() { text_.add(&close_, 1); }
    Members(const Members &) = delete;
    Members &operator=(const Members &) = delete;

    Text &next() noexcept {
        text_.add(first_ ? "\n" : ",\n");
        first_ = false;
        return text_;
    }

  private:
    Text &text_;
    const char close_;
    bool first_ = true;
};

Text &name(Text &text, const char *name) {
    return text.add(",\"").add(name).add("\":");
}

// 64-bit numbers that are names are text: JSON's numbers have 53 bits.
void add_id(Text &text, const char *what, uint64_t id) {
    name(text, what);
    if (id == FERRY_NONE)
        text.add("null");
    else
        text.add("\"").hex(id).add("\"");
}

void add_count(Text &text, const char *what, uint64_t count) {
    name(text, what).number(count);
}

void add_word(Text &text, const char *what, const char *word) {
    name(text, what).add("\"").add(word).add("\"");
}

void add_truth(Text &text, const char *what, bool truth) {
    name(text, what).add(truth ? "true" : "false");
}

void add_request(Text &text, uint16_t opcode, uint64_t target, uint64_t tag) {
    add_word(text, "kind", ferry_opcode_name(opcode));
    add_id(text, "target", target);
    name(text, "tag").add("\"").number(tag).add("\"");
}

// Negative when it lies behind. FERRY_FOREVER is farther than a signed number reaches.
int64_t distance(uint64_t from_ns, uint64_t to_ns) {
    auto clamped = [](uint64_t ns) {
        return static_cast<int64_t>(std::min(ns, uint64_t{INT64_MAX}));
    };
    return to_ns >= from_ns ? clamped(to_ns - from_ns) : -clamped(from_ns - to_ns);
}

const char *kind_of(uint64_t handle) {
    switch (Id{handle}.kind()) {
    case Kind::listener:
        return "listener";
    case Kind::stream:
        return "stream";
    case Kind::file:
        return "file";
    case Kind::channel:
        return "channel";
    default:
        return "other";
    }
}

} // namespace

// ---- one operation ------------------------------------------------------------------------------

void Shard::dump_life(Text &text, const Op &op) noexcept {
    uint32_t age = stamp_of(driver_->coarse_ns()) - op.born;
    add_count(text, "age_ns", uint64_t{age} << kStampBits);
    const coro::Wait *wait = op.waiting;
    const char *state = "ready";
    if (wait != nullptr)
        state = "waiting";
    else if (&op == telling_)
        state = "running";
    add_word(text, "state", state);
    if (wait != nullptr)
        add_word(text, "awaits", wait->what());
    if (op.interrupted != 0)
        add_word(text, "interrupted", ferry_status_name(op.interrupted));
    name(text, "deadline_in_ns");
    if (op.deadline_ns == 0)
        text.add("null");
    else
        text.number(distance(now_ns(), op.deadline_ns));
    dump_children(text, op);
}

// A host's composition has all its children where it has copied them; those that an operation has made for
// itself are known to what it waits for.
void Shard::dump_children(Text &text, const Op &op) noexcept {
    uint16_t opcode = op.child ? static_cast<const Child &>(op).request.opcode : op.opcode;
    if (engine_.operations()[opcode].group) {
        Children children = children_of(op);
        text.add(",");
        Members list(text, "children", '[', ']');
        for (uint32_t i = 0; i < children.count; ++i) {
            list.next();
            dump_child(text, children.first[i]);
        }
    } else if (op.waiting != nullptr && op.waiting->what() == GroupWait::kWhat) {
        const Group &group = static_cast<const GroupWait *>(op.waiting)->group();
        text.add(",");
        Members list(text, "children", '[', ']');
        for (uint32_t i = 0; i < group.count(); ++i) {
            if (!group[i].running)
                continue;
            list.next();
            dump_child(text, group[i]);
        }
    }
}

// Of one that runs elsewhere, only what does not change any more may be read.
void Shard::dump_child(Text &text, const Child &child) noexcept {
    text.add("{\"child\":").number(child.number);
    bool elsewhere = child.running && child.place != this;
    bool here = child.running && !elsewhere && child.live;
    add_request(text, child.request.opcode, here ? child.target : child.request.target,
                child.request.tag);
    if (elsewhere) {
        add_word(text, "state", "elsewhere");
        add_count(text, "shard", child.place->index());
    } else if (here) {
        dump_life(text, child);
    } else if (child.group == nullptr) {
        add_word(text, "state", "not started");
        dump_children(text, child);
    } else {
        add_word(text, "state", "ended");
        add_word(text, "status", ferry_status_name(child.completion->status));
    }
    text.add("}");
}

// ---- one shard ----------------------------------------------------------------------------------

void Shard::dump_operations(Text &text) noexcept {
    Members list(text, "operations", '[', ']');
    for (uint32_t i = 0; i < intake_.made(); ++i) {
        const Op &op = ops_[i];
        bool held = op.held.load(std::memory_order_relaxed);
        if (!op.live && !held)
            continue;
        const ferry_completion &completion = held_completion(ops_[i]);
        list.next().add("{\"op\":\"").hex(op.live ? id_of(op) : completion.op).add("\"");
        add_request(text, op.opcode, op.target, op.tag);
        add_count(text, "queue", op.queue->number());
        if (op.live) {
            dump_life(text, op);
        } else {
            add_word(text, "state", "held completion");
            add_word(text, "awaits", "room in queue");
            add_word(text, "status", ferry_status_name(completion.status));
        }
        text.add("}");
    }
    intake_.for_each([&](uint64_t id, const InboxEntry &entry) {
        list.next().add("{\"op\":\"").hex(public_id(id)).add("\"");
        add_request(text, entry.request.opcode, entry.request.target, entry.request.tag);
        add_count(text, "queue", entry.queue->number());
        add_word(text, "state", "on its way in");
        text.add("}");
    });
}

// Children of compositions of other shards; each is named by its tree's operation and its place in the tree.
void Shard::dump_guests(Text &text) noexcept {
    Members list(text, "guests", '[', ']');
    for (const Child *child = guests_; child != nullptr; child = child->next_guest) {
        const Op &root = root_of(*child);
        list.next().add("{\"op\":\"").hex(root.shard().id_of(root)).add("\"");
        add_count(text, "child", child->number);
        add_request(text, child->opcode, child->target, child->tag);
        if (child->live)
            dump_life(text, *child);
        text.add("}");
    }
}

void Shard::dump_handles(Text &text) noexcept {
    Members list(text, "handles", '[', ']');
    handles_.for_each([&](HandleSlot &slot) {
        const driver::Resource &resource = *slot.resource;
        list.next().add("{\"handle\":\"").hex(resource.handle).add("\"");
        add_word(text, "kind", kind_of(resource.handle));
        add_count(text, "holds", resource.holds);
        add_truth(text, "closing", resource.closing);
        text.add("}");
    });
}

void Shard::dump(Text &text) noexcept {
    text.add("{\"shard\":").number(index_);
    add_truth(text, "answered", true);
    add_count(text, "ready", ready_count());
    add_count(text, "timers", wheel_.count());
    add_count(text, "buffers_lent", buffers_lent());
    add_count(text, "chunk_bytes", buffers_.chunk_bytes());
    text.add(",");
    dump_operations(text);
    text.add(",");
    dump_guests(text);
    text.add(",");
    dump_handles(text);
    text.add("}");
}

// ---- asking the shards --------------------------------------------------------------------------

static_assert(kShardsMax <= 64, "DumpRequest has a bit for each");

// One call's wish to see inside. On the stack of who asks, linked into the engine's list; all under the inspect
// lock. A shard writes under that lock, too, so who gives up waiting never leaves while its text is written.
struct DumpRequest {
    DumpRequest(Members &to, uint32_t count) : shards(to), left(~uint64_t{0} >> (64 - count)) {}

    bool waits_for(const Shard &shard) const noexcept { return (left >> shard.index() & 1) != 0; }
    void tell(Shard &shard) noexcept {
        left &= ~(uint64_t{1} << shard.index());
        shard.dump(shards.next());
    }

    Members &shards;
    uint64_t left; // Shards that have not told of themselves, a bit each.
    DumpRequest *next = nullptr;
};

void Shard::answer_dumps() noexcept {
    dump_due_ = false;
    dump_asked_.store(false, std::memory_order_relaxed);
    std::lock_guard<std::mutex> guard(engine_.inspect_lock());
    engine_.answer_locked(*this);
}

// No thread of its own or of the host's comes to it any more.
void Shard::end() noexcept {
    std::lock_guard<std::mutex> guard(engine_.inspect_lock());
    over_ = true;
    engine_.answer_locked(*this);
}

void Engine::answer_locked(Shard &shard) noexcept {
    bool told = false;
    for (DumpRequest *request = dump_requests_; request != nullptr; request = request->next) {
        if (!request->waits_for(shard))
            continue;
        request->tell(shard);
        told = true;
    }
    if (told)
        dump_moved_->notify_all();
}

// Whom no thread runs now, this one may tell of, as if it did: claim_shard() waits until it has.
void Engine::tell_idle_locked(DumpRequest &request) noexcept {
    Shard &shard = *shards_[0];
    if (!host_driven() || !request.waits_for(shard) || shard.thread() != 0 ||
        !shard.bind_once(os::thread_self()))
        return;
    request.tell(shard);
    shard.unbind();
}

// Each shard tells of itself when it comes to it. Here: this thread's own, and those that nobody runs.
void Engine::gather(DumpRequest &request, uint64_t until_ns) noexcept {
    Shard *here = shard_here();
    std::unique_lock<std::mutex> lock(inspect_lock_);
    request.next = dump_requests_;
    dump_requests_ = &request;
    tell_idle_locked(request);
    for (uint32_t i = 0; i < shard_count_; ++i) {
        Shard &shard = *shards_[i];
        if (!request.waits_for(shard))
            continue;
        if (&shard == here || shard.over())
            request.tell(shard);
        else
            shard.ask_for_dump();
    }
    dump_moved_->notify_all(); // Those whom it asks may be waiting below themselves.
    for (;;) {
        if (here != nullptr)
            answer_locked(*here); // Or two whose callbacks ask would wait for each other.
        tell_idle_locked(request);
        uint64_t now = os::now_ns();
        if (request.left == 0 || now >= until_ns)
            break;
        // In pieces: chrono overflows on far ends, and who stops running a shard says so to nobody.
        uint64_t piece = host_driven() ? 10000000u : 1000000000u;
        uint64_t left = until_ns - now < piece ? until_ns - now : piece;
        dump_moved_->wait_for(lock, std::chrono::nanoseconds(left));
    }
    DumpRequest **link = &dump_requests_;
    while (*link != &request)
        link = &(*link)->next;
    *link = request.next;
}

// ---- all of it ----------------------------------------------------------------------------------

// One that does not answer: what holds it, if there is a watchdog.
static void dump_silent(Text &text, Shard &shard) {
    text.add("{\"shard\":").number(shard.index());
    add_truth(text, "answered", false);
    name(text, "running");
    Task task;
    if (shard.watch().look(&task) == 0) {
        text.add("null}");
        return;
    }
    uint64_t now = os::now_ns();
    text.add("{\"what\":\"").add(task.what == Task::What::callback ? "callback" : "coroutine");
    text.add("\"");
    add_id(text, "op", task.op);
    add_count(text, "child", task.child);
    add_word(text, "kind", ferry_opcode_name(task.opcode));
    name(text, "tag").add("\"").number(task.tag).add("\"");
    add_count(text, "for_ns", now > task.since_ns ? now - task.since_ns : 0);
    text.add("}}");
}

static void dump_engine(Text &text, const ferry_engine_info &info) {
    static constexpr const char *kStates[] = {"running", "shutting down", "stopped"};
    text.add("\"engine\":{\"driver\":\"").add(info.driver).add("\"");
    add_word(text, "state", kStates[info.state]);
    add_truth(text, "host_driven", info.host_driven != 0);
    add_count(text, "shards", info.shards);
    add_count(text, "ops_in_flight", info.ops_in_flight);
    add_count(text, "handles_open", info.handles_open);
    add_count(text, "buffers_lent", info.buffers_lent);
    add_count(text, "buffer_bytes_lent", info.buffer_bytes_lent);
    add_count(text, "workers", info.workers);
    add_count(text, "workers_detached", info.workers_detached);
    text.add("}");
}

// Queues stay until the engine goes, and a new one comes at the front.
void Engine::dump_queues(Text &text) noexcept {
    Members list(text, "queues", '[', ']');
    for (Queue *queue = first_queue(); queue != nullptr; queue = queue->next) {
        if (!queue->alive())
            continue;
        list.next().add("{\"queue\":").number(queue->number());
        add_word(text, "mode", queue->mode_name());
        add_count(text, "capacity", queue->capacity());
        add_count(text, "depth", queue->depth());
        add_count(text, "held", queue->held());
        add_count(text, "in_flight", queue->in_flight());
        text.add("}");
    }
}

void Engine::dump(uint64_t timeout_ns, Text &text) noexcept {
    ferry_engine_info info = {};
    this->info(&info);
    text.add("{");
    dump_engine(text, info);
    text.add(",\n");
    {
        Members list(text, "shards", '[', ']');
        DumpRequest request(list, shard_count_);
        gather(request,
               timeout_ns == FERRY_FOREVER ? UINT64_MAX : add_saturating(os::now_ns(), timeout_ns));
        for (uint32_t i = 0; i < shard_count_; ++i) {
            if (request.waits_for(*shards_[i]))
                dump_silent(list.next(), *shards_[i]);
        }
    }
    text.add(",\n");
    dump_queues(text);
    text.add("}\n");
}

} // namespace ferry
