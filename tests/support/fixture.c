#include "fixture.h"

#include "family.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64 };

drive drive_host = {"host", 0, PULL_REAP};
drive drive_host_mapped = {"host_mapped", 0, PULL_MAPPED};
drive drive_host_inline = {"host_inline", 0, PULL_INLINE};
drive drive_one = {"one", 1, PULL_WAIT};
drive drive_one_dispatch = {"one_dispatch", 1, PULL_DISPATCH};
drive drive_one_mapped = {"one_mapped", 1, PULL_MAPPED};
drive drive_two = {"two", 2, PULL_FD};
drive drive_two_inline = {"two_inline", 2, PULL_INLINE};

static void *grown(void *memory, size_t count, size_t size) {
    void *larger = realloc(memory, count * size);
    REQUIRE(larger != NULL);
    return larger;
}

/* --- Completions come in ------------------------------------------------------------------- */

static void put_into_inbox(fixture *f, const ferry_completion *completion) {
    pthread_mutex_lock(&f->lock);
    if (f->inbox_count == f->inbox_capacity) {
        f->inbox_capacity = f->inbox_capacity * 2 + BATCH;
        f->inbox = grown(f->inbox, f->inbox_capacity, sizeof *f->inbox);
    }
    f->inbox[f->inbox_count++] = *completion;
    pthread_cond_signal(&f->arrived);
    pthread_mutex_unlock(&f->lock);
}

/* The callback of every request under the drives that call back. */
static void on_completion(const ferry_completion *completion, void *user_data) {
    fixture *f = user_data;
    referee_note_completion(f->judge, completion);
    put_into_inbox(f, completion);
}

static void collect_by_reaping(fixture *f) {
    ferry_completion out[BATCH];
    int32_t count;
    do {
        count = referee_reap(f->judge, f->queue, out, BATCH);
        assert_true(count >= 0);
        for (int32_t i = 0; i < count; i++) {
            put_into_inbox(f, &out[i]);
        }
    } while (count == BATCH);
}

static void collect_from_ring(fixture *f) {
    do {
        uint32_t head = *f->mapping.head;
        uint32_t tail = __atomic_load_n(f->mapping.tail, __ATOMIC_ACQUIRE);
        assert_true(tail - head <= f->mapping.capacity);
        for (; head != tail; head++) {
            const ferry_completion *next = &f->mapping.records[head & (f->mapping.capacity - 1)];
            referee_note_completion(f->judge, next);
            put_into_inbox(f, next);
        }
        __atomic_store_n(f->mapping.head, head, __ATOMIC_RELEASE);
    } while (ferry_queue_arm(f->queue) == 1);
}

void fixture_collect(fixture *f) {
    switch (f->drive->pull) {
    case PULL_REAP:
    case PULL_WAIT:
    case PULL_FD:
        collect_by_reaping(f);
        break;
    case PULL_DISPATCH:
        while (ferry_queue_dispatch(f->queue, 0, 0) > 0) {
        }
        break;
    case PULL_MAPPED:
        collect_from_ring(f);
        break;
    case PULL_INLINE:
        break;
    }
}

/* --- Time passes --------------------------------------------------------------------------- */

static void wait_in_queue(fixture *f, uint64_t wait_ns) {
    ferry_completion out[BATCH];
    int32_t count = referee_wait(f->judge, f->queue, out, BATCH, wait_ns);
    assert_true(count >= 0);
    for (int32_t i = 0; i < count; i++) {
        put_into_inbox(f, &out[i]);
    }
}

static void wait_on_descriptor(fixture *f, uint64_t wait_ns) {
    struct pollfd queue = {.fd = f->queue_fd, .events = POLLIN};
    poll(&queue, 1, (int)(wait_ns / MS));
}

static void wait_for_callback(fixture *f, uint64_t wait_ns) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t end_ns = (uint64_t)until.tv_nsec + wait_ns;
    until.tv_sec += (time_t)(end_ns / SECOND);
    until.tv_nsec = (long)(end_ns % SECOND);
    pthread_mutex_lock(&f->lock);
    size_t before = f->inbox_count;
    while (f->inbox_count == before &&
           pthread_cond_timedwait(&f->arrived, &f->lock, &until) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&f->lock);
}

static void let_time_pass(fixture *f, uint64_t wait_ns) {
    if (f->drive->shards == 0) {
        ferry_status status = ferry_engine_run(f->engine, wait_ns, 0, NULL);
        assert_status_either(status, FERRY_OK, FERRY_E_SHUTDOWN);
        return;
    }
    switch (f->drive->pull) {
    case PULL_REAP:
    case PULL_WAIT:
        wait_in_queue(f, wait_ns);
        break;
    case PULL_FD:
    case PULL_DISPATCH:
    case PULL_MAPPED:
        wait_on_descriptor(f, wait_ns);
        break;
    case PULL_INLINE:
        wait_for_callback(f, wait_ns);
        break;
    }
}

