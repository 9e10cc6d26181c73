/**
 * @file
 * Lent buffers: memory of the engine's that a completion brought to the host.
 */
#ifndef FERRY_BUFFER_H
#define FERRY_BUFFER_H

#include <ferry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Give a lent buffer back. Its memory may be reused at once.
 *
 * @param[in] engine  The engine that lent it.
 * @param[in] buffer  @ref ferry_completion.buffer of a completion with FERRY_BUFFER.
 * @returns FERRY_OK, FERRY_E_STALE (released before), FERRY_E_FOREIGN (another engine's),
 *   FERRY_E_BAD_HANDLE (never lent), FERRY_E_INVALID (engine is NULL), FERRY_E_FORKED.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_buffer_release(ferry_engine *engine, ferry_buffer buffer);

/**
 * Give many lent buffers back by one call, for hosts to which a call costs more than the work in it.
 *
 * @param[in] engine   The engine that lent them.
 * @param[in] buffers  Their ids; FERRY_NONE among them is passed over. NULL only with count 0.
 *                     @borrowed
 * @param[in] count    How many.
 * @returns FERRY_OK, or what @ref ferry_buffer_release said to the first of them that it refused; all
 *   others have been released.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_buffers_release(ferry_engine *engine, const ferry_buffer *buffers,
                                             size_t count);

#ifdef __cplusplus
}
#endif

#endif
