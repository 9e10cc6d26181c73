#include "play.h"

#include "allocator.h"
#include "family.h"
#include "referee.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPS_MAX = 256,
    INBOX_MAX = 1024,
    BLOCKS_MAX = 256,
    HANDLES_MAX = 256,
    RUNS_MAX = 200000,
    IDLE_MAX = 5,
    TICKS_NS = 100000
};

/* How often what is thrown in, one time in so many; 0 = never. */
typedef struct trouble {
    uint32_t chaos_ppm;
    uint32_t deadline;
    uint32_t cancel;
    uint32_t discard;
    uint32_t lazy;   /* The completions are left in the queue. */
    uint32_t refuse; /* Each so-manyth allocation. */
    uint32_t cut;    /* The network is cut for a while. */
    uint32_t crash;
    uint32_t jump;
    uint64_t stop; /* Shut down after so many steps; 0 = no. */
    uint64_t
        begin; /* All of it begins after so many, or scenes would seldom get beyond their first. */
} trouble;

struct play {
    play_options options;
    uint64_t random;
    trouble trouble;
    bool stopped;
    bool cut;
    bool down;
    bool late; /* Time has jumped. */
    uint64_t steps;
    uint64_t mark;
    ferry_engine *engine;
    ferry_queue *queue;
    referee *judge;
    counting_allocator allocator;
    ferry_op ops[OPS_MAX]; /* Started and not ended. */
    uint64_t due[OPS_MAX]; /* When each must have ended at the latest; UINT64_MAX = whenever. */
    size_t op_count;
    ferry_completion inbox[INBOX_MAX];
    size_t inbox_count;
    ferry_handle handles[HANDLES_MAX]; /* That came, whether they are still open or not. */
    size_t handle_count;
    void *blocks[BLOCKS_MAX];
    size_t block_count;
};

/* How often operations ended how, over all plays: what was really tried. */
enum { TALLY_MAX = 2048 };
static struct {
    uint16_t opcode;
    ferry_status status;
    uint64_t count;
} tally[TALLY_MAX];

static void count_end(const ferry_completion *c) {
    size_t i = 0;
    while (tally[i].count != 0 && (tally[i].opcode != c->opcode || tally[i].status != c->status)) {
        i++;
    }
    if (i < TALLY_MAX - 1) {
        tally[i].opcode = c->opcode;
        tally[i].status = c->status;
        tally[i].count++;
    }
}

void play_print_tally(void) {
    for (uint16_t opcode = 1; opcode < 128; opcode++) {
        bool any = false;
        for (size_t i = 0; tally[i].count != 0; i++) {
            if (tally[i].opcode == opcode) {
                printf("%s", any ? "" : ferry_opcode_name(opcode));
                printf("%s", any ? "" : ": ");
                printf("%s%s %llu", any ? ", " : "", ferry_status_name(tally[i].status) + 6,
                       (unsigned long long)tally[i].count);
                any = true;
            }
        }
        if (any) {
            printf("\n");
        }
    }
}

static void print_trace(play *p) {
    static char text[65536];
    size_t size = 0;
    while (p->engine != NULL &&
           ferry_sim_read_trace(p->engine, text, sizeof text, &size) == FERRY_OK && size != 0) {
        fwrite(text, 1, size, stdout);
    }
}

void play_failed(play *p, const char *condition, const char *file, int line) {
    print_trace(p);
    printf("%s:%d: scene %s, seed %llu: wrong: %s\n", file, line, p->options.scene->name,
           (unsigned long long)p->options.seed, condition);
    printf("again: sim_seeds --scene %s --from %llu --count 1%s%s --trace\n",
           p->options.scene->name, (unsigned long long)p->options.seed,
           p->options.fair ? " --fair" : "", p->options.refuse != 0 ? " --memory" : "");
    fflush(stdout);
    abort();
}

