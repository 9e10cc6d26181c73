/**
 * @file
 * A healthy stream beside a test that does what it should not: it shows damage done to others.
 */
#ifndef FERRY_TEST_NEIGHBOUR_H
#define FERRY_TEST_NEIGHBOUR_H

#include "fixture.h"

typedef struct neighbour {
    ferry_handle stream;
    int peer;
    ferry_op receiving;
    size_t position;
} neighbour;

/** A stream with a pending multishot receive. */
neighbour neighbour_move_in(fixture *f);

/** Fail unless bytes still flow through it, both ways. */
void neighbour_is_well(fixture *f, neighbour *n);

#endif
