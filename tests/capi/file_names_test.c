/*
 * Paths that nobody sane would give to a load, files that are none, and files that change while they
 * are read.
 */
#include "fixture.h"
#include "full_disk.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_LONGEST = 255, CHANGING_MAX = 300 * 1000, LOADS = 400, AT_ONCE = 8, NOBODY = 65534 };

static ferry_completion load(fixture *f, const char *path, uint64_t size_max) {
    ferry_request request;
    ferry_prepare_file_load(&request, path, size_max);
    return fixture_do(f, &request);
}

static void expect_failure(fixture *f, const char *path, ferry_status status, int os_error) {
    ferry_completion loaded = load(f, path, 0);
    if (loaded.status != status || loaded.os_error != os_error) {
        fail_msg("%s: %s, os_error %d; not %s, %d", path, ferry_status_name(loaded.status),
                 loaded.os_error, ferry_status_name(status), os_error);
    }
    assert_int_equal(loaded.flags & FERRY_BUFFER, 0);
    assert_int_equal(loaded.result, 0);
}

static void expect_file(fixture *f, const char *path, size_t size) {
    ferry_completion loaded = load(f, path, 0);
    assert_status(loaded.status, FERRY_OK);
    assert_int_equal(loaded.result, size);
    assert_true(pattern_matches(loaded.data, size, 0));
    fixture_release(f, &loaded);
}

/* --- Names --------------------------------------------------------------------------------- */

static void names_that_lead_nowhere(void **state) {
    fixture *f = fixture_open(state);
    fixture_file(f, "file", 10);
    char *dangling = fixture_path(f, "dangling");
    char *loop = fixture_path(f, "loop");
    REQUIRE(symlink("nothing/at/all", dangling) == 0);
    REQUIRE(symlink("loop", loop) == 0);
    expect_failure(f, "", FERRY_E_NOT_FOUND, ENOENT);
    expect_failure(f, "\n", FERRY_E_NOT_FOUND, ENOENT);
    expect_failure(f, "\xff\xfe\x80", FERRY_E_NOT_FOUND, ENOENT);
    expect_failure(f, dangling, FERRY_E_NOT_FOUND, ENOENT);
    expect_failure(f, loop, FERRY_E_LOOP, ELOOP);
    expect_failure(f, fixture_path(f, "loop/below"), FERRY_E_LOOP, ELOOP);
    expect_failure(f, fixture_path(f, "file/"), FERRY_E_NOT_DIRECTORY, ENOTDIR);
    expect_failure(f, fixture_path(f, "file/child"), FERRY_E_NOT_DIRECTORY, ENOTDIR);
    expect_failure(f, fixture_path(f, "file/../file"), FERRY_E_NOT_DIRECTORY, ENOTDIR);
}

static void folders_are_not_files(void **state) {
    fixture *f = fixture_open(state);
    REQUIRE(mkdir(fixture_path(f, "folder"), 0700) == 0);
    expect_failure(f, "/", FERRY_E_IS_DIRECTORY, EISDIR);
    expect_failure(f, ".", FERRY_E_IS_DIRECTORY, EISDIR);
    expect_failure(f, fixture_path(f, "folder"), FERRY_E_IS_DIRECTORY, EISDIR);
    expect_failure(f, fixture_path(f, "folder/"), FERRY_E_IS_DIRECTORY, EISDIR);
    expect_failure(f, fixture_path(f, "folder/."), FERRY_E_IS_DIRECTORY, EISDIR);
}

static void strange_names_are_names(void **state) {
    fixture *f = fixture_open(state);
    static const char *const names[] = {
        "\n", " ",   "\xff\xfe\x80", "a\nb", "\x01\x1b[2J", "%s%n",
        "-",  "...", "\xc3\xa4",     "\\",   "'\"",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_file(f, fixture_file(f, names[i], 100 + i), 100 + i);
    }
}

static void a_name_has_255_bytes_at_most(void **state) {
    fixture *f = fixture_open(state);
    char name[NAME_LONGEST + 2];
    memset(name, 'n', sizeof name);
    name[NAME_LONGEST] = '\0';
    expect_file(f, fixture_file(f, name, 10), 10);
    name[NAME_LONGEST] = 'n';
    name[NAME_LONGEST + 1] = '\0';
    expect_failure(f, fixture_path(f, name), FERRY_E_NAME_TOO_LONG, ENAMETOOLONG);
}

