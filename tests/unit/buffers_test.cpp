// Lent buffers: where pieces lie, when a chunk is used again, exact releases, and the ceilings.
#include "runtime/buffers.hpp"
#include "unit.hpp"

#include <ferry/status.h>

#include <cstring>
#include <thread>
#include <vector>

using ferry::Buffers;
using ferry::Id;
using ferry::Kind;
using ferry::LoadBudget;

namespace {

constexpr uint32_t kEngine = 3;
constexpr uint32_t kShard = 2;
constexpr size_t kChunk = 65536;
// Slots there are beside 16 for each chunk.
constexpr uint32_t kSlotsBeside = 16384;

struct Piece {
    char *data = nullptr;
    uint64_t id = 0;
};

// Buffers with so many chunks, on a heap that counts.
struct World {
    explicit World(uint64_t chunks, uint64_t load_bytes_max = UINT64_MAX)
        : allocator(heap.allocator()), file_allocator(files.allocator()), blocks(file_allocator),
          loads(load_bytes_max), buffers(allocator, blocks, loads, kEngine, kShard) {
        assert_true(buffers.open(chunks * kChunk));
        blocks_at_first = heap.blocks();
    }

    uint64_t chunks_made() const { return heap.blocks() - blocks_at_first; }

    // As a receive does: be offered room, take so much of it.
    Piece receive(size_t used) {
        ferry::driver::Span span;
        if (buffers.space(&span) != FERRY_OK) {
            assert_null(span.data);
            return {};
        }
        assert_true(used <= span.size);
        return {static_cast<char *>(span.data), buffers.lend(used)};
    }

    // As a file load does.
    uint64_t load(size_t size) {
        if (!loads.take(size))
            return 0;
        return buffers.lend_block(blocks.allocate(size), size);
    }

    // As the shard's own thread does.
    ferry_status release(uint64_t id) {
        ferry_status status = buffers.release(Id{id});
        if (status == FERRY_OK)
            buffers.reclaim(Id{id});
        return status;
    }

