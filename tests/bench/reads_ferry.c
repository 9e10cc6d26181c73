/**
 * @file
 * Random reads on Ferry, host-driven, submitted and reaped in batches.
 */
#include "engine_support.h"
#include "reads.h"
#include "support.h"

static struct reads reads;
static uint64_t offsets[READS_IN_FLIGHT];
static char blocks[READS_IN_FLIGHT][READS_BLOCK];

static ferry_handle open_file(ferry_engine *engine, ferry_queue *queue) {
    ferry_request request;
    ferry_completion completion;
    ferry_prepare_file_open(&request, reads.path, FERRY_OPEN_READ, 0);
    bench_submit(queue, &request, 1);
    while (ferry_queue_reap(queue, &completion, 1) != 1) {
        bench_run(engine, FERRY_FOREVER);
    }
    bench_check(completion.status, "file_open");
    return completion.handle;
}

/** Describe the place's next read at the end of the batch; false when there is none. */
static bool prepare(ferry_request *request, ferry_handle file, uint64_t place) {
    if (!reads_next(&reads, &offsets[place])) {
        return false;
    }
    ferry_prepare_file_read(request, file, blocks[place], READS_BLOCK, offsets[place]);
    request->tag = place;
    return true;
}

int main(int argc, char **argv) {
    ferry_request requests[READS_IN_FLIGHT];
    ferry_completion completions[READS_IN_FLIGHT];
    bench_start(120);
    ferry_engine *engine = bench_engine(0, 0);
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_REAP, 0);
    reads_open(&reads, argc, argv);
    ferry_handle file = open_file(engine, queue);
    reads_start(&reads);

    uint32_t count = 0;
    for (uint64_t place = 0; place < READS_IN_FLIGHT; place++) {
        count += prepare(&requests[count], file, place) ? 1 : 0;
    }
    while (reads.done < reads.total) {
        bench_submit(queue, requests, count);
        count = 0;
        bench_run(engine, FERRY_FOREVER);
        int32_t reaped = ferry_queue_reap(queue, completions, READS_IN_FLIGHT);
        if (reaped < 0) {
            bench_check(reaped, "queue_reap");
        }
        for (int32_t i = 0; i < reaped; i++) {
            uint64_t place = completions[i].tag;
            bench_check(completions[i].status, "file_read");
            reads_done(&reads, offsets[place], blocks[place], completions[i].result);
            count += prepare(&requests[count], file, place) ? 1 : 0;
        }
    }
    reads_report(&reads);
    bench_end(engine);
    return 0;
}