static void a_path_has_4095_bytes_at_most(void **state) {
    fixture *f = fixture_open(state);
    char *file = fixture_file(f, "file", 10);
    char *path = fixture_memory(f, FERRY_PATH_MAX + 2);
    /* "/tmp/./././.../file": as long as a path may be, and each part of it is fine. */
    size_t folder = strlen(f->folder);
    size_t name = strlen(file) - folder;
    memcpy(path, f->folder, folder);
    for (size_t at = folder; at < FERRY_PATH_MAX - name; at += 2) {
        memcpy(path + at, "/.", 2);
    }
    if ((FERRY_PATH_MAX - name - folder) % 2 == 1) {
        path[FERRY_PATH_MAX - name - 1] = '/';
    }
    memcpy(path + FERRY_PATH_MAX - name, file + folder, name + 1);
    assert_int_equal(strlen(path), FERRY_PATH_MAX);
    expect_file(f, path, 10);
    memcpy(path + FERRY_PATH_MAX, "x", 2);
    ferry_request request;
    ferry_prepare_file_load(&request, path, 0);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_NAME_TOO_LONG);
}

/* Root may read everything, so the engine is made by nobody, in a process of its own. */
static int load_as_nobody(void *argument) {
    const char *path = argument;
    ferry_engine *engine = NULL;
    ferry_queue *queue = NULL;
    ferry_request request;
    ferry_completion loaded;
    CHILD_CHECK(geteuid() != 0 || seteuid(NOBODY) == 0);
    CHILD_CHECK(ferry_engine_create(NULL, &engine) == FERRY_OK);
    CHILD_CHECK(ferry_queue_create(engine, NULL, &queue) == FERRY_OK);
    ferry_prepare_file_load(&request, path, 0);
    CHILD_CHECK(ferry_queue_submit(queue, &request, 1, NULL, NULL) == FERRY_OK);
    while (ferry_queue_reap(queue, &loaded, 1) == 0) {
        CHILD_CHECK(ferry_engine_run(engine, SECOND, 0, NULL) == FERRY_OK);
    }
    CHILD_CHECK(loaded.status == FERRY_E_ACCESS && loaded.os_error == EACCES);
    CHILD_CHECK(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK);
    CHILD_CHECK(ferry_engine_destroy(engine) == FERRY_OK);
    return 0;
}

static void what_may_not_be_read(void **state) {
    fixture *f = *state;
    char *path = fixture_file(f, "secret", 10);
    REQUIRE(chmod(f->folder, 0755) == 0 && chmod(path, 0) == 0);
    assert_int_equal(run_in_child(load_as_nobody, path), 0);
    REQUIRE(chmod(path, 0644) == 0 && chmod(f->folder, 0) == 0);
    int status = run_in_child(load_as_nobody, path);
    REQUIRE(chmod(f->folder, 0700) == 0);
    assert_int_equal(status, 0);
}

/* --- What is no file ----------------------------------------------------------------------- */

static void a_socket_is_no_file(void **state) {
    fixture *f = fixture_open(state);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", fixture_path(f, "socket"));
    int fd = fixture_keep(f, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    expect_failure(f, address.sun_path, FERRY_E_OS, ENXIO);
}

static void a_fifo_hangs_until_its_deadline(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_fifo(f, "fifo"), 0);
    request.deadline_ns = 5 * MS;
    assert_status(fixture_do(f, &request).status, FERRY_E_TIMED_OUT);
}

static void devices_have_no_size(void **state) {
    ferry_engine_options options = {.buffer_bytes_max = 4 * 1024 * 1024};
    fixture *f = fixture_open_with(state, &options, NULL);
    ferry_completion nothing = load(f, "/dev/null", 0);
    assert_status(nothing.status, FERRY_OK);
    assert_int_equal(nothing.result, 0);
    assert_int_equal(nothing.flags, 0);
    static const uint64_t limits[] = {1, 4096, 4097, 1024 * 1024, 0};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        ferry_completion endless = load(f, "/dev/zero", limits[i]);
        assert_status(endless.status, FERRY_E_LIMIT);
        assert_int_equal(endless.flags & FERRY_BUFFER, 0);
        assert_info(f, buffer_bytes_lent, 0);
    }
}

/* Their size is said to be 0, or a page, and is neither. */
static void the_systems_own_files(void **state) {
    fixture *f = fixture_open(state);
    static const char *const paths[] = {"/proc/self/status", "/proc/self/maps", "/proc/cpuinfo",
                                        "/sys/kernel/mm/transparent_hugepage/enabled"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (access(paths[i], R_OK) != 0) {
            print_message("[   NOTE   ] there is no %s here\n", paths[i]);
            continue;
        }
        ferry_completion loaded = load(f, paths[i], 0);
        assert_status(loaded.status, FERRY_OK);
        assert_true(loaded.result > 0);
        assert_int_equal(((const char *)loaded.data)[loaded.result - 1], '\n');
        fixture_release(f, &loaded);
    }
    expect_failure(f, "/proc/self/mem", FERRY_E_IO, EIO);
    expect_failure(f, "/proc/self/fd/1000000", FERRY_E_NOT_FOUND, ENOENT);
    expect_failure(f, "/proc/self/task", FERRY_E_IS_DIRECTORY, EISDIR);
}

