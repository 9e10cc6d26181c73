/**
 * @file
 * What every Ferry benchmark needs: an engine and a queue, or an end with a message.
 */
#ifndef BENCH_ENGINE_SUPPORT_H
#define BENCH_ENGINE_SUPPORT_H

#include <ferry.h>

/** End the program unless status is FERRY_OK. */
void bench_check(ferry_status status, const char *what);

/** An engine; shards = 0 is driven by the host and bound to the calling thread. 0 ops = default. */
ferry_engine *bench_engine(uint32_t shards, uint32_t ops_max);

/** The same with options; struct_size and driver (FERRY_BENCH_DRIVER) are filled in here. */
ferry_engine *bench_engine_with(ferry_engine_options options);

/** A queue; capacity 0 = default. */
ferry_queue *bench_queue(ferry_engine *engine, uint32_t mode, uint32_t capacity);

/** Submit all of them, none is fine; being refused one is an end. */
void bench_submit(ferry_queue *queue, const ferry_request *requests, size_t count);

/** One turn of a host-driven engine. */
void bench_run(ferry_engine *engine, uint64_t wait_ns);

/** Shut down and destroy. */
void bench_end(ferry_engine *engine);

#endif
