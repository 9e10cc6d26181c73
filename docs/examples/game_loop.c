/*
 * A game loop at 60 frames a second that streams files and talks to a server.
 *
 * Ferry is driven by the frame: ferry_engine_run and ferry_queue_dispatch share 2 ms of each, and
 * what they do not get done in that time is done in the next frame. Some thousand files are made in
 * a temporary folder and loaded over and over; over a connection per player messages go to a server
 * (an engine with a thread of its own, in this process) and come back. "Rendering" burns some
 * milliseconds of each frame, so that the frame is a real one. At the end it prints its frame
 * times.
 *
 *     game_loop [seconds]     3 by default
 */
#define _GNU_SOURCE 1 /* RUSAGE_THREAD */

#include <ferry.h>

#include <sys/resource.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define FRAME_NS (UINT64_C(1000000000) / 60)
#define BUDGET_NS (2 * MS)
#define RENDER_NS (4 * MS)

enum { FILES = 2000, FILE_BYTES = 4096, LOADS = 64, PLAYERS = 32, MESSAGE = 64, PATH_SIZE = 64 };

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

static void must(bool fine, const char *what) {
    if (!fine) {
        perror(what);
        exit(1);
    }
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- The server: inline callbacks on its engine's own thread --------------------------------- */

struct server {
    ferry_engine *engine;
    ferry_queue *queue; /* inline: what it starts */
    ferry_queue *calls; /* reaped: the one answer that main waits for */
    ferry_handle listener;
    uint16_t port;
};

static void submit(ferry_queue *queue, const ferry_request *request) {
    check(ferry_queue_submit(queue, request, 1, NULL, NULL), "submit");
}

/* Echo what has come. FERRY_COPY: the lent buffer can go back at once. */
static void server_received(const ferry_completion *done, void *user_data) {
    struct server *server = user_data;
    ferry_request next;
    if (done->flags & FERRY_BUFFER) {
        ferry_prepare_stream_send(&next, done->handle, done->data, (size_t)done->result);
        next.flags |= FERRY_COPY;
        /* Not check(): at the end of the program it is refused with FERRY_E_SHUTDOWN. */
        ferry_queue_submit(server->queue, &next, 1, NULL, NULL);
        ferry_buffer_release(server->engine, done->buffer);
    }
    if (!(done->flags & FERRY_MORE)) /* the player has gone */
        ferry_handle_discard(server->engine, done->handle);
}

static void server_accepted(const ferry_completion *done, void *user_data) {
    struct server *server = user_data;
    ferry_request next;
    if (done->status != FERRY_OK) /* the final one, when the server ends */
        return;
    ferry_prepare_stream_receive_multishot(&next, done->handle);
    next.callback = server_received;
    next.user_data = server;
    submit(server->queue, &next);
}

static void server_start(struct server *server) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    ferry_queue_options inlined = {.struct_size = sizeof inlined, .mode = FERRY_QUEUE_INLINE};
    check(ferry_engine_create(&options, &server->engine), "create the server's engine");
    check(ferry_queue_create(server->engine, &inlined, &server->queue), "create a queue");
    check(ferry_queue_create(server->engine, NULL, &server->calls), "create a queue");

    ferry_address address;
    ferry_request request;
    ferry_completion done;
    check(ferry_address_parse("127.0.0.1", 0, &address), "parse the address");
    ferry_prepare_tcp_listen(&request, &address, 0);
    submit(server->calls, &request);
    check(ferry_queue_wait(server->calls, &done, 1, FERRY_FOREVER), "wait");
    check(done.status, "listen");
    server->listener = done.handle;
    server->port = (uint16_t)done.result;
    ferry_prepare_tcp_accept(&request, server->listener);
    request.callback = server_accepted;
    request.user_data = server;
    submit(server->queue, &request);
}

/* --- The game ------------------------------------------------------------------------------- */

struct game {
    ferry_engine *engine;
    ferry_queue *queue;
    char folder[32];
    uint32_t next_file;
    uint32_t loading;
    uint64_t files;
    uint64_t messages;
    uint32_t received[PLAYERS]; /* bytes of the message that is on its way */
    char data[PLAYERS][MESSAGE];
    bool ending;
};

static void file_path(const struct game *game, uint32_t number, char *path) {
    snprintf(path, PATH_SIZE, "%s/%u", game->folder, number);
}

