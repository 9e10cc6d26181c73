/*
 * Open files: opening, reading, writing, asking, syncing, truncating, closing, and why each can fail.
 */
#include "files.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { READ = FERRY_OPEN_READ, WRITE = FERRY_OPEN_WRITE, BOTH = READ | WRITE };
enum { CREATE = FERRY_OPEN_CREATE, SIZE = 5000, BIG = 8 * 1024 * 1024 + 17, MANY = 64 };

/* --- Opening ------------------------------------------------------------------------------- */

static void opens_as_the_flags_say(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_path(f, "file");
    ferry_completion done = file_try_open(f, path, READ, 0);
    file_expect(&done, FERRY_E_NOT_FOUND, ENOENT, 0);
    done = file_try_open(f, path, WRITE | CREATE | FERRY_OPEN_EXCLUSIVE, 0600);
    assert_status(done.status, FERRY_OK);
    assert_int_equal(file_mode(path), 0600);
    done = file_write(f, done.handle, "0123456789", 10, 0);
    file_expect(&done, FERRY_OK, 0, 10);
    done = file_try_open(f, path, WRITE | CREATE | FERRY_OPEN_EXCLUSIVE, 0);
    file_expect(&done, FERRY_E_EXISTS, EEXIST, 0);

    ferry_handle both = file_open(f, path, BOTH);
    ferry_handle append = file_open(f, path, WRITE | FERRY_OPEN_APPEND);
    done = file_write(f, append, "ab", 2, 0);
    file_expect(&done, FERRY_OK, 0, 2);
    done = file_write(f, append, "cd", 2, FERRY_AT_POSITION);
    file_expect(&done, FERRY_OK, 0, 2);
    done = file_write(f, both, "X", 1, 1);
    file_expect(&done, FERRY_OK, 0, 1);
    file_holds(path, "0X23456789abcd", 14);
    file_open(f, path, WRITE | FERRY_OPEN_TRUNCATE);
    assert_int_equal(file_stat(f, both).size, 0);
}

static void a_new_files_mode_is_less_the_umask(void **state) {
    fixture *f = fixture_open(state);
    mode_t before = umask(027);
    char *plain = fixture_path(f, "plain");
    char *open = fixture_path(f, "open");
    file_open(f, plain, WRITE | CREATE);
    ferry_completion done = file_try_open(f, open, WRITE | CREATE, 0777);
    umask(before);
    assert_status(done.status, FERRY_OK);
    assert_int_equal(file_mode(plain), 0640);
    assert_int_equal(file_mode(open), 0750);
}

static void says_why_a_file_cannot_be_opened(void **state) {
    fixture *f = fixture_open(state);
    fixture_file(f, "file", 10);
    ferry_completion done = file_try_open(f, fixture_path(f, "file/below"), READ, 0);
    file_expect(&done, FERRY_E_NOT_DIRECTORY, ENOTDIR, 0);
    char *folder = fixture_path(f, "folder");
    REQUIRE(mkdir(folder, 0700) == 0);
    done = file_try_open(f, folder, WRITE, 0);
    file_expect(&done, FERRY_E_IS_DIRECTORY, EISDIR, 0);
    char *link = fixture_path(f, "link");
    REQUIRE(symlink("file", link) == 0);
    file_open(f, link, READ);
    done = file_try_open(f, link, READ | FERRY_OPEN_NO_FOLLOW, 0);
    file_expect(&done, FERRY_E_LOOP, ELOOP, 0);
    done = file_try_open(f, "", READ, 0);
    file_expect(&done, FERRY_E_NOT_FOUND, ENOENT, 0);
    char name[300];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    done = file_try_open(f, fixture_path(f, name), READ, 0);
    file_expect(&done, FERRY_E_NAME_TOO_LONG, ENAMETOOLONG, 0);
    assert_info(f, handles_open, 1);
}

static void a_file_of_others_is_denied(void **state) {
    fixture *f = fixture_open(state);
    if (geteuid() == 0) {
        SKIP_BECAUSE("root may open every file");
    }
    char *path = fixture_file(f, "secret", 10);
    REQUIRE(chmod(path, 0) == 0);
    ferry_completion done = file_try_open(f, path, READ, 0);
    file_expect(&done, FERRY_E_ACCESS, EACCES, 0);
}

