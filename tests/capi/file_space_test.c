/*
 * A file system that is full, out of inodes, or read-only: a small one of the test's own, which nobody
 * else sees and which goes with the process.
 */
#include "files.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 256 * 1024, MORE = 400 * 1024, SMALL = 100 * 1024 };

static bool may_mount;
static unsigned char data[MORE];

/* Mounted on a folder of the fixture's; NULL: this machine does not let us. */
static char *mount_small(fixture *f, const char *options) {
    char *folder = fixture_path(f, "small");
    REQUIRE(mkdir(folder, 0700) == 0);
    if (!may_mount || mount("tmpfs", folder, "tmpfs", 0, options) != 0) {
        return NULL;
    }
    pattern_fill(data, sizeof data, 0);
    return folder;
}

#define MOUNT_OR_SKIP(folder, f, options)                                                          \
    char *folder = mount_small(f, options);                                                        \
    if (folder == NULL) {                                                                          \
        SKIP_BECAUSE("it takes root to mount a file system");                                      \
    }

static void unmount(fixture *f, const char *folder) {
    fixture_shutdown(f);
    REQUIRE(umount(folder) == 0);
}

static void a_write_tells_what_fitted(void **state) {
    fixture *f = fixture_open(state);
    MOUNT_OR_SKIP(folder, f, "size=256k");
    char *path = fixture_path(f, "small/file");
    ferry_handle file = file_open(f, path, FERRY_OPEN_WRITE | FERRY_OPEN_CREATE);
    ferry_completion done = file_write(f, file, data, MORE, 0);
    file_expect(&done, FERRY_E_NO_SPACE, ENOSPC, ROOM);
    file_holds(path, data, ROOM);
    ferry_slice slices[4];
    for (size_t i = 0; i < 4; i++) {
        slices[i] = (ferry_slice){{data + i * SMALL}, SMALL};
    }
    ferry_request request;
    ferry_prepare_file_write_vectored(&request, file, slices, 4, 0);
    done = fixture_do(f, &request);
    file_expect(&done, FERRY_E_NO_SPACE, ENOSPC, ROOM);
    done = file_write(f, file, data, 1, ROOM);
    file_expect(&done, FERRY_E_NO_SPACE, ENOSPC, 0);
    /* A hole takes no room until it is filled. */
    done = file_truncate(f, file, 0);
    file_expect(&done, FERRY_OK, 0, 0);
    done = file_truncate(f, file, 1 << 30);
    file_expect(&done, FERRY_OK, 0, 0);
    done = file_write(f, file, data, MORE, 1 << 20);
    file_expect(&done, FERRY_E_NO_SPACE, ENOSPC, ROOM);
    done = file_truncate(f, file, 0);
    file_expect(&done, FERRY_OK, 0, 0);
    done = file_write(f, file, data, SMALL, 0);
    file_expect(&done, FERRY_OK, 0, SMALL);
    fixture_close_handle(f, file);
    unmount(f, folder);
}

static void a_store_that_does_not_fit_leaves_the_old_one(void **state) {
    fixture *f = fixture_open(state);
    MOUNT_OR_SKIP(folder, f, "size=256k");
    char *path = fixture_path(f, "small/file");
    ferry_completion done = file_store(f, path, data, MORE, 0);
    file_expect(&done, FERRY_E_NO_SPACE, ENOSPC, 0);
    assert_int_equal(folder_entries(folder), 0);
    done = file_store(f, path, data, SMALL, 0);
    file_expect(&done, FERRY_OK, 0, SMALL);
    /* Old and new must fit together. */
    done = file_store(f, path, data + 1, 2 * SMALL, 0);
    file_expect(&done, FERRY_E_NO_SPACE, ENOSPC, 0);
    file_holds(path, data, SMALL);
    assert_int_equal(folder_entries(folder), 1);
    done = file_store(f, path, data + 1, SMALL, 0);
    file_expect(&done, FERRY_OK, 0, SMALL);
    file_holds(path, data + 1, SMALL);
    unmount(f, folder);
}

static void inodes_can_run_out(void **state) {
    fixture *f = fixture_open(state);
    MOUNT_OR_SKIP(folder, f, "size=256k,nr_inodes=2");
    char *path = fixture_path(f, "small/file");
    ferry_handle file = file_open(f, path, FERRY_OPEN_WRITE | FERRY_OPEN_CREATE);
    ferry_completion done =
        file_try_open(f, fixture_path(f, "small/other"), FERRY_OPEN_WRITE | FERRY_OPEN_CREATE, 0);
    file_expect(&done, FERRY_E_NO_SPACE, ENOSPC, 0);
    done = file_store(f, path, data, 10, 0);
    file_expect(&done, FERRY_E_NO_SPACE, ENOSPC, 0);
    file_holds(path, "", 0);
    fixture_close_handle(f, file);
    unmount(f, folder);
}

static void a_file_system_can_be_read_only(void **state) {
    fixture *f = fixture_open(state);
    MOUNT_OR_SKIP(folder, f, "size=256k");
    char *path = fixture_path(f, "small/file");
    file_put(path, data, 10);
    REQUIRE(mount("tmpfs", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL) == 0);
    ferry_completion done = file_try_open(f, path, FERRY_OPEN_WRITE, 0);
    file_expect(&done, FERRY_E_READ_ONLY, EROFS, 0);
    done = file_store(f, path, "x", 1, 0);
    file_expect(&done, FERRY_E_READ_ONLY, EROFS, 0);
    file_holds(path, data, 10);
    unmount(f, folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH_SHARDS(a_write_tells_what_fitted),
        ON_EACH_SHARDS(a_store_that_does_not_fit_leaves_the_old_one),
        ON_EACH_SHARDS(inodes_can_run_out),
        ON_EACH_SHARDS(a_file_system_can_be_read_only),
    };
    /* A view of our own: what is mounted here is seen by nobody else. */
    may_mount = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    return RUN_SUITE(tests);
}