    unit::Heap heap;
    ferry::Allocator allocator;
    unit::Heap files; // Of its own, so that chunks can be counted.
    ferry::Allocator file_allocator;
    ferry::BlockCache blocks;
    LoadBudget loads;
    Buffers buffers;
    uint64_t blocks_at_first;
};

// ---- chunks -------------------------------------------------------------------------------------

void pieces_lie_close_together_on_their_own_lines(void **) {
    World world(4);
    Piece first = world.receive(1);
    Piece second = world.receive(64);
    Piece third = world.receive(65);
    Piece fourth = world.receive(1);
    assert_ptr_equal(second.data, first.data + 64);
    assert_ptr_equal(third.data, second.data + 64);
    assert_ptr_equal(fourth.data, third.data + 128);
    assert_int_equal(world.buffers.lent(), 4);
    assert_int_equal(world.chunks_made(), 1);
    Id id{second.id};
    assert_int_equal(static_cast<uint32_t>(id.kind()), static_cast<uint32_t>(Kind::buffer));
    assert_int_equal(id.engine(), kEngine);
    assert_int_equal(id.shard(), kShard);
}

void a_receive_is_offered_enough(void **) {
    World world(4);
    ferry::driver::Span span;
    assert_int_equal(world.buffers.space(&span), FERRY_OK);
    assert_int_equal(span.size, kChunk);
    // Offered and not taken: nothing has happened.
    assert_int_equal(world.buffers.space(&span), FERRY_OK);
    assert_int_equal(span.size, kChunk);
    world.receive(kChunk - 16384);
    assert_int_equal(world.buffers.space(&span), FERRY_OK);
    assert_int_equal(span.size, 16384);
    world.receive(1);
    // What is left now is too little: a fresh chunk.
    assert_int_equal(world.buffers.space(&span), FERRY_OK);
    assert_int_equal(span.size, kChunk);
    assert_int_equal(world.chunks_made(), 2);
}

void kept_bytes_grow_and_are_lent_in_parts(void **) {
    World world(2);
    ferry::driver::Span span;
    assert_int_equal(world.buffers.space(&span), FERRY_OK);
    char *data = static_cast<char *>(span.data);
    void *chunk = world.buffers.keep(100);
    assert_int_equal(world.buffers.lent(), 0);
    // Right behind them, as long as nothing else has come there.
    span = world.buffers.behind(chunk, data + 100);
    assert_ptr_equal(span.data, data + 100);
    assert_int_equal(span.size, kChunk - 100);
    world.buffers.grow(50);
    assert_null(world.buffers.behind(chunk, data + 100).data);
    assert_non_null(world.buffers.behind(chunk, data + 150).data);
    uint64_t first = world.buffers.lend_kept(chunk);
    uint64_t second = world.buffers.lend_kept(chunk);
    assert_int_equal(world.buffers.lent(), 2);
    Piece other = world.receive(10);
    assert_ptr_equal(other.data, data + 192);
    assert_null(world.buffers.behind(chunk, data + 150).data);
    // The chunk starts over when all of them are gone, and not before.
    assert_int_equal(world.release(first), FERRY_OK);
    assert_int_equal(world.release(other.id), FERRY_OK);
    world.buffers.drop(chunk);
    assert_int_equal(world.buffers.space(&span), FERRY_OK);
    assert_ptr_not_equal(span.data, data);
    assert_int_equal(world.release(second), FERRY_OK);
    assert_int_equal(world.buffers.space(&span), FERRY_OK);
    assert_ptr_equal(span.data, data);
    assert_int_equal(world.chunks_made(), 1);
}

void kept_bytes_hold_their_chunk(void **) {
    World world(1);
    ferry::driver::Span span;
    assert_int_equal(world.buffers.space(&span), FERRY_OK);
    void *chunk = world.buffers.keep(kChunk);
    assert_int_equal(world.buffers.space(&span), FERRY_E_FULL);
    world.buffers.drop(chunk);
    assert_int_equal(world.buffers.space(&span, kChunk), FERRY_OK);
    assert_int_equal(span.size, kChunk);
}

void a_whole_chunk_can_be_lent(void **) {
    World world(2);
    Piece first = world.receive(kChunk);
    std::memset(first.data, 1, kChunk);
    Piece second = world.receive(kChunk - 1); // Rounded up to the chunk's end, not beyond.
    std::memset(second.data, 2, kChunk);
    assert_null(world.receive(1).data);
    assert_int_equal(world.release(second.id), FERRY_OK);
    assert_int_equal(world.release(first.id), FERRY_OK);
    assert_non_null(world.receive(1).data);
}

void the_current_chunk_starts_over_at_once(void **) {
    World world(4);
    Piece first = world.receive(1000);
    Piece second = world.receive(1000);
    assert_int_equal(world.release(first.id), FERRY_OK);
    Piece third = world.receive(1000);
    assert_true(third.data > second.data); // One piece is still out.
    assert_int_equal(world.release(third.id), FERRY_OK);
    assert_int_equal(world.release(second.id), FERRY_OK);
    assert_ptr_equal(world.receive(1000).data, first.data);
    assert_int_equal(world.chunks_made(), 1);
}

void an_idle_engine_stays_in_one_chunk(void **) {
    World world(4);
    for (int i = 0; i < 10000; ++i) {
        Piece piece = world.receive(5000);
        assert_non_null(piece.data);
        assert_int_equal(world.release(piece.id), FERRY_OK);
    }
    assert_int_equal(world.chunks_made(), 1);
    assert_int_equal(world.buffers.lent(), 0);
}

void a_chunk_comes_back_with_its_last_piece(void **) {
    World world(2);
    Piece pieces[4] = {world.receive(40000), world.receive(10000), world.receive(40000),
                       world.receive(10000)};
    for (const Piece &piece : pieces)
        assert_non_null(piece.data);
    assert_int_equal(world.chunks_made(), 2);
    assert_null(world.receive(1).data);
    assert_int_equal(world.release(pieces[0].id), FERRY_OK);
    assert_null(world.receive(1).data); // Its other piece is still out.
    assert_int_equal(world.release(pieces[1].id), FERRY_OK);
    Piece again = world.receive(1);
    assert_ptr_equal(again.data, pieces[0].data);
    assert_int_equal(world.chunks_made(), 2);
}

void a_refused_chunk_is_no_room_and_passes(void **) {
    World world(2);
    world.heap.refuse(true);
    assert_null(world.receive(1).data);
    world.heap.refuse(false);
    assert_non_null(world.receive(1).data);
}

// ---- releases -----------------------------------------------------------------------------------

void a_release_is_exact(void **) {
    World world(2);
    Piece piece = world.receive(100);
    Id id{piece.id};
    uint32_t far = kSlotsBeside * 4;
    // Slots that were never lent, by a little and by a lot; a generation that is still to come.
    Id next = Id::make(Kind::buffer, kEngine, kShard, id.generation(), id.slot() + 1);
    Id beyond = Id::make(Kind::buffer, kEngine, kShard, id.generation(), far);
    Id future = Id::make(Kind::buffer, kEngine, kShard, id.generation() + 1, id.slot());
    assert_int_equal(world.buffers.release(next), FERRY_E_BAD_HANDLE);
    assert_int_equal(world.buffers.release(beyond), FERRY_E_BAD_HANDLE);
    assert_int_equal(world.buffers.release(future), FERRY_E_BAD_HANDLE);
    assert_int_equal(world.buffers.lent(), 1);
    assert_int_equal(world.release(id.value), FERRY_OK);
    assert_int_equal(world.buffers.lent(), 0);
    assert_int_equal(world.release(id.value), FERRY_E_STALE);
    // The slot's next generation has not been lent yet.
    assert_int_equal(world.buffers.release(future), FERRY_E_BAD_HANDLE);
    Piece again = world.receive(100);
    assert_int_equal(Id{again.id}.slot(), id.slot());
    assert_true(again.id != id.value);
    assert_int_equal(world.release(id.value), FERRY_E_STALE);
    assert_int_equal(world.release(again.id), FERRY_OK);
}

void what_others_hand_back_is_taken_in_later(void **) {
    World world(1);
    Piece piece = world.receive(kChunk);
    assert_false(world.buffers.handed_back());
    assert_int_equal(world.buffers.release(Id{piece.id}), FERRY_OK);
    world.buffers.hand_back(Id{piece.id});
    assert_true(world.buffers.handed_back());
    assert_int_equal(world.buffers.release(Id{piece.id}), FERRY_E_STALE);
    assert_null(world.receive(1).data);
    assert_true(world.buffers.take_back());
    assert_false(world.buffers.take_back());
    assert_int_equal(world.buffers.lent(), 0);
    assert_non_null(world.receive(1).data);
}

void of_many_threads_exactly_one_releases(void **) {
    constexpr uint32_t kReleasers = 4;
    constexpr uint32_t kPieces = 64;
    World world(16);
    std::atomic<uint64_t> ids[kPieces] = {};
    std::atomic<bool> over{false};
    std::atomic<uint64_t> released{0};
    std::atomic<uint64_t> refused{0};
    std::atomic<uint64_t> mistakes{0};
    std::vector<std::thread> releasers;
    for (uint32_t releaser = 0; releaser < kReleasers; ++releaser) {
        releasers.emplace_back([&, releaser] {
            unit::Random random(unit::run_seed() + releaser);
            while (!over.load()) {
                // Nobody tells the others: two often take the same, and ids of the past come, too.
                uint64_t id = ids[random.below(kPieces)].load();
                if (id == 0)
                    continue;
                ferry_status status = world.buffers.release(Id{id});
                if (status == FERRY_OK) {
                    world.buffers.hand_back(Id{id});
                    released.fetch_add(1);
                } else if (status == FERRY_E_STALE) {
                    refused.fetch_add(1);
                } else {
                    mistakes.fetch_add(1);
                }
            }
        });
    }
    unit::Random random = unit::random();
    const uint64_t count = unit::rounds(200000);
    uint64_t lent = 0;
    while (lent < count) {
        size_t used = 1 + random.of_any_size(13);
        Piece piece;
        if (random.one_in(10))
            piece.id = world.load(used);
        else
            piece = world.receive(used);
        if (world.buffers.take_back() && random.one_in(2))
            std::this_thread::yield();
        if (piece.id == 0) {
            std::this_thread::yield();
            continue;
        }
        if (piece.data != nullptr)
            std::memset(piece.data, static_cast<int>(lent), used);
        ++lent;
        uint64_t before = ids[random.below(kPieces)].exchange(piece.id);
        // What nobody had released before it fell off the table is released here.
        if (before != 0 && world.buffers.release(Id{before}) == FERRY_OK) {
            world.buffers.reclaim(Id{before});
            released.fetch_add(1);
            // On a busy machine the others may never come to meet one that is released already.
            (world.buffers.release(Id{before}) == FERRY_E_STALE ? refused : mistakes).fetch_add(1);
        }
    }
    over.store(true);
    for (std::thread &releaser : releasers)
        releaser.join();
    for (std::atomic<uint64_t> &id : ids) {
        if (id.load() != 0 && world.release(id.load()) == FERRY_OK)
            released.fetch_add(1);
    }
    world.buffers.take_back();
    assert_int_equal(mistakes.load(), 0);
    assert_int_equal(released.load(), lent);
    assert_true(refused.load() > 0); // Or this was no test.
    assert_int_equal(world.buffers.lent(), 0);
    assert_int_equal(world.loads.taken(), 0);
    assert_true(world.chunks_made() <= 16);
}

// ---- loaded files and ceilings ------------------------------------------------------------------

void a_loaded_file_is_freed_when_it_is_released(void **) {
    World world(1, 1000);
    uint64_t id = world.load(600);
    assert_true(id != 0);
    assert_int_equal(world.loads.taken(), 600);
    assert_int_equal(world.files.blocks(), 1);
    assert_int_equal(world.load(500), 0); // Too much together.
    assert_int_equal(world.release(id), FERRY_OK);
    assert_int_equal(world.loads.taken(), 0);
    assert_int_equal(world.chunks_made(), 0); // No chunk was needed.
    assert_true(world.load(600) != 0);
    assert_int_equal(world.files.blocks(), 1); // The same one.
}

void what_was_never_released_goes_with_the_engine(void **) {
    unit::Heap heap;
    ferry::Allocator allocator = heap.allocator();
    LoadBudget loads(UINT64_MAX);
    {
        ferry::BlockCache blocks(allocator);
        Buffers buffers(allocator, blocks, loads, kEngine, kShard);
        assert_true(buffers.open(2 * kChunk));
        ferry::driver::Span span;
        assert_int_equal(buffers.space(&span), FERRY_OK);
        buffers.lend(100);
        for (size_t bytes : {size_t{1}, size_t{100000}, size_t{500}}) {
            assert_true(loads.take(bytes));
            uint64_t id = buffers.lend_block(blocks.allocate(bytes), bytes);
            // One is on its way back and will not be taken in any more.
            if (bytes == 500) {
                assert_int_equal(buffers.release(Id{id}), FERRY_OK);
                buffers.hand_back(Id{id});
            }
        }
    }
    assert_int_equal(heap.blocks(), 0);
    assert_int_equal(heap.wrong_sizes(), 0);
    assert_int_equal(loads.taken(), 0);
}

void slots_are_a_ceiling_too(void **) {
    World world(1);
    const uint32_t slots = 16 + kSlotsBeside;
    std::vector<uint64_t> ids;
    for (uint32_t i = 0; i < slots; ++i) {
        ids.push_back(world.load(1));
        assert_true(ids.back() != 0);
    }
    char refused;
    assert_int_equal(world.buffers.lend_block(&refused, 1), 0);
    assert_int_equal(world.buffers.lent(), slots);
    assert_null(world.receive(1).data); // There is memory, but nothing to name it by.
    assert_int_equal(world.release(ids[slots / 2]), FERRY_OK);
    assert_non_null(world.receive(1).data);
    assert_null(world.receive(1).data);
}

void the_budget_is_exact(void **) {
    LoadBudget budget(100);
    assert_false(budget.take(101));
    assert_false(budget.take(UINT64_MAX));
    assert_int_equal(budget.taken(), 0);
    assert_true(budget.take(100));
    assert_false(budget.take(1));
    assert_true(budget.take(0));
    budget.give(100);
    assert_true(budget.take(60));
    assert_false(budget.take(41));
    assert_true(budget.take(40));
    assert_int_equal(budget.taken(), 100);
}

void the_budget_holds_against_many_threads(void **) {
    constexpr uint64_t kMax = 1000;
    LoadBudget budget(kMax);
    std::atomic<uint64_t> held{0};
    std::atomic<uint64_t> overdrawn{0};
    std::atomic<uint64_t> granted{0};
    std::vector<std::thread> takers;
    for (uint32_t taker = 0; taker < 4; ++taker) {
        takers.emplace_back([&, taker] {
            unit::Random random(unit::run_seed() + taker);
            for (uint64_t i = 0; i < unit::rounds(200000); ++i) {
                uint64_t bytes = 1 + random.below(kMax / 2);
                if (!budget.take(bytes))
                    continue;
                granted.fetch_add(1);
                if (held.fetch_add(bytes) + bytes > kMax)
                    overdrawn.fetch_add(1);
                if (random.one_in(16))
                    std::this_thread::yield();
                held.fetch_sub(bytes);
                budget.give(bytes);
            }
        });
    }
    for (std::thread &taker : takers)
        taker.join();
    assert_int_equal(overdrawn.load(), 0);
    assert_true(granted.load() > 0);
    assert_int_equal(budget.taken(), 0);
    assert_true(budget.take(kMax));
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(pieces_lie_close_together_on_their_own_lines),
        UNIT_TEST(a_receive_is_offered_enough),
        UNIT_TEST(kept_bytes_grow_and_are_lent_in_parts),
        UNIT_TEST(kept_bytes_hold_their_chunk),
        UNIT_TEST(a_whole_chunk_can_be_lent),
        UNIT_TEST(the_current_chunk_starts_over_at_once),
        UNIT_TEST(an_idle_engine_stays_in_one_chunk),
        UNIT_TEST(a_chunk_comes_back_with_its_last_piece),
        UNIT_TEST(a_refused_chunk_is_no_room_and_passes),
        UNIT_TEST(a_release_is_exact),
        UNIT_TEST(what_others_hand_back_is_taken_in_later),
        UNIT_TEST(of_many_threads_exactly_one_releases),
        UNIT_TEST(a_loaded_file_is_freed_when_it_is_released),
        UNIT_TEST(what_was_never_released_goes_with_the_engine),
        UNIT_TEST(slots_are_a_ceiling_too),
        UNIT_TEST(the_budget_is_exact),
        UNIT_TEST(the_budget_holds_against_many_threads),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