static void handles_can_run_out(void **state) {
    ferry_engine_options few = {.handles_max = 3};
    fixture *f = fixture_open_with(state, &few, NULL);
    char *path = fixture_file(f, "file", 10);
    ferry_request requests[16];
    ferry_op ops[16];
    ferry_handle last = FERRY_NONE;
    size_t opened = 0;
    fixture_close_handle(f, file_open(f, path, READ)); /* Now all is there that waiting takes. */
    size_t before = count_descriptors();
    for (size_t i = 0; i < 16; i++) {
        ferry_prepare_file_open(&requests[i], path, READ, 0);
    }
    fixture_submit_all(f, requests, 16, ops);
    for (size_t i = 0; i < 16; i++) {
        ferry_completion done = fixture_final(f, ops[i]);
        assert_status_either(done.status, FERRY_OK, FERRY_E_NO_HANDLES);
        opened += done.status == FERRY_OK;
        last = done.status == FERRY_OK ? done.handle : last;
    }
    /* What two shards opened may be up to twice as much. */
    assert_in_range(opened, 3, f->drive->shards == 2 ? 6 : 3);
    assert_info(f, handles_open, opened);
    /* Those that found no handle are closed again. */
    for (int turns = 0; turns < 1000 && count_descriptors() != before + opened; turns++) {
        fixture_turn(f, MS);
    }
    assert_int_equal(count_descriptors(), before + opened);
    fixture_close_handle(f, last);
    file_open(f, path, READ);
}

static void descriptors_can_run_out(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", 10);
    ferry_handle file = file_open(f, path, READ); /* The worker is there. */
    struct rlimit full;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &full) == 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = full.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    ferry_completion done = file_try_open(f, path, READ, 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &full) == 0);
    file_expect(&done, FERRY_E_NO_DESCRIPTORS, EMFILE, 0);
    fixture_close_handle(f, file);
    file_open(f, path, READ);
}

/* --- Reading and writing ------------------------------------------------------------------- */

static void reads_what_was_written(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle file = file_open(f, fixture_path(f, "file"), BOTH | CREATE);
    static const size_t sizes[] = {1, 4096, 4097, BIG};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        unsigned char *data = fixture_memory(f, size);
        pattern_fill(data, size, i);
        ferry_completion done = file_write(f, file, data, size, 3);
        file_expect(&done, FERRY_OK, 0, (int64_t)size);
        memset(data, 0, size);
        done = file_read(f, file, data, size, 3);
        file_expect(&done, FERRY_OK, 0, (int64_t)size);
        assert_true(pattern_matches(data, size, i));
        assert_int_equal(done.handle, file);
    }
}

static void a_read_ends_where_the_file_does(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle file = file_open(f, fixture_file(f, "file", SIZE), READ);
    unsigned char data[SIZE + 100];
    ferry_completion done = file_read(f, file, data, sizeof data, 0);
    file_expect(&done, FERRY_OK, 0, SIZE);
    assert_true(pattern_matches(data, SIZE, 0));
    done = file_read(f, file, data, 100, SIZE - 10);
    file_expect(&done, FERRY_OK, 0, 10);
    done = file_read(f, file, data, 100, SIZE);
    file_expect(&done, FERRY_OK, 0, 0);
    done = file_read(f, file, data, 100, INT64_MAX - 100);
    file_expect(&done, FERRY_OK, 0, 0);
}

static void the_position_moves(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    ferry_handle file = file_open(f, path, BOTH);
    unsigned char data[1000];
    for (size_t at = 0; at < SIZE; at += sizeof data) {
        ferry_completion done = file_read(f, file, data, sizeof data, FERRY_AT_POSITION);
        file_expect(&done, FERRY_OK, 0, sizeof data);
        assert_true(pattern_matches(data, sizeof data, at));
        /* Elsewhere in between, which does not move it. */
        done = file_read(f, file, data, 10, 7);
        file_expect(&done, FERRY_OK, 0, 10);
    }
    ferry_completion done = file_read(f, file, data, sizeof data, FERRY_AT_POSITION);
    file_expect(&done, FERRY_OK, 0, 0);
    done = file_write(f, file, "end", 3, FERRY_AT_POSITION);
    file_expect(&done, FERRY_OK, 0, 3);
    assert_int_equal(file_stat(f, file).size, SIZE + 3);
}

