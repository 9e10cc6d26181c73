/**
 * @file
 * TCP: listen, accept, connect by address or by name. What is connected is a stream; see stream.h.
 */
#ifndef FERRY_TCP_H
#define FERRY_TCP_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Describe opening a listener. The address is reused after a restart (SO_REUSEADDR); set
 * FERRY_REUSE_PORT in the request's flags to share it between sockets, FERRY_SPREAD to have its
 * connections on all shards by turns.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  address  Local address; port 0 = the system chooses. NULL makes the request
 *                      FERRY_E_INVALID at submit. @borrowed
 * @param[in]  backlog  Connections that may wait to be accepted; 0 = 511. At most 65535.
 * @completes handle = the listener, result = its port. Errors: FERRY_E_ADDRESS_IN_USE,
 *   FERRY_E_ADDRESS_NOT_AVAILABLE, FERRY_E_ACCESS, FERRY_E_NO_DESCRIPTORS, FERRY_E_NO_HANDLES.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_tcp_listen(ferry_request *request, const ferry_address *address,
                                        uint32_t backlog);

/**
 * Describe accepting connections, multishot: each comes as a completion with FERRY_MORE and a new
 * stream handle. Clear FERRY_MULTISHOT in the request's flags to accept a single one. Out of
 * descriptors or handles a multishot accept sends one completion with FERRY_MORE and that status,
 * waits, and goes on when there is room; a single one ends with that status. One accept at a time
 * may be pending on a listener (FERRY_E_BUSY). Of a listener with FERRY_SPREAD each connection lives
 * on the shard whose turn it is; a shard without a free handle is passed over.
 *
 * @param[out] request   Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  listener  From @ref ferry_prepare_tcp_listen.
 * @completes handle = the new stream (close it; unreaped ones are closed at shutdown). The final
 *   completion of a multishot accept names the listener. Errors: FERRY_E_BAD_HANDLE, FERRY_E_STALE,
 *   FERRY_E_WRONG_KIND, FERRY_E_BUSY, FERRY_E_CLOSED, FERRY_E_CANCELED, FERRY_E_TIMED_OUT,
 *   FERRY_E_NO_DESCRIPTORS, FERRY_E_NO_HANDLES and FERRY_E_NO_MEMORY (multishot: with FERRY_MORE).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_tcp_accept(ferry_request *request, ferry_handle listener);

/**
 * Describe opening a connection to an address. Nagle's algorithm is off (TCP_NODELAY).
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  address  The peer. NULL makes the request FERRY_E_INVALID at submit. @borrowed
 * @completes handle = the new stream. Errors: FERRY_E_CONNECTION_REFUSED,
 *   FERRY_E_CONNECTION_TIMED_OUT, FERRY_E_HOST_UNREACHABLE, FERRY_E_NETWORK_UNREACHABLE,
 *   FERRY_E_NO_DESCRIPTORS, FERRY_E_NO_HANDLES, FERRY_E_CANCELED, FERRY_E_TIMED_OUT.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_tcp_connect(ferry_request *request, const ferry_address *address);

/**
 * Describe opening a connection from an address of one's own.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  address  The peer. NULL makes the request FERRY_E_INVALID at submit. @borrowed
 * @param[in]  local    Where from; port 0: any. NULL: the system chooses. Of another family than
 *                      address: FERRY_E_INVALID at submit. @borrowed
 * @completes as @ref ferry_prepare_tcp_connect. Further errors: FERRY_E_ADDRESS_IN_USE,
 *   FERRY_E_ADDRESS_NOT_AVAILABLE.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_tcp_connect_from(ferry_request *request, const ferry_address *address,
                                              const ferry_address *local);

/**
 * Describe opening a connection to a name: its addresses are looked up, then tried in the system's
 * order with the families by turns (happy eyeballs, RFC 8305 sections 4 and 5): when one does not
 * answer within 250 ms the next is tried beside it, when it fails at once. The first connection
 * wins, the others are closed.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  name     NUL-terminated host name or literal address. NULL or empty is
 *                      FERRY_E_INVALID at submit, more than @ref FERRY_NAME_MAX bytes
 *                      FERRY_E_NAME_TOO_LONG. @borrowed until submit has returned.
 * @param[in]  port     The peer's port; 0 is FERRY_E_INVALID at submit.
 * @completes handle = the new stream. Errors: those of @ref ferry_prepare_name_resolve and, the
 *   last attempt's, of @ref ferry_prepare_tcp_connect.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_tcp_connect_name(ferry_request *request, const char *name,
                                              uint16_t port);

#ifdef __cplusplus
}
#endif

#endif
