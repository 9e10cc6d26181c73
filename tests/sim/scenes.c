/*
 * A scene for every operation. What fails is left out, what succeeds must be right.
 */
#include "play.h"

#include <string.h>

#define SECONDS(count) (UINT64_C(1000000000) * (count))
#define LONG SECONDS(100000)

/* --- Nothing, messages, time --------------------------------------------------------------- */

static void nops(play *p) {
    ferry_request request;
    ferry_completion completion;
    ferry_op ops[8];
    ferry_prepare_nop(&request);
    for (int i = 0; i < 8; i++) {
        ops[i] = play_start(p, &request);
    }
    for (int i = 0; i < 8; i++) {
        if (play_final(p, ops[i], &completion)) {
            MUST(p, completion.status == FERRY_OK || !play_fair(p));
        }
    }
}

static void posts(play *p) {
    ferry_request request;
    ferry_completion completion;
    for (int i = 0; i < 4; i++) {
        play_post(p);
    }
    ferry_prepare_nop(&request);
    play_do(p, &request, &completion);
}

static void timers(play *p) {
    ferry_request request;
    ferry_completion completion;
    uint64_t begin, end;
    ferry_sim_now(play_engine(p), &begin);
    ferry_prepare_timer(&request, SECONDS(1) + play_below(p, SECONDS(5)), 0);
    if (play_do(p, &request, &completion)) {
        ferry_sim_now(play_engine(p), &end);
        MUST(p, end - begin >= SECONDS(1));
    }
    ferry_prepare_timer(&request, 1000, SECONDS(1));
    ferry_op interval = play_start(p, &request);
    int64_t ticks = 0;
    while (ticks < 5 && play_next(p, interval, &completion)) {
        if ((completion.flags & FERRY_MORE) == 0) {
            return;
        }
        MUST(p, completion.result >= 1);
        ticks += completion.result;
    }
    if (interval != FERRY_NONE) {
        ferry_queue_cancel(play_queue(p), interval);
        MUST(p, !play_final(p, interval, &completion) || completion.status != FERRY_OK);
    }
}

/* --- Connections --------------------------------------------------------------------------- */

static void listeners(play *p) {
    uint16_t port;
    ferry_handle listener = play_listen(p, &port);
    ferry_address address = play_address(FAR, port);
    ferry_request request;
    ferry_completion completion;
    ferry_prepare_tcp_listen(&request, &address, 0);
    if (listener != FERRY_NONE && play_do(p, &request, &completion)) {
        MUST(p, !play_fair(p)); /* The first one may be closed or its host restarted by now. */
        play_close(p, completion.handle);
    }
    play_close(p, listener);
    play_close(p, listener);
}

static void accepts(play *p) {
    uint16_t port;
    ferry_handle listener = play_listen(p, &port);
    ferry_request request;
    ferry_completion completion;
    ferry_op connects[5];
    ferry_handle streams[10];
    size_t count = 0;
    ferry_prepare_tcp_accept(&request, listener);
    request.deadline_ns = LONG;
    ferry_op accept = listener != FERRY_NONE ? play_start(p, &request) : FERRY_NONE;
    ferry_address local = play_address(NEAR, 0);
    ferry_address peer = play_address(FAR, port);
    for (int i = 0; i < 5; i++) {
        ferry_prepare_tcp_connect_from(&request, &peer, &local);
        connects[i] = accept != FERRY_NONE ? play_start(p, &request) : FERRY_NONE;
    }
    for (int i = 0; i < 5; i++) {
        if (play_final(p, connects[i], &completion) && completion.status == FERRY_OK) {
            streams[count++] = completion.handle;
        }
    }
    size_t connected = count;
    for (size_t i = 0; i < connected && play_next(p, accept, &completion); i++) {
        if ((completion.flags & FERRY_MORE) == 0) {
            accept = FERRY_NONE;
            break;
        }
        if (completion.status == FERRY_OK) {
            streams[count++] = completion.handle;
        }
    }
    MUST(p, count == 10 || !play_fair(p));
    play_close(p, listener);
    if (play_final(p, accept, &completion)) {
        MUST(p, completion.status != FERRY_OK);
    }
    for (size_t i = 0; i < count; i++) {
        play_close(p, streams[i]);
    }
}

