/**
 * @file
 * Echo server on Ferry, host-driven with an inline queue: completions are callbacks.
 *
 *     echo_ferry_inline [message bytes] [copy|lines|silent]
 */
#include "echo_ferry.h"
#include "engine_support.h"
#include "support.h"

static void on_completion(const ferry_completion *completion, void *user_data) {
    echo_handle(user_data, completion);
    echo_submit(user_data);
}

int main(int argc, char **argv) {
    static struct echo echo;
    bench_start(120);
    echo_open(&echo, argc, argv, FERRY_QUEUE_INLINE, on_completion);
    for (;;) {
        bench_run(echo.engine, FERRY_FOREVER);
    }
}
