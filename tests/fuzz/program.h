/**
 * @file
 * A hostile host: a program over the C ABI, made of whatever the source says, on an engine that this
 * thread runs.
 *
 * It passes anything but wild pointers and calls everything in any order, but for what a header
 * forbids in so many words. At its end the engine is shut down; then every accepted request has had
 * exactly one final completion, and nothing is left: no buffer, no handle, no descriptor, no memory.
 */
#ifndef FERRY_FUZZ_PROGRAM_H
#define FERRY_FUZZ_PROGRAM_H

#include "world.h"

/** Play one program to its end. A broken law ends the process, after a message. */
void program_play(world *w, source *s);

#endif
