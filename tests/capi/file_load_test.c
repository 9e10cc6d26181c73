/*
 * Loading whole files: sizes, errors, ceilings, and a file system that does not answer.
 *
 * The last is played by a FIFO that nobody writes: opening it to read hangs until somebody does.
 */
#include "fixture.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BIG = 8 * 1024 * 1024 + 17, MANY = 64, SMALL_CEILING = 64 * 1024 };

static ferry_op start_load(fixture *f, const char *path, uint64_t size_max) {
    ferry_request request;
    ferry_prepare_file_load(&request, path, size_max);
    return fixture_submit(f, &request);
}

static ferry_completion load(fixture *f, const char *path, uint64_t size_max) {
    return fixture_final(f, start_load(f, path, size_max));
}

static void expect_file(fixture *f, const ferry_completion *loaded, size_t size) {
    assert_status(loaded->status, FERRY_OK);
    assert_int_equal(loaded->result, size);
    assert_int_equal(loaded->flags, FERRY_BUFFER);
    assert_true(pattern_matches(loaded->data, size, 0));
    fixture_release(f, loaded);
}

static void expect_failure(const ferry_completion *loaded, ferry_status status, int os_error) {
    assert_status(loaded->status, status);
    assert_int_equal(loaded->os_error, os_error);
    assert_int_equal(loaded->flags & FERRY_BUFFER, 0);
}

/* --- Files that load ----------------------------------------------------------------------- */

static void loads_files_of_all_sizes(void **state) {
    fixture *f = fixture_open(state);
    static const size_t sizes[] = {1, 100, 4095, 4096, 4097, 65536, 65537, BIG};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ferry_completion loaded = load(f, fixture_file(f, "file", sizes[i]), 0);
        expect_file(f, &loaded, sizes[i]);
    }
    assert_info(f, buffers_lent, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

static void an_empty_file_lends_nothing(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion loaded = load(f, fixture_file(f, "empty", 0), 0);
    assert_status(loaded.status, FERRY_OK);
    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.flags, 0);
}

static void a_file_of_unknown_size_is_read_to_its_end(void **state) {
    fixture *f = fixture_open(state);
    char expected[4096];
    FILE *file = fopen("/proc/version", "r");
    REQUIRE(file != NULL);
    size_t size = fread(expected, 1, sizeof expected, file);
    fclose(file);
    ferry_completion loaded = load(f, "/proc/version", 0);
    assert_status(loaded.status, FERRY_OK);
    assert_int_equal(loaded.result, size);
    assert_memory_equal(loaded.data, expected, size);
    fixture_release(f, &loaded);
}

