/**
 * @file
 * Random reads on raw libuv: each a request to its thread pool.
 */
#include "reads.h"
#include "support.h"

#include <uv.h>

struct place {
    uv_fs_t request;
    uint64_t offset;
    char block[READS_BLOCK];
};

static uv_loop_t loop;
static struct reads reads;

static void begin(struct place *place);

static void on_read(uv_fs_t *request) {
    struct place *place = request->data;
    ssize_t size = request->result;
    uv_fs_req_cleanup(request);
    reads_done(&reads, place->offset, place->block, size);
    begin(place);
}

static void begin(struct place *place) {
    if (reads_next(&reads, &place->offset)) {
        uv_buf_t buffer = uv_buf_init(place->block, READS_BLOCK);
        place->request.data = place;
        uv_fs_read(&loop, &place->request, reads.fd, &buffer, 1, (int64_t)place->offset, on_read);
    }
}

int main(int argc, char **argv) {
    static struct place places[READS_IN_FLIGHT];
    bench_start(120);
    uv_loop_init(&loop);
    reads_open(&reads, argc, argv);
    for (int i = 0; i < READS_IN_FLIGHT; i++) {
        begin(&places[i]);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    reads_report(&reads);
    return 0;
}
