/**
 * @file
 * Whole-file load on Ferry: a request for each file, host-driven, submitted and reaped in batches.
 */
#include "engine_support.h"
#include "files.h"
#include "support.h"

static uint32_t prepare(struct files *files, ferry_request *requests, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const char *path = files_next(files);
        if (path == NULL) {
            return i;
        }
        ferry_prepare_file_load(&requests[i], path, 0);
    }
    return count;
}

int main(int argc, char **argv) {
    struct files files = {0};
    ferry_request requests[FILES_IN_FLIGHT];
    ferry_completion completions[FILES_IN_FLIGHT];
    bench_start(120);
    ferry_engine *engine = bench_engine(0, 0);
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_REAP, 0);
    files_open(&files, argc, argv);

    int32_t free_places = FILES_IN_FLIGHT;
    while (files.done < files.total) {
        bench_submit(queue, requests, prepare(&files, requests, (uint32_t)free_places));
        bench_run(engine, FERRY_FOREVER);
        free_places = ferry_queue_reap(queue, completions, FILES_IN_FLIGHT);
        for (int32_t i = 0; i < free_places; i++) {
            bench_check(completions[i].status, "file_load");
            files_loaded(&files, completions[i].data, (size_t)completions[i].result);
            bench_check(ferry_buffer_release(engine, completions[i].buffer), "buffer_release");
        }
        if (free_places < 0) {
            bench_check(free_places, "queue_reap");
        }
    }
    files_report(&files);
    bench_end(engine);
    return 0;
}
