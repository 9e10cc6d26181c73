#include "weather.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_ROOM = 4096, STRUCT_ROOM = 384, FILE_MAX = 70000 };

/* End the process unless the status is one of those named, or one that any of these calls may give. */
#define MUST_BE(status, ...)                                                                       \
    do {                                                                                           \
        const ferry_status named[] = {__VA_ARGS__};                                                \
        must_be(status, named, sizeof named / sizeof named[0], __LINE__);                          \
    } while (0)

static void must_be(ferry_status status, const ferry_status *named, size_t count, int line) {
    for (size_t i = 0; i < count; i++) {
        if (status == named[i]) {
            return;
        }
    }
    fprintf(stderr, "hostile weather, line %d: answers %s\n", line, ferry_status_name(status));
    abort();
}

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "hostile weather, line %d: not %s\n", __LINE__, #condition);           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct weather {
    ferry_engine *engine;
    world *world;
    source *source;
} weather;

/* --- Arguments ----------------------------------------------------------------------------- */

static uint32_t any_host(source *s) {
    uint32_t choice = source_below(s, 16);
    return choice < 12 ? choice % 4 : choice < 14 ? FERRY_SIM_EVERY : (uint32_t)source_number(s);
}

/* Up to some seconds, mostly. */
static uint64_t any_time(source *s) {
    return source_once_in(s, 4) ? source_number(s) : source_take(s, 4);
}

static const char *any_name(weather *c) {
    static const char *const names[] = {"b",   "c",         "localhost", "b.example", "",
                                        "a/b", "127.0.0.1", ".",         NULL};
    uint32_t choice = source_below(c->source, 10);
    return choice < 9 ? names[choice] : c->world->long_name;
}

static const char *any_path(weather *c) {
    static const char *const paths[] = {
        "/a", "/a/b", "/a/", "//b/x", "//b/x/y", "//nobody/x", "//",   "//b", "//b/",
        "/",  "",     "a",   "/a//b", "/a/../b", "/./a",       "///a", NULL,  "//localhost/a"};
    uint32_t choice = source_below(c->source, 20);
    if (choice < sizeof paths / sizeof paths[0]) {
        return paths[choice];
    }
    return choice == 18 ? c->world->long_name : world_path(c->world, c->source);
}

static size_t any_addresses(ferry_address *out, size_t most, source *s) {
    size_t count = source_once_in(s, 8) ? source_below(s, (uint32_t)most + 1) : 1;
    for (size_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%u", (unsigned)source_below(s, 8));
        REQUIRE(ferry_address_parse(text, 0, &out[i]) == FERRY_OK);
        if (source_once_in(s, 8)) {
            ((unsigned char *)&out[i])[source_below(s, sizeof out[i])] ^=
                (unsigned char)source_take(s, 1);
        }
    }
    return count;
}

/* A struct as it should be, as if from another version, or with something flipped. */
static void *any_struct(void *given, size_t size, source *s) {
    uint32_t choice = source_below(s, 24);
    if (choice == 21) {
        *(uint32_t *)given = source_below(s, (uint32_t)size + 1);
    } else if (choice == 22) {
        ((unsigned char *)given)[source_below(s, (uint32_t)size)] ^=
            (unsigned char)source_take(s, 1);
        /* Longer than what is there would be a wild pointer. */
        *(uint32_t *)given = *(uint32_t *)given > size ? (uint32_t)size : *(uint32_t *)given;
    }
    return choice == 23 ? NULL : given;
}

/* --- The calls of ferry/sim.h -------------------------------------------------------------- */

static ferry_status read_clock(weather *c) {
    uint64_t now = 0;
    ferry_status status = ferry_sim_now(c->engine, source_once_in(c->source, 16) ? NULL : &now);
    MUST(now == 0 || (now >= UINT64_C(1000000000) && now <= UINT64_MAX / 2));
    return status;
}