static void connects(play *p) {
    ferry_handle near, far;
    if (play_connect(p, &near, &far)) {
        play_close(p, near);
        play_close(p, far);
    } else {
        MUST(p, !play_fair(p));
    }
}

static void connects_by_name(play *p) {
    uint16_t port;
    ferry_request request;
    ferry_completion completion;
    ferry_handle listener = play_listen(p, &port);
    ferry_prepare_tcp_connect_name(&request, "far", port);
    bool done = listener != FERRY_NONE && play_do(p, &request, &completion);
    MUST(p, done || !play_fair(p));
    play_close(p, done ? completion.handle : FERRY_NONE);
    ferry_prepare_tcp_connect_name(&request, "nowhere", 1);
    MUST(p, !play_do(p, &request, &completion));
    play_close(p, listener);
}

static void addresses(play *p) {
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    if (!play_connect(p, &near, &far)) {
        return;
    }
    ferry_prepare_socket_local_address(&request, near);
    if (play_do(p, &request, &completion)) {
        const ferry_address *address = completion.data;
        MUST(p, completion.result == sizeof *address && address->bytes[3] == NEAR);
        play_release(p, &completion);
    }
    ferry_prepare_socket_peer_address(&request, near);
    if (play_do(p, &request, &completion)) {
        const ferry_address *address = completion.data;
        MUST(p, completion.result == sizeof *address && address->bytes[3] == FAR);
        play_release(p, &completion);
    }
    play_close(p, near);
    play_close(p, far);
}

static void options(play *p) {
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    if (!play_connect(p, &near, &far)) {
        return;
    }
    for (uint32_t option = FERRY_SOCKET_NO_DELAY; option <= FERRY_SOCKET_LINGER; option++) {
        ferry_prepare_socket_set(&request, near, option, 1);
        MUST(p, play_do(p, &request, &completion) || !play_fair(p));
    }
    play_close(p, far);
    ferry_prepare_timer(&request, SECONDS(60), 0);
    play_do(p, &request, &completion);
    play_close(p, near);
}

/* --- Streams ------------------------------------------------------------------------------- */

/* What arrived must be the beginning of what was sent. */
static void must_be_prefix(play *p, const void *got, size_t size, const unsigned char *sent,
                           size_t sent_size) {
    MUST(p, size <= sent_size);
    MUST(p, memcmp(got, sent, size) == 0);
}

/* Sends from one end; the other receives by a request that it makes anew as long as it succeeds. */
static void receives(play *p) {
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    if (!play_connect(p, &near, &far)) {
        return;
    }
    size_t size = 1 + play_below(p, 50000);
    unsigned char *sent = play_pattern(p, size, 1);
    unsigned char *got = play_memory(p, size + 4096);
    ferry_prepare_stream_send(&request, near, sent, size);
    ferry_op send = play_start(p, &request);
    size_t all = 0;
    while (all < size) {
        ferry_prepare_stream_receive(&request, far, got + all, 1 + play_below(p, 4096));
        if (!play_do(p, &request, &completion) || completion.result == 0) {
            break;
        }
        all += (size_t)completion.result;
        must_be_prefix(p, got, all, sent, size);
    }
    MUST(p, all == size || !play_fair(p));
    play_close(p, far);
    play_close(p, near);
    play_final(p, send, &completion);
}

static void receives_lent(play *p) {
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    if (!play_connect(p, &near, &far)) {
        return;
    }
    size_t size = 1 + play_below(p, 200000);
    unsigned char *sent = play_pattern(p, size, 2);
    ferry_prepare_stream_receive_multishot(&request, far);
    request.deadline_ns = LONG;
    ferry_op receive = play_start(p, &request);
    ferry_prepare_stream_send(&request, near, sent, size);
    ferry_op send = play_start(p, &request);
    ferry_prepare_stream_shutdown(&request, near);
    ferry_op end = play_start(p, &request);
    size_t all = 0;
    bool done = receive == FERRY_NONE;
    while (!done && play_next(p, receive, &completion)) {
        done = (completion.flags & FERRY_MORE) == 0;
        if ((completion.flags & FERRY_BUFFER) != 0) {
            must_be_prefix(p, completion.data, (size_t)completion.result, sent + all, size - all);
            all += (size_t)completion.result;
            play_release(p, &completion);
        }
    }
    MUST(p, all == size || !play_fair(p));
    play_final(p, send, &completion);
    play_final(p, end, &completion);
    play_close(p, near);
    play_close(p, far);
}

