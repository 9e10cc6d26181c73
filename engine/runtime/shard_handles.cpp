// The shard's handles: looking up, holding, closing.
#include "base/assert.hpp"
#include "runtime/channel.hpp"
#include "runtime/engine.hpp"
#include "runtime/shard.hpp"

#include <ferry/status.h>

namespace ferry {

// ---- handles ------------------------------------------------------------------------------------

ferry_status Shard::look_up(uint64_t handle, HandleSlot **slot) noexcept {
    Id id{handle};
    *slot = handles_.slot(id);
    if (*slot == nullptr)
        return FERRY_E_BAD_HANDLE;
    switch (Handles::age(**slot, id)) {
    case Age::passed:
        return FERRY_E_STALE;
    case Age::never_issued:
        return FERRY_E_BAD_HANDLE;
    case Age::current:
        break;
    }
    // A free slot has the generation of its next handle, and a forged handle may name that.
    if ((*slot)->resource == nullptr || (*slot)->resource->handle != handle)
        return FERRY_E_BAD_HANDLE;
    return FERRY_OK;
}

void Shard::let_go(driver::Resource &resource) noexcept {
    FERRY_ASSERT(resource.holds > 0);
    if (--resource.holds == 0 && resource.closing)
        finish_close(*handles_.slot(Id{resource.handle}));
}

bool Shard::close(HandleSlot &slot, driver::Closer *closer) noexcept {
    driver::Resource &resource = *slot.resource;
    FERRY_ASSERT(!resource.closing);
    resource.closing = true;
    handles_.outdate(slot);
    if (resource.holds == 0 && finish_close(slot))
        return true;
    resource.closer = closer;
    if (resource.holds == 0)
        return false;
    // Keep it until all have been told: one may let go of it at once.
    hold(resource);
    interrupt_users(resource);
    let_go(resource);
    return false;
}

void Shard::interrupt_users(driver::Resource &resource) noexcept {
    Kind kind = Id{resource.handle}.kind();
    if (kind == Kind::file || kind == Kind::channel) {
        static_cast<driver::SharedResource &>(resource).for_each_user(
            [](coro::Fiber &fiber) { interrupt(fiber, FERRY_E_CLOSED); });
        return;
    }
    auto &socket = static_cast<driver::Socket &>(resource);
    if (socket.reader != nullptr)
        interrupt(*socket.reader, FERRY_E_CLOSED);
    for (driver::Outgoing *at = socket.unsent; at != nullptr; at = at->next) {
        if (at->has_turn)
            interrupt(*at->fiber, FERRY_E_CLOSED);
        else if (at->fiber->interrupted == 0)
            at->fiber->interrupted = FERRY_E_CLOSED;
    }
    drop_interrupted(socket);
}

// True: it is closed. A file takes its time, and closed() comes from a later poll; until then the handle's
// slot is in use.
bool Shard::finish_close(HandleSlot &slot) noexcept {
    driver::Resource &resource = *slot.resource;
    Kind kind = Id{resource.handle}.kind();
    if (kind == Kind::file) {
        driver_->close(static_cast<driver::File &>(resource));
        return false;
    }
    driver::Closer *closer = resource.closer;
    handles_.remove(slot);
    if (kind == Kind::channel) {
        engine_.allocator().destroy(static_cast<Channel *>(&resource));
    } else {
        free_rest(static_cast<driver::Socket &>(resource));
        driver_->close(static_cast<driver::Socket &>(resource));
    }
    if (closer != nullptr)
        closer->wake();
    return true;
}

driver::Outcome Shard::release_resource(HandleSlot &slot) noexcept {
    driver::Resource &resource = *slot.resource;
    FERRY_ASSERT(resource.holds == 0 && !resource.closing);
    bool file = Id{resource.handle}.kind() == Kind::file;
    if (!file)
        free_rest(static_cast<driver::Socket &>(resource));
    driver::Outcome outcome = driver_->release(resource);
    if (outcome.status != FERRY_OK)
        return outcome;
    handles_.outdate(slot);
    handles_.remove(slot);
    return outcome;
}

void Shard::keep_in_mind(Transit &transit) noexcept {
    transit.next = transits_;
    transit.link = &transits_;
    if (transits_ != nullptr)
        transits_->link = &transit.next;
    transits_ = &transit;
}

void Shard::forget(const Transit &transit) noexcept {
    *transit.link = transit.next;
    if (transit.next != nullptr)
        transit.next->link = transit.link;
}

// A file's close may fail: what the system could not write in the end is told to who closes it.
void Shard::closed(driver::File &file, driver::Outcome outcome) noexcept {
    if (file.handle == 0)
        return; // Opened when nobody wanted it any more.
    HandleSlot &slot = *handles_.slot(Id{file.handle});
    driver::Closer *closer = file.closer;
    handles_.remove(slot);
    if (closer == nullptr)
        return;
    closer->status = outcome.status;
    closer->os_error = outcome.os_error;
    closer->wake();
}

} // namespace ferry
