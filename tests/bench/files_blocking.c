/**
 * @file
 * Whole-file load in a blocking loop: the floor, for information.
 */
#include "files.h"
#include "support.h"

#include <stdlib.h>

int main(int argc, char **argv) {
    struct files files = {0};
    bench_start(120);
    files_open(&files, argc, argv);
    for (const char *path; (path = files_next(&files)) != NULL;) {
        size_t size = 0;
        void *data = files_load_blocking(path, &size);
        files_loaded(&files, data, size);
        free(data);
    }
    files_report(&files);
    return 0;
}