static void receives_exactly(play *p) {
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    if (!play_connect(p, &near, &far)) {
        return;
    }
    size_t size = 1 + play_below(p, 30000);
    unsigned char *sent = play_pattern(p, size, 3);
    unsigned char *got = play_memory(p, size);
    ferry_prepare_stream_receive_exactly(&request, far, got, size);
    ferry_op receive = play_start(p, &request);
    ferry_slice slices[7];
    size_t at = 0;
    for (size_t i = 0; i < 7; i++) {
        size_t part = i < 6 ? play_below(p, size - at + 1) : size - at;
        slices[i].data = sent + at;
        slices[i].size = part;
        at += part;
    }
    ferry_prepare_stream_send_vectored(&request, near, slices, 7);
    ferry_op send = play_start(p, &request);
    if (play_final(p, receive, &completion) && completion.result > 0) {
        must_be_prefix(p, got, (size_t)completion.result, sent, size);
        MUST(p, completion.status != FERRY_OK || completion.result == (int64_t)size);
    }
    if (play_final(p, send, &completion) && completion.status == FERRY_OK) {
        MUST(p, completion.result == (int64_t)size);
    }
    play_close(p, near);
    play_close(p, far);
}

static void receives_until(play *p) {
    static const char lines[] = "one\r\ntwo\r\n\r\nthree and more\r\nfour\r\n";
    static const size_t lengths[] = {5, 5, 2, 16, 6};
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    char line[64];
    if (!play_connect(p, &near, &far)) {
        return;
    }
    ferry_prepare_stream_send(&request, near, lines, sizeof lines - 1);
    ferry_op send = play_start(p, &request);
    bool lend = play_below(p, 2) == 0;
    size_t at = 0;
    for (size_t i = 0; i < 5; i++) {
        ferry_prepare_stream_receive_until(&request, far, lend ? NULL : line, sizeof line, "\r\n",
                                           2);
        request.flags |= lend ? FERRY_LEND : 0;
        if (!play_do(p, &request, &completion) || completion.result == 0) {
            break;
        }
        MUST(p, completion.result == (int64_t)lengths[i]);
        MUST(p, memcmp(lend ? completion.data : line, lines + at, lengths[i]) == 0);
        at += lengths[i];
        play_release(p, &completion);
    }
    MUST(p, at == sizeof lines - 1 || !play_fair(p));
    play_final(p, send, &completion);
    play_close(p, far);
    play_close(p, near);
}

static void sends(play *p) {
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    ferry_op ops[12];
    if (!play_connect(p, &near, &far)) {
        return;
    }
    unsigned char *all = play_pattern(p, 60000, 4);
    unsigned char *got = play_memory(p, 60000);
    for (size_t i = 0; i < 12; i++) {
        ferry_prepare_stream_send(&request, near, all + i * 5000, 5000);
        request.flags |= i % 3 == 0 ? FERRY_COPY : 0;
        ops[i] = play_start(p, &request);
    }
    ferry_prepare_stream_receive_exactly(&request, far, got, 60000);
    request.deadline_ns = LONG;
    bool whole = play_do(p, &request, &completion);
    MUST(p, whole || !play_fair(p));
    bool all_sent = true;
    for (size_t i = 0; i < 12; i++) {
        all_sent = play_final(p, ops[i], &completion) && completion.status == FERRY_OK && all_sent;
    }
    if (whole && all_sent) {
        MUST(p, memcmp(got, all, 60000) == 0);
    }
    play_close(p, near);
    play_close(p, far);
}

static void shutdowns(play *p) {
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    char got[8];
    if (!play_connect(p, &near, &far)) {
        return;
    }
    ferry_prepare_stream_send(&request, near, "bye", 3);
    ferry_op send = play_start(p, &request);
    ferry_prepare_stream_shutdown(&request, near);
    ferry_op end = play_start(p, &request);
    ferry_prepare_stream_receive_exactly(&request, far, got, sizeof got);
    request.deadline_ns = LONG;
    if (play_final(p, play_start(p, &request), &completion)) {
        MUST(p, completion.status != FERRY_OK);
        MUST(p, completion.result == 3 || !play_fair(p));
    }
    ferry_prepare_stream_send(&request, far, "well", 4);
    play_do(p, &request, &completion);
    ferry_prepare_stream_receive_exactly(&request, near, got, 4);
    request.deadline_ns = LONG;
    if (play_do(p, &request, &completion)) {
        MUST(p, memcmp(got, "well", 4) == 0);
    }
    play_final(p, send, &completion);
    play_final(p, end, &completion);
    play_close(p, near);
    play_close(p, far);
}

