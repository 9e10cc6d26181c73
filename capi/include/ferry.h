/**
 * @file
 * All of Ferry: describe an operation, submit it, reap its completion.
 */
#ifndef FERRY_H
#define FERRY_H

#include <ferry/address.h>
#include <ferry/base.h>
#include <ferry/buffer.h>
#include <ferry/channel.h>
#include <ferry/completion.h>
#include <ferry/compose.h>
#include <ferry/descriptor.h>
#include <ferry/engine.h>
#include <ferry/file.h>
#include <ferry/inspect.h>
#include <ferry/layout.h>
#include <ferry/name.h>
#include <ferry/opcode.h>
#include <ferry/queue.h>
#include <ferry/request.h>
#include <ferry/sim.h>
#include <ferry/socket.h>
#include <ferry/status.h>
#include <ferry/stream.h>
#include <ferry/tcp.h>
#include <ferry/timer.h>
#include <ferry/trace.h>
#include <ferry/version.h>

#endif
