/*
 * Storing whole files: what the path names afterwards, whatever happens on the way.
 *
 * The system's calls that come after the write are replaced here, so that each can be made to fail.
 */
#include "files.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { STORES = 200, KILLS = 20 }; /* A sanitizer is slow, and each test has a minute. */
#else
enum { STORES = 1000, KILLS = 60 };
#endif
enum { NOBODY = 65534, SIZE = 5000 };

/* --- A system that fails ------------------------------------------------------------------- */

static atomic_int file_sync_error, folder_sync_error, rename_error, chmod_error;

static int refuse(int error) {
    errno = error;
    return -1;
}

int fsync(int fd) {
    struct stat status;
    REQUIRE(fstat(fd, &status) == 0);
    int error = atomic_load(S_ISDIR(status.st_mode) ? &folder_sync_error : &file_sync_error);
    return error != 0 ? refuse(error) : (int)syscall(SYS_fsync, fd);
}

int renameat(int from, const char *old, int to, const char *new) {
    int error = atomic_load(&rename_error);
    return error != 0 ? refuse(error) : (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

int fchmod(int fd, mode_t mode) {
    int error = atomic_load(&chmod_error);
    return error != 0 ? refuse(error) : (int)syscall(SYS_fchmod, fd, mode);
}

/* ThreadSanitizer has a close of its own, and must see them all. */
#ifndef __SANITIZE_THREAD__
static atomic_int close_error;

int close(int fd) {
    struct stat status;
    int error = atomic_load(&close_error);
    bool fails = error != 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    int result = (int)syscall(SYS_close, fd);
    return fails ? refuse(error) : result;
}
#endif

/* --- What is stored ------------------------------------------------------------------------ */

static void replaces_the_whole(void **state) {
    fixture *f = fixture_open(state);
    char *folder = fixture_path(f, "folder");
    REQUIRE(mkdir(folder, 0700) == 0);
    char *path = fixture_path(f, "folder/file");
    unsigned char data[3 * SIZE];
    static const size_t sizes[] = {SIZE, 3 * SIZE, 0, 1, SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        pattern_fill(data, sizes[i], i);
        ferry_completion done = file_store(f, path, data, sizes[i], 0);
        file_expect(&done, FERRY_OK, 0, (int64_t)sizes[i]);
        file_holds(path, data, sizes[i]);
        assert_int_equal(folder_entries(folder), 1);
    }
    ferry_completion done = file_store(f, path, NULL, 0, 0);
    file_expect(&done, FERRY_OK, 0, 0);
    file_holds(path, "", 0);
}

static void who_has_the_old_one_keeps_it(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    char *other = fixture_path(f, "other");
    REQUIRE(link(path, other) == 0);
    ferry_handle old = file_open(f, path, FERRY_OPEN_READ);
    ferry_completion done = file_store(f, path, "new", 3, 0);
    file_expect(&done, FERRY_OK, 0, 3);
    file_holds(path, "new", 3);
    unsigned char data[SIZE];
    done = file_read(f, old, data, sizeof data, 0);
    file_expect(&done, FERRY_OK, 0, SIZE);
    assert_true(pattern_matches(data, SIZE, 0));
    file_holds(other, data, SIZE);
}

static void permissions(void **state) {
    fixture *f = fixture_open(state);
    mode_t before = umask(027);
    char *fresh = fixture_path(f, "fresh");
    char *given = fixture_path(f, "given");
    char *kept = fixture_file(f, "kept", 10);
    char *strange = fixture_file(f, "strange", 10);
    REQUIRE(chmod(kept, 0604) == 0);
    REQUIRE(chmod(strange, 04711) == 0);
    file_store(f, fresh, "x", 1, 0);
    file_store(f, given, "x", 1, 0466);
    file_store(f, kept, "x", 1, 0);
    file_store(f, strange, "x", 1, 0);
    umask(before);
    assert_int_equal(file_mode(fresh), 0640);
    assert_int_equal(file_mode(given), 0440);
    assert_int_equal(file_mode(kept), 0604);
    assert_int_equal(file_mode(strange), 04711);
    file_store(f, kept, "x", 1, 0600);
    assert_int_equal(file_mode(kept), 0600);
}

static void the_owner_stays_if_we_may(void **state) {
    fixture *f = fixture_open(state);
    if (geteuid() != 0) {
        SKIP_BECAUSE("only root may give files away");
    }
    char *path = fixture_file(f, "file", 10);
    REQUIRE(chown(path, NOBODY, NOBODY) == 0 && chmod(path, 06755) == 0);
    ferry_completion done = file_store(f, path, "x", 1, 0);
    file_expect(&done, FERRY_OK, 0, 1);
    ferry_file_info info = path_stat(f, path, false);
    assert_int_equal(info.user, NOBODY);
    assert_int_equal(info.group, NOBODY);
    assert_int_equal(info.permissions, 06755);
    /* Somebody who may not does not get the owner's rights into a file of his own. */
    char *folder = fixture_path(f, ".");
    REQUIRE(chmod(folder, 0777) == 0 && chown(path, 0, 0) == 0 && chmod(path, 06755) == 0);
    REQUIRE(seteuid(NOBODY) == 0);
    done = file_store(f, path, "yz", 2, 0);
    REQUIRE(seteuid(0) == 0);
    file_expect(&done, FERRY_OK, 0, 2);
    info = path_stat(f, path, false);
    assert_int_equal(info.user, NOBODY);
    assert_int_equal(info.permissions, 0755);
}

static void follows_links(void **state) {
    fixture *f = fixture_open(state);
    REQUIRE(mkdir(fixture_path(f, "there"), 0700) == 0);
    char *file = fixture_file(f, "there/file", SIZE);
    char *link = fixture_path(f, "link");
    REQUIRE(symlink("there/second", link) == 0);
    REQUIRE(symlink("file", fixture_path(f, "there/second")) == 0);
    ferry_completion done = file_store(f, link, "new", 3, 0);
    file_expect(&done, FERRY_OK, 0, 3);
    file_holds(file, "new", 3);
    assert_int_equal(path_stat(f, link, true).type, FERRY_FILE_LINK);
    assert_int_equal(folder_entries(fixture_path(f, "there")), 2);

    /* What it names need not exist; it may be absolute. */
    char *dangling = fixture_path(f, "dangling");
    char *target = fixture_path(f, "there/made");
    REQUIRE(symlink(target, dangling) == 0);
    done = file_store(f, dangling, "made", 4, 0);
    file_expect(&done, FERRY_OK, 0, 4);
    file_holds(target, "made", 4);
    assert_int_equal(path_stat(f, dangling, true).type, FERRY_FILE_LINK);

    char *loop = fixture_path(f, "loop");
    REQUIRE(symlink("loop", loop) == 0);
    done = file_store(f, loop, "new", 3, 0);
    file_expect(&done, FERRY_E_LOOP, ELOOP, 0);
    assert_int_equal(path_stat(f, loop, true).type, FERRY_FILE_LINK);
}

static void paths_may_be_relative(void **state) {
    fixture *f = fixture_open(state);
    char before[4096];
    REQUIRE(getcwd(before, sizeof before) != NULL);
    REQUIRE(chdir(fixture_path(f, ".")) == 0);
    ferry_completion here = file_store(f, "here", "a", 1, 0);
    ferry_completion dotted = file_store(f, "./dotted", "b", 1, 0);
    REQUIRE(chdir(before) == 0);
    file_expect(&here, FERRY_OK, 0, 1);
    file_expect(&dotted, FERRY_OK, 0, 1);
    file_holds(fixture_path(f, "here"), "a", 1);
    file_holds(fixture_path(f, "dotted"), "b", 1);
}

static void names_may_be_long(void **state) {
    fixture *f = fixture_open(state);
    char name[257];
    memset(name, 'n', sizeof name - 1);
    name[256] = '\0';
    ferry_completion done = file_store(f, fixture_path(f, name), "x", 1, 0);
    file_expect(&done, FERRY_E_NAME_TOO_LONG, ENAMETOOLONG, 0);
    name[255] = '\0';
    char *path = fixture_path(f, name);
    done = file_store(f, path, "x", 1, 0);
    file_expect(&done, FERRY_OK, 0, 1);
    /* The longest path there is: many slashes before a name. */
    char *longest = fixture_memory(f, FERRY_PATH_MAX + 1);
    memset(longest, '/', FERRY_PATH_MAX);
    strcpy(longest + FERRY_PATH_MAX - strlen(path), path);
    done = file_store(f, longest, "yz", 2, 0);
    file_expect(&done, FERRY_OK, 0, 2);
    file_holds(path, "yz", 2);
}

/* --- What is not --------------------------------------------------------------------------- */

static void says_why_it_cannot_store(void **state) {
    fixture *f = fixture_open(state);
    char *folder = fixture_path(f, "folder");
    REQUIRE(mkdir(folder, 0700) == 0);
    fixture_file(f, "file", 10);
    char *fifo = fixture_path(f, "fifo");
    REQUIRE(mkfifo(fifo, 0600) == 0);
    size_t entries = folder_entries(fixture_path(f, "."));
    const struct {
        const char *path;
        ferry_status status;
        int os_error;
    } wrong[] = {
        {fixture_path(f, "missing/file"), FERRY_E_NOT_FOUND, ENOENT},
        {fixture_path(f, "missing/"), FERRY_E_NOT_FOUND, ENOENT},
        {fixture_path(f, "file/below"), FERRY_E_NOT_DIRECTORY, ENOTDIR},
        {fixture_path(f, "file/"), FERRY_E_NOT_DIRECTORY, ENOTDIR},
        {folder, FERRY_E_IS_DIRECTORY, EISDIR},
        {fixture_path(f, "folder/"), FERRY_E_IS_DIRECTORY, EISDIR},
        {fixture_path(f, "folder/."), FERRY_E_IS_DIRECTORY, EISDIR},
        {fixture_path(f, "folder/.."), FERRY_E_IS_DIRECTORY, EISDIR},
        {"/", FERRY_E_IS_DIRECTORY, EISDIR},
        {"", FERRY_E_NOT_FOUND, ENOENT},
        {fifo, FERRY_E_INVALID, EINVAL},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ferry_completion done = file_store(f, wrong[i].path, "x", 1, 0);
        file_expect(&done, wrong[i].status, wrong[i].os_error, 0);
    }
    assert_int_equal(folder_entries(fixture_path(f, ".")), entries);
    assert_int_equal(folder_entries(folder), 0);
    assert_int_equal(path_stat(f, fifo, true).type, FERRY_FILE_FIFO);
}

static void rights_are_the_systems_to_give(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    char *folder = fixture_path(f, ".");
    bool root = geteuid() == 0;
    REQUIRE(chmod(folder, 0555) == 0);
    REQUIRE(!root || seteuid(NOBODY) == 0);
    ferry_completion stored = file_store(f, path, "new", 3, 0);
    REQUIRE(!root || seteuid(0) == 0);
    REQUIRE(chmod(folder, 0755) == 0);
    file_expect(&stored, FERRY_E_ACCESS, EACCES, 0);
    unsigned char old[SIZE];
    pattern_fill(old, sizeof old, 0);
    file_holds(path, old, SIZE);
}

static void each_step_may_fail(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", SIZE);
    unsigned char old[SIZE];
    pattern_fill(old, sizeof old, 0);
    const struct {
        atomic_int *step;
        int error;
        ferry_status status;
    } steps[] = {
        {&file_sync_error, ENOSPC, FERRY_E_NO_SPACE}, {&file_sync_error, EDQUOT, FERRY_E_NO_SPACE},
        {&file_sync_error, EIO, FERRY_E_IO},          {&chmod_error, EPERM, FERRY_E_ACCESS},
#ifndef __SANITIZE_THREAD__
        {&close_error, ENOSPC, FERRY_E_NO_SPACE},     {&close_error, EIO, FERRY_E_IO},
#endif
        {&rename_error, EACCES, FERRY_E_ACCESS},      {&rename_error, ENOSPC, FERRY_E_NO_SPACE},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        atomic_store(steps[i].step, steps[i].error);
        ferry_completion done = file_store(f, path, "new", 3, 0);
        atomic_store(steps[i].step, 0);
        file_expect(&done, steps[i].status, steps[i].error, 0);
        file_holds(path, old, SIZE);
        assert_int_equal(folder_entries(fixture_path(f, ".")), 1);
    }
    /* After the rename the new one is there, durable or not. */
    atomic_store(&folder_sync_error, ENOSPC);
    ferry_completion done = file_store(f, path, "new", 3, 0);
    atomic_store(&folder_sync_error, 0);
    file_expect(&done, FERRY_E_IO, ENOSPC, 3);
    file_holds(path, "new", 3);
    /* A file system whose folders cannot be synced is no failure. */
    atomic_store(&folder_sync_error, EINVAL);
    done = file_store(f, path, "newer", 5, 0);
    atomic_store(&folder_sync_error, 0);
    file_expect(&done, FERRY_OK, 0, 5);
    assert_int_equal(folder_entries(fixture_path(f, ".")), 1);
}

static void a_sync_that_fails_is_told(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle file = file_open(f, fixture_file(f, "file", SIZE), FERRY_OPEN_WRITE);
    atomic_store(&file_sync_error, EIO);
    ferry_completion failed = file_sync(f, file, false);
    atomic_store(&file_sync_error, ENOSPC);
    ferry_completion full = file_sync(f, file, false);
    atomic_store(&file_sync_error, 0);
    file_expect(&failed, FERRY_E_IO, EIO, 0);
    file_expect(&full, FERRY_E_NO_SPACE, ENOSPC, 0);
}

static void a_close_that_fails_is_told(void **state) {
    fixture *f = fixture_open(state);
#ifdef __SANITIZE_THREAD__
    (void)f;
    SKIP_BECAUSE("ThreadSanitizer has a close of its own");
#else
    ferry_handle file = file_open(f, fixture_file(f, "file", SIZE), FERRY_OPEN_WRITE);
    ferry_request request;
    ferry_prepare_handle_close(&request, file);
    atomic_store(&close_error, ENOSPC);
    ferry_completion closed = fixture_do(f, &request);
    atomic_store(&close_error, EINTR);
    ferry_prepare_handle_close(&request, file_open(f, fixture_path(f, "file"), FERRY_OPEN_WRITE));
    ferry_completion interrupted = fixture_do(f, &request);
    atomic_store(&close_error, 0);
    file_expect(&closed, FERRY_E_NO_SPACE, ENOSPC, 0);
    file_expect(&interrupted, FERRY_OK, 0, 0);
    assert_info(f, handles_open, 0);
#endif
}

static void canceled_or_not_it_is_whole(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_path(f, "file");
    unsigned char data[2][SIZE];
    pattern_fill(data[0], SIZE, 0);
    pattern_fill(data[1], SIZE, 1);
    size_t current = 0;
    ferry_completion done = file_store(f, path, data[0], SIZE, 0);
    file_expect(&done, FERRY_OK, 0, SIZE);
    for (int i = 0; i < 100; i++) {
        ferry_request request;
        ferry_prepare_file_store(&request, path, data[1 - current], SIZE, 0);
        ferry_op op = fixture_submit(f, &request);
        for (int turns = 0; turns < i % 3; turns++) {
            fixture_turn(f, 0);
        }
        fixture_cancel(f, op);
        done = fixture_final(f, op);
        assert_status_either(done.status, FERRY_OK, FERRY_E_CANCELED);
        current = done.status == FERRY_OK ? 1 - current : current;
        file_holds(path, data[current], SIZE);
        assert_int_equal(folder_entries(fixture_path(f, ".")), 1);
    }
}

/* --- Who looks meanwhile ------------------------------------------------------------------- */

enum { WORDS_MAX = 4096 };

/* A version of the file: so many words, each the same, which tells how many there are. */
static size_t make_version(uint64_t *words, uint64_t version) {
    size_t count = 1 + (size_t)(version * 2654435761u % WORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        words[i] = version << 16 | count;
    }
    return count * sizeof *words;
}

/* The version at path, or 0 if what is there is not whole. */
static uint64_t version_at(const char *path) {
    uint64_t words[WORDS_MAX + 1];
    size_t used = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    while ((got = read(fd, (char *)words + used, sizeof words - used)) > 0) {
        used += (size_t)got;
    }
    close(fd);
    size_t count = used / sizeof *words;
    if (count == 0 || used % sizeof *words != 0 || (words[0] & 0xffff) != count) {
        return 0;
    }
    for (size_t i = 1; i < count; i++) {
        if (words[i] != words[0]) {
            return 0;
        }
    }
    return words[0] >> 16;
}

typedef struct watcher {
    const char *path;
    atomic_bool stop;
    atomic_size_t looks;
    atomic_size_t torn;
    atomic_size_t backwards;
} watcher;

static void *watch(void *argument) {
    watcher *w = argument;
    uint64_t last = 0;
    while (!atomic_load(&w->stop)) {
        uint64_t version = version_at(w->path);
        atomic_fetch_add(&w->torn, version == 0);
        atomic_fetch_add(&w->backwards, version < last);
        atomic_fetch_add(&w->looks, 1);
        last = version;
    }
    return NULL;
}

static void readers_see_whole_files_only(void **state) {
    fixture *f = fixture_open(state);
    static uint64_t words[WORDS_MAX];
    char *path = fixture_path(f, "file");
    file_put(path, words, make_version(words, 1));
    watcher w = {.path = path};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, watch, &w) == 0);
    }
    bool fine = true;
    for (uint64_t version = 2; version < STORES + 2 && fine; version++) {
        size_t size = make_version(words, version);
        ferry_completion done = file_store(f, path, words, size, 0);
        fine = done.status == FERRY_OK && done.result == (int64_t)size;
    }
    while (atomic_load(&w.looks) < 100) {
        sleep_ns(MS);
    }
    atomic_store(&w.stop, true);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(fine);
    assert_int_equal(atomic_load(&w.torn), 0);
    assert_int_equal(atomic_load(&w.backwards), 0);
    assert_int_equal(version_at(path), STORES + 1);
    assert_int_equal(folder_entries(fixture_path(f, ".")), 1);
}