static void many_at_once_on_one_file(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle file = file_open(f, fixture_path(f, "file"), BOTH | CREATE);
    static unsigned char data[MANY][1000];
    ferry_request requests[MANY];
    ferry_op ops[MANY];
    for (size_t i = 0; i < MANY; i++) {
        pattern_fill(data[i], sizeof data[i], i * sizeof data[i]);
        ferry_prepare_file_write(&requests[i], file, data[i], sizeof data[i], i * sizeof data[i]);
    }
    fixture_submit_all(f, requests, MANY, ops);
    for (size_t i = 0; i < MANY; i++) {
        ferry_completion done = fixture_final(f, ops[i]);
        file_expect(&done, FERRY_OK, 0, sizeof data[i]);
    }
    unsigned char *all = fixture_memory(f, sizeof data);
    ferry_completion done = file_read(f, file, all, sizeof data, 0);
    file_expect(&done, FERRY_OK, 0, sizeof data);
    assert_true(pattern_matches(all, sizeof data, 0));
    assert_true(fixture_info(f).workers <= 4);
}

static void says_why_it_cannot_read_or_write(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", 10);
    char data[16];
    ferry_handle reader = file_open(f, path, READ);
    ferry_handle writer = file_open(f, path, WRITE);
    ferry_completion done = file_write(f, reader, "x", 1, 0);
    file_expect(&done, FERRY_E_ACCESS, EBADF, 0);
    done = file_read(f, writer, data, 1, 0);
    file_expect(&done, FERRY_E_ACCESS, EBADF, 0);
    done = file_truncate(f, reader, 1);
    file_expect(&done, FERRY_E_INVALID, EINVAL, 0);
    char *folder = fixture_path(f, "folder");
    REQUIRE(mkdir(folder, 0700) == 0);
    done = file_read(f, file_open(f, folder, READ), data, 1, FERRY_AT_POSITION);
    file_expect(&done, FERRY_E_IS_DIRECTORY, EISDIR, 0);
    /* Memory that is not there is the system's to find. */
    done = file_write(f, writer, (void *)16, 1, 0);
    file_expect(&done, FERRY_E_INVALID, EFAULT, 0);
    unsigned char before[10];
    pattern_fill(before, sizeof before, 0);
    file_holds(path, before, sizeof before);
}

static void a_file_can_grow_too_large(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_path(f, "file");
    ferry_handle file = file_open(f, path, BOTH | CREATE);
    struct rlimit full;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &full) == 0);
    struct rlimit small = {.rlim_cur = SIZE, .rlim_max = full.rlim_max};
    unsigned char data[2 * SIZE];
    pattern_fill(data, sizeof data, 0);
    /* The system's signal for it must not reach the host either. */
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    ferry_completion partial = file_write(f, file, data, sizeof data, 0);
    ferry_completion none = file_write(f, file, data, 1, SIZE);
    ferry_completion longer = file_truncate(f, file, SIZE + 1);
    ferry_completion stored = file_store(f, fixture_path(f, "stored"), data, sizeof data, 0);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &full) == 0);
    file_expect(&partial, FERRY_E_FILE_TOO_LARGE, EFBIG, SIZE);
    file_expect(&none, FERRY_E_FILE_TOO_LARGE, EFBIG, 0);
    file_expect(&longer, FERRY_E_FILE_TOO_LARGE, EFBIG, 0);
    file_expect(&stored, FERRY_E_FILE_TOO_LARGE, EFBIG, 0);
    file_holds(path, data, SIZE);
    REQUIRE(access(fixture_path(f, "stored"), F_OK) != 0);
}

/* --- Asking, syncing, truncating ----------------------------------------------------------- */

