/**
 * @file
 * Which operation a request asks for. Numbers are frozen; new ones are appended to their group.
 */
#ifndef FERRY_OPCODE_H
#define FERRY_OPCODE_H

#include <ferry/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Every opcode, in @ref ferry_request.opcode and @ref ferry_completion.opcode. */
enum {
    FERRY_OP_NOP = 1,                     /**< Nothing; completes on the next turn. */
    FERRY_OP_POST = 2,                    /**< Only in completions: a message from
                                               @ref ferry_queue_post. */
    FERRY_OP_HANDLE_CLOSE = 3,            /**< Close any handle. */
    FERRY_OP_HANDLE_COPY = 4,             /**< Copy one stream or file to another. */
    FERRY_OP_DESCRIPTOR_ADOPT = 5,        /**< Make a handle of a descriptor of the system's. */
    FERRY_OP_DESCRIPTOR_RELEASE = 6,      /**< Give a handle's descriptor up to the host. */
    FERRY_OP_CHAIN = 8,                   /**< Requests one after the other. */
    FERRY_OP_ALL = 9,                     /**< Requests together, until all have ended. */
    FERRY_OP_RACE = 10,                   /**< Requests together, until the first has ended. */
    FERRY_OP_RETRY = 11,                  /**< A request again and again, until it succeeds. */
    FERRY_OP_TIMER = 16,                  /**< One-shot or interval timer. */
    FERRY_OP_TCP_LISTEN = 32,             /**< Open a TCP listener. */
    FERRY_OP_TCP_ACCEPT = 33,             /**< Accept connections. */
    FERRY_OP_TCP_CONNECT = 34,            /**< Open a TCP connection by address. */
    FERRY_OP_TCP_CONNECT_NAME = 35,       /**< Open a TCP connection by name. */
    FERRY_OP_SOCKET_ADDRESS = 36,         /**< A socket's own or its peer's address. */
    FERRY_OP_SOCKET_SET = 37,             /**< Set an option of a socket. */
    FERRY_OP_STREAM_RECEIVE = 48,         /**< Receive some bytes. */
    FERRY_OP_STREAM_SEND = 49,            /**< Send all of some bytes. */
    FERRY_OP_STREAM_RECEIVE_EXACTLY = 50, /**< Receive so many bytes. */
    FERRY_OP_STREAM_RECEIVE_UNTIL = 51,   /**< Receive up to a delimiter. */
    FERRY_OP_STREAM_SEND_VECTORED = 52,   /**< Send all of several pieces. */
    FERRY_OP_STREAM_SHUTDOWN = 53,        /**< Send what waits, then the end of the stream. */
    FERRY_OP_FILE_LOAD = 64,              /**< Load a whole file. */
    FERRY_OP_FILE_STORE = 65,             /**< Store a whole file, atomically. */
    FERRY_OP_FILE_OPEN = 66,              /**< Open a file. */
    FERRY_OP_FILE_READ = 67,              /**< Read from an open file. */
    FERRY_OP_FILE_WRITE = 68,             /**< Write to an open file. */
    FERRY_OP_FILE_READ_VECTORED = 69,     /**< Read into several pieces. */
    FERRY_OP_FILE_WRITE_VECTORED = 70,    /**< Write several pieces. */
    FERRY_OP_FILE_STAT = 71,              /**< What the system knows of an open file. */
    FERRY_OP_FILE_SYNC = 72,              /**< Make what was written durable. */
    FERRY_OP_FILE_TRUNCATE = 73,          /**< Set an open file's size. */
    FERRY_OP_PATH_STAT = 74,              /**< What the system knows of a path. */
    FERRY_OP_CHANNEL_OPEN = 80,           /**< Open a channel. */
    FERRY_OP_CHANNEL_SEND = 81,           /**< Put a message into a channel. */
    FERRY_OP_CHANNEL_RECEIVE = 82,        /**< Take messages out of a channel. */
    FERRY_OP_CHANNEL_FINISH = 83,         /**< No more messages will be put into a channel. */
    FERRY_OP_NAME_RESOLVE = 96            /**< The addresses of a name. */
};

/**
 * The constant's name, e.g. "FERRY_OP_TIMER".
 *
 * @param[in] opcode  Any number.
 * @returns A static string, never NULL; "FERRY_OP_?" for a number this version does not know.
 * @threads any  @since API 1
 */
FERRY_API const char *ferry_opcode_name(uint16_t opcode);

#ifdef __cplusplus
}
#endif

#endif
