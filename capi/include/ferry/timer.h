/**
 * @file
 * Timers: nanoseconds, never early.
 */
#ifndef FERRY_TIMER_H
#define FERRY_TIMER_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Describe a timer. With an interval it is multishot (FERRY_MULTISHOT is set): every expiry sends a
 * completion with FERRY_MORE until it is cancelled. Expiries that passed while the host did not
 * reap, or the shard did not run, come as one completion whose result counts them.
 *
 * @param[out] request      Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  delay_ns     Nanoseconds from submit to the first expiry; 0 = the next turn.
 * @param[in]  interval_ns  Nanoseconds between later expiries; 0 = one-shot.
 * @completes result = expiries counted, at least 1 (one-shot: 1). Never early; late by as much as
 *   the shard is busy, at least by the wheel's tick of 16 microseconds. Errors: FERRY_E_CANCELED,
 *   FERRY_E_TIMED_OUT, FERRY_E_SHUTDOWN.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_timer(ferry_request *request, uint64_t delay_ns, uint64_t interval_ns);

#ifdef __cplusplus
}
#endif

#endif
