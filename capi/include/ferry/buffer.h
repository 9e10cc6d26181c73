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

#ifdef __cplusplus
}
#endif

#endif
