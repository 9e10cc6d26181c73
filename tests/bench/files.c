#include "files.h"

#include "support.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void *files_load_blocking(const char *path, size_t *size_out) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        bench_die("cannot open %s", path);
    }
    size_t size = (size_t)status.st_size;
    void *data = bench_allocate(size);
    if (read(fd, data, size) != (ssize_t)size) {
        bench_die("cannot read %s", path);
    }
    close(fd);
    *size_out = size;
    return data;
}

void files_open(struct files *files, int argc, char **argv) {
    if (argc != 4) {
        bench_die("usage: %s DIRECTORY COUNT PASSES", argv[0]);
    }
    files->count = (uint32_t)bench_number(argc, argv, 2, 0);
    files->total = files->count * bench_number(argc, argv, 3, 0);
    files->paths = bench_allocate(files->count * sizeof(*files->paths));
    for (uint32_t i = 0; i < files->count; i++) {
        if (asprintf(&files->paths[i], "%s/%u", argv[1], i) < 0) {
            bench_die("out of memory");
        }
        size_t size = 0;
        free(files_load_blocking(files->paths[i], &size));
    }
    files->start_cpu_ns = bench_cpu_ns(0);
    files->start_ns = bench_now_ns();
}

const char *files_next(struct files *files) {
    if (files->begun == files->total) {
        return NULL;
    }
    return files->paths[files->begun++ % files->count];
}

void files_loaded(struct files *files, const void *data, size_t size) {
    if (size != FILES_SIZE || ((const char *)data)[FILES_SIZE - 1] != 'f') {
        bench_die("a file was loaded wrongly: %zu bytes", size);
    }
    files->done++;
}

void files_report(const struct files *files) {
    printf("{\"count\":%llu,\"elapsed_ns\":%llu,\"cpu_ns\":%llu}\n",
           (unsigned long long)files->done, (unsigned long long)(bench_now_ns() - files->start_ns),
           (unsigned long long)(bench_cpu_ns(0) - files->start_cpu_ns));
}
