/*
 * The writer of traces: what it writes is JSON in the trace event format, each begin has its end, and the
 * events say what the host has seen.
 */
#include "fixture.h"
#include "json.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* What the sink got. Only one call of it at a time, so no lock. */
typedef struct paper {
    char *text;
    size_t size;
    size_t room;
    size_t pieces;
    atomic_bool busy;
} paper;

static void sink(const char *text, size_t size, void *user_data) {
    paper *p = user_data;
    REQUIRE(!atomic_exchange(&p->busy, true));
    if (p->size + size > p->room) {
        p->room = 2 * (p->size + size);
        p->text = realloc(p->text, p->room);
        REQUIRE(p->text != NULL);
    }
    memcpy(p->text + p->size, text, size);
    p->size += size;
    p->pieces++;
    atomic_store(&p->busy, false);
}

static void *allocate(size_t size, void *user_data) {
    (void)user_data;
    return malloc(size);
}

static void *refuse(size_t size, void *user_data) {
    (void)size;
    (void)user_data;
    return NULL;
}

static void give_back(void *memory, size_t size, void *user_data) {
    (void)size;
    (void)user_data;
    free(memory);
}

static ferry_trace_writer *writer_to(paper *p, uint32_t buffer_size) {
    ferry_trace_writer_options options = {
        .struct_size = sizeof options, .buffer_size = buffer_size, .write = sink, .user_data = p};
    ferry_trace_writer *writer;
    assert_status(ferry_trace_writer_create(&options, &writer), FERRY_OK);
    assert_non_null(writer);
    return writer;
}

static fixture *open_traced(void **state, ferry_trace_writer *writer) {
    ferry_engine_options options = {.trace = ferry_trace_writer_event, .trace_user_data = writer};
    return fixture_open_with(state, &options, NULL);
}

/* Everything that must hold of any trace. */
#define SOUND                                                                                      \
    "events = d\n"                                                                                 \
    "names = [e for e in events if e['ph'] == 'M']\n"                                              \
    "told = [e for e in events if e['ph'] != 'M']\n"                                               \
    "want({e['ph'] for e in told} <= {'b', 'n', 'e'}, 'phase')\n"                                  \
    "want({e['tid'] for e in told} == {e['tid'] for e in names if e['name'] == 'thread_name'}, "   \
    "'thread names')\n"                                                                            \
    "open_, lives, last = {}, [], {}\n"                                                            \
    "for e in told:\n"                                                                             \
    "    want(e['cat'] == 'ferry' and e['pid'] == 1, e)\n"                                         \
    "    want(e['ts'] >= last.get(e['tid'], 0), e)\n"                                              \
    "    last[e['tid']] = e['ts']\n"                                                               \
    "    if e['ph'] == 'b':\n"                                                                     \
    "        want(e['id'] not in open_, e)\n"                                                      \
    "        want('parent' not in e['args'] or e['args']['parent'] in open_, e)\n"                 \
    "        open_[e['id']] = e\n"                                                                 \
    "    else:\n"                                                                                  \
    "        want(e['id'] in open_, e)\n"                                                          \
    "    if e['ph'] == 'e':\n"                                                                     \
    "        begun = open_.pop(e['id'])\n"                                                         \
    "        want(begun['name'] == e['name'] and begun['tid'] == e['tid'], e)\n"                   \
    "        lives.append((begun, e))\n"                                                           \
    "want(not open_, open_)\n"

static void each_begin_has_its_end(void **state) {
    paper p = {0};
    ferry_trace_writer *writer = writer_to(&p, 0);
    fixture *f = open_traced(state, writer);
    enum { NOPS = 40 };
    ferry_request request;
    for (uint64_t i = 0; i < NOPS; i++) {
        ferry_prepare_nop(&request);
        request.tag = UINT64_MAX - i;
        assert_status(fixture_do(f, &request).status, FERRY_OK);
    }
    ferry_prepare_timer(&request, HOUR, 0);
    request.deadline_ns = MS;
    assert_status(fixture_do(f, &request).status, FERRY_E_TIMED_OUT);
    ferry_prepare_timer(&request, MS, MS);
    ferry_op interval = fixture_submit(f, &request);
    assert_int_equal(fixture_next(f, interval).flags & FERRY_MORE, FERRY_MORE);
    fixture_shutdown(f);
    assert_status(ferry_trace_writer_destroy(writer), FERRY_OK);
    json_check(p.text, p.size,
               SOUND
               "nops = [b for b, e in lives if b['name'] == 'FERRY_OP_NOP']\n"
               "want(len(nops) == %d, 'nops')\n"
               "want({b['args']['tag'] for b in nops} == "
               "{str(2 ** 64 - 1 - i) for i in range(%d)}, 'tags')\n"
               "ends = [e['args']['status'] for b, e in lives if b['name'] == "
               "'FERRY_OP_TIMER']\n"
               "want(sorted(ends) == ['FERRY_E_SHUTDOWN', 'FERRY_E_TIMED_OUT'], 'timers')\n"
               "want(any(e['name'] == 'more' and e['id'] == '0x%llx' for e in told), 'more')\n",
               NOPS, NOPS, (unsigned long long)interval);
    free(p.text);
}