/* --- Handles ------------------------------------------------------------------------------- */

static void closes(play *p) {
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    char got[4];
    if (!play_connect(p, &near, &far)) {
        return;
    }
    ferry_prepare_stream_receive(&request, near, got, sizeof got);
    ferry_op receive = play_start(p, &request);
    ferry_prepare_handle_close(&request, near);
    ferry_op close = play_start(p, &request);
    if (play_final(p, receive, &completion)) {
        MUST(p, completion.status != FERRY_OK || !play_fair(p));
    }
    play_final(p, close, &completion);
    ferry_prepare_stream_receive(&request, far, got, sizeof got);
    request.deadline_ns = LONG;
    if (play_do(p, &request, &completion)) {
        MUST(p, completion.result == 0);
    }
    play_close(p, far);
}

static void descriptors(play *p) {
    ferry_request request;
    ferry_completion completion;
    ferry_prepare_descriptor_adopt(&request, 0, FERRY_DESCRIPTOR_FILE);
    MUST(p, !play_do(p, &request, &completion));
    ferry_handle near, far;
    if (play_connect(p, &near, &far)) {
        ferry_prepare_descriptor_release(&request, near);
        MUST(p, !play_do(p, &request, &completion));
        play_close(p, near);
        play_close(p, far);
    }
}

static void copies(play *p) {
    ferry_handle near, far;
    ferry_request request;
    ferry_completion completion;
    size_t size = 1 + play_below(p, 20000);
    unsigned char *data = play_pattern(p, size, 5);
    unsigned char *got = play_memory(p, size + 1);
    if (ferry_sim_put_file(play_engine(p), "/source", data, size) != FERRY_OK) {
        MUST(p, !play_fair(p));
        return;
    }
    ferry_handle source = play_open(p, "/source", FERRY_OPEN_READ);
    ferry_handle sink = play_open(p, "/sink", FERRY_OPEN_WRITE | FERRY_OPEN_CREATE);
    if (source != FERRY_NONE && sink != FERRY_NONE && play_connect(p, &near, &far)) {
        ferry_prepare_handle_copy(&request, source, near, UINT64_MAX, 0, 0);
        ferry_op out = play_start(p, &request);
        ferry_prepare_handle_copy(&request, far, sink, size, 0, 0);
        request.deadline_ns = LONG;
        ferry_op in = play_start(p, &request);
        bool sent = play_final(p, out, &completion) && completion.status == FERRY_OK;
        MUST(p, !sent || completion.result == (int64_t)size);
        bool arrived = play_final(p, in, &completion) && completion.status == FERRY_OK;
        size_t there = 0;
        if (sent && arrived && completion.result == (int64_t)size &&
            ferry_sim_get_file(play_engine(p), "/sink", got, size + 1, &there) == FERRY_OK) {
            MUST(p, there == size && memcmp(got, data, size) == 0);
        }
        MUST(p, (sent && arrived) || !play_fair(p));
        play_close(p, near);
        play_close(p, far);
    }
    if (source != FERRY_NONE && sink != FERRY_NONE) {
        ferry_prepare_handle_copy(&request, source, sink, size, 0, 100000);
        if (play_do(p, &request, &completion)) {
            MUST(p, completion.result == (int64_t)size);
        }
    }
    play_close(p, source);
    play_close(p, sink);
}

/* --- Files --------------------------------------------------------------------------------- */

static void loads(play *p) {
    ferry_request request;
    ferry_completion completion;
    size_t size = play_below(p, 100000);
    unsigned char *data = play_pattern(p, size + 1, 6);
    if (ferry_sim_put_file(play_engine(p), "//far/folder/file", data, size) == FERRY_OK) {
        ferry_prepare_file_load(&request, "//far/folder/file", 0);
        bool done = play_do(p, &request, &completion);
        MUST(p, done || !play_fair(p));
        if (done) {
            MUST(p, completion.result == (int64_t)size);
            MUST(p, size == 0 || memcmp(completion.data, data, size) == 0);
            play_release(p, &completion);
        }
    }
    ferry_prepare_file_load(&request, "//far/folder/none", 0);
    MUST(p, !play_do(p, &request, &completion));
}

