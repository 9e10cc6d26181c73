/**
 * @file
 * Which Ferry this is.
 */
#ifndef FERRY_VERSION_H
#define FERRY_VERSION_H

#include <ferry/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FERRY_VERSION_MAJOR 0 /**< Of the headers. */
#define FERRY_VERSION_MINOR 1 /**< Of the headers. */
#define FERRY_VERSION_PATCH 0 /**< Of the headers. */

/** Rises by one whenever something is added to the API. */
#define FERRY_API_LEVEL 1

/**
 * The linked library's version: major * 1000000 + minor * 1000 + patch.
 *
 * @returns The number.
 * @threads any  @since API 1
 */
FERRY_API uint32_t ferry_version(void);

/**
 * The linked library's API level, to be compared with FERRY_API_LEVEL.
 *
 * @returns The level.
 * @threads any  @since API 1
 */
FERRY_API uint32_t ferry_api_level(void);

#ifdef __cplusplus
}
#endif

#endif