void fixture_turn(fixture *f, uint64_t wait_ns) {
    let_time_pass(f, wait_ns);
    fixture_collect(f);
}

void fixture_linger(fixture *f, uint64_t duration_ns) {
    uint64_t end = now_ns() + duration_ns;
    do {
        fixture_turn(f, 2 * MS);
    } while (now_ns() < end);
}

void fixture_until_readable(fixture *f, int fd) {
    struct pollfd own = {.fd = fd, .events = POLLIN};
    while (poll(&own, 1, 0) == 0) {
        fixture_turn(f, MS);
    }
}

/* --- Asking for completions ---------------------------------------------------------------- */

static bool take(fixture *f, bool any, ferry_op op, ferry_completion *out) {
    bool found = false;
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->inbox_count && !found; i++) {
        if (any || f->inbox[i].op == op) {
            *out = f->inbox[i];
            f->inbox_count--;
            memmove(&f->inbox[i], &f->inbox[i + 1], (f->inbox_count - i) * sizeof *f->inbox);
            found = true;
        }
    }
    pthread_mutex_unlock(&f->lock);
    return found;
}

static ferry_completion take_when_it_comes(fixture *f, bool any, ferry_op op) {
    ferry_completion completion;
    while (!take(f, any, op, &completion)) {
        fixture_turn(f, 5 * MS);
    }
    return completion;
}

ferry_completion fixture_next(fixture *f, ferry_op op) {
    return take_when_it_comes(f, false, op);
}

ferry_completion fixture_next_any(fixture *f) {
    return take_when_it_comes(f, true, FERRY_NONE);
}

ferry_completion fixture_final(fixture *f, ferry_op op) {
    for (;;) {
        ferry_completion completion = fixture_next(f, op);
        if ((completion.flags & FERRY_MORE) == 0) {
            return completion;
        }
        fixture_release(f, &completion);
    }
}

size_t fixture_drain(fixture *f) {
    size_t count = 0;
    ferry_completion completion;
    while (take(f, true, FERRY_NONE, &completion)) {
        fixture_release(f, &completion);
        count++;
    }
    return count;
}

bool fixture_has(fixture *f, ferry_op op) {
    bool found = false;
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->inbox_count; i++) {
        found = found || f->inbox[i].op == op;
    }
    pthread_mutex_unlock(&f->lock);
    return found;
}

/* --- Requests go out ----------------------------------------------------------------------- */

static bool calls_back(const fixture *f) {
    return f->drive->pull == PULL_INLINE || f->drive->pull == PULL_DISPATCH;
}

ferry_status fixture_try(fixture *f, const ferry_request *requests, size_t count, ferry_op *ops_out,
                         size_t *accepted_out) {
    if (!calls_back(f)) {
        return referee_submit(f->judge, f->queue, requests, count, ops_out, accepted_out);
    }
    ferry_request *copies = calloc(count + 1, sizeof *copies);
    REQUIRE(copies != NULL);
    memcpy(copies, requests, count * sizeof *copies);
    for (size_t i = 0; i < count; i++) {
        copies[i].callback = on_completion;
        copies[i].user_data = f;
    }
    ferry_status status = referee_submit(f->judge, f->queue, copies, count, ops_out, accepted_out);
    free(copies);
    return status;
}

void fixture_submit_all(fixture *f, const ferry_request *requests, size_t count,
                        ferry_op *ops_out) {
    size_t accepted = 0;
    assert_status(fixture_try(f, requests, count, ops_out, &accepted), FERRY_OK);
    assert_int_equal(accepted, count);
}

ferry_op fixture_submit(fixture *f, const ferry_request *request) {
    ferry_op op = FERRY_NONE;
    fixture_submit_all(f, request, 1, &op);
    return op;
}

ferry_completion fixture_do(fixture *f, const ferry_request *request) {
    return fixture_final(f, fixture_submit(f, request));
}

ferry_status fixture_fate(fixture *f, const ferry_request *request) {
    ferry_op op = FERRY_NONE;
    ferry_status status = fixture_try(f, request, 1, &op, NULL);
    if (status != FERRY_OK) {
        return status;
    }
    ferry_completion final = fixture_final(f, op);
    fixture_release(f, &final);
    return final.status;
}

void fixture_cancel(fixture *f, ferry_op op) {
    assert_status_either(referee_cancel(f->judge, f->queue, op), FERRY_OK, FERRY_E_TOO_LATE);
}