static void children_carry_their_parents(void **state) {
    paper p = {0};
    ferry_trace_writer *writer = writer_to(&p, 0);
    fixture *f = open_traced(state, writer);
    ferry_request inner[2];
    ferry_request outer[2];
    ferry_request request;
    ferry_prepare_timer(&inner[0], MS, 0);
    ferry_prepare_timer(&inner[1], 2 * MS, 0);
    ferry_prepare_all(&outer[0], inner, 2);
    ferry_prepare_nop(&outer[1]);
    ferry_prepare_chain(&request, outer, 2);
    ferry_op op = fixture_submit(f, &request);
    assert_status(fixture_final(f, op).status, FERRY_OK);
    fixture_shutdown(f);
    assert_status(ferry_trace_writer_destroy(writer), FERRY_OK);
    json_check(p.text, p.size,
               SOUND "op = '0x%llx'\n"
                     "tree = {b['id']: b['args'].get('parent') for b, e in lives}\n"
                     "want(tree == {op: None, op + '.1': op, op + '.2': op, op + '.3': op + '.1', "
                     "op + '.4': op + '.1'}, tree)\n",
               (unsigned long long)op);
    free(p.text);
}

/* Operations that make children for themselves, within a composition: no two have the same name. */
static void children_of_children_have_names_of_their_own(void **state) {
    paper p = {0};
    ferry_trace_writer *writer = writer_to(&p, 0);
    fixture *f = open_traced(state, writer);
    ferry_address address = loopback(0);
    ferry_request children[4];
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 0);
    request.flags = FERRY_SPREAD;
    ferry_completion listening = fixture_do(f, &request);
    assert_status(listening.status, FERRY_OK);
    uint16_t port = (uint16_t)listening.result;
    ferry_prepare_tcp_accept(&children[0], listening.handle);
    children[0].flags = 0;
    ferry_prepare_tcp_connect_name(&children[1], "127.0.0.1", port);
    ferry_prepare_tcp_connect_name(&children[2], "127.0.0.1", port);
    ferry_prepare_timer(&children[3], MS, 0);
    ferry_prepare_all(&request, children, 4);
    ferry_op op = fixture_submit(f, &request);
    ferry_completion final = fixture_final(f, op);
    assert_status(final.status, FERRY_OK);
    fixture_release(f, &final);
    fixture_shutdown(f);
    assert_status(ferry_trace_writer_destroy(writer), FERRY_OK);
    json_check(p.text, p.size,
               SOUND
               "op = '0x%llx'\n"
               "want(len(lives) > 7, lives)\n"
               "inner = [b for b, e in lives if b['args'].get('parent', op) != op]\n"
               "want({b['args']['parent'] for b in inner} >= {op + '.2', op + '.3'}, inner)\n",
               (unsigned long long)op);
    free(p.text);
}

/* A piece is never larger than the buffer; together they are the same. */
static void small_pieces_are_one_text(void **state) {
    paper p = {0};
    ferry_trace_writer *writer = writer_to(&p, 1024);
    fixture *f = open_traced(state, writer);
    ferry_request requests[100];
    for (int i = 0; i < 100; i++) {
        ferry_prepare_timer(&requests[i], (uint64_t)i * 10 * US, 0);
    }
    ferry_op ops[100];
    fixture_submit_all(f, requests, 100, ops);
    for (int i = 0; i < 100; i++) {
        assert_status(fixture_final(f, ops[i]).status, FERRY_OK);
    }
    fixture_shutdown(f);
    /* The process may die at any moment: the format's readers do without the closing bracket. */
    size_t told = p.size;
    assert_status(ferry_trace_writer_destroy(writer), FERRY_OK);
    assert_true(p.pieces > p.size / 1024);
    char *cut = fixture_memory(f, told + 1);
    memcpy(cut, p.text, told);
    cut[told] = ']';
    json_check(cut, told + 1, "want(len(d) > 100, 'events')\n");
    json_check(p.text, p.size, SOUND "want(len(lives) == 100, 'count')\n");
    free(p.text);
}

static void a_trace_without_events_is_json(void **state) {
    (void)state;
    paper p = {0};
    assert_status(ferry_trace_writer_destroy(writer_to(&p, 0)), FERRY_OK);
    json_check(p.text, p.size, SOUND "want(len(events) == 1, 'the process')\n");
    free(p.text);
}

