/**
 * @file
 * The layout of Ferry's records as the loaded library has it, for bindings that fill and read them
 * by offset: ask once, at the start or in a test, whether both mean the same bytes.
 */
#ifndef FERRY_LAYOUT_H
#define FERRY_LAYOUT_H

#include <ferry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How many bytes a record, or a field of it, takes.
 *
 * @param[in] record  Its name, "ferry_request". @borrowed
 * @param[in] field   The field's name; inside of a union with a name "params.timer". NULL = the
 *                    whole record. @borrowed
 * @returns Bytes, or FERRY_E_INVALID (record is NULL), FERRY_E_UNSUPPORTED (this version has no
 *   such record or field).
 * @threads any  @since API 1
 */
FERRY_API int32_t ferry_layout_size(const char *record, const char *field);

/**
 * Where in its record a field begins.
 *
 * @param[in] record  As @ref ferry_layout_size. @borrowed
 * @param[in] field   As @ref ferry_layout_size; NULL = the whole record, at 0. @borrowed
 * @returns Bytes from the record's beginning. Errors as for @ref ferry_layout_size.
 * @threads any  @since API 1
 */
FERRY_API int32_t ferry_layout_offset(const char *record, const char *field);

#ifdef __cplusplus
}
#endif

#endif
