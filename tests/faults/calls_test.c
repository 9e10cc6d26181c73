/*
 * Each system call of the engine fails, one after the other, with each error that is plausible for it.
 *
 * One scene plays the operations, in a child for each (call, error, k-th call). Whatever failed: every
 * accepted request completes, the engine shuts down and is destroyed, and neither descriptors nor memory
 * stay behind. A child that hangs is ended by its alarm. The table of what came of it is printed.
 */
#include "allocator.h"
#include "driver.h"
#include "family.h"
#include "inject.h"
#include "peer.h"
#include "process.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALLS = 100, AT_ONCE = 4, SKIPPED = 77, ALARM_SECONDS = 10, BIG = 300000 };

typedef struct verdict {
    uint32_t counts[CALLS];
    ferry_status creation;
    ferry_status first; /* Of the first request that failed ... */
    uint32_t opcode;    /* ... and which it was; 0 = none. */
    char fault[200];
} verdict;

typedef struct scene {
    ferry_engine *engine;
    ferry_queue *queue;
    verdict *result;
    uint32_t shards;
    size_t accepted, ended;
    ferry_completion kept[8]; /* Came while another was waited for. */
    size_t kept_count;
    char memory[64];
} scene;

static char file_path[] = "/tmp/ferry-faults-XXXXXX";
static char big[BIG];

#define EXPECT(s, condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fault((s)->result, #condition, __LINE__);                                              \
        }                                                                                          \
    } while (0)

static _Noreturn void fault(verdict *result, const char *text, int line) {
    snprintf(result->fault, sizeof result->fault, "line %d: not %.150s", line, text);
    child_exit(2);
}

static void release_child(const ferry_completion *child, void *argument) {
    scene *s = argument;
    if ((child->flags & FERRY_BUFFER) != 0) {
        EXPECT(s, ferry_buffer_release(s->engine, child->buffer) == FERRY_OK);
    }
}

static void note_failure(scene *s, uint32_t opcode, ferry_status status) {
    if (status != FERRY_OK && s->result->opcode == 0) {
        s->result->opcode = opcode;
        s->result->first = status;
    }
}

static void drop(scene *s, const ferry_completion *completion) {
    family_visit(completion, release_child, s);
    if ((completion->flags & FERRY_BUFFER) != 0) {
        EXPECT(s, ferry_buffer_release(s->engine, completion->buffer) == FERRY_OK);
    }
}

static ferry_op start(scene *s, const ferry_request *request) {
    ferry_op op = FERRY_NONE;
    ferry_status status = ferry_queue_submit(s->queue, request, 1, &op, NULL);
    note_failure(s, request->opcode, status);
    s->accepted += status == FERRY_OK;
    return status == FERRY_OK ? op : FERRY_NONE;
}

/* Sleeps until something comes: what is never woken hangs. */
static void turn(scene *s) {
    ferry_completion out[4];
    int32_t count;
    if (s->shards == 0) {
        EXPECT(s, ferry_engine_run(s->engine, HOUR, 0, NULL) == FERRY_OK);
        count = ferry_queue_reap(s->queue, out, 4);
    } else {
        count = ferry_queue_wait(s->queue, out, 4, FERRY_FOREVER);
    }
    EXPECT(s, count >= 0);
    for (int32_t i = 0; i < count; i++) {
        if ((out[i].flags & FERRY_MORE) != 0) {
            drop(s, &out[i]);
        } else {
            s->ended++;
            EXPECT(s, s->kept_count < 8);
            s->kept[s->kept_count++] = out[i];
        }
    }
}

static bool finish(scene *s, ferry_op op, ferry_completion *completion) {
    if (op == FERRY_NONE) {
        return false;
    }
    for (;;) {
        for (size_t i = 0; i < s->kept_count; i++) {
            if (s->kept[i].op == op) {
                *completion = s->kept[i];
                s->kept[i] = s->kept[--s->kept_count];
                note_failure(s, completion->opcode, completion->status);
                drop(s, completion);
                return completion->status == FERRY_OK;
            }
        }
        turn(s);
    }
}

