#include "opcodes.h"

#include <string.h>
#include <unistd.h>

/* What a word of the parameters is. */
typedef enum word_kind {
    WORD_UNUSED,       /* Must be 0. */
    WORD_NUMBER,       /* Of any value without harm. */
    WORD_PATH,         /* A path to something that is only read, whole. */
    WORD_SCRATCH_PATH, /* A path to something that is made, changed or removed. */
    WORD_INPUT,        /* Memory that the engine reads; the next word is WORD_LENGTH. */
    WORD_OUTPUT,       /* Memory that the engine writes; the next word is WORD_LENGTH. */
    WORD_LENGTH,       /* Filled with the word before it. */
    WORD_ADDRESS,      /* The first of four: a ferry_address. On the loopback, or none at all. */
    WORD_HANDLE,       /* A handle besides the target. */
    WORD_DESCRIPTOR,   /* A descriptor to be given away. */
    WORD_REQUESTS,     /* An array of child requests; the next word is WORD_COUNT. */
    WORD_COUNT         /* Filled with the word before it. */
} word_kind;

typedef struct opcode_row {
    uint16_t opcode;
    uint16_t kind;  /* Of the target, as in an id: 0 = any. Only a preference. */
    uint32_t flags; /* Those that mean something. */
    uint8_t words[10];
    uint64_t refused_from; /* A length from here on is refused unread; 0 = none is. */
    void (*tidy)(ferry_request *request);
} opcode_row;

/* An interval timer is multishot, and no other. */
static void tidy_timer(ferry_request *request) {
    request->flags = request->params.timer.interval_ns != 0 ? FERRY_MULTISHOT : 0;
}

/* What is lent at arrival has no place before it. */
static void tidy_receive(ferry_request *request) {
    if ((request->flags & FERRY_LEND) != 0) {
        request->params.words[0] = 0;
        request->params.words[1] = 0;
    } else {
        request->flags = 0;
    }
}

static const opcode_row rows[] = {
    {.opcode = FERRY_OP_NOP},
    {.opcode = FERRY_OP_HANDLE_CLOSE},
    {.opcode = FERRY_OP_TIMER,
     .flags = FERRY_MULTISHOT,
     .words = {WORD_NUMBER, WORD_NUMBER},
     .tidy = tidy_timer},
    {.opcode = FERRY_OP_TCP_LISTEN,
     .flags = FERRY_REUSE_PORT,
     .words = {WORD_ADDRESS, 0, 0, 0, WORD_NUMBER}},
    {.opcode = FERRY_OP_TCP_ACCEPT, .kind = 3, .flags = FERRY_MULTISHOT},
    {.opcode = FERRY_OP_TCP_CONNECT, .words = {WORD_ADDRESS}},
    {.opcode = FERRY_OP_STREAM_RECEIVE,
     .kind = 4,
     .flags = FERRY_MULTISHOT | FERRY_LEND,
     .words = {WORD_OUTPUT, WORD_LENGTH},
     .refused_from = (uint64_t)INT64_MAX + 1,
     .tidy = tidy_receive},
    {.opcode = FERRY_OP_STREAM_SEND,
     .kind = 4,
     .flags = FERRY_COPY,
     .words = {WORD_INPUT, WORD_LENGTH},
     .refused_from = (uint64_t)INT64_MAX + 1},
    {.opcode = FERRY_OP_FILE_LOAD, .words = {WORD_PATH, WORD_NUMBER}},
    /* No operation: it is refused, whatever it brings. Here each kind of word is made. */
    {.opcode = 127,
     .words = {WORD_SCRATCH_PATH, WORD_HANDLE, WORD_DESCRIPTOR, WORD_REQUESTS, WORD_COUNT,
               WORD_INPUT, WORD_LENGTH}},
};

enum { ROWS = sizeof rows / sizeof rows[0], DEPTH_MAX = 3, CHILDREN_MAX = 4, FIRST_UNUSED = 1024 };

static void prepare(hostile_request *made, ferry_request *request, world *w, source *s,
                    unsigned depth);