static void make_files(struct game *game) {
    static char content[FILE_BYTES];
    char path[PATH_SIZE];
    strcpy(game->folder, "/tmp/ferry-game-XXXXXX");
    must(mkdtemp(game->folder) != NULL, "mkdtemp");
    for (uint32_t i = 0; i < FILES; i++) {
        file_path(game, i, path);
        FILE *file = fopen(path, "wb");
        must(file != NULL, path);
        must(fwrite(content, 1, sizeof content, file) == sizeof content, path);
        must(fclose(file) == 0, path);
    }
}

static void remove_files(const struct game *game) {
    char path[PATH_SIZE];
    for (uint32_t i = 0; i < FILES; i++) {
        file_path(game, i, path);
        unlink(path);
    }
    rmdir(game->folder);
}

static void loaded(const ferry_completion *done, void *user_data) {
    struct game *game = user_data;
    game->loading--;
    if (game->ending && done->status == FERRY_E_SHUTDOWN)
        return;
    check(done->status, "load");
    if (done->result != FILE_BYTES)
        exit(1);
    ferry_buffer_release(game->engine, done->buffer); /* a game would keep it for a while */
    game->files++;
}

/* Keep so many loads under way. The path is borrowed: it may change after submit. */
static void stream_files(struct game *game) {
    ferry_request requests[LOADS];
    char paths[LOADS][PATH_SIZE];
    size_t count = 0;
    for (; game->loading + count < LOADS; count++) {
        file_path(game, game->next_file++ % FILES, paths[count]);
        ferry_prepare_file_load(&requests[count], paths[count], 0);
        requests[count].callback = loaded;
        requests[count].user_data = game;
    }
    check(ferry_queue_submit(game->queue, requests, count, NULL, NULL), "submit loads");
    game->loading += (uint32_t)count;
}

static void sent(const ferry_completion *done, void *user_data) {
    const struct game *game = user_data;
    if (!game->ending)
        check(done->status, "send");
}

/* Tags carry the player's number. */
static void send_message(struct game *game, ferry_handle stream, uint64_t player) {
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, game->data[player], MESSAGE);
    request.callback = sent;
    request.user_data = game;
    submit(game->queue, &request);
}

static void received(const ferry_completion *done, void *user_data) {
    struct game *game = user_data;
    if (done->flags & FERRY_BUFFER)
        ferry_buffer_release(game->engine, done->buffer);
    if (game->ending)
        return;
    check(done->status, "receive");
    if (done->result == 0) {
        fprintf(stderr, "the server has gone\n");
        exit(1);
    }
    game->received[done->tag] += (uint32_t)done->result;
    if (game->received[done->tag] < MESSAGE)
        return;
    game->received[done->tag] = 0;
    game->messages++;
    send_message(game, done->handle, done->tag);
}

static void connected(const ferry_completion *done, void *user_data) {
    struct game *game = user_data;
    ferry_request request;
    if (game->ending)
        return;
    check(done->status, "connect");
    ferry_prepare_stream_receive_multishot(&request, done->handle);
    request.tag = done->tag;
    request.callback = received;
    request.user_data = game;
    submit(game->queue, &request);
    send_message(game, done->handle, done->tag);
}

static void join(struct game *game, uint16_t port) {
    ferry_address address;
    ferry_request request;
    check(ferry_address_parse("127.0.0.1", port, &address), "parse the address");
    for (uint64_t player = 0; player < PLAYERS; player++) {
        ferry_prepare_tcp_connect(&request, &address);
        request.tag = player;
        request.callback = connected;
        request.user_data = game;
        submit(game->queue, &request);
    }
}

/* --- Frames --------------------------------------------------------------------------------- */

struct times {
    uint32_t count;
    uint32_t late;     /* frames that ended after the next should have begun */
    uint32_t overruns; /* frames in which Ferry took more than its budget and a tenth of a ms */
    uint32_t stolen;   /* of these, those in which the system took the processor away */
    uint64_t *work_ns;
    uint64_t *ferry_ns;
};

static void render(void) {
    uint64_t until = now_ns() + RENDER_NS;
    while (now_ns() < until) {
    }
}

/* How often the system took the processor away from this thread. */
static long switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

/* [frame] Ferry's part of a frame: run and dispatch share the budget. */
static void let_ferry_work(struct game *game) {
    ferry_run_report report = {.struct_size = sizeof report};
    uint64_t start = now_ns();
    check(ferry_engine_run(game->engine, 0, BUDGET_NS, &report), "run");
    uint64_t used = now_ns() - start;
    if (used < BUDGET_NS) /* no further callback begins after that time */
        check(ferry_queue_dispatch(game->queue, 0, BUDGET_NS - used), "dispatch");
}
/* [frame] */