static void release_child(const ferry_completion *child, void *argument) {
    fixture *f = argument;
    if ((child->flags & FERRY_BUFFER) != 0) {
        assert_status(referee_release(f->judge, f->engine, child->buffer), FERRY_OK);
    }
}

void fixture_release(fixture *f, const ferry_completion *completion) {
    family_visit(completion, release_child, f);
    if ((completion->flags & FERRY_BUFFER) != 0) {
        assert_status(referee_release(f->judge, f->engine, completion->buffer), FERRY_OK);
    }
}

void fixture_close_handle(fixture *f, ferry_handle handle) {
    ferry_request request;
    ferry_prepare_handle_close(&request, handle);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
}

ferry_engine_info fixture_info(fixture *f) {
    ferry_engine_info info = {.struct_size = sizeof info};
    assert_status(ferry_engine_get_info(f->engine, &info), FERRY_OK);
    return info;
}

/* --- Opening and closing ------------------------------------------------------------------- */

int fixture_setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    REQUIRE(f != NULL);
    f->drive = *state;
    f->queue_fd = -1;
    f->judge = referee_create();
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->arrived, NULL);
    *state = f;
    watchdog_restart();
    return 0;
}

static void prepare_to_pull(fixture *f) {
    pull how = f->drive->pull;
    if (how == PULL_MAPPED) {
        f->mapping.struct_size = sizeof f->mapping;
        assert_status(ferry_queue_map(f->queue, &f->mapping), FERRY_OK);
    }
    if ((how == PULL_REAP || how == PULL_WAIT) && f->drive->shards > 0) {
        /* The first wait that finds nothing opens a descriptor: now, or tests would count it some day. */
        ferry_completion none;
        assert_int_equal(ferry_queue_wait(f->queue, &none, 1, 1), 0);
    }
    if (how == PULL_FD || how == PULL_DISPATCH || (how == PULL_MAPPED && f->drive->shards > 0)) {
        assert_status(ferry_queue_fd(f->queue, &f->queue_fd), FERRY_OK);
        assert_true(f->queue_fd >= 0);
    }
}

uint64_t fixture_ring_without;

fixture *fixture_open_with(void **state, const ferry_engine_options *engine_options,
                           const ferry_queue_options *queue_options) {
    fixture *f = *state;
    ferry_engine_options engine = {0};
    ferry_queue_options queue = {0};
    if (engine_options != NULL) {
        engine = *engine_options;
    }
    if (queue_options != NULL) {
        queue = *queue_options;
    }
    engine.struct_size = sizeof engine;
    engine.shards = f->drive->shards;
    engine.ring_without |= fixture_ring_without;
    queue.struct_size = sizeof queue;
    queue.mode = f->drive->pull == PULL_MAPPED   ? FERRY_QUEUE_MAPPED
                 : f->drive->pull == PULL_INLINE ? FERRY_QUEUE_INLINE
                                                 : FERRY_QUEUE_REAP;
    assert_status(ferry_engine_create(&engine, &f->engine), FERRY_OK);
    assert_non_null(f->engine);
    assert_status(ferry_queue_create(f->engine, &queue, &f->queue), FERRY_OK);
    assert_non_null(f->queue);
    prepare_to_pull(f);
    return f;
}

fixture *fixture_open(void **state) {
    return fixture_open_with(state, NULL, NULL);
}

void fixture_shutdown(fixture *f) {
    ferry_status status;
    do {
        status = ferry_engine_shutdown(f->engine, f->fifo_count > 0 ? 50 * MS : FERRY_FOREVER);
        for (size_t i = 0; i < f->fifo_count; i++) {
            fixture_open_fifo(f->fifos[i]);
            fixture_feed_fifo(f->fifos[i]);
        }
    } while (status == FERRY_E_TIMED_OUT && f->fifo_count > 0);
    assert_status(status, FERRY_OK);
    if (f->queue != NULL) {
        fixture_collect(f);
    }
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static void free_fixture(fixture *f) {
    for (size_t i = 0; i < f->kept_count; i++) {
        close(f->kept[i]);
    }
    if (f->folder[0] != '\0') {
        nftw(f->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    }
    for (size_t i = 0; i < f->memory_count; i++) {
        free(f->memory[i]);
    }
    referee_destroy(f->judge);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->arrived);
    free(f->memory);
    free(f->kept);
    free(f->fifos);
    free(f->inbox);
    free(f);
}

int fixture_teardown(void **state) {
    fixture *f = *state;
    bool fine = true;
    if (f->engine != NULL) {
        fixture_shutdown(f);
        referee_release_all(f->judge, f->engine);
        fine = referee_finish(f->judge);
        assert_status(ferry_engine_destroy(f->engine), FERRY_OK);
    }
    free_fixture(f);
    return fine ? 0 : -1;
}

/* --- What a test needs beside the engine --------------------------------------------------- */

void *fixture_memory(fixture *f, size_t size) {
    void *memory = malloc(size);
    REQUIRE(memory != NULL);
    f->memory = grown(f->memory, f->memory_count + 1, sizeof *f->memory);
    f->memory[f->memory_count++] = memory;
    return memory;
}

int fixture_keep(fixture *f, int fd) {
    f->kept = grown(f->kept, f->kept_count + 1, sizeof *f->kept);
    f->kept[f->kept_count++] = fd;
    return fd;
}

ferry_handle fixture_listen(fixture *f, uint16_t *port_out) {
    ferry_address address = loopback(0);
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 0);
    ferry_completion completion = fixture_do(f, &request);
    assert_status(completion.status, FERRY_OK);
    *port_out = (uint16_t)completion.result;
    return completion.handle;
}