static bool play(scene *s, const ferry_request *request, ferry_completion *completion) {
    return finish(s, start(s, request), completion);
}

/* One that waits for the other: if that fails, it is not waited for. */
static bool play_both(scene *s, const ferry_request *waits, const ferry_request *acts,
                      ferry_completion *waited, ferry_completion *acted) {
    ferry_op waiting = start(s, waits);
    bool ok = waiting != FERRY_NONE && play(s, acts, acted);
    if (!ok && waiting != FERRY_NONE) {
        ferry_status status = ferry_queue_cancel(s->queue, waiting);
        EXPECT(s, status == FERRY_OK || status == FERRY_E_TOO_LATE);
    }
    return finish(s, waiting, waited) && ok;
}

static void close_handle(scene *s, ferry_handle handle) {
    ferry_request request;
    ferry_completion got;
    ferry_prepare_handle_close(&request, handle);
    play(s, &request, &got);
}

static bool converse(scene *s, ferry_handle a, ferry_handle b) {
    static char into[BIG];
    ferry_request send, receive;
    ferry_completion got, sent;
    ferry_slice slices[3] = {{{big}, 10}, {{big}, 20}, {{big}, 34}};
    ferry_prepare_stream_receive(&receive, b, s->memory, sizeof s->memory);
    ferry_prepare_stream_send(&send, a, "x", 1);
    bool ok = play_both(s, &receive, &send, &got, &sent);
    ferry_prepare_stream_receive_exactly(&receive, b, s->memory, 64);
    ferry_prepare_stream_send_vectored(&send, a, slices, 3);
    ok = ok && play_both(s, &receive, &send, &got, &sent);
    ferry_prepare_stream_receive_until(&receive, b, s->memory, 64, "\n", 1);
    ferry_prepare_stream_send(&send, a, "one\ntwo\n", 8);
    send.flags |= FERRY_COPY;
    ok = ok && play_both(s, &receive, &send, &got, &sent);
    ferry_prepare_stream_receive_until(&receive, b, NULL, 64, "\n", 1);
    receive.flags = FERRY_LEND;
    ok = ok && play(s, &receive, &got);
    /* More than the system buffers, so that the send waits. */
    ferry_prepare_stream_send(&send, a, big, BIG);
    ferry_prepare_stream_receive_exactly(&receive, b, into, BIG);
    ok = ok && play_both(s, &receive, &send, &got, &sent);
    EXPECT(s, !ok || memcmp(big, into, BIG) == 0);
    if (ok) {
        ferry_prepare_stream_receive_multishot(&receive, b);
        ferry_op lent = start(s, &receive);
        ferry_prepare_stream_send(&send, a, "lent", 4);
        play(s, &send, &sent);
        ferry_prepare_stream_shutdown(&send, a);
        if (!play(s, &send, &sent) && lent != FERRY_NONE) {
            ferry_queue_cancel(s->queue, lent);
        }
        finish(s, lent, &got);
    }
    return ok;
}

/* A listener for each: what one accept failed to take would be the next one's. */
static void play_sockets(scene *s, bool named) {
    ferry_request request, accept;
    ferry_completion listening, got[2];
    ferry_address address = loopback(0);
    ferry_prepare_tcp_listen(&request, &address, 0);
    if (!play(s, &request, &listening)) {
        return;
    }
    address.port = (uint16_t)listening.result;
    ferry_prepare_tcp_accept(&accept, listening.handle);
    accept.flags = 0;
    if (named) {
        ferry_prepare_tcp_connect_name(&request, "127.0.0.1", address.port);
    } else {
        ferry_prepare_tcp_connect(&request, &address);
    }
    memset(got, 0, sizeof got);
    play_both(s, &accept, &request, &got[0], &got[1]);
    ferry_handle a = got[0].status == FERRY_OK ? got[0].handle : FERRY_NONE;
    ferry_handle b = got[1].status == FERRY_OK ? got[1].handle : FERRY_NONE;
    if (a != FERRY_NONE && b != FERRY_NONE) {
        ferry_completion other;
        ferry_prepare_socket_local_address(&request, a);
        play(s, &request, &other);
        ferry_prepare_socket_peer_address(&request, a);
        play(s, &request, &other);
        ferry_prepare_socket_set(&request, a, FERRY_SOCKET_NO_DELAY, 1);
        play(s, &request, &other);
        converse(s, a, b);
    }
    if (a != FERRY_NONE) {
        close_handle(s, a);
    }
    if (b != FERRY_NONE) {
        close_handle(s, b);
    }
    close_handle(s, listening.handle);
}

