#include "opcodes.h"

#include <string.h>
#include <unistd.h>

/* What a word of the parameters is. */
typedef enum word_kind {
    WORD_UNUSED,       /* Must be 0. */
    WORD_NUMBER,       /* Of any value without harm. */
    WORD_SMALL,        /* The same, and most often less than 4. */
    WORD_PATH,         /* A path to something that is only read, whole. */
    WORD_SCRATCH_PATH, /* A path to something that is made, changed or removed. */
    WORD_OPEN_PATH,    /* A path to be opened; the next word is WORD_FILLED: flags and mode. */
    WORD_NAME,         /* A host's name that no name server is asked for. */
    WORD_PORT,         /* A port of this process's, or none at all. */
    WORD_INPUT,        /* Memory that the engine reads; the next word is WORD_FILLED: its length. */
    WORD_OUTPUT,       /* Memory that the engine writes; the next word is WORD_FILLED. */
    WORD_INPUTS,       /* Slices that the engine reads; the next word is WORD_FILLED: how many. */
    WORD_OUTPUTS,      /* Slices that the engine writes; the next word is WORD_FILLED. */
    WORD_OFFSET,       /* Where in a file, and its size: never so far that a disk is filled. */
    WORD_COPY_SIZE,    /* Nor by a copy of something without end. */
    WORD_DELIMITER,    /* The first of three: a length, and so many bytes. */
    WORD_ADDRESS,      /* The first of four: a ferry_address. On the loopback, or none at all. */
    WORD_LOCAL,        /* The same, most often none, and any port of the system's. */
    WORD_HANDLE,       /* A stream or a file besides the target. */
    WORD_DESCRIPTOR,   /* A descriptor to be given away. */
    WORD_OPTION,       /* A socket's option; the next word is WORD_FILLED: its value. */
    WORD_REQUESTS,     /* An array of child requests; the next word is WORD_FILLED: how many. */
    WORD_REQUEST,      /* One child request. */
    WORD_FILLED        /* By the word before it. */
} word_kind;

/* Kinds of handles, as in an id. */
enum {
    LISTENER = 1 << 3,
    STREAM = 1 << 4,
    FILE_HANDLE = 1 << 5,
    CHANNEL = 1 << 6,
    ANY_HANDLE = LISTENER | STREAM | FILE_HANDLE | CHANNEL
};

