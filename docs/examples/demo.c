/*
 * The demo: some hundreds of sockets, some thousands of files and dozens of timers at the same
 * time, all asked for from one thread; then the same work one after the other, with blocking calls.
 *
 *     demo [--quick] [--picture PATH]       (of two files: demo.c lifelines.c)
 *
 * The engine is host-driven (shards = 0): this thread runs it, and every callback is called here.
 * So there are no locks, and plain counters are enough. Only the file system's blocking calls run
 * on the engine's few worker threads.
 *
 * At the end there is a picture of every operation's life line, made with the engine's trace hook
 * by lifelines.c: an HTML file, lifelines.html unless another path is given.
 *
 * This file is longer than the other examples because it holds the work twice, and the table that
 * compares them: 1. settings and small helpers, 2. together, 3. one after the other, 4. the table.
 */
#define _GNU_SOURCE 1 /* accept4, preadv2, sync_file_range */

#include "lifelines.h"

#include <ferry.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- 1. Settings and small helpers ------------------------------------------------------------ */

#define MESSAGE 256          /* bytes of one message */
#define FILE_SIZE 4096       /* bytes of one file */
#define FILES_IN_FLIGHT 64   /* so many loads are under way at once */
#define MS UINT64_C(1000000) /* in nanoseconds */
#define TICK (100 * MS)      /* how often the progress line is written anew */
#define MAX_CLIENTS 300
#define MAX_ROUNDS 20
#define MAX_FILES 4000
#define MAX_TIMERS 50
/* For the picture. A round trip is five operations, and begins and ends are two events. */
#define MAX_EVENTS (10 * MAX_CLIENTS * (MAX_ROUNDS + 5) + 2 * (MAX_FILES + MAX_TIMERS) + 10000)

static size_t client_count = MAX_CLIENTS, round_count = MAX_ROUNDS;
static size_t file_count = MAX_FILES, timer_count = MAX_TIMERS;
static uint64_t sample_ns = 4000 * MS; /* one after the other: stop each kind after so long */

/* What was done of one kind: how often, how many bytes, the latencies, and how long it took. */
struct record {
    size_t count;
    uint64_t bytes;
    uint64_t latency_ns[MAX_CLIENTS * MAX_ROUNDS];
    double seconds; /* from the start to the end of the last one */
    double share;   /* which part of all the work this was: 1 = all of it */
};

enum { ROUND_TRIPS, FILES, TIMERS, KINDS };
static struct record together[KINDS], sequential[KINDS];

static bool on_terminal;
static volatile sig_atomic_t interrupted;
static char directory[64];
static uint64_t phase_start_ns, clock_start_ns; /* of the kind of work; of what the line shows */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

static double seconds_since(uint64_t start_ns) {
    return (double)(now_ns() - start_ns) / 1e9;
}

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "\n%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

static void must(bool fine, const char *what) {
    if (!fine) {
        fprintf(stderr, "\n");
        perror(what);
        exit(1);
    }
}

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

/* 6000 -> "6,000". The text lies in one of eight buffers that are used in turn. */
static const char *grouped(uint64_t number) {
    static char texts[8][32];
    static size_t turn;
    char *at = texts[turn++ % 8] + 31;
    for (int digits = 0; digits == 0 || number > 0; digits++, number /= 10) {
        if (digits > 0 && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + number % 10);
    }
    return at;
}

/* One line that is written over and over on a terminal; elsewhere a line now and then. */
static void progress(const struct record *records, bool last) {
    static uint64_t shown_ns;
    uint64_t now = now_ns();
    if (interrupted)
        exit(130);
    if (!last && now - shown_ns < TICK / 10 * (on_terminal ? 9 : 199))
        return;
    shown_ns = now;
    printf("%s  %5.1f s   round trips %s/%s   files %s/%s   timers %zu/%zu%s",
           on_terminal ? "\r" : "", seconds_since(clock_start_ns),
           grouped(records[ROUND_TRIPS].count), grouped(client_count * round_count),
           grouped(records[FILES].count), grouped(file_count), records[TIMERS].count, timer_count,
           on_terminal && !last ? "" : "\n");
    fflush(stdout);
}

/* The work, the same both times: how long a client thinks, how long a timer runs. */
static uint64_t think_ns(size_t client, size_t round) {
    return (20 + (client * 7919 + round * 104729) % 61) * MS; /* 20 to 80 ms */
}

static uint64_t timer_ns(size_t timer) {
    return (timer + 1) * 40 * MS;
}