static void play_descriptors(scene *s, int descriptor) {
    ferry_request request;
    ferry_completion got;
    ferry_prepare_descriptor_adopt(&request, descriptor, FERRY_DESCRIPTOR_STREAM);
    if (!play(s, &request, &got)) {
        close(descriptor);
        return;
    }
    ferry_handle stream = got.handle;
    ferry_prepare_file_open(&request, file_path, FERRY_OPEN_READ, 0);
    if (play(s, &request, &got)) {
        ferry_handle file = got.handle;
        ferry_prepare_handle_copy(&request, file, stream, 1000, 0, 0);
        play(s, &request, &got);
        close_handle(s, file);
    }
    ferry_prepare_descriptor_release(&request, stream);
    if (play(s, &request, &got)) {
        close((int)got.result);
    } else {
        close_handle(s, stream);
    }
}

static void play_files(scene *s) {
    ferry_request request;
    ferry_completion got;
    ferry_slice slices[2] = {{{s->memory}, 20}, {{s->memory + 20}, 20}};
    ferry_prepare_file_load(&request, file_path, 0);
    play(s, &request, &got);
    ferry_prepare_path_stat(&request, file_path, false);
    play(s, &request, &got);
    ferry_prepare_file_open(&request, file_path, FERRY_OPEN_READ | FERRY_OPEN_WRITE, 0);
    if (play(s, &request, &got)) {
        ferry_handle file = got.handle;
        ferry_prepare_file_write(&request, file, "hello", 5, 0);
        play(s, &request, &got);
        ferry_prepare_file_write_vectored(&request, file, slices, 2, 5);
        play(s, &request, &got);
        ferry_prepare_file_read(&request, file, s->memory, 5, 0);
        if (play(s, &request, &got) && s->result->opcode == 0) {
            EXPECT(s, got.result == 5 && memcmp(s->memory, "hello", 5) == 0);
        }
        ferry_prepare_file_read_vectored(&request, file, slices, 2, 0);
        play(s, &request, &got);
        ferry_prepare_file_stat(&request, file);
        play(s, &request, &got);
        ferry_prepare_file_sync(&request, file, false);
        play(s, &request, &got);
        ferry_prepare_file_sync(&request, file, true);
        play(s, &request, &got);
        ferry_prepare_file_truncate(&request, file, 3000);
        play(s, &request, &got);
        close_handle(s, file);
    }
    char stored[64];
    snprintf(stored, sizeof stored, "%s.%d", file_path, (int)getpid());
    ferry_prepare_file_store(&request, stored, big, 1000, 0);
    play(s, &request, &got);
}

static void play_operations(scene *s, int descriptor) {
    ferry_request request, leaves[2];
    ferry_completion got;
    ferry_prepare_timer(&request, MS, 0);
    play(s, &request, &got);
    ferry_prepare_timer(&leaves[0], 1, 0);
    ferry_prepare_timer(&leaves[1], HOUR, 0);
    ferry_prepare_race(&request, leaves, 2);
    play(s, &request, &got);
    ferry_prepare_name_resolve(&request, "localhost", 1, FERRY_IPV4);
    play(s, &request, &got);
    play_files(s);
    play_descriptors(s, descriptor);
    play_sockets(s, false);
    play_sockets(s, true);
}

/* ---- one child ------------------------------------------------------------------------------ */

static const uint32_t kinds[] = {FERRY_DRIVER_UV, FERRY_DRIVER_URING};
static uint32_t chosen;

