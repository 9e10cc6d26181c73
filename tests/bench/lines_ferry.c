/**
 * @file
 * Lines on Ferry, host-driven with an inline queue: a callback for each line.
 *
 *     lines_ferry lent|single [lines]
 *
 * lent: one multishot receive-until, each line lent and released. single: a receive-until into the
 * host's memory for each line, submitted when the one before has completed.
 */
#include "engine_support.h"
#include "lines.h"
#include "support.h"

#include <string.h>

static ferry_engine *engine;
static ferry_queue *queue;
static ferry_request receive;
static char line[LINES_SIZE_MAX];

static void on_lent(const ferry_completion *completion, void *user_data) {
    (void)user_data;
    if ((completion->flags & FERRY_MORE) == 0) {
        bench_die("the receive has ended: %s", ferry_status_name(completion->status));
    }
    lines_take(completion->data, (size_t)completion->result);
    bench_check(ferry_buffer_release(engine, completion->buffer), "buffer_release");
}

static void on_single(const ferry_completion *completion, void *user_data) {
    const uint64_t *count = user_data;
    bench_check(completion->status, "receive_until");
    lines_take(line, (size_t)completion->result);
    if (lines_taken() < *count) {
        bench_submit(queue, &receive, 1);
    }
}

static void on_accepted(const ferry_completion *completion, void *user_data) {
    bench_check(completion->status, "accept");
    ferry_completion_fn callback = receive.callback;
    bool lent = callback == on_lent;
    ferry_prepare_stream_receive_until(&receive, completion->handle, lent ? NULL : line,
                                       LINES_SIZE_MAX, "\n", 1);
    receive.flags |= lent ? FERRY_LEND | FERRY_MULTISHOT : 0;
    receive.callback = callback;
    receive.user_data = user_data;
    bench_submit(queue, &receive, 1);
}

static void on_listening(const ferry_completion *completion, void *user_data) {
    bench_check(completion->status, "listen");
    ferry_request request;
    ferry_prepare_tcp_accept(&request, completion->handle);
    request.callback = on_accepted;
    request.user_data = user_data;
    bench_submit(queue, &request, 1);
    lines_peer_connect((uint16_t)completion->result);
}

int main(int argc, char **argv) {
    uint64_t count = bench_number(argc, argv, 2, 20000000);
    bench_start(120);
    lines_peer_start(count);
    bench_pin(0);
    engine = bench_engine(0, 0);
    queue = bench_queue(engine, FERRY_QUEUE_INLINE, 0);
    receive.callback = argc > 1 && strcmp(argv[1], "single") == 0 ? on_single : on_lent;
    ferry_address address;
    ferry_request listen;
    bench_check(ferry_address_parse("127.0.0.1", 0, &address), "address_parse");
    ferry_prepare_tcp_listen(&listen, &address, 0);
    listen.callback = on_listening;
    listen.user_data = &count;
    bench_submit(queue, &listen, 1);
    while (lines_taken() < count) {
        bench_run(engine, FERRY_FOREVER);
    }
    lines_report();
    return 0; /* a receive still waits: the system closes its stream */
}
