#include "driver.h"

#include "check.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ferry_status __real_ferry_engine_create(const ferry_engine_options *options,
                                        ferry_engine **engine_out);
ferry_status __wrap_ferry_engine_create(const ferry_engine_options *options,
                                        ferry_engine **engine_out);

static uint32_t chosen(void) {
    const char *name = getenv("FERRY_TEST_DRIVER");
    if (name == NULL || strcmp(name, "auto") == 0) {
        return FERRY_DRIVER_AUTO;
    }
    if (strcmp(name, "uv") == 0) {
        return FERRY_DRIVER_UV;
    }
    REQUIRE(strcmp(name, "uring") == 0);
    return FERRY_DRIVER_URING;
}

static bool may_choose_for(const ferry_engine_options *options) {
    return options->struct_size == sizeof *options && options->driver == FERRY_DRIVER_AUTO &&
           (options->flags & FERRY_ENGINE_ANY_THREAD) == 0;
}

ferry_status __wrap_ferry_engine_create(const ferry_engine_options *options,
                                        ferry_engine **engine_out) {
    ferry_engine_options own = {.struct_size = sizeof own};
    if (options != NULL && !may_choose_for(options)) {
        return __real_ferry_engine_create(options, engine_out);
    }
    if (options != NULL) {
        own = *options;
    }
    own.driver = chosen();
    return __real_ferry_engine_create(&own, engine_out);
}

/* In a child: what libuv keeps open once it was used is not to be counted by the tests. */
static int try_ring(void *driver) {
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .driver = *(const uint32_t *)driver};
    ferry_engine_info info = {.struct_size = sizeof info};
    ferry_engine *engine = NULL;
    if (__real_ferry_engine_create(&options, &engine) != FERRY_OK) {
        return 1;
    }
    CHILD_CHECK(ferry_engine_get_info(engine, &info) == FERRY_OK);
    int without = strcmp(info.driver, "uring") != 0;
    CHILD_CHECK(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK);
    CHILD_CHECK(ferry_engine_destroy(engine) == FERRY_OK);
    return without;
}

bool driver_has_ring(void) {
    uint32_t driver = chosen();
    return driver != FERRY_DRIVER_UV && run_in_child(try_ring, &driver) == 0;
}

bool driver_is_missing(void) {
    if (chosen() != FERRY_DRIVER_URING || driver_has_ring()) {
        return false;
    }
    printf("skipped: no engine with io_uring here (an old kernel, a sandbox, or not built)\n");
    return true;
}