/* Whatever happens, the path names the old file or the new one. */
static void stores(play *p) {
    ferry_request request;
    ferry_completion completion;
    size_t sizes[2] = {1 + play_below(p, 5000), 1 + play_below(p, 20000)};
    unsigned char *versions[2] = {play_pattern(p, sizes[0], 7), play_pattern(p, sizes[1], 8)};
    unsigned char *got = play_memory(p, 20001);
    if (ferry_sim_put_file(play_engine(p), "//far/file", versions[0], sizes[0]) != FERRY_OK) {
        return;
    }
    ferry_prepare_file_store(&request, "//far/file", versions[1], sizes[1], 0);
    bool stored = play_do(p, &request, &completion);
    MUST(p, stored || !play_fair(p));
    size_t size = 0;
    ferry_status status = ferry_sim_get_file(play_engine(p), "//far/file", got, 20001, &size);
    MUST(p, status == FERRY_OK);
    bool old = size == sizes[0] && memcmp(got, versions[0], size) == 0;
    bool new = size == sizes[1] && memcmp(got, versions[1], size) == 0;
    MUST(p, new || (old && !stored));
}

static void files(play *p) {
    ferry_request request;
    ferry_completion completion;
    size_t size = 1 + play_below(p, 10000);
    unsigned char *data = play_pattern(p, size, 9);
    unsigned char *got = play_memory(p, size + 10);
    ferry_handle file =
        play_open(p, "/new", FERRY_OPEN_READ | FERRY_OPEN_WRITE | FERRY_OPEN_CREATE);
    MUST(p, file != FERRY_NONE || !play_fair(p));
    if (file == FERRY_NONE) {
        return;
    }
    ferry_prepare_file_write(&request, file, data, size, 100);
    bool written = play_do(p, &request, &completion);
    MUST(p, !written || completion.result == (int64_t)size);
    ferry_prepare_file_sync(&request, file, play_below(p, 2) == 0);
    MUST(p, play_do(p, &request, &completion) || !play_fair(p));
    ferry_prepare_file_read(&request, file, got, size + 10, 100);
    if (play_do(p, &request, &completion) && written) {
        MUST(p, completion.result == (int64_t)size && memcmp(got, data, size) == 0);
    }
    ferry_slice slices[3] = {{{got}, 5}, {{got + 5}, 0}, {{got + 5}, 7}};
    ferry_prepare_file_write_vectored(&request, file, slices, 3, FERRY_AT_POSITION);
    if (play_do(p, &request, &completion)) {
        MUST(p, completion.result == 12);
    }
    ferry_prepare_file_read_vectored(&request, file, slices, 3, 0);
    if (play_do(p, &request, &completion)) {
        MUST(p, completion.result <= 12);
    }
    ferry_prepare_file_truncate(&request, file, 50);
    bool cut = play_do(p, &request, &completion);
    ferry_prepare_file_stat(&request, file);
    if (play_do(p, &request, &completion)) {
        const ferry_file_info *info = completion.data;
        MUST(p, !cut || info->size == 50);
        play_release(p, &completion);
    }
    ferry_prepare_path_stat(&request, "/new", false);
    if (play_do(p, &request, &completion)) {
        const ferry_file_info *info = completion.data;
        MUST(p, info->type == FERRY_FILE_REGULAR);
        play_release(p, &completion);
    }
    play_close(p, file);
}

/* --- Channels, names ----------------------------------------------------------------------- */

