#include "pending.h"

#include <stdio.h>
#include <string.h>

static const char *const names[PENDING_KINDS] = {
    "timer",   "interval",     "accept one",      "accept",
    "connect", "receive",      "receive lent",    "receive all",
    "send",    "channel send", "channel receive", "channel receive all",
    "load",
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
    case PENDING_LOAD:
        snprintf(name, sizeof name, "pending-%zu", f->fifo_count);
        ferry_prepare_file_load(request, fixture_fifo(f, name), 0);
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
