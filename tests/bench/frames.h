/**
 * @file
 * Frames with a budget: how far each is overrun, and whose fault that is.
 *
 * A frame's overrun is measured by the wall clock. The system may take the processor away in the
 * middle of a frame, which is nobody's overrun: frames in which it did (an involuntary context
 * switch, or time that passed while the thread did not run) are told apart. What is left of the
 * machine's own noise shows in the control: frames that only watch the clock.
 */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include <stdint.h>

enum {
    FRAMES_READY = 10000,       /**< Things ready at once. */
    FRAMES_BUDGET_NS = 2000000, /**< What a frame may take. */
    FRAMES_CALLBACK_NS = 1000   /**< What the host's callback costs. */
};

typedef struct frames frames;

/** So many frames at most are recorded. */
frames *frames_create(uint32_t count);

/** The two ends of a frame. */
void frames_begin(frames *f);
void frames_end(frames *f);

/** How many were recorded. */
uint32_t frames_count(const frames *f);

/** So many control frames: they work in steps of a callback until the budget is used up. */
void frames_control(frames *f, uint32_t count);

/** What a callback of the host's costs. */
void frames_callback(void);

/** Print the figures as one JSON object: those of the frames, and those of the control. */
void frames_print(const frames *measured, const frames *control);

/**
 * A child with so many connections to a port of this machine, which lives until this process ends.
 * Call it before there is any thread.
 */
void frames_peer_start(uint32_t connections);
/** Have it connect: frames_peer_wait returns when it has. */
void frames_peer_connect(uint16_t port);
void frames_peer_wait(void);
/** Have it send a byte on each connection; returns when all are sent. */
void frames_peer_send(void);
/** Have it receive so many bytes from each connection; returns when it has. */
void frames_peer_receive(uint32_t bytes);

#endif
