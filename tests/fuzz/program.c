#include "program.h"

#include "allocator.h"
#include "check.h"
#include "family.h"
#include "ledger.h"
#include "opcodes.h"
#include "peer.h"
#include "process.h"
#include "referee.h"
#include "weather.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    QUEUES = 6,
    PEERS = 8,
    BATCH = 96, /* More than the engine hands over at once. */
    STEPS_MAX = 4000,
    SHUTDOWNS_MAX = 2000,
    STRUCT_ROOM = 256
};

/* End the process unless a law holds. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            broken(#condition, __LINE__);                                                          \
        }                                                                                          \
    } while (0)

_Noreturn static void broken(const char *text, int line) {
    fprintf(stderr, "hostile program, line %d: it does not hold that %s\n", line, text);
    abort();
}

struct game;

typedef struct hostile_queue {
    struct game *game;
    ferry_queue *queue; /* NULL: never made. */
    uint32_t mode;
    bool silent; /* Its requests have no callback, and nobody but dispatch takes its completions. */
    bool gone;   /* Destroyed, and still asked. */
    bool torn;   /* Somebody moved the head of its ring where no reader would. */
    uint32_t called;
    ferry_queue_mapping ring;
} hostile_queue;

typedef struct game {
    world *world;
    source *source;
    counting_allocator allocator;
    ferry_engine *engine;
    bool simulated;
    referee *judge;
    ledger descriptors;
    hostile_queue queues[QUEUES];
    pool lent;
    int peers[PEERS];
    /* The host has stolen from itself (released a buffer it was never told of, torn a ring): whether
       each request ends once cannot be seen any more. */
    bool excused;
    bool asked_to_stop;
    uint32_t inside; /* Callbacks that are running. */
    uint32_t steps;
} game;

static void step(game *g);

/* --- What completions bring ---------------------------------------------------------------- */

static void release(game *g, ferry_buffer buffer) {
    if (g->excused) {
        ferry_buffer_release(g->engine, buffer);
        return;
    }
    size_t complaints = referee_complaints(g->judge);
    ferry_status status = referee_release(g->judge, g->engine, buffer);
    if (status == FERRY_OK) {
        world_remember(g->world, &g->world->released, buffer);
        /* A lucky guess took what no completion had told of yet. */
        g->excused = g->excused || referee_complaints(g->judge) != complaints;
    }
}

static void keep(const ferry_completion *c, void *argument) {
    game *g = argument;
    world_learn(g->world, c);
    if ((c->flags & FERRY_BUFFER) != 0) {
        world_remember(g->world, &g->lent, c->buffer);
    }
}

static void see(game *g, const ferry_completion *c) {
    /* What a thief has released may be gone: then the children are not looked at. */
    ledger_completed(&g->descriptors, c, g->excused);
    if (g->excused) {
        return;
    }
    referee_note_completion(g->judge, c);
    family_visit(c, keep, g);
    keep(c, g);
}

static void on_completion(const ferry_completion *c, void *user_data) {
    hostile_queue *q = user_data;
    game *g = q->game;
    q->called++;
    see(g, c);
    if (g->inside < 3 && !g->asked_to_stop) {
        g->inside++;
        for (uint32_t i = source_below(g->source, 4); i > 0 && !source_empty(g->source); i--) {
            step(g);
        }
        g->inside--;
    }
}

/* --- Queues -------------------------------------------------------------------------------- */

static hostile_queue *some_queue(game *g) {
    hostile_queue *q = &g->queues[source_below(g->source, QUEUES)];
    return q->queue == NULL ? &g->queues[0] : q;
}

/* What a call on a queue says before all else. */
static bool is_stale(const hostile_queue *q, int32_t status) {
    MUST((status == FERRY_E_STALE) == q->gone);
    return q->gone;
}

static void on_wake(void *user_data) {
    atomic_fetch_add((atomic_uint *)user_data, 1);
}

