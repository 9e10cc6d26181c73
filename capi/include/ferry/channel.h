/**
 * @file
 * Channels: bounded queues of messages between any threads, inside the engine.
 *
 * A message is two words of the host's. Sends complete in order when the channel has taken the
 * message, receives in order when there is one; many senders and many receivers may wait. Several
 * threads need no lock: every one submits to the same handle.
 */
#ifndef FERRY_CHANNEL_H
#define FERRY_CHANNEL_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most messages that a channel can be made to hold. */
#define FERRY_CHANNEL_CAPACITY_MAX 1048576u

/**
 * Describe opening a channel.
 *
 * @param[out] request   Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  capacity  Messages it holds, at most @ref FERRY_CHANNEL_CAPACITY_MAX (FERRY_E_LIMIT
 *                       at submit). 0: a send completes when a receiver has taken the message.
 * @completes handle = the channel. Errors: FERRY_E_NO_HANDLES, FERRY_E_NO_MEMORY.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_channel_open(ferry_request *request, uint32_t capacity);

/**
 * Describe putting a message into a channel, as soon as there is room.
 *
 * @param[out] request   Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  channel   From @ref ferry_prepare_channel_open.
 * @param[in]  result    The receiver's @ref ferry_completion.result.
 * @param[in]  data_u64  The receiver's @ref ferry_completion.data_u64; never followed.
 * @completes result = 0. Errors (the message was not taken): FERRY_E_BAD_HANDLE, FERRY_E_STALE,
 *   FERRY_E_WRONG_KIND, FERRY_E_BROKEN_PIPE (the channel is finished), FERRY_E_CLOSED,
 *   FERRY_E_CANCELED, FERRY_E_TIMED_OUT (with FERRY_REUSABLE).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_channel_send(ferry_request *request, ferry_handle channel,
                                          int64_t result, uint64_t data_u64);

/**
 * Describe taking messages, multishot: each comes as a completion with FERRY_MORE. Clear
 * FERRY_MULTISHOT in the request's flags to take just one. Several receives take turns.
 *
 * A message stays in the channel until its completion is in the queue: when the queue's ring is
 * full, or the receive ends early, another receive gets it.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  channel  From @ref ferry_prepare_channel_open.
 * @completes result and data_u64: the message's. Finally FERRY_E_END when the channel is finished
 *   and empty. Errors: FERRY_E_BAD_HANDLE, FERRY_E_STALE, FERRY_E_WRONG_KIND, FERRY_E_CLOSED
 *   (messages still in it are dropped), FERRY_E_CANCELED, FERRY_E_TIMED_OUT (with FERRY_REUSABLE).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_channel_receive(ferry_request *request, ferry_handle channel);

/**
 * Describe saying that no more messages will come: what waits is still received, then receives end
 * with FERRY_E_END; sends from then on, and those waiting, with FERRY_E_BROKEN_PIPE.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  channel  From @ref ferry_prepare_channel_open.
 * @completes result = 0, also when it was finished before. Errors: FERRY_E_BAD_HANDLE,
 *   FERRY_E_STALE, FERRY_E_WRONG_KIND.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_channel_finish(ferry_request *request, ferry_handle channel);

#ifdef __cplusplus
}
#endif

#endif
