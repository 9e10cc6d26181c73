/* Asking what the system knows of a path. */
#include "files.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static ferry_completion ask(fixture *f, const char *path, bool no_follow) {
    ferry_request request;
    ferry_prepare_path_stat(&request, path, no_follow);
    return fixture_do(f, &request);
}

static void tells_the_types_apart(void **state) {
    fixture *f = fixture_open(state);
    char *folder = fixture_path(f, "folder");
    REQUIRE(mkdir(folder, 0711) == 0);
    char *fifo = fixture_path(f, "fifo");
    REQUIRE(mkfifo(fifo, 0600) == 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, fixture_path(f, "socket"), sizeof address.sun_path - 1);
    int fd = fixture_keep(f, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);

    assert_int_equal(path_stat(f, fixture_file(f, "file", 9), false).type, FERRY_FILE_REGULAR);
    assert_int_equal(path_stat(f, folder, false).type, FERRY_FILE_DIRECTORY);
    assert_int_equal(path_stat(f, folder, false).permissions, 0711);
    assert_int_equal(path_stat(f, fifo, false).type, FERRY_FILE_FIFO);
    assert_int_equal(path_stat(f, address.sun_path, false).type, FERRY_FILE_SOCKET);
    assert_int_equal(path_stat(f, "/dev/null", false).type, FERRY_FILE_CHARACTER);
}

static void follows_links_or_does_not(void **state) {
    fixture *f = fixture_open(state);
    char *file = fixture_file(f, "file", 9);
    char *link = fixture_path(f, "link");
    REQUIRE(symlink("file", link) == 0);
    ferry_file_info itself = path_stat(f, link, true);
    assert_int_equal(itself.type, FERRY_FILE_LINK);
    assert_int_equal(itself.size, 4);
    ferry_file_info target = path_stat(f, link, false);
    assert_int_equal(target.type, FERRY_FILE_REGULAR);
    assert_int_equal(target.size, 9);
    assert_int_equal(target.inode, path_stat(f, file, true).inode);
    char *dangling = fixture_path(f, "dangling");
    REQUIRE(symlink("missing", dangling) == 0);
    assert_int_equal(path_stat(f, dangling, true).type, FERRY_FILE_LINK);
    ferry_completion done = ask(f, dangling, false);
    file_expect(&done, FERRY_E_NOT_FOUND, ENOENT, 0);
}

/* Where the file system knows when a file was made, it was made just now. */
static void knows_when_it_was_made(void **state) {
    fixture *f = fixture_open(state);
    struct timespec before;
    REQUIRE(clock_gettime(CLOCK_REALTIME, &before) == 0);
    ferry_file_info info = path_stat(f, fixture_file(f, "file", 9), false);
    assert_true(info.modified_ns >= before.tv_sec * (int64_t)SECOND);
    if (info.created_ns != 0) {
        assert_true(info.created_ns >= (before.tv_sec - 1) * (int64_t)SECOND);
        assert_true(info.created_ns <= info.modified_ns);
    }
}

static void says_why_it_cannot_tell(void **state) {
    fixture *f = fixture_open(state);
    fixture_file(f, "file", 9);
    ferry_completion done = ask(f, fixture_path(f, "missing"), false);
    file_expect(&done, FERRY_E_NOT_FOUND, ENOENT, 0);
    done = ask(f, fixture_path(f, "file/below"), false);
    file_expect(&done, FERRY_E_NOT_DIRECTORY, ENOTDIR, 0);
    char *loop = fixture_path(f, "loop");
    REQUIRE(symlink("loop", loop) == 0);
    done = ask(f, loop, false);
    file_expect(&done, FERRY_E_LOOP, ELOOP, 0);
    done = ask(f, "", false);
    file_expect(&done, FERRY_E_NOT_FOUND, ENOENT, 0);
}

static void paths_have_a_length(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_memory(f, FERRY_PATH_MAX + 2);
    ferry_request request;
    memset(path, '/', FERRY_PATH_MAX + 1);
    path[FERRY_PATH_MAX + 1] = '\0';
    ferry_prepare_path_stat(&request, path, false);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_NAME_TOO_LONG);
    path[FERRY_PATH_MAX] = '\0';
    assert_int_equal(path_stat(f, path, false).type, FERRY_FILE_DIRECTORY);
}

static void the_path_may_change_after_submit(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", 9);
    ferry_request request;
    ferry_prepare_path_stat(&request, path, false);
    ferry_op op = fixture_submit(f, &request);
    memset(path, 'x', strlen(path));
    ferry_completion done = fixture_final(f, op);
    assert_status(done.status, FERRY_OK);
    fixture_release(f, &done);
}

static void there_may_be_no_room_for_the_answer(void **state) {
    ferry_engine_options small = {.buffer_bytes_max = 65536};
    fixture *f = fixture_open_with(state, &small, NULL);
    ferry_completion kept[2048];
    size_t count = 0;
    for (; count < 2048; count++) {
        kept[count] = ask(f, "/", false);
        if (kept[count].status != FERRY_OK) {
            break;
        }
    }
    assert_in_range(count, 1, 2047);
    file_expect(&kept[count], FERRY_E_FULL, 0, 0);
    assert_int_equal(kept[count].flags & FERRY_BUFFER, 0);
    for (size_t i = 0; i < count; i++) {
        fixture_release(f, &kept[i]);
    }
    assert_int_equal(path_stat(f, "/", false).type, FERRY_FILE_DIRECTORY);
}

static void cancel_and_deadline(void **state) {
    fixture *f = fixture_open(state);
    for (int i = 0; i < 100; i++) {
        ferry_request request;
        ferry_prepare_path_stat(&request, "/", false);
        request.deadline_ns = i % 2 == 0 ? 1 : 0;
        ferry_op op = fixture_submit(f, &request);
        if (i % 2 != 0) {
            fixture_cancel(f, op);
        }
        ferry_completion done = fixture_final(f, op);
        assert_status_either(done.status, FERRY_OK,
                             i % 2 == 0 ? FERRY_E_TIMED_OUT : FERRY_E_CANCELED);
        fixture_release(f, &done);
    }
    assert_info(f, workers_detached, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(tells_the_types_apart),
        ON_EACH_SHARDS(follows_links_or_does_not),
        ON_EACH_SHARDS(knows_when_it_was_made),
        ON_EACH_SHARDS(says_why_it_cannot_tell),
        ON_EACH_SHARDS(paths_have_a_length),
        ON_EACH_SHARDS(the_path_may_change_after_submit),
        ON_EACH_SHARDS(there_may_be_no_room_for_the_answer),
        ON_EVERY_DRIVE(cancel_and_deadline),
    };
    return RUN_SUITE(tests);
}