typedef struct opcode_row {
    uint16_t opcode;
    uint8_t targets; /* Kinds of the target: only a preference. 0 = it has none. */
    uint8_t opens;   /* Kinds of the handle that it opens. */
    uint32_t flags;  /* Those that mean something. */
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

static void tidy_until(ferry_request *request) {
    if ((request->flags & FERRY_LEND) != 0) {
        request->params.words[0] = 0;
        request->params.receive_until.size %= FERRY_UNTIL_LEND_MAX;
        request->params.receive_until.size++;
    } else {
        request->flags = 0;
    }
}

static void tidy_resolve(ferry_request *request) {
    static const uint32_t families[] = {0, FERRY_IPV4, FERRY_IPV6};
    request->params.resolve.family = families[request->params.resolve.family % 3];
    request->params.resolve.port %= 65536;
}

static void tidy_store(ferry_request *request) {
    request->params.store.mode %= 01000;
}

/* An offset belongs to a file. */
static void tidy_copy(ferry_request *request) {
    if (request->target >> 59 != 5) {
        request->params.copy.from_offset = 0;
    }
    if (request->params.copy.to >> 59 != 5) {
        request->params.copy.to_offset = 0;
    }
}

/* The first length and offset that no system can count to. */
#define TOO_LONG ((uint64_t)INT64_MAX + 1)

static const opcode_row rows[] = {
    {.opcode = FERRY_OP_NOP},
    {.opcode = FERRY_OP_HANDLE_CLOSE, .targets = ANY_HANDLE},
    {.opcode = FERRY_OP_HANDLE_COPY,
     .targets = STREAM | FILE_HANDLE,
     .words = {WORD_HANDLE, WORD_COPY_SIZE, WORD_OFFSET, WORD_OFFSET},
     .tidy = tidy_copy},
    {.opcode = FERRY_OP_DESCRIPTOR_ADOPT,
     .opens = LISTENER | STREAM | FILE_HANDLE,
     .flags = FERRY_SPREAD,
     .words = {WORD_DESCRIPTOR, WORD_SMALL}},
    {.opcode = FERRY_OP_DESCRIPTOR_RELEASE, .targets = LISTENER | STREAM | FILE_HANDLE},
    {.opcode = FERRY_OP_CHAIN, .words = {WORD_REQUESTS, WORD_FILLED}},
    {.opcode = FERRY_OP_ALL, .words = {WORD_REQUESTS, WORD_FILLED}},
    {.opcode = FERRY_OP_RACE, .opens = ANY_HANDLE, .words = {WORD_REQUESTS, WORD_FILLED}},
    {.opcode = FERRY_OP_RETRY,
     .opens = ANY_HANDLE,
     .words = {WORD_REQUEST, WORD_SMALL, WORD_NUMBER, WORD_NUMBER}},
    {.opcode = FERRY_OP_TIMER,
     .flags = FERRY_MULTISHOT,
     .words = {WORD_NUMBER, WORD_NUMBER},
     .tidy = tidy_timer},
    {.opcode = FERRY_OP_TCP_LISTEN,
     .opens = LISTENER,
     .flags = FERRY_REUSE_PORT | FERRY_SPREAD,
     .words = {WORD_ADDRESS, 0, 0, 0, WORD_NUMBER}},
    {.opcode = FERRY_OP_TCP_ACCEPT, .targets = LISTENER, .opens = STREAM, .flags = FERRY_MULTISHOT},
    {.opcode = FERRY_OP_TCP_CONNECT, .opens = STREAM, .words = {WORD_ADDRESS, 0, 0, 0, WORD_LOCAL}},
    {.opcode = FERRY_OP_TCP_CONNECT_NAME,
     .opens = STREAM,
     .words = {WORD_NAME, WORD_PORT, WORD_NUMBER}},
    {.opcode = FERRY_OP_SOCKET_ADDRESS, .targets = LISTENER | STREAM, .words = {WORD_SMALL}},
    {.opcode = FERRY_OP_SOCKET_SET,
     .targets = LISTENER | STREAM,
     .words = {WORD_OPTION, WORD_FILLED}},
    {.opcode = FERRY_OP_STREAM_RECEIVE,
     .targets = STREAM,
     .flags = FERRY_MULTISHOT | FERRY_LEND,
     .words = {WORD_OUTPUT, WORD_FILLED},
     .refused_from = TOO_LONG,
     .tidy = tidy_receive},
    {.opcode = FERRY_OP_STREAM_SEND,
     .targets = STREAM,
     .flags = FERRY_COPY,
     .words = {WORD_INPUT, WORD_FILLED},
     .refused_from = TOO_LONG},
    {.opcode = FERRY_OP_STREAM_RECEIVE_EXACTLY,
     .targets = STREAM,
     .words = {WORD_OUTPUT, WORD_FILLED},
     .refused_from = TOO_LONG},
    {.opcode = FERRY_OP_STREAM_RECEIVE_UNTIL,
     .targets = STREAM,
     .flags = FERRY_MULTISHOT | FERRY_LEND,
     .words = {WORD_OUTPUT, WORD_FILLED, WORD_DELIMITER},
     .refused_from = TOO_LONG,
     .tidy = tidy_until},
    {.opcode = FERRY_OP_STREAM_SEND_VECTORED,
     .targets = STREAM,
     .words = {WORD_INPUTS, WORD_FILLED},
     .refused_from = TOO_LONG},
    {.opcode = FERRY_OP_STREAM_SHUTDOWN, .targets = STREAM},
    {.opcode = FERRY_OP_FILE_LOAD, .words = {WORD_PATH, WORD_NUMBER}},
    {.opcode = FERRY_OP_FILE_STORE,
     .words = {WORD_SCRATCH_PATH, WORD_INPUT, WORD_FILLED, WORD_NUMBER},
     .refused_from = TOO_LONG,
     .tidy = tidy_store},
    {.opcode = FERRY_OP_FILE_OPEN, .opens = FILE_HANDLE, .words = {WORD_OPEN_PATH, WORD_FILLED}},
    {.opcode = FERRY_OP_FILE_READ,
     .targets = FILE_HANDLE,
     .words = {WORD_OUTPUT, WORD_FILLED, WORD_OFFSET},
     .refused_from = TOO_LONG},
    {.opcode = FERRY_OP_FILE_WRITE,
     .targets = FILE_HANDLE,
     .words = {WORD_INPUT, WORD_FILLED, WORD_OFFSET},
     .refused_from = TOO_LONG},
    {.opcode = FERRY_OP_FILE_READ_VECTORED,
     .targets = FILE_HANDLE,
     .words = {WORD_OUTPUTS, WORD_FILLED, WORD_OFFSET},
     .refused_from = TOO_LONG},
    {.opcode = FERRY_OP_FILE_WRITE_VECTORED,
     .targets = FILE_HANDLE,
     .words = {WORD_INPUTS, WORD_FILLED, WORD_OFFSET},
     .refused_from = TOO_LONG},
    {.opcode = FERRY_OP_FILE_STAT, .targets = FILE_HANDLE},
    {.opcode = FERRY_OP_FILE_SYNC, .targets = FILE_HANDLE, .words = {WORD_SMALL}},
    {.opcode = FERRY_OP_FILE_TRUNCATE, .targets = FILE_HANDLE, .words = {WORD_OFFSET}},
    {.opcode = FERRY_OP_PATH_STAT, .words = {WORD_PATH, WORD_SMALL}},
    {.opcode = FERRY_OP_CHANNEL_OPEN, .opens = CHANNEL, .words = {WORD_SMALL}},
    {.opcode = FERRY_OP_CHANNEL_SEND, .targets = CHANNEL, .words = {WORD_NUMBER, WORD_NUMBER}},
    {.opcode = FERRY_OP_CHANNEL_RECEIVE, .targets = CHANNEL, .flags = FERRY_MULTISHOT},
    {.opcode = FERRY_OP_CHANNEL_FINISH, .targets = CHANNEL},
    {.opcode = FERRY_OP_NAME_RESOLVE, .words = {WORD_NAME, WORD_NUMBER}, .tidy = tidy_resolve},
};

enum {
    ROWS = sizeof rows / sizeof rows[0],
    DEPTH_MAX = FERRY_DEPTH_MAX + 2,
    CHILDREN_MAX = 4,
    SLICES_MAX = 5,
    OFFSETS = 256 * 1024,
    FIRST_UNUSED = 1024
};

/* A composition whose children are being made. */
typedef struct family {
    const struct family *around;
    uint16_t opcode;
    const ferry_request *children;
    uint32_t made; /* Those before the one that is being made. */
    unsigned depth;
    bool retried; /* It, or one around it, may run more than once. */
} family;

/* What is at hand where a request is made. */
typedef struct maker {
    hostile_request *made;
    world *world;
    source *source;
    const family *family; /* NULL: it is no child. */
    const opcode_row *row;
} maker;

static void prepare(ferry_request *request, hostile_request *made, world *w, source *s,
                    const family *around);

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

/* --- Memory -------------------------------------------------------------------------------- */

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

static void fill_memory(const maker *m, bool output, uint64_t *words) {
    source *s = m->source;
    if (source_once_in(s, 16)) {
        return; /* No memory, no length. */
    }
    size_t size = some_length(s);
    const void *memory = m->world->readable;
    if (output) {
        size %= 8192;
        memory = world_window(m->world, size);
    }
    words[0] = word_of(memory);
    words[1] = memory == NULL ? 0 : size;
    if (m->row->refused_from != 0 && source_once_in(s, 16)) {
        words[1] = m->row->refused_from + source_below(s, 2);
    }
}

static void fill_slices(const maker *m, bool output, uint64_t *words) {
    uint64_t count = source_below(m->source, SLICES_MAX + 1);
    ferry_slice *slices = world_window(m->world, SLICES_MAX * sizeof *slices);
    if (slices == NULL) {
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t piece[2] = {0, 0};
        fill_memory(m, output, piece);
        slices[i].data_u64 = piece[0];
        slices[i].size = piece[1];
    }
    words[0] = word_of(slices);
    words[1] = count;
    if (source_once_in(m->source, 16)) {
        words[1] = FERRY_SLICES_MAX + 1 + source_number(m->source) / 2; /* Refused unread. */
    }
}

/* --- Files --------------------------------------------------------------------------------- */

/* What is outside of the scratch folder is never opened for writing. */
static void fill_open(const maker *m, uint64_t *words) {
    source *s = m->source;
    uint32_t flags = (uint32_t)source_take(s, 1) & 0x7f;
    uint32_t mode = source_once_in(s, 4) ? (uint32_t)source_take(s, 2) : 0;
    if (source_once_in(s, 3)) {
        words[0] = word_of(world_path(m->world, s));
        flags = FERRY_OPEN_READ | (flags & FERRY_OPEN_NO_FOLLOW);
    } else {
        words[0] = word_of(world_scratch_path(m->world, s));
        flags |= source_once_in(s, 8) ? 0 : FERRY_OPEN_WRITE | FERRY_OPEN_CREATE;
        flags &= source_once_in(s, 4) ? 0x7f : ~(uint32_t)FERRY_OPEN_EXCLUSIVE;
    }
    if (source_once_in(s, 32)) {
        flags |= UINT32_C(1) << (7 + source_below(s, 25));
    }
    words[1] = flags | (uint64_t)mode << 32;
}

static uint64_t some_offset(source *s) {
    switch (source_below(s, 8)) {
    case 0:
        return FERRY_AT_POSITION;
    case 1:
        return TOO_LONG + source_below(s, 2);
    case 2:
        return source_take(s, 3) % OFFSETS;
    default:
        return source_take(s, 1);
    }
}

/* Without end only from a stream: what a peer sends has an end. */
static uint64_t some_copy_size(const maker *m, const ferry_request *request) {
    if (request->target >> 59 == 4 && source_once_in(m->source, 4)) {
        return UINT64_MAX;
    }
    return source_once_in(m->source, 16) ? TOO_LONG : some_length(m->source);
}

/* --- Sockets and names --------------------------------------------------------------------- */

/* Never an address that leads away from this machine. */
static void fill_address(const maker *m, uint64_t *words) {
    source *s = m->source;
    ferry_address address = {.family = FERRY_IPV4, .bytes = {127, 0, 0, 1}};
    uint32_t kind = source_below(s, 16);
    address.port = world_pick_port(m->world, s);
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

static void fill_local(const maker *m, uint64_t *words) {
    if (source_once_in(m->source, 4)) {
        ferry_address address;
        fill_address(m, words);
        memcpy(&address, words, sizeof address);
        address.port = source_once_in(m->source, 2) ? 0 : address.port;
        memcpy(words, &address, sizeof address);
    }
}

/* Only what the system answers by itself: literals, and the one name that is in its own list. */
static const char *some_name(const world *w, source *s) {
    static const char *const names[] = {"127.0.0.1", "localhost", "::1",
                                        "localhost", "",          "::ffff:127.0.0.1"};
    if (source_once_in(s, 16)) {
        return NULL;
    }
    uint32_t choice = source_below(s, sizeof names / sizeof names[0] + 1);
    return choice < sizeof names / sizeof names[0] ? names[choice] : w->long_name;
}

static uint64_t some_port(const maker *m) {
    return source_once_in(m->source, 16) ? 65536 + source_number(m->source) / 2
                                         : world_pick_port(m->world, m->source);
}

/* A close may take as long as its socket lingers, so that is never long. */
static void fill_option(const maker *m, uint64_t *words) {
    words[0] = source_below(m->source, 8);
    words[1] = source_number(m->source);
    if (words[0] == FERRY_SOCKET_LINGER) {
        words[1] = (uint64_t)(int64_t)-1 - source_below(m->source, 3);
        words[1] = source_once_in(m->source, 2) ? 0 : words[1];
    }
    if (source_once_in(m->source, 32)) {
        words[0] |= source_take(m->source, 4) << 32;
    }
}

static void fill_delimiter(const maker *m, uint64_t *words) {
    source *s = m->source;
    uint64_t size = source_once_in(s, 16) ? source_number(s) : 1 + source_below(s, 3);
    unsigned char bytes[16] = {0};
    for (uint64_t i = 0; i < size && i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)source_take(s, 1);
    }
    words[0] = size;
    memcpy(&words[1], bytes, sizeof bytes);
}

/* A request that runs twice would be given a number that was closed, and may be another's by then. */
static void fill_descriptor(const maker *m, uint64_t *word) {
    static const uint64_t wrong[] = {UINT64_MAX, INT32_MAX, (uint64_t)INT32_MAX + 1};
    hostile_request *made = m->made;
    bool retried = m->family != NULL && m->family->retried;
    int fd = -1;
    if (!retried && made->descriptor_count < SPARE_DESCRIPTORS && !source_once_in(m->source, 8)) {
        fd = world_spare_descriptor(m->source);
    }
    if (fd >= 0) {
        made->descriptors[made->descriptor_count++] = fd;
        *word = (uint64_t)fd;
    } else {
        *word = wrong[source_below(m->source, 3)];
    }
}

/* --- Handles and children ------------------------------------------------------------------ */

/* Stands for what an earlier child opens; FERRY_NONE if none does that fits. */
static ferry_handle some_child_handle(const maker *m, uint8_t kinds) {
    uint32_t level = 0;
    if (source_once_in(m->source, 32)) {
        return ferry_child_handle(source_below(m->source, 8), source_below(m->source, 4));
    }
    for (const family *f = m->family; f != NULL; f = f->around) {
        if (f->opcode != FERRY_OP_CHAIN) {
            continue;
        }
        for (uint32_t i = f->made; i-- > 0;) {
            const opcode_row *row = row_of(f->children[i].opcode);
            if (row != NULL && (row->opens & kinds) != 0 && !source_once_in(m->source, 4)) {
                return ferry_child_handle(i, level);
            }
        }
        level++;
    }
    return FERRY_NONE;
}

static ferry_handle some_handle(const maker *m, uint8_t kinds) {
    world *w = m->world;
    ferry_handle handle = m->family == NULL ? FERRY_NONE : some_child_handle(m, kinds);
    if (handle != FERRY_NONE) {
        return handle;
    }
    for (int attempt = 0; attempt < 4; attempt++) {
        handle = world_pick(w, &w->handles, m->source);
        if ((kinds >> (handle >> 59) & 1) != 0) {
            break;
        }
    }
    return source_once_in(m->source, m->family == NULL ? 16 : 64)
               ? world_forge(w, handle, m->source)
               : handle;
}

static ferry_request *make_children(const maker *m, uint16_t opcode, uint32_t count) {
    family inner = {.around = m->family, .opcode = opcode};
    inner.depth = m->family == NULL ? 1 : m->family->depth + 1;
    inner.retried = opcode == FERRY_OP_RETRY || (m->family != NULL && m->family->retried);
    ferry_request *children =
        inner.depth > DEPTH_MAX ? NULL : world_window(m->world, count * sizeof *children);
    inner.children = children;
    for (; children != NULL && inner.made < count; inner.made++) {
        prepare(&children[inner.made], m->made, m->world, m->source, &inner);
    }
    return children;
}

static void fill_requests(const maker *m, uint64_t *words) {
    uint32_t count = source_below(m->source, CHILDREN_MAX + 1);
    ferry_request *children = make_children(m, m->row->opcode, count);
    words[0] = word_of(children);
    words[1] = children == NULL ? 0 : count;
}

static void fill_word(const maker *m, ferry_request *request, size_t at) {
    uint64_t *word = &request->params.words[at];
    source *s = m->source;
    switch ((word_kind)m->row->words[at]) {
    case WORD_NUMBER:
        *word = source_number(s);
        break;
    case WORD_SMALL:
        *word = source_once_in(s, 8) ? source_number(s) : source_below(s, 4);
        break;
    case WORD_PATH:
        *word = source_once_in(s, 32) ? 0 : word_of(world_path(m->world, s));
        break;
    case WORD_SCRATCH_PATH:
        *word = source_once_in(s, 32) ? 0 : word_of(world_scratch_path(m->world, s));
        break;
    case WORD_OPEN_PATH:
        fill_open(m, word);
        break;
    case WORD_NAME:
        *word = word_of(some_name(m->world, s));
        break;
    case WORD_PORT:
        *word = some_port(m);
        break;
    case WORD_INPUT:
    case WORD_OUTPUT:
        fill_memory(m, m->row->words[at] == WORD_OUTPUT, word);
        break;
    case WORD_INPUTS:
    case WORD_OUTPUTS:
        fill_slices(m, m->row->words[at] == WORD_OUTPUTS, word);
        break;
    case WORD_OFFSET:
        *word = some_offset(s);
        break;
    case WORD_COPY_SIZE:
        *word = some_copy_size(m, request);
        break;
    case WORD_DELIMITER:
        fill_delimiter(m, word);
        break;
    case WORD_ADDRESS:
        fill_address(m, word);
        break;
    case WORD_LOCAL:
        fill_local(m, word);
        break;
    case WORD_HANDLE:
        *word = some_handle(m, STREAM | FILE_HANDLE);
        break;
    case WORD_DESCRIPTOR:
        fill_descriptor(m, word);
        break;
    case WORD_OPTION:
        fill_option(m, word);
        break;
    case WORD_REQUESTS:
        fill_requests(m, word);
        break;
    case WORD_REQUEST:
        *word = source_once_in(s, 32) ? 0 : word_of(make_children(m, m->row->opcode, 1));
        break;
    case WORD_UNUSED:
    case WORD_FILLED:
        break;
    }
}

/* --- The whole record ---------------------------------------------------------------------- */

/* One of the rows that open something of these kinds, or of those that work on it. */
static const opcode_row *some_row(source *s, uint8_t opens, uint8_t targets) {
    const opcode_row *fitting[ROWS];
    uint32_t count = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const opcode_row *row = &rows[i];
        if ((row->targets & targets) != 0 || ((row->opens & opens) != 0 && row->targets == 0)) {
            fitting[count++] = row;
        }
    }
    return count == 0 ? &rows[0] : fitting[source_below(s, count)];
}

