/*
 * The simulated disks: every operation on files, what befalls them, and what a crash leaves.
 *
 * Each test runs under a number of seeds: what the seed leaves to chance must not matter to it.
 */
#include "files.h"
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RW = FERRY_OPEN_READ | FERRY_OPEN_WRITE, MAKE = RW | FERRY_OPEN_CREATE };

static void put(fixture *f, const char *path, const char *text) {
    assert_status(ferry_sim_put_file(f->engine, path, text, strlen(text)), FERRY_OK);
}

/* Fail unless the file at path holds this. */
static void holds(fixture *f, const char *path, const char *text) {
    char found[1024];
    size_t size;
    assert_status(ferry_sim_get_file(f->engine, path, found, sizeof found, &size), FERRY_OK);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(found, text, size);
}

static void slow(fixture *f, ferry_sim_disk disk) {
    disk.struct_size = sizeof disk;
    assert_status(ferry_sim_set_disk(f->engine, FERRY_SIM_EVERY, &disk), FERRY_OK);
}

/* The next so many calls of these kinds fail with FERRY_E_IO, after some have passed. */
static void fail_once(fixture *f, uint32_t calls, uint64_t skip) {
    sim_fault(f, (ferry_sim_fault){.calls = calls,
                                   .host = FERRY_SIM_EVERY,
                                   .status = FERRY_E_IO,
                                   .skip = skip,
                                   .times = 1});
}

/* How long something takes. */
static uint64_t time_of(fixture *f, const ferry_request *request) {
    uint64_t begin = sim_now(f);
    assert_status(sim_do(f, request).status, FERRY_OK);
    return sim_now(f) - begin;
}

static void expect(fixture *f, const ferry_request *request, ferry_status status, int os_error) {
    ferry_completion completion = sim_do(f, request);
    assert_status(completion.status, status);
    assert_int_equal(completion.os_error, os_error);
}

/* --- From outside the world ---------------------------------------------------------------- */

