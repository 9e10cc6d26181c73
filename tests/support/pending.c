#include "pending.h"

#include <stdio.h>
#include <string.h>

static const char *const names[PENDING_KINDS] = {
    "timer",
    "interval",
    "accept one",
    "accept",
    "connect",
    "receive",
    "receive lent",
    "receive all",
    "exactly",
    "until",
    "until all",
    "send",
    "vectored",
    "copy",
    "channel send",
    "channel receive",
    "channel receive all",
    "load",
    "open",
};

static void prepare_accept(fixture *f, ferry_request *request, uint32_t flags) {
    uint16_t port;
    ferry_prepare_tcp_accept(request, fixture_listen(f, &port));
    request->flags = flags;
}

static void prepare_connect(fixture *f, ferry_request *request) {
    uint16_t port;
    int waiting;
    fixture_keep(f, peer_listen_full(&port, &waiting));
    fixture_keep(f, waiting);
    ferry_address address = loopback(port);
    ferry_prepare_tcp_connect(request, &address);
}

static void prepare_receive_lent(fixture *f, ferry_request *request, uint32_t flags) {
    int peer;
    ferry_prepare_stream_receive_multishot(request, fixture_stream(f, &peer));
    request->flags = flags;
}

static void prepare_send(fixture *f, ferry_request *request) {
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    void *data = fixture_memory(f, FIXTURE_STUCK_SIZE);
    memset(data, 's', FIXTURE_STUCK_SIZE);
    ferry_prepare_stream_send(request, stream, data, FIXTURE_STUCK_SIZE);
}

static ferry_handle open_channel(fixture *f) {
    ferry_request request;
    ferry_prepare_channel_open(&request, 0);
    return fixture_do(f, &request).handle;
}

static void prepare_vectored(fixture *f, ferry_request *request) {
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_slice *slices = fixture_memory(f, 2 * sizeof *slices);
    for (int i = 0; i < 2; i++) {
        slices[i].data = fixture_memory(f, FIXTURE_STUCK_SIZE);
        slices[i].size = FIXTURE_STUCK_SIZE;
        memset(slices[i].data, 'v', FIXTURE_STUCK_SIZE);
    }
    ferry_prepare_stream_send_vectored(request, stream, slices, 2);
}

static void prepare_copy(fixture *f, ferry_request *request) {
    int peer;
    ferry_handle from = fixture_stream(f, &peer);
    ferry_handle to = fixture_stream_beside(f, from, &peer);
    ferry_prepare_handle_copy(request, from, to, UINT64_MAX, 0, 0);
}

void pending_prepare(fixture *f, pending_kind kind, ferry_request *request) {
    int peer;
    char name[24];
    switch (kind) {
    case PENDING_TIMER:
        ferry_prepare_timer(request, HOUR, 0);
        break;
    case PENDING_INTERVAL:
        ferry_prepare_timer(request, HOUR, HOUR);
        break;
    case PENDING_ACCEPT_ONE:
        prepare_accept(f, request, 0);
        break;
    case PENDING_ACCEPT:
        prepare_accept(f, request, FERRY_MULTISHOT);
        break;
    case PENDING_CONNECT:
        prepare_connect(f, request);
        break;
    case PENDING_RECEIVE:
        ferry_prepare_stream_receive(request, fixture_stream(f, &peer), fixture_memory(f, 16), 16);
        break;
    case PENDING_RECEIVE_LENT:
        prepare_receive_lent(f, request, FERRY_LEND);
        break;
    case PENDING_RECEIVE_ALL:
        prepare_receive_lent(f, request, FERRY_LEND | FERRY_MULTISHOT);
        break;
    case PENDING_EXACTLY:
        ferry_prepare_stream_receive_exactly(request, fixture_stream(f, &peer),
                                             fixture_memory(f, 16), 16);
        break;
    case PENDING_UNTIL:
        ferry_prepare_stream_receive_until(request, fixture_stream(f, &peer), fixture_memory(f, 16),
                                           16, "\n", 1);
        break;
    case PENDING_UNTIL_ALL:
        ferry_prepare_stream_receive_until(request, fixture_stream(f, &peer), NULL, 16, "\n", 1);
        request->flags = FERRY_LEND | FERRY_MULTISHOT;
        break;
    case PENDING_SEND:
        prepare_send(f, request);
        break;
    case PENDING_CHANNEL_SEND:
        ferry_prepare_channel_send(request, open_channel(f), 0, 0);
        break;
    case PENDING_CHANNEL_RECEIVE:
        ferry_prepare_channel_receive(request, open_channel(f));
        request->flags = 0;
        break;
    case PENDING_CHANNEL_RECEIVE_ALL:
        ferry_prepare_channel_receive(request, open_channel(f));
        break;
    case PENDING_VECTORED:
        prepare_vectored(f, request);
        break;
    case PENDING_COPY:
        prepare_copy(f, request);
        break;
    case PENDING_LOAD:
        snprintf(name, sizeof name, "pending-%zu", f->fifo_count);
        ferry_prepare_file_load(request, fixture_fifo(f, name), 0);
        break;
    case PENDING_OPEN:
        snprintf(name, sizeof name, "pending-%zu", f->fifo_count);
        ferry_prepare_file_open(request, fixture_fifo(f, name), FERRY_OPEN_READ, 0);
        break;
    case PENDING_KINDS:
        break;
    }
}

void pending_expect(pending_kind kind, ferry_status actual, ferry_status expected) {
    if (actual != expected) {
        fail_msg("%s: %s, not %s", names[kind], ferry_status_name(actual),
                 ferry_status_name(expected));
    }
}
