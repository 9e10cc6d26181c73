#include "referee.h"

#include "family.h"
#include "id_map.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPLAINTS_KEPT = 8, COMPLAINT_SIZE = 240, LOOK_AT_BYTES = 4096 };

/* One accepted request, or one completion that came before its submit had returned. */
typedef struct op_record {
    bool submitted;
    bool final_seen;
    uint32_t flags;
    uint16_t opcode;
    uint64_t tag;
    ferry_handle target;
    uint64_t size;             /* Of a send's or a receive's memory, 0 otherwise. */
    ferry_completion early[2]; /* The first and the last that came before the submit returned. */
    unsigned early_count;
} op_record;

typedef struct buffer_record {
    bool lent;
    ferry_buffer id;
    const unsigned char *data;
    size_t size;
    uint64_t checksum;
    struct buffer_record *next; /* In the list of those lent. */
    struct buffer_record *previous;
} buffer_record;

typedef struct handle_record {
    bool open;
} handle_record;

struct referee {
    pthread_mutex_t lock;
    id_map ops;
    id_map buffers;
    id_map handles;
    buffer_record *lent;
    size_t lent_count;
    size_t submits_running;
    size_t early_ops; /* Records with completions but no submit yet. */
    size_t outstanding;
    size_t posts_accepted;
    size_t posts_running;
    size_t posts_seen;
    size_t seen;
    size_t complaints;
    char texts[COMPLAINTS_KEPT][COMPLAINT_SIZE];
};

static void complain(referee *judge, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(referee *judge, const char *format, ...) {
    if (judge->complaints < COMPLAINTS_KEPT) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(judge->texts[judge->complaints], COMPLAINT_SIZE, format, arguments);
        va_end(arguments);
    }
    judge->complaints++;
}

referee *referee_create(void) {
    referee *judge = calloc(1, sizeof *judge);
    if (judge == NULL) {
        abort();
    }
    pthread_mutex_init(&judge->lock, NULL);
    judge->ops.record_size = sizeof(op_record);
    judge->buffers.record_size = sizeof(buffer_record);
    judge->handles.record_size = sizeof(handle_record);
    return judge;
}

void referee_destroy(referee *judge) {
    if (judge == NULL) {
        return;
    }
    id_map_free(&judge->ops);
    id_map_free(&judge->buffers);
    id_map_free(&judge->handles);
    pthread_mutex_destroy(&judge->lock);
    free(judge);
}

/* --- Lent buffers -------------------------------------------------------------------------- */

