/**
 * @file
 * The one place that knows what the words of each opcode's parameters are: which of them the engine
 * follows, and so must be true, and which may be anything.
 *
 * An opcode without a row here is still tried, with zero words.
 */
#ifndef FERRY_FUZZ_OPCODES_H
#define FERRY_FUZZ_OPCODES_H

#include "world.h"

enum { SPARE_DESCRIPTORS = 4 };

/** A request, and what it would take with it if it were accepted. */
typedef struct hostile_request {
    ferry_request record;
    int descriptors[SPARE_DESCRIPTORS]; /* To be closed if it is refused. */
    uint32_t descriptor_count;
    uint32_t releases; /* Descriptors that it may bring, its children's included. */
} hostile_request;

/** Make up a request: one that is nearly right, as a rule. Callback and user data are 0. */
void hostile_prepare(hostile_request *made, world *w, source *s);

/** It was refused: close what it would have taken. */
void hostile_refused(const hostile_request *made);

/** True if the opcode has a row here. */
bool hostile_knows(uint16_t opcode);

#endif
