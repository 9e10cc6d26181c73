// The C API's opaque types: the engine's own classes under their C names, with a word that tells them
// from other memory.
#pragma once

#include "runtime/engine.hpp"
#include "runtime/queue.hpp"

#include <ferry/base.h>

struct ferry_engine final {
    ferry_engine(const ferry_engine_options &options, const ferry::OpTable &operations)
        : engine(options, operations) {}

    static constexpr uint64_t kMagic = 0x656e69676e65; // "engine"
    uint64_t magic = kMagic;
    ferry::Engine engine;
};

namespace ferry::capi {

// Null or not an engine: FERRY_E_INVALID. Then what Engine::usable() says.
inline ferry_status check(const ferry_engine *engine) noexcept {
    if (engine == nullptr || engine->magic != ferry_engine::kMagic)
        return FERRY_E_INVALID;
    return engine->engine.usable();
}

inline Queue *queue_of(ferry_queue *queue) noexcept {
    return reinterpret_cast<Queue *>(queue);
}
inline ferry_queue *handle_of(Queue *queue) noexcept {
    return reinterpret_cast<ferry_queue *>(queue);
}

inline ferry_status check(Queue *queue) noexcept {
    if (queue == nullptr)
        return FERRY_E_INVALID;
    ferry_status status = queue->engine().usable();
    if (status != FERRY_OK)
        return status;
    return queue->alive() ? FERRY_OK : FERRY_E_STALE;
}

} // namespace ferry::capi
