/**
 * @file
 * Streams: receive and send on whatever is connected.
 *
 * On one stream receives complete in byte order and sends in submission order. Sends that are
 * submitted within one turn leave in one system call.
 */
#ifndef FERRY_STREAM_H
#define FERRY_STREAM_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Describe receiving some bytes, once: as soon as any have arrived. One receive at a time may be
 * pending on a stream (FERRY_E_BUSY).
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  stream   A connected stream.
 * @param[out] buffer   Where to. @pinned
 * @param[in]  size     Its capacity in bytes; 0 is FERRY_E_INVALID at submit.
 * @completes result = bytes received, 0 at the end of the stream. Errors: FERRY_E_CONNECTION_RESET,
 *   FERRY_E_BAD_HANDLE, FERRY_E_STALE, FERRY_E_WRONG_KIND, FERRY_E_BUSY, FERRY_E_CLOSED,
 *   FERRY_E_CANCELED and FERRY_E_TIMED_OUT (both with FERRY_REUSABLE: no byte is lost).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_stream_receive(ferry_request *request, ferry_handle stream,
                                            void *buffer, size_t size);

/**
 * Describe receiving all that comes, multishot, in buffers of the engine's that are lent when data
 * arrives: an idle stream holds none. Clear FERRY_MULTISHOT in the request's flags to get just the
 * next bytes. When the queue's ring is full or all buffers are lent, it pauses (the peer feels
 * backpressure) and goes on when there is room.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  stream   A connected stream.
 * @completes with FERRY_MORE and FERRY_BUFFER: data, result = its length, buffer = id to release.
 *   Final: FERRY_OK with result 0 at the end of the stream. Errors: as for a single receive. A receive
 *   that is ended while the ring was full may bring its last bytes with FERRY_E_CANCELED,
 *   FERRY_E_TIMED_OUT, FERRY_E_CLOSED or FERRY_E_SHUTDOWN: look at FERRY_BUFFER, not at the status.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_stream_receive_multishot(ferry_request *request, ferry_handle stream);

/**
 * Describe sending bytes, all of them. Set FERRY_COPY in the request's flags to have them copied at
 * submit (up to @ref FERRY_COPY_MAX bytes). The host's SIGPIPE is never raised.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  stream   A connected stream.
 * @param[in]  data     What to send; borrowed with FERRY_COPY. @pinned
 * @param[in]  size     Bytes; 0 is FERRY_E_INVALID at submit.
 * @completes result = bytes that the system took, also on failure. Errors: FERRY_E_BROKEN_PIPE,
 *   FERRY_E_CONNECTION_RESET, FERRY_E_BAD_HANDLE, FERRY_E_STALE, FERRY_E_WRONG_KIND, FERRY_E_CLOSED,
 *   FERRY_E_CANCELED and FERRY_E_TIMED_OUT (with FERRY_REUSABLE if no byte of it was taken).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_stream_send(ferry_request *request, ferry_handle stream,
                                         const void *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif
