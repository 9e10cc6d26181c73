/**
 * @file
 * One play: a scene in a simulated world of one seed, with trouble of every kind thrown in at every
 * step, and the referee beside it.
 *
 * The seed decides the trouble: faults of the world, refused memory, deadlines, cancels, closed handles,
 * a queue that is full, hosts that crash, a shutdown in the midst of it. A scene writes its steps down
 * as if nothing could happen: what was refused or has failed it simply leaves out. What succeeded must
 * be right, and in the end each accepted request has ended exactly once and nothing is left over.
 */
#ifndef FERRY_TEST_PLAY_H
#define FERRY_TEST_PLAY_H

#include <ferry.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct play play;

typedef struct scene {
    const char *name;
    uint16_t opcode; /* What it is about. */
    void (*act)(play *p);
} scene;

/** Every operation has at least one. */
extern const scene scenes[];
extern const size_t scene_count;

/** Hosts beside localhost: "near" with 10.0.0.1 and "far" with 10.0.0.2. */
enum { NEAR = 1, FAR = 2 };

/** How a play is made. */
typedef struct play_options {
    const scene *scene;
    uint64_t seed;
    bool fair;     /* No trouble at all: everything must succeed. */
    bool print;    /* Print the world's trace in the end. */
    size_t refuse; /* No trouble but this: the so-manyth allocation is refused; 0 = none. */
    bool *refused; /* Out: there were as many. */
} play_options;

/** Play it; ends the program if something is wrong. Returns a number made of all completions. */
uint64_t play_scene(const play_options *options);

/** Print how often operations have ended how, in all plays so far. */
void play_print_tally(void);

/* --- For scenes ---------------------------------------------------------------------------- */

/** Fail, with what to do to see it again. */
#define MUST(p, condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            play_failed((p), #condition, __FILE__, __LINE__);                                      \
        }                                                                                          \
    } while (0)
_Noreturn void play_failed(play *p, const char *condition, const char *file, int line);

/** The play's own chance; below: 0 to count - 1. */
uint64_t play_below(play *p, uint64_t count);

/** Nothing is thrown in: everything must succeed. */
bool play_fair(const play *p);

ferry_engine *play_engine(play *p);
ferry_queue *play_queue(play *p);

/** Memory until the end of the play. pattern: filled with bytes that depend on key. */
void *play_memory(play *p, size_t size);
unsigned char *play_pattern(play *p, size_t size, uint64_t key);

/** Submit, with a deadline if the seed wants one; FERRY_NONE: refused. */
ferry_op play_start(play *p, const ferry_request *request);

/** The next completion of an op; false: it has ended before, or never began. */
bool play_next(play *p, ferry_op op, ferry_completion *completion);

/** The final one; buffers and handles of those before it are given back. */
bool play_final(play *p, ferry_op op, ferry_completion *completion);

/** Start and wait for the final one; true: it succeeded. */
bool play_do(play *p, const ferry_request *request, ferry_completion *completion);

/** Give back what a completion lends. */
void play_release(play *p, const ferry_completion *completion);

/** Close a handle, most of the time; 0 is fine. */
void play_close(play *p, ferry_handle handle);

/** A posted message is on its way. */
void play_post(play *p);

/** A connection from near to far, and its listener closed. False: trouble. */
bool play_connect(play *p, ferry_handle *near_out, ferry_handle *far_out);
ferry_handle play_listen(play *p, uint16_t *port_out);
ferry_address play_address(uint32_t host, uint16_t port);

/** An open file; 0: trouble. */
ferry_handle play_open(play *p, const char *path, uint32_t flags);

#endif
