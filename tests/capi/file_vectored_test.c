/* Reading into and writing from several pieces of memory at once. */
#include "files.h"

#include <stdlib.h>
#include <string.h>

enum { READ = FERRY_OPEN_READ, WRITE = FERRY_OPEN_WRITE, BOTH = READ | WRITE };
enum { CREATE = FERRY_OPEN_CREATE, MOST = FERRY_SLICES_MAX, PIECE = 13 };

static ferry_completion transfer(fixture *f, bool writes, ferry_handle file,
                                 const ferry_slice *slices, size_t count, uint64_t offset) {
    ferry_request request;
    if (writes) {
        ferry_prepare_file_write_vectored(&request, file, slices, count, offset);
    } else {
        ferry_prepare_file_read_vectored(&request, file, slices, count, offset);
    }
    return fixture_do(f, &request);
}

static void pieces_lie_behind_each_other(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle file = file_open(f, fixture_path(f, "file"), BOTH | CREATE);
    char a[3];
    char b[5];
    const ferry_slice out[] = {{{"ab"}, 2}, {{NULL}, 0}, {{"cdef"}, 4}, {{"g"}, 0}, {{"hi"}, 2}};
    const ferry_slice in[] = {{{NULL}, 0}, {{a}, 3}, {{b}, 5}, {{NULL}, 0}};
    ferry_completion done = transfer(f, true, file, out, 5, 2);
    file_expect(&done, FERRY_OK, 0, 8);
    file_holds(fixture_path(f, "file"), "\0\0abcdefhi", 10);
    done = transfer(f, false, file, in, 4, 2);
    file_expect(&done, FERRY_OK, 0, 8);
    assert_memory_equal(a, "abc", 3);
    assert_memory_equal(b, "defhi", 5);
    /* The file ends within a piece. */
    done = transfer(f, false, file, in, 4, 5);
    file_expect(&done, FERRY_OK, 0, 5);
    assert_memory_equal(a, "def", 3);
    assert_memory_equal(b, "hifhi", 5);
    done = transfer(f, false, file, in, 4, 10);
    file_expect(&done, FERRY_OK, 0, 0);
}

static void the_position_moves(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle file = file_open(f, fixture_path(f, "file"), BOTH | CREATE);
    const ferry_slice out[] = {{{"12"}, 2}, {{"345"}, 3}};
    ferry_completion done = transfer(f, true, file, out, 2, FERRY_AT_POSITION);
    file_expect(&done, FERRY_OK, 0, 5);
    done = transfer(f, true, file, out, 2, FERRY_AT_POSITION);
    file_expect(&done, FERRY_OK, 0, 5);
    file_holds(fixture_path(f, "file"), "1234512345", 10);
    char a[8];
    const ferry_slice in[] = {{{a}, 2}, {{a + 2}, 2}};
    done = transfer(f, false, file, in, 2, FERRY_AT_POSITION);
    file_expect(&done, FERRY_OK, 0, 0);
    ferry_handle append = file_open(f, fixture_path(f, "file"), WRITE | FERRY_OPEN_APPEND);
    done = transfer(f, true, append, out, 2, 0);
    file_expect(&done, FERRY_OK, 0, 5);
    file_holds(fixture_path(f, "file"), "123451234512345", 15);
}

static void as_many_as_there_may_be(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle file = file_open(f, fixture_path(f, "file"), BOTH | CREATE);
    unsigned char *data = fixture_memory(f, (size_t)MOST * PIECE);
    ferry_slice *slices = fixture_memory(f, MOST * sizeof *slices);
    for (size_t i = 0; i < MOST; i++) {
        slices[i].data = data + i * PIECE;
        slices[i].size = PIECE;
    }
    pattern_fill(data, (size_t)MOST * PIECE, 0);
    ferry_completion done = transfer(f, true, file, slices, MOST, 0);
    file_expect(&done, FERRY_OK, 0, (int64_t)MOST * PIECE);
    memset(data, 0, (size_t)MOST * PIECE);
    done = transfer(f, false, file, slices, MOST, 0);
    file_expect(&done, FERRY_OK, 0, (int64_t)MOST * PIECE);
    assert_true(pattern_matches(data, (size_t)MOST * PIECE, 0));
}

/* Larger than the system takes in one call, which is just under 2 GiB: the same memory again and again,
 * out of nothing and into nothing. */
