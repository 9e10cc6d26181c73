/*
 * File operations that hang: what ends them early, and what has to wait for the system.
 *
 * A FIFO plays the file system that does not answer: opening it to read hangs until somebody writes,
 * and so does reading it, once it was opened for both.
 */
#include "files.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { READ = FERRY_OPEN_READ, WRITE = FERRY_OPEN_WRITE, BOTH = READ | WRITE };
enum { ROUNDS = 200, PIPE_SIZE = 1024 * 1024 };

static char memory[PIPE_SIZE];

static ferry_op start_open(fixture *f, const char *path, uint64_t deadline_ns) {
    ferry_request request;
    ferry_prepare_file_open(&request, path, READ, 0);
    request.deadline_ns = deadline_ns;
    return fixture_submit(f, &request);
}

/* A read that a worker hangs in. */
static ferry_op start_stuck_read(fixture *f, ferry_handle fifo, char *into, uint64_t deadline_ns) {
    ferry_request request;
    ferry_prepare_file_read(&request, fifo, into, 16, FERRY_AT_POSITION);
    request.deadline_ns = deadline_ns;
    ferry_op op = fixture_submit(f, &request);
    assert_true(fixture_wait_until_stuck_in_read(f, op));
    return op;
}

static void expect_descriptors(fixture *f, size_t wanted) {
    for (int turns = 0; turns < 1000 && count_descriptors() != wanted; turns++) {
        fixture_turn(f, MS);
    }
    assert_int_equal(count_descriptors(), wanted);
}

static bool is_left_open(const char *path) {
    char link[32];
    char target[64];
    for (int fd = 3; fd < 256; fd++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, target, sizeof target);
        if (size == (ssize_t)strlen(path) && memcmp(target, path, (size_t)size) == 0) {
            return true;
        }
    }
    return false;
}

/* --- Opening ------------------------------------------------------------------------------- */

static void a_hanging_open_ends_at_once(void **state) {
    fixture *f = fixture_open(state);
    fixture_close_handle(f, file_open(f, fixture_file(f, "file", 1), READ));
    size_t descriptors = count_descriptors();
    char *fifo = fixture_fifo(f, "fifo");
    ferry_op op = start_open(f, fifo, 0);
    assert_true(fixture_wait_until_stuck(f, op));
    fixture_cancel(f, op);
    ferry_completion done = fixture_final(f, op);
    file_expect(&done, FERRY_E_CANCELED, 0, 0);
    assert_info(f, workers_detached, 1);
    /* It opens in the end, when nobody wants it any more. */
    fixture_open_fifo(fifo);
    assert_info(f, workers_detached, 0);
    expect_descriptors(f, descriptors);
    assert_info(f, handles_open, 0);
}

static void a_hanging_open_has_a_deadline(void **state) {
    fixture *f = fixture_open(state);
    char *fifo = fixture_fifo(f, "fifo");
    uint64_t begin = now_ns();
    ferry_op op = start_open(f, fifo, 50 * MS);
    assert_status(fixture_final(f, op).status, FERRY_E_TIMED_OUT);
    assert_true(now_ns() - begin >= 50 * MS);
    /* The others go on. */
    file_open(f, fixture_file(f, "file", 1), READ);
}

static void shutdown_ends_a_hanging_open(void **state) {
    fixture *f = fixture_open(state);
    char *fifo = fixture_fifo(f, "fifo");
    ferry_op op = start_open(f, fifo, 0);
    assert_true(fixture_wait_until_stuck(f, op));
    assert_status(ferry_engine_shutdown(f->engine, 50 * MS), FERRY_E_TIMED_OUT);
    fixture_collect(f);
    assert_true(fixture_has(f, op));
    assert_status(fixture_final(f, op).status, FERRY_E_SHUTDOWN);
    assert_status(ferry_engine_destroy(f->engine), FERRY_E_BUSY);
    fixture_open_fifo(fifo);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    /* It was opened after all had ended. */
    assert_false(is_left_open(fifo));
}

/* The turn that hears of it closes the last handle, too, and then all is quiet. */
static void a_file_that_opens_with_the_last_turn_is_closed(void **state) {
    fixture *f = fixture_open(state);
    char *fifo = fixture_fifo(f, "fifo");
    ferry_op op = start_open(f, fifo, 0);
    assert_true(fixture_wait_until_stuck(f, op));
    file_open(f, fixture_file(f, "file", 1), READ);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    fixture_open_fifo(fifo);
    sleep_ns(20 * MS); /* Until the worker has come back: for nobody to see. */
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    fixture_drain(f);
    assert_status(ferry_engine_destroy(f->engine), FERRY_OK);
    f->engine = NULL;
    assert_false(is_left_open(fifo));
}

