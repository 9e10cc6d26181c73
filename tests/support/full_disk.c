#include "full_disk.h"

#include "check.h"
#include "peer.h"

#include <sys/mount.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int open_filler(const full_disk *disk) {
    int file = openat(disk->folder, "filler", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    REQUIRE(file >= 0);
    return file;
}

static void fill(const full_disk *disk) {
    static unsigned char piece[4096];
    int file = open_filler(disk);
    ssize_t written = 0;
    for (size_t at = 0; written >= 0; at += (size_t)written) {
        pattern_fill(piece, sizeof piece, at);
        written = write(file, piece, sizeof piece);
    }
    REQUIRE(errno == ENOSPC);
    close(file);
}

bool full_disk_open(full_disk *disk, size_t size) {
    const char *base = getenv("TMPDIR");
    char place[64];
    char options[64];
    snprintf(place, sizeof place, "%.40s/ferry-disk-XXXXXX", base != NULL ? base : "/tmp");
    snprintf(options, sizeof options, "size=%zu,mode=0700", size);
    REQUIRE(mkdtemp(place) != NULL);
    if (mount("ferry-test", place, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) {
        disk->reason = "this user may not mount a file system";
        rmdir(place);
        return false;
    }
    disk->folder = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(disk->folder >= 0);
    REQUIRE(umount2(place, MNT_DETACH) == 0);
    rmdir(place);
    snprintf(disk->path, sizeof disk->path, "/proc/self/fd/%d", disk->folder);
    fill(disk);
    return true;
}

void full_disk_leave(full_disk *disk, size_t filled) {
    int file = open_filler(disk);
    REQUIRE(ftruncate(file, (off_t)filled) == 0);
    close(file);
}

void full_disk_close(full_disk *disk) {
    close(disk->folder);
}
