/**
 * @file
 * All of Ferry: describe an operation, submit it, reap its completion.
 */
#ifndef FERRY_H
#define FERRY_H

#include <ferry/address.h>
#include <ferry/base.h>
#include <ferry/buffer.h>
#include <ferry/completion.h>
#include <ferry/engine.h>
#include <ferry/file.h>
#include <ferry/opcode.h>
#include <ferry/queue.h>
#include <ferry/request.h>
#include <ferry/status.h>
#include <ferry/stream.h>
#include <ferry/tcp.h>
#include <ferry/timer.h>
#include <ferry/version.h>

#endif