static void run_frame(struct game *game, struct times *times) {
    uint64_t start = now_ns();
    render();
    long switches_before = switches();
    uint64_t before = now_ns();
    stream_files(game);
    let_ferry_work(game);
    uint64_t end = now_ns();
    times->work_ns[times->count] = end - start;
    times->ferry_ns[times->count] = end - before;
    bool overrun = end - before > BUDGET_NS + MS / 10;
    times->overruns += overrun;
    times->stolen += overrun && switches() != switches_before;
    times->late += end - start > FRAME_NS;
    times->count++;
}

static void sleep_until(uint64_t time_ns) {
    struct timespec until = {.tv_sec = (time_t)(time_ns / 1000000000u),
                             .tv_nsec = (long)(time_ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
    }
}

static void run_frames(struct game *game, struct times *times, uint32_t count) {
    uint64_t next = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        run_frame(game, times);
        next += FRAME_NS;
        if (now_ns() > next)
            next = now_ns(); /* a frame was lost: do not hurry after it */
        sleep_until(next);
    }
}

static int compare(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void print_line(const char *what, uint64_t *times_ns, uint32_t count) {
    static const double parts[] = {0.5, 0.99, 0.999};
    qsort(times_ns, count, sizeof *times_ns, compare);
    printf("%s", what);
    for (size_t i = 0; i < 3; i++)
        printf("%9.3f", (double)times_ns[(uint32_t)(parts[i] * count)] / 1e6);
    printf("%9.3f\n", (double)times_ns[count - 1] / 1e6);
}

static void print_histogram(const uint64_t *times_ns, uint32_t count) {
    enum { BUCKETS = 20 }; /* of half a millisecond */
    uint32_t buckets[BUCKETS] = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bucket = times_ns[i] / (MS / 2);
        buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    }
    for (uint32_t i = 0; i < BUCKETS; i++) {
        if (buckets[i] == 0)
            continue;
        printf("  from %4.1f ms%s %6u  ", i / 2.0, i == BUCKETS - 1 ? " on" : "   ", buckets[i]);
        for (uint32_t stars = (buckets[i] * 40 + count - 1) / count; stars > 0; stars--)
            putchar('#');
        putchar('\n');
    }
}

static void print_times(const struct game *game, struct times *times, double seconds) {
    printf("%u frames, %.0f files and %.0f messages per second\n", times->count,
           (double)game->files / seconds, (double)game->messages / seconds);
    printf("ms a frame         p50      p99    p99.9      max\n");
    print_line("work          ", times->work_ns, times->count);
    print_line("of it Ferry   ", times->ferry_ns, times->count);
    printf("work in a frame:\n");
    print_histogram(times->work_ns, times->count);
    printf("%u frames too late; in %u Ferry took more than its 2 ms and a tenth,\n"
           "in %u of which the system had taken the processor away\n",
           times->late, times->overruns, times->stolen);
}

static void end_game(struct game *game) {
    game->ending = true;
    check(ferry_engine_shutdown(game->engine, FERRY_FOREVER), "shut down");
    while (ferry_queue_dispatch(game->queue, 0, 0) > 0) { /* the last ones, all FERRY_E_SHUTDOWN */
    }
    check(ferry_engine_destroy(game->engine), "destroy");
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 3;
    uint32_t frames = (uint32_t)(seconds * 60) + 1;
    struct server server = {0};
    static struct game game;
    struct times times = {.work_ns = calloc(frames, sizeof(uint64_t)),
                          .ferry_ns = calloc(frames, sizeof(uint64_t))};
    must(times.work_ns != NULL && times.ferry_ns != NULL, "calloc");
    make_files(&game);
    server_start(&server);
    ferry_engine_options options = {.struct_size = sizeof options}; /* shards = 0: host-driven */
    check(ferry_engine_create(&options, &game.engine), "create the game's engine");
    check(ferry_queue_create(game.engine, NULL, &game.queue), "create a queue");
    join(&game, server.port);

    uint64_t start = now_ns();
    run_frames(&game, &times, frames);
    print_times(&game, &times, (double)(now_ns() - start) / 1e9);
    bool fine = game.files > 0 && game.messages > 0;

    end_game(&game);
    check(ferry_engine_shutdown(server.engine, FERRY_FOREVER), "shut down the server");
    check(ferry_engine_destroy(server.engine), "destroy the server");
    remove_files(&game);
    free(times.work_ns);
    free(times.ferry_ns);
    return fine ? 0 : 1;
}
