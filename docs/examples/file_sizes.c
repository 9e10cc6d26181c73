/* Load all files named on the command line at the same time and print their sizes. */
#include <ferry.h>

#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    ferry_engine *engine;
    ferry_queue *queue;
    if (ferry_engine_create(&options, &engine) || ferry_queue_create(engine, NULL, &queue))
        return 1;

    size_t accepted = 0;
    for (int i = 1; i < argc; i++) {
        ferry_request request;
        ferry_prepare_file_load(&request, argv[i], 0); /* describe: nothing happens yet */
        request.tag = (uint64_t)i;                     /* comes back with the completion */
        size_t one;
        ferry_queue_submit(queue, &request, 1, NULL, &one); /* submit: it starts */
        accepted += one;
    }
    while (accepted > 0) {
        ferry_completion done[64];
        int32_t count = ferry_queue_wait(queue, done, 64, FERRY_FOREVER); /* reap many at once */
        if (count < 0)
            return 1;
        for (int32_t i = 0; i < count; i++, accepted--) {
            if (done[i].status)
                printf("%s: %s\n", argv[done[i].tag], ferry_status_message(done[i].status));
            else
                printf("%s: %" PRId64 " bytes\n", argv[done[i].tag], done[i].result);
            if (done[i].flags & FERRY_BUFFER)
                ferry_buffer_release(engine, done[i].buffer); /* the bytes were only lent */
        }
    }
    ferry_engine_shutdown(engine, FERRY_FOREVER);
    return ferry_engine_destroy(engine) ? 1 : 0; /* its queue goes with it */
}