static void channels(play *p) {
    ferry_request request;
    ferry_completion completion;
    ferry_op sends[6];
    ferry_prepare_channel_open(&request, 2);
    if (!play_do(p, &request, &completion)) {
        return;
    }
    ferry_handle channel = completion.handle;
    for (int i = 0; i < 6; i++) {
        ferry_prepare_channel_send(&request, channel, i + 1, 0);
        sends[i] = play_start(p, &request);
    }
    ferry_prepare_channel_receive(&request, channel);
    request.deadline_ns = LONG;
    ferry_op receive = play_start(p, &request);
    int64_t last = 0;
    bool more = true;
    for (int i = 0; i < 6 && more && play_next(p, receive, &completion); i++) {
        more = (completion.flags & FERRY_MORE) != 0;
        if (more) {
            MUST(p, completion.result > last); /* In order, each once. */
            last = completion.result;
        }
    }
    MUST(p, last == 6 || !play_fair(p));
    ferry_prepare_channel_finish(&request, channel);
    play_do(p, &request, &completion);
    if (more && play_final(p, receive, &completion)) {
        MUST(p, completion.status != FERRY_OK);
    }
    for (int i = 0; i < 6; i++) {
        play_final(p, sends[i], &completion);
    }
    play_close(p, channel);
}

static void names(play *p) {
    ferry_request request;
    ferry_completion completion;
    ferry_prepare_name_resolve(&request, "far", 7, 0);
    if (play_do(p, &request, &completion)) {
        const ferry_address *address = completion.data;
        MUST(p, completion.result == sizeof *address && address->port == 7);
        MUST(p, address->bytes[3] == FAR);
        play_release(p, &completion);
    } else {
        MUST(p, !play_fair(p));
    }
    ferry_prepare_name_resolve(&request, "10.0.0.9", 7, 0);
    if (play_do(p, &request, &completion)) {
        play_release(p, &completion);
    }
}

/* --- Compositions -------------------------------------------------------------------------- */

static void chains(play *p) {
    ferry_request children[4];
    ferry_request request;
    ferry_completion completion;
    unsigned char *data = play_pattern(p, 1000, 10);
    unsigned char *got = play_memory(p, 1000);
    if (ferry_sim_put_file(play_engine(p), "/chained", data, 1000) != FERRY_OK) {
        return;
    }
    ferry_prepare_file_open(&children[0], "/chained", FERRY_OPEN_READ, 0);
    ferry_prepare_file_read(&children[1], ferry_child_handle(0, 0), got, 1000, 0);
    ferry_prepare_file_stat(&children[2], ferry_child_handle(0, 0));
    ferry_prepare_handle_close(&children[3], ferry_child_handle(0, 0));
    ferry_prepare_chain(&request, children, 4);
    bool done = play_do(p, &request, &completion);
    MUST(p, done || !play_fair(p));
    if (done) {
        MUST(p, memcmp(got, data, 1000) == 0);
        play_release(p, &completion);
    }
}

static void alls(play *p) {
    ferry_request children[6];
    ferry_request inner[3];
    ferry_request request;
    ferry_completion completion;
    for (int i = 0; i < 3; i++) {
        ferry_prepare_timer(&inner[i], 1 + play_below(p, SECONDS(3)), 0);
    }
    for (int i = 0; i < 3; i++) {
        ferry_prepare_timer(&children[i], 1 + play_below(p, SECONDS(3)), 0);
    }
    ferry_prepare_race(&children[3], inner, 3);
    ferry_prepare_name_resolve(&children[4], "far", 1, 0);
    ferry_prepare_file_load(&children[5], "/nothing", 0);
    ferry_prepare_all(&request, children, 6);
    if (play_final(p, play_start(p, &request), &completion)) {
        MUST(p, completion.status != FERRY_OK); /* There is no such file. */
        MUST(p, completion.status == FERRY_E_NOT_FOUND || !play_fair(p));
        play_release(p, &completion);
    }
}

static void races(play *p) {
    ferry_handle near, far;
    ferry_request children[3];
    ferry_request request;
    ferry_completion completion;
    char got[16];
    if (!play_connect(p, &near, &far)) {
        return;
    }
    ferry_prepare_stream_send(&request, near, "first", 5);
    ferry_op send = play_start(p, &request);
    ferry_prepare_stream_receive(&children[0], far, got, sizeof got);
    ferry_prepare_timer(&children[1], SECONDS(1), 0);
    ferry_prepare_timer(&children[2], SECONDS(5), 0);
    ferry_prepare_race(&request, children, 3);
    if (play_final(p, play_start(p, &request), &completion)) {
        play_release(p, &completion);
    }
    play_final(p, send, &completion);
    play_close(p, near);
    play_close(p, far);
}