static void tells_what_the_system_knows(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    REQUIRE(chmod(path, 0640) == 0);
    REQUIRE(link(path, fixture_path(f, "other")) == 0);
    struct timespec times[2] = {{.tv_sec = 1000000000, .tv_nsec = 7},
                                {.tv_sec = -5, .tv_nsec = 999999999}};
    REQUIRE(utimensat(AT_FDCWD, path, times, 0) == 0);
    struct stat expected;
    REQUIRE(stat(path, &expected) == 0);
    ferry_file_info info = file_stat(f, file_open(f, path, READ));
    assert_int_equal(info.size, SIZE);
    assert_int_equal(info.allocated, expected.st_blocks * 512);
    assert_int_equal(info.accessed_ns,
                     expected.st_atim.tv_sec * (int64_t)SECOND + expected.st_atim.tv_nsec);
    assert_int_equal(info.modified_ns,
                     expected.st_mtim.tv_sec * (int64_t)SECOND + expected.st_mtim.tv_nsec);
    assert_true(info.modified_ns < 0);
    assert_int_equal(info.changed_ns,
                     expected.st_ctim.tv_sec * (int64_t)SECOND + expected.st_ctim.tv_nsec);
    assert_int_equal(info.device, expected.st_dev);
    assert_int_equal(info.inode, expected.st_ino);
    assert_int_equal(info.links, 2);
    assert_int_equal(info.type, FERRY_FILE_REGULAR);
    assert_int_equal(info.permissions, 0640);
    assert_int_equal(info.user, geteuid());
    assert_int_equal(info.group, expected.st_gid);
    assert_int_equal(info.block_size, expected.st_blksize);
    assert_info(f, buffers_lent, 0);
}

static void syncs(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle file = file_open(f, fixture_file(f, "file", SIZE), BOTH);
    for (int data_only = 0; data_only <= 1; data_only++) {
        ferry_completion done = file_sync(f, file, data_only != 0);
        file_expect(&done, FERRY_OK, 0, 0);
    }
    ferry_handle null = file_open(f, "/dev/null", WRITE);
    ferry_completion done = file_sync(f, null, false);
    file_expect(&done, FERRY_E_INVALID, EINVAL, 0);
}

static void truncates(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    ferry_handle file = file_open(f, path, BOTH);
    unsigned char data[20];
    ferry_completion done = file_truncate(f, file, 10);
    file_expect(&done, FERRY_OK, 0, 0);
    done = file_truncate(f, file, 20);
    file_expect(&done, FERRY_OK, 0, 0);
    done = file_read(f, file, data, sizeof data, 0);
    file_expect(&done, FERRY_OK, 0, 20);
    assert_true(pattern_matches(data, 10, 0));
    assert_memory_equal(data + 10, "\0\0\0\0\0\0\0\0\0\0", 10);
    done = file_truncate(f, file, 0);
    file_expect(&done, FERRY_OK, 0, 0);
    assert_int_equal(file_stat(f, file).size, 0);
    done = file_truncate(f, file, INT64_MAX);
    file_expect(&done, FERRY_E_FILE_TOO_LARGE, EFBIG, 0);
}

/* --- Closing and wrong handles ------------------------------------------------------------- */

static void close_gives_the_descriptor_back(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    fixture_close_handle(f, file_open(f, path, READ));
    size_t before = count_descriptors();
    ferry_handle files[8];
    for (size_t i = 0; i < 8; i++) {
        files[i] = file_open(f, path, READ);
    }
    assert_int_equal(count_descriptors(), before + 8);
    for (size_t i = 0; i < 8; i++) {
        fixture_close_handle(f, files[i]);
        assert_int_equal(count_descriptors(), before + 7 - i);
        fixture_close_handle(f, files[i]); /* Again is fine. */
    }
    assert_info(f, handles_open, 0);
}

static void discard_closes_a_file(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    fixture_close_handle(f, file_open(f, path, READ));
    size_t before = count_descriptors();
    ferry_handle file = file_open(f, path, READ);
    assert_status(referee_discard(f->judge, f->engine, file), FERRY_OK);
    assert_info(f, handles_open, 0);
    assert_int_equal(count_descriptors(), before);
}

