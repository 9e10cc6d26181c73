/**
 * @file
 * Whole-file load on raw libuv: open, fstat, read and close, each a request to its thread pool.
 */
#include "files.h"
#include "support.h"

#include <uv.h>

#include <stdlib.h>

struct load {
    uv_fs_t request;
    uv_file file;
    size_t size;
    char *data;
};

static uv_loop_t loop;
static struct files files;

static void begin(struct load *load);

static ssize_t finish_step(uv_fs_t *request, const char *what) {
    ssize_t result = request->result;
    if (result < 0) {
        bench_die("%s: %s", what, uv_strerror((int)result));
    }
    uv_fs_req_cleanup(request);
    return result;
}

static void on_closed(uv_fs_t *request) {
    struct load *load = request->data;
    finish_step(request, "close");
    files_loaded(&files, load->data, load->size);
    free(load->data);
    begin(load);
}

static void on_read(uv_fs_t *request) {
    struct load *load = request->data;
    if (finish_step(request, "read") != (ssize_t)load->size) {
        bench_die("a short read");
    }
    uv_fs_close(&loop, request, load->file, on_closed);
}

static void on_status(uv_fs_t *request) {
    struct load *load = request->data;
    load->size = (size_t)request->statbuf.st_size;
    finish_step(request, "fstat");
    load->data = bench_allocate(load->size);
    uv_buf_t buffer = uv_buf_init(load->data, (unsigned)load->size);
    uv_fs_read(&loop, request, load->file, &buffer, 1, 0, on_read);
}

static void on_open(uv_fs_t *request) {
    struct load *load = request->data;
    load->file = (uv_file)finish_step(request, "open");
    uv_fs_fstat(&loop, request, load->file, on_status);
}

static void begin(struct load *load) {
    const char *path = files_next(&files);
    if (path != NULL) {
        load->request.data = load;
        uv_fs_open(&loop, &load->request, path, UV_FS_O_RDONLY, 0, on_open);
    }
}

int main(int argc, char **argv) {
    static struct load loads[FILES_IN_FLIGHT];
    bench_start(120);
    uv_loop_init(&loop);
    files_open(&files, argc, argv);
    for (int i = 0; i < FILES_IN_FLIGHT; i++) {
        begin(&loads[i]);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    files_report(&files);
    return 0;
}