static void create_queue(game *g) {
    static atomic_uint wakes;
    source *s = g->source;
    union {
        ferry_queue_options options;
        unsigned char bytes[STRUCT_ROOM];
    } given = {.options = {.struct_size = sizeof(ferry_queue_options)}};
    hostile_queue *q = &g->queues[source_below(s, QUEUES)];
    uint32_t shape = (uint32_t)source_take(s, 1);
    given.options.mode = shape % 4;
    given.options.capacity = 1 + source_below(s, 16);
    given.options.wake = (shape & 0x10) != 0 ? on_wake : NULL;
    given.options.user_data = &wakes;
    if ((shape & 0xe0) == 0xe0) {
        given.options.struct_size = source_below(s, STRUCT_ROOM);
        given.options.flags = source_below(s, 2);
        given.options.shard = (uint32_t)source_number(s);
        given.options.reserved = source_below(s, 2);
        given.bytes[4 + source_below(s, STRUCT_ROOM - 4)] ^= (unsigned char)source_take(s, 1);
        /* More than this is memory for nothing. */
        given.options.capacity =
            given.options.capacity > 4096 ? UINT32_MAX : given.options.capacity;
        given.options.wake = NULL;
    }
    ferry_queue *made = (ferry_queue *)g;
    ferry_status status = ferry_queue_create(g->engine, &given.options, &made);
    MUST((status == FERRY_OK) == (made != NULL));
    if (made == NULL) {
        return;
    }
    MUST(!g->asked_to_stop);
    if (q->queue != NULL && !q->gone) {
        ferry_queue_destroy(made); /* No place to keep it. */
        return;
    }
    *q = (hostile_queue){.game = g,
                         .queue = made,
                         .mode = given.options.mode,
                         .silent =
                             (shape & 0x0c) == 0x0c && given.options.mode != FERRY_QUEUE_MAPPED};
}

static void destroy_queue(game *g) {
    hostile_queue *q = some_queue(g);
    /* Never from within, where it is in use; and not the one that all else falls back upon. */
    if (g->inside > 0 || q == &g->queues[0]) {
        return;
    }
    ferry_status status = ferry_queue_destroy(q->queue);
    if (!is_stale(q, status)) {
        MUST(status == FERRY_OK || status == FERRY_E_BUSY);
        q->gone = status == FERRY_OK;
        /* Once all has stopped, what nobody has reaped goes with it. */
        g->excused = g->excused || (q->gone && g->asked_to_stop);
    }
}

static void submit(game *g) {
    hostile_queue *q = some_queue(g);
    source *s = g->source;
    hostile_request made[BATCH];
    ferry_request records[BATCH];
    ferry_op ops[BATCH];
    size_t accepted = 0;
    size_t count = source_below(s, 4) + 1;
    if (source_once_in(s, 32)) {
        count = source_below(s, BATCH + 1);
    }
    for (size_t i = 0; i < count; i++) {
        hostile_prepare(&made[i], g->world, s);
        records[i] = made[i].record;
        records[i].user_data = q;
        records[i].callback = q->silent ? NULL : on_completion;
    }
    if (q->silent || count == 0) {
        ferry_queue_submit(q->queue, records, count, ops, &accepted);
    } else {
        ferry_status status = referee_submit(g->judge, q->queue, records, count, ops, &accepted);
        MUST((status == FERRY_E_STALE) == q->gone);
    }
    MUST(accepted == 0 || (!q->gone && !g->asked_to_stop));
    for (size_t i = 0; i < count; i++) {
        if (i < accepted) {
            ledger_accepted(&g->descriptors, &made[i]);
            world_remember(g->world, &g->world->ops, ops[i]);
        } else {
            hostile_refused(&made[i]);
        }
    }
}

static void cancel(game *g) {
    hostile_queue *q = some_queue(g);
    ferry_op op = world_pick(g->world, &g->world->ops, g->source);
    if (source_once_in(g->source, 4)) {
        op = world_forge(g->world, op, g->source);
    }
    if (q->gone) {
        MUST(ferry_queue_cancel(q->queue, op) == FERRY_E_STALE);
    } else {
        ferry_status status = referee_cancel(g->judge, q->queue, op);
        MUST(status == FERRY_OK || status == FERRY_E_TOO_LATE || status == FERRY_E_UNKNOWN);
    }
}

