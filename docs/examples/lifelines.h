/*
 * A picture of what an engine did: every operation's life line over time, in one HTML file.
 *
 *     lifelines *lines = lifelines_create(100000);
 *     ferry_engine_options options = {
 *         .struct_size = sizeof options, .trace = lifelines_trace, .trace_user_data = lines};
 *     ... create the engine, use it, shut it down ...
 *     lifelines_write(lines, "lifelines.html", "my program");
 *     lifelines_destroy(lines);
 *
 * To use it in a program of your own, copy lifelines.h, lifelines.c and lifelines_page.h. It needs
 * the public headers and C11 only.
 */
#ifndef LIFELINES_H
#define LIFELINES_H

#include <ferry.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct lifelines lifelines;

/*
 * Make room for so many events, 64 bytes each: two for an operation, and one for each of its
 * completions with FERRY_MORE. What finds no place is counted, and the picture says so. NULL: there
 * is no memory.
 */
lifelines *lifelines_create(size_t events_max);

/* Only when the engine has been shut down. NULL is fine. */
void lifelines_destroy(lifelines *lines);

/* The trace hook; user_data is the lifelines. Any number of shards, and of engines. */
void lifelines_trace(const ferry_trace_event *event, void *user_data);

/*
 * Write the picture: one file that needs no other. Only when the engine has been shut down. False:
 * it could not be written, or there is no memory for it.
 */
bool lifelines_write(lifelines *lines, const char *path, const char *title);

#endif