static void disks_are_filled_and_looked_at(fixture *f) {
    ferry_engine *engine = f->engine;
    put(f, "/folder/sub/file", "old");
    put(f, "/folder/sub/file", "new");
    holds(f, "folder/./sub/../sub/file", "new");
    char two[2];
    size_t size;
    assert_status(ferry_sim_get_file(engine, "/folder/sub/file", two, 2, &size), FERRY_OK);
    assert_int_equal(size, 3);
    assert_memory_equal(two, "ne", 2);
    put(f, "//one/file", "one's");
    put(f, "//two/file", "two's");
    holds(f, "//one/file", "one's");
    holds(f, "//localhost/folder/sub/file", "new");
    assert_status(ferry_sim_get_file(engine, "/file", NULL, 0, NULL), FERRY_E_NOT_FOUND);
    assert_status(ferry_sim_put_file(engine, "//three/file", "", 0), FERRY_E_NOT_FOUND);
    assert_status(ferry_sim_put_file(engine, "/folder", "", 0), FERRY_E_IS_DIRECTORY);
    assert_status(ferry_sim_put_file(engine, "/empty/", "", 0), FERRY_OK);
    assert_status(ferry_sim_put_file(engine, "/empty/", "x", 1), FERRY_E_IS_DIRECTORY);
    assert_status(ferry_sim_put_file(engine, "/folder/sub/file/x", "", 0), FERRY_E_NOT_DIRECTORY);
    assert_status(ferry_sim_put_file(engine, "/x", NULL, 1), FERRY_E_INVALID);
    assert_status(ferry_sim_get_file(engine, "/empty", NULL, 0, NULL), FERRY_E_IS_DIRECTORY);
    char long_name[300];
    memset(long_name, 'n', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    assert_status(ferry_sim_put_file(engine, long_name, "", 0), FERRY_E_NAME_TOO_LONG);
    assert_status(ferry_sim_get_file(engine, long_name, NULL, 0, NULL), FERRY_E_NAME_TOO_LONG);
    assert_status(ferry_sim_remove_file(engine, long_name), FERRY_E_NAME_TOO_LONG);
    assert_status(ferry_sim_remove_file(engine, "/folder"), FERRY_E_EXISTS);
    assert_status(ferry_sim_remove_file(engine, "/empty/"), FERRY_OK);
    assert_status(ferry_sim_remove_file(engine, "//two/file"), FERRY_OK);
    assert_status(ferry_sim_remove_file(engine, "//two/file"), FERRY_E_NOT_FOUND);
}

/* --- Every operation ----------------------------------------------------------------------- */

static void files_are_written_and_read(fixture *f) {
    static char hello[] = "hello", world[] = ", world";
    char buffer[32] = "";
    ferry_slice pieces[2] = {{.data = hello, .size = 5}, {.data = world, .size = 7}};
    ferry_handle file = file_open(f, "/f", MAKE);
    ferry_request request;
    ferry_prepare_file_write_vectored(&request, file, pieces, 2, FERRY_AT_POSITION);
    assert_int_equal(sim_do(f, &request).result, 12);
    assert_int_equal(file_write(f, file, "!", 1, FERRY_AT_POSITION).result, 1);
    assert_int_equal(file_write(f, file, "H", 1, 0).result, 1);
    assert_int_equal(file_read(f, file, buffer, sizeof buffer, FERRY_AT_POSITION).result, 0);
    assert_int_equal(file_read(f, file, buffer, sizeof buffer, 0).result, 13);
    assert_string_equal(buffer, "Hello, world!");
    assert_int_equal(file_read(f, file, buffer, 4, 100).result, 0);
    ferry_slice parts[3] = {{.data = buffer, .size = 2},
                            {.data = buffer + 10, .size = 0},
                            {.data = buffer + 20, .size = 12}};
    ferry_prepare_file_read_vectored(&request, file, parts, 3, 1);
    assert_int_equal(sim_do(f, &request).result, 12);
    assert_memory_equal(buffer, "el", 2);
    assert_memory_equal(buffer + 20, "lo, world!", 10);
    assert_status(file_truncate(f, file, 5).status, FERRY_OK);
    assert_status(file_sync(f, file, true).status, FERRY_OK);
    ferry_file_info info = file_stat(f, file);
    assert_int_equal(info.size, 5);
    assert_int_equal(info.type, FERRY_FILE_REGULAR);
    assert_int_equal(info.permissions, 0644);
    assert_int_equal(info.modified_ns, sim_now(f));
    assert_int_equal(path_stat(f, "/f", false).inode, info.inode);
    fixture_close_handle(f, file);
    holds(f, "/f", "Hello");
    file = file_open(f, "/f", FERRY_OPEN_WRITE | FERRY_OPEN_APPEND);
    assert_int_equal(file_write(f, file, "?", 1, 0).result, 1);
    fixture_close_handle(f, file);
    holds(f, "/f", "Hello?");
}

static void whole_files_are_loaded_and_stored(fixture *f) {
    enum { SIZE = 3 * 1024 * 1024 + 17 };
    char *bytes = fixture_memory(f, SIZE);
    pattern_fill(bytes, SIZE, 0);
    ferry_request request;
    assert_int_equal(file_store(f, "//one/f", bytes, SIZE, 0600).result, SIZE);
    assert_int_equal(path_stat(f, "//one/f", false).permissions, 0600);
    ferry_prepare_file_load(&request, "//one/f", 0);
    ferry_completion loaded = sim_do(f, &request);
    assert_status(loaded.status, FERRY_OK);
    assert_int_equal(loaded.result, SIZE);
    assert_memory_equal(loaded.data, bytes, SIZE);
    fixture_release(f, &loaded);
    assert_int_equal(file_store(f, "//one/f", "", 0, 0).result, 0);
    assert_int_equal(path_stat(f, "//one/f", false).permissions, 0600);
    loaded = sim_do(f, &request);
    assert_status(loaded.status, FERRY_OK);
    assert_int_equal(loaded.result, 0);
    assert_false(loaded.flags & FERRY_BUFFER);
    put(f, "/f", "four");
    ferry_prepare_file_load(&request, "/f", 3);
    assert_status(sim_do(f, &request).status, FERRY_E_LIMIT);
}

static void what_is_wrong_is_said(fixture *f) {
    ferry_engine *engine = f->engine;
    static char byte[1];
    ferry_request request;
    put(f, "/folder/f", "f");
    struct {
        const char *path;
        uint32_t flags;
        ferry_status status;
        int os_error;
    } opens[] = {
        {"/none", FERRY_OPEN_READ, FERRY_E_NOT_FOUND, ENOENT},
        {"/none/f", MAKE, FERRY_E_NOT_FOUND, ENOENT},
        {"//three/f", FERRY_OPEN_READ, FERRY_E_NOT_FOUND, ENOENT},
        {"/folder/f/f", MAKE, FERRY_E_NOT_DIRECTORY, ENOTDIR},
        {"/folder", RW, FERRY_E_IS_DIRECTORY, EISDIR},
        {"/folder/f", MAKE | FERRY_OPEN_EXCLUSIVE, FERRY_E_EXISTS, EEXIST},
    };
    for (size_t i = 0; i < sizeof opens / sizeof opens[0]; i++) {
        ferry_prepare_file_open(&request, opens[i].path, opens[i].flags, 0);
        expect(f, &request, opens[i].status, opens[i].os_error);
    }
    ferry_prepare_path_stat(&request, "/none", true);
    expect(f, &request, FERRY_E_NOT_FOUND, ENOENT);
    ferry_prepare_file_load(&request, "/folder", 0);
    expect(f, &request, FERRY_E_IS_DIRECTORY, EISDIR);
    const char *places[] = {"/folder", "/folder/", "/folder/."};
    for (size_t i = 0; i < 3; i++) {
        ferry_prepare_file_store(&request, places[i], byte, 1, 0);
        expect(f, &request, FERRY_E_IS_DIRECTORY, EISDIR);
    }
    ferry_prepare_file_store(&request, "/none/f", byte, 1, 0);
    expect(f, &request, FERRY_E_NOT_FOUND, ENOENT);
    ferry_handle reads = file_open(f, "/folder/f", FERRY_OPEN_READ);
    ferry_handle writes = file_open(f, "/folder/f", FERRY_OPEN_WRITE);
    ferry_prepare_file_write(&request, reads, byte, 1, 0);
    expect(f, &request, FERRY_E_ACCESS, EBADF);
    ferry_prepare_file_read(&request, writes, byte, 1, 0);
    expect(f, &request, FERRY_E_ACCESS, EBADF);
    ferry_prepare_file_truncate(&request, reads, 0);
    expect(f, &request, FERRY_E_INVALID, EINVAL);
    ferry_prepare_file_write(&request, writes, byte, 1, UINT64_C(1) << 50);
    expect(f, &request, FERRY_E_FILE_TOO_LARGE, EFBIG);
    ferry_handle folder = file_open(f, "/folder", FERRY_OPEN_READ);
    ferry_prepare_file_read(&request, folder, byte, 1, 0);
    expect(f, &request, FERRY_E_IS_DIRECTORY, EISDIR);
    ferry_sim_disk disk = {.struct_size = sizeof disk - 1};
    assert_status(ferry_sim_set_disk(engine, 0, &disk), FERRY_E_INVALID);
    disk.struct_size = sizeof disk;
    assert_status(ferry_sim_set_disk(engine, 3, &disk), FERRY_E_NOT_FOUND);
}

/* --- Faults -------------------------------------------------------------------------------- */

static void each_call_fails_as_ordered(fixture *f) {
    static char bytes[100];
    put(f, "/f", "f");
    ferry_handle file = file_open(f, "/f", RW);
    ferry_request open, read, write, sync, stat, look, truncate, load, store;
    ferry_prepare_file_open(&open, "/f", RW, 0);
    ferry_prepare_file_read(&read, file, bytes, sizeof bytes, 0);
    ferry_prepare_file_write(&write, file, bytes, sizeof bytes, 0);
    ferry_prepare_file_sync(&sync, file, false);
    ferry_prepare_file_stat(&stat, file);
    ferry_prepare_path_stat(&look, "/f", false);
    ferry_prepare_file_truncate(&truncate, file, 10);
    ferry_prepare_file_load(&load, "/f", 0);
    ferry_prepare_file_store(&store, "/f", bytes, sizeof bytes, 0);
    struct {
        uint32_t call;
        const ferry_request *request;
    } cases[] = {
        {FERRY_SIM_OPEN, &open},         {FERRY_SIM_READ, &read},   {FERRY_SIM_WRITE, &write},
        {FERRY_SIM_SYNC, &sync},         {FERRY_SIM_STAT, &stat},   {FERRY_SIM_STAT, &look},
        {FERRY_SIM_TRUNCATE, &truncate}, {FERRY_SIM_OPEN, &load},   {FERRY_SIM_READ, &load},
        {FERRY_SIM_OPEN, &store},        {FERRY_SIM_WRITE, &store}, {FERRY_SIM_SYNC, &store},
        {FERRY_SIM_RENAME, &store},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fail_once(f, cases[i].call, 0);
        expect(f, cases[i].request, FERRY_E_IO, EIO);
        ferry_completion again = sim_do(f, cases[i].request);
        assert_status(again.status, FERRY_OK);
        if (again.flags & FERRY_BUFFER) {
            fixture_release(f, &again);
        }
        if (cases[i].request == &open) {
            fixture_close_handle(f, again.handle);
        }
    }
    sim_fault(f, (ferry_sim_fault){.host = SIM_ONE, .status = FERRY_E_READ_ONLY});
    sim_fault(
        f, (ferry_sim_fault){.host = FERRY_SIM_EVERY, .status = FERRY_E_READ_ONLY, .path = "/g"});
    expect(f, &write, FERRY_OK, 0);
    ferry_prepare_file_open(&open, "/good", MAKE, 0);
    expect(f, &open, FERRY_E_READ_ONLY, EROFS);
    ferry_prepare_file_open(&open, "//one/f", MAKE, 0);
    expect(f, &open, FERRY_E_READ_ONLY, EROFS);
    fail_once(f, FERRY_SIM_CLOSE, 0);
    ferry_request close;
    ferry_prepare_handle_close(&close, file);
    expect(f, &close, FERRY_E_IO, EIO);
    expect(f, &write, FERRY_E_STALE, 0);
}

/* A store that fails leaves the old file and nothing else: its temporary would take up the disk. */
static void a_store_that_fails_leaves_nothing(fixture *f) {
    static char bytes[1000];
    struct {
        uint32_t calls;
        uint64_t skip;
        bool replaced;
    } steps[] = {
        {FERRY_SIM_OPEN, 0, false},  {FERRY_SIM_WRITE, 0, false}, {FERRY_SIM_WRITE, 1, false},
        {FERRY_SIM_WRITE, 2, false}, {FERRY_SIM_SYNC, 0, false},  {FERRY_SIM_RENAME, 0, false},
        {FERRY_SIM_SYNC, 1, true},
    };
    slow(f, (ferry_sim_disk){.bytes_max = 4096});
    ferry_request request;
    ferry_prepare_file_store(&request, "/f", bytes, sizeof bytes, 0);
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            put(f, "/f", "old");
            assert_status(ferry_sim_clear_faults(f->engine), FERRY_OK);
            /* The first two writes take a part each: there is a third one. */
            sim_fault(f, (ferry_sim_fault){.calls = FERRY_SIM_WRITE,
                                           .host = FERRY_SIM_EVERY,
                                           .times = 2,
                                           .flags = FERRY_SIM_SHORT});
            fail_once(f, steps[i].calls, steps[i].skip);
            ferry_completion completion = sim_do(f, &request);
            if (steps[i].replaced) {
                file_expect(&completion, FERRY_E_IO, EIO, sizeof bytes);
            } else if (completion.status != FERRY_OK) { /* Two parts may be the whole. */
                file_expect(&completion, FERRY_E_IO, EIO, 0);
                holds(f, "/f", "old");
            }
        }
    }
    assert_status(ferry_sim_remove_file(f->engine, "/f"), FERRY_OK);
    assert_status(ferry_sim_put_file(f->engine, "/all", fixture_memory(f, 4096), 4096), FERRY_OK);
}