static void file_path(char *path, size_t size, size_t file) {
    snprintf(path, size, "%s/%04zu", directory, file);
}

static void took(struct record *record, uint64_t start_ns, uint64_t bytes) {
    record->latency_ns[record->count++] = now_ns() - start_ns;
    record->bytes += bytes;
    record->seconds = seconds_since(phase_start_ns);
}

static void make_files(void) {
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%.40s/ferry-demo-XXXXXX", parent ? parent : "/tmp");
    must(mkdtemp(directory) != NULL, directory);
    for (size_t i = 0; i < file_count; i++) {
        char path[128], bytes[FILE_SIZE] = {0};
        file_path(path, sizeof path, i);
        memcpy(bytes, &i, sizeof i);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        must(fd >= 0 && write(fd, bytes, sizeof bytes) == FILE_SIZE, path);
        close(fd);
    }
}

static void remove_files(void) {
    char path[128];
    for (size_t i = 0; directory[0] && i < file_count; i++) {
        file_path(path, sizeof path, i);
        unlink(path);
    }
    rmdir(directory);
}

/* Put the files out of the page cache, so that reading them means waiting for the disk. Where that
 * cannot be done (a file system in memory) it is said: then reading a file is only copying. */
static bool evict_files(void) {
    bool evicted = true;
    for (size_t i = 0; i < file_count; i++) {
        char path[128], byte;
        file_path(path, sizeof path, i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        must(fd >= 0, path);
        sync_file_range(fd, 0, 0,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        struct iovec vector = {&byte, 1};
        if (i % 100 == 0 && preadv2(fd, &vector, 1, 0, RWF_NOWAIT) >= 0)
            evicted = false; /* it could be read without waiting */
        close(fd);
    }
    return evicted;
}

/* --- 2. Together: one thread, one engine, inline callbacks ------------------------------------ */

static ferry_engine *engine;
static ferry_queue *queue;
static size_t work_left; /* clients, files and timers that have not ended */
static size_t files_started;

static struct client {
    ferry_handle stream;
    size_t rounds, received;
    uint64_t sent_ns;
    char out[MESSAGE], in[MESSAGE];
} clients[MAX_CLIENTS];
static uint64_t timer_due_ns[MAX_TIMERS], file_started_ns[MAX_FILES];

/* Submit one request; its completion goes to callback, with user_data. Returns its op id. */
static ferry_op start(ferry_request *request, ferry_completion_fn callback, void *user_data) {
    ferry_op op;
    request->callback = callback;
    request->user_data = user_data;
    check(ferry_queue_submit(queue, request, 1, &op, NULL), "submit");
    return op;
}

/* The server needs no memory per connection: what arrives is lent, and sent from where it lies. */
static void on_server_received(const ferry_completion *done, void *user_data);

static void server_receive(ferry_handle stream) {
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    request.flags &= ~(uint32_t)FERRY_MULTISHOT; /* once: we answer before we receive more */
    start(&request, on_server_received, NULL);
}

static void on_server_sent(const ferry_completion *done, void *user_data) {
    (void)user_data;
    ferry_buffer_release(engine, done->tag);
    if (done->status == FERRY_OK)
        server_receive(done->handle);
    else
        ferry_handle_discard(engine, done->handle);
}

static void on_server_received(const ferry_completion *done, void *user_data) {
    (void)user_data;
    if (done->status != FERRY_OK || done->result == 0) { /* the client has ended */
        ferry_handle_discard(engine, done->handle);
        return;
    }
    ferry_request request;
    ferry_prepare_stream_send(&request, done->handle, done->data, (size_t)done->result);
    request.tag = done->buffer;
    start(&request, on_server_sent, NULL);
}

static void on_accepted(const ferry_completion *done, void *user_data) {
    (void)user_data;
    if (done->status == FERRY_OK)
        server_receive(done->handle);
}

/* A client: think, send, receive until all of the echo is there; and again. */
static void on_thought(const ferry_completion *done, void *user_data);

static void client_think(struct client *client) {
    ferry_request request;
    ferry_prepare_timer(&request, think_ns((size_t)(client - clients), client->rounds), 0);
    start(&request, on_thought, client);
}

static void on_client_sent(const ferry_completion *done, void *user_data) {
    (void)user_data;
    check(done->status, "send");
}

static void on_client_received(const ferry_completion *done, void *user_data) {
    struct client *client = user_data;
    check(done->result == 0 ? FERRY_E_CONNECTION_RESET : done->status, "receive");
    client->received += (size_t)done->result;
    if (client->received < MESSAGE) {
        ferry_request request;
        ferry_prepare_stream_receive(&request, client->stream, client->in + client->received,
                                     MESSAGE - client->received);
        start(&request, on_client_received, client);
        return;
    }
    must(memcmp(client->in, client->out, MESSAGE) == 0, "the echo differs");
    took(&together[ROUND_TRIPS], client->sent_ns, UINT64_C(2) * MESSAGE);
    if (++client->rounds < round_count) {
        client_think(client);
    } else {
        ferry_handle_discard(engine, client->stream);
        work_left--;
    }
}

static void on_thought(const ferry_completion *done, void *user_data) {
    struct client *client = user_data;
    check(done->status, "think");
    memset(client->out, (int)('a' + client->rounds), MESSAGE);
    client->received = 0;
    client->sent_ns = now_ns();
    ferry_request request;
    ferry_prepare_stream_send(&request, client->stream, client->out, MESSAGE);
    start(&request, on_client_sent, NULL);
    ferry_prepare_stream_receive(&request, client->stream, client->in, MESSAGE);
    start(&request, on_client_received, client);
}

static void on_connected(const ferry_completion *done, void *user_data) {
    struct client *client = user_data;
    check(done->status, "connect");
    client->stream = done->handle;
    client_think(client);
}

static void on_listening(const ferry_completion *done, void *user_data) {
    ferry_address *address = user_data;
    check(done->status, "listen");
    ferry_request request;
    ferry_prepare_tcp_accept(&request, done->handle);
    start(&request, on_accepted, NULL);
    address->port = (uint16_t)done->result;
    for (size_t i = 0; i < client_count; i++) {
        ferry_prepare_tcp_connect(&request, address);
        start(&request, on_connected, &clients[i]);
    }
}

/* Files: each that has been loaded starts the next. */
static void on_loaded(const ferry_completion *done, void *user_data);

static void load_next(void) {
    char path[128];
    uint64_t *started_ns = &file_started_ns[files_started];
    file_path(path, sizeof path, files_started++);
    *started_ns = now_ns();
    ferry_request request;
    ferry_prepare_file_load(&request, path, 0); /* the path is copied at submit */
    start(&request, on_loaded, started_ns);
}

static void on_loaded(const ferry_completion *done, void *user_data) {
    uint64_t *started_ns = user_data;
    size_t file = (size_t)(started_ns - file_started_ns);
    check(done->status, "load a file");
    must(done->result == FILE_SIZE && memcmp(done->data, &file, sizeof file) == 0, "wrong bytes");
    took(&together[FILES], *started_ns, FILE_SIZE);
    ferry_buffer_release(engine, done->buffer);
    work_left--;
    if (files_started < file_count)
        load_next();
}

/* Timers: the latency is by how much a timer was late. */
static void on_timer(const ferry_completion *done, void *user_data) {
    uint64_t *due_ns = user_data;
    check(done->status, "timer");
    must(now_ns() >= *due_ns, "a timer was early");
    took(&together[TIMERS], *due_ns, 0);
    work_left--;
}

static void on_tick(const ferry_completion *done, void *user_data) {
    (void)user_data;
    if (done->flags & FERRY_MORE) /* the final completion is that of the cancel */
        progress(together, false);
}

static void run_together(lifelines *lines, ferry_engine_info *info, double *seconds_out) {
    ferry_queue_options options = {.struct_size = sizeof options, .mode = FERRY_QUEUE_INLINE};
    ferry_engine_options engine_options = {/* default: host-driven */
                                           .struct_size = sizeof engine_options,
                                           .trace = lifelines_trace,
                                           .trace_user_data = lines};
    check(ferry_engine_create(&engine_options, &engine), "create an engine");
    check(ferry_queue_create(engine, &options, &queue), "create a queue");
    work_left = client_count + file_count + timer_count;

    /* Describe and submit all beginnings; nothing runs yet. */
    phase_start_ns = clock_start_ns = now_ns();
    ferry_request request;
    ferry_address address;
    check(ferry_address_parse("127.0.0.1", 0, &address), "parse the address");
    ferry_prepare_tcp_listen(&request, &address, 0);
    start(&request, on_listening, &address);
    for (size_t i = 0; i < timer_count; i++) {
        timer_due_ns[i] = now_ns() + timer_ns(i);
        ferry_prepare_timer(&request, timer_ns(i), 0);
        start(&request, on_timer, &timer_due_ns[i]);
    }
    for (size_t i = 0; i < FILES_IN_FLIGHT && i < file_count; i++)
        load_next();
    ferry_prepare_timer(&request, TICK, TICK);
    ferry_op tick = start(&request, on_tick, NULL);

    /* The whole of the loop: sleep until something has happened, do it, and again. */
    while (work_left > 0)
        check(ferry_engine_run(engine, FERRY_FOREVER, 0, NULL), "run");
    *seconds_out = seconds_since(phase_start_ns);
    progress(together, true);

    info->struct_size = sizeof *info;
    check(ferry_engine_get_info(engine, info), "look inside");
    check(ferry_queue_cancel(queue, tick), "cancel the progress line's timer");
    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
    for (int kind = 0; kind < KINDS; kind++)
        together[kind].share = 1;
}

/* --- 3. One after the other: plain blocking calls, one thread --------------------------------- */

static void block_for(uint64_t ns) {
    struct timespec rest = {(time_t)(ns / (1000 * MS)), (long)(ns % (1000 * MS))};
    while (nanosleep(&rest, &rest) != 0 && !interrupted) {
    }
    progress(sequential, false);
}

static void block_transfer(int from, int to, char *bytes) {
    must(write(from, bytes, MESSAGE) == MESSAGE, "write");
    for (size_t got = 0; got < MESSAGE;) {
        ssize_t size = read(to, bytes + got, MESSAGE - got);
        must(size > 0, "read");
        got += (size_t)size;
    }
}

static void run_clients_blocking(struct record *record) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    must(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
             listen(listener, 1) == 0 && getsockname(listener, (void *)&address, &size) == 0,
         "listen");
    size_t client = 0;
    for (; client < client_count && now_ns() - phase_start_ns < sample_ns; client++) {
        int near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        must(near >= 0 && connect(near, (struct sockaddr *)&address, size) == 0, "connect");
        int far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        must(far >= 0, "accept");
        setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        for (size_t round = 0; round < round_count; round++) {
            char bytes[MESSAGE];
            block_for(think_ns(client, round));
            memset(bytes, (int)('a' + round), sizeof bytes);
            uint64_t sent_ns = now_ns();
            block_transfer(near, far, bytes); /* the client's half of the round trip */
            block_transfer(far, near, bytes); /* the server's half */
            took(record, sent_ns, UINT64_C(2) * MESSAGE);
        }
        close(near);
        close(far);
    }
    close(listener);
    record->share = (double)client / (double)client_count;
}

static void run_files_blocking(struct record *record) {
    size_t file = 0;
    for (; file < file_count && now_ns() - phase_start_ns < sample_ns; file++) {
        char path[128];
        struct stat facts;
        uint64_t started_ns = now_ns();
        file_path(path, sizeof path, file);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        must(fd >= 0 && fstat(fd, &facts) == 0, path);
        char *bytes = malloc((size_t)facts.st_size);
        must(bytes != NULL && read(fd, bytes, (size_t)facts.st_size) == FILE_SIZE, path);
        close(fd);
        took(record, started_ns, FILE_SIZE);
        free(bytes);
        progress(sequential, false);
    }
    record->share = (double)file / (double)file_count;
}

static void run_timers_blocking(struct record *record) {
    uint64_t all_ns = 0, done_ns = 0;
    for (size_t i = 0; i < timer_count; i++)
        all_ns += timer_ns(i);
    /* Long and short ones mixed (7 has no factor in common with 50 or 10), so a sample is fair. */
    for (size_t i = 0; i < timer_count && done_ns < sample_ns; i++) {
        uint64_t length_ns = timer_ns((3 + i * 7) % timer_count), due_ns = now_ns() + length_ns;
        block_for(length_ns);
        took(record, due_ns, 0);
        done_ns += length_ns;
    }
    record->share = (double)done_ns / (double)all_ns;
}

static void run_sequential(void) {
    static void (*const runs[KINDS])(struct record *) = {run_clients_blocking, run_files_blocking,
                                                         run_timers_blocking};
    clock_start_ns = now_ns();
    for (int kind = 0; kind < KINDS; kind++) {
        phase_start_ns = now_ns();
        runs[kind](&sequential[kind]);
    }
    progress(sequential, true);
}

/* --- 4. The table ----------------------------------------------------------------------------- */

static int compare_ns(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void format_ns(char text[16], double ns) {
    if (ns < 999.5e3)
        snprintf(text, 16, "%.0f us", ns / 1e3);
    else
        snprintf(text, 16, "%.*f ms", ns < 99.5e6 ? 1 : 0, ns / 1e6);
}

static void format_bytes(char text[16], uint64_t bytes) {
    if (bytes == 0)
        snprintf(text, 16, "-");
    else if (bytes < 1 << 20)
        snprintf(text, 16, "%.1f KiB", (double)bytes / 1024);
    else
        snprintf(text, 16, "%.1f MiB", (double)bytes / (1 << 20));
}

static void print_row(const char *name, struct record *record) {
    char bytes[16], p50[16], p99[16];
    qsort(record->latency_ns, record->count, sizeof *record->latency_ns, compare_ns);
    format_bytes(bytes, record->bytes);
    format_ns(p50, (double)record->latency_ns[(record->count - 1) / 2]);
    format_ns(p99, (double)record->latency_ns[(record->count - 1) * 99 / 100]);
    printf("    %-20s%7s%10s%8s%8s%7.2f s%3s%7.2f s\n", name, grouped(record->count), bytes, p50,
           p99, record->seconds, record->share < 1 ? "~" : "", record->seconds / record->share);
}

static void print_table(double together_seconds, const ferry_engine_info *info) {
    static const char *const names[KINDS] = {"TCP round trips", "files loaded",
                                             "timers (p50, p99: how late)"};
    double sequential_seconds = 0;
    printf("\n  %-22s%7s%10s%8s%8s%9s%12s\n", "", "count", "bytes", "p50", "p99", "took",
           "all of it");
    for (int kind = 0; kind < KINDS; kind++) {
        printf("  %s\n", names[kind]);
        print_row("together", &together[kind]);
        print_row("one after the other", &sequential[kind]);
        sequential_seconds += sequential[kind].seconds / sequential[kind].share;
    }
    printf("\n  All three kinds together, on one thread: %9.2f s\n", together_seconds);
    printf("  One after the other, blocking:           %9.2f s  (~: scaled from a sample)\n",
           sequential_seconds);
    printf("\n  What is gained is the time spent waiting. The blocking calls for files ran on\n"
           "  %u worker threads of the engine, everything else on this one thread.\n\n",
           info->workers);
}

static void draw_picture(lifelines *lines, const char *path) {
    char title[128];
    snprintf(title, sizeof title, "%zu clients, %s files and %zu timers on one thread",
             client_count, grouped(file_count), timer_count);
    must(lifelines_write(lines, path, title), path);
    lifelines_destroy(lines);
    char *full = realpath(path, NULL);
    printf("  Every operation's life line, to be looked at in a browser:\n  %s\n\n",
           full != NULL ? full : path);
    free(full);
}

int main(int argc, char **argv) {
    const char *picture = "lifelines.html";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            client_count = 40;
            round_count = 5;
            file_count = 400;
            timer_count = 10;
            sample_ns = 300 * MS;
        } else if (strcmp(argv[i], "--picture") == 0 && i + 1 < argc) {
            picture = argv[++i];
        } else {
            fprintf(stderr, "usage: demo [--quick] [--picture PATH]\n");
            return 2;
        }
    }
    on_terminal = isatty(STDOUT_FILENO);
    signal(SIGINT, on_interrupt);
    atexit(remove_files);
    struct rlimit limit; /* two sockets per client: the usual soft limit may be too low */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }

    printf("\n  %zu clients talk to an echo server, %zu round trips each, and think for\n"
           "  20 to 80 ms before each. %s files of 4 KiB are loaded. %zu timers run,\n"
           "  the longest for %.1f s. All of it is asked for from this one thread.\n\n",
           client_count, round_count, grouped(file_count), timer_count,
           (double)timer_ns(timer_count - 1) / 1e9);
    fflush(stdout);
    make_files();
    bool from_disk = evict_files();
    printf("  Together (files %s):\n", from_disk ? "not in the page cache" : "in the page cache");
    ferry_engine_info info = {0};
    double together_seconds;
    lifelines *lines = lifelines_create(MAX_EVENTS);
    must(lines != NULL, "memory for the picture");
    run_together(lines, &info, &together_seconds);

    evict_files();
    printf("\n  One after the other, blocking (each kind stopped after about %.1f s):\n",
           (double)sample_ns / 1e9);
    run_sequential();
    print_table(together_seconds, &info);
    draw_picture(lines, picture);
    return 0;
}
