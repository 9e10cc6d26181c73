/**
 * @file
 * A stream of short lines: a child sends it as fast as it is taken, the program counts the lines.
 */
#ifndef BENCH_LINES_H
#define BENCH_LINES_H

#include <stddef.h>
#include <stdint.h>

/** Bytes of a line with its newline; and what a line must stay below. */
enum { LINES_SIZE = 24, LINES_SIZE_MAX = 1024 };

/** A child that will send so many lines, in writes of 64 KiB. Call it before there is any thread. */
void lines_peer_start(uint64_t count);
/** Have it connect to a port of this machine and send. */
void lines_peer_connect(uint16_t port);

/** What is done with a line: it is looked at and counted. The first one starts the clocks. */
void lines_take(const char *line, size_t size);

/** How many were taken. */
uint64_t lines_taken(void);

/** Print {"count":..,"elapsed_ns":..,"cpu_ns":..}. */
void lines_report(void);

#endif
