/**
 * @file
 * The other end of a connection: plain blocking sockets on the loopback that know nothing of Ferry.
 *
 * All ports are the system's choice. Everything here may be called on any thread.
 */
#ifndef FERRY_TEST_PEER_H
#define FERRY_TEST_PEER_H

#include <ferry.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** 127.0.0.1 with a port. */
ferry_address loopback(uint16_t port);

/** Listen on 127.0.0.1. */
int peer_listen(uint16_t *port_out);

/** As peer_listen, but what it accepts buffers little, so that sends to it soon wait. */
int peer_listen_small(uint16_t *port_out);

/** A listener that takes no further connection: one waits in its backlog of one. */
int peer_listen_full(uint16_t *port_out, int *waiting_out);

/** A bound socket that does not listen: a connection to its port is refused while it is held. */
int peer_refuse(uint16_t *port_out);

int peer_accept(int listener);
int peer_connect(uint16_t port);

/** True if a connection to this port comes about; closed again at once. */
bool peer_can_connect(uint16_t port);

void peer_send(int fd, const void *data, size_t size);

/** Send without waiting until the system takes no more; returns the bytes it took. */
size_t peer_send_what_fits(int fd, const void *data, size_t size);

void peer_receive(int fd, void *data, size_t size);

/** Receive until the end of the stream or a reset; returns the bytes, at most size. */
size_t peer_receive_all(int fd, void *data, size_t size);

/** True if the other side has closed or reset: waits for it, drops what comes before. */
bool peer_sees_end(int fd);

/** Close so that the other side sees a reset. */
void peer_reset(int fd);

/** Bytes whose value depends on their position, so that a lost or doubled one shifts all others. */
void pattern_fill(void *data, size_t size, size_t position);
bool pattern_matches(const void *data, size_t size, size_t position);

#endif