static void what_is_lent_is_counted(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion first = load(f, fixture_file(f, "first", 1000), 0);
    ferry_completion second = load(f, fixture_file(f, "second", 3000), 0);
    assert_info(f, buffers_lent, 2);
    assert_true(fixture_info(f).buffer_bytes_lent >= 4000);
    expect_file(f, &first, 1000);
    expect_file(f, &second, 3000);
    assert_info(f, buffers_lent, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

static void many_load_at_once(void **state) {
    fixture *f = fixture_open(state);
    ferry_op ops[MANY];
    for (size_t i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "file-%zu", i);
        ops[i] = start_load(f, fixture_file(f, name, 100 + i), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        ferry_completion loaded = fixture_final(f, ops[i]);
        expect_file(f, &loaded, 100 + i);
    }
    assert_true(fixture_info(f).workers <= 4);
}

static void the_path_may_change_after_submit(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", 10);
    ferry_op op = start_load(f, path, 0);
    memset(path, 'x', strlen(path));
    ferry_completion loaded = fixture_final(f, op);
    expect_file(f, &loaded, 10);
}

/* --- Files that do not --------------------------------------------------------------------- */

static void says_why_a_file_cannot_be_loaded(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion loaded = load(f, fixture_path(f, "missing"), 0);
    expect_failure(&loaded, FERRY_E_NOT_FOUND, ENOENT);
    fixture_file(f, "file", 10);
    loaded = load(f, fixture_path(f, "file/below"), 0);
    expect_failure(&loaded, FERRY_E_NOT_DIRECTORY, ENOTDIR);
    char *folder = fixture_path(f, "folder");
    REQUIRE(mkdir(folder, 0700) == 0);
    loaded = load(f, folder, 0);
    assert_status(loaded.status, FERRY_E_IS_DIRECTORY);
    char *loop = fixture_path(f, "loop");
    REQUIRE(symlink(loop, loop) == 0);
    loaded = load(f, loop, 0);
    expect_failure(&loaded, FERRY_E_LOOP, ELOOP);
    ferry_request request;
    ferry_prepare_file_load(&request, "", 0);
    assert_status_either(fixture_fate(f, &request), FERRY_E_NOT_FOUND, FERRY_E_INVALID);
}

static void a_file_of_others_is_denied(void **state) {
    fixture *f = fixture_open(state);
    if (geteuid() == 0) {
        SKIP_BECAUSE("root may read every file");
    }
    char *path = fixture_file(f, "secret", 10);
    REQUIRE(chmod(path, 0) == 0);
    ferry_completion loaded = load(f, path, 0);
    expect_failure(&loaded, FERRY_E_ACCESS, EACCES);
}

static void a_path_can_be_too_long(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_memory(f, FERRY_PATH_MAX + 2);
    ferry_request request;
    ferry_prepare_file_load(&request, path, 0);

    memset(path, 'x', FERRY_PATH_MAX + 1);
    path[FERRY_PATH_MAX + 1] = '\0';
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_NAME_TOO_LONG);

    /* Short enough for Ferry, but too long a name for the system. */
    path[FERRY_PATH_MAX] = '\0';
    ferry_completion loaded = fixture_do(f, &request);
    expect_failure(&loaded, FERRY_E_NAME_TOO_LONG, ENAMETOOLONG);

    /* The longest path that there is: many slashes before a name. */
    char *name = fixture_file(f, "file", 10);
    memset(path, '/', FERRY_PATH_MAX);
    memcpy(path + FERRY_PATH_MAX - strlen(name), name, strlen(name));
    loaded = fixture_do(f, &request);
    expect_file(f, &loaded, 10);
}

static void a_file_can_be_too_large(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", 5000);
    ferry_completion loaded = load(f, path, 4999);
    expect_failure(&loaded, FERRY_E_LIMIT, 0);
    loaded = load(f, path, 5000);
    expect_file(f, &loaded, 5000);
    loaded = load(f, path, UINT64_MAX);
    expect_file(f, &loaded, 5000);
    /* One whose size is only known when it has been read. */
    loaded = load(f, "/proc/version", 1);
    expect_failure(&loaded, FERRY_E_LIMIT, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

static void the_engines_ceiling_holds_for_all_together(void **state) {
    ferry_engine_options options = {.buffer_bytes_max = SMALL_CEILING};
    fixture *f = fixture_open_with(state, &options, NULL);
    ferry_completion large = load(f, fixture_file(f, "large", SMALL_CEILING + 1), 0);
    expect_failure(&large, FERRY_E_LIMIT, 0);
    char *path = fixture_file(f, "file", 40 * 1000);
    ferry_completion first = load(f, path, 0);
    assert_status(first.status, FERRY_OK);
    ferry_completion second = load(f, path, 0);
    expect_failure(&second, FERRY_E_LIMIT, 0);
    expect_file(f, &first, 40 * 1000);
    second = load(f, path, 0);
    expect_file(f, &second, 40 * 1000);
}

/* --- A file system that does not answer ---------------------------------------------------- */

static void a_hanging_load_can_be_canceled(void **state) {
    fixture *f = fixture_open(state);
    char *fifo = fixture_fifo(f, "fifo");
    ferry_op op = start_load(f, fifo, 0);
    assert_true(fixture_wait_until_stuck(f, op));
    assert_info(f, workers_detached, 0);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    assert_info(f, workers_detached, 1);
    fixture_open_fifo(fifo);
    while (fixture_info(f).workers_detached != 0) {
        fixture_turn(f, MS);
    }
}

/* Start a load that ends by its deadline while a worker hangs in it. */
static char *load_until_deadline(fixture *f) {
    for (int attempt = 0; attempt < 6; attempt++) {
        char name[32];
        snprintf(name, sizeof name, "fifo-%d", attempt);
        char *fifo = fixture_fifo(f, name);
        ferry_request request;
        ferry_prepare_file_load(&request, fifo, 0);
        request.deadline_ns = (100 * MS) << attempt;
        uint64_t begin = now_ns();
        ferry_op op = fixture_submit(f, &request);
        /* On a machine so busy that the deadline beats the worker, try again with a longer one. */
        bool stuck = fixture_wait_until_stuck(f, op);
        assert_status(fixture_final(f, op).status, FERRY_E_TIMED_OUT);
        assert_true(now_ns() - begin >= request.deadline_ns);
        if (stuck) {
            return fifo;
        }
    }
    fail_msg("no worker came to open the FIFO");
    return NULL;
}

static void a_hanging_load_has_a_deadline(void **state) {
    fixture *f = fixture_open(state);
    char *fifo = load_until_deadline(f);
    assert_info(f, workers_detached, 1);
    /* The others go on. */
    ferry_completion loaded = load(f, fixture_file(f, "file", 10), 0);
    expect_file(f, &loaded, 10);

    assert_status(ferry_engine_shutdown(f->engine, 20 * MS), FERRY_E_TIMED_OUT);
    assert_int_equal(fixture_info(f).state, FERRY_ENGINE_SHUTTING_DOWN);
    assert_status(ferry_engine_destroy(f->engine), FERRY_E_BUSY);
    assert_info(f, workers_detached, 1);

    fixture_open_fifo(fifo);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    assert_int_equal(fixture_info(f).state, FERRY_ENGINE_STOPPED);
    assert_info(f, workers_detached, 0);
    assert_info(f, workers, 0);
}

static void shutdown_ends_a_hanging_load(void **state) {
    fixture *f = fixture_open(state);
    char *fifo = fixture_fifo(f, "fifo");
    ferry_op op = start_load(f, fifo, 0);
    assert_true(fixture_wait_until_stuck(f, op));
    assert_status(ferry_engine_shutdown(f->engine, 50 * MS), FERRY_E_TIMED_OUT);
    fixture_collect(f);
    assert_true(fixture_has(f, op));
    assert_status(fixture_final(f, op).status, FERRY_E_SHUTDOWN);
    assert_status(ferry_engine_destroy(f->engine), FERRY_E_BUSY);
    fixture_open_fifo(fifo);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
}

static void a_fifo_that_somebody_writes_loads(void **state) {
    fixture *f = fixture_open(state);
    char *fifo = fixture_fifo(f, "fifo");
    ferry_op op = start_load(f, fifo, 0);
    assert_true(fixture_wait_until_stuck(f, op));
    FILE *writer = fopen(fifo, "w");
    REQUIRE(writer != NULL);
    fputs("written", writer);
    fclose(writer);
    ferry_completion loaded = fixture_final(f, op);
    assert_status(loaded.status, FERRY_OK);
    assert_int_equal(loaded.result, 7);
    assert_memory_equal(loaded.data, "written", 7);
    fixture_release(f, &loaded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(loads_files_of_all_sizes),
        ON_EVERY_DRIVE(an_empty_file_lends_nothing),
        ON_EACH_SHARDS(a_file_of_unknown_size_is_read_to_its_end),
        ON_EACH_SHARDS(what_is_lent_is_counted),
        ON_EVERY_DRIVE(many_load_at_once),
        ON_EACH_SHARDS(the_path_may_change_after_submit),
        ON_EACH_SHARDS(says_why_a_file_cannot_be_loaded),
        ON_EACH_SHARDS(a_file_of_others_is_denied),
        ON_EACH_SHARDS(a_path_can_be_too_long),
        ON_EACH_SHARDS(a_file_can_be_too_large),
        ON_EACH_SHARDS(the_engines_ceiling_holds_for_all_together),
        ON_EVERY_DRIVE(a_hanging_load_can_be_canceled),
        ON_EVERY_DRIVE(a_hanging_load_has_a_deadline),
        ON_EVERY_DRIVE(shutdown_ends_a_hanging_load),
        ON_EACH_SHARDS(a_fifo_that_somebody_writes_loads),
    };
    return RUN_SUITE(tests);
}
