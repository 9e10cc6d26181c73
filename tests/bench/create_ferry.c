/**
 * @file
 * From nothing to a first completion: engine, queue, a request, reaped; then all is destroyed.
 *
 *     create_ferry [shards [times]]
 *
 * prints {"driver":"..","first_ns":..,"later_ns":[..]}: the first has to load the code, too.
 */
#include "engine_support.h"
#include "support.h"

#include <stdio.h>

static const char *driver;

static uint64_t create_once(uint32_t shards) {
    uint64_t start = bench_now_ns();
    ferry_engine *engine = bench_engine(shards, 0);
    ferry_queue *queue = bench_queue(engine, FERRY_QUEUE_REAP, 0);
    ferry_request request;
    ferry_completion completion;
    ferry_prepare_nop(&request);
    bench_submit(queue, &request, 1);
    int32_t count = 0;
    while (count == 0) {
        if (shards == 0) {
            bench_run(engine, FERRY_FOREVER);
            count = ferry_queue_reap(queue, &completion, 1);
        } else {
            count = ferry_queue_wait(queue, &completion, 1, FERRY_FOREVER);
        }
    }
    if (count < 0) {
        bench_check(count, "queue_wait");
    }
    uint64_t elapsed = bench_now_ns() - start;
    ferry_engine_info info = {.struct_size = sizeof(info)};
    bench_check(ferry_engine_get_info(engine, &info), "engine_get_info");
    driver = info.driver;
    bench_end(engine);
    return elapsed;
}

int main(int argc, char **argv) {
    bench_start(120);
    uint32_t shards = (uint32_t)bench_number(argc, argv, 1, 0);
    uint64_t times = bench_number(argc, argv, 2, 20);
    uint64_t first = create_once(shards);
    printf("{\"driver\":\"%s\",\"first_ns\":%llu,\"later_ns\":[", driver,
           (unsigned long long)first);
    for (uint64_t i = 0; i < times; i++) {
        printf("%s%llu", i == 0 ? "" : ",", (unsigned long long)create_once(shards));
    }
    puts("]}");
    return 0;
}
