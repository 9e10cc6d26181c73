/**
 * @file
 * What can be asked of and set for a listener or a stream that is a socket.
 */
#ifndef FERRY_SOCKET_H
#define FERRY_SOCKET_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Values of @ref ferry_socket_set_params.option, with the meaning of value. */
enum {
    /** 1: small sends leave at once (TCP_NODELAY), as with every TCP stream at first. 0: the system
        gathers them. */
    FERRY_SOCKET_NO_DELAY = 1,
    /** Seconds without traffic before the peer is probed (SO_KEEPALIVE, TCP_KEEPIDLE), at most
        32767; 0: never. Probes follow every tenth of that (at least 1 s), and after ten without
        answer the connection has timed out. */
    FERRY_SOCKET_KEEP_ALIVE = 2,
    /** Bytes that the system may hold of what was received (SO_RCVBUF), as a wish: 1 to 1 GiB. */
    FERRY_SOCKET_RECEIVE_BUFFER = 3,
    /** Bytes that the system may hold of what was sent (SO_SNDBUF), as a wish: 1 to 1 GiB. */
    FERRY_SOCKET_SEND_BUFFER = 4,
    /** Seconds that unsent bytes may linger when the stream is closed (SO_LINGER), at most 32767:
        -1 = as long as the system likes, without anybody waiting; 0 = they are discarded and the
        peer sees a reset. */
    FERRY_SOCKET_LINGER = 5
};

/**
 * Describe setting an option.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  socket   A stream; for the buffers' sizes also a listener, whose connections
 *                      inherit them.
 * @param[in]  option   FERRY_SOCKET_...; an unknown one is FERRY_E_UNSUPPORTED at submit.
 * @param[in]  value    By option; one out of its bounds is FERRY_E_INVALID at submit.
 * @completes result = 0. Errors: FERRY_E_BAD_HANDLE, FERRY_E_STALE, FERRY_E_WRONG_KIND,
 *   FERRY_E_UNSUPPORTED (not for this kind of socket), FERRY_E_OS.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_socket_set(ferry_request *request, ferry_handle socket,
                                        uint32_t option, int64_t value);

/**
 * Describe asking for a socket's own address.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  socket   A listener or a stream.
 * @completes with FERRY_BUFFER: data = a @ref ferry_address, result = its bytes. Errors:
 *   FERRY_E_BAD_HANDLE, FERRY_E_STALE, FERRY_E_WRONG_KIND, FERRY_E_ADDRESS_FAMILY (not an IP
 *   socket), FERRY_E_FULL (everything is lent), FERRY_E_NO_MEMORY.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_socket_local_address(ferry_request *request, ferry_handle socket);

/**
 * Describe asking for the address of a stream's peer.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  socket   A stream.
 * @completes as @ref ferry_prepare_socket_local_address. Further error: FERRY_E_NOT_CONNECTED.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_socket_peer_address(ferry_request *request, ferry_handle socket);

#ifdef __cplusplus
}
#endif

#endif
