/**
 * @file
 * Files. Blocking work runs on the engine's own worker threads.
 */
#ifndef FERRY_FILE_H
#define FERRY_FILE_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Describe loading a whole file into memory of the engine's.
 *
 * When it is cancelled or its deadline passes it ends at once, even if the system holds a worker
 * thread for longer (a FIFO that nobody writes, a dead network file system); that thread is counted
 * in @ref ferry_engine_info.workers_detached until it returns.
 *
 * @param[out] request   Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  path      NUL-terminated path; NULL makes the request FERRY_E_INVALID at submit.
 *                       @borrowed until submit has returned.
 * @param[in]  size_max  Largest file to load in bytes; 0 = no limit but the engine's own.
 * @completes with FERRY_BUFFER: data, result = its length, buffer = id to release. An empty file has
 *   result 0 and no buffer. Errors: FERRY_E_NOT_FOUND, FERRY_E_ACCESS, FERRY_E_IS_DIRECTORY,
 *   FERRY_E_LIMIT (larger than size_max or than the engine's buffer_bytes_max allows now),
 *   FERRY_E_NO_DESCRIPTORS, FERRY_E_NO_MEMORY, FERRY_E_IO, FERRY_E_CANCELED, FERRY_E_TIMED_OUT.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_load(ferry_request *request, const char *path, uint64_t size_max);

#ifdef __cplusplus
}
#endif

#endif