static void run_scene(scene *s, ferry_engine_options *options, int descriptor) {
    s->result->creation = ferry_engine_create(options, &s->engine);
    if (s->result->creation != FERRY_OK) {
        EXPECT(s, s->engine == NULL);
        close(descriptor);
        return;
    }
    s->result->creation = ferry_queue_create(s->engine, NULL, &s->queue);
    if (s->result->creation == FERRY_OK) {
        play_operations(s, descriptor);
        EXPECT(s, s->accepted == s->ended);
    } else {
        close(descriptor);
    }
    EXPECT(s, ferry_engine_shutdown(s->engine, FERRY_FOREVER) == FERRY_OK);
    EXPECT(s, ferry_engine_destroy(s->engine) == FERRY_OK);
}

/* What libuv keeps open once it was used. */
static void warm_up(void) {
    ferry_engine_options options = {.struct_size = sizeof options};
    ferry_engine *engine = NULL;
    if (ferry_engine_create(&options, &engine) == FERRY_OK) {
        ferry_engine_shutdown(engine, FERRY_FOREVER);
        ferry_engine_destroy(engine);
    }
}

static _Noreturn void be_child(uint32_t shards, const injection *what, verdict *result) {
    scene s = {.shards = shards, .result = result};
    counting_allocator allocator = {0};
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .shards = shards,
                                    .ops_max = 64,
                                    .handles_max = 64,
                                    .driver = chosen};
    alarm(ALARM_SECONDS);
    allocator_install(&allocator, &options);
    warm_up();
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0 ||
        !inject_install(what, result->counts)) {
        child_exit(SKIPPED);
    }
    size_t before = count_descriptors();
    inject_arm(true);
    run_scene(&s, &options, ends[0]);
    inject_arm(false);
    EXPECT(&s, atomic_load(&allocator.blocks) == 0);
    EXPECT(&s, atomic_load(&allocator.bytes) == 0);
    EXPECT(&s, atomic_load(&allocator.wrong_frees) == 0);
    EXPECT(&s, count_descriptors() == before - 1);
    child_exit(0);
}

/* ---- the table ------------------------------------------------------------------------------ */

/* libuv ends the process by itself here. Nothing else may. */
static const struct {
    const char *call;
    int error; /* 0: any. */
    const char *why;
} allowed[] = {
    {"epoll_ctl", 0, "libuv aborts: it trusts epoll_ctl with what it has probed"},
};

static bool is_allowed(const call *which, int error) {
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        if (strcmp(allowed[i].call, which->name) == 0 &&
            (allowed[i].error == 0 || allowed[i].error == error)) {
            return true;
        }
    }
    return false;
}

typedef struct job {
    injection what;
    pid_t child;
} job;

static verdict *verdicts; /* AT_ONCE, shared with the children. */
static job jobs[AT_ONCE];
static uint32_t mode_shards;
static unsigned failures, entries;
static char line[4000];

static void tell(const job *done, const verdict *result, int status) {
    const call *which = &inject_calls[done->what.call];
    char text[300];
    bool bad = true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        bad = false;
        if (result->creation != FERRY_OK) {
            snprintf(text, sizeof text, "no engine: %s", ferry_status_name(result->creation));
        } else if (result->opcode != 0) {
            snprintf(text, sizeof text, "%s: %s",
                     ferry_opcode_name((uint16_t)result->opcode) + sizeof "FERRY_OP_" - 1,
                     ferry_status_name(result->first));
        } else {
            snprintf(text, sizeof text, "goes on");
        }
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        snprintf(text, sizeof text, "HANGS");
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
               is_allowed(which, done->what.error)) {
        bad = false;
        snprintf(text, sizeof text, "libuv aborts (known)");
    } else if (WIFSIGNALED(status)) {
        snprintf(text, sizeof text, "SIGNAL %d", WTERMSIG(status));
    } else {
        snprintf(text, sizeof text, "FAULT (exit %d) %.200s", WEXITSTATUS(status), result->fault);
    }
    failures += bad;
    entries++;
    size_t used = strlen(line);
    snprintf(line + used, sizeof line - used, " %s%u%s %s;", bad ? "*** " : "", done->what.from,
             done->what.to == UINT32_MAX ? "..." : "", text);
    fflush(stdout);
}

