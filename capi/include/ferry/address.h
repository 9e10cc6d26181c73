/**
 * @file
 * IP addresses with a port, as one frozen 32-byte record that needs no system header.
 */
#ifndef FERRY_ADDRESS_H
#define FERRY_ADDRESS_H

#include <ferry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Values of @ref ferry_address.family. */
enum {
    FERRY_IPV4 = 4, /**< The address is in the first four bytes. */
    FERRY_IPV6 = 6  /**< The address is in all sixteen bytes. */
};

/** An IP address and a port. Frozen: 32 bytes. */
typedef struct ferry_address {
    uint16_t family;   /**< FERRY_IPV4 or FERRY_IPV6. */
    uint16_t port;     /**< In the host's byte order. */
    uint32_t scope_id; /**< IPv6 zone (RFC 4007), else 0. */
    uint8_t bytes[16]; /**< In network order; bytes that the family does not use are 0. */
    uint64_t reserved; /**< 0. */
} ferry_address;

/**
 * Parse a literal address, "127.0.0.1" or "::1" (RFC 4291 section 2.2; no zone, no brackets).
 *
 * @param[in]  text         NUL-terminated literal; names are not looked up. @borrowed
 * @param[in]  port         Port in the host's byte order.
 * @param[out] address_out  The record; all zero on failure. @borrowed
 * @returns FERRY_OK, or FERRY_E_INVALID for NULL or for text that is no literal.
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_address_parse(const char *text, uint16_t port,
                                           ferry_address *address_out);

/**
 * Write an address as text: "127.0.0.1:80", "[::1]:80".
 *
 * @param[in]  address   The address. @borrowed
 * @param[out] text      Where to; always NUL-terminated if size > 0. @borrowed
 * @param[in]  size      Bytes at text; 64 are always enough.
 * @returns FERRY_OK, FERRY_E_INVALID (NULL, unknown family) or FERRY_E_LIMIT (text too small).
 * @threads any  @since API 1
 */
FERRY_API ferry_status ferry_address_format(const ferry_address *address, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