static void a_full_disk_says_so(fixture *f) {
    static char bytes[8192];
    slow(f, (ferry_sim_disk){.bytes_max = 4096});
    ferry_handle file = file_open(f, "/f", MAKE);
    ferry_completion completion = file_write(f, file, bytes, sizeof bytes, 0);
    file_expect(&completion, FERRY_E_NO_SPACE, ENOSPC, 4096);
    completion = file_write(f, file, bytes, 1, FERRY_AT_POSITION);
    file_expect(&completion, FERRY_OK, 0, 1);
    assert_status(file_truncate(f, file, 100).status, FERRY_OK);
    completion = file_store(f, "/g", bytes, 2048, 0);
    file_expect(&completion, FERRY_OK, 0, 2048);
    completion = file_store(f, "/g", bytes, 2048, 0); /* Both are there for a moment. */
    file_expect(&completion, FERRY_E_NO_SPACE, ENOSPC, 0);
    assert_status(ferry_sim_put_file(f->engine, "/h", bytes, 2048), FERRY_E_NO_SPACE);
    assert_status(ferry_sim_put_file(f->engine, "/h", bytes, 1536), FERRY_OK);
    slow(f, (ferry_sim_disk){.bytes_max = 0});
    completion = file_write(f, file, bytes, sizeof bytes, 0);
    file_expect(&completion, FERRY_OK, 0, sizeof bytes);
    fixture_close_handle(f, file);
}

