#include "id_map.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 64 };

typedef struct id_map_place {
    uint64_t id;
    void *record; /* NULL = the place is empty. */
} id_map_place;

/* The multiplier spreads ids that differ only in a few high or low bits. */
static size_t first_place(uint64_t id, size_t capacity) {
    uint64_t mixed = (id ^ (id >> 31)) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(mixed >> 20) & (capacity - 1);
}

static id_map_place *place_of(id_map_place *places, size_t capacity, uint64_t id) {
    size_t i = first_place(id, capacity);
    while (places[i].record != NULL && places[i].id != id) {
        i = (i + 1) & (capacity - 1);
    }
    return &places[i];
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void grow(id_map *map) {
    size_t capacity = map->capacity == 0 ? FIRST_CAPACITY : map->capacity * 2;
    id_map_place *places = allocate(capacity, sizeof *places);
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->places[i].record != NULL) {
            *place_of(places, capacity, map->places[i].id) = map->places[i];
        }
    }
    free(map->places);
    map->places = places;
    map->capacity = capacity;
}

void *id_map_find(const id_map *map, uint64_t id) {
    return map->capacity == 0 ? NULL : place_of(map->places, map->capacity, id)->record;
}

void *id_map_get(id_map *map, uint64_t id) {
    if (map->count * 2 >= map->capacity) {
        grow(map);
    }
    id_map_place *place = place_of(map->places, map->capacity, id);
    if (place->record == NULL) {
        place->id = id;
        place->record = allocate(1, map->record_size);
        map->count++;
    }
    return place->record;
}

void *id_map_at(const id_map *map, size_t i) {
    return map->places[i].record;
}

void id_map_free(id_map *map) {
    for (size_t i = 0; i < map->capacity; i++) {
        free(map->places[i].record);
    }
    free(map->places);
    map->places = NULL;
    map->capacity = 0;
    map->count = 0;
}
