// The rests of the shard's streams: see rest.hpp.
#include "base/assert.hpp"
#include "runtime/rest.hpp"
#include "runtime/shard.hpp"

#include <ferry/status.h>

#include <cstring>

namespace ferry {

using driver::Rest;
using driver::Socket;
using driver::Span;

// A rest up to this size is moved out of its chunk while its stream waits.
static constexpr size_t kSmall = 4096;

// One that is larger and may grow beyond a chunk gets a block of its own.
static constexpr size_t kLarge = Buffers::kChunkSize - Buffers::kSpaceMin;

// Large blocks count as loaded files do: one stream must not take all memory.
void Shard::free_rest_memory(Rest &rest) noexcept {
    if (rest.chunk != nullptr)
        buffers_.drop(rest.chunk);
    else if (rest.block_size > kSmall)
        free_load(rest.block, rest.block_size);
    else if (rest.block != nullptr)
        blocks_.free(rest.block, rest.block_size);
    if (rest.chunk != nullptr && !memory_.empty()) {
        reclaimed_ = true; // Receives that wait for a chunk look again with the next take_in().
        nudge();
    }
    rest.chunk = nullptr;
    rest.block = nullptr;
    rest.block_size = 0;
}

void Shard::free_rest(Socket &socket) noexcept {
    if (socket.rest == nullptr)
        return;
    free_rest_memory(*socket.rest);
    blocks_.free(socket.rest, sizeof(Rest));
    socket.rest = nullptr;
}

void Shard::settle_rest(Socket &socket) noexcept {
    Rest *rest = socket.rest;
    if (rest == nullptr)
        return;
    if (rest->size == 0) {
        free_rest(socket);
        return;
    }
    if (rest->chunk == nullptr || rest->size > kSmall)
        return;
    auto *block = static_cast<char *>(blocks_.allocate(rest->size));
    if (block == nullptr)
        return; // It can stay where it is.
    std::memcpy(block, rest->data, rest->size);
    free_rest_memory(*rest);
    rest->data = rest->block = block;
    rest->block_size = rest->size;
}

int32_t Shard::lend_rest(Socket &socket, size_t size, Lent *lent) noexcept {
    const Rest &rest = *socket.rest;
    FERRY_ASSERT(size <= rest.size && size <= Buffers::kChunkSize);
    lent->data = rest.data;
    if (rest.chunk != nullptr) {
        lent->buffer = buffers_.lend_kept(rest.chunk);
        return lent->buffer != 0 ? FERRY_OK : FERRY_E_FULL;
    }
    Span space;
    if (int32_t status = buffers_.space(&space, size))
        return status;
    std::memcpy(space.data, rest.data, size);
    lent->data = space.data;
    lent->buffer = buffers_.lend(size);
    return FERRY_OK;
}

void Shard::unlend(uint64_t buffer) noexcept {
    buffers_.release(Id{buffer});
    buffers_.reclaim(Id{buffer});
}

bool Shard::receive_rest(Socket &socket) noexcept {
    size_t size = rest(socket).size;
    if (size == 0)
        return false;
    driver::Receive &receive = socket.receive;
    if (receive.memory != nullptr) {
        size = size < receive.size ? size : receive.size;
        std::memcpy(receive.memory, socket.rest->data, size);
    } else {
        size = size < Buffers::kChunkSize ? size : Buffers::kChunkSize;
        Lent lent;
        if (int32_t status = lend_rest(socket, size, &lent)) {
            receive.outcome = {.status = status};
            return true;
        }
        receive.memory = const_cast<void *>(lent.data);
        receive.buffer = lent.buffer;
    }
    drop_rest(socket, size);
    receive.outcome = {.result = static_cast<int64_t>(size)};
    return true;
}

// ---- receiving behind a rest --------------------------------------------------------------------

// In a block of its own, which doubles.
ferry_status Shard::space_in_block(Rest &rest, Span *span) noexcept {
    size_t room = 0;
    if (rest.block != nullptr)
        room = static_cast<size_t>(rest.block + rest.block_size - rest.data) - rest.size;
    if (room < kSmall) {
        void *block;
        size_t size = (rest.size + Buffers::kSpaceMin) * 2;
        if (allocate_load(size, &block).status != FERRY_OK)
            return FERRY_E_NO_MEMORY;
        std::memcpy(block, rest.data, rest.size);
        free_rest_memory(rest);
        rest.data = rest.block = static_cast<char *>(block);
        rest.block_size = size;
        room = size - rest.size;
    }
    *span = {rest.data + rest.size, room};
    rest.behind = true;
    return FERRY_OK;
}

// In a chunk: behind it, or in a place of its own with the bytes before it copied there once more.
ferry_status Shard::space_in_chunk(Rest &rest, Span *span) noexcept {
    *span = rest.chunk != nullptr ? buffers_.behind(rest.chunk, rest.data + rest.size) : Span{};
    rest.behind = span->size >= kSmall;
    if (rest.behind)
        return FERRY_OK;
    size_t least = rest.size < kLarge ? rest.size + Buffers::kSpaceMin : Buffers::kChunkSize;
    if (ferry_status status = buffers_.space(span, least))
        return status;
    if (rest.size != 0)
        std::memcpy(span->data, rest.data, rest.size);
    *span = {static_cast<char *>(span->data) + rest.size, span->size - rest.size};
    return FERRY_OK;
}

ferry_status Shard::gather_space(Socket &socket, Span *span) noexcept {
    if (socket.rest == nullptr) {
        void *memory = blocks_.allocate(sizeof(Rest));
        if (memory == nullptr)
            return FERRY_E_NO_MEMORY;
        socket.rest = ::new (memory) Rest();
    }
    Rest &rest = *socket.rest;
    bool beyond = rest.size >= kLarge &&
                  (socket.receive.size > Buffers::kChunkSize || !socket.receive.gather);
    ferry_status status = beyond ? space_in_block(rest, span) : space_in_chunk(rest, span);
    // It may be its own rest that keeps the last chunk busy.
    if (status == FERRY_E_FULL && rest.chunk != nullptr && space_in_block(rest, span) == FERRY_OK)
        status = FERRY_OK;
    rest.space = static_cast<char *>(span->data);
    return status;
}

void Shard::gather(Rest &rest, size_t used) noexcept {
    if (rest.behind) {
        if (rest.chunk != nullptr)
            buffers_.grow(used);
    } else {
        char *data = rest.space - rest.size;
        void *chunk = buffers_.keep(rest.size + used);
        free_rest_memory(rest);
        rest.chunk = chunk;
        rest.data = data;
    }
    rest.size += used;
}

// ---- driver::Host -------------------------------------------------------------------------------

ferry_status Shard::space_for(Socket &socket, Span *span) noexcept {
    return socket.receive.gather ? gather_space(socket, span)
                                 : buffers_.space(span, Buffers::kSpaceMin);
}

Span Shard::lend_space(Socket &stream, int32_t *status) noexcept {
    Span span;
    *status = space_for(stream, &span);
    if (*status != FERRY_OK && buffers_.take_back())
        *status = space_for(stream, &span);
    return span;
}

driver::Host::Piece Shard::take_piece() noexcept {
    return buffers_.take_piece();
}

uint64_t Shard::lend_piece(const Piece &piece) noexcept {
    uint64_t id = buffers_.lend_kept(piece.owner);
    if (id != 0)
        buffers_.drop(piece.owner); // The one that lent it counts now.
    return id;
}

void Shard::drop_piece(const Piece &piece) noexcept {
    buffers_.drop(piece.owner);
}

bool Shard::keep(Socket &stream, const void *data, size_t size) noexcept {
    const char *from = static_cast<const char *>(data);
    while (size != 0) {
        Span span;
        if (gather_space(stream, &span) != FERRY_OK)
            return false;
        size_t part = size < span.size ? size : span.size;
        std::memcpy(span.data, from, part);
        gather(*stream.rest, part);
        from += part;
        size -= part;
    }
    return true;
}

uint64_t Shard::lend(Socket &stream, size_t used) noexcept {
    if (!stream.receive.gather)
        return buffers_.lend(used);
    gather(*stream.rest, used);
    return 0;
}

} // namespace ferry
