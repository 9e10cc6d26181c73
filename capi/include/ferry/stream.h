/**
 * @file
 * Streams: receive and send on whatever is connected.
 *
 * What a receive until a delimiter took in beyond it stays with the stream: the next receive of any
 * kind begins with it.
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
 *   Final: FERRY_OK with result 0 at the end of the stream. Errors: as for a single receive. A
 *   receive that is ended while the ring was full may bring its last bytes with FERRY_E_CANCELED,
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
 *   FERRY_E_CONNECTION_RESET, FERRY_E_BAD_HANDLE, FERRY_E_STALE, FERRY_E_WRONG_KIND,
 *   FERRY_E_CLOSED, FERRY_E_CANCELED and FERRY_E_TIMED_OUT (with FERRY_REUSABLE if no byte
 *   of it was taken).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_stream_send(ferry_request *request, ferry_handle stream,
                                         const void *data, size_t size);

/**
 * Describe receiving exactly so many bytes.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  stream   A connected stream.
 * @param[out] buffer   Where to. @pinned
 * @param[in]  size     How many; 0 is FERRY_E_INVALID at submit.
 * @completes result = bytes received, also on failure (then they are gone from the stream). Errors:
 *   FERRY_E_END (the stream ended before), and as for @ref ferry_prepare_stream_receive;
 *   FERRY_E_CANCELED and FERRY_E_TIMED_OUT with FERRY_REUSABLE if result is 0.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_stream_receive_exactly(ferry_request *request, ferry_handle stream,
                                                    void *buffer, size_t size);

/**
 * Describe receiving up to and with a delimiter. Set FERRY_LEND in the request's flags, and no
 * buffer, to have the bytes lent; with FERRY_MULTISHOT beside it every piece that ends with the
 * delimiter comes as a completion of its own, until the stream ends.
 *
 * @param[out] request         Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  stream          A connected stream.
 * @param[out] buffer          Where to; NULL with FERRY_LEND. @pinned
 * @param[in]  size            Most bytes, the delimiter included; 0 is FERRY_E_INVALID at submit,
 *                             with FERRY_LEND more than @ref FERRY_UNTIL_LEND_MAX is FERRY_E_LIMIT.
 * @param[in]  delimiter       What to look for. @borrowed
 * @param[in]  delimiter_size  Its bytes: 1 to 16; anything else is FERRY_E_INVALID at submit.
 * @completes result = bytes received, the delimiter the last of them; multishot finally FERRY_OK
 *   with result 0 at the end of the stream. Errors: FERRY_E_LIMIT (size bytes have come without a
 *   delimiter; FERRY_REUSABLE: they wait to be received), FERRY_E_END (the stream ended within a
 *   piece; the bytes before wait to be received), and as for @ref ferry_prepare_stream_receive;
 *   whenever it fails result is 0 and no byte is lost.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_stream_receive_until(ferry_request *request, ferry_handle stream,
                                                  void *buffer, size_t size, const void *delimiter,
                                                  size_t delimiter_size);

/** Most bytes of a receive until a delimiter with FERRY_LEND. */
#define FERRY_UNTIL_LEND_MAX 65536u

/**
 * Describe sending several pieces as if they were one.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  stream   A connected stream.
 * @param[in]  slices   The pieces; the array is borrowed, what it points to is pinned. @pinned
 * @param[in]  count    How many; 0 or more than @ref FERRY_SLICES_MAX is FERRY_E_INVALID at submit,
 *                      as is a sum of 0 bytes.
 * @completes as @ref ferry_prepare_stream_send.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_stream_send_vectored(ferry_request *request, ferry_handle stream,
                                                  const ferry_slice *slices, size_t count);

/**
 * Describe ending the sending side: what was submitted before is sent, then the peer sees the end
 * of the stream. Receiving goes on.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  stream   A connected stream. Sends submitted afterwards end with FERRY_E_BROKEN_PIPE.
 * @completes result = 0, when the system has taken all. Errors: as for
 *   @ref ferry_prepare_stream_send, FERRY_E_NOT_CONNECTED.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_stream_shutdown(ferry_request *request, ferry_handle stream);

#ifdef __cplusplus
}
#endif

#endif