static void short_reads_and_writes_come_whole(fixture *f) {
    enum { SIZE = 100000 };
    char *bytes = fixture_memory(f, SIZE), *found = fixture_memory(f, SIZE);
    pattern_fill(bytes, SIZE, 0);
    sim_fault(f, (ferry_sim_fault){.calls = FERRY_SIM_READ | FERRY_SIM_WRITE,
                                   .host = FERRY_SIM_EVERY,
                                   .flags = FERRY_SIM_SHORT});
    ferry_handle file = file_open(f, "/f", MAKE);
    ferry_slice halves[2] = {{.data = bytes, .size = SIZE / 2},
                             {.data = bytes + SIZE / 2, .size = SIZE / 2}};
    ferry_request request;
    ferry_prepare_file_write_vectored(&request, file, halves, 2, FERRY_AT_POSITION);
    assert_int_equal(sim_do(f, &request).result, SIZE);
    assert_int_equal(file_read(f, file, found, SIZE, 0).result, SIZE);
    assert_memory_equal(found, bytes, SIZE);
    fixture_close_handle(f, file);
    assert_int_equal(file_store(f, "/g", bytes, SIZE, 0).result, SIZE);
    ferry_prepare_file_load(&request, "/g", 0);
    ferry_completion loaded = sim_do(f, &request);
    assert_int_equal(loaded.result, SIZE);
    assert_memory_equal(loaded.data, bytes, SIZE);
    fixture_release(f, &loaded);
}

/* --- Time, and ending early ---------------------------------------------------------------- */