static const opcode_row *row_of(uint16_t opcode) {
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].opcode == opcode) {
            return &rows[i];
        }
    }
    return NULL;
}

bool hostile_knows(uint16_t opcode) {
    return row_of(opcode) != NULL;
}

/* --- Words --------------------------------------------------------------------------------- */

static uint64_t word_of(const void *pointer) {
    return (uint64_t)(uintptr_t)pointer;
}

static size_t some_length(source *s) {
    switch (source_below(s, 8)) {
    case 0:
        return source_take(s, 2);
    case 1:
        return source_take(s, 3) % READABLE_SIZE;
    default:
        return source_take(s, 1);
    }
}

static void fill_input(const opcode_row *row, uint64_t *words, world *w, source *s) {
    if (source_once_in(s, 16)) {
        return; /* No memory, no length. */
    }
    words[0] = word_of(w->readable);
    words[1] = some_length(s);
    if (row->refused_from != 0 && source_once_in(s, 16)) {
        words[1] = row->refused_from + source_below(s, 2);
    }
}

static void fill_output(const opcode_row *row, uint64_t *words, world *w, source *s) {
    if (source_once_in(s, 16)) {
        return;
    }
    size_t size = some_length(s) % 8192;
    void *window = world_window(w, size);
    words[0] = word_of(window);
    words[1] = window == NULL ? 0 : size;
    if (row->refused_from != 0 && source_once_in(s, 16)) {
        words[1] = row->refused_from + source_below(s, 2);
    }
}

/* Never an address that leads away from this machine. */
static void fill_address(uint64_t *words, world *w, source *s) {
    ferry_address address = {.family = FERRY_IPV4, .bytes = {127, 0, 0, 1}};
    uint32_t kind = source_below(s, 16);
    address.port = world_pick_port(w, s);
    if (kind == 14) {
        address.family = FERRY_IPV6;
        memset(address.bytes, 0, sizeof address.bytes);
        address.bytes[15] = 1;
    } else if (kind == 15) {
        address.family = (uint16_t)(7 + source_take(s, 1));
        address.scope_id = (uint32_t)source_number(s);
        address.reserved = source_number(s);
    } else if (kind == 13) {
        address.bytes[4 + source_below(s, 12)] = (uint8_t)source_take(s, 1);
    }
    memcpy(words, &address, sizeof address);
}

static void fill_descriptor(hostile_request *made, uint64_t *word, source *s) {
    int fd = -1;
    if (made->descriptor_count < SPARE_DESCRIPTORS && !source_once_in(s, 8)) {
        fd = world_spare_descriptor(s);
    }
    if (fd >= 0) {
        made->descriptors[made->descriptor_count++] = fd;
    }
    *word = (uint64_t)(int64_t)fd;
}

static void fill_requests(hostile_request *made, uint64_t *words, world *w, source *s,
                          unsigned depth) {
    size_t count = source_below(s, CHILDREN_MAX + 1);
    ferry_request *children = world_window(w, count * sizeof *children);
    if (children == NULL || depth == DEPTH_MAX) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        prepare(made, &children[i], w, s, depth + 1);
    }
    words[0] = word_of(children);
    words[1] = count;
}

static ferry_handle some_handle(world *w, uint16_t kind, source *s) {
    ferry_handle handle = FERRY_NONE;
    for (int attempt = 0; attempt < 4; attempt++) {
        handle = world_pick(w, &w->handles, s);
        if (kind == 0 || handle >> 59 == kind) {
            break;
        }
    }
    return source_once_in(s, 16) ? world_forge(w, handle, s) : handle;
}

