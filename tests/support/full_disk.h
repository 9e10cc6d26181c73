/**
 * @file
 * A small file system without a free byte.
 *
 * It is in memory, and already taken out of the tree when full_disk_open returns: only its descriptor
 * holds it, so nothing is left behind whatever becomes of the test.
 */
#ifndef FERRY_TEST_FULL_DISK_H
#define FERRY_TEST_FULL_DISK_H

#include <stdbool.h>
#include <stddef.h>

enum { FULL_DISK_PATH_SIZE = 128 };

typedef struct full_disk {
    int folder;                     /* Its root, open. */
    char path[FULL_DISK_PATH_SIZE]; /* Its root as a path, for this process only. */
    const char *reason;             /* Why there is none. */
} full_disk;

/**
 * Make one of about so many bytes, with a file "filler" (pattern_fill) that takes all of them.
 *
 * @returns False where the system does not allow it: skip, reason says why.
 */
bool full_disk_open(full_disk *disk, size_t size);

/** Make room again: cut the filler down to so many bytes. */
void full_disk_leave(full_disk *disk, size_t filled);

void full_disk_close(full_disk *disk);

#endif