static ferry_handle connect_to(fixture *f, int listener, uint16_t port, int *peer_out) {
    ferry_address address = loopback(port);
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &address);
    ferry_completion completion = fixture_do(f, &request);
    assert_status(completion.status, FERRY_OK);
    *peer_out = fixture_keep(f, peer_accept(listener));
    close(listener);
    return completion.handle;
}

ferry_handle fixture_stream(fixture *f, int *peer_out) {
    uint16_t port;
    int listener = peer_listen(&port);
    return connect_to(f, listener, port, peer_out);
}

ferry_handle fixture_stream_beside(fixture *f, ferry_handle other, int *peer_out) {
    ferry_request nothing;
    for (;;) {
        ferry_handle stream = fixture_stream(f, peer_out);
        ferry_prepare_handle_copy(&nothing, other, stream, 0, 0, 0);
        if (fixture_fate(f, &nothing) != FERRY_E_WRONG_SHARD) {
            return stream;
        }
    }
}

ferry_handle fixture_narrow_stream(fixture *f, int *peer_out) {
    uint16_t port;
    int listener = peer_listen_small(&port);
    return connect_to(f, listener, port, peer_out);
}

ferry_op fixture_stuck_send(fixture *f, ferry_handle stream, uint64_t deadline_ns) {
    unsigned char *data = fixture_memory(f, FIXTURE_STUCK_SIZE);
    pattern_fill(data, FIXTURE_STUCK_SIZE, 0);
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, data, FIXTURE_STUCK_SIZE);
    request.deadline_ns = deadline_ns;
    return fixture_submit(f, &request);
}

char *fixture_path(fixture *f, const char *name) {
    if (f->folder[0] == '\0') {
        const char *base = getenv("TMPDIR");
        snprintf(f->folder, sizeof f->folder, "%.40s/ferry-test-XXXXXX",
                 base != NULL && strlen(base) <= 40 ? base : "/tmp");
        REQUIRE(mkdtemp(f->folder) != NULL);
    }
    size_t size = strlen(f->folder) + strlen(name) + 2;
    char *path = fixture_memory(f, size);
    snprintf(path, size, "%s/%s", f->folder, name);
    return path;
}

char *fixture_file(fixture *f, const char *name, size_t size) {
    char *path = fixture_path(f, name);
    unsigned char *data = malloc(size + 1);
    FILE *file = fopen(path, "wb");
    REQUIRE(data != NULL && file != NULL);
    pattern_fill(data, size, 0);
    REQUIRE(fwrite(data, 1, size, file) == size);
    REQUIRE(fclose(file) == 0);
    free(data);
    return path;
}

char *fixture_fifo(fixture *f, const char *name) {
    char *path = fixture_path(f, name);
    REQUIRE(mkfifo(path, 0600) == 0);
    f->fifos = grown(f->fifos, f->fifo_count + 1, sizeof *f->fifos);
    f->fifos[f->fifo_count++] = path;
    return path;
}

void fixture_open_fifo(const char *path) {
    /* Succeeds if somebody hangs in opening it to read, which then goes on and finds its end. */
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
}

void fixture_feed_fifo(const char *path) {
    /* For both is the way to open a FIFO that nobody reads. */
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, "x", 1) == 1);
    close(fd);
}

static bool wait_until_stuck(fixture *f, ferry_op op, bool (*stuck)(void)) {
    while (!stuck()) {
        fixture_turn(f, MS);
        if (fixture_has(f, op)) {
            return false;
        }
    }
    return !fixture_has(f, op);
}

bool fixture_wait_until_stuck(fixture *f, ferry_op op) {
    return wait_until_stuck(f, op, some_thread_hangs_in_open);
}

bool fixture_wait_until_stuck_in_read(fixture *f, ferry_op op) {
    return wait_until_stuck(f, op, some_thread_hangs_in_read);
}
