// The way in: check a request, find its shard, hand it over.
//
// On the shard's own thread a request goes straight into its slot; from elsewhere through the inbox, as
// many of one call's requests at once as go to the same shard.
#include "base/saturating.hpp"
#include "runtime/engine.hpp"
#include "runtime/shard.hpp"

#include <ferry/status.h>

#include <cstring>

namespace ferry {

ferry_status check_record(const ferry_request &request, const OpTable &operations) noexcept {
    if (request.opcode >= kOpcodes)
        return FERRY_E_UNSUPPORTED;
    const OpSpec &spec = operations[request.opcode];
    if (spec.start == nullptr || request.reserved != 0 || (request.flags & ~spec.flags) != 0)
        return FERRY_E_UNSUPPORTED;
    uint64_t unused = 0;
    for (uint32_t i = spec.words; i < kWords; ++i)
        unused |= request.params.words[i];
    return unused == 0 ? FERRY_OK : FERRY_E_UNSUPPORTED;
}

namespace {

// One call of submit.
class Submission {
  public:
    Submission(Engine &engine, Queue &queue)
        : engine_(engine), queue_(queue), here_(engine.shard_here()) {}

    ferry_status run(const ferry_request *requests, size_t count, ferry_op *ops,
                     size_t *accepted) noexcept;

  private:
    static constexpr size_t kBatch = 64;

    ferry_status check(const ferry_request &request, Shard **shard) noexcept;
    ferry_status check_compound(const ferry_request &request, const OpSpec &spec,
                                Shard **shard) noexcept;
    ferry_status check_children(const ferry_request &request, Shard **shard) noexcept;
    ferry_status check_child_handle(uint32_t index, ferry_handle handle, uint32_t targets,
                                    Shard **first) noexcept;
    ferry_status check_other_handle(uint32_t index, const ferry_request &child,
                                    Shard **first) noexcept;
    ferry_status check_target(const ferry_request &request, uint32_t targets,
                              Shard **shard) noexcept;
    ferry_status check_handle(ferry_handle handle, uint32_t targets, Shard **shard) noexcept;
    ferry_status direct(const ferry_request &request, ferry_op *op) noexcept;
    size_t gather(const ferry_request *requests, size_t count, Shard &shard,
                  ferry_status *refused) noexcept;
    ferry_status send_over(Shard &shard, size_t count, ferry_op *ops, size_t *sent) noexcept;
    template <class Request>
    ferry_status complete(Shard &shard, const ferry_request &given, Request *request,
                          uint16_t *copy) noexcept;
    void undo(Shard &shard, const ferry_request &request) noexcept;
    bool plain(const ferry_request &request) const noexcept;
    Shard *home() noexcept;
    uint64_t now() noexcept;

    const OpSpec &spec(const ferry_request &request) const noexcept {
        return engine_.operations()[request.opcode];
    }