static void what_is_on_a_full_disk_can_be_read(void **state) {
    fixture *f = fixture_open(state);
    full_disk disk;
    if (!full_disk_open(&disk, 64 * 1024)) {
        SKIP_BECAUSE(disk.reason);
    }
    fixture_keep(f, disk.folder);
    char path[FULL_DISK_PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/filler", disk.path);
    expect_file(f, path, 64 * 1024);
    full_disk_leave(&disk, 1000);
    expect_file(f, path, 1000);
}

/* --- Files that change --------------------------------------------------------------------- */

/* Until it is killed: cut the file anywhere, write on from there, and put another in its place. Whoever
   reads it finds a piece of the pattern from its beginning, at any time; but where it is being cut, the
   system may already have made zeros of it. */
_Noreturn static void keep_changing(const char *path, const char *other) {
    static unsigned char pattern[CHANGING_MAX];
    uint64_t random = 1;
    alarm(300);
    pattern_fill(pattern, sizeof pattern, 0);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHILD_CHECK(file >= 0);
    for (;;) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size_t size = (random >> 33) % CHANGING_MAX;
        size_t more = (random >> 17) % (CHANGING_MAX - size);
        CHILD_CHECK(ftruncate(file, (off_t)0) == 0);
        CHILD_CHECK(pwrite(file, pattern, size, 0) == (ssize_t)size);
        CHILD_CHECK(pwrite(file, pattern + size, more, (off_t)size) == (ssize_t)more);
        CHILD_CHECK(ftruncate(file, (off_t)(size / 2)) == 0);
        if (random % 16 == 0) {
            CHILD_CHECK(rename(path, other) == 0);
            close(file);
            file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            CHILD_CHECK(file >= 0);
        }
    }
}

static bool is_a_piece(const unsigned char *data, size_t size) {
    static unsigned char pattern[CHANGING_MAX];
    pattern_fill(pattern, sizeof pattern, 0);
    for (size_t i = 0; i < size; i++) {
        if (data[i] != pattern[i] && data[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Checked by the caller when the writer is gone. */
static bool fits(fixture *f, const ferry_completion *loaded) {
    if (loaded->status == FERRY_E_NOT_FOUND) {
        return true; /* It was just being replaced. */
    }
    if (loaded->status != FERRY_OK || loaded->result < 0 || loaded->result > CHANGING_MAX) {
        print_error("%s, result %lld\n", ferry_status_name(loaded->status),
                    (long long)loaded->result);
        return false;
    }
    bool fine = is_a_piece(loaded->data, (size_t)loaded->result);
    fixture_release(f, loaded);
    return fine;
}

static void a_file_that_changes_is_a_piece_of_it(void **state) {
    char *path = fixture_path(*state, "changing");
    char *other = fixture_path(*state, "other");
    /* Before there are threads. */
    pid_t writer = fork();
    REQUIRE(writer >= 0);
    if (writer == 0) {
        keep_changing(path, other);
    }
    /* Its memory is not zero before it is written. */
    counting_allocator *allocator = fixture_memory(*state, sizeof *allocator);
    memset(allocator, 0, sizeof *allocator);
    ferry_engine_options options = {0};
    allocator_install(allocator, &options);
    fixture *f = fixture_open_with(state, &options, NULL);
    size_t loaded_some = 0;
    size_t wrong = 0;
    /* The writer may take its time to begin. */
    for (int i = 0; i < LOADS / AT_ONCE || loaded_some == 0; i++) {
        ferry_op ops[AT_ONCE];
        for (int j = 0; j < AT_ONCE; j++) {
            ferry_request request;
            ferry_prepare_file_load(&request, path, 0);
            ops[j] = fixture_submit(f, &request);
        }
        for (int j = 0; j < AT_ONCE; j++) {
            ferry_completion loaded = fixture_final(f, ops[j]);
            loaded_some += loaded.result > 0 ? 1 : 0;
            wrong += fits(f, &loaded) ? 0 : 1;
        }
    }
    REQUIRE(kill(writer, SIGKILL) == 0);
    assert_int_equal(child_status(writer), 128 + SIGKILL);
    assert_int_equal(wrong, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH_SHARDS(names_that_lead_nowhere),
        ON_EACH_SHARDS(folders_are_not_files),
        ON_EACH_SHARDS(strange_names_are_names),
        ON_EACH_SHARDS(a_name_has_255_bytes_at_most),
        ON_EACH_SHARDS(a_path_has_4095_bytes_at_most),
        ON_HOST(what_may_not_be_read),
        ON_EACH_SHARDS(a_socket_is_no_file),
        ON_EACH_SHARDS(a_fifo_hangs_until_its_deadline),
        ON_EACH_SHARDS(devices_have_no_size),
        ON_EACH_SHARDS(the_systems_own_files),
        ON_EACH_SHARDS(what_is_on_a_full_disk_can_be_read),
        ON_EACH_SHARDS(a_file_that_changes_is_a_piece_of_it),
    };
    return RUN_SUITE(tests);
}