/* Not the world's own: what the play chooses must not depend on what the world does. */
static uint64_t next_random(play *p) {
    p->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = p->random;
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

uint64_t play_below(play *p, uint64_t count) {
    return next_random(p) % count;
}

static bool once_in(play *p, uint32_t count) {
    return count != 0 && play_below(p, count) == 0;
}

bool play_fair(const play *p) {
    return p->options.fair;
}

ferry_engine *play_engine(play *p) {
    return p->engine;
}

ferry_queue *play_queue(play *p) {
    return p->queue;
}

void *play_memory(play *p, size_t size) {
    MUST(p, p->block_count < BLOCKS_MAX);
    void *block = calloc(1, size);
    MUST(p, block != NULL);
    p->blocks[p->block_count++] = block;
    return block;
}

unsigned char *play_pattern(play *p, size_t size, uint64_t key) {
    unsigned char *data = play_memory(p, size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (unsigned char)((i + key) * 131 + (i >> 8));
    }
    return data;
}

/* --- Completions --------------------------------------------------------------------------- */

static void mark(play *p, uint64_t number) {
    p->mark = (p->mark ^ number) * UINT64_C(0x100000001b3);
}

/* An id less the number of its engine, which other engines of the process have changed. */
static uint64_t plain(uint64_t id) {
    return id & ~(UINT64_C(0x1ff) << 50);
}

static void note_end(play *p, ferry_op op) {
    for (size_t i = 0; i < p->op_count; i++) {
        if (p->ops[i] == op) {
            p->op_count--;
            p->ops[i] = p->ops[p->op_count];
            p->due[i] = p->due[p->op_count];
            return;
        }
    }
}

static void note(play *p, const ferry_completion *c) {
    MUST(p, p->inbox_count < INBOX_MAX);
    mark(p, c->tag);
    mark(p, plain(c->op));
    mark(p, (uint64_t)c->result);
    mark(p, (uint64_t)(int64_t)c->status);
    mark(p, (uint64_t)(int64_t)c->os_error);
    mark(p, c->flags);
    mark(p, plain(c->handle));
    mark(p, plain(c->buffer));
    if (c->handle != FERRY_NONE && p->handle_count < HANDLES_MAX) {
        p->handles[p->handle_count++] = c->handle;
    }
    if ((c->flags & FERRY_MORE) == 0) {
        count_end(c);
        note_end(p, c->op);
    }
    p->inbox[p->inbox_count++] = *c;
}

static int32_t collect(play *p) {
    ferry_completion got[16];
    int32_t all = 0;
    int32_t count;
    while ((count = referee_reap(p->judge, p->queue, got, 16)) > 0) {
        for (int32_t i = 0; i < count; i++) {
            note(p, &got[i]);
        }
        all += count;
    }
    MUST(p, count == 0);
    return all;
}

static bool take(play *p, ferry_op op, ferry_completion *completion) {
    for (size_t i = 0; i < p->inbox_count; i++) {
        if (p->inbox[i].op == op) {
            *completion = p->inbox[i];
            p->inbox_count--;
            memmove(&p->inbox[i], &p->inbox[i + 1], (p->inbox_count - i) * sizeof p->inbox[0]);
            return true;
        }
    }
    return false;
}

static void release_one(const ferry_completion *completion, void *argument) {
    play *p = argument;
    if ((completion->flags & FERRY_BUFFER) != 0) {
        MUST(p, referee_release(p->judge, p->engine, completion->buffer) == FERRY_OK);
    }
}

void play_release(play *p, const ferry_completion *completion) {
    family_visit(completion, release_one, p);
    release_one(completion, p);
}

/* --- Trouble ------------------------------------------------------------------------------- */

static void choose_trouble(play *p) {
    trouble *t = &p->trouble;
    static const uint32_t chances[] = {0, 3000, 20000, 100000};
    static const uint32_t rates[] = {0, 0, 3, 8, 30};
#define PICK(list) (list)[play_below(p, sizeof(list) / sizeof(list)[0])]
    t->chaos_ppm = PICK(chances);
    t->deadline = PICK(rates);
    t->cancel = PICK(rates);
    t->discard = PICK(rates);
    t->lazy = PICK(rates);
    t->refuse = PICK(rates) * 5;
    t->cut = PICK(rates) * 2;
    t->crash = PICK(rates) * 3;
    t->jump = PICK(rates);
    t->begin = 1 + play_below(p, once_in(p, 3) ? 4 : 30);
    t->stop = once_in(p, 4) ? t->begin + play_below(p, 60) : 0;
#undef PICK
}

static void cut_or_heal(play *p) {
    MUST(p, ferry_sim_partition(p->engine, NEAR, FERRY_SIM_EVERY, !p->cut) == FERRY_OK);
    p->cut = !p->cut;
}

static void crash_or_restart(play *p) {
    ferry_status status =
        p->down ? ferry_sim_restart(p->engine, FAR) : ferry_sim_crash(p->engine, FAR);
    if (status == FERRY_OK) {
        p->down = !p->down;
    } else {
        MUST(p, status == FERRY_E_NO_MEMORY);
    }
}

static void stop(play *p) {
    if (p->stopped) {
        return;
    }
    p->stopped = true;
    allocator_refuse_nothing(&p->allocator);
    MUST(p, ferry_engine_shutdown(p->engine, FERRY_FOREVER) == FERRY_OK);
}

static void begin_trouble(play *p) {
    allocator_refuse_nothing(&p->allocator);
    MUST(p, ferry_sim_add_chaos(p->engine, p->trouble.chaos_ppm) == FERRY_OK);
    p->allocator.refuse_every = p->trouble.refuse;
}

/* Before each run of the engine. */
static void make_trouble(play *p) {
    const trouble *t = &p->trouble;
    if (p->options.fair || p->options.refuse != 0 || p->stopped || ++p->steps < t->begin) {
        return;
    }
    if (p->steps == t->begin) {
        begin_trouble(p);
    }
    if (once_in(p, t->cancel) && p->op_count > 0) {
        ferry_op op = p->ops[play_below(p, p->op_count)];
        ferry_status status = referee_cancel(p->judge, p->queue, op);
        MUST(p, status == FERRY_OK || status == FERRY_E_TOO_LATE);
    }
    if (once_in(p, t->discard) && p->handle_count > 0) {
        ferry_handle handle = p->handles[play_below(p, p->handle_count)];
        MUST(p, referee_discard(p->judge, p->engine, handle) == FERRY_OK);
    }
    if (once_in(p, t->cut) || (p->cut && once_in(p, 8))) {
        cut_or_heal(p);
    }
    if (once_in(p, t->crash) || (p->down && once_in(p, 8))) {
        crash_or_restart(p);
    }
    if (once_in(p, t->jump)) {
        MUST(p, ferry_sim_advance(p->engine, play_below(p, UINT64_C(5000000000))) == FERRY_OK);
        p->late = true;
    }
    if (p->steps == t->stop) {
        stop(p);
    }
}

/* Nothing will ever happen: whatever still waits must end when it is told to. */
static void end_all(play *p) {
    for (size_t i = 0; i < p->op_count; i++) {
        ferry_status status = referee_cancel(p->judge, p->queue, p->ops[i]);
        MUST(p, status == FERRY_OK || status == FERRY_E_TOO_LATE);
    }
}

static uint64_t now(play *p) {
    uint64_t now = 0;
    MUST(p, ferry_sim_now(p->engine, &now) == FERRY_OK);
    return now;
}

/* Time passes only where nothing is left to do: what is overdue then was forgotten. */
static void must_be_on_time(play *p) {
    for (size_t i = 0; i < p->op_count; i++) {
        MUST(p, p->due[i] >= now(p));
    }
}

/* One run. False: nothing has come of it, and time stood still. */
static bool step(play *p) {
    make_trouble(p);
    uint64_t before = now(p);
    if (!p->stopped) {
        uint64_t wait = once_in(p, 8) ? 0 : once_in(p, 8) ? 1000 : FERRY_FOREVER;
        ferry_run_report report = {.struct_size = sizeof report};
        MUST(p, ferry_engine_run(p->engine, wait, 0, &report) == FERRY_OK);
        if (!p->options.fair && p->steps >= p->trouble.begin && once_in(p, p->trouble.lazy)) {
            return true;
        }
        bool more = collect(p) > 0;
        if (!more && report.completed == 0 && now(p) != before && !p->late) {
            must_be_on_time(p);
        }
        p->late = false;
        return more || report.completed > 0 || wait != FERRY_FOREVER || now(p) != before;
    }
    return collect(p) > 0;
}

bool play_next(play *p, ferry_op op, ferry_completion *completion) {
    bool told = false;
    int idle = 0;
    if (op == FERRY_NONE) {
        return false;
    }
    for (int runs = 0; !take(p, op, completion); runs++) {
        MUST(p, runs < RUNS_MAX);
        /* A run that takes something in, or ends something, does not wait. */
        idle = step(p) ? 0 : idle + 1;
        if (idle < IDLE_MAX) {
            continue;
        }
        idle = 0;
        MUST(p, !p->options.fair);
        MUST(p, !told); /* It was cancelled, and nothing came. */
        told = true;
        end_all(p);
    }
    return true;
}

bool play_final(play *p, ferry_op op, ferry_completion *completion) {
    while (play_next(p, op, completion)) {
        if ((completion->flags & FERRY_MORE) == 0) {
            return true;
        }
        play_release(p, completion);
    }
    return false;
}

/* --- Requests ------------------------------------------------------------------------------ */

/* Calls on files that have begun go on beyond a deadline, and so does a close. */
static uint64_t latest_end(play *p, const ferry_request *request) {
    bool on_time =
        request->opcode == FERRY_OP_TIMER ||
        (request->opcode >= FERRY_OP_TCP_LISTEN && request->opcode <= FERRY_OP_STREAM_SHUTDOWN) ||
        request->opcode == FERRY_OP_CHANNEL_SEND || request->opcode == FERRY_OP_CHANNEL_RECEIVE ||
        request->opcode == FERRY_OP_NAME_RESOLVE;
    return on_time && request->deadline_ns != 0 ? now(p) + request->deadline_ns + TICKS_NS
                                                : UINT64_MAX;
}

ferry_op play_start(play *p, const ferry_request *request) {
    ferry_request own = *request;
    ferry_op op = FERRY_NONE;
    own.tag = p->steps + 1;
    if (!p->options.fair && own.deadline_ns == 0 && p->steps >= p->trouble.begin &&
        once_in(p, p->trouble.deadline)) {
        own.deadline_ns = 1 + play_below(p, UINT64_C(10000000000));
    }
    ferry_status status = referee_submit(p->judge, p->queue, &own, 1, &op, NULL);
    mark(p, (uint64_t)(int64_t)status);
    if (status != FERRY_OK) {
        MUST(p, status == FERRY_E_NO_MEMORY || status == FERRY_E_FULL ||
                    status == FERRY_E_SHUTDOWN || status == FERRY_E_BAD_HANDLE ||
                    status == FERRY_E_STALE);
        MUST(p, !p->options.fair);
        return FERRY_NONE;
    }
    MUST(p, p->op_count < OPS_MAX);
    p->due[p->op_count] = latest_end(p, &own);
    p->ops[p->op_count++] = op;
    return op;
}

bool play_do(play *p, const ferry_request *request, ferry_completion *completion) {
    ferry_op op = play_start(p, request);
    if (!play_final(p, op, completion)) {
        return false;
    }
    if (completion->status != FERRY_OK) {
        play_release(p, completion);
    }
    return completion->status == FERRY_OK;
}

void play_close(play *p, ferry_handle handle) {
    ferry_request request;
    ferry_completion completion;
    if (handle == FERRY_NONE || once_in(p, 20)) {
        return;
    }
    ferry_prepare_handle_close(&request, handle);
    play_do(p, &request, &completion);
}

void play_post(play *p) {
    ferry_status status = referee_post(p->judge, p->queue, 7, 8, 9);
    MUST(p, status == FERRY_OK || status == FERRY_E_FULL || status == FERRY_E_SHUTDOWN);
}

/* --- What scenes begin with ---------------------------------------------------------------- */

ferry_address play_address(uint32_t host, uint16_t port) {
    ferry_address address = {
        .family = FERRY_IPV4, .port = port, .bytes = {10, 0, 0, (uint8_t)host}};
    return address;
}

ferry_handle play_listen(play *p, uint16_t *port_out) {
    ferry_address address = play_address(FAR, 0);
    ferry_request request;
    ferry_completion completion;
    ferry_prepare_tcp_listen(&request, &address, 0);
    if (!play_do(p, &request, &completion)) {
        return FERRY_NONE;
    }
    *port_out = (uint16_t)completion.result;
    return completion.handle;
}

bool play_connect(play *p, ferry_handle *near_out, ferry_handle *far_out) {
    uint16_t port;
    ferry_request request;
    ferry_completion connected, accepted;
    ferry_handle listener = play_listen(p, &port);
    ferry_prepare_tcp_accept(&request, listener);
    request.flags &= ~(uint32_t)FERRY_MULTISHOT;
    request.deadline_ns = UINT64_C(1000000000000);
    ferry_op accept = play_start(p, &request);
    ferry_address local = play_address(NEAR, 0);
    ferry_address peer = play_address(FAR, port);
    ferry_prepare_tcp_connect_from(&request, &peer, &local);
    bool near_is = play_do(p, &request, &connected);
    bool far_is = play_final(p, accept, &accepted) && accepted.status == FERRY_OK;
    play_close(p, listener);
    if (near_is && far_is) {
        *near_out = connected.handle;
        *far_out = accepted.handle;
        return true;
    }
    play_close(p, near_is ? connected.handle : FERRY_NONE);
    play_close(p, far_is ? accepted.handle : FERRY_NONE);
    return false;
}

ferry_handle play_open(play *p, const char *path, uint32_t flags) {
    ferry_request request;
    ferry_completion completion;
    ferry_prepare_file_open(&request, path, flags, 0);
    return play_do(p, &request, &completion) ? completion.handle : FERRY_NONE;
}

/* --- The play ------------------------------------------------------------------------------ */

/* What is refused the one allocation may be tried again. */
#define AGAIN(p, call)                                                                             \
    do {                                                                                           \
        ferry_status status_ = (call);                                                             \
        if (status_ == FERRY_E_NO_MEMORY && (p)->options.refuse != 0) {                            \
            status_ = (call);                                                                      \
        }                                                                                          \
        MUST(p, status_ == FERRY_OK);                                                              \
    } while (0)

static void open_world(play *p) {
    bool plain = p->options.fair || p->options.refuse != 0;
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .driver = FERRY_DRIVER_SIM,
                                    .seed = p->options.seed,
                                    .ops_max = plain ? 64 : 8 + (uint32_t)play_below(p, 56),
                                    .handles_max = 64,
                                    .buffer_bytes_max = UINT64_C(65536)
                                                        << (plain ? 4 : play_below(p, 5))};
    allocator_install(&p->allocator, &options);
    if (p->options.refuse != 0) {
        allocator_refuse(&p->allocator, p->options.refuse, p->options.refuse);
    }
    AGAIN(p, ferry_engine_create(&options, &p->engine));
    ferry_queue_options queue = {.struct_size = sizeof queue,
                                 .capacity = plain ? 64 : 1u << play_below(p, 7)};
    AGAIN(p, ferry_queue_create(p->engine, &queue, &p->queue));
    ferry_address near = play_address(NEAR, 0);
    ferry_address far = play_address(FAR, 0);
    AGAIN(p, ferry_sim_add_host(p->engine, "near", &near, 1, NULL));
    AGAIN(p, ferry_sim_add_host(p->engine, "far", &far, 1, NULL));
    AGAIN(p, ferry_sim_keep_trace(p->engine, 1 << 20));
    if (plain) {
        return;
    }
    ferry_sim_link link = {.struct_size = sizeof link,
                           .latency_ns = play_below(p, 50000000),
                           .jitter_ns = play_below(p, 2) * play_below(p, 100000000),
                           .bytes_per_second = play_below(p, 3) == 0 ? 20000 : 0,
                           .loss_ppm = play_below(p, 3) == 0 ? 50000 : 0};
    MUST(p, ferry_sim_set_link(p->engine, FERRY_SIM_EVERY, FERRY_SIM_EVERY, &link) == FERRY_OK);
}

