#include "neighbour.h"

#include <string.h>

neighbour neighbour_move_in(fixture *f) {
    neighbour n = {.position = 0};
    ferry_request request;
    n.stream = fixture_stream(f, &n.peer);
    ferry_prepare_stream_receive_multishot(&request, n.stream);
    n.receiving = fixture_submit(f, &request);
    return n;
}

void neighbour_is_well(fixture *f, neighbour *n) {
    unsigned char bytes[16];
    ferry_request request;
    pattern_fill(bytes, sizeof bytes, n->position);
    peer_send(n->peer, bytes, sizeof bytes);
    size_t got = 0;
    while (got < sizeof bytes) {
        ferry_completion some = fixture_next(f, n->receiving);
        assert_status(some.status, FERRY_OK);
        assert_true(pattern_matches(some.data, (size_t)some.result, n->position + got));
        got += (size_t)some.result;
        fixture_release(f, &some);
    }
    ferry_prepare_stream_send(&request, n->stream, bytes, sizeof bytes);
    request.flags = FERRY_COPY;
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    memset(bytes, 0, sizeof bytes);
    peer_receive(n->peer, bytes, sizeof bytes);
    assert_true(pattern_matches(bytes, sizeof bytes, n->position));
    n->position += sizeof bytes;
}