static void a_slow_disk_takes_its_time(fixture *f) {
    static char bytes[50000];
    ferry_handle file = file_open(f, "/f", MAKE);
    ferry_handle other = file_open(f, "/h", MAKE);
    ferry_request write, store, copy;
    ferry_prepare_file_write(&write, file, bytes, sizeof bytes, 0);
    ferry_prepare_handle_copy(&copy, file, other, sizeof bytes, 0, 0);
    ferry_prepare_file_store(&store, "/g", bytes, sizeof bytes, 0);
    assert_int_equal(time_of(f, &write), 0);
    slow(f, (ferry_sim_disk){.latency_ns = 10 * MS});
    assert_int_equal(time_of(f, &write), 10 * MS);
    assert_int_equal(time_of(f, &store), 50 * MS); /* Open, write, sync, rename, sync. */
    assert_int_equal(time_of(f, &copy), 20 * MS);  /* Read, write. */
    slow(f, (ferry_sim_disk){.bytes_per_second = 100000});
    assert_int_equal(time_of(f, &write), 500 * MS);
    slow(f, (ferry_sim_disk){.latency_ns = 10 * MS, .jitter_ns = 5 * MS});
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < 50; i++) {
        uint64_t took = time_of(f, &write);
        least = took < least ? took : least;
        most = took > most ? took : most;
    }
    assert_true(least >= 10 * MS && least < 12 * MS && most <= 15 * MS && most > 13 * MS);
}

/* What uses memory of the host's ends early only if it has not begun, and then has done nothing. */
static void ends_early_or_whole(fixture *f, ferry_status how, int *early, int *whole) {
    static char bytes[100];
    char before[200] = "", after[200] = "";
    ferry_sim_get_file(f->engine, "/f", before, sizeof before, NULL);
    ferry_handle file = file_open(f, "/f", RW);
    ferry_request request;
    memset(bytes, 'n', sizeof bytes);
    ferry_prepare_file_write(&request, file, bytes, sizeof bytes, 0);
    if (how == FERRY_E_TIMED_OUT) {
        request.deadline_ns = 3 * MS;
    }
    ferry_op op = fixture_submit(f, &request);
    if (how == FERRY_E_CANCELED) {
        fixture_turn(f, 0);
        fixture_cancel(f, op);
    }
    ferry_completion completion = sim_final(f, op);
    ferry_sim_get_file(f->engine, "/f", after, sizeof after, NULL);
    if (completion.status == FERRY_OK) {
        assert_int_equal(completion.result, sizeof bytes);
        assert_memory_equal(after, bytes, sizeof bytes);
        ++*whole;
    } else {
        assert_status(completion.status, how);
        assert_int_equal(completion.result, 0);
        assert_memory_equal(after, before, sizeof before);
        ++*early;
    }
    fixture_close_handle(f, file);
}

static void what_has_not_begun_can_be_canceled(fixture *f) {
    int early = 0, whole = 0;
    slow(f, (ferry_sim_disk){.latency_ns = 10 * MS});
    for (int i = 0; i < 40; i++) {
        put(f, "/f", "old");
        ends_early_or_whole(f, FERRY_E_CANCELED, &early, &whole);
        ends_early_or_whole(f, FERRY_E_TIMED_OUT, &early, &whole);
    }
    assert_true(early > 10 && whole > 10);
}

/* What uses none ends when it is told to. */
static void loads_opens_and_stats_end_at_once(fixture *f) {
    put(f, "/f", "f");
    ferry_request requests[4];
    ferry_prepare_file_load(&requests[0], "/f", 0);
    ferry_prepare_file_open(&requests[1], "/new", MAKE, 0);
    ferry_prepare_path_stat(&requests[2], "/f", false);
    ferry_prepare_file_stat(&requests[3], file_open(f, "/f", FERRY_OPEN_READ));
    slow(f, (ferry_sim_disk){.latency_ns = SECOND, .jitter_ns = SECOND});
    for (int i = 0; i < 4; i++) {
        ferry_op op = fixture_submit(f, &requests[i]);
        sim_linger(f, 500 * MS);
        uint64_t now = sim_now(f);
        fixture_cancel(f, op);
        assert_status(sim_final(f, op).status, FERRY_E_CANCELED);
        assert_int_equal(sim_now(f), now);
        requests[i].deadline_ns = 700 * MS;
        op = fixture_submit(f, &requests[i]);
        assert_status(sim_final(f, op).status, FERRY_E_TIMED_OUT);
        assert_true(sim_now(f) - now >= 700 * MS && sim_now(f) - now < 701 * MS);
    }
    sim_linger(f, 10 * SECOND); /* An open that nobody asks about any more comes and goes. */
}

