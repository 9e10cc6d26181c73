/**
 * @file
 * The peer of chain_ferry: open, read and close on raw libuv, each from the callback of the one
 * before.
 *
 *     chain_libuv DIRECTORY COUNT PASSES
 */
#include "files.h"
#include "support.h"

#include <uv.h>

struct place {
    uv_fs_t request;
    uv_file file;
    size_t size;
    char data[FILES_SIZE];
};

static uv_loop_t loop;
static struct files files;

static void begin(struct place *place);

static ssize_t finish_step(uv_fs_t *request, const char *what) {
    ssize_t result = request->result;
    if (result < 0) {
        bench_die("%s: %s", what, uv_strerror((int)result));
    }
    uv_fs_req_cleanup(request);
    return result;
}

static void on_closed(uv_fs_t *request) {
    struct place *place = request->data;
    finish_step(request, "close");
    files_loaded(&files, place->data, place->size);
    begin(place);
}

static void on_read(uv_fs_t *request) {
    struct place *place = request->data;
    place->size = (size_t)finish_step(request, "read");
    uv_fs_close(&loop, request, place->file, on_closed);
}

static void on_open(uv_fs_t *request) {
    struct place *place = request->data;
    place->file = (uv_file)finish_step(request, "open");
    uv_buf_t buffer = uv_buf_init(place->data, FILES_SIZE);
    uv_fs_read(&loop, request, place->file, &buffer, 1, 0, on_read);
}

static void begin(struct place *place) {
    const char *path = files_next(&files);
    if (path != NULL) {
        place->request.data = place;
        uv_fs_open(&loop, &place->request, path, UV_FS_O_RDONLY, 0, on_open);
    }
}

int main(int argc, char **argv) {
    static struct place places[FILES_IN_FLIGHT];
    bench_start(120);
    uv_loop_init(&loop);
    files_open(&files, argc, argv);
    for (int i = 0; i < FILES_IN_FLIGHT; i++) {
        begin(&places[i]);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    files_report(&files);
    return 0;
}