static void stores_at_the_same_time_do_not_mix(void **state) {
    fixture *f = fixture_open(state);
    enum { TOGETHER = 16 };
    static uint64_t words[TOGETHER][WORDS_MAX];
    ferry_request requests[TOGETHER];
    ferry_op ops[TOGETHER];
    char *path = fixture_path(f, "file");
    for (uint64_t i = 0; i < TOGETHER; i++) {
        ferry_prepare_file_store(&requests[i], path, words[i], make_version(words[i], i + 1), 0);
    }
    fixture_submit_all(f, requests, TOGETHER, ops);
    for (size_t i = 0; i < TOGETHER; i++) {
        assert_status(fixture_final(f, ops[i]).status, FERRY_OK);
        assert_int_not_equal(version_at(path), 0);
    }
    assert_int_equal(folder_entries(fixture_path(f, ".")), 1);
}

/* --- Killed ---------------------------------------------------------------------------------- */

static _Noreturn void store_until_killed(const char *path, uint64_t version) {
    static uint64_t words[WORDS_MAX];
    ferry_engine_options options = {.struct_size = sizeof options};
    ferry_engine *engine = NULL;
    ferry_queue *queue = NULL;
    CHILD_CHECK(ferry_engine_create(&options, &engine) == FERRY_OK);
    CHILD_CHECK(ferry_queue_create(engine, NULL, &queue) == FERRY_OK);
    for (;; version++) {
        ferry_request request;
        ferry_completion out;
        ferry_prepare_file_store(&request, path, words, make_version(words, version), 0);
        CHILD_CHECK(ferry_queue_submit(queue, &request, 1, NULL, NULL) == FERRY_OK);
        while (ferry_queue_reap(queue, &out, 1) == 0) {
            CHILD_CHECK(ferry_engine_run(engine, FERRY_FOREVER, 0, NULL) == FERRY_OK);
        }
        CHILD_CHECK(out.status == FERRY_OK);
    }
}