static void end_one(void) {
    int status;
    pid_t child = waitpid(-1, &status, 0);
    for (size_t i = 0; i < AT_ONCE; i++) {
        if (jobs[i].child == child) {
            char stored[64];
            jobs[i].child = 0;
            tell(&jobs[i], &verdicts[i], status);
            snprintf(stored, sizeof stored, "%s.%d", file_path, (int)child);
            unlink(stored);
        }
    }
}

static size_t free_place(void) {
    for (;;) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            if (jobs[i].child == 0) {
                return i;
            }
        }
        end_one();
    }
}

static void end_all(void) {
    for (size_t i = 0; i < AT_ONCE; i++) {
        while (jobs[i].child != 0) {
            end_one();
        }
    }
}

static size_t begin(injection what) {
    size_t i = free_place();
    memset(&verdicts[i], 0, sizeof verdicts[i]);
    jobs[i].what = what;
    fflush(stdout);
    jobs[i].child = fork();
    if (jobs[i].child == 0) {
        be_child(mode_shards, &what, &verdicts[i]);
    }
    return i;
}

/* The first ones, where creation and first uses lie, then ever fewer: in between they resemble. */
static uint32_t following(uint32_t k) {
    return k < 6 ? k + 1 : 2 * k;
}

static void try_call(size_t index, uint32_t count) {
    const call *which = &inject_calls[index];
    if (count == 0 || (which->memory && sanitized())) {
        return;
    }
    for (const int *error = which->errors; *error != 0; error++) {
        line[0] = 0;
        for (uint32_t k = 1; k <= count; k = following(k)) {
            begin((injection){index, *error, k, k});
        }
        if (which->lasting == *error) {
            begin((injection){index, *error, 1, UINT32_MAX});
        }
        end_all();
        printf("  %s (%u) %s:%s\n", which->name, count, strerrorname_np(*error), line);
        fflush(stdout);
    }
}

/* Returns 0, 1, or 77 where calls cannot be made to fail. */
static int try_mode(uint32_t shards) {
    uint32_t counts[CALLS];
    injection nothing = {.call = inject_call_count};
    mode_shards = shards;
    memset(&verdicts[0], 0, sizeof verdicts[0]);
    int status;
    pid_t child = fork();
    if (child == 0) {
        be_child(shards, &nothing, &verdicts[0]);
    }
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        printf("skipped: no filter of system calls that asks us (an old kernel, a sandbox)\n");
        return SKIPPED;
    }
    if (status != 0 || verdicts[0].opcode != 0 || verdicts[0].creation != FERRY_OK) {
        printf("the scene fails with nothing refused: %x %s, %s: %s\n", (unsigned)status,
               verdicts[0].fault, ferry_opcode_name((uint16_t)verdicts[0].opcode),
               ferry_status_name(verdicts[0].first));
        return 1;
    }
    memcpy(counts, verdicts[0].counts, sizeof counts);
    printf("%s, %s\n", chosen == FERRY_DRIVER_UV ? "uv" : "uring",
           shards == 0 ? "run by the host" : "a thread of its own");
    for (size_t i = 0; i < inject_call_count; i++) {
        try_call(i, counts[i]);
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *name = getenv("FERRY_TEST_DRIVER");
    chosen = kinds[name != NULL && strcmp(name, "uv") == 0 ? 0 : 1];
    if (driver_is_missing()) {
        return SKIPPED;
    }
    verdicts = mmap(NULL, sizeof *verdicts * AT_ONCE, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fd = mkstemp(file_path);
    if (verdicts == MAP_FAILED || fd < 0 || write(fd, big, 3000) != 3000) {
        return 1;
    }
    close(fd);
    pattern_fill(big, sizeof big, 0);
    int result = argc > 1 ? try_mode((uint32_t)atoi(argv[1])) : try_mode(0);
    unlink(file_path);
    printf("%u entries, %u of them hang, abort, lose or leak\n", entries, failures);
    return failures > 0 ? 1 : result;
}