static void opens_that_are_canceled_leave_nothing(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", 10);
    fixture_close_handle(f, file_open(f, path, READ));
    size_t descriptors = count_descriptors();
    for (int i = 0; i < ROUNDS; i++) {
        ferry_op op = start_open(f, path, 0);
        if (i % 3 != 0) {
            fixture_turn(f, 0);
        }
        fixture_cancel(f, op);
        ferry_completion done = fixture_final(f, op);
        assert_status_either(done.status, FERRY_OK, FERRY_E_CANCELED);
        if (done.status == FERRY_OK) {
            fixture_close_handle(f, done.handle);
        }
    }
    expect_descriptors(f, descriptors);
    assert_info(f, handles_open, 0);
    assert_info(f, workers_detached, 0);
}

/* --- Reading ------------------------------------------------------------------------------- */

static void a_read_that_has_begun_ends_with_the_system(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_fifo(f, "fifo");
    ferry_handle fifo = file_open(f, path, BOTH);
    ferry_op canceled = start_stuck_read(f, fifo, memory, 0);
    fixture_cancel(f, canceled);
    fixture_linger(f, 20 * MS);
    assert_false(fixture_has(f, canceled));
    assert_info(f, workers_detached, 0);
    fixture_feed_fifo(path);
    ferry_completion done = fixture_final(f, canceled);
    file_expect(&done, FERRY_OK, 0, 1);
    assert_int_equal(memory[0], 'x');

    /* Long enough for a worker to begin with it on a busy machine. */
    ferry_op late = start_stuck_read(f, fifo, memory, 300 * MS);
    fixture_linger(f, 400 * MS);
    assert_false(fixture_has(f, late));
    fixture_feed_fifo(path);
    done = fixture_final(f, late);
    file_expect(&done, FERRY_OK, 0, 1);
}

static void close_waits_for_a_read_that_has_begun(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_fifo(f, "fifo");
    ferry_handle fifo = file_open(f, path, BOTH);
    ferry_op reading = start_stuck_read(f, fifo, memory, 0);
    ferry_request request;
    ferry_prepare_handle_close(&request, fifo);
    ferry_op closing = fixture_submit(f, &request);
    fixture_linger(f, 20 * MS);
    assert_false(fixture_has(f, reading));
    assert_false(fixture_has(f, closing));
    assert_info(f, handles_open, 1);
    /* It is closed for everybody else. */
    ferry_completion done = file_read(f, fifo, memory + 16, 16, FERRY_AT_POSITION);
    file_expect(&done, FERRY_E_STALE, 0, 0);
    fixture_close_handle(f, fifo);
    /* Nor does the handle's successor, which there is none of yet, lead to it. */
    ferry_handle forged = fifo + (UINT64_C(1) << 22);
    assert_status_either(ferry_handle_discard(f->engine, forged), FERRY_OK, FERRY_E_BAD_HANDLE);
    ferry_prepare_handle_close(&request, forged);
    assert_status(fixture_fate(f, &request), FERRY_E_BAD_HANDLE);
    fixture_linger(f, 5 * MS);

    fixture_feed_fifo(path);
    ferry_completion first = fixture_next_any(f);
    assert_int_equal(first.op, reading);
    file_expect(&first, FERRY_OK, 0, 1);
    assert_status(fixture_final(f, closing).status, FERRY_OK);
    assert_info(f, handles_open, 0);
}

static void shutdown_waits_for_a_read_that_has_begun(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_fifo(f, "fifo");
    ferry_handle fifo = file_open(f, path, BOTH);
    ferry_op op = start_stuck_read(f, fifo, memory, 0);
    assert_status(ferry_engine_shutdown(f->engine, 20 * MS), FERRY_E_TIMED_OUT);
    fixture_collect(f);
    assert_false(fixture_has(f, op));
    assert_status(ferry_engine_destroy(f->engine), FERRY_E_BUSY);
    fixture_feed_fifo(path);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    fixture_collect(f);
    assert_true(fixture_has(f, op));
    ferry_completion done = fixture_final(f, op);
    file_expect(&done, FERRY_OK, 0, 1);
    assert_int_equal(fixture_info(f).handles_open, 0);
}

/* --- What has not begun --------------------------------------------------------------------- */

enum { WAITING = 9 };