    Engine &engine_;
    Queue &queue_;
    Shard *const here_;
    Shard *home_ = nullptr;
    uint64_t now_ns_ = 0;
    TreeDraft draft_; // Of the request that was checked last, if it has children.
    // On their way to another shard: those that had to be changed for it lie in changed_.
    const ferry_request *batch_[kBatch];
    ferry_request changed_[kBatch];
};

// Where this call's requests without a target run.
Shard *Submission::home() noexcept {
    if (home_ == nullptr && queue_.home() != 0)
        home_ = &engine_.shard(queue_.home() - 1);
    else if (home_ == nullptr)
        home_ = here_ != nullptr ? here_ : &engine_.shard(engine_.next_home());
    return home_;
}

uint64_t Submission::now() noexcept {
    if (now_ns_ == 0)
        now_ns_ = engine_.shard(0).now_ns();
    return now_ns_;
}

ferry_status Submission::check_target(const ferry_request &request, uint32_t targets,
                                      Shard **shard) noexcept {
    if (targets == 0) {
        if (request.target != FERRY_NONE)
            return FERRY_E_UNSUPPORTED;
        *shard = home();
        return FERRY_OK;
    }
    return check_handle(request.target, targets, shard);
}

ferry_status Submission::check_handle(ferry_handle handle, uint32_t targets,
                                      Shard **shard) noexcept {
    Id id{handle};
    if (!is_handle(id.kind()))
        return FERRY_E_BAD_HANDLE;
    if (id.engine() != engine_.tag())
        return FERRY_E_FOREIGN;
    if (id.shard() >= engine_.shard_count())
        return FERRY_E_BAD_HANDLE;
    if ((targets & target_bit(id.kind())) == 0)
        return FERRY_E_WRONG_KIND;
    *shard = &engine_.shard(id.shard());
    return FERRY_OK;
}

ferry_status Submission::check(const ferry_request &request, Shard **shard) noexcept {
    ferry_status status = check_record(request, engine_.operations());
    if (status != FERRY_OK)
        return status;
    const OpSpec &spec = this->spec(request);
    status = check_target(request, spec.targets, shard);
    if (status != FERRY_OK)
        return status;
    if (spec.handle_word >= 0 || spec.group)
        return check_compound(request, spec, shard);
    return spec.check != nullptr ? spec.check(request) : FERRY_OK;
}

// Apart, so that the check of all others stays short.
[[gnu::noinline]] ferry_status Submission::check_compound(const ferry_request &request,
                                                          const OpSpec &spec,
                                                          Shard **shard) noexcept {
    ferry_status status = FERRY_OK;
    if (spec.handle_word >= 0) {
        Shard *other;
        status = check_handle(request.params.words[spec.handle_word], spec.handle_targets, &other);
        if (status == FERRY_OK && other != *shard)
            status = FERRY_E_WRONG_SHARD;
    }
    if (status == FERRY_OK && spec.check != nullptr)
        status = spec.check(request);
    return status == FERRY_OK && spec.group ? check_children(request, shard) : status;
}

// A tree runs where the first handle lives that it names.
ferry_status Submission::check_children(const ferry_request &request, Shard **shard) noexcept {
    ferry_status status = draft_.gather(request, engine_.operations());
    Shard *first = nullptr;
    for (uint32_t i = 0; i < draft_.count() && status == FERRY_OK; ++i) {
        const ferry_request &child = draft_[i];
        const OpSpec &spec = this->spec(child);
        status = spec.check != nullptr ? spec.check(child) : FERRY_OK;
        if (status == FERRY_OK && spec.targets != 0)
            status = check_child_handle(i, child.target, spec.targets, &first);
        else if (status == FERRY_OK && child.target != FERRY_NONE)
            status = FERRY_E_UNSUPPORTED;
        if (status == FERRY_OK && spec.handle_word >= 0)
            status = check_other_handle(i, child, &first);
    }
    if (first != nullptr)
        *shard = first;
    return status;
}

// A handle, or what stands for one that an earlier child opens.
ferry_status Submission::check_child_handle(uint32_t index, ferry_handle handle, uint32_t targets,
                                            Shard **first) noexcept {
    if (Id{handle}.kind() == Kind::child)
        return draft_.names_earlier(index, handle, engine_.operations()) ? FERRY_OK
                                                                         : FERRY_E_INVALID;
    Shard *place;
    ferry_status status = check_handle(handle, targets, &place);
    if (status == FERRY_OK && *first == nullptr)
        *first = place;
    return status;
}

// The one beside the target. Where a name stands for one of the two, it is known when the child starts.
ferry_status Submission::check_other_handle(uint32_t index, const ferry_request &child,
                                            Shard **first) noexcept {
    const OpSpec &spec = this->spec(child);
    Id target{child.target};
    Id other{child.params.words[spec.handle_word]};
    ferry_status status = check_child_handle(index, other.value, spec.handle_targets, first);
    if (status != FERRY_OK || target.kind() == Kind::child || other.kind() == Kind::child)
        return status;
    return target.shard() == other.shard() ? FERRY_OK : FERRY_E_WRONG_SHARD;
}

// Nothing of it must be changed on the way in.
bool Submission::plain(const ferry_request &request) const noexcept {
    const OpSpec &spec = this->spec(request);
    return request.deadline_ns == 0 && !spec.timed && spec.borrowed == nullptr && !spec.group;
}

// Make times absolute and copy what is borrowed. Request: a ferry_request on its way to the inbox, or
// the slot itself.
template <class Request>
[[gnu::noinline]] ferry_status Submission::complete(Shard &shard, const ferry_request &given,
                                                    Request *request, uint16_t *copy) noexcept {
    const OpSpec &spec = this->spec(given);
    if (given.deadline_ns != 0)
        request->deadline_ns = add_saturating(now(), given.deadline_ns);
    if (spec.timed && given.params.words[0] != 0) // Zero stays: due with the next turn.
        request->params.words[0] = add_saturating(now(), given.params.words[0]);
    size_t size = 0;
    if (spec.group) {
        Tree *tree = draft_.build(engine_.operations(), shard.shared_blocks(), &size);
        if (tree == nullptr)
            return FERRY_E_NO_MEMORY;
        *copy = kCopyOwned;
        request->params.words[0] = reinterpret_cast<uintptr_t>(tree);
        request->params.words[spec.words] = size;
        return FERRY_OK;
    }
    if (spec.borrowed == nullptr)
        return FERRY_OK;
    const void *bytes = spec.borrowed(given, &size);
    if (size == 0)
        return FERRY_OK;
    if (size <= (kWords - spec.words) * sizeof(uint64_t)) {
        *copy = kCopyInline;
        std::memcpy(&request->params.words[spec.words], bytes, size);
        return FERRY_OK;
    }
    void *place = shard.shared_blocks().allocate(size);
    if (place == nullptr)
        return FERRY_E_NO_MEMORY;
    std::memcpy(place, bytes, size);
    *copy = kCopyOwned;
    request->params.words[0] = reinterpret_cast<uintptr_t>(place);
    request->params.words[spec.words] = size;
    return FERRY_OK;
}

void Submission::undo(Shard &shard, const ferry_request &request) noexcept {
    if (request.reserved == kCopyOwned)
        shard.shared_blocks().free(reinterpret_cast<void *>(request.params.words[0]),
                                   request.params.words[spec(request).words]);
}

ferry_status Submission::direct(const ferry_request &request, ferry_op *id_out) noexcept {
    uint64_t id;
    if (!here_->take_slot(&id))
        return FERRY_E_FULL;
    Op *op = here_->fill(id, request, queue_);
    if (!plain(request)) {
        ferry_status status = complete(*here_, request, op, &op->copy);
        if (status != FERRY_OK) {
            here_->give_slot(id);
            return status;
        }
        if (spec(request).timed)
            here_->expect_alarm(op->params.words[0]);
    }
    here_->enter(op);
    *id_out = here_->public_id(id);
    return FERRY_OK;
}

// As many requests as can go to the shard together, the first of which has been checked. What may fail
// comes before there are places to fill: *refused says why it stopped, if a request is why.
size_t Submission::gather(const ferry_request *requests, size_t count, Shard &shard,
                          ferry_status *refused) noexcept {
    size_t gathered = 0;
    Shard *next = &shard;
    do {
        const ferry_request &request = requests[gathered];
        batch_[gathered] = &request;
        if (!plain(request)) {
            ferry_request &changed = changed_[gathered];
            changed = request;
            *refused = complete(shard, request, &changed, &changed.reserved);
            if (*refused != FERRY_OK)
                break;
            batch_[gathered] = &changed;
        }
        if (++gathered == count || gathered == kBatch)
            break;
        *refused = check(requests[gathered], &next);
    } while (*refused == FERRY_OK && next == &shard);
    return gathered;
}

ferry_status Submission::send_over(Shard &shard, size_t count, ferry_op *ops,
                                   size_t *sent) noexcept {
    Intake &intake = shard.intake();
    uint64_t ids[kBatch];
    uint64_t position;
    uint32_t taken = intake.reserve(ids, static_cast<uint32_t>(count), &position);
    for (size_t i = taken; i < count; ++i)
        undo(shard, *batch_[i]);
    *sent = taken;
    if (taken != 0) {
        queue_.count_remote(taken);
        for (uint32_t i = 0; i < taken; ++i) {
            InboxEntry &entry = intake.entry(position + i);
            entry.request = *batch_[i];
            entry.queue = &queue_;
            if (ops != nullptr)
                ops[i] = shard.public_id(ids[i]);
            intake.publish(position + i, ids[i], i + 1 == taken);
        }
        shard.knock();
    }
    if (taken == count)
        return FERRY_OK;
    return intake.closed() ? FERRY_E_SHUTDOWN : FERRY_E_FULL;
}

ferry_status Submission::run(const ferry_request *requests, size_t count, ferry_op *ops,
                             size_t *accepted) noexcept {
    size_t done = 0;
    ferry_status status = FERRY_OK;
    Shard *shard = nullptr;
    uint64_t local = 0;
    while (done < count && status == FERRY_OK) {
        status = check(requests[done], &shard);
        if (status != FERRY_OK)
            break;
        if (shard == here_) {
            ferry_op op;
            status = direct(requests[done], &op);
            if (status != FERRY_OK)
                break;
            if (ops != nullptr)
                ops[done] = op;
            ++done;
            ++local;
            continue;
        }
        // The one that is refused is told after those before it.
        ferry_status refused = FERRY_OK;
        size_t batch = gather(requests + done, count - done, *shard, &refused);
        size_t sent = 0;
        if (batch != 0)
            status = send_over(*shard, batch, ops != nullptr ? ops + done : nullptr, &sent);
        done += sent;
        if (status == FERRY_OK)
            status = refused;
    }
    if (local != 0) {
        queue_.link(here_->index()).accepted.add(local);
        engine_.note_own_work();
    }
    *accepted = done;
    return status;
}

} // namespace

ferry_status Engine::submit(Queue &queue, const ferry_request *requests, size_t count,
                            ferry_op *ops, size_t *accepted) noexcept {
    *accepted = 0;
    ferry_status status = FERRY_E_SHUTDOWN;
    if (state() == FERRY_ENGINE_RUNNING) {
        Submission submission(*this, queue);
        status = submission.run(requests, count, ops, accepted);
    }
    if (status != FERRY_OK) [[unlikely]]
        note_refused(status);
    return status;
}

} // namespace ferry