static uint16_t some_opcode(world *w, source *s) {
    uint32_t choice = (uint32_t)source_take(s, 1);
    if (choice < 12) {
        return (uint16_t)(FERRY_OP_CHAIN + choice % 4);
    }
    if (choice < 100) {
        /* Something for a handle that there is. */
        uint8_t kind = (uint8_t)(1 << (world_pick(w, &w->handles, s) >> 59) & ANY_HANDLE);
        return some_row(s, kind == 0 ? ANY_HANDLE : 0, kind)->opcode;
    }
    if (choice < 248) {
        return rows[choice % ROWS].opcode;
    }
    return choice < 254 ? (uint16_t)source_below(s, 128) : (uint16_t)source_take(s, 2);
}

/* True if a word may be set to anything: nobody follows it. */
static bool is_free(const opcode_row *row, size_t word) {
    if (row == NULL) {
        return false;
    }
    for (size_t i = word < 3 ? 0 : word - 3; i <= word; i++) {
        if (row->words[i] == WORD_ADDRESS || row->words[i] == WORD_LOCAL) {
            return false;
        }
    }
    return row->words[word] == WORD_UNUSED || row->words[word] == WORD_NUMBER ||
           row->words[word] == WORD_SMALL;
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

/* Where there is nothing yet to work on, it is better to open it. */
static void find_target(maker *m, ferry_request *request) {
    if (m->row->targets == 0) {
        return;
    }
    request->target = some_handle(m, m->row->targets);
    if (request->target == FERRY_NONE && !source_once_in(m->source, 8)) {
        m->row = some_row(m->source, m->row->targets, 0);
        request->opcode = m->row->opcode;
    }
}

static void fill_by_row(maker *m, ferry_request *request, uint32_t shape) {
    find_target(m, request);
    const opcode_row *row = m->row;
    request->flags = row->flags & (uint32_t)source_take(m->source, 1);
    for (size_t i = 0; i < 10; i++) {
        fill_word(m, request, i);
    }
    /* One child that is refused spoils the whole family. */
    if (row->tidy != NULL && ((shape & 0x3) != 0 || m->family != NULL)) {
        row->tidy(request);
    }
    if (m->family != NULL && (request->flags & FERRY_MULTISHOT) != 0 &&
        !source_once_in(m->source, 16)) {
        request->flags &= ~(uint32_t)FERRY_MULTISHOT;
        request->params.timer.interval_ns =
            row->opcode == FERRY_OP_TIMER ? 0 : request->params.timer.interval_ns;
    }
    /* By its tag the descriptor is known when it comes back. */
    if (row->opcode == FERRY_OP_DESCRIPTOR_ADOPT) {
        request->tag = request->params.words[0];
    }
}

static void prepare(ferry_request *request, hostile_request *made, world *w, source *s,
                    const family *around) {
    memset(request, 0, sizeof *request);
    request->opcode = some_opcode(w, s);
    maker m = {.made = made, .world = w, .source = s, .family = around};
    m.row = row_of(request->opcode);
    uint32_t shape = (uint32_t)source_take(s, 1);
    request->tag = source_take(s, 1);
    if (m.row != NULL) {
        fill_by_row(&m, request, shape);
    } else {
        request->target = some_handle(&m, ANY_HANDLE);
        for (size_t i = 0; i < 10 && request->opcode >= FIRST_UNUSED; i++) {
            request->params.words[i] = source_number(s);
        }
    }
    if ((shape & 0xc) == 0xc) {
        request->deadline_ns = source_number(s);
    }
    if (source_once_in(s, around == NULL ? 8 : 64)) {
        spoil(m.row, request, w, s);
    }
    made->releases += request->opcode == FERRY_OP_DESCRIPTOR_RELEASE ? 1 : 0;
}

void hostile_prepare(hostile_request *made, world *w, source *s) {
    made->descriptor_count = 0;
    made->releases = 0;
    prepare(&made->record, made, w, s, NULL);
}

void hostile_refused(const hostile_request *made) {
    for (uint32_t i = 0; i < made->descriptor_count; i++) {
        close(made->descriptors[i]);
    }
}