static void more_than_one_call_takes(void **state) {
    fixture *f = fixture_open(state);
    enum { CHUNK = 1 << 22, COUNT = 600 };
    char *memory = fixture_memory(f, CHUNK);
    ferry_slice slices[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        slices[i] = (ferry_slice){{memory}, CHUNK};
    }
    ferry_handle null = file_open(f, "/dev/null", WRITE);
    ferry_completion done = transfer(f, true, null, slices, COUNT, 0);
    file_expect(&done, FERRY_OK, 0, (int64_t)COUNT * CHUNK);

    /* A file of holes costs nothing; the last byte shows that it was read to its end. */
    ferry_handle holes = file_open(f, fixture_path(f, "holes"), BOTH | CREATE);
    ferry_completion last = file_write(f, holes, "x", 1, (uint64_t)COUNT * CHUNK - 1);
    file_expect(&last, FERRY_OK, 0, 1);
    done = transfer(f, false, holes, slices, COUNT, 0);
    file_expect(&done, FERRY_OK, 0, (int64_t)COUNT * CHUNK);
    assert_int_equal(memory[CHUNK - 1], 'x');
    /* A device is asked once, however much is wanted. */
    ferry_handle zero = file_open(f, "/dev/zero", READ);
    done = transfer(f, false, zero, slices, COUNT, 0);
    assert_status(done.status, FERRY_OK);
    assert_in_range(done.result, 1, 1 << 30);
}

static void the_array_may_change_after_submit(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_path(f, "file");
    ferry_handle file = file_open(f, path, BOTH | CREATE);
    for (size_t count = 1; count <= 9;
         count++) { /* Those that lie in the slot and those that do not. */
        ferry_slice *slices = malloc(count * sizeof *slices);
        REQUIRE(slices != NULL);
        for (size_t i = 0; i < count; i++) {
            slices[i] = (ferry_slice){{"abc"}, 3};
        }
        ferry_request request;
        ferry_prepare_file_write_vectored(&request, file, slices, count, (count - 1) * 3);
        ferry_op op = fixture_submit(f, &request);
        memset(slices, 0xff, count * sizeof *slices);
        free(slices);
        ferry_completion done = fixture_final(f, op);
        file_expect(&done, FERRY_OK, 0, (int64_t)count * 3);
    }
    unsigned char all[51];
    ferry_completion done = file_read(f, file, all, sizeof all, 0);
    file_expect(&done, FERRY_OK, 0, sizeof all);
    for (size_t i = 0; i < sizeof all; i++) {
        assert_int_equal(all[i], "abc"[i % 3]);
    }
}

static void expect_refused(fixture *f, const ferry_slice *slices, size_t count, uint64_t offset) {
    ferry_request request;
    ferry_handle file = file_open(f, "/dev/null", BOTH);
    ferry_prepare_file_read_vectored(&request, file, slices, count, offset);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_file_write_vectored(&request, file, slices, count, offset);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
}

static void odd_values_are_refused(void **state) {
    fixture *f = fixture_open(state);
    static char memory[16];
    static const ferry_slice good = {{memory}, 16};
    static const ferry_slice nothing[2];
    static const ferry_slice none[] = {{{memory}, 16}, {{NULL}, 1}};
    static const ferry_slice huge[] = {{{memory}, INT64_MAX}, {{memory}, 1}};
    static const ferry_slice wrapping[] = {{{memory}, UINT64_MAX}, {{memory}, 2}};
    expect_refused(f, NULL, 1, 0);
    expect_refused(f, &good, 0, 0);
    expect_refused(f, &good, MOST + 1, 0);
    expect_refused(f, &good, SIZE_MAX, 0);
    expect_refused(f, nothing, 2, 0);
    expect_refused(f, none, 2, 0);
    expect_refused(f, huge, 2, 0);
    expect_refused(f, wrapping, 2, 0);
    expect_refused(f, &good, 1, INT64_MAX - 15);
    expect_refused(f, &good, 1, (uint64_t)INT64_MAX + 1);
    expect_refused(f, &good, 1, UINT64_MAX - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(pieces_lie_behind_each_other),      ON_EACH_SHARDS(the_position_moves),
        ON_EACH_SHARDS(as_many_as_there_may_be),           ON_HOST(more_than_one_call_takes),
        ON_EACH_SHARDS(the_array_may_change_after_submit), ON_EACH_SHARDS(odd_values_are_refused),
    };
    return RUN_SUITE(tests);
}