static void what_is_left_open_is_closed_at_shutdown(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    ferry_request request;
    for (size_t i = 0; i < 8; i++) {
        ferry_prepare_file_open(&request, path, READ, 0);
        fixture_submit(f, &request); /* Some are still being opened. */
    }
    fixture_shutdown(f);
    ferry_engine_info info = fixture_info(f);
    assert_int_equal(info.handles_open, 0);
    assert_int_equal(info.workers, 0);
    char target[64];
    for (int fd = 3; fd < 1000; fd++) {
        char link[32];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, target, sizeof target);
        assert_false(size == (ssize_t)strlen(path) && memcmp(target, path, (size_t)size) == 0);
    }
}

static size_t one_of_each(ferry_request *requests, ferry_handle file) {
    static char memory[16];
    static ferry_slice slice = {{memory}, sizeof memory};
    size_t count = 0;
    ferry_prepare_file_read(&requests[count++], file, memory, 1, 0);
    ferry_prepare_file_write(&requests[count++], file, memory, 1, 0);
    ferry_prepare_file_read_vectored(&requests[count++], file, &slice, 1, 0);
    ferry_prepare_file_write_vectored(&requests[count++], file, &slice, 1, 0);
    ferry_prepare_file_stat(&requests[count++], file);
    ferry_prepare_file_sync(&requests[count++], file, false);
    ferry_prepare_file_truncate(&requests[count++], file, 0);
    return count;
}

static void wrong_handles(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    ferry_request requests[8];
    int peer;
    ferry_handle file = file_open(f, path, BOTH);
    ferry_handle stream = fixture_stream(f, &peer);
    fixture_close_handle(f, file);
    /* The bits above the slot and its generation name kind, engine and shard. */
    ferry_handle foreign = file ^ (UINT64_C(1) << 50);
    ferry_handle never = file + (UINT64_C(1000) << 22);
    size_t count = one_of_each(requests, file);
    for (size_t i = 0; i < count; i++) {
        assert_status(fixture_fate(f, &requests[i]), FERRY_E_STALE);
    }
    one_of_each(requests, stream);
    for (size_t i = 0; i < count; i++) {
        assert_status(fixture_fate(f, &requests[i]), FERRY_E_WRONG_KIND);
    }
    one_of_each(requests, foreign);
    for (size_t i = 0; i < count; i++) {
        assert_status(fixture_fate(f, &requests[i]), FERRY_E_FOREIGN);
    }
    one_of_each(requests, never);
    for (size_t i = 0; i < count; i++) {
        assert_status(fixture_fate(f, &requests[i]), FERRY_E_BAD_HANDLE);
    }
    one_of_each(requests, FERRY_NONE);
    for (size_t i = 0; i < count; i++) {
        assert_status(fixture_fate(f, &requests[i]), FERRY_E_BAD_HANDLE);
    }
    file = file_open(f, path, READ);
    ferry_prepare_stream_send(&requests[0], file, "x", 1);
    assert_status(fixture_fate(f, &requests[0]), FERRY_E_WRONG_KIND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(opens_as_the_flags_say),
        ON_EACH_SHARDS(a_new_files_mode_is_less_the_umask),
        ON_EACH_SHARDS(says_why_a_file_cannot_be_opened),
        ON_EACH_SHARDS(a_file_of_others_is_denied),
        ON_EACH_SHARDS(handles_can_run_out),
        ON_EACH_SHARDS(descriptors_can_run_out),
        ON_EVERY_DRIVE(reads_what_was_written),
        ON_EACH_SHARDS(a_read_ends_where_the_file_does),
        ON_EACH_SHARDS(the_position_moves),
        ON_EVERY_DRIVE(many_at_once_on_one_file),
        ON_EACH_SHARDS(says_why_it_cannot_read_or_write),
        ON_EACH_SHARDS(a_file_can_grow_too_large),
        ON_EVERY_DRIVE(tells_what_the_system_knows),
        ON_EVERY_DRIVE(syncs),
        ON_EVERY_DRIVE(truncates),
        ON_EVERY_DRIVE(close_gives_the_descriptor_back),
        ON_EACH_SHARDS(discard_closes_a_file),
        ON_EVERY_DRIVE(what_is_left_open_is_closed_at_shutdown),
        ON_EVERY_DRIVE(wrong_handles),
    };
    return RUN_SUITE(tests);
}
