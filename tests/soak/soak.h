/**
 * @file
 * The soak: mixed load for as long as one likes, counted and measured.
 *
 * soak.c runs it and samples, calls.c counts what is under way and how long it took, and each of the
 * others is a kind of work: actors that go round until they are told to stop. All on one thread, which
 * reaps one queue; the engine's shards have threads of their own.
 */
#ifndef FERRY_SOAK_H
#define FERRY_SOAK_H

#include <ferry.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define HOUR (3600 * SECOND)

/** What is measured apart. A timer's latency is how late it was, a cancel's is from the cancel on. */
typedef enum kind {
    KIND_CONNECT,
    KIND_ECHO,
    KIND_TIMER,
    KIND_CANCEL,
    KIND_DEADLINE,
    KIND_STORE,
    KIND_LOAD,
    KIND_FILE,
    KIND_TREE,
    KIND_CHANNEL,
    KINDS,
    KIND_OTHER = KINDS /**< Not measured. */
} kind;

extern const char *const kind_names[KINDS];

typedef void (*ended_fn)(void *actor, const ferry_completion *done);

/** A request under way. */
typedef struct call {
    ended_fn ended;
    void *actor;
    uint64_t from_ns; /**< Latency counts from here. */
    ferry_op op;
    uint32_t serial;
    kind kind;
    bool busy;
    bool multishot;
    struct call *next_free;
} call;

typedef struct soak {
    ferry_engine *engine;
    ferry_queue *queue;
    const char *folder; /**< For files. */
    bool stopping;      /**< Actors end their round and begin no other. */
    uint32_t actors;    /**< That have not come to rest. */
    uint64_t completions;
    uint64_t rounds; /**< Of all actors. */
    uint64_t under_way;
    uint64_t violations; /**< Of the laws; the first ones are told on stderr. */
} soak;

extern soak the;

/* ---- calls.c ---- */

/** Submit; @p ended is told of each completion. Never refused: there is room for all. */
call *begin(ferry_request *request, kind kind, ended_fn ended, void *actor);
/** The same for what ends by a time of its own: @p after_ns from now. */
call *begin_late(ferry_request *request, kind kind, uint64_t after_ns, ended_fn ended, void *actor);
void cancel(call *one);
/** Give a reaped completion to whom it belongs. */
void deliver(const ferry_completion *done);
/** Something is against the laws. */
void violation(const char *what, const ferry_completion *done);
/** Unless it is one of these statuses, ended by 1, it is a violation. */
void expect(const ferry_completion *done, const int32_t *statuses);
void expect_ok(const ferry_completion *done);
void release(const ferry_completion *done);

uint64_t now_ns(void);
uint32_t draw(uint32_t bound);

/** The latencies of one kind since the last time: how many, and where 50, 99 and 99.9 % of them end. */
typedef struct latencies {
    uint64_t count;
    double p50_us, p99_us, p999_us;
} latencies;
latencies take_latencies(kind kind);

/** Zeroed, and theirs until the program ends. They are counted as at work. */
void *make_actors(size_t count, size_t size);
/** At the end of an actor's round: whether there is to be another one. */
bool again(void);

/* ---- the work ---- */
void start_server(void (*ready)(void)); /**< Echoes what comes; listens at server_address. */
void stop_server(void);
extern ferry_address server_address;
void start_clients(uint32_t count);      /**< Echo, half-closed ends, resets, reconnects. */
void start_slow_readers(uint32_t count); /**< Let the server's sends wait. */
void start_files(uint32_t count);        /**< Store, load, open, write, read, close. */
void start_timers(uint32_t count);       /**< Timers, intervals, cancels, deadlines. */
void start_trees(uint32_t count);        /**< Compositions. */
void start_channels(uint32_t count);

#endif
