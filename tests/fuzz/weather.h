/**
 * @file
 * Every call of ferry/sim.h and ferry/inspect.h with any arguments, sensible ones among them.
 */
#ifndef FERRY_FUZZ_WEATHER_H
#define FERRY_FUZZ_WEATHER_H

#include "world.h"

/**
 * One call of ferry/sim.h. A status that its header does not name ends the process.
 *
 * @param simulated  Whether the engine is: if not, each call must say so.
 */
void weather_change(ferry_engine *engine, bool simulated, world *w, source *s);

/** Put the world's readable files onto the simulated disk, so that paths lead somewhere. */
void weather_begin(ferry_engine *engine, world *w);

/** One call of ferry/inspect.h. */
void weather_look(ferry_engine *engine, source *s);

#endif
