// Structs that grow: how an older or newer caller's struct is read and written.
#pragma once

#include <ferry/status.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ferry::capi {

// A shorter struct's missing fields are 0; what a longer one adds must be 0. FirstSize: that of API 1.
template <class Options>
ferry_status read_options(const Options *given, size_t first_size, Options *out) noexcept {
    std::memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    if (given == nullptr)
        return FERRY_OK;
    uint32_t size = given->struct_size;
    if (size < first_size)
        return FERRY_E_INVALID;
    const char *bytes = reinterpret_cast<const char *>(given);
    for (size_t i = sizeof *out; i < size; ++i) {
        if (bytes[i] != 0)
            return FERRY_E_UNSUPPORTED;
    }
    std::memcpy(out, given, size < sizeof *out ? size : sizeof *out);
    out->struct_size = sizeof *out;
    return FERRY_OK;
}

// Fill an output struct as far as the caller knows it; its struct_size stays.
template <class Output>
ferry_status write_output(Output *target, size_t first_size, const Output &value) noexcept {
    uint32_t size = target->struct_size;
    if (size < first_size)
        return FERRY_E_INVALID;
    std::memcpy(target, &value, size < sizeof value ? size : sizeof value);
    target->struct_size = size;
    return FERRY_OK;
}

} // namespace ferry::capi
