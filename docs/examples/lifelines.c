/*
 * What is recorded: each event but the steps, in the order of its coming. What is written: first,
 * by kind of operation, the figures, which are made of all operations; then the lives themselves as
 * short arrays of numbers, which the page draws on a canvas. Up to LIVES_SHOWN all are written; of
 * more than that each kind shows every second, third, ... one that ended well, and all others as
 * long as they are few. The page says so.
 *
 * It is longer than the other examples because it is to be copied as a whole.
 */
#include "lifelines.h"

#include "lifelines_page.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIVES_SHOWN = 100000, MORES_SHOWN = 50000, STATUSES_MAX = 128, UNIT_NS = 100 };

struct lifelines {
    size_t events_max;
    atomic_size_t event_count; /* also of those that found no place */
    ferry_trace_event *events;
};

/* One operation: its events, begin to end, lie one after the other when they are sorted. */
struct life {
    const ferry_trace_event *events;
    size_t count;
    uint64_t begin_ns, end_ns;
    bool ended;
};

struct picture {
    FILE *file;
    struct life *lives; /* by opcode, then by begin */
    size_t life_count;
    uint64_t *numbers; /* room for life_count of them */
    uint64_t start_ns, end_ns;
    ferry_status statuses[STATUSES_MAX]; /* those that occur; the page names them by their place */
    size_t status_count;
    size_t mores_shown;
};

lifelines *lifelines_create(size_t events_max) {
    lifelines *lines = calloc(1, sizeof *lines);
    if (lines == NULL)
        return NULL;
    lines->events_max = events_max;
    lines->events = calloc(events_max, sizeof *lines->events);
    if (lines->events != NULL)
        return lines;
    free(lines);
    return NULL;
}

void lifelines_destroy(lifelines *lines) {
    if (lines != NULL)
        free(lines->events);
    free(lines);
}

void lifelines_trace(const ferry_trace_event *event, void *user_data) {
    lifelines *lines = user_data;
    if (event->kind != FERRY_TRACE_BEGIN && event->kind != FERRY_TRACE_MORE &&
        event->kind != FERRY_TRACE_END)
        return;
    size_t place = atomic_fetch_add_explicit(&lines->event_count, 1, memory_order_relaxed);
    if (place < lines->events_max)
        lines->events[place] = *event;
}

/* --- From events to lives --------------------------------------------------------------------- */

static int compare(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

/* By operation; its BEGIN has the lowest kind, its END the highest, what is between has times. */
static int compare_events(const void *left, const void *right) {
    const ferry_trace_event *a = left, *b = right;
    int order = compare(a->op, b->op);
    order = order != 0 ? order : compare(a->child, b->child);
    order = order != 0 ? order : compare(a->kind, b->kind);
    return order != 0 ? order : compare(a->time_ns, b->time_ns);
}

static int compare_lives(const void *left, const void *right) {
    const struct life *a = left, *b = right;
    int order = compare(a->events->opcode, b->events->opcode);
    return order != 0 ? order : compare(a->begin_ns, b->begin_ns);
}

static int compare_begins(const void *left, const void *right) {
    const struct life *a = left, *b = right;
    return compare(a->begin_ns, b->begin_ns);
}

static int compare_numbers(const void *left, const void *right) {
    return compare(*(const uint64_t *)left, *(const uint64_t *)right);
}

static bool same_life(const ferry_trace_event *a, const ferry_trace_event *b) {
    return a->op == b->op && a->child == b->child;
}

static void find_lives(struct picture *picture, ferry_trace_event *events, size_t count) {
    picture->start_ns = count > 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t time_ns = events[i].time_ns;
        picture->start_ns = time_ns < picture->start_ns ? time_ns : picture->start_ns;
        picture->end_ns = time_ns > picture->end_ns ? time_ns : picture->end_ns;
    }
    qsort(events, count, sizeof *events, compare_events);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && same_life(&events[i], &events[next]);)
            next++;
        const ferry_trace_event *last = &events[next - 1];
        bool ended = last->kind == FERRY_TRACE_END;
        picture->lives[picture->life_count++] =
            (struct life){&events[i], next - i, events[i].time_ns,
                          ended ? last->time_ns : picture->end_ns, ended};
    }
    qsort(picture->lives, picture->life_count, sizeof *picture->lives, compare_lives);
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void write_text(FILE *file, const char *text) {
    putc('"', file);
    for (; *text != '\0'; text++) {
        if (strchr("\"\\<>&", *text) != NULL || (unsigned char)*text < ' ')
            fprintf(file, "\\u%04x", (unsigned char)*text);
        else
            putc(*text, file);
    }
    putc('"', file);
}

