/**
 * @file
 * The system's resolver, played by the test: a program that is built with resolver.c defines getaddrinfo
 * itself, and the library under test calls that one.
 *
 * Names that the test has not taught go to the real resolver. Everything here may be called on any
 * thread.
 */
#ifndef FERRY_TEST_RESOLVER_H
#define FERRY_TEST_RESOLVER_H

#include "fixture.h"

/** Longest list of addresses that a name may have. */
enum { RESOLVER_ADDRESSES_MAX = 512 };

/** A name with addresses, in the order in which the resolver gives them. An unknown family is given as
 *  one that Ferry does not know; ports are left out. */
void resolver_teach(const char *name, const ferry_address *addresses, size_t count);

/** A name that fails with an EAI_... number and this errno. */
void resolver_teach_failure(const char *name, int error, int system_error);

/** Whoever asks for this name hangs until resolver_release; then it has the address 127.0.0.1. */
void resolver_teach_silence(const char *name);

/** Let those that hang go, and whoever comes later through at once. */
void resolver_release(void);

/** How many threads hang now. */
size_t resolver_hanging(void);

/** How often taught names were asked for. */
size_t resolver_calls(void);

/** The hints of the last call for a taught name: its ai_family, ai_socktype and ai_flags. */
void resolver_last_hints(int *family, int *type, int *flags);

/** Setup and teardown of a test with a resolver of its own. */
int resolver_setup(void **state);
int resolver_teardown(void **state);

/** As those of fixture.h. */
#define RESOLVER_ON(test, how)                                                                     \
    { #test " [" #how "]", test, resolver_setup, resolver_teardown, &drive_##how }
#define RESOLVER_ON_EACH_SHARDS(test)                                                              \
    RESOLVER_ON(test, host), RESOLVER_ON(test, one), RESOLVER_ON(test, two)
#define RESOLVER_ON_EVERY_DRIVE(test)                                                              \
    RESOLVER_ON_EACH_SHARDS(test), RESOLVER_ON(test, host_mapped), RESOLVER_ON(test, host_inline), \
        RESOLVER_ON(test, one_dispatch), RESOLVER_ON(test, one_mapped),                            \
        RESOLVER_ON(test, two_inline)

#endif
