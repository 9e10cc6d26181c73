/**
 * @file
 * Descriptors: what the system opened elsewhere becomes a handle, and back.
 */
#ifndef FERRY_DESCRIPTOR_H
#define FERRY_DESCRIPTOR_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Values of @ref ferry_adopt_params.kind. */
enum {
    FERRY_DESCRIPTOR_STREAM = 1,   /**< A connected stream socket, TCP or Unix. */
    FERRY_DESCRIPTOR_LISTENER = 2, /**< A stream socket that listens. */
    FERRY_DESCRIPTOR_FILE = 3      /**< Anything that can be read or written like a file. */
};

/**
 * Describe making a handle of a descriptor. From success on it is the engine's: it is made
 * non-blocking (sockets) and close-on-exec, and closed with the handle. On failure
 * it stays the host's. A listener may have FERRY_SPREAD in the request's flags; anything else with it
 * is FERRY_E_INVALID at submit.
 *
 * @param[out] request     Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  descriptor  The system's number; negative is FERRY_E_INVALID at submit. @consumed
 * @param[in]  kind        FERRY_DESCRIPTOR_...
 * @completes handle = the new handle. Errors: FERRY_E_WRONG_KIND (it is something else),
 *   FERRY_E_INVALID (not open), FERRY_E_NO_HANDLES, FERRY_E_NO_MEMORY, FERRY_E_CANCELED,
 *   FERRY_E_TIMED_OUT, FERRY_E_SHUTDOWN (all of these: it is still the host's).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_descriptor_adopt(ferry_request *request, int64_t descriptor,
                                              uint32_t kind);

/**
 * Describe giving a handle's descriptor up to the host, open and as it is (sockets: non-blocking).
 * The handle is stale afterwards.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  handle   A stream, listener or file.
 * @completes result = the descriptor, the host's to close (also when nobody reaps this completion).
 *   Errors: FERRY_E_BAD_HANDLE, FERRY_E_STALE, FERRY_E_WRONG_KIND, FERRY_E_BUSY (an operation is
 *   pending on it, or bytes that @ref ferry_prepare_stream_receive_until left over wait to be
 *   received first).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_descriptor_release(ferry_request *request, ferry_handle handle);

#ifdef __cplusplus
}
#endif

#endif