/* Every field as large as it gets: no event is cut off. */
static void hostile_events_are_json(void **state) {
    (void)state;
    paper p = {0};
    ferry_trace_writer *writer = writer_to(&p, 1024);
    ferry_trace_event event;
    memset(&event, 0xff, sizeof event);
    for (uint16_t kind = 0; kind < 8; kind++) {
        event.kind = kind;
        event.result = INT64_MIN;
        event.status = INT32_MIN;
        ferry_trace_writer_event(&event, writer);
    }
    event.kind = UINT16_MAX;
    ferry_trace_writer_event(&event, writer);
    ferry_trace_writer_event(NULL, writer);
    ferry_trace_writer_event(&event, NULL);
    assert_status(ferry_trace_writer_destroy(writer), FERRY_OK);
    json_check(p.text, p.size,
               "told = [e for e in d if e['ph'] != 'M']\n"
               "want([e['ph'] for e in told] == ['b', 'n', 'n', 'e'], 'kinds')\n"
               "want(all(e['args']['tag'] == str(2 ** 64 - 1) for e in told), 'tags')\n");
    free(p.text);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    ferry_trace_writer *writer = (ferry_trace_writer *)state;
    struct {
        ferry_trace_writer_options known;
        uint64_t unknown;
    } newer = {.known = {.struct_size = sizeof newer, .write = sink}, .unknown = 1};
    ferry_trace_writer_options good = {.struct_size = sizeof good, .write = sink};
    assert_status(ferry_trace_writer_create(&good, NULL), FERRY_E_INVALID);
    assert_status(ferry_trace_writer_create(NULL, &writer), FERRY_E_INVALID);
    assert_null(writer);
    assert_status(ferry_trace_writer_create(&newer.known, &writer), FERRY_E_UNSUPPORTED);
    ferry_trace_writer_options bad[] = {good, good, good, good, good, good};
    bad[0].struct_size = 0;
    bad[1].write = NULL;
    bad[2].buffer_size = 1023;
    bad[3].buffer_size = UINT32_MAX;
    bad[4].allocate = allocate;
    bad[5].free = give_back;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_status(ferry_trace_writer_create(&bad[i], &writer), FERRY_E_INVALID);
        assert_null(writer);
    }
    good.allocate = refuse;
    good.free = give_back;
    assert_status(ferry_trace_writer_create(&good, &writer), FERRY_E_NO_MEMORY);
    assert_null(writer);
    assert_status(ferry_trace_writer_destroy(NULL), FERRY_OK);
    uint64_t none[64] = {0};
    assert_status(ferry_trace_writer_destroy((ferry_trace_writer *)none), FERRY_E_INVALID);
}

static int write_as_a_child(void *argument) {
    ferry_trace_event event = {.kind = FERRY_TRACE_BEGIN, .op = 1};
    ferry_trace_writer_event(&event, argument);
    return ferry_trace_writer_destroy(argument) == FERRY_OK ? 0 : 1;
}

/* The child's sink must end the child if it is called: the file behind it would be the parent's. */
static atomic_bool in_parent = true;
static void parents_sink(const char *text, size_t size, void *user_data) {
    CHILD_CHECK(in_parent);
    sink(text, size, user_data);
}

static int child(void *argument) {
    in_parent = false;
    return write_as_a_child(argument);
}

static void a_forked_child_writes_nothing(void **state) {
    (void)state;
    paper p = {0};
    ferry_trace_writer_options options = {
        .struct_size = sizeof options, .write = parents_sink, .user_data = &p};
    ferry_trace_writer *writer;
    assert_status(ferry_trace_writer_create(&options, &writer), FERRY_OK);
    ferry_trace_event event = {.kind = FERRY_TRACE_BEGIN, .op = 1};
    ferry_trace_writer_event(&event, writer);
    assert_int_equal(run_in_child(child, writer), 0);
    event.kind = FERRY_TRACE_END;
    ferry_trace_writer_event(&event, writer);
    assert_status(ferry_trace_writer_destroy(writer), FERRY_OK);
    json_check(p.text, p.size, SOUND "want(len(lives) == 1, 'the parent')\n");
    free(p.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH_SHARDS(each_begin_has_its_end),
        ON_EACH_SHARDS(children_carry_their_parents),
        ON_EACH_SHARDS(children_of_children_have_names_of_their_own),
        ON_EACH_SHARDS(small_pieces_are_one_text),
        PLAIN(a_trace_without_events_is_json),
        PLAIN(hostile_events_are_json),
        PLAIN(bad_options_are_refused),
        PLAIN(a_forked_child_writes_nothing),
    };
    return RUN_SUITE(tests);
}
