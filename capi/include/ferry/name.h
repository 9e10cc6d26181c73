/**
 * @file
 * Names: from a host's name to its addresses, by the system's own rules.
 *
 * Looking up blocks, so it runs on worker threads of its own lane (name_workers_max in
 * @ref ferry_engine_options): names that nobody answers for hold up no file.
 */
#ifndef FERRY_NAME_H
#define FERRY_NAME_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest name in bytes, without its NUL. */
#define FERRY_NAME_MAX 255u

/**
 * Describe looking up a name's addresses, in the order in which they should be tried (RFC 6724).
 *
 * When it is cancelled or its deadline passes it ends at once; the thread that the system still
 * holds is counted in @ref ferry_engine_info.workers_detached until it returns.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  name     NUL-terminated host name or literal address. NULL or empty is
 *                      FERRY_E_INVALID at submit, more than @ref FERRY_NAME_MAX bytes
 *                      FERRY_E_NAME_TOO_LONG. @borrowed until submit has returned.
 * @param[in]  port     Put into every address.
 * @param[in]  family   FERRY_IPV4, FERRY_IPV6 or 0 for both.
 * @completes with FERRY_BUFFER: data = an array of @ref ferry_address, result = its bytes. Errors:
 *   FERRY_E_NAME_NOT_FOUND, FERRY_E_NAME_TRY_AGAIN, FERRY_E_NAME_FAILED, FERRY_E_NO_MEMORY,
 *   FERRY_E_LIMIT, FERRY_E_CANCELED, FERRY_E_TIMED_OUT. os_error is the resolver's own number
 *   (EAI_...).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_name_resolve(ferry_request *request, const char *name, uint16_t port,
                                          uint32_t family);

#ifdef __cplusplus
}
#endif

#endif