/* An open that comes when nobody asks any more, or not before the engine has gone, leaves nothing behind. */
static void canceled_opens_leave_nothing(void **state) {
    static counting_allocator counted;
    drive *how = ((fixture *)*state)->drive;
    char *path = malloc(FERRY_PATH_MAX + 1); /* So long that it lies in a block of its own. */
    REQUIRE(path != NULL);
    memset(path, '/', FERRY_PATH_MAX);
    memcpy(path + FERRY_PATH_MAX - 1, "f", 2);
    for (uint64_t seed = 0; seed < 40; seed++) {
        ferry_engine_options options = {.driver = FERRY_DRIVER_SIM, .seed = seed};
        allocator_install(&counted, &options);
        fixture *f = fixture_open_with(state, &options, NULL);
        ferry_request request;
        slow(f, (ferry_sim_disk){.latency_ns = SECOND});
        ferry_prepare_file_open(&request, path, MAKE, 0);
        ferry_op op = fixture_submit(f, &request);
        fixture_turn(f, 0);
        fixture_cancel(f, op);
        assert_status(sim_final(f, op).status, FERRY_E_CANCELED);
        if (seed % 2 == 0) {
            sim_linger(f, 10 * SECOND);
        }
        assert_int_equal(fixture_teardown(state), 0);
        assert_int_equal(counted.blocks, 0);
        assert_int_equal(counted.wrong_frees, 0);
        *state = how;
        assert_int_equal(fixture_setup(state), 0);
    }
    free(path);
}

static void closing_ends_what_is_pending(fixture *f) {
    static char bytes[100];
    put(f, "/f", "f");
    ferry_request requests[5], close;
    for (int round = 0; round < 10; round++) {
        slow(f, (ferry_sim_disk){.latency_ns = 0});
        ferry_handle file = file_open(f, "/f", RW);
        ferry_op ops[5];
        ferry_prepare_file_read(&requests[0], file, bytes, sizeof bytes, 0);
        ferry_prepare_file_write(&requests[1], file, "x", 1, 0);
        ferry_prepare_file_sync(&requests[2], file, false);
        ferry_prepare_file_stat(&requests[3], file);
        ferry_prepare_file_truncate(&requests[4], file, 1);
        slow(f, (ferry_sim_disk){.latency_ns = 10 * MS, .jitter_ns = 10 * MS});
        fixture_submit_all(f, requests, 5, ops);
        fixture_turn(f, 0);
        ferry_prepare_handle_close(&close, file);
        ferry_op closed = fixture_submit(f, &close);
        for (int i = 0; i < 5; i++) {
            ferry_completion completion = sim_final(f, ops[i]);
            assert_status_either(completion.status, FERRY_E_CLOSED, FERRY_OK);
            if (completion.flags & FERRY_BUFFER) {
                fixture_release(f, &completion);
            }
        }
        assert_status(sim_final(f, closed).status, FERRY_OK);
    }
}

static void shutdown_ends_what_is_pending(fixture *f) {
    static char bytes[100];
    put(f, "/f", "f");
    ferry_handle file = file_open(f, "/f", RW);
    ferry_request requests[6];
    ferry_op ops[6];
    slow(f, (ferry_sim_disk){.latency_ns = SECOND});
    ferry_prepare_file_read(&requests[0], file, bytes, sizeof bytes, 0);
    ferry_prepare_file_write(&requests[1], file, bytes, 1, 0);
    ferry_prepare_file_load(&requests[2], "/f", 0);
    ferry_prepare_file_store(&requests[3], "/f", bytes, sizeof bytes, 0);
    ferry_prepare_file_open(&requests[4], "/g", MAKE, 0);
    ferry_prepare_path_stat(&requests[5], "/f", false);
    fixture_submit_all(f, requests, 6, ops);
    sim_linger(f, 500 * MS);
    fixture_shutdown(f); /* The referee sees to it that each has ended. */
}

/* --- Crashes ------------------------------------------------------------------------------- */

static void a_crash_ends_what_is_pending(fixture *f) {
    static char bytes[100];
    put(f, "//one/f", "f");
    put(f, "/f", "mine");
    ferry_handle file = file_open(f, "//one/f", RW);
    ferry_handle other = file_open(f, "/f", RW);
    ferry_request requests[8], close;
    ferry_op ops[8];
    ferry_prepare_file_read(&requests[0], file, bytes, sizeof bytes, 0);
    ferry_prepare_file_write(&requests[1], file, "x", 1, 0);
    ferry_prepare_file_sync(&requests[2], file, false);
    ferry_prepare_file_stat(&requests[3], file);
    ferry_prepare_file_load(&requests[4], "//one/f", 0);
    ferry_prepare_file_store(&requests[5], "//one/f", bytes, sizeof bytes, 0);
    ferry_prepare_file_open(&requests[6], "//one/f", RW, 0);
    ferry_prepare_path_stat(&requests[7], "//one/f", false);
    slow(f, (ferry_sim_disk){.latency_ns = SECOND});
    fixture_submit_all(f, requests, 8, ops);
    sim_linger(f, 500 * MS);
    assert_status(ferry_sim_crash(f->engine, SIM_ONE), FERRY_OK);
    uint64_t now = sim_now(f);
    for (int i = 0; i < 8; i++) {
        ferry_completion completion = sim_final(f, ops[i]);
        file_expect(&completion, FERRY_E_IO, EIO, 0);
    }
    assert_int_equal(sim_now(f), now);
    slow(f, (ferry_sim_disk){.latency_ns = 0});
    for (int i = 0; i < 8; i++) { /* It is down. */
        expect(f, &requests[i], FERRY_E_IO, EIO);
    }
    assert_int_equal(file_read(f, other, bytes, sizeof bytes, 0).result, 4);
    assert_status(ferry_sim_restart(f->engine, SIM_ONE), FERRY_OK);
    for (int i = 0; i < 4; i++) { /* What was open is lost. */
        expect(f, &requests[i], FERRY_E_IO, EIO);
    }
    ferry_prepare_handle_close(&close, file);
    expect(f, &close, FERRY_OK, 0);
    holds(f, "//one/f", "f");
    fixture_close_handle(f, file_open(f, "//one/f", RW));
}

