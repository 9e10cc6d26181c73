/**
 * @file
 * A fixture over a simulated world: time is the world's own, so a wait costs nothing.
 */
#ifndef FERRY_TEST_SIM_H
#define FERRY_TEST_SIM_H

#include "fixture.h"

/** Hosts that sim_open adds: 10.0.0.1 "one" and 10.0.0.2 "two". */
enum { SIM_ONE = 1, SIM_TWO = 2 };

/** The test's fixture, on a world of this seed with two more hosts. */
fixture *sim_open(void **state, uint64_t seed);

/** One test under a number of seeds, each with a fixture of its own: what the seed leaves to chance must
    not matter to it. */
void sim_under_seeds(void **state, void (*test)(fixture *f));

#define UNDER_SEEDS(test)                                                                          \
    static void test##_under_seeds(void **state) {                                                 \
        sim_under_seeds(state, test);                                                              \
    }

/** The address of one of them. */
ferry_address sim_address(uint32_t host, uint16_t port);

/** Run until the final completion of an op; fails if nothing can bring it any more. */
ferry_completion sim_final(fixture *f, ferry_op op);

/** The next completion of an op. */
ferry_completion sim_next(fixture *f, ferry_op op);

/** Submit and run until it has ended. */
ferry_completion sim_do(fixture *f, const ferry_request *request);

/** Run for so long. */
void sim_linger(fixture *f, uint64_t duration_ns);

/** The world's time. */
uint64_t sim_now(fixture *f);

/** A listener on a host; the port is out. */
ferry_handle sim_listen(fixture *f, uint32_t host, uint16_t *port_out);

/** Both ends of a connection from host one to host two. */
void sim_connect(fixture *f, ferry_handle *near_out, ferry_handle *far_out);

/** Order a fault: calls, status, times; the rest as it was filled in. */
void sim_fault(fixture *f, ferry_sim_fault fault);

/** Change all links. */
void sim_links(fixture *f, ferry_sim_link link);

#endif
