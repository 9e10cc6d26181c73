/*
 * A client with retries and deadlines, tested in a simulated world under any number of seeds.
 *
 * A counter lives on the host "server". The client adds to it over a network that loses packets, is cut
 * now and then and resets connections; when an answer does not come in time it connects and asks again,
 * with a delay that doubles. Each addition has a number of its own, so that the server notices one that
 * it has made already. With --careless it does not look, which is wrong only if an answer is lost and
 * not the question: some seeds find that.
 *
 *     simulated_client [--careless] [--from SEED] [--count N] [--trace]
 *
 * A thousand seeds by default. The first that fails is played again with its trace printed; the same
 * seed always plays the same.
 */
#include <ferry.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

enum { PORT = 7000, ADDITIONS = 5, NUMBERS = 16 };
enum { TAG_CLIENT = 1, TAG_ACCEPT, TAG_LINE, TAG_OTHER };

struct game {
    ferry_engine *engine;
    ferry_queue *queue;
    uint32_t client; /* hosts */
    uint32_t server;
    bool careless;
    uint64_t random;
    bool cut;
    bool calm; /* The client is done: no more cuts. */
    int64_t counter;
    bool made[NUMBERS]; /* additions that the server has made */
};

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(2);
    }
}

static ferry_address address_of(uint32_t host, uint16_t port) {
    ferry_address address = {
        .family = FERRY_IPV4, .port = port, .bytes = {10, 0, 0, (uint8_t)host}};
    return address;
}

static ferry_op submit(struct game *g, ferry_request *request, uint64_t tag) {
    ferry_op op;
    request->tag = tag;
    check(ferry_queue_submit(g->queue, request, 1, &op, NULL), "submit");
    return op;
}

static uint64_t now(struct game *g) {
    uint64_t now_ns;
    check(ferry_sim_now(g->engine, &now_ns), "now");
    return now_ns;
}

/* ---- the server: one step for each completion ------------------------------------------------- */

static void await_line(struct game *g, ferry_handle stream) {
    ferry_request request;
    ferry_prepare_stream_receive_until(&request, stream, NULL, 64, "\n", 1);
    request.flags |= FERRY_LEND;
    submit(g, &request, TAG_LINE);
}

/* [add] "add 3" makes the third addition, once; "ok 3" says that it is made. */
static void answer(struct game *g, ferry_handle stream, const char *line) {
    int number = atoi(line + 4);
    if (g->careless || !g->made[number])
        g->counter++;
    g->made[number] = true;
    char text[16];
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, text,
                              (size_t)snprintf(text, sizeof text, "ok %d\n", number));
    request.flags |= FERRY_COPY;
    submit(g, &request, TAG_OTHER);
    await_line(g, stream);
}
/* [add] */

static void accept_all(struct game *g, ferry_handle listener) {
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    submit(g, &request, TAG_ACCEPT);
}

static void close_handle(struct game *g, ferry_handle handle) {
    ferry_request request;
    ferry_prepare_handle_close(&request, handle);
    submit(g, &request, TAG_OTHER);
}

static void serve(struct game *g, const ferry_completion *c) {
    if (c->tag == TAG_ACCEPT) {
        if (c->status == FERRY_OK)
            await_line(g, c->handle);
        else if ((c->flags & FERRY_MORE) == 0)
            accept_all(g, c->handle);
    } else if (c->tag == TAG_LINE) {
        if (c->status == FERRY_OK && c->result > 0)
            answer(g, c->handle, c->data);
        else
            close_handle(g, c->handle);
    }
    if ((c->flags & FERRY_BUFFER) != 0)
        check(ferry_buffer_release(g->engine, c->buffer), "release");
}

/* ---- the loop --------------------------------------------------------------------------------- */

/* Any choice of the test's own comes from the seed as well. */
static uint64_t choose(struct game *g, uint64_t count) {
    g->random = g->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (g->random >> 33) % count;
}

/* Until the client's operation has ended; whatever is the server's is served meanwhile. */
static ferry_completion await(struct game *g, ferry_op op) {
    for (;;) {
        if (!g->calm && choose(g, g->cut ? 8 : 24) == 0) {
            g->cut = !g->cut;
            check(ferry_sim_partition(g->engine, g->client, g->server, g->cut), "partition");
        }
        check(ferry_engine_run(g->engine, FERRY_FOREVER, 0, NULL), "run");
        ferry_completion completion;
        while (ferry_queue_reap(g->queue, &completion, 1) == 1) {
            if (completion.op == op)
                return completion;
            serve(g, &completion);
        }
    }
}

static ferry_completion run(struct game *g, ferry_request *request) {
    return await(g, submit(g, request, TAG_CLIENT));
}

static void pause(struct game *g, uint64_t duration_ns) {
    ferry_request request;
    ferry_prepare_timer(&request, duration_ns, 0);
    run(g, &request);
}

/* ---- the client: its steps in their order ----------------------------------------------------- */

