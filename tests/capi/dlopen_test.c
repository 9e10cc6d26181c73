/*
 * The library comes and goes: loaded, used, unloaded, a hundred times, and nothing stays.
 *
 * The program is not linked with Ferry; the first argument says where the library lies.
 */
#include "check.h"
#include "process.h"

#include <dlfcn.h>
#include <string.h>

enum { TIMES = 100 };

static const char *library_path;

typedef struct calls {
    ferry_status (*engine_create)(const ferry_engine_options *, ferry_engine **);
    ferry_status (*engine_shutdown)(ferry_engine *, uint64_t);
    ferry_status (*engine_destroy)(ferry_engine *);
    ferry_status (*queue_create)(ferry_engine *, const ferry_queue_options *, ferry_queue **);
    ferry_status (*queue_submit)(ferry_queue *, const ferry_request *, size_t, ferry_op *,
                                 size_t *);
    int32_t (*queue_wait)(ferry_queue *, ferry_completion *, uint32_t, uint64_t);
    void (*prepare_file_load)(ferry_request *, const char *, uint64_t);
} calls;

/* Not linked with Ferry, so the checks' own need of it is met here. */
const char *ferry_status_name(ferry_status status) {
    (void)status;
    return "a status";
}

static void find(void *library, const char *name, void *place, size_t size) {
    void *symbol = dlsym(library, name);
    assert_non_null(symbol);
    /* ISO C has no cast from a data pointer to a function's. */
    assert_int_equal(size, sizeof symbol);
    memcpy(place, &symbol, sizeof symbol);
}

#define FIND(calls, library, name)                                                                 \
    find(library, "ferry_" #name, &(calls)->name, sizeof(calls)->name)

static void find_all(void *library, calls *c) {
    FIND(c, library, engine_create);
    FIND(c, library, engine_shutdown);
    FIND(c, library, engine_destroy);
    FIND(c, library, queue_create);
    FIND(c, library, queue_submit);
    FIND(c, library, queue_wait);
    FIND(c, library, prepare_file_load);
}

/* Use a shard's thread and a worker's, so that both have something to leave behind. */
static void use(const calls *c) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 2};
    ferry_engine *engine = NULL;
    ferry_queue *queue = NULL;
    ferry_request request;
    ferry_completion out;
    assert_int_equal(c->engine_create(&options, &engine), FERRY_OK);
    assert_int_equal(c->queue_create(engine, NULL, &queue), FERRY_OK);
    c->prepare_file_load(&request, "/nowhere/at/all", 0);
    assert_int_equal(c->queue_submit(queue, &request, 1, NULL, NULL), FERRY_OK);
    assert_int_equal(c->queue_wait(queue, &out, 1, FERRY_FOREVER), 1);
    assert_int_equal(out.status, FERRY_E_NOT_FOUND);
    assert_int_equal(c->engine_shutdown(engine, FERRY_FOREVER), FERRY_OK);
    assert_int_equal(c->engine_destroy(engine), FERRY_OK);
}

static void load_and_unload(void) {
    calls c;
    void *library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fail_msg("%s", dlerror());
    }
    find_all(library, &c);
    use(&c);
    assert_int_equal(dlclose(library), 0);
}

static void comes_and_goes(void **state) {
    (void)state;
    size_t descriptors = count_descriptors();
    load_and_unload();
    /* A sanitizer starts a thread of its own when the first other one is started. */
    size_t threads = sanitized() ? count_threads() : 1;
    for (int i = 0; i < TIMES; i++) {
        load_and_unload();
    }
    assert_true(threads_fall_to(threads));
    assert_int_equal(count_descriptors(), descriptors);
}

static void is_really_unloaded(void **state) {
    (void)state;
    if (sanitized()) {
        SKIP_BECAUSE("a sanitizer keeps libraries loaded");
    }
    void *library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    assert_int_equal(dlclose(library), 0);
    assert_null(dlopen(library_path, RTLD_NOW | RTLD_NOLOAD));
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {
        PLAIN(comes_and_goes),
        PLAIN(is_really_unloaded),
    };
    if (count != 2) {
        print_message("needs the shared library's path: it was built static only\n");
        return 77;
    }
    library_path = arguments[1];
    /* Not RUN_SUITE, which would ask the library that is not linked. */
    return suite_result(cmocka_run_group_tests(tests, NULL, NULL), sizeof tests);
}