static void close_world(play *p) {
    allocator_refuse_nothing(&p->allocator);
    p->allocator.refuse_every = 0;
    for (size_t i = 0; i < p->inbox_count; i++) {
        play_release(p, &p->inbox[i]);
    }
    p->inbox_count = 0;
    stop(p);
    while (collect(p) > 0) {
    }
    MUST(p, p->op_count == 0);
    referee_release_all(p->judge, p->engine);
    ferry_engine_info info = {.struct_size = sizeof info};
    MUST(p, ferry_engine_get_info(p->engine, &info) == FERRY_OK);
    MUST(p, info.ops_in_flight == 0 && info.handles_open == 0 && info.buffers_lent == 0);
    MUST(p, referee_complaints(p->judge) == 0);
    MUST(p, referee_finish(p->judge));
    if (p->options.print) {
        print_trace(p);
    }
    MUST(p, ferry_engine_destroy(p->engine) == FERRY_OK);
    p->engine = NULL;
    MUST(p, p->allocator.blocks == 0 && p->allocator.bytes == 0 && p->allocator.wrong_frees == 0);
}

uint64_t play_scene(const play_options *options) {
    play *p = calloc(1, sizeof *p);
    if (p == NULL) {
        abort();
    }
    p->options = *options;
    p->random = options->seed;
    for (const char *at = options->scene->name; *at != '\0'; at++) {
        p->random =
            p->random * 31 + (unsigned char)*at; /* Scenes that are alike see other trouble. */
    }
    p->judge = referee_create();
    if (!options->fair && options->refuse == 0) {
        choose_trouble(p);
    }
    open_world(p);
    options->scene->act(p);
    close_world(p);
    referee_destroy(p->judge);
    for (size_t i = 0; i < p->block_count; i++) {
        free(p->blocks[i]);
    }
    uint64_t mark = p->mark;
    if (options->refused != NULL) {
        *options->refused = p->allocator.refused != 0;
    }
    free(p);
    return mark;
}
