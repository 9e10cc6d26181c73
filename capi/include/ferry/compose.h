/**
 * @file
 * Compositions: requests made of requests. The engine runs the whole tree, and one completion tells
 * of it.
 *
 * Children are any requests but multishot ones, other compositions among them: at most
 * @ref FERRY_CHILDREN_MAX in all, @ref FERRY_DEPTH_MAX deep. A child's deadline counts from its own
 * start; its callback must be NULL. Cancelling the whole, or its deadline, ends every child.
 *
 * The completion's data are the direct children's completions, in order, as an array of
 * @ref ferry_completion, lent as a whole (FERRY_BUFFER). A child that is a composition has its own
 * children's completions at its data, in the same buffer, without FERRY_BUFFER. A child that never
 * ran has status FERRY_E_CANCELED; a whole that never ran has no data. None has an op id of its
 * own. Buffers that children lent are released one by one, by the ids in their completions.
 *
 * Where a child's target (or the destination of a copy) is @ref ferry_child_handle, it is the
 * handle that an earlier child of a chain around it opened.
 */
#ifndef FERRY_COMPOSE_H
#define FERRY_COMPOSE_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most children of one request, those of children included. */
#define FERRY_CHILDREN_MAX 64u

/** How deep compositions may be nested. */
#define FERRY_DEPTH_MAX 8u

/**
 * Stands for the handle that an earlier child opens; as a target within a chain.
 *
 * @param[in] index  Which child of the chain, from 0; must be an earlier one that opens a handle (a
 *                   race or a retry has the handle of the child that ended it).
 * @param[in] level  Which chain: 0 = the innermost around the request, 1 = the next one outwards,
 *                   and so on. all, race and retry do not count.
 * @returns The value to use as a target; FERRY_NONE if index or level is out of bounds.
 * @threads any  @since API 1
 */
FERRY_API ferry_handle ferry_child_handle(uint32_t index, uint32_t level);

/**
 * Describe requests that run one after the other. The first that fails ends the chain, and handles
 * that the earlier ones opened are closed.
 *
 * @param[out] request   Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  children  count requests, copied at submit; what they point to as each of them says.
 *                       @borrowed
 * @param[in]  count     How many; 0 is FERRY_E_INVALID at submit.
 * @completes with FERRY_BUFFER: data = count completions, result = their bytes. status: FERRY_OK if
 *   all succeeded, else that of the child that failed. Errors at submit: FERRY_E_INVALID (a child
 *   is invalid, multishot, has a callback, or names no earlier child), FERRY_E_LIMIT (too many, too
 *   deep), and what a child alone would be refused with. Others: FERRY_E_NO_MEMORY and
 *   FERRY_E_LIMIT (no buffer; nothing ran), FERRY_E_CANCELED, FERRY_E_TIMED_OUT, FERRY_E_SHUTDOWN.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_chain(ferry_request *request, const ferry_request *children,
                                   uint32_t count);

/**
 * Describe requests that run together; it ends when all have.
 *
 * @param[out] request   As @ref ferry_prepare_chain. @borrowed
 * @param[in]  children  As @ref ferry_prepare_chain. @borrowed
 * @param[in]  count     As @ref ferry_prepare_chain.
 * @completes with FERRY_BUFFER: data = count completions, result = their bytes. status: FERRY_OK if
 *   all succeeded, else that of the first in order that failed; handles that others opened stay
 *   open. Errors: as for a chain.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_all(ferry_request *request, const ferry_request *children,
                                 uint32_t count);

/**
 * Describe requests that run together until the first one ends, however it does; the others are
 * cancelled, and handles that they opened are closed.
 *
 * @param[out] request   As @ref ferry_prepare_chain. @borrowed
 * @param[in]  children  As @ref ferry_prepare_chain. @borrowed
 * @param[in]  count     As @ref ferry_prepare_chain.
 * @completes with FERRY_BUFFER: data = count completions, result = their bytes; status, os_error
 *   and a handle that it opened: the winner's, whose completion among them has FERRY_WINNER. What a
 *   loser received nevertheless is in its completion. Errors: as for a chain.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_race(ferry_request *request, const ferry_request *children,
                                  uint32_t count);

/**
 * Describe a request that is tried again when it fails, after a delay that doubles each time.
 *
 * @param[out] request       Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  child         The request; NULL makes it FERRY_E_INVALID at submit, as does adopting or
 *                           releasing a descriptor anywhere in it. @borrowed
 * @param[in]  attempts_max  How often at most; 0 = until it succeeds.
 * @param[in]  delay_ns      Before the second attempt.
 * @param[in]  delay_max_ns  The delay grows no further; 0 = no limit.
 * @completes with FERRY_BUFFER: data = the last attempt's completion, result = its bytes; status,
 *   os_error and a handle that it opened: the last attempt's. Errors: as for a chain.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_retry(ferry_request *request, const ferry_request *child,
                                   uint64_t attempts_max, uint64_t delay_ns, uint64_t delay_max_ns);

#ifdef __cplusplus
}
#endif

#endif
