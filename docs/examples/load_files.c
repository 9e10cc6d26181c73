/*
 * Load all files of a directory, many at a time.
 *
 * A file's bytes come in memory of the engine's that is lent to us until we release it. To keep
 * that bounded, at most IN_FLIGHT loads are under way: whenever some have ended, as many new ones
 * start.
 *
 *     load_files [directory]     without one: a temporary directory with 1,000 files is made
 */
#define _GNU_SOURCE 1 /* DT_REG */

#include <ferry.h>

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define IN_FLIGHT 64
#define MADE_FILES 1000

struct list {
    char **paths;
    size_t count;
};

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

static void must(bool fine, const char *what) {
    if (!fine) {
        perror(what);
        exit(1);
    }
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void list_add(struct list *list, const char *directory, const char *name) {
    char path[4096];
    int size = snprintf(path, sizeof path, "%s/%s", directory, name);
    must(size > 0 && (size_t)size < sizeof path, "path too long");
    list->paths = realloc(list->paths, (list->count + 1) * sizeof *list->paths);
    must(list->paths != NULL, "realloc");
    list->paths[list->count] = strdup(path);
    must(list->paths[list->count++] != NULL, "strdup");
}

static void list_directory(struct list *list, const char *directory) {
    DIR *entries = opendir(directory);
    must(entries != NULL, directory);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (entry->d_type == DT_REG)
            list_add(list, directory, entry->d_name);
    closedir(entries);
}

static void make_files(const char *directory) {
    char path[4096];
    for (int i = 0; i < MADE_FILES; i++) {
        snprintf(path, sizeof path, "%s/%04d.txt", directory, i);
        FILE *file = fopen(path, "w");
        must(file != NULL, path);
        for (int line = 0; line <= i; line++)
            fprintf(file, "file %d, line %d\n", i, line);
        must(fclose(file) == 0, path);
    }
}

/* Load every path of the list; returns how many could not be loaded. */
static size_t load_all(ferry_engine *engine, ferry_queue *queue, const struct list *list,
                       uint64_t *bytes_out) {
    size_t started = 0, ended = 0, failed = 0;
    while (ended < list->count) {
        /* Describe as many loads as there is room for, and submit them in one call. */
        ferry_request requests[IN_FLIGHT];
        size_t count = 0, accepted = 0;
        for (; count < IN_FLIGHT - (started - ended) && started + count < list->count; count++) {
            ferry_prepare_file_load(&requests[count], list->paths[started + count], 0);
            requests[count].tag = started + count;
        }
        check(ferry_queue_submit(queue, requests, count, NULL, &accepted), "submit");
        started += accepted;

        /* Wait for the first to end; take all that have. */
        ferry_completion done[IN_FLIGHT];
        int32_t reaped = ferry_queue_wait(queue, done, IN_FLIGHT, FERRY_FOREVER);
        check(reaped, "wait");
        for (int32_t i = 0; i < reaped; i++) {
            if (done[i].status != FERRY_OK) {
                fprintf(stderr, "%s: %s\n", list->paths[done[i].tag],
                        ferry_status_message(done[i].status));
                failed++;
            }
            *bytes_out += (uint64_t)done[i].result;
            if (done[i].flags & FERRY_BUFFER) /* done[i].data could be used until here */
                ferry_buffer_release(engine, done[i].buffer);
        }
        ended += (size_t)reaped;
    }
    return failed;
}

int main(int argc, char **argv) {
    char made[] = "/tmp/ferry-files-XXXXXX";
    if (argc < 2) {
        must(mkdtemp(made) != NULL, "mkdtemp");
        make_files(made);
    }
    struct list list = {0};
    list_directory(&list, argc < 2 ? made : argv[1]);

    ferry_engine *engine;
    ferry_queue *queue;
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    check(ferry_engine_create(&options, &engine), "create an engine");
    check(ferry_queue_create(engine, NULL, &queue), "create a queue");

    uint64_t bytes = 0;
    double start = seconds_now();
    size_t failed = load_all(engine, queue, &list, &bytes);
    double elapsed = seconds_now() - start;
    printf("%zu files, %" PRIu64 " bytes in %.1f ms, %zu failed\n", list.count - failed, bytes,
           elapsed * 1e3, failed);

    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
    for (size_t i = 0; i < list.count; i++) {
        if (argc < 2)
            unlink(list.paths[i]);
        free(list.paths[i]);
    }
    free(list.paths);
    if (argc < 2)
        rmdir(made);
    return failed == 0 ? 0 : 1;
}
