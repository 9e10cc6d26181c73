/**
 * @file
 * JSON that Ferry wrote, looked at by somebody else: python3's parser.
 */
#ifndef FERRY_TEST_JSON_H
#define FERRY_TEST_JSON_H

#include <stddef.h>

/**
 * Fail unless the text is JSON and the Python statements that follow hold. In them d is what was parsed, and
 * want(condition, what) ends the script with a message. The format is printf's.
 */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void json_check(const char *text, size_t size, const char *format, ...);

#endif
