/**
 * @file
 * A file to a socket by HANDLE_COPY, host-driven: one request for each pass.
 */
#include "copy.h"
#include "engine_support.h"
#include "support.h"

static ferry_engine *engine;
static ferry_queue *queue;

static ferry_completion run(const ferry_request *request) {
    ferry_completion completion;
    bench_submit(queue, request, 1);
    for (;;) {
        bench_run(engine, FERRY_FOREVER);
        int32_t count = ferry_queue_reap(queue, &completion, 1);
        if (count < 0) {
            bench_check(count, "queue_reap");
        }
        if (count == 1) {
            bench_check(completion.status, ferry_opcode_name(completion.opcode));
            return completion;
        }
    }
}

int main(int argc, char **argv) {
    struct copy copy;
    ferry_request request;
    char all_received;
    bench_start(120);
    copy_open(&copy, argc, argv);
    engine = bench_engine(0, 0);
    queue = bench_queue(engine, FERRY_QUEUE_REAP, 0);
    copy_begin(&copy);
    ferry_prepare_file_open(&request, copy.path, FERRY_OPEN_READ, 0);
    ferry_handle file = run(&request).handle;
    ferry_prepare_descriptor_adopt(&request, copy.fd, FERRY_DESCRIPTOR_STREAM);
    ferry_handle stream = run(&request).handle;
    for (uint64_t pass = 0; pass < copy.passes; pass++) {
        ferry_prepare_handle_copy(&request, file, stream, copy.size, 0, 0);
        if ((uint64_t)run(&request).result != copy.size) {
            bench_die("not all was copied");
        }
    }
    ferry_prepare_stream_receive(&request, stream, &all_received, 1);
    run(&request);
    copy_report(&copy);
    bench_end(engine);
    return 0;
}
