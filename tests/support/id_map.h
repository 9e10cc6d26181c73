/**
 * @file
 * A hash map from 64-bit ids to records: what the referee remembers by. Nothing is ever removed.
 */
#ifndef FERRY_TEST_ID_MAP_H
#define FERRY_TEST_ID_MAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct id_map {
    struct id_map_place *places; /* A power of two of them, or NULL. */
    size_t capacity;
    size_t count;
    size_t record_size; /* Set before use. */
} id_map;

/** The record of an id, or NULL. */
void *id_map_find(const id_map *map, uint64_t id);

/** The record of an id; a new one is all zero. Stays where it is until the map is freed. */
void *id_map_get(id_map *map, uint64_t id);

/** The i-th place's record, or NULL if that place is empty; i runs to capacity. */
void *id_map_at(const id_map *map, size_t i);

void id_map_free(id_map *map);

#endif