static void post(game *g) {
    hostile_queue *q = some_queue(g);
    source *s = g->source;
    uint64_t tag = source_number(s);
    int64_t result = (int64_t)source_number(s);
    uint64_t data = source_number(s);
    if (q->silent) {
        ferry_queue_post(q->queue, tag, result, data);
        return;
    }
    ferry_status status = referee_post(g->judge, q->queue, tag, result, data);
    if (!is_stale(q, status)) {
        MUST(status == FERRY_OK || status == FERRY_E_FULL ||
             (status == FERRY_E_UNSUPPORTED && q->mode == FERRY_QUEUE_INLINE));
    }
}

/* --- Reaping ------------------------------------------------------------------------------- */

/* Nothing waits: then nothing may say that something does. */
static void must_be_empty(hostile_queue *q) {
    ferry_completion completion;
    int32_t fd = -1;
    MUST(ferry_queue_arm(q->queue) == 0);
    MUST(ferry_queue_reap(q->queue, &completion, 1) == 0);
    if (ferry_queue_fd(q->queue, &fd) == FERRY_OK) {
        struct pollfd look = {.fd = fd, .events = POLLIN};
        MUST(poll(&look, 1, 0) == 0);
    }
}

static void reap(game *g) {
    hostile_queue *q = some_queue(g);
    source *s = g->source;
    ferry_completion out[BATCH];
    uint32_t capacity = source_below(s, 8) == 0 ? source_below(s, BATCH) : 1 + source_below(s, 4);
    bool waits = source_once_in(s, 4);
    if (q->silent && q->mode == FERRY_QUEUE_REAP) {
        return;
    }
    uint64_t timeout = waits ? source_below(s, 2) * US : 0;
    int32_t count = waits ? ferry_queue_wait(q->queue, out, capacity, timeout)
                          : ferry_queue_reap(q->queue, out, capacity);
    if (is_stale(q, count)) {
        return;
    }
    if (q->mode != FERRY_QUEUE_REAP) {
        MUST(count == FERRY_E_UNSUPPORTED);
        return;
    }
    MUST(count <= (int32_t)capacity);
    MUST(count >= 0 || count == FERRY_E_INVALID || count == FERRY_E_BUSY ||
         count == FERRY_E_WRONG_THREAD || count == FERRY_E_NO_DESCRIPTORS);
    MUST(count != FERRY_E_INVALID || capacity == 0);
    MUST(count != FERRY_E_BUSY || g->inside > 0);
    for (int32_t i = 0; i < count; i++) {
        see(g, &out[i]);
    }
    if (count >= 0 && count < (int32_t)capacity) {
        must_be_empty(q);
    }
}

/* Messages have no callback, so it is them that dispatch drops. */
static void see_dropped(game *g, int32_t count) {
    ferry_completion message = {.opcode = FERRY_OP_POST};
    for (int32_t i = 0; i < count; i++) {
        see(g, &message);
    }
}

static int32_t dispatch(game *g, hostile_queue *q, uint32_t max, uint64_t budget_ns) {
    uint32_t called_before = q->called;
    int32_t taken = ferry_queue_dispatch(q->queue, max, budget_ns);
    if (taken > 0) {
        MUST(max == 0 || taken <= (int32_t)max);
        MUST(q->called - called_before <= (uint32_t)taken);
        if (!q->silent) {
            see_dropped(g, taken - (int32_t)(q->called - called_before));
        }
    }
    return taken;
}

static void dispatch_some(game *g) {
    hostile_queue *q = some_queue(g);
    uint32_t max = source_below(g->source, 4);
    uint64_t budget_ns = source_once_in(g->source, 2) ? source_number(g->source) : 0;
    int32_t taken = dispatch(g, q, max, budget_ns);
    if (!is_stale(q, taken)) {
        MUST(q->mode == FERRY_QUEUE_REAP ? taken >= 0 || (taken == FERRY_E_BUSY && g->inside > 0)
                                         : taken == FERRY_E_UNSUPPORTED);
    }
}

static void arm(game *g) {
    hostile_queue *q = some_queue(g);
    int32_t answer = ferry_queue_arm(q->queue);
    if (!is_stale(q, answer)) {
        MUST(q->mode == FERRY_QUEUE_INLINE ? answer == FERRY_E_UNSUPPORTED
                                           : answer == 0 || answer == 1);
    }
}