static void fill_words(hostile_request *made, const opcode_row *row, ferry_request *request,
                       world *w, source *s, unsigned depth) {
    for (size_t i = 0; i < 10; i++) {
        uint64_t *word = &request->params.words[i];
        switch ((word_kind)row->words[i]) {
        case WORD_NUMBER:
            *word = source_number(s);
            break;
        case WORD_PATH:
            *word = source_once_in(s, 32) ? 0 : word_of(world_path(w, s));
            break;
        case WORD_SCRATCH_PATH:
            *word = source_once_in(s, 32) ? 0 : word_of(world_scratch_path(w, s));
            break;
        case WORD_INPUT:
            fill_input(row, word, w, s);
            break;
        case WORD_OUTPUT:
            fill_output(row, word, w, s);
            break;
        case WORD_ADDRESS:
            fill_address(word, w, s);
            break;
        case WORD_HANDLE:
            *word = some_handle(w, 0, s);
            break;
        case WORD_DESCRIPTOR:
            fill_descriptor(made, word, s);
            break;
        case WORD_REQUESTS:
            fill_requests(made, word, w, s, depth);
            break;
        case WORD_UNUSED:
        case WORD_LENGTH:
        case WORD_COUNT:
            break;
        }
    }
}

/* --- The whole record ---------------------------------------------------------------------- */

static uint16_t some_opcode(source *s) {
    uint32_t choice = source_below(s, 64);
    if (choice < 56) {
        return rows[choice % ROWS].opcode;
    }
    return choice < 62 ? (uint16_t)source_below(s, 128) : (uint16_t)source_take(s, 2);
}

/* True if a word may be set to anything: nobody follows it. */
static bool is_free(const opcode_row *row, size_t word) {
    if (row == NULL) {
        return false;
    }
    for (size_t i = word < 3 ? 0 : word - 3; i <= word; i++) {
        if (row->words[i] == WORD_ADDRESS) {
            return false;
        }
    }
    return row->words[word] == WORD_UNUSED || row->words[word] == WORD_NUMBER;
}

static void spoil(const opcode_row *row, ferry_request *request, world *w, source *s) {
    size_t word = source_below(s, 10);
    switch (source_below(s, 8)) {
    case 0:
        request->reserved = (uint16_t)source_take(s, 2);
        break;
    case 1:
        request->flags ^= UINT32_C(1) << source_below(s, 32);
        break;
    case 2:
        request->flags = (uint32_t)source_take(s, 4);
        break;
    case 3:
        request->target = world_forge(w, request->target, s);
        break;
    case 4:
        request->opcode = (uint16_t)(FIRST_UNUSED + source_take(s, 1));
        break;
    case 5:
        request->deadline_ns = source_number(s);
        break;
    default:
        if (is_free(row, word)) {
            request->params.words[word] = source_number(s);
        }
        break;
    }
}

static void prepare(hostile_request *made, ferry_request *request, world *w, source *s,
                    unsigned depth) {
    memset(request, 0, sizeof *request);
    request->opcode = some_opcode(s);
    const opcode_row *row = row_of(request->opcode);
    uint32_t shape = (uint32_t)source_take(s, 1);
    request->tag = source_take(s, 1);
    if (row != NULL) {
        request->flags = row->flags & (uint32_t)source_take(s, 2);
        fill_words(made, row, request, w, s, depth);
        if (row->tidy != NULL && (shape & 0x3) != 0) {
            row->tidy(request);
        }
    } else if (request->opcode >= FIRST_UNUSED) {
        for (size_t i = 0; i < 10; i++) {
            request->params.words[i] = source_number(s);
        }
    }
    if (row == NULL || row->kind != 0 || row->opcode == FERRY_OP_HANDLE_CLOSE) {
        request->target = some_handle(w, row == NULL ? 0 : row->kind, s);
    }
    if ((shape & 0xc) == 0xc) {
        request->deadline_ns = source_number(s);
    }
    if (source_once_in(s, 8)) {
        spoil(row, request, w, s);
    }
}

void hostile_prepare(hostile_request *made, world *w, source *s) {
    made->descriptor_count = 0;
    prepare(made, &made->record, w, s, 0);
}

void hostile_refused(const hostile_request *made) {
    for (uint32_t i = 0; i < made->descriptor_count; i++) {
        close(made->descriptors[i]);
    }
}
