#include "source.h"

source source_of_bytes(const void *bytes, size_t size) {
    static const unsigned char nothing[1];
    source s = {.bytes = size == 0 ? nothing : bytes, .size = size};
    return s;
}

source source_of_seed(uint64_t seed) {
    source s = {.random = seed};
    return s;
}

bool source_empty(const source *s) {
    return s->bytes != NULL && s->size == 0;
}

/* splitmix64: neighbouring seeds have nothing in common. */
static unsigned char draw(source *s) {
    s->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = s->random;
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (unsigned char)(mixed >> 56);
}

static unsigned char next_byte(source *s) {
    if (s->bytes == NULL) {
        return draw(s);
    }
    if (s->size == 0) {
        return 0;
    }
    s->size--;
    return *s->bytes++;
}

uint64_t source_take(source *s, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)next_byte(s) << (8 * i);
    }
    return value;
}

uint32_t source_below(source *s, uint32_t bound) {
    return next_byte(s) % bound;
}

bool source_once_in(source *s, uint32_t times) {
    return source_below(s, times) == times - 1;
}

uint64_t source_number(source *s) {
    static const uint64_t edges[] = {
        INT32_MAX,
        UINT32_MAX,
        (uint64_t)UINT32_MAX + 1,
        INT64_MAX,
        (uint64_t)INT64_MAX + 1,
        UINT64_MAX,
        UINT64_MAX - 1,
        65535,
        65536,
        65537,
    };
    switch (source_below(s, 8)) {
    case 0:
    case 1:
        return source_below(s, 8);
    case 2:
        return source_take(s, 1);
    case 3:
        return source_take(s, 2);
    case 4:
        return source_take(s, 3);
    case 5:
        return edges[source_below(s, sizeof edges / sizeof edges[0])];
    case 6:
        return UINT64_C(1) << source_below(s, 64);
    default:
        return source_take(s, 8);
    }
}