static void open_descriptor(game *g) {
    hostile_queue *q = some_queue(g);
    int32_t fd = -2;
    ferry_status status = ferry_queue_fd(q->queue, source_once_in(g->source, 16) ? NULL : &fd);
    if (fd != -2 && !is_stale(q, status)) {
        MUST((status == FERRY_OK) == (fd >= 0));
        MUST(status == FERRY_OK || q->mode == FERRY_QUEUE_INLINE);
    }
}

static bool map(hostile_queue *q) {
    q->ring.struct_size = sizeof q->ring;
    ferry_status status = ferry_queue_map(q->queue, &q->ring);
    if (is_stale(q, status)) {
        return false;
    }
    MUST(status == (q->mode == FERRY_QUEUE_MAPPED ? FERRY_OK : FERRY_E_UNSUPPORTED));
    return status == FERRY_OK;
}

static uint32_t read_ring(game *g, hostile_queue *q, uint32_t most) {
    uint32_t head = *q->ring.head;
    uint32_t tail = __atomic_load_n(q->ring.tail, __ATOMIC_ACQUIRE);
    uint32_t count = tail - head < most ? tail - head : most;
    MUST(g->excused || tail - head <= q->ring.capacity);
    for (uint32_t i = 0; i < count; i++) {
        ferry_completion completion = q->ring.records[(head + i) & (q->ring.capacity - 1)];
        see(g, &completion);
    }
    __atomic_store_n(q->ring.head, head + count, __ATOMIC_RELEASE);
    return count;
}

static void use_ring(game *g) {
    hostile_queue *q = some_queue(g);
    if (!map(q)) {
        return;
    }
    if (source_once_in(g->source, 64)) {
        /* What is not a reader's to do. Nobody can count then, but nothing may break either. */
        *q->ring.head = (uint32_t)source_number(g->source);
        q->torn = true;
        g->excused = true;
    } else if (!q->torn) {
        read_ring(g, q, source_below(g->source, 32));
    }
}

/* --- The engine ---------------------------------------------------------------------------- */

static void run(game *g) {
    source *s = g->source;
    union {
        ferry_run_report report;
        unsigned char bytes[STRUCT_ROOM];
    } out = {.report = {.struct_size = sizeof(ferry_run_report)}};
    uint32_t shape = source_below(s, 64);
    uint64_t wait_ns = shape < 8 ? shape * 20 * US : 0;
    if (g->simulated && shape < 8) {
        wait_ns = source_number(s); /* Costs nothing. */
    }
    uint64_t budget_ns = shape < 40 ? 0 : source_number(s);
    if (shape == 63) {
        out.report.struct_size = source_below(s, STRUCT_ROOM);
    }
    uint32_t size = out.report.struct_size;
    ferry_status status =
        ferry_engine_run(g->engine, wait_ns, budget_ns, shape == 62 ? NULL : &out.report);
    if (g->inside > 0) {
        MUST(status == FERRY_E_BUSY || status == FERRY_E_INVALID);
        return;
    }
    if (size < sizeof(ferry_run_report) && shape != 62) {
        MUST(status == FERRY_E_INVALID);
        return;
    }
    MUST(status == FERRY_OK || (status == FERRY_E_SHUTDOWN && g->asked_to_stop));
    if (status == FERRY_OK && shape != 62 && (budget_ns == 0 || budget_ns > HOUR)) {
        MUST(out.report.left == 0 && out.report.overrun_ns == 0);
    }
}

static void look_inside(game *g) {
    union {
        ferry_engine_info info;
        unsigned char bytes[STRUCT_ROOM];
    } out = {.info = {.struct_size = sizeof(ferry_engine_info)}};
    if (source_once_in(g->source, 4)) {
        out.info.struct_size = source_below(g->source, STRUCT_ROOM - 1);
    }
    ferry_status status = ferry_engine_get_info(g->engine, &out.info);
    MUST(status == FERRY_OK || (status == FERRY_E_INVALID && out.info.struct_size == 0) ||
         out.info.struct_size < sizeof(ferry_engine_info));
    if (status == FERRY_OK && out.info.struct_size >= sizeof(ferry_engine_info)) {
        MUST(out.info.workers_detached <= out.info.workers);
        MUST(g->excused || out.info.buffers_lent >= referee_lent(g->judge));
    }
    int32_t fd;
    if (source_once_in(g->source, 8)) {
        ferry_engine_fd(g->engine, &fd);
    }
}