static void crash_and_restart(fixture *f, uint32_t host) {
    assert_status(ferry_sim_crash(f->engine, host), FERRY_OK);
    assert_status(ferry_sim_restart(f->engine, host), FERRY_OK);
}

/* A name is durable when its folder was synced, the bytes when the file was. */
static void names_need_their_folder_synced(void **state) {
    int there = 0, gone = 0;
    fixture *f = sim_open(state, 7);
    for (int i = 0; i < 50; i++) {
        put(f, "//one/d/", "");
        ferry_handle file = file_open(f, "//one/d/f", MAKE);
        assert_int_equal(file_write(f, file, "bytes", 5, 0).result, 5);
        assert_status(file_sync(f, file, false).status, FERRY_OK);
        if (i % 2 == 0) {
            ferry_handle folder = file_open(f, "//one/d", FERRY_OPEN_READ);
            assert_status(file_sync(f, folder, false).status, FERRY_OK);
            fixture_close_handle(f, folder);
        }
        crash_and_restart(f, SIM_ONE);
        fixture_close_handle(f, file);
        ferry_status found = ferry_sim_get_file(f->engine, "//one/d/f", NULL, 0, NULL);
        if (found == FERRY_OK) {
            holds(f, "//one/d/f", "bytes");
            assert_status(ferry_sim_remove_file(f->engine, "//one/d/f"), FERRY_OK);
            there += i % 2;
        } else {
            assert_status(found, FERRY_E_NOT_FOUND);
            assert_int_equal(i % 2, 1);
            gone++;
        }
    }
    assert_true(there > 3 && gone > 3);
}

enum { OLD_SIZE = 5000, NEW_SIZE = 7000 };
static char old_bytes[OLD_SIZE], new_bytes[NEW_SIZE];

/* What a file holds: 'o' all of the old bytes, 'n' all of the new ones, '?' something else. */
static char look(fixture *f, const char *path) {
    static char found[NEW_SIZE + 1];
    size_t size;
    if (ferry_sim_get_file(f->engine, path, found, sizeof found, &size) != FERRY_OK) {
        return '?';
    }
    if (size == OLD_SIZE && memcmp(found, old_bytes, size) == 0) {
        return 'o';
    }
    return size == NEW_SIZE && memcmp(found, new_bytes, size) == 0 ? 'n' : '?';
}

static void fill_bytes(void) {
    memset(old_bytes, 'o', OLD_SIZE);
    memset(new_bytes, 'n', NEW_SIZE);
}

/* The point of it all: wherever a store is cut off, the path holds the old file or the new one. */
static void a_store_survives_a_crash_at_every_point(void **state) {
    enum { SEEDS = 300, POINTS = 24 };
    drive *how = ((fixture *)*state)->drive;
    int pending_old = 0, pending_new = 0, ended = 0;
    fill_bytes();
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fixture *f = sim_open(state, seed);
        slow(f, (ferry_sim_disk){.latency_ns = MS, .jitter_ns = MS});
        sim_fault(f, (ferry_sim_fault){.calls = FERRY_SIM_WRITE,
                                       .host = FERRY_SIM_EVERY,
                                       .chance_ppm = 500000,
                                       .flags = FERRY_SIM_SHORT});
        for (int point = 0; point < POINTS; point++) {
            ferry_request request;
            assert_status(ferry_sim_put_file(f->engine, "//one/d/f", old_bytes, OLD_SIZE),
                          FERRY_OK);
            ferry_prepare_file_store(&request, "//one/d/f", new_bytes, NEW_SIZE, 0);
            ferry_op op = fixture_submit(f, &request);
            fixture_turn(f, 0); /* It has begun. */
            sim_linger(f, (uint64_t)point * 700000);
            crash_and_restart(f, SIM_ONE);
            char found = look(f, "//one/d/f");
            assert_true(found == 'o' || found == 'n');
            ferry_completion completion = sim_final(f, op);
            if (completion.status == FERRY_OK) { /* Then it is durable. */
                assert_int_equal(found, 'n');
                ended++;
            } else {
                file_expect(&completion, FERRY_E_IO, EIO, 0);
                ++*(found == 'o' ? &pending_old : &pending_new);
            }
        }
        assert_int_equal(fixture_teardown(state), 0);
        *state = how;
        assert_int_equal(fixture_setup(state), 0);
    }
    /* All three kinds of points were met. */
    assert_true(pending_old > SEEDS && pending_new > SEEDS / 10 && ended > SEEDS);
}

