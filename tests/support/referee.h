/**
 * @file
 * The referee: it sees only what is submitted and what completes, and checks the laws.
 *
 *  - an accepted request gets exactly one final completion, a refused one none;
 *  - FERRY_MORE comes only before the final one, and only for a multishot request;
 *  - tag, op, opcode and handle are the request's;
 *  - a new handle is not one that is still open;
 *  - data, result, buffer id and flags agree with each other and with the request;
 *  - a buffer is not lent twice, does not overlap another lent one, and does not change while lent.
 *
 * A completion can be reaped on one thread before submit has returned on another: one that is of
 * an unknown op is believed as long as some submit is under way, and judged when it returns.
 *
 * It never fails a test by itself, because it is called on the engine's threads too: it notes its
 * complaints, and the test asks for them at the end. All functions may be called on any thread.
 */
#ifndef FERRY_TEST_REFEREE_H
#define FERRY_TEST_REFEREE_H

#include <ferry.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct referee referee;

referee *referee_create(void);
void referee_destroy(referee *judge);

/** Ferry's calls, watched. */
ferry_status referee_submit(referee *judge, ferry_queue *queue, const ferry_request *requests,
                            size_t count, ferry_op *ops_out, size_t *accepted_out);
ferry_status referee_post(referee *judge, ferry_queue *queue, uint64_t tag, int64_t result,
                          uint64_t data);
ferry_status referee_cancel(referee *judge, ferry_queue *queue, ferry_op op);
int32_t referee_reap(referee *judge, ferry_queue *queue, ferry_completion *out, uint32_t capacity);
int32_t referee_wait(referee *judge, ferry_queue *queue, ferry_completion *out, uint32_t capacity,
                     uint64_t timeout_ns);
ferry_status referee_release(referee *judge, ferry_engine *engine, ferry_buffer buffer);
ferry_status referee_discard(referee *judge, ferry_engine *engine, ferry_handle handle);

/** Release every buffer that is still lent. */
void referee_release_all(referee *judge, ferry_engine *engine);

/**
 * What it is told: completions that come another way (callbacks, a mapped ring), and, by its own
 * test, whole games.
 */
void referee_note_submitting(referee *judge);
void referee_note_submitted(referee *judge, const ferry_request *requests, size_t count,
                            const ferry_op *ops, size_t accepted, ferry_status status);
void referee_note_completion(referee *judge, const ferry_completion *completion);
void referee_note_post(referee *judge);
void referee_note_cancel(referee *judge, ferry_op op, bool ended_before, ferry_status status);
void referee_note_release(referee *judge, ferry_buffer buffer);

/** Accepted requests whose final completion has not been seen. */
size_t referee_outstanding(referee *judge);

/** Buffers lent and not released. */
size_t referee_lent(referee *judge);

/** Completions seen, those with FERRY_MORE and posted messages included. */
size_t referee_seen(referee *judge);

/** How often it has complained, and its first complaint ("" if none). */
size_t referee_complaints(referee *judge);
const char *referee_first_complaint(referee *judge);

/**
 * The end of the game: every accepted request must have ended, every posted message have arrived,
 * every lent buffer have been released.
 *
 * @returns True if it has nothing to complain about; else it has printed its complaints.
 */
bool referee_finish(referee *judge);

#endif
