/*
 * The fuzzer's way in: the bytes of an input are a hostile program. See CONTRIBUTING.md for how to
 * run it, and opcodes.c for what it knows of each operation.
 */
#include "program.h"

#include <stdlib.h>

enum { WRITABLE_SIZE = 256 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static world *the_world;

static void destroy_the_world(void) {
    world_destroy(the_world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (the_world == NULL) {
        the_world = world_create(WRITABLE_SIZE);
        atexit(destroy_the_world);
    }
    source s = source_of_bytes(data, size);
    program_play(the_world, &s);
    return 0;
}