/* Beginning and end are enough: what writes into lent memory by mistake starts at its beginning. */
static uint64_t checksum(const unsigned char *data, size_t size) {
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) {
        if (i == LOOK_AT_BYTES && size > 2 * LOOK_AT_BYTES) {
            i = size - LOOK_AT_BYTES;
        }
        sum = (sum ^ data[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static void check_overlap(referee *judge, const ferry_completion *c) {
    const unsigned char *begin = c->data;
    for (const buffer_record *other = judge->lent; other != NULL; other = other->next) {
        if (begin < other->data + other->size && other->data < begin + c->result) {
            complain(judge, "buffer %" PRIx64 " overlaps buffer %" PRIx64 ", which is lent",
                     c->buffer, other->id);
        }
    }
}

static void lend(referee *judge, const ferry_completion *c) {
    if (c->data == NULL || c->result <= 0 || c->buffer == FERRY_NONE) {
        complain(judge,
                 "op %" PRIx64 ": FERRY_BUFFER with data %p, result %" PRId64 ", id %" PRIx64,
                 c->op, c->data, c->result, c->buffer);
        return;
    }
    buffer_record *record = id_map_get(&judge->buffers, c->buffer);
    if (record->lent) {
        complain(judge, "buffer %" PRIx64 " is lent twice", c->buffer);
        return;
    }
    check_overlap(judge, c);
    *record = (buffer_record){.lent = true,
                              .id = c->buffer,
                              .data = c->data,
                              .size = (size_t)c->result,
                              .checksum = checksum(c->data, (size_t)c->result),
                              .next = judge->lent};
    if (judge->lent != NULL) {
        judge->lent->previous = record;
    }
    judge->lent = record;
    judge->lent_count++;
}

static bool take_back(referee *judge, ferry_buffer buffer) {
    buffer_record *record = id_map_find(&judge->buffers, buffer);
    if (record == NULL || !record->lent) {
        return false;
    }
    if (checksum(record->data, record->size) != record->checksum) {
        complain(judge, "buffer %" PRIx64 " changed while it was lent", buffer);
    }
    if (record->next != NULL) {
        record->next->previous = record->previous;
    }
    if (record->previous != NULL) {
        record->previous->next = record->next;
    } else {
        judge->lent = record->next;
    }
    record->lent = false;
    judge->lent_count--;
    return true;
}

/* --- Completions --------------------------------------------------------------------------- */

static bool opens_handle(const ferry_completion *c, bool multishot) {
    if (c->status != FERRY_OK) {
        return false;
    }
    switch (c->opcode) {
    case FERRY_OP_TCP_LISTEN:
    case FERRY_OP_TCP_CONNECT:
    case FERRY_OP_TCP_CONNECT_NAME:
    case FERRY_OP_DESCRIPTOR_ADOPT:
    case FERRY_OP_FILE_OPEN:
    case FERRY_OP_CHANNEL_OPEN:
        return true;
    case FERRY_OP_TCP_ACCEPT:
        return !multishot || (c->flags & FERRY_MORE) != 0;
    default:
        return false;
    }
}

static void check_handle(referee *judge, const op_record *op, const ferry_completion *c) {
    if (c->opcode == FERRY_OP_RACE || c->opcode == FERRY_OP_RETRY) {
        return; /* A child's, whatever that is. */
    }
    if (!opens_handle(c, (op->flags & FERRY_MULTISHOT) != 0)) {
        if (c->handle != op->target) {
            complain(judge, "op %" PRIx64 ": handle %" PRIx64 " is not the target %" PRIx64, c->op,
                     c->handle, op->target);
        }
        return;
    }
    if (c->handle == FERRY_NONE) {
        complain(judge, "op %" PRIx64 " opened no handle", c->op);
        return;
    }
    handle_record *record = id_map_get(&judge->handles, c->handle);
    if (record->open) {
        complain(judge, "op %" PRIx64 ": new handle %" PRIx64 " is open already", c->op, c->handle);
    }
    record->open = true;
}

/* Its result and data are the sender's own words. */
static bool brings_message(const ferry_completion *c) {
    return c->opcode == FERRY_OP_CHANNEL_RECEIVE && c->status == FERRY_OK;
}

/* What every completion must show, whatever it is of. */
static void check_record(referee *judge, const ferry_completion *c) {
    const uint32_t known = FERRY_MORE | FERRY_BUFFER | FERRY_REUSABLE;
    if (c->reserved != 0 || (c->flags & ~known) != 0) {
        complain(judge, "op %" PRIx64 ": reserved %u, flags %" PRIx32, c->op, c->reserved,
                 c->flags);
    }
    if (c->status > FERRY_OK || (c->status == FERRY_OK && c->os_error != 0)) {
        complain(judge, "op %" PRIx64 ": status %d with os_error %d", c->op, (int)c->status,
                 (int)c->os_error);
    }
    if ((c->flags & FERRY_REUSABLE) != 0 && c->status == FERRY_OK) {
        complain(judge, "op %" PRIx64 ": FERRY_REUSABLE without a failure", c->op);
    }
    if ((c->flags & FERRY_BUFFER) != 0) {
        lend(judge, c);
    } else if (c->buffer != FERRY_NONE || (c->data != NULL && !brings_message(c))) {
        complain(judge, "op %" PRIx64 ": data %p or buffer %" PRIx64 " without FERRY_BUFFER", c->op,
                 c->data, c->buffer);
    }
}

static void see_child(const ferry_completion *child, void *argument) {
    referee *judge = argument;
    if ((child->flags & FERRY_BUFFER) != 0) {
        lend(judge, child);
    }
    if (child->handle != FERRY_NONE && opens_handle(child, false)) {
        ((handle_record *)id_map_get(&judge->handles, child->handle))->open = true;
    }
}

static void check_family(referee *judge, const ferry_completion *c) {
    const char *fault = family_fault(c);
    if (fault != NULL) {
        complain(judge, "op %" PRIx64 ", opcode %u: %s", c->op, c->opcode, fault);
    }
    family_visit(c, see_child, judge);
}

static bool result_fits(const op_record *op, const ferry_completion *c) {
    bool multishot = (op->flags & FERRY_MULTISHOT) != 0;
    bool more = (c->flags & FERRY_MORE) != 0;
    bool ok = c->status == FERRY_OK;
    switch (c->opcode) {
    case FERRY_OP_NOP:
    case FERRY_OP_HANDLE_CLOSE:
    case FERRY_OP_CHANNEL_OPEN:
    case FERRY_OP_CHANNEL_SEND:
    case FERRY_OP_CHANNEL_FINISH:
    case FERRY_OP_STREAM_SHUTDOWN:
    case FERRY_OP_SOCKET_SET:
    case FERRY_OP_DESCRIPTOR_ADOPT:
        return c->result == 0;
    case FERRY_OP_CHANNEL_RECEIVE:
        return ok ? more == multishot : !more && c->result == 0;
    case FERRY_OP_TIMER:
        return !ok || (c->result >= 1 && (multishot || c->result == 1) && more == multishot);
    case FERRY_OP_TCP_LISTEN:
        return !ok || (c->result >= 1 && c->result <= UINT16_MAX);
    case FERRY_OP_TCP_ACCEPT:
        return !ok || more == multishot;
    case FERRY_OP_SOCKET_ADDRESS:
        return c->result == (ok ? (int64_t)sizeof(ferry_address) : 0);
    case FERRY_OP_HANDLE_COPY:
        return c->result >= 0 && (uint64_t)c->result <= op->size;
    case FERRY_OP_STREAM_RECEIVE_UNTIL:
        return c->result >= 0 && (uint64_t)c->result <= op->size && (ok || c->result == 0) &&
               (c->result > 0 || !more) && (!ok || !multishot || more == (c->result > 0)) &&
               ((c->flags & FERRY_BUFFER) != 0) == ((op->flags & FERRY_LEND) != 0 && c->result > 0);
    case FERRY_OP_STREAM_SEND:
    case FERRY_OP_STREAM_SEND_VECTORED:
    case FERRY_OP_STREAM_RECEIVE_EXACTLY:
        return c->result >= 0 &&
               (ok ? (uint64_t)c->result == op->size : (uint64_t)c->result <= op->size);
    case FERRY_OP_STREAM_RECEIVE:
        if ((op->flags & FERRY_LEND) != 0) {
            bool lent = (c->flags & FERRY_BUFFER) != 0;
            if (more) {
                return ok && lent;
            }
            /* What was lent but found no room when it was cancelled comes with the final one. */
            return lent ? !multishot || !ok : c->result == 0;
        }
        return c->result >= 0 && (uint64_t)c->result <= op->size;
    case FERRY_OP_FILE_OPEN:
    case FERRY_OP_FILE_SYNC:
    case FERRY_OP_FILE_TRUNCATE:
        return c->result == 0;
    case FERRY_OP_FILE_READ:
    case FERRY_OP_FILE_READ_VECTORED:
        return c->result >= 0 && (uint64_t)c->result <= op->size;
    case FERRY_OP_FILE_WRITE:
    case FERRY_OP_FILE_WRITE_VECTORED:
    case FERRY_OP_FILE_STORE:
        return c->result >= 0 &&
               (ok ? (uint64_t)c->result == op->size : (uint64_t)c->result <= op->size);
    case FERRY_OP_FILE_STAT:
    case FERRY_OP_PATH_STAT:
        return ok ? (c->flags & FERRY_BUFFER) != 0 && c->result == sizeof(ferry_file_info)
                  : c->result == 0;
    default:
        return c->result >= 0;
    }
}

static void check_against_request(referee *judge, op_record *op, const ferry_completion *c) {
    bool more = (c->flags & FERRY_MORE) != 0;
    if (c->tag != op->tag || c->opcode != op->opcode) {
        complain(judge, "op %" PRIx64 ": tag %" PRIx64 ", opcode %u; submitted as %" PRIx64 ", %u",
                 c->op, c->tag, c->opcode, op->tag, op->opcode);
        return;
    }
    if (more && (op->flags & FERRY_MULTISHOT) == 0) {
        complain(judge, "op %" PRIx64 ", opcode %u: FERRY_MORE, but it is no multishot", c->op,
                 c->opcode);
    }
    if (!result_fits(op, c)) {
        complain(judge,
                 "op %" PRIx64 ", opcode %u: result %" PRId64 ", status %d, flags %" PRIx32
                 " do not fit its request",
                 c->op, c->opcode, c->result, (int)c->status, c->flags);
    }
    check_handle(judge, op, c);
}

static void end_op(referee *judge, op_record *op, const ferry_completion *c) {
    if (op->final_seen) {
        complain(judge, "op %" PRIx64 ", opcode %u: a completion after its final one", c->op,
                 c->opcode);
        return;
    }
    if ((c->flags & FERRY_MORE) == 0) {
        op->final_seen = true;
        judge->outstanding -= op->submitted ? 1 : 0;
    }
}

static void see_op(referee *judge, const ferry_completion *c) {
    op_record *op = id_map_find(&judge->ops, c->op);
    if (op == NULL) {
        if (judge->submits_running == 0) {
            complain(judge, "op %" PRIx64 ", opcode %u: completed, but was never accepted", c->op,
                     c->opcode);
            return;
        }
        op = id_map_get(&judge->ops, c->op);
        judge->early_ops++;
    }
    end_op(judge, op, c);
    if (op->submitted) {
        check_against_request(judge, op, c);
    } else {
        op->early[op->early_count == 0 ? 0 : 1] = *c;
        op->early_count++;
    }
}

static void see_post(referee *judge, const ferry_completion *c) {
    judge->posts_seen++;
    if (judge->posts_seen > judge->posts_accepted + judge->posts_running) {
        complain(judge, "a message that nobody posted, tag %" PRIx64, c->tag);
    }
    if (c->op != FERRY_NONE || c->status != FERRY_OK || c->flags != 0 || c->buffer != FERRY_NONE ||
        c->handle != FERRY_NONE) {
        complain(judge, "posted message with op %" PRIx64 ", status %d, flags %" PRIx32, c->op,
                 (int)c->status, c->flags);
    }
}

void referee_note_completion(referee *judge, const ferry_completion *completion) {
    pthread_mutex_lock(&judge->lock);
    judge->seen++;
    if (completion->opcode == FERRY_OP_POST) {
        see_post(judge, completion);
    } else {
        check_record(judge, completion);
        check_family(judge, completion);
        see_op(judge, completion);
    }
    pthread_mutex_unlock(&judge->lock);
}

static int32_t see_all(referee *judge, const ferry_completion *out, uint32_t capacity,
                       int32_t count) {
    if (count > 0 && (uint32_t)count > capacity) {
        pthread_mutex_lock(&judge->lock);
        complain(judge, "%d completions in %u places", (int)count, (unsigned)capacity);
        pthread_mutex_unlock(&judge->lock);
        return count;
    }
    for (int32_t i = 0; i < count; i++) {
        referee_note_completion(judge, &out[i]);
    }
    return count;
}

int32_t referee_reap(referee *judge, ferry_queue *queue, ferry_completion *out, uint32_t capacity) {
    return see_all(judge, out, capacity, ferry_queue_reap(queue, out, capacity));
}

int32_t referee_wait(referee *judge, ferry_queue *queue, ferry_completion *out, uint32_t capacity,
                     uint64_t timeout_ns) {
    return see_all(judge, out, capacity, ferry_queue_wait(queue, out, capacity, timeout_ns));
}

/* --- Submissions --------------------------------------------------------------------------- */

/* The most bytes it may tell of. */
static uint64_t size_of(const ferry_request *request) {
    uint64_t size = 0;
    switch (request->opcode) {
    case FERRY_OP_STREAM_SEND:
        return request->params.send.size;
    case FERRY_OP_STREAM_SEND_VECTORED:
    case FERRY_OP_FILE_READ_VECTORED:
    case FERRY_OP_FILE_WRITE_VECTORED:
        for (uint64_t i = 0; i < request->params.slices.count; i++) {
            size += request->params.slices.slices[i].size;
        }
        return size;
    case FERRY_OP_STREAM_RECEIVE:
    case FERRY_OP_STREAM_RECEIVE_EXACTLY:
        return request->params.receive.size;
    case FERRY_OP_STREAM_RECEIVE_UNTIL:
        return request->params.receive_until.size;
    case FERRY_OP_FILE_STORE:
        return request->params.store.size;
    case FERRY_OP_FILE_READ:
    case FERRY_OP_FILE_WRITE:
        return request->params.file.size;
    case FERRY_OP_HANDLE_COPY:
        return request->params.copy.size;
    default:
        return 0;
    }
}

static void register_op(referee *judge, const ferry_request *request, ferry_op id) {
    if (id == FERRY_NONE) {
        complain(judge, "opcode %u, tag %" PRIx64 ": accepted without an op id", request->opcode,
                 request->tag);
        return;
    }
    op_record *op = id_map_get(&judge->ops, id);
    if (op->submitted) {
        complain(judge, "op id %" PRIx64 " is given out twice", id);
        return;
    }
    op->submitted = true;
    op->opcode = request->opcode;
    op->flags = request->flags;
    op->tag = request->tag;
    op->target = request->target;
    op->size = size_of(request);
    if (request->opcode == FERRY_OP_HANDLE_CLOSE ||
        request->opcode == FERRY_OP_DESCRIPTOR_RELEASE) {
        /* From here on the engine may close it at any time. */
        handle_record *record = id_map_find(&judge->handles, request->target);
        if (record != NULL) {
            record->open = false;
        }
    }
    if (!op->final_seen) {
        judge->outstanding++;
    }
    if (op->early_count > 0) {
        judge->early_ops--;
    }
    for (unsigned i = 0; i < op->early_count && i < 2; i++) {
        check_against_request(judge, op, &op->early[i]);
    }
}

void referee_note_submitting(referee *judge) {
    pthread_mutex_lock(&judge->lock);
    judge->submits_running++;
    pthread_mutex_unlock(&judge->lock);
}

void referee_note_submitted(referee *judge, const ferry_request *requests, size_t count,
                            const ferry_op *ops, size_t accepted, ferry_status status) {
    pthread_mutex_lock(&judge->lock);
    judge->submits_running--;
    if (accepted > count || (accepted == count) != (status == FERRY_OK)) {
        complain(judge, "submit took %zu of %zu and said %d", accepted, count, (int)status);
    }
    for (size_t i = 0; i < accepted && i < count; i++) {
        register_op(judge, &requests[i], ops[i]);
    }
    if (judge->submits_running == 0 && judge->early_ops > 0) {
        complain(judge, "%zu completions of requests that no submit has accepted",
                 judge->early_ops);
        judge->early_ops = 0;
    }
    pthread_mutex_unlock(&judge->lock);
}

ferry_status referee_submit(referee *judge, ferry_queue *queue, const ferry_request *requests,
                            size_t count, ferry_op *ops_out, size_t *accepted_out) {
    size_t accepted = 0;
    ferry_op *ops = calloc(count + 1, sizeof *ops);
    if (ops == NULL) {
        abort();
    }
    referee_note_submitting(judge);
    ferry_status status = ferry_queue_submit(queue, requests, count, ops, &accepted);
    referee_note_submitted(judge, requests, count, ops, accepted, status);
    if (ops_out != NULL && accepted <= count) {
        memcpy(ops_out, ops, accepted * sizeof *ops);
    }
    if (accepted_out != NULL) {
        *accepted_out = accepted;
    }
    free(ops);
    return status;
}

void referee_note_post(referee *judge) {
    pthread_mutex_lock(&judge->lock);
    judge->posts_accepted++;
    pthread_mutex_unlock(&judge->lock);
}

ferry_status referee_post(referee *judge, ferry_queue *queue, uint64_t tag, int64_t result,
                          uint64_t data) {
    pthread_mutex_lock(&judge->lock);
    judge->posts_running++;
    pthread_mutex_unlock(&judge->lock);
    ferry_status status = ferry_queue_post(queue, tag, result, data);
    pthread_mutex_lock(&judge->lock);
    judge->posts_running--;
    judge->posts_accepted += status == FERRY_OK ? 1 : 0;
    pthread_mutex_unlock(&judge->lock);
    return status;
}

/* --- Cancel, release, discard -------------------------------------------------------------- */

void referee_note_cancel(referee *judge, ferry_op op, bool ended_before, ferry_status status) {
    pthread_mutex_lock(&judge->lock);
    if (ended_before && status != FERRY_E_TOO_LATE) {
        complain(judge, "cancel of the ended op %" PRIx64 " said %d", op, (int)status);
    }
    const op_record *record = id_map_find(&judge->ops, op);
    if (record != NULL && record->submitted && status != FERRY_OK && status != FERRY_E_TOO_LATE) {
        complain(judge, "cancel of the accepted op %" PRIx64 " said %d", op, (int)status);
    }
    pthread_mutex_unlock(&judge->lock);
}

ferry_status referee_cancel(referee *judge, ferry_queue *queue, ferry_op op) {
    pthread_mutex_lock(&judge->lock);
    const op_record *record = id_map_find(&judge->ops, op);
    bool ended_before = record != NULL && record->final_seen;
    pthread_mutex_unlock(&judge->lock);
    ferry_status status = ferry_queue_cancel(queue, op);
    referee_note_cancel(judge, op, ended_before, status);
    return status;
}

void referee_note_release(referee *judge, ferry_buffer buffer) {
    pthread_mutex_lock(&judge->lock);
    if (!take_back(judge, buffer)) {
        complain(judge, "buffer %" PRIx64 " was released, but is not lent", buffer);
    }
    pthread_mutex_unlock(&judge->lock);
}

ferry_status referee_release(referee *judge, ferry_engine *engine, ferry_buffer buffer) {
    /* Forgotten before the call: another thread may be lent the same memory before it returns. */
    pthread_mutex_lock(&judge->lock);
    bool known = take_back(judge, buffer);
    pthread_mutex_unlock(&judge->lock);
    ferry_status status = ferry_buffer_release(engine, buffer);
    if (known != (status == FERRY_OK)) {
        pthread_mutex_lock(&judge->lock);
        complain(judge, "release of %s buffer %" PRIx64 " said %d", known ? "lent" : "unknown",
                 buffer, (int)status);
        pthread_mutex_unlock(&judge->lock);
    }
    return status;
}

void referee_release_all(referee *judge, ferry_engine *engine) {
    for (;;) {
        pthread_mutex_lock(&judge->lock);
        ferry_buffer buffer = judge->lent == NULL ? FERRY_NONE : judge->lent->id;
        pthread_mutex_unlock(&judge->lock);
        if (buffer == FERRY_NONE) {
            return;
        }
        referee_release(judge, engine, buffer);
    }
}

ferry_status referee_discard(referee *judge, ferry_engine *engine, ferry_handle handle) {
    pthread_mutex_lock(&judge->lock);
    handle_record *record = id_map_find(&judge->handles, handle);
    if (record != NULL) {
        record->open = false;
    }
    pthread_mutex_unlock(&judge->lock);
    return ferry_handle_discard(engine, handle);
}

/* --- The verdict --------------------------------------------------------------------------- */

static size_t read_count(referee *judge, const size_t *count) {
    pthread_mutex_lock(&judge->lock);
    size_t value = *count;
    pthread_mutex_unlock(&judge->lock);
    return value;
}

size_t referee_outstanding(referee *judge) {
    return read_count(judge, &judge->outstanding);
}

size_t referee_lent(referee *judge) {
    return read_count(judge, &judge->lent_count);
}

size_t referee_seen(referee *judge) {
    return read_count(judge, &judge->seen);
}

size_t referee_complaints(referee *judge) {
    return read_count(judge, &judge->complaints);
}

const char *referee_first_complaint(referee *judge) {
    return judge->texts[0];
}

static void complain_about_unfinished(referee *judge) {
    for (size_t i = 0; i < judge->ops.capacity; i++) {
        const op_record *op = id_map_at(&judge->ops, i);
        if (op != NULL && op->submitted && !op->final_seen) {
            complain(judge, "opcode %u, tag %" PRIx64 ": accepted, but never completed", op->opcode,
                     op->tag);
        }
    }
    if (judge->early_ops > 0) {
        complain(judge, "%zu completions of requests that were never accepted", judge->early_ops);
    }
    if (judge->posts_seen != judge->posts_accepted) {
        complain(judge, "%zu messages posted, %zu arrived", judge->posts_accepted,
                 judge->posts_seen);
    }
    for (const buffer_record *lent = judge->lent; lent != NULL; lent = lent->next) {
        complain(judge, "buffer %" PRIx64 " was not released", lent->id);
    }
}

bool referee_finish(referee *judge) {
    pthread_mutex_lock(&judge->lock);
    complain_about_unfinished(judge);
    for (size_t i = 0; i < judge->complaints && i < COMPLAINTS_KEPT; i++) {
        fprintf(stderr, "referee: %s\n", judge->texts[i]);
    }
    bool fine = judge->complaints == 0;
    pthread_mutex_unlock(&judge->lock);
    return fine;
}
