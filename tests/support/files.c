#include "files.h"

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ferry_completion file_try_open(fixture *f, const char *path, uint32_t flags, uint32_t mode) {
    ferry_request request;
    ferry_prepare_file_open(&request, path, flags, mode);
    return fixture_do(f, &request);
}

ferry_handle file_open(fixture *f, const char *path, uint32_t flags) {
    ferry_completion opened = file_try_open(f, path, flags, 0);
    assert_status(opened.status, FERRY_OK);
    assert_int_not_equal(opened.handle, FERRY_NONE);
    return opened.handle;
}

ferry_completion file_read(fixture *f, ferry_handle file, void *buffer, size_t size,
                           uint64_t offset) {
    ferry_request request;
    ferry_prepare_file_read(&request, file, buffer, size, offset);
    return fixture_do(f, &request);
}

ferry_completion file_write(fixture *f, ferry_handle file, const void *data, size_t size,
                            uint64_t offset) {
    ferry_request request;
    ferry_prepare_file_write(&request, file, data, size, offset);
    return fixture_do(f, &request);
}

ferry_completion file_sync(fixture *f, ferry_handle file, bool data_only) {
    ferry_request request;
    ferry_prepare_file_sync(&request, file, data_only);
    return fixture_do(f, &request);
}

ferry_completion file_truncate(fixture *f, ferry_handle file, uint64_t size) {
    ferry_request request;
    ferry_prepare_file_truncate(&request, file, size);
    return fixture_do(f, &request);
}

ferry_completion file_store(fixture *f, const char *path, const void *data, size_t size,
                            uint32_t mode) {
    ferry_request request;
    ferry_prepare_file_store(&request, path, data, size, mode);
    return fixture_do(f, &request);
}

static ferry_file_info told(fixture *f, const ferry_completion *completion) {
    assert_status(completion->status, FERRY_OK);
    assert_int_equal(completion->result, sizeof(ferry_file_info));
    ferry_file_info info;
    memcpy(&info, completion->data, sizeof info);
    fixture_release(f, completion);
    for (size_t i = 0; i < sizeof info.reserved / sizeof info.reserved[0]; i++) {
        assert_int_equal(info.reserved[i], 0);
    }
    return info;
}

ferry_file_info file_stat(fixture *f, ferry_handle file) {
    ferry_request request;
    ferry_prepare_file_stat(&request, file);
    ferry_completion completion = fixture_do(f, &request);
    return told(f, &completion);
}

ferry_file_info path_stat(fixture *f, const char *path, bool no_follow) {
    ferry_request request;
    ferry_prepare_path_stat(&request, path, no_follow);
    ferry_completion completion = fixture_do(f, &request);
    return told(f, &completion);
}

void file_expect(const ferry_completion *completion, ferry_status status, int os_error,
                 int64_t result) {
    assert_status(completion->status, status);
    assert_int_equal(completion->os_error, os_error);
    assert_int_equal(completion->result, result);
}

void file_holds(const char *path, const void *data, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    char *got = malloc(size + 1);
    REQUIRE(got != NULL);
    size_t used = 0;
    ssize_t count;
    while (used <= size && (count = read(fd, got + used, size + 1 - used)) > 0) {
        used += (size_t)count;
    }
    close(fd);
    assert_int_equal(used, size);
    assert_memory_equal(got, data, size);
    free(got);
}

void file_put(const char *path, const void *data, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, data, size) == (ssize_t)size);
    REQUIRE(close(fd) == 0);
}

size_t folder_entries(const char *path) {
    size_t count = 0;
    DIR *listing = opendir(path);
    REQUIRE(listing != NULL);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(listing);
    return count;
}

uint32_t file_mode(const char *path) {
    struct stat status;
    REQUIRE(stat(path, &status) == 0);
    return status.st_mode & 07777;
}
