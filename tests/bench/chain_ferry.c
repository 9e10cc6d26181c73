/**
 * @file
 * Open, read and close a file: as one chain, or as three requests, each submitted when the one
 * before has completed. Host-driven, submitted and reaped in batches.
 *
 *     chain_ferry chain|steps DIRECTORY COUNT PASSES
 */
#include "engine_support.h"
#include "files.h"
#include "support.h"

#include <string.h>

enum { STEPS = 3 };

static struct files files;
static ferry_engine *engine;
static char buffers[FILES_IN_FLIGHT][FILES_SIZE];
static ferry_request next[FILES_IN_FLIGHT]; // One for each place at most.
static uint32_t next_count;

static void begin_chain(uint64_t place) {
    const char *path = files_next(&files);
    if (path == NULL) {
        return;
    }
    // Copied at submit, so what is added later must not use the same ones.
    static ferry_request children[FILES_IN_FLIGHT][STEPS];
    ferry_request *child = children[place];
    ferry_prepare_file_open(&child[0], path, FERRY_OPEN_READ, 0);
    ferry_prepare_file_read(&child[1], ferry_child_handle(0, 0), buffers[place], FILES_SIZE, 0);
    ferry_prepare_handle_close(&child[2], ferry_child_handle(0, 0));
    ferry_request *request = &next[next_count++];
    ferry_prepare_chain(request, child, STEPS);
    request->tag = place;
}

static void on_chain(const ferry_completion *completion) {
    const ferry_completion *children = completion->data;
    files_loaded(&files, buffers[completion->tag], (size_t)children[1].result);
    bench_check(ferry_buffer_release(engine, completion->buffer), "buffer_release");
    begin_chain(completion->tag);
}

static void begin_steps(uint64_t place) {
    const char *path = files_next(&files);
    if (path == NULL) {
        return;
    }
    ferry_request *request = &next[next_count++];
    ferry_prepare_file_open(request, path, FERRY_OPEN_READ, 0);
    request->tag = place;
}

static void on_step(const ferry_completion *completion) {
    static int64_t sizes[FILES_IN_FLIGHT];
    uint64_t place = completion->tag;
    if (completion->opcode == FERRY_OP_HANDLE_CLOSE) {
        files_loaded(&files, buffers[place], (size_t)sizes[place]);
        begin_steps(place);
        return;
    }
    ferry_request *request = &next[next_count++];
    if (completion->opcode == FERRY_OP_FILE_OPEN) {
        ferry_prepare_file_read(request, completion->handle, buffers[place], FILES_SIZE, 0);
    } else {
        sizes[place] = completion->result;
        ferry_prepare_handle_close(request, completion->handle);
    }
    request->tag = place;
}

int main(int argc, char **argv) {
    ferry_completion completions[FILES_IN_FLIGHT];
    bench_start(120);
    bool chain = argc > 1 && strcmp(argv[1], "chain") == 0;
    engine = bench_engine(0, 0);
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_REAP, 0);
    files_open(&files, argc - 1, argv + 1);
    for (uint64_t place = 0; place < FILES_IN_FLIGHT; place++) {
        (chain ? begin_chain : begin_steps)(place);
    }
    while (files.done < files.total) {
        bench_submit(queue, next, next_count);
        next_count = 0;
        bench_run(engine, FERRY_FOREVER);
        int32_t count = ferry_queue_reap(queue, completions, FILES_IN_FLIGHT);
        if (count < 0) {
            bench_check(count, "queue_reap");
        }
        for (int32_t i = 0; i < count; i++) {
            bench_check(completions[i].status, ferry_opcode_name(completions[i].opcode));
            (chain ? on_chain : on_step)(&completions[i]);
        }
    }
    files_report(&files);
    bench_end(engine);
    return 0;
}