/* And that the test above could fail: a file that is simply written over does get torn. */
static void writing_over_a_file_does_not(void **state) {
    int torn = 0, kept = 0;
    fixture *f = sim_open(state, 1);
    fill_bytes();
    for (int i = 0; i < 100; i++) {
        assert_status(ferry_sim_put_file(f->engine, "//one/f", old_bytes, OLD_SIZE), FERRY_OK);
        ferry_handle file = file_open(f, "//one/f", RW | FERRY_OPEN_TRUNCATE);
        assert_int_equal(file_write(f, file, new_bytes, NEW_SIZE, 0).result, NEW_SIZE);
        if (i % 2 == 0) {
            assert_status(file_sync(f, file, true).status, FERRY_OK);
        }
        crash_and_restart(f, SIM_ONE);
        char found = look(f, "//one/f");
        if (i % 2 == 0) {
            assert_int_equal(found, 'n');
        } else {
            ++*(found == '?' ? &torn : &kept);
        }
        fixture_close_handle(f, file);
    }
    assert_true(torn > 10 && kept > 3);
}

/* --- Again --------------------------------------------------------------------------------- */

enum { TRACE_MAX = 1 << 20 };

/* What happened, as text; the caller frees it. */
static char *trace_of_a_life(fixture *f, size_t *size) {
    char *text = malloc(TRACE_MAX);
    REQUIRE(text != NULL);
    fill_bytes();
    assert_status(ferry_sim_keep_trace(f->engine, TRACE_MAX), FERRY_OK);
    assert_status(ferry_sim_add_chaos(f->engine, 100000), FERRY_OK);
    slow(f, (ferry_sim_disk){.latency_ns = MS, .jitter_ns = MS, .bytes_per_second = 1000000});
    for (int i = 0; i < 20; i++) {
        ferry_request requests[3];
        ferry_op ops[3];
        ferry_prepare_file_store(&requests[0], "//one/f", new_bytes, NEW_SIZE, 0);
        ferry_prepare_file_load(&requests[1], "//one/f", 0);
        ferry_prepare_path_stat(&requests[2], "//one/f", false);
        fixture_submit_all(f, requests, 3, ops);
        if (i % 4 == 0) {
            sim_linger(f, 3 * MS);
            crash_and_restart(f, SIM_ONE);
        }
        for (int k = 0; k < 3; k++) {
            ferry_completion completion = sim_final(f, ops[k]);
            if (completion.flags & FERRY_BUFFER) {
                fixture_release(f, &completion);
            }
        }
    }
    assert_status(ferry_sim_read_trace(f->engine, text, TRACE_MAX, size), FERRY_OK);
    return text;
}

static void the_same_seed_brings_the_same(void **state) {
    drive *how = ((fixture *)*state)->drive;
    char *traces[3];
    size_t sizes[3];
    for (int i = 0; i < 3; i++) {
        traces[i] = trace_of_a_life(sim_open(state, i < 2 ? 5 : 6), &sizes[i]);
        assert_int_equal(fixture_teardown(state), 0);
        *state = how;
        assert_int_equal(fixture_setup(state), 0);
    }
    assert_true(sizes[0] > 1000);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(traces[0], traces[1], sizes[0]);
    assert_false(sizes[0] == sizes[2] && memcmp(traces[0], traces[2], sizes[0]) == 0);
    for (int i = 0; i < 3; i++) {
        free(traces[i]);
    }
}

/* clang-format off */
#define EACH(do)                                                                                   \
    do(disks_are_filled_and_looked_at) do(files_are_written_and_read)                              \
    do(whole_files_are_loaded_and_stored) do(what_is_wrong_is_said)                                \
    do(each_call_fails_as_ordered) do(a_store_that_fails_leaves_nothing) do(a_full_disk_says_so)   \
    do(short_reads_and_writes_come_whole) do(a_slow_disk_takes_its_time)                           \
    do(what_has_not_begun_can_be_canceled) do(loads_opens_and_stats_end_at_once)                   \
    do(closing_ends_what_is_pending) do(shutdown_ends_what_is_pending)                             \
    do(a_crash_ends_what_is_pending)
EACH(UNDER_SEEDS)
#define LISTED(test) ON_HOST(test##_under_seeds),
/* clang-format on */

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(LISTED) ON_HOST(canceled_opens_leave_nothing),
        ON_HOST(names_need_their_folder_synced),
        ON_HOST(a_store_survives_a_crash_at_every_point),
        ON_HOST(writing_over_a_file_does_not),
        ON_HOST(the_same_seed_brings_the_same),
    };
    return RUN_SUITE(tests);
}