/* One of each kind, behind the only worker. */
static ferry_handle queue_up(fixture *f, uint64_t deadline_ns, ferry_op *ops) {
    ferry_handle file = file_open(f, fixture_file(f, "file", 10), BOTH);
    ferry_request r[WAITING];
    static ferry_slice slice = {{memory + 64}, 16};
    ferry_prepare_file_open(&r[0], fixture_path(f, "new"), WRITE | FERRY_OPEN_CREATE, 0);
    ferry_prepare_file_store(&r[1], fixture_path(f, "new"), memory, 10, 0);
    ferry_prepare_file_read(&r[2], file, memory + 32, 16, 0);
    ferry_prepare_file_write(&r[3], file, memory, 16, 0);
    ferry_prepare_file_read_vectored(&r[4], file, &slice, 1, 0);
    ferry_prepare_file_write_vectored(&r[5], file, &slice, 1, 0);
    ferry_prepare_file_sync(&r[6], file, true);
    ferry_prepare_file_truncate(&r[7], file, 3);
    ferry_prepare_path_stat(&r[8], fixture_path(f, "file"), false);
    ferry_handle fifo = file_open(f, fixture_fifo(f, "fifo"), BOTH);
    start_stuck_read(f, fifo, memory, 0);
    for (size_t i = 0; i < WAITING; i++) {
        r[i].deadline_ns = deadline_ns;
    }
    memset(memory, 'm', 128);
    fixture_submit_all(f, r, WAITING, ops);
    fixture_turn(f, 0);
    return file;
}

static void expect_untouched(fixture *f) {
    unsigned char before[10];
    pattern_fill(before, sizeof before, 0);
    file_holds(fixture_path(f, "file"), before, sizeof before);
    REQUIRE(access(fixture_path(f, "new"), F_OK) != 0);
    for (size_t i = 16; i < 128; i++) {
        assert_int_equal(memory[i], 'm');
    }
}