/* Ask once. */
static bool ask(struct game *g, ferry_handle stream, int number) {
    char text[16];
    int size = snprintf(text, sizeof text, "add %d\n", number);
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, text, (size_t)size);
    request.deadline_ns = 2 * SECOND;
    if (run(g, &request).status != FERRY_OK)
        return false;
    char reply[16] = "";
    char expected[16];
    snprintf(expected, sizeof expected, "ok %d\n", number);
    ferry_prepare_stream_receive_until(&request, stream, reply, sizeof reply - 1, "\n", 1);
    request.deadline_ns = 2 * SECOND;
    return run(g, &request).status == FERRY_OK && strcmp(reply, expected) == 0;
}

static bool try_to_add(struct game *g, int number) {
    ferry_address peer = address_of(g->server, PORT);
    ferry_address local = address_of(g->client, 0);
    ferry_request request;
    ferry_prepare_tcp_connect_from(&request, &peer, &local);
    request.deadline_ns = 3 * SECOND;
    ferry_completion connected = run(g, &request);
    if (connected.status != FERRY_OK)
        return false;
    bool done = ask(g, connected.handle, number);
    close_handle(g, connected.handle);
    return done;
}

/* [retry] Again and again, later each time, for two minutes. */
static bool add(struct game *g, int number) {
    uint64_t give_up_ns = now(g) + 120 * SECOND;
    for (uint64_t delay_ns = 100 * MS; now(g) < give_up_ns; delay_ns *= 2) {
        if (try_to_add(g, number))
            return true;
        pause(g, delay_ns);
    }
    return false;
}
/* [retry] */

/* ---- one seed --------------------------------------------------------------------------------- */

static void open_world(struct game *g, uint64_t seed) {
    ferry_engine_options options = {
        .struct_size = sizeof options, .driver = FERRY_DRIVER_SIM, .seed = seed};
    check(ferry_engine_create(&options, &g->engine), "create");
    check(ferry_queue_create(g->engine, NULL, &g->queue), "queue");
    ferry_address client = address_of(1, 0);
    ferry_address server = address_of(2, 0);
    check(ferry_sim_add_host(g->engine, "client", &client, 1, &g->client), "host");
    check(ferry_sim_add_host(g->engine, "server", &server, 1, &g->server), "host");
    ferry_sim_link link = {
        .struct_size = sizeof link, .latency_ns = 5 * MS, .jitter_ns = 50 * MS, .loss_ppm = 20000};
    check(ferry_sim_set_link(g->engine, FERRY_SIM_EVERY, FERRY_SIM_EVERY, &link), "link");
    check(ferry_sim_keep_trace(g->engine, 1 << 20), "trace");
}

static void open_server(struct game *g) {
    ferry_address address = address_of(g->server, PORT);
    ferry_request request;
    g->calm = true;
    ferry_prepare_tcp_listen(&request, &address, 0);
    ferry_completion listening = run(g, &request);
    check(listening.status, "listen");
    accept_all(g, listening.handle);
    g->calm = false;
    ferry_sim_fault resets = {.struct_size = sizeof resets,
                              .calls = FERRY_SIM_SEND | FERRY_SIM_RECEIVE,
                              .host = FERRY_SIM_EVERY,
                              .chance_ppm = 30000,
                              .flags = FERRY_SIM_RESET};
    check(ferry_sim_add_fault(g->engine, &resets), "fault");
}

static void print_trace(struct game *g) {
    char text[4096];
    size_t size;
    do {
        check(ferry_sim_read_trace(g->engine, text, sizeof text, &size), "trace");
        fwrite(text, 1, size, stdout);
    } while (size > 0);
}

/* True if the counter is right in the end. */
static bool play(uint64_t seed, bool careless, bool trace) {
    struct game g = {.careless = careless, .random = seed};
    open_world(&g, seed);
    open_server(&g);
    for (int number = 1; number <= ADDITIONS; number++)
        add(&g, number);
    int64_t made = 0;
    for (int number = 0; number < NUMBERS; number++)
        made += g.made[number];
    if (trace)
        print_trace(&g);
    check(ferry_engine_shutdown(g.engine, FERRY_FOREVER), "shutdown");
    check(ferry_engine_destroy(g.engine), "destroy");
    if (g.counter != made)
        printf("seed %" PRIu64 ": %" PRId64 " additions, but the counter says %" PRId64 "\n", seed,
               made, g.counter);
    return g.counter == made;
}

int main(int count, char **arguments) {
    uint64_t from = 1;
    uint64_t seeds = 1000;
    bool careless = false;
    bool trace = false;
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--careless") == 0)
            careless = true;
        else if (strcmp(arguments[i], "--trace") == 0)
            trace = true;
        else if (strcmp(arguments[i], "--from") == 0 && i + 1 < count)
            from = strtoull(arguments[++i], NULL, 10);
        else if (strcmp(arguments[i], "--count") == 0 && i + 1 < count)
            seeds = strtoull(arguments[++i], NULL, 10);
        else
            return 2;
    }
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        if (play(seed, careless, trace))
            continue;
        if (!trace)
            play(seed, careless, true);
        printf("again: simulated_client%s --from %" PRIu64 " --count 1 --trace\n",
               careless ? " --careless" : "", seed);
        return 1;
    }
    printf("%" PRIu64 " seeds, each counter is right\n", seeds);
    return 0;
}