static void look_deeper(game *g) {
    weather_look(g->engine, g->source);
}

static void change_weather(game *g) {
    weather_change(g->engine, g->simulated, g->world, g->source);
}

static void release_something(game *g) {
    source *s = g->source;
    ferry_buffer buffer = world_pick(g->world, &g->lent, s);
    switch (source_below(s, 8)) {
    case 0:
        buffer = world_pick(g->world, &g->world->released, s);
        break;
    case 1:
        buffer = world_forge(g->world, buffer, s);
        break;
    case 2:
        buffer = world_pick(g->world, &g->world->ops, s);
        break;
    default:
        break;
    }
    release(g, buffer);
}

static void discard_something(game *g) {
    ferry_handle handle = world_pick(g->world, &g->world->handles, g->source);
    if (source_once_in(g->source, 4)) {
        handle = world_forge(g->world, handle, g->source);
    }
    ferry_status status = referee_discard(g->judge, g->engine, handle);
    MUST(status == FERRY_OK || status == FERRY_E_BAD_HANDLE || status == FERRY_E_FOREIGN);
}

static void ask_to_stop(game *g) {
    ferry_status status = ferry_engine_shutdown(g->engine, source_below(g->source, 2) * US);
    if (g->inside > 0) {
        MUST(status == FERRY_E_BUSY);
        return;
    }
    MUST(status == FERRY_OK || status == FERRY_E_TIMED_OUT);
    g->asked_to_stop = true;
}

/* Too early, unless somebody has shut it down: then it is the end's to do. */
static void destroy_too_early(game *g) {
    if (!g->asked_to_stop) {
        MUST(ferry_engine_destroy(g->engine) == FERRY_E_BUSY);
    }
}

/* Every function that takes a pointer, without it. */
static void call_with_nothing(game *g) {
    ferry_request request = {.opcode = FERRY_OP_NOP};
    ferry_completion completion;
    ferry_op op;
    ferry_queue *queue = g->queues[0].queue;
    MUST(ferry_queue_submit(NULL, &request, 1, &op, NULL) == FERRY_E_INVALID);
    MUST(ferry_queue_submit(queue, NULL, 1, &op, NULL) == FERRY_E_INVALID);
    MUST(ferry_queue_cancel(NULL, 1) == FERRY_E_INVALID);
    MUST(ferry_queue_reap(NULL, &completion, 1) == FERRY_E_INVALID);
    MUST(ferry_queue_reap(queue, NULL, 1) == FERRY_E_INVALID);
    MUST(ferry_queue_wait(queue, NULL, 1, 0) == FERRY_E_INVALID);
    MUST(ferry_queue_fd(queue, NULL) == FERRY_E_INVALID);
    MUST(ferry_engine_get_info(g->engine, NULL) == FERRY_E_INVALID);
    MUST(ferry_queue_create(g->engine, NULL, NULL) == FERRY_E_INVALID);
    MUST(ferry_handle_discard(NULL, 1) == FERRY_E_INVALID);
    MUST(ferry_buffer_release(NULL, 1) == FERRY_E_INVALID);
}

static void talk_of_addresses(game *g) {
    char text[96];
    ferry_address address;
    size_t size = source_below(g->source, sizeof text);
    for (size_t i = 0; i < sizeof text; i++) {
        static const char letters[] = "0123456789abcdef:::...%[]/ \n";
        text[i] = i < size ? letters[source_below(g->source, sizeof letters)] : '\0';
    }
    text[sizeof text - 1] = '\0';
    if (ferry_address_parse(text, (uint16_t)size, &address) == FERRY_OK) {
        char written[64];
        MUST(ferry_address_format(&address, written, sizeof written) == FERRY_OK);
        MUST(strlen(written) < sizeof written);
    }
    for (size_t i = 0; i < sizeof address; i++) {
        ((unsigned char *)&address)[i] = (unsigned char)source_take(g->source, 1);
    }
    ferry_address_format(&address, text, size);
}

static void refuse_memory(game *g) {
    if (source_once_in(g->source, 3)) {
        allocator_refuse_nothing(&g->allocator);
        return;
    }
    size_t first = 1 + source_below(g->source, 8);
    allocator_refuse(&g->allocator, first, first + source_below(g->source, 64));
}

/* --- Plain sockets on the other side ------------------------------------------------------- */

