/* Files, timers, cancels, deadlines, compositions, channels. */
#include "soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files -------------------------------------------------------------------------------------- */

enum { FILE_MAX = 65536 };

typedef struct filer {
    char path[256];
    ferry_handle file;
    uint32_t size;
    unsigned char written[FILE_MAX];
    unsigned char read[FILE_MAX];
} filer;

static void store_file(filer *one);

static void file_closed(void *actor, const ferry_completion *done) {
    expect_ok(done);
    if (again()) {
        store_file(actor);
    }
}

static void file_read(void *actor, const ferry_completion *done) {
    filer *one = actor;
    expect_ok(done);
    if (done->status == FERRY_OK &&
        (done->result != one->size || memcmp(one->read, one->written, one->size) != 0)) {
        violation("other bytes were read than written", done);
    }
    ferry_request request;
    ferry_prepare_handle_close(&request, one->file);
    begin(&request, KIND_FILE, file_closed, one);
}

static void file_written(void *actor, const ferry_completion *done) {
    filer *one = actor;
    expect_ok(done);
    ferry_request request;
    ferry_prepare_file_read(&request, one->file, one->read, sizeof one->read, 0);
    begin(&request, KIND_FILE, file_read, one);
}

static void file_opened(void *actor, const ferry_completion *done) {
    filer *one = actor;
    expect_ok(done);
    one->file = done->handle;
    one->size = 1 + draw(FILE_MAX);
    ferry_request request;
    ferry_prepare_file_write(&request, one->file, one->written, one->size, 0);
    begin(&request, KIND_FILE, file_written, one);
}

static void file_loaded(void *actor, const ferry_completion *done) {
    filer *one = actor;
    expect_ok(done);
    if (done->status == FERRY_OK &&
        (done->result != one->size || memcmp(done->data, one->written, one->size) != 0)) {
        violation("other bytes were loaded than stored", done);
    }
    release(done);
    ferry_request request;
    ferry_prepare_file_open(&request, one->path,
                            FERRY_OPEN_READ | FERRY_OPEN_WRITE | FERRY_OPEN_TRUNCATE, 0);
    begin(&request, KIND_FILE, file_opened, one);
}

static void file_stored(void *actor, const ferry_completion *done) {
    filer *one = actor;
    expect_ok(done);
    ferry_request request;
    ferry_prepare_file_load(&request, one->path, 0);
    begin(&request, KIND_LOAD, file_loaded, one);
}

static void store_file(filer *one) {
    one->size = 1 + draw(FILE_MAX);
    for (uint32_t i = 0; i < FILE_MAX; i += 512) {
        one->written[i] = (unsigned char)draw(256);
    }
    ferry_request request;
    ferry_prepare_file_store(&request, one->path, one->written, one->size, 0600);
    begin(&request, KIND_STORE, file_stored, one);
}

void start_files(uint32_t count) {
    filer *all = make_actors(count, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(all[i].path, sizeof all[i].path, "%s/file-%u", the.folder, i);
        store_file(&all[i]);
    }
}

/* ---- timers ------------------------------------------------------------------------------------- */

typedef struct sleeper {
    call *interval;
    uint32_t beats;
} sleeper;

static void sleep_somehow(sleeper *one);

static void once_more(sleeper *one) {
    if (again()) {
        sleep_somehow(one);
    }
}

static void woke(void *actor, const ferry_completion *done) {
    expect_ok(done);
    once_more(actor);
}

static void was_cancelled(void *actor, const ferry_completion *done) {
    expect(done, (const int32_t[]){FERRY_E_CANCELED, 1});
    once_more(actor);
}

static void timed_out(void *actor, const ferry_completion *done) {
    expect(done, (const int32_t[]){FERRY_E_TIMED_OUT, 1});
    once_more(actor);
}

static void beat(void *actor, const ferry_completion *done) {
    sleeper *one = actor;
    if ((done->flags & FERRY_MORE) == 0) {
        expect(done, (const int32_t[]){FERRY_E_CANCELED, 1});
        once_more(one);
    } else if (++one->beats == 5) {
        cancel(one->interval);
    }
}

static void sleep_somehow(sleeper *one) {
    ferry_request request;
    uint64_t delay = draw(20) * MS + draw(1000) * 1000;
    switch (draw(4)) {
    case 0:
        ferry_prepare_timer(&request, HOUR, 0);
        cancel(begin(&request, KIND_CANCEL, was_cancelled, one));
        break;
    case 1:
        ferry_prepare_timer(&request, HOUR, 0);
        request.deadline_ns = delay + 1;
        begin_late(&request, KIND_DEADLINE, delay + 1, timed_out, one);
        break;
    case 2:
        one->beats = 0;
        ferry_prepare_timer(&request, MS, MS);
        one->interval = begin(&request, KIND_CANCEL, beat, one);
        break;
    default:
        ferry_prepare_timer(&request, delay, 0);
        begin_late(&request, KIND_TIMER, delay, woke, one);
    }
}

