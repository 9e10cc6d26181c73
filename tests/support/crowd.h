/**
 * @file
 * A crowd of plain connections, held by a child process: so there may be as many of them as one
 * process's descriptors allow, beside as many of Ferry's.
 *
 * The child is made by crowd_gather, which must come before there are threads. It does what it is told,
 * and each crowd_... call returns when it has been done.
 */
#ifndef FERRY_TEST_CROWD_H
#define FERRY_TEST_CROWD_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct crowd {
    pid_t child;
    int orders; /* To the child. */
    int answers;
} crowd;

/** What one of them says: its number. */
typedef uint64_t crowd_message;

/** Raise the limit of descriptors so that so many fit; false if the system forbids it. */
bool crowd_fits(size_t count);

void crowd_gather(crowd *c);

/** Tell the child to do something; crowd_wait waits until it has. */
void crowd_connect(crowd *c, uint16_t port, uint32_t count);
void crowd_send(crowd *c, uint32_t size); /* On each the first bytes of its number, at most 8. */
void crowd_expect_echo(crowd *c);         /* On each its number must come. */
void crowd_close(crowd *c);               /* All, in the usual way. */
void crowd_reset(crowd *c);               /* All, so that the other side sees a reset. */
void crowd_close_or_reset(crowd *c);      /* In turn. */
bool crowd_answered(crowd *c);            /* Without waiting; once true, it is over. */
void crowd_wait(crowd *c);

/** The end of the child; its exit status as of run_in_child. */
int crowd_disperse(crowd *c);

#endif