static int plain_connect(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    REQUIRE(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void close_peer(int *peer, bool reset) {
    if (*peer >= 0 && reset) {
        peer_reset(*peer);
    } else if (*peer >= 0) {
        close(*peer);
    }
    *peer = -1;
}

static void play_peer(game *g) {
    source *s = g->source;
    int *peer = &g->peers[source_below(s, PEERS)];
    unsigned char bytes[4096];
    size_t size = source_below(s, 64);
    switch (source_below(s, 8)) {
    case 0:
    case 1:
        close_peer(peer, false);
        *peer = accept4(g->world->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        break;
    case 2:
        close_peer(peer, false);
        *peer = plain_connect(world_pick_port(g->world, s));
        break;
    case 3:
    case 4:
        send(*peer, g->world->readable, size * size, MSG_NOSIGNAL | MSG_DONTWAIT);
        break;
    case 5:
        (void)!recv(*peer, bytes, sizeof bytes, MSG_DONTWAIT);
        break;
    case 6:
        shutdown(*peer, SHUT_WR);
        break;
    default:
        close_peer(peer, source_once_in(s, 2));
        break;
    }
}

/* --- The game ------------------------------------------------------------------------------ */

static void step(game *g) {
    static void (*const moves[])(game *) = {
        submit,
        submit,
        submit,
        submit,
        submit,
        run,
        run,
        run,
        reap,
        reap,
        dispatch_some,
        dispatch_some,
        use_ring,
        cancel,
        cancel,
        post,
        arm,
        open_descriptor,
        create_queue,
        create_queue,
        destroy_queue,
        look_inside,
        release_something,
        release_something,
        play_peer,
        play_peer,
        play_peer,
        discard_something,
        refuse_memory,
        call_with_nothing,
        talk_of_addresses,
        destroy_too_early,
        look_deeper,
        change_weather,
        change_weather,
        change_weather,
    };
    uint32_t move = (uint32_t)source_take(g->source, 1);
    if (++g->steps > STEPS_MAX) {
        return;
    }
    if (move == 255) {
        ask_to_stop(g);
    } else {
        moves[move % (sizeof moves / sizeof moves[0])](g);
    }
}

static void try_bad_options(source *s) {
    ferry_engine_options options = {.struct_size = sizeof options};
    ferry_engine *engine = (ferry_engine *)&options;
    options.struct_size =
        source_once_in(s, 2) ? source_below(s, 256) % sizeof options : (uint32_t)sizeof options;
    options.flags = 1u << 1; /* The first bit that means nothing yet. */
    options.shards = (uint32_t)source_number(s);
    ferry_status status = ferry_engine_create(&options, &engine);
    MUST(status != FERRY_OK || options.struct_size < 8);
    MUST((status == FERRY_OK) == (engine != NULL));
    if (engine != NULL) {
        MUST(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK);
        MUST(ferry_engine_destroy(engine) == FERRY_OK);
    }
}

static bool open_game(game *g) {
    source *s = g->source;
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .ops_max = 1 + source_below(s, 96),
                                    .handles_max = 1 + source_below(s, 16),
                                    .workers_max = 1 + source_below(s, 2),
                                    .buffer_bytes_max = 65536u << source_below(s, 3)};
    uint32_t shape = (uint32_t)source_take(s, 1);
    allocator_install(&g->allocator, &options);
    if (shape % 16 == 15) {
        try_bad_options(s);
    }
    /* A quarter of the programs lives in the simulated world. */
    g->simulated = shape / 16 % 4 == 2;
    if (g->simulated) {
        options.driver = FERRY_DRIVER_SIM;
        options.seed = source_take(s, 1);
    }
    if (shape / 16 == 15) {
        /* Creation that is refused memory half-way leaves nothing behind. */
        allocator_refuse(&g->allocator, 1 + source_below(s, 32), SIZE_MAX);
    }
    ferry_status status = ferry_engine_create(&options, &g->engine);
    allocator_refuse_nothing(&g->allocator);
    MUST((status == FERRY_OK) == (g->engine != NULL));
    if (status != FERRY_OK) {
        MUST(status == FERRY_E_NO_MEMORY);
        return false;
    }
    ferry_queue_options queue = {.struct_size = sizeof queue, .capacity = 1 + source_below(s, 64)};
    if (g->simulated) {
        weather_begin(g->engine, g->world);
    }
    g->queues[0] = (hostile_queue){.game = g};
    MUST(ferry_queue_create(g->engine, &queue, &g->queues[0].queue) == FERRY_OK);
    return true;
}

static void shut_down(game *g) {
    for (int attempt = 0;; attempt++) {
        MUST(attempt < SHUTDOWNS_MAX);
        g->asked_to_stop = true;
        /* A disk may be slower than any host is patient. */
        ferry_status status =
            ferry_engine_shutdown(g->engine, g->simulated ? FERRY_FOREVER : 5 * MS);
        if (status == FERRY_OK) {
            return;
        }
        MUST(status == FERRY_E_TIMED_OUT);
        world_open_fifo(g->world);
        for (uint32_t host = 0; g->simulated && host < FERRY_SIM_HOSTS_MAX; host++) {
            ferry_sim_crash(g->engine, host);
        }
    }
}

/* Take what waits. Nothing comes any more, but what was held back for want of room. */
static void empty_queue(game *g, hostile_queue *q) {
    ferry_completion completion;
    if (q->queue == NULL || q->gone || q->mode == FERRY_QUEUE_INLINE) {
        return;
    }
    if (q->silent) {
        while (dispatch(g, q, 0, 0) > 0) {
        }
    } else if (q->mode == FERRY_QUEUE_REAP) {
        while (ferry_queue_reap(q->queue, &completion, 1) > 0) {
            see(g, &completion);
        }
        must_be_empty(q);
    } else if (map(q)) {
        if (q->torn) {
            *q->ring.head = *q->ring.tail;
        }
        while (read_ring(g, q, UINT32_MAX) > 0 || ferry_queue_arm(q->queue) > 0) {
        }
        MUST((*q->ring.flags & FERRY_QUEUE_HELD) == 0);
    }
}

static void judge(game *g) {
    ferry_engine_info info = {.struct_size = sizeof info};
    MUST(ferry_engine_get_info(g->engine, &info) == FERRY_OK);
    MUST(info.state == FERRY_ENGINE_STOPPED);
    MUST(info.ops_in_flight == 0 && info.handles_open == 0);
    MUST(info.workers == 0 && info.workers_detached == 0);
    if (g->excused) {
        return;
    }
    MUST(info.buffers_lent == referee_lent(g->judge));
    referee_release_all(g->judge, g->engine);
    MUST(ferry_engine_get_info(g->engine, &info) == FERRY_OK);
    /* Not its bytes: a load that was given up may have left some until destroy. */
    MUST(info.buffers_lent == 0);
    MUST(referee_finish(g->judge));
}

static void close_game(game *g) {
    shut_down(g);
    for (size_t i = 0; i < QUEUES; i++) {
        empty_queue(g, &g->queues[i]);
    }
    judge(g);
    allocator_refuse_nothing(&g->allocator);
    MUST(ferry_engine_destroy(g->engine) == FERRY_OK);
}

/* What is left in the listener's backlog, and the ends of the others; as resets, so that the system
   need not remember them. */
static void close_peers(game *g) {
    for (size_t i = 0; i < PEERS; i++) {
        close_peer(&g->peers[i], true);
    }
    for (;;) {
        int fd = accept4(g->world->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            break;
        }
        peer_reset(fd);
    }
}

void program_play(world *w, source *s) {
    game *g = calloc(1, sizeof *g);
    REQUIRE(g != NULL);
    world_reset(w);
    g->world = w;
    g->source = s;
    ledger_open(&g->descriptors);
    for (size_t i = 0; i < PEERS; i++) {
        g->peers[i] = -1;
    }
    world_remember(w, &w->handles, w->foreign_handles[1]);
    g->judge = referee_create();
    if (open_game(g)) {
        while (!source_empty(s) && g->steps < STEPS_MAX) {
            step(g);
        }
        close_game(g);
    }
    referee_destroy(g->judge);
    close_peers(g);
    MUST(atomic_load(&g->allocator.blocks) == 0 && atomic_load(&g->allocator.wrong_frees) == 0);
    MUST(world_windows_intact(w));
    MUST(ledger_close(&g->descriptors));
    free(g);
}