static ferry_status jump(weather *c) {
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t far = any_time(c->source);
    ferry_sim_now(c->engine, &before);
    ferry_status status = ferry_sim_advance(c->engine, far);
    ferry_sim_now(c->engine, &after);
    MUST(status != FERRY_OK || after - before == far || after == UINT64_MAX / 2);
    return status;
}

static ferry_status add_host(weather *c) {
    ferry_address addresses[FERRY_SIM_ADDRESSES_MAX + 1];
    size_t count = any_addresses(addresses, FERRY_SIM_ADDRESSES_MAX + 1, c->source);
    uint32_t host = 0;
    ferry_status status =
        ferry_sim_add_host(c->engine, any_name(c), source_once_in(c->source, 16) ? NULL : addresses,
                           count, source_once_in(c->source, 4) ? NULL : &host);
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_EXISTS, FERRY_E_ADDRESS_IN_USE,
            FERRY_E_LIMIT, FERRY_E_NO_MEMORY, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status set_link(weather *c) {
    source *s = c->source;
    ferry_sim_link link = {.struct_size = sizeof link,
                           .cut = source_once_in(s, 4),
                           .latency_ns = any_time(s),
                           .jitter_ns = any_time(s),
                           .bytes_per_second = source_once_in(s, 2) ? source_number(s) : 0,
                           .loss_ppm = source_once_in(s, 4) ? (uint32_t)source_take(s, 3) : 0};
    uint32_t from = any_host(s);
    uint32_t to = any_host(s);
    ferry_status status =
        ferry_sim_set_link(c->engine, from, to, any_struct(&link, sizeof link, s));
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status partition(weather *c) {
    uint32_t one = any_host(c->source);
    uint32_t other = any_host(c->source);
    ferry_status status = ferry_sim_partition(c->engine, one, other, source_once_in(c->source, 2));
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status set_name(weather *c) {
    static const ferry_status answers[] = {FERRY_OK,
                                           FERRY_OK,
                                           FERRY_E_NAME_NOT_FOUND,
                                           FERRY_E_NAME_TRY_AGAIN,
                                           FERRY_E_NAME_FAILED,
                                           FERRY_E_IO,
                                           FERRY_E_CANCELED,
                                           12345};
    source *s = c->source;
    ferry_address addresses[FERRY_SIM_ADDRESSES_MAX + 1];
    size_t count = any_addresses(addresses, FERRY_SIM_ADDRESSES_MAX + 1, s);
    ferry_status answer = answers[source_below(s, 8)];
    count = answer != FERRY_OK && source_once_in(s, 2) ? 0 : count;
    ferry_status status =
        ferry_sim_set_name(c->engine, any_name(c), source_once_in(s, 8) ? NULL : addresses, count,
                           answer, any_time(s));
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NO_MEMORY, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status crash(weather *c) {
    ferry_status status = ferry_sim_crash(c->engine, any_host(c->source));
    MUST_BE(status, FERRY_OK, FERRY_E_NOT_FOUND, FERRY_E_BUSY, FERRY_E_NO_MEMORY, FERRY_E_INVALID,
            FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status restart(weather *c) {
    ferry_status status = ferry_sim_restart(c->engine, any_host(c->source));
    MUST_BE(status, FERRY_OK, FERRY_E_NOT_FOUND, FERRY_E_BUSY, FERRY_E_INVALID,
            FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status set_disk(weather *c) {
    source *s = c->source;
    ferry_sim_disk disk = {.struct_size = sizeof disk,
                           .bytes_max = source_once_in(s, 2) ? source_take(s, 2) : source_number(s),
                           .latency_ns = any_time(s),
                           .jitter_ns = any_time(s),
                           .bytes_per_second = source_once_in(s, 2) ? source_number(s) : 0};
    ferry_status status =
        ferry_sim_set_disk(c->engine, any_host(s), any_struct(&disk, sizeof disk, s));
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status put_file(weather *c) {
    const char *path = any_path(c);
    size_t size = source_once_in(c->source, 4) ? source_take(c->source, 2) : 0;
    ferry_status status = ferry_sim_put_file(
        c->engine, path, source_once_in(c->source, 16) ? NULL : c->world->readable, size);
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_NOT_DIRECTORY,
            FERRY_E_IS_DIRECTORY, FERRY_E_NAME_TOO_LONG, FERRY_E_NO_SPACE, FERRY_E_NO_MEMORY,
            FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status get_file(weather *c) {
    static unsigned char bytes[FILE_MAX];
    size_t size = 0;
    const char *path = any_path(c);
    size_t capacity = source_once_in(c->source, 4) ? source_take(c->source, 2) : sizeof bytes;
    ferry_status status = ferry_sim_get_file(
        c->engine, path, source_once_in(c->source, 16) ? NULL : bytes, capacity, &size);
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_NOT_DIRECTORY,
            FERRY_E_IS_DIRECTORY, FERRY_E_NAME_TOO_LONG, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status remove_file(weather *c) {
    ferry_status status = ferry_sim_remove_file(c->engine, any_path(c));
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_NOT_DIRECTORY,
            FERRY_E_EXISTS, FERRY_E_NAME_TOO_LONG, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status add_fault(weather *c) {
    static const ferry_status failures[] = {FERRY_OK,
                                            FERRY_OK,
                                            FERRY_OK,
                                            FERRY_E_IO,
                                            FERRY_E_NO_SPACE,
                                            FERRY_E_NO_MEMORY,
                                            FERRY_E_CONNECTION_RESET,
                                            FERRY_E_CANCELED,
                                            12345};
    source *s = c->source;
    ferry_sim_fault fault = {.struct_size = sizeof fault,
                             .calls = (uint32_t)source_take(s, 2),
                             .host = any_host(s),
                             .chance_ppm = (uint32_t)source_take(s, 3),
                             .status = failures[source_below(s, 9)],
                             .os_error = source_once_in(s, 8) ? (int32_t)source_number(s) : 0,
                             .flags = source_below(s, 10),
                             .delay_ns = source_once_in(s, 2) ? any_time(s) : 0,
                             .skip = source_once_in(s, 2) ? source_take(s, 1) : 0,
                             .times = source_once_in(s, 2) ? source_take(s, 1) : 0,
                             .from_ns = source_once_in(s, 8) ? any_time(s) : 0,
                             .until_ns = source_once_in(s, 8) ? any_time(s) : 0};
    void *given = any_struct(&fault, sizeof fault, s);
    /* The only pointer within: not one of random bits. */
    fault.path = source_once_in(s, 4) ? any_path(c) : NULL;
    ferry_status status = ferry_sim_add_fault(c->engine, given);
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NOT_FOUND, FERRY_E_NO_MEMORY,
            FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status add_chaos(weather *c) {
    ferry_status status = ferry_sim_add_chaos(c->engine, (uint32_t)source_take(c->source, 3));
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NO_MEMORY, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status clear_faults(weather *c) {
    ferry_status status = ferry_sim_clear_faults(c->engine);
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status keep_trace(weather *c) {
    static const size_t sizes[] = {0, 1, 300, 65536, (size_t)2 << 30, SIZE_MAX};
    ferry_status status = ferry_sim_keep_trace(c->engine, sizes[source_below(c->source, 6)]);
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_NO_MEMORY, FERRY_E_UNSUPPORTED);
    return status;
}

static ferry_status read_trace(weather *c) {
    char text[TEXT_ROOM];
    size_t size = 0;
    size_t capacity = source_once_in(c->source, 4) ? source_take(c->source, 1) : sizeof text;
    ferry_status status =
        ferry_sim_read_trace(c->engine, source_once_in(c->source, 16) ? NULL : text, capacity,
                             source_once_in(c->source, 16) ? NULL : &size);
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID, FERRY_E_UNSUPPORTED);
    MUST(size <= capacity && (size == 0 || text[size - 1] == '\n'));
    return status;
}

void weather_change(ferry_engine *engine, bool simulated, world *w, source *s) {
    static ferry_status (*const calls[])(weather *) = {
        read_clock,   jump,       add_host,   set_link, partition,   set_name,  crash,
        restart,      set_disk,   put_file,   get_file, remove_file, add_fault, add_chaos,
        clear_faults, keep_trace, read_trace, set_link, add_fault,   restart};
    weather c = {.engine = source_once_in(s, 32) ? NULL : engine, .world = w, .source = s};
    ferry_status status = calls[source_below(s, sizeof calls / sizeof calls[0])](&c);
    if (c.engine == NULL) {
        MUST(status == FERRY_E_INVALID);
    } else if (!simulated) {
        MUST_BE(status, FERRY_E_UNSUPPORTED, FERRY_E_INVALID);
    }
}

void weather_begin(ferry_engine *engine, world *w) {
    for (size_t i = 0; i < READABLE_PATHS; i++) {
        const char *path = w->readable_paths[i];
        ferry_sim_put_file(engine, path, w->readable, i < 3 ? 100 << i : 0);
    }
}

/* --- The calls of ferry/inspect.h ---------------------------------------------------------- */

static void dump(ferry_engine *engine, source *s) {
    static char text[65536];
    size_t capacity = source_once_in(s, 2) ? source_take(s, 2) : sizeof text;
    bool none = source_once_in(s, 8);
    size_t size = 12345;
    capacity = capacity > sizeof text ? sizeof text : capacity;
    memset(text, 'x', sizeof text);
    /* On the engine's own thread nobody is waited for. */
    ferry_status status =
        ferry_engine_dump(engine, source_once_in(s, 2) ? FERRY_FOREVER : source_number(s),
                          none ? NULL : text, none ? 0 : capacity, &size);
    MUST_BE(status, FERRY_OK, FERRY_E_LIMIT, FERRY_E_INVALID);
    if (status == FERRY_OK && !none) {
        MUST(size < capacity && strlen(text) == size && text[0] == '{');
    } else if (status == FERRY_E_LIMIT) {
        MUST(none || size >= capacity);
        MUST(capacity == sizeof text || none || text[capacity] == 'x');
    }
    MUST(ferry_engine_dump(engine, 0, text, sizeof text, NULL) == FERRY_E_INVALID);
}

static void metrics(ferry_engine *engine, source *s) {
    union {
        ferry_metrics metrics;
        unsigned char bytes[STRUCT_ROOM];
    } out = {.metrics = {.struct_size = sizeof(ferry_metrics)}};
    if (source_once_in(s, 2)) {
        out.metrics.struct_size = source_below(s, 256) + source_below(s, STRUCT_ROOM - 256);
    }
    uint32_t size = out.metrics.struct_size;
    memset(out.bytes + 4, 0xa5, sizeof out - 4);
    ferry_status status = ferry_engine_get_metrics(engine, &out.metrics);
    MUST_BE(status, FERRY_OK, FERRY_E_INVALID);
    for (size_t i = size < 4 ? 4 : size; i < sizeof out; i++) {
        MUST(out.bytes[i] == 0xa5);
    }
    if (status == FERRY_OK && size >= sizeof(ferry_metrics)) {
        MUST(out.metrics.ended <= out.metrics.submitted);
        MUST(out.metrics.failed + out.metrics.canceled + out.metrics.timed_out <=
             out.metrics.ended);
        MUST(out.metrics.completions >= out.metrics.ended);
    }
}

static void count_name(const char *name, uint64_t value, void *user_data) {
    (void)value;
    MUST(name[0] >= 'a' && name[0] <= 'z');
    (*(size_t *)user_data)++;
}

static void walk(ferry_engine *engine, source *s) {
    size_t count = 0;
    bool none = source_once_in(s, 8);
    ferry_status status = ferry_engine_walk_metrics(engine, none ? NULL : count_name, &count);
    MUST(status == (none ? FERRY_E_INVALID : FERRY_OK) && (count > 20) == !none);
}

void weather_look(ferry_engine *engine, source *s) {
    static void (*const calls[])(ferry_engine *, source *) = {dump, dump, metrics, walk};
    calls[source_below(s, 4)](engine, s);
}
