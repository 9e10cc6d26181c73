/*
 * Random trees of requests, cut short at random moments. The referee knows what must hold between a
 * composition and its children; here it is made sure that nothing is left behind either.
 */
#include "family.h"
#include "fixture.h"

#include <sys/socket.h>

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { STREAMS = 4, BUFFER_SIZE = 16, ROUNDS = 400, AT_ONCE = 4 };

typedef struct world {
    fixture *f;
    uint64_t random;
    uint16_t port;
    ferry_handle streams[STREAMS];
    int peers[STREAMS];
    ferry_handle channel;
    const char *file;
    char *buffers;
} world;

/* One tree while it is made: what the requests point to must live until submit. */
typedef struct sapling {
    ferry_request nodes[FERRY_CHILDREN_MAX + 1];
    size_t used;
    size_t budget;
} sapling;

static uint64_t next_random(world *w) {
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static uint64_t below(world *w, uint64_t bound) {
    return next_random(w) % bound;
}

static bool opens_something(uint16_t opcode) {
    return opcode == FERRY_OP_TCP_CONNECT || opcode == FERRY_OP_TCP_CONNECT_NAME ||
           opcode == FERRY_OP_FILE_OPEN;
}

/* An earlier child of a chain that opens a connection or a file; FERRY_NONE if there is none. */
static ferry_handle opened_before(const ferry_request *leaf, uint32_t place) {
    for (uint32_t i = 0; i < place; i++) {
        if (opens_something(leaf[(int)i - (int)place].opcode)) {
            return ferry_child_handle(i, 0);
        }
    }
    return FERRY_NONE;
}

static void make_leaf(world *w, ferry_request *leaf, uint32_t place, bool in_chain) {
    ferry_handle opened = in_chain ? opened_before(leaf, place) : FERRY_NONE;
    ferry_address address = loopback(w->port);
    uint64_t stream = below(w, STREAMS);
    char *buffer = w->buffers + stream * BUFFER_SIZE;
    switch (below(w, 18)) {
    case 0:
    case 1:
        ferry_prepare_nop(leaf);
        break;
    case 2:
    case 3:
    case 4:
        ferry_prepare_timer(leaf, below(w, 4) == 0 ? HOUR : below(w, 300) * US, 0);
        break;
    case 5:
        ferry_prepare_file_load(leaf, w->file, 0);
        break;
    case 6:
        ferry_prepare_file_load(leaf, "/nowhere/at/all", 0);
        break;
    case 7:
        ferry_prepare_stream_receive(leaf, w->streams[stream], buffer, BUFFER_SIZE);
        break;
    case 8:
        ferry_prepare_stream_receive_until(leaf, w->streams[stream], buffer, BUFFER_SIZE, "y", 1);
        break;
    case 9:
    case 10:
        ferry_prepare_tcp_connect(leaf, &address);
        break;
    case 11:
        ferry_prepare_tcp_connect_name(leaf, "127.0.0.1", w->port);
        break;
    case 12:
        ferry_prepare_file_open(leaf, w->file, FERRY_OPEN_READ, 0);
        break;
    case 13:
        ferry_prepare_path_stat(leaf, w->file, false);
        break;
    case 14:
        ferry_prepare_channel_send(leaf, w->channel, 1, 2);
        break;
    case 15:
        ferry_prepare_channel_receive(leaf, w->channel);
        leaf->flags = 0;
        break;
    case 16:
        if (opened != FERRY_NONE && below(w, 2) == 0) {
            ferry_prepare_handle_copy(leaf, w->streams[stream], opened, 2 + below(w, 3), 0, 0);
        } else if (opened != FERRY_NONE) {
            ferry_prepare_handle_copy(leaf, opened, w->streams[stream], UINT64_MAX, 0, 0);
        } else {
            ferry_prepare_nop(leaf);
        }
        break;
    default:
        if (opened != FERRY_NONE) {
            ferry_prepare_handle_close(leaf, opened);
        } else {
            ferry_prepare_stream_send(leaf, w->streams[stream], "x", 1);
            leaf->flags = FERRY_COPY;
        }
    }
    if (below(w, 6) == 0) {
        leaf->deadline_ns = 1 + below(w, 400) * US;
    }
}

static void make_node(world *w, sapling *s, ferry_request *node, size_t depth, uint32_t place,
                      bool in_chain);

static void make_composition(world *w, sapling *s, ferry_request *node, size_t depth) {
    uint16_t opcode = (uint16_t)(FERRY_OP_CHAIN + below(w, 4));
    uint32_t count = opcode == FERRY_OP_RETRY ? 1 : 1 + (uint32_t)below(w, 5);
    if (count > s->budget) {
        count = (uint32_t)s->budget;
    }
    ferry_request *children = &s->nodes[s->used];
    s->used += count;
    s->budget -= count;
    for (uint32_t i = 0; i < count; i++) {
        make_node(w, s, &children[i], depth + 1, i, opcode == FERRY_OP_CHAIN);
        children[i].tag = next_random(w);
    }
    switch (opcode) {
    case FERRY_OP_CHAIN:
        ferry_prepare_chain(node, children, count);
        break;
    case FERRY_OP_ALL:
        ferry_prepare_all(node, children, count);
        break;
    case FERRY_OP_RACE:
        ferry_prepare_race(node, children, count);
        break;
    default:
        ferry_prepare_retry(node, children, 1 + below(w, 3), below(w, 100) * US, 0);
    }
    if (below(w, 8) == 0) {
        node->deadline_ns = 1 + below(w, 1000) * US;
    }
}

static void make_node(world *w, sapling *s, ferry_request *node, size_t depth, uint32_t place,
                      bool in_chain) {
    if (depth < FERRY_DEPTH_MAX && s->budget > 0 && below(w, 3) == 0) {
        make_composition(w, s, node, depth);
    } else {
        make_leaf(w, node, place, in_chain);
    }
}

static bool opens(const ferry_completion *c) {
    return c->status == FERRY_OK && opens_something(c->opcode) && c->handle != FERRY_NONE;
}

/* What the tree left open is the host's; a chain may have closed it itself. */
static void close_child(const ferry_completion *child, void *argument) {
    world *w = argument;
    if (opens(child)) {
        assert_status(ferry_handle_discard(w->f->engine, child->handle), FERRY_OK);
    }
}

static void end_tree(world *w, ferry_op op) {
    ferry_completion whole = fixture_final(w->f, op);
    family_visit(&whole, close_child, w);
    fixture_release(w->f, &whole);
}

static void drop_connections(int listener) {
    struct pollfd watched = {.fd = listener, .events = POLLIN};
    while (poll(&watched, 1, 0) > 0) {
        close(peer_accept(listener));
    }
}

static void settle(world *w) {
    char noise[256];
    for (int i = 0; i < STREAMS; i++) {
        while (recv(w->peers[i], noise, sizeof noise, MSG_DONTWAIT) > 0) {
        }
        if (below(w, 3) == 0) {
            peer_send(w->peers[i], "yy", 2);
        }
    }
}

/* Runs that are cut short wherever their time is used up. */
static void turn(world *w) {
    if (w->f->drive->shards != 0 || below(w, 2) == 0) {
        fixture_turn(w->f, below(w, 200) * US);
        return;
    }
    for (uint64_t runs = below(w, 30); runs > 0; runs--) {
        uint64_t budget_ns = below(w, 2) == 0 ? 1 : below(w, 30) * US + 1;
        assert_status(ferry_engine_run(w->f->engine, 0, budget_ns, NULL), FERRY_OK);
    }
    fixture_collect(w->f);
}

static void open_channel(world *w) {
    ferry_request request;
    ferry_prepare_channel_open(&request, 2);
    ferry_completion opened = fixture_do(w->f, &request);
    assert_status(opened.status, FERRY_OK);
    w->channel = opened.handle;
}

static void random_trees_leave_nothing_behind(void **state) {
    fixture *f = fixture_open(state);
    const char *given = getenv("FERRY_TEST_SEED");
    world w = {.f = f, .random = given != NULL ? strtoull(given, NULL, 0) : 0x9e3779b97f4a7c15};
    print_message("seed %#llx\n", (unsigned long long)w.random);
    int listener = fixture_keep(f, peer_listen(&w.port));
    w.file = fixture_file(f, "file", 3000);
    w.buffers = fixture_memory(f, STREAMS * BUFFER_SIZE);
    for (int i = 0; i < STREAMS; i++) {
        w.streams[i] = fixture_stream(f, &w.peers[i]);
    }
    open_channel(&w);
    for (int round = 0; round < ROUNDS; round++) {
        ferry_op ops[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            sapling s = {.budget = below(&w, 4) == 0 ? FERRY_CHILDREN_MAX : 8};
            ferry_request root;
            make_composition(&w, &s, &root, 0);
            root.tag = next_random(&w);
            if (root.deadline_ns == 0) {
                root.deadline_ns = 3 * MS; /* Some of its leaves never end by themselves. */
            }
            ops[i] = fixture_submit(f, &root);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            if (below(&w, 3) == 0) {
                turn(&w);
            }
            if (below(&w, 3) == 0) {
                fixture_cancel(f, ops[i]);
            }
        }
        settle(&w);
        for (int i = 0; i < AT_ONCE; i++) {
            end_tree(&w, ops[i]);
        }
        drop_connections(listener);
    }
    assert_info(f, handles_open, STREAMS + 1);
    assert_info(f, buffers_lent, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

static void trees_end_with_the_engine(void **state) {
    fixture *f = fixture_open(state);
    world w = {.f = f, .random = 77};
    int listener = fixture_keep(f, peer_listen(&w.port));
    w.file = fixture_file(f, "file", 3000);
    w.buffers = fixture_memory(f, STREAMS * BUFFER_SIZE);
    for (int i = 0; i < STREAMS; i++) {
        w.streams[i] = fixture_stream(f, &w.peers[i]);
    }
    open_channel(&w);
    ferry_op ops[64];
    for (int i = 0; i < 64; i++) {
        sapling s = {.budget = 16};
        ferry_request root;
        make_composition(&w, &s, &root, 0);
        ops[i] = fixture_submit(f, &root);
    }
    turn(&w);
    fixture_shutdown(f);
    for (int i = 0; i < 64; i++) {
        ferry_completion whole = fixture_final(f, ops[i]);
        fixture_release(f, &whole);
    }
    drop_connections(listener);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(random_trees_leave_nothing_behind),
        ON_EVERY_DRIVE(trees_end_with_the_engine),
    };
    return RUN_SUITE(tests);
}
