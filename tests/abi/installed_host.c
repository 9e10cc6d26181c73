/* A host as it would be written outside this tree: only what is installed, one operation, done. */
#include <ferry.h>

#include <stdio.h>

int main(void) {
    ferry_engine *engine = NULL;
    ferry_queue *queue = NULL;
    ferry_request request;
    ferry_completion completion = {0};
    if (ferry_version() !=
        FERRY_VERSION_MAJOR * 1000000 + FERRY_VERSION_MINOR * 1000 + FERRY_VERSION_PATCH) {
        puts("the library is of another version than its headers");
        return 1;
    }
    if (ferry_engine_create(NULL, &engine) != FERRY_OK ||
        ferry_queue_create(engine, NULL, &queue) != FERRY_OK) {
        puts("no engine");
        return 1;
    }
    ferry_prepare_nop(&request);
    request.tag = 42;
    ferry_queue_submit(queue, &request, 1, NULL, NULL);
    while (ferry_queue_reap(queue, &completion, 1) == 0) {
        ferry_engine_run(engine, FERRY_FOREVER, 0, NULL);
    }
    ferry_engine_shutdown(engine, FERRY_FOREVER);
    ferry_engine_destroy(engine);
    printf("%s\n", ferry_status_name(completion.status));
    return completion.status == FERRY_OK && completion.tag == 42 ? 0 : 1;
}
