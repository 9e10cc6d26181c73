// Ids: every field comes back as it was put in, and generations age across their wrap.
#include "base/id.hpp"
#include "unit.hpp"

#include <iterator>

using ferry::Age;
using ferry::age_of;
using ferry::Id;
using ferry::kEngineMask;
using ferry::kGenerationMask;
using ferry::Kind;
using ferry::kShardsMax;
using ferry::kSlotsMax;

namespace {

void fields_come_back(void **) {
    constexpr Kind kKinds[] = {Kind::none, Kind::op, Kind::buffer, Kind::listener, Kind::stream};
    unit::Random random = unit::random();
    for (int i = 0; i < 100000; ++i) {
        Kind kind = kKinds[random.below(std::size(kKinds))];
        auto engine = static_cast<uint32_t>(random.of_any_size(9));
        auto shard = static_cast<uint32_t>(random.of_any_size(6));
        auto generation = static_cast<uint32_t>(random.of_any_size(22));
        auto slot = static_cast<uint32_t>(random.of_any_size(22));
        Id id = Id::make(kind, engine, shard, generation, slot);
        assert_int_equal(static_cast<uint32_t>(id.kind()), static_cast<uint32_t>(kind));
        assert_int_equal(id.engine(), engine);
        assert_int_equal(id.shard(), shard);
        assert_int_equal(id.generation(), generation);
        assert_int_equal(id.slot(), slot);
    }
}

void largest_fields_do_not_run_into_each_other(void **) {
    Id id = Id::make(Kind::stream, kEngineMask, 0, kGenerationMask, 0);
    assert_int_equal(id.engine(), kEngineMask);
    assert_int_equal(id.shard(), 0);
    assert_int_equal(id.generation(), kGenerationMask);
    assert_int_equal(id.slot(), 0);
    id = Id::make(Kind::stream, 0, kShardsMax - 1, 0, kSlotsMax);
    assert_int_equal(static_cast<uint32_t>(id.kind()), static_cast<uint32_t>(Kind::stream));
    assert_int_equal(id.engine(), 0);
    assert_int_equal(id.shard(), kShardsMax - 1);
    assert_int_equal(id.generation(), 0);
    assert_int_equal(id.slot(), kSlotsMax);
}

void no_id_of_a_thing_is_none(void **) {
    // 0 is FERRY_NONE: the kind alone must keep the very first of everything from being that.
    for (Kind kind : {Kind::op, Kind::buffer, Kind::listener, Kind::stream})
        assert_true(Id::make(kind, 0, 0, 0, 0).value != 0);
}

void a_generation_that_has_wrapped_begins_anew(void **) {
    assert_int_equal(Id::make(Kind::op, 0, 0, kGenerationMask + 1, 7).generation(), 0);
    assert_int_equal(Id::make(Kind::op, 0, 0, kGenerationMask + 1, 7).slot(), 7);
}

void generations_age(void **) {
    assert_true(age_of(5, 5) == Age::current);
    assert_true(age_of(4, 5) == Age::passed);
    assert_true(age_of(6, 5) == Age::never_issued);
    // Across the wrap.
    assert_true(age_of(kGenerationMask, 0) == Age::passed);
    assert_true(age_of(0, kGenerationMask) == Age::never_issued);
    // Half of them are the past, half the future.
    assert_true(age_of(0, kGenerationMask / 2) == Age::passed);
    assert_true(age_of(0, kGenerationMask / 2 + 1) == Age::never_issued);
    assert_true(age_of(100, (100 + kGenerationMask / 2) & kGenerationMask) == Age::passed);
}

void age_depends_on_the_distance_alone(void **) {
    unit::Random random = unit::random();
    for (int i = 0; i < 100000; ++i) {
        auto now = static_cast<uint32_t>(random.next()) & kGenerationMask;
        auto behind = static_cast<uint32_t>(random.of_any_size(22));
        Age age = age_of((now - behind) & kGenerationMask, now);
        if (behind == 0)
            assert_true(age == Age::current);
        else if (behind <= kGenerationMask / 2)
            assert_true(age == Age::passed);
        else
            assert_true(age == Age::never_issued);
    }
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(fields_come_back),         UNIT_TEST(largest_fields_do_not_run_into_each_other),
        UNIT_TEST(no_id_of_a_thing_is_none), UNIT_TEST(a_generation_that_has_wrapped_begins_anew),
        UNIT_TEST(generations_age),          UNIT_TEST(age_depends_on_the_distance_alone),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