/* A server that comes up later. */
static void retries(play *p) {
    uint16_t port;
    ferry_request child;
    ferry_request request;
    ferry_completion completion;
    ferry_handle listener = play_listen(p, &port);
    play_close(p, listener);
    ferry_address local = play_address(NEAR, 0);
    ferry_address address = play_address(FAR, port);
    ferry_prepare_tcp_connect_from(&child, &address, &local);
    child.deadline_ns = SECONDS(2);
    ferry_prepare_retry(&request, &child, 20, SECONDS(1), SECONDS(8));
    ferry_op retry = listener != FERRY_NONE ? play_start(p, &request) : FERRY_NONE;
    ferry_prepare_timer(&request, SECONDS(10), 0);
    play_do(p, &request, &completion);
    ferry_prepare_tcp_listen(&request, &address, 0);
    bool listens = play_do(p, &request, &completion);
    listener = listens ? completion.handle : FERRY_NONE;
    if (play_final(p, retry, &completion)) {
        MUST(p, completion.status == FERRY_OK || !play_fair(p));
        play_close(p, completion.status == FERRY_OK ? completion.handle : FERRY_NONE);
        play_release(p, &completion);
    }
    play_close(p, listener);
}

const scene scenes[] = {
    {"nop", FERRY_OP_NOP, nops},
    {"post", FERRY_OP_POST, posts},
    {"handle_close", FERRY_OP_HANDLE_CLOSE, closes},
    {"handle_copy", FERRY_OP_HANDLE_COPY, copies},
    {"descriptor_adopt", FERRY_OP_DESCRIPTOR_ADOPT, descriptors},
    {"descriptor_release", FERRY_OP_DESCRIPTOR_RELEASE, descriptors},
    {"chain", FERRY_OP_CHAIN, chains},
    {"all", FERRY_OP_ALL, alls},
    {"race", FERRY_OP_RACE, races},
    {"retry", FERRY_OP_RETRY, retries},
    {"timer", FERRY_OP_TIMER, timers},
    {"tcp_listen", FERRY_OP_TCP_LISTEN, listeners},
    {"tcp_accept", FERRY_OP_TCP_ACCEPT, accepts},
    {"tcp_connect", FERRY_OP_TCP_CONNECT, connects},
    {"tcp_connect_name", FERRY_OP_TCP_CONNECT_NAME, connects_by_name},
    {"socket_address", FERRY_OP_SOCKET_ADDRESS, addresses},
    {"socket_set", FERRY_OP_SOCKET_SET, options},
    {"stream_receive", FERRY_OP_STREAM_RECEIVE, receives},
    {"stream_receive_lent", FERRY_OP_STREAM_RECEIVE, receives_lent},
    {"stream_send", FERRY_OP_STREAM_SEND, sends},
    {"stream_receive_exactly", FERRY_OP_STREAM_RECEIVE_EXACTLY, receives_exactly},
    {"stream_receive_until", FERRY_OP_STREAM_RECEIVE_UNTIL, receives_until},
    {"stream_send_vectored", FERRY_OP_STREAM_SEND_VECTORED, receives_exactly},
    {"stream_shutdown", FERRY_OP_STREAM_SHUTDOWN, shutdowns},
    {"file_load", FERRY_OP_FILE_LOAD, loads},
    {"file_store", FERRY_OP_FILE_STORE, stores},
    {"file_open", FERRY_OP_FILE_OPEN, files},
    {"file_read", FERRY_OP_FILE_READ, files},
    {"file_write", FERRY_OP_FILE_WRITE, files},
    {"file_read_vectored", FERRY_OP_FILE_READ_VECTORED, files},
    {"file_write_vectored", FERRY_OP_FILE_WRITE_VECTORED, files},
    {"file_stat", FERRY_OP_FILE_STAT, files},
    {"file_sync", FERRY_OP_FILE_SYNC, files},
    {"file_truncate", FERRY_OP_FILE_TRUNCATE, files},
    {"path_stat", FERRY_OP_PATH_STAT, files},
    {"channel_open", FERRY_OP_CHANNEL_OPEN, channels},
    {"channel_send", FERRY_OP_CHANNEL_SEND, channels},
    {"channel_receive", FERRY_OP_CHANNEL_RECEIVE, channels},
    {"channel_finish", FERRY_OP_CHANNEL_FINISH, channels},
    {"name_resolve", FERRY_OP_NAME_RESOLVE, names},
};
const size_t scene_count = sizeof scenes / sizeof scenes[0];