void start_timers(uint32_t count) {
    sleeper *all = make_actors(count, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        sleep_somehow(&all[i]);
    }
}

/* ---- compositions ------------------------------------------------------------------------------- */

typedef struct gardener {
    unsigned char answer[4];
    char missing[256];
} gardener;

static void plant(gardener *one);

static void grown(void *actor, const ferry_completion *done) {
    expect(done, (const int32_t[]){FERRY_OK, FERRY_E_NOT_FOUND, 1});
    release(done);
    if (again()) {
        plant(actor);
    }
}

static void cut_down(void *actor, const ferry_completion *done) {
    expect(done, (const int32_t[]){FERRY_E_CANCELED, 1});
    release(done);
    if (again()) {
        plant(actor);
    }
}

static void plant(gardener *one) {
    ferry_request tree, children[4];
    ferry_handle opened = ferry_child_handle(0, 0);
    switch (draw(4)) {
    case 0: /* A conversation. */
        ferry_prepare_tcp_connect(&children[0], &server_address);
        ferry_prepare_stream_send(&children[1], opened, "ping", 4);
        ferry_prepare_stream_receive_exactly(&children[2], opened, one->answer, 4);
        ferry_prepare_handle_close(&children[3], opened);
        ferry_prepare_chain(&tree, children, 4);
        begin(&tree, KIND_TREE, grown, one);
        break;
    case 1:
        ferry_prepare_timer(&children[0], HOUR, 0);
        ferry_prepare_nop(&children[1]);
        ferry_prepare_race(&tree, children, 2);
        begin(&tree, KIND_TREE, grown, one);
        break;
    case 2:
        ferry_prepare_file_load(&children[0], one->missing, 0);
        ferry_prepare_retry(&tree, children, 3, MS / 10, MS);
        begin(&tree, KIND_TREE, grown, one);
        break;
    default:
        ferry_prepare_timer(&children[0], HOUR, 0);
        ferry_prepare_timer(&children[1], HOUR, 0);
        ferry_prepare_all(&tree, children, 2);
        cancel(begin(&tree, KIND_CANCEL, cut_down, one));
    }
}

void start_trees(uint32_t count) {
    gardener *all = make_actors(count, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(all[i].missing, sizeof all[i].missing, "%s/missing", the.folder);
        plant(&all[i]);
    }
}

/* ---- channels ----------------------------------------------------------------------------------- */

/* One who sends numbers and one who expects them in order; after so many the channel is another. */
typedef struct canal {
    ferry_handle channel;
    int64_t next_sent, next_received, last;
    bool sender_done;
} canal;

static void dig(canal *one);
static void send_number(canal *one);
static void receive_number(canal *one);

static void canal_closed(void *actor, const ferry_completion *done) {
    expect_ok(done);
    if (again()) {
        dig(actor);
    }
}

static void close_canal(canal *one) {
    if (one->next_received < one->last || !one->sender_done) {
        return;
    }
    ferry_request request;
    ferry_prepare_handle_close(&request, one->channel);
    begin(&request, KIND_OTHER, canal_closed, one);
}

static void number_sent(void *actor, const ferry_completion *done) {
    canal *one = actor;
    expect_ok(done);
    if (one->next_sent < one->last) {
        send_number(one);
    } else {
        one->sender_done = true;
        close_canal(one);
    }
}

static void send_number(canal *one) {
    ferry_request request;
    ferry_prepare_channel_send(&request, one->channel, one->next_sent++, 0);
    begin(&request, KIND_OTHER, number_sent, one);
}

static void number_received(void *actor, const ferry_completion *done) {
    canal *one = actor;
    expect_ok(done);
    if (done->status == FERRY_OK && done->result != one->next_received) {
        violation("a channel's messages out of order", done);
    }
    if (++one->next_received < one->last) {
        receive_number(one);
    } else {
        close_canal(one);
    }
}

static void receive_number(canal *one) {
    ferry_request request;
    ferry_prepare_channel_receive(&request, one->channel);
    request.flags = 0; /* just one */
    begin(&request, KIND_CHANNEL, number_received, one);
}

static void dug(void *actor, const ferry_completion *done) {
    canal *one = actor;
    expect_ok(done);
    *one = (canal){.channel = done->handle, .last = 1 + draw(200)};
    receive_number(one);
    send_number(one);
}

static void dig(canal *one) {
    ferry_request request;
    ferry_prepare_channel_open(&request, 4);
    begin(&request, KIND_OTHER, dug, one);
}

void start_channels(uint32_t count) {
    canal *all = make_actors(count, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        dig(&all[i]);
    }
}
