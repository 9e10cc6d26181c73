/* What is under way, what came of it, and how long it took. */
#include "soak.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Sixteen pieces of each power of two of nanoseconds: 6 % are between two of them. */
enum { CALLS = 8192, PIECES = 16, BUCKETS = 64 * PIECES, VIOLATIONS_TOLD = 20, ACTOR_KINDS = 8 };

soak the;
const char *const kind_names[KINDS] = {"connect", "echo", "timer", "cancel", "deadline",
                                       "store",   "load", "file",  "tree",   "channel"};

static call calls[CALLS];
static call *free_calls;
static uint32_t calls_made;
void *made[ACTOR_KINDS]; /* Not static: so that it is seen to hold them. */
static size_t kinds_made;
static uint64_t histogram[KINDS][BUCKETS];
static uint64_t random_state = 88172645463325252u;

uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

uint32_t draw(uint32_t bound) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % bound;
}

/* ---- latency ------------------------------------------------------------------------------------ */

static size_t bucket_of(uint64_t ns) {
    if (ns < PIECES) {
        return ns;
    }
    unsigned power = 63u - (unsigned)__builtin_clzll(ns);
    return (power - 3) * PIECES + ((ns >> (power - 4)) & (PIECES - 1));
}

static double end_of_bucket(size_t bucket) {
    if (bucket < PIECES) {
        return (double)(bucket + 1) / 1000;
    }
    uint64_t power = bucket / PIECES + 3;
    return (double)((PIECES + bucket % PIECES + 1) << (power - 4)) / 1000;
}

static double percentile(const uint64_t *counts, uint64_t total, uint64_t per_mille) {
    uint64_t wanted = (total * per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += counts[i];
        if (seen >= wanted && seen != 0) {
            return end_of_bucket(i);
        }
    }
    return 0;
}

latencies take_latencies(kind kind) {
    uint64_t *counts = histogram[kind];
    latencies all = {0};
    for (size_t i = 0; i < BUCKETS; i++) {
        all.count += counts[i];
    }
    all.p50_us = percentile(counts, all.count, 500);
    all.p99_us = percentile(counts, all.count, 990);
    all.p999_us = percentile(counts, all.count, 999);
    memset(counts, 0, sizeof histogram[kind]);
    return all;
}

/* ---- calls -------------------------------------------------------------------------------------- */

call *begin_late(ferry_request *request, kind kind, uint64_t after_ns, ended_fn ended,
                 void *actor) {
    call *one = free_calls;
    if (one != NULL) {
        free_calls = one->next_free;
    } else if (calls_made < CALLS) {
        one = &calls[calls_made++];
    } else {
        fputs("more calls than there is room for\n", stderr);
        exit(1);
    }
    one->serial++;
    one->kind = kind;
    one->ended = ended;
    one->actor = actor;
    one->busy = true;
    one->multishot = (request->flags & FERRY_MULTISHOT) != 0 ||
                     (request->opcode == FERRY_OP_TIMER && request->params.timer.interval_ns != 0);
    one->from_ns = now_ns() + after_ns;
    request->tag = (uint64_t)one->serial << 32 | (uint64_t)(one - calls);
    size_t accepted = 0;
    ferry_status status = ferry_queue_submit(the.queue, request, 1, &one->op, &accepted);
    if (status != FERRY_OK || accepted != 1) {
        fprintf(stderr, "%s was refused: %s\n", ferry_opcode_name(request->opcode),
                ferry_status_name(status));
        exit(1);
    }
    the.under_way++;
    return one;
}

call *begin(ferry_request *request, kind kind, ended_fn ended, void *actor) {
    return begin_late(request, kind, 0, ended, actor);
}

void cancel(call *one) {
    if (one->kind == KIND_CANCEL) {
        one->from_ns = now_ns();
    }
    ferry_status status = ferry_queue_cancel(the.queue, one->op);
    if (status != FERRY_OK && status != FERRY_E_TOO_LATE) {
        violation("a cancel that is neither taken nor too late", NULL);
    }
}

void violation(const char *what, const ferry_completion *done) {
    if (++the.violations > VIOLATIONS_TOLD) {
        return;
    }
    fprintf(stderr, "violation: %s", what);
    if (done != NULL) {
        fprintf(stderr, ": %s, %s, result %" PRId64 ", flags %" PRIu32,
                ferry_opcode_name(done->opcode), ferry_status_name(done->status), done->result,
                done->flags);
    }
    fputc('\n', stderr);
}

void expect(const ferry_completion *done, const int32_t *statuses) {
    for (; *statuses != 1; statuses++) {
        if (done->status == *statuses) {
            return;
        }
    }
    violation("an unexpected end", done);
}

void expect_ok(const ferry_completion *done) {
    expect(done, (const int32_t[]){FERRY_OK, 1});
}

void release(const ferry_completion *done) {
    if ((done->flags & FERRY_BUFFER) == 0) {
        return;
    }
    if (ferry_buffer_release(the.engine, done->buffer) != FERRY_OK) {
        violation("a lent buffer could not be released", done);
    }
}

/* The laws: one final completion for each that was accepted, FERRY_MORE before it and only where asked. */
void deliver(const ferry_completion *done) {
    uint32_t index = (uint32_t)done->tag;
    call *one = &calls[index % CALLS];
    the.completions++;
    if (index >= calls_made || !one->busy || one->serial != done->tag >> 32) {
        violation("a completion of what is not under way", done);
        return;
    }
    if (one->op != done->op) {
        violation("a completion with another's id", done);
    }
    if ((done->flags & FERRY_MORE) != 0) {
        if (!one->multishot) {
            violation("FERRY_MORE of a request that asked for one", done);
        }
        one->ended(one->actor, done);
        return;
    }
    uint64_t now = now_ns();
    if (one->kind != KIND_OTHER) {
        histogram[one->kind][bucket_of(now > one->from_ns ? now - one->from_ns : 0)]++;
    }
    one->busy = false;
    one->next_free = free_calls;
    free_calls = one;
    the.under_way--;
    one->ended(one->actor, done);
}

void *make_actors(size_t count, size_t size) {
    void *all = calloc(count, size);
    if (all == NULL || kinds_made == ACTOR_KINDS) {
        fputs("no memory for actors\n", stderr);
        exit(1);
    }
    made[kinds_made++] = all;
    the.actors += (uint32_t)count;
    return all;
}

bool again(void) {
    the.rounds++;
    if (the.stopping) {
        the.actors--;
    }
    return !the.stopping;
}
