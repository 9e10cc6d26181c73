/**
 * @file
 * One operation of each kind that does not end by itself: cancel, deadlines and shutdown are tried
 * on them.
 */
#ifndef FERRY_TEST_PENDING_H
#define FERRY_TEST_PENDING_H

#include "fixture.h"

typedef enum pending_kind {
    PENDING_TIMER,
    PENDING_INTERVAL,
    PENDING_ACCEPT_ONE,
    PENDING_ACCEPT,
    PENDING_CONNECT,
    PENDING_RECEIVE,
    PENDING_RECEIVE_LENT,
    PENDING_RECEIVE_ALL,
    PENDING_EXACTLY,
    PENDING_UNTIL,
    PENDING_UNTIL_ALL,
    PENDING_SEND,
    PENDING_VECTORED,
    PENDING_COPY,
    PENDING_CHANNEL_SEND,
    PENDING_CHANNEL_RECEIVE,
    PENDING_CHANNEL_RECEIVE_ALL,
    PENDING_LOAD, /* From here on: in a file system that does not answer. */
    PENDING_OPEN,
    PENDING_KINDS /* How many there are. */
} pending_kind;

/** Describe one, with all that it needs on the other side. */
void pending_prepare(fixture *f, pending_kind kind, ferry_request *request);

/** Fail unless the status is as expected; says which kind it is about. */
void pending_expect(pending_kind kind, ferry_status actual, ferry_status expected);

#endif