/* The place of its status among those that occur; 0 = it has not ended. */
static size_t status_place(struct picture *picture, const struct life *life) {
    if (!life->ended)
        return 0;
    ferry_status status = life->events[life->count - 1].status;
    for (size_t i = 1; i < picture->status_count; i++) {
        if (picture->statuses[i] == status)
            return i;
    }
    if (picture->status_count < STATUSES_MAX)
        picture->statuses[picture->status_count++] = status;
    return picture->status_count - 1;
}

/* How many were alive at once, at most. The lives are in the order of their begins. */
static size_t most_at_once(struct picture *picture, const struct life *lives, size_t count) {
    uint64_t *ends = picture->numbers;
    size_t ended = 0, most = 0;
    for (size_t i = 0; i < count; i++)
        ends[i] = lives[i].end_ns;
    qsort(ends, count, sizeof *ends, compare_numbers);
    for (size_t i = 0; i < count; i++) {
        while (ends[ended] < lives[i].begin_ns)
            ended++;
        most = i + 1 - ended > most ? i + 1 - ended : most;
    }
    return most;
}

static void write_figures(struct picture *picture, const char *name, const struct life *lives,
                          size_t count) {
    size_t most = most_at_once(picture, lives, count);
    uint64_t *lengths = picture->numbers;
    for (size_t i = 0; i < count; i++)
        lengths[i] = lives[i].end_ns - lives[i].begin_ns;
    qsort(lengths, count, sizeof *lengths, compare_numbers);
    fprintf(picture->file,
            "{\"name\":\"%s\",\"count\":%zu,\"most\":%zu,\"p50\":%" PRIu64 ",\"p99\":%" PRIu64
            ",\"max\":%" PRIu64,
            name, count, most, lengths[(count - 1) / 2], lengths[(count - 1) * 99 / 100],
            lengths[count - 1]);
    size_t by_status[STATUSES_MAX] = {0};
    for (size_t i = 0; i < count; i++)
        by_status[status_place(picture, &lives[i])]++;
    fprintf(picture->file, ",\"outcomes\":[");
    const char *comma = "";
    for (size_t i = 0; i < STATUSES_MAX; i++) {
        if (by_status[i] > 0) {
            fprintf(picture->file, "%s%zu,%zu", comma, i, by_status[i]);
            comma = ",";
        }
    }
    fprintf(picture->file, "]");
}

/* What is shown of a kind: of those that ended well every n-th, and every m-th of the others. */
struct sample {
    size_t well, others;
};

static bool ended_well(const struct life *life) {
    return life->ended && life->events[life->count - 1].status == FERRY_OK;
}

/* share: how many may be shown. Kinds of few operations are shown whole. */
static struct sample choose(const struct picture *picture, const struct life *lives, size_t count,
                            size_t share) {
    if (picture->life_count <= LIVES_SHOWN || count <= share)
        return (struct sample){1, 1};
    size_t others = 0, every = (count + share - 1) / share;
    for (size_t i = 0; i < count; i++)
        others += !ended_well(&lives[i]);
    return (struct sample){every, others <= share / 2 ? 1 : every};
}

static bool shows(struct sample sample, const struct life *lives, size_t i) {
    return i % (ended_well(&lives[i]) ? sample.well : sample.others) == 0;
}

/* Begin (from that of the life before), length, status, result, shard. */
static void write_lives(struct picture *picture, const struct life *lives, size_t count,
                        struct sample sample) {
    uint64_t before = 0;
    const char *comma = "";
    fprintf(picture->file, ",\"every\":%zu,\"others\":%zu,\"lives\":[", sample.well, sample.others);
    for (size_t i = 0; i < count; i++) {
        if (!shows(sample, lives, i))
            continue;
        const ferry_trace_event *last = &lives[i].events[lives[i].count - 1];
        uint64_t begin = (lives[i].begin_ns - picture->start_ns) / UNIT_NS;
        uint64_t end = (lives[i].end_ns - picture->start_ns) / UNIT_NS;
        fprintf(picture->file, "%s%" PRIu64 ",%" PRIu64 ",%zu,%" PRId64 ",%" PRIu32, comma,
                begin - before, end - begin, status_place(picture, &lives[i]),
                lives[i].ended ? last->result : 0, last->shard);
        before = begin;
        comma = ",";
    }
    fprintf(picture->file, "]");
}

