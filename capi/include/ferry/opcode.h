/**
 * @file
 * Which operation a request asks for. Numbers are frozen; new ones are appended to their group.
 */
#ifndef FERRY_OPCODE_H
#define FERRY_OPCODE_H

/** Every opcode, in @ref ferry_request.opcode and @ref ferry_completion.opcode. */
enum {
    FERRY_OP_NOP = 1,             /**< Nothing; completes on the next turn. */
    FERRY_OP_POST = 2,            /**< Only in completions: a message from @ref ferry_queue_post. */
    FERRY_OP_HANDLE_CLOSE = 3,    /**< Close any handle. */
    FERRY_OP_TIMER = 16,          /**< One-shot or interval timer. */
    FERRY_OP_TCP_LISTEN = 32,     /**< Open a TCP listener. */
    FERRY_OP_TCP_ACCEPT = 33,     /**< Accept connections. */
    FERRY_OP_TCP_CONNECT = 34,    /**< Open a TCP connection by address. */
    FERRY_OP_STREAM_RECEIVE = 48, /**< Receive some bytes. */
    FERRY_OP_STREAM_SEND = 49,    /**< Send all of some bytes. */
    FERRY_OP_FILE_LOAD = 64       /**< Load a whole file. */
};

#endif
