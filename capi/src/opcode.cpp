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
        FERRY_OPCODE(FERRY_OP_TIMER)
        FERRY_OPCODE(FERRY_OP_TCP_LISTEN)
        FERRY_OPCODE(FERRY_OP_TCP_ACCEPT)
        FERRY_OPCODE(FERRY_OP_TCP_CONNECT)
        FERRY_OPCODE(FERRY_OP_STREAM_RECEIVE)
        FERRY_OPCODE(FERRY_OP_STREAM_SEND)
        FERRY_OPCODE(FERRY_OP_FILE_LOAD)
#undef FERRY_OPCODE
    }
    return "FERRY_OP_?";
}