static void what_waits_for_a_worker_can_be_canceled(void **state) {
    ferry_engine_options one = {.workers_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    ferry_op ops[WAITING];
    queue_up(f, 0, ops);
    for (size_t i = 0; i < WAITING; i++) {
        fixture_cancel(f, ops[i]);
    }
    for (size_t i = 0; i < WAITING; i++) {
        ferry_completion done = fixture_final(f, ops[i]);
        file_expect(&done, FERRY_E_CANCELED, 0, 0);
    }
    assert_info(f, workers_detached, 0);
    fixture_feed_fifo(fixture_path(f, "fifo"));
    file_open(f, fixture_path(f, "file"), READ);
    expect_untouched(f);
}

static void what_waits_for_a_worker_has_a_deadline(void **state) {
    ferry_engine_options one = {.workers_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    ferry_op ops[WAITING];
    queue_up(f, 10 * MS, ops);
    for (size_t i = 0; i < WAITING; i++) {
        ferry_completion done = fixture_final(f, ops[i]);
        file_expect(&done, FERRY_E_TIMED_OUT, 0, 0);
    }
    fixture_feed_fifo(fixture_path(f, "fifo"));
    expect_untouched(f);
}

static void what_waits_for_a_worker_ends_at_shutdown(void **state) {
    ferry_engine_options one = {.workers_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    ferry_op ops[WAITING];
    queue_up(f, 0, ops);
    assert_status(ferry_engine_shutdown(f->engine, 20 * MS), FERRY_E_TIMED_OUT);
    fixture_collect(f);
    for (size_t i = 0; i < WAITING; i++) {
        assert_true(fixture_has(f, ops[i]));
        ferry_completion done = fixture_final(f, ops[i]);
        file_expect(&done, FERRY_E_SHUTDOWN, 0, 0);
    }
    fixture_feed_fifo(fixture_path(f, "fifo"));
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    expect_untouched(f);
}

static void what_waits_for_a_worker_ends_with_its_handle(void **state) {
    ferry_engine_options one = {.workers_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    ferry_op ops[WAITING];
    ferry_request request;
    ferry_prepare_handle_close(&request, queue_up(f, 0, ops));
    ferry_op closing = fixture_submit(f, &request);
    for (size_t i = 2; i < 8; i++) {
        ferry_completion done = fixture_final(f, ops[i]);
        file_expect(&done, FERRY_E_CLOSED, 0, 0);
    }
    /* Closing itself needs the worker. */
    fixture_linger(f, 5 * MS);
    assert_false(fixture_has(f, closing));
    for (size_t i = 0; i < 2; i++) {
        fixture_cancel(f, ops[i]);
        assert_status(fixture_final(f, ops[i]).status, FERRY_E_CANCELED);
    }
    fixture_feed_fifo(fixture_path(f, "fifo"));
    assert_status(fixture_final(f, closing).status, FERRY_OK);
    expect_untouched(f);
}

/* --- What is no regular file --------------------------------------------------------------- */

static void a_fifo_gives_what_it_has(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle fifo = file_open(f, fixture_fifo(f, "fifo"), BOTH);
    ferry_completion done = file_write(f, fifo, "written", 7, FERRY_AT_POSITION);
    file_expect(&done, FERRY_OK, 0, 7);
    done = file_read(f, fifo, memory, 100, FERRY_AT_POSITION);
    file_expect(&done, FERRY_OK, 0, 7);
    assert_memory_equal(memory, "written", 7);
    done = file_read(f, fifo, memory, 1, 0);
    file_expect(&done, FERRY_E_OS, ESPIPE, 0);
    done = file_write(f, fifo, memory, 1, 0);
    file_expect(&done, FERRY_E_OS, ESPIPE, 0);
}

static void all_is_written_where_little_fits(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_fifo(f, "fifo");
    int reader = fixture_keep(f, open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(reader >= 0);
    ferry_handle fifo = file_open(f, path, WRITE);
    ferry_request request;
    pattern_fill(memory, PIPE_SIZE, 0);
    ferry_prepare_file_write(&request, fifo, memory, PIPE_SIZE, FERRY_AT_POSITION);
    ferry_op op = fixture_submit(f, &request);
    size_t position = 0;
    char got[4096];
    while (position < PIPE_SIZE) {
        ssize_t size = read(reader, got, sizeof got);
        if (size <= 0) {
            assert_false(fixture_has(f, op));
            fixture_turn(f, MS);
            continue;
        }
        assert_true(pattern_matches(got, (size_t)size, position));
        position += (size_t)size;
    }
    ferry_completion done = fixture_final(f, op);
    file_expect(&done, FERRY_OK, 0, PIPE_SIZE);
}

/* SIGPIPE would end this process. */
static void nobody_reads_any_more(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_fifo(f, "fifo");
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(reader >= 0);
    ferry_handle fifo = file_open(f, path, WRITE);
    ferry_request request;
    ferry_prepare_file_write(&request, fifo, memory, PIPE_SIZE, FERRY_AT_POSITION);
    ferry_op op = fixture_submit(f, &request);
    assert_true(fixture_wait_until_stuck_in_read(f, op));
    close(reader);
    ferry_completion done = fixture_final(f, op);
    assert_status(done.status, FERRY_E_BROKEN_PIPE);
    assert_int_equal(done.os_error, EPIPE);
    assert_in_range(done.result, 4096, PIPE_SIZE - 1); /* What the FIFO had taken before. */
    done = file_write(f, fifo, "x", 1, FERRY_AT_POSITION);
    file_expect(&done, FERRY_E_BROKEN_PIPE, EPIPE, 0);
}

/* The one worker hangs, so the copy has not begun; the engine must know that it never comes back. */
static void a_copy_that_has_not_begun_ends_at_once(void **state) {
    ferry_engine_options one = {.workers_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    char *fifo = fixture_fifo(f, "fifo");
    ferry_handle from = file_open(f, fixture_file(f, "file", 100), READ);
    ferry_handle to;
    do {
        to = file_open(f, fixture_path(f, "copy"), WRITE | FERRY_OPEN_CREATE);
    } while (((from ^ to) >> 44 & 63) != 0); /* On the same shard. */
    ferry_op hanging = start_open(f, fifo, 0);
    assert_true(fixture_wait_until_stuck(f, hanging));
    ferry_request request;
    ferry_prepare_handle_copy(&request, from, to, UINT64_MAX, 0, 0);
    ferry_op op = fixture_submit(f, &request);
    fixture_turn(f, MS);
    fixture_cancel(f, op);
    ferry_completion done = fixture_final(f, op);
    assert_status(done.status, FERRY_E_CANCELED);
    assert_int_equal(done.result, 0);
    fixture_open_fifo(fifo);
    fixture_final(f, hanging);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(a_hanging_open_ends_at_once),
        ON_EACH_SHARDS(a_hanging_open_has_a_deadline),
        ON_EACH_SHARDS(shutdown_ends_a_hanging_open),
        ON_HOST(a_file_that_opens_with_the_last_turn_is_closed),
        ON_EACH_SHARDS(opens_that_are_canceled_leave_nothing),
        ON_EVERY_DRIVE(a_read_that_has_begun_ends_with_the_system),
        ON_EVERY_DRIVE(close_waits_for_a_read_that_has_begun),
        ON_EVERY_DRIVE(shutdown_waits_for_a_read_that_has_begun),
        ON_EVERY_DRIVE(what_waits_for_a_worker_can_be_canceled),
        ON_EACH_SHARDS(what_waits_for_a_worker_has_a_deadline),
        ON_EACH_SHARDS(what_waits_for_a_worker_ends_at_shutdown),
        ON_EACH_SHARDS(what_waits_for_a_worker_ends_with_its_handle),
        ON_EACH_SHARDS(a_fifo_gives_what_it_has),
        ON_EACH_SHARDS(all_is_written_where_little_fits),
        ON_EACH_SHARDS(nobody_reads_any_more),
        ON_EACH_SHARDS(a_copy_that_has_not_begun_ends_at_once),
    };
    /* About workers: what the ring does waits for none. */
    fixture_ring_without = FERRY_RING_OPEN | FERRY_RING_READ | FERRY_RING_WRITE | FERRY_RING_CLOSE;
    return RUN_SUITE(tests);
}