/* The completions with FERRY_MORE: which of the lives above, and when. */
static void write_mores(struct picture *picture, const struct life *lives, size_t count,
                        struct sample sample) {
    fprintf(picture->file, ",\"mores\":[");
    const char *comma = "";
    for (size_t i = 0, shown = 0; i < count; i++) {
        if (!shows(sample, lives, i))
            continue;
        for (size_t j = 0; j < lives[i].count; j++) {
            const ferry_trace_event *event = &lives[i].events[j];
            if (event->kind != FERRY_TRACE_MORE || picture->mores_shown == MORES_SHOWN)
                continue;
            picture->mores_shown++;
            fprintf(picture->file, "%s%zu,%" PRIu64, comma, shown,
                    (event->time_ns - picture->start_ns) / UNIT_NS);
            comma = ",";
        }
        shown++;
    }
    fprintf(picture->file, "]");
}

static size_t kind_end(const struct picture *picture, size_t first) {
    size_t next = first + 1;
    while (next < picture->life_count &&
           picture->lives[next].events->opcode == picture->lives[first].events->opcode)
        next++;
    return next;
}

static void write_kinds(struct picture *picture) {
    size_t kinds = 0;
    for (size_t i = 0; i < picture->life_count; i = kind_end(picture, i))
        kinds++;
    fprintf(picture->file, ",\"kinds\":[");
    for (size_t i = 0, next; i < picture->life_count; i = next) {
        next = kind_end(picture, i);
        const struct life *lives = &picture->lives[i];
        struct sample sample = choose(picture, lives, next - i, LIVES_SHOWN / kinds);
        fprintf(picture->file, "%s\n", i > 0 ? "," : "");
        write_figures(picture, ferry_opcode_name(lives->events->opcode), lives, next - i);
        write_lives(picture, lives, next - i, sample);
        write_mores(picture, lives, next - i, sample);
        fprintf(picture->file, "}");
    }
    fprintf(picture->file, "]");
}

/* Of all kinds together. The lives are in another order afterwards. */
static void write_total(struct picture *picture) {
    if (picture->life_count == 0)
        return;
    qsort(picture->lives, picture->life_count, sizeof *picture->lives, compare_begins);
    fprintf(picture->file, ",\n\"total\":");
    write_figures(picture, "", picture->lives, picture->life_count);
    fprintf(picture->file, "}");
}

static void write_statuses(const struct picture *picture) {
    fprintf(picture->file, ",\n\"statuses\":[\"not ended\"");
    for (size_t i = 1; i < picture->status_count; i++)
        fprintf(picture->file, ",\"%s\"", ferry_status_name(picture->statuses[i]));
    fprintf(picture->file, "]");
}

static void write_data(struct picture *picture, const char *title, size_t lost) {
    fprintf(picture->file, "{\"title\":");
    write_text(picture->file, title);
    fprintf(picture->file, ",\"unit\":%d,\"span\":%" PRIu64 ",\"lost\":%zu", UNIT_NS,
            (picture->end_ns - picture->start_ns) / UNIT_NS, lost);
    write_kinds(picture);
    write_total(picture);
    write_statuses(picture);
    fprintf(picture->file, "}");
}

/* The page is text with one line that stands for the data. */
static void write_page(struct picture *picture, const char *title, size_t lost) {
    for (size_t i = 0; i < sizeof lifelines_page / sizeof lifelines_page[0]; i++) {
        if (lifelines_page[i] != NULL)
            fputs(lifelines_page[i], picture->file);
        else
            write_data(picture, title, lost);
        putc('\n', picture->file);
    }
}

bool lifelines_write(lifelines *lines, const char *path, const char *title) {
    size_t told = lines->event_count;
    size_t count = told < lines->events_max ? told : lines->events_max;
    struct picture picture = {.status_count = 1};
    bool fine = false;
    picture.lives = calloc(count + 1, sizeof *picture.lives);
    picture.numbers = calloc(count + 1, sizeof *picture.numbers);
    picture.file = picture.lives != NULL && picture.numbers != NULL ? fopen(path, "w") : NULL;
    if (picture.file != NULL) {
        find_lives(&picture, lines->events, count);
        write_page(&picture, title, told - count);
        fine = !ferror(picture.file);
        fine = fclose(picture.file) == 0 && fine;
    }
    free(picture.lives);
    free(picture.numbers);
    return fine;
}
