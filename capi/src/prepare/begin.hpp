// What every prepare function begins with.
#pragma once

#include <ferry/request.h>

#include <cstring>

namespace ferry {

// The request with every byte written, or a record of our own when there is none, so that no prepare
// function must ask.
class Prepared {
  public:
    Prepared(ferry_request *request, uint16_t opcode, ferry_handle target = FERRY_NONE,
             uint32_t flags = 0)
        : request_(request != nullptr ? *request : none_) {
        std::memset(&request_, 0, sizeof request_);
        request_.opcode = opcode;
        request_.target = target;
        request_.flags = flags;
    }

    decltype(ferry_request::params) *operator->() noexcept { return &request_.params; }

  private:
    ferry_request none_ = {};
    ferry_request &request_;
};

inline uint64_t word(const void *pointer) {
    return reinterpret_cast<uintptr_t>(pointer);
}

} // namespace ferry
