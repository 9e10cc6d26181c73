/**
 * @file
 * File operations in one call each, and what a test knows of files without Ferry.
 */
#ifndef FERRY_TEST_FILES_H
#define FERRY_TEST_FILES_H

#include "fixture.h"

/** A file's handle; opening must succeed. flags: FERRY_OPEN_... */
ferry_handle file_open(fixture *f, const char *path, uint32_t flags);

/** Submit and wait for the final completion. */
ferry_completion file_try_open(fixture *f, const char *path, uint32_t flags, uint32_t mode);
ferry_completion file_read(fixture *f, ferry_handle file, void *buffer, size_t size,
                           uint64_t offset);
ferry_completion file_write(fixture *f, ferry_handle file, const void *data, size_t size,
                            uint64_t offset);
ferry_completion file_sync(fixture *f, ferry_handle file, bool data_only);
ferry_completion file_truncate(fixture *f, ferry_handle file, uint64_t size);
ferry_completion file_store(fixture *f, const char *path, const void *data, size_t size,
                            uint32_t mode);

/** What the system knows; asking must succeed. */
ferry_file_info file_stat(fixture *f, ferry_handle file);
ferry_file_info path_stat(fixture *f, const char *path, bool no_follow);

/** Fail unless a completion has this outcome. */
void file_expect(const ferry_completion *completion, ferry_status status, int os_error,
                 int64_t result);

/** Fail unless the file at path holds just this. */
void file_holds(const char *path, const void *data, size_t size);

/** Write a file without Ferry. */
void file_put(const char *path, const void *data, size_t size);

/** Entries of a folder, hidden ones included. */
size_t folder_entries(const char *path);

/** The permissions of what a path names. */
uint32_t file_mode(const char *path);

#endif
