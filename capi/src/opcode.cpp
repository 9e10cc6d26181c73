// Names of the opcodes. One that is added to opcode.h and not here is an error of the compiler's.
#include "runtime/operation.hpp"

#include <ferry/opcode.h>

#pragma GCC diagnostic error "-Wswitch"

const char *ferry_opcode_name(uint16_t opcode) {
    if (opcode >= ferry::kOpcodes) // No value of the enumeration's: not to be cast to it.
        return "FERRY_OP_?";
    switch (static_cast<decltype(FERRY_OP_NOP)>(opcode)) {
#define FERRY_OPCODE(name)                                                                         \
    case name:                                                                                     \
        return #name;
        FERRY_OPCODE(FERRY_OP_NOP)
        FERRY_OPCODE(FERRY_OP_POST)
        FERRY_OPCODE(FERRY_OP_HANDLE_CLOSE)
        FERRY_OPCODE(FERRY_OP_HANDLE_COPY)
        FERRY_OPCODE(FERRY_OP_DESCRIPTOR_ADOPT)
        FERRY_OPCODE(FERRY_OP_DESCRIPTOR_RELEASE)
        FERRY_OPCODE(FERRY_OP_CHAIN)
        FERRY_OPCODE(FERRY_OP_ALL)
        FERRY_OPCODE(FERRY_OP_RACE)
        FERRY_OPCODE(FERRY_OP_RETRY)
        FERRY_OPCODE(FERRY_OP_TIMER)
        FERRY_OPCODE(FERRY_OP_TCP_LISTEN)
        FERRY_OPCODE(FERRY_OP_TCP_ACCEPT)
        FERRY_OPCODE(FERRY_OP_TCP_CONNECT)
        FERRY_OPCODE(FERRY_OP_TCP_CONNECT_NAME)
        FERRY_OPCODE(FERRY_OP_SOCKET_ADDRESS)
        FERRY_OPCODE(FERRY_OP_SOCKET_SET)
        FERRY_OPCODE(FERRY_OP_STREAM_RECEIVE)
        FERRY_OPCODE(FERRY_OP_STREAM_SEND)
        FERRY_OPCODE(FERRY_OP_STREAM_RECEIVE_EXACTLY)
        FERRY_OPCODE(FERRY_OP_STREAM_RECEIVE_UNTIL)
        FERRY_OPCODE(FERRY_OP_STREAM_SEND_VECTORED)
        FERRY_OPCODE(FERRY_OP_STREAM_SHUTDOWN)
        FERRY_OPCODE(FERRY_OP_FILE_LOAD)
        FERRY_OPCODE(FERRY_OP_FILE_STORE)
        FERRY_OPCODE(FERRY_OP_FILE_OPEN)
        FERRY_OPCODE(FERRY_OP_FILE_READ)
        FERRY_OPCODE(FERRY_OP_FILE_WRITE)
        FERRY_OPCODE(FERRY_OP_FILE_READ_VECTORED)
        FERRY_OPCODE(FERRY_OP_FILE_WRITE_VECTORED)
        FERRY_OPCODE(FERRY_OP_FILE_STAT)
        FERRY_OPCODE(FERRY_OP_FILE_SYNC)
        FERRY_OPCODE(FERRY_OP_FILE_TRUNCATE)
        FERRY_OPCODE(FERRY_OP_PATH_STAT)
        FERRY_OPCODE(FERRY_OP_CHANNEL_OPEN)
        FERRY_OPCODE(FERRY_OP_CHANNEL_SEND)
        FERRY_OPCODE(FERRY_OP_CHANNEL_RECEIVE)
        FERRY_OPCODE(FERRY_OP_CHANNEL_FINISH)
        FERRY_OPCODE(FERRY_OP_NAME_RESOLVE)
#undef FERRY_OPCODE
    }
    return "FERRY_OP_?";
}