/* Remove what killed children left. */
static void sweep(const char *folder) {
    char command[128];
    snprintf(command, sizeof command, "rm -f '%s'/.ferry-*", folder);
    REQUIRE(system(command) == 0);
}

static void killed_at_any_moment_it_is_whole(void **state) {
    (void)state;
    static uint64_t words[WORDS_MAX];
    char folder[] = "/tmp/ferry-store-XXXXXX";
    char path[64];
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/file", folder);
    file_put(path, words, make_version(words, 1));
    uint64_t version = 1;
    unsigned seed = 1;
    size_t advanced = 0;
    /* However slow the disk is, some must have got as far as to store: they live longer, then. */
    uint64_t longest = sanitized() ? 200 * MS : 100 * MS;
    for (int i = 0; i < KILLS || advanced < KILLS / 4; i++) {
        watchdog_restart();
        fflush(NULL);
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            watchdog_restart();
            store_until_killed(path, version + 1);
        }
        /* From before its engine is there to well into its stores. */
        seed = seed * 1103515245u + 12345u;
        sleep_ns((uint64_t)(seed >> 8) * 256 % longest);
        REQUIRE(kill(child, SIGKILL) == 0);
        assert_int_equal(child_status(child), 128 + SIGKILL);
        uint64_t found = version_at(path);
        assert_true(found >= version);
        advanced += found > version;
        longest += found == version && longest < 10 * SECOND ? longest / 16 : 0;
        version = found;
    }
    sweep(folder);
    assert_int_equal(folder_entries(folder), 1);
    REQUIRE(unlink(path) == 0 && rmdir(folder) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(replaces_the_whole),
        ON_EACH_SHARDS(who_has_the_old_one_keeps_it),
        ON_EACH_SHARDS(permissions),
        ON_EACH_SHARDS(the_owner_stays_if_we_may),
        ON_EACH_SHARDS(follows_links),
        ON_EACH_SHARDS(paths_may_be_relative),
        ON_EACH_SHARDS(names_may_be_long),
        ON_EVERY_DRIVE(says_why_it_cannot_store),
        ON_EACH_SHARDS(rights_are_the_systems_to_give),
        ON_EACH_SHARDS(each_step_may_fail),
        ON_EACH_SHARDS(a_sync_that_fails_is_told),
        ON_EACH_SHARDS(a_close_that_fails_is_told),
        ON_EVERY_DRIVE(canceled_or_not_it_is_whole),
        TEST_ON(readers_see_whole_files_only, one),
        ON_EACH_SHARDS(stores_at_the_same_time_do_not_mix),
        PLAIN(killed_at_any_moment_it_is_whole),
    };
    fixture_ring_without = FERRY_RING_CLOSE;
    return RUN_SUITE(tests);
}
