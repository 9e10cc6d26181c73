// Text that is put together in memory of a fixed size: no allocation, no locale. What finds no room is
// counted, so that a caller learns how much there is.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ferry {

class Text {
  public:
    Text(char *memory, size_t capacity) noexcept : memory_(memory), capacity_(capacity) {}

    size_t size() const noexcept { return size_; }
    bool fits() const noexcept { return size_ <= capacity_; }

    Text &add(const char *text, size_t size) noexcept {
        if (size_ < capacity_)
            std::memcpy(memory_ + size_, text, size < capacity_ - size_ ? size : capacity_ - size_);
        size_ += size;
        return *this;
    }
    Text &add(const char *text) noexcept { return add(text, std::strlen(text)); }

    template <class Number> Text &number(Number value, int base = 10) noexcept {
        char digits[24] = ""; // g++ at -O3 does not see that to_chars fills it.
        auto end = std::to_chars(digits, digits + sizeof digits, value, base).ptr;
        return add(digits, static_cast<size_t>(end - digits));
    }
    Text &hex(uint64_t value) noexcept { return add("0x").number(value, 16); }

    // Nanoseconds as a number of some unit of 10^digits of them, with all its digits: 1.234567
    Text &fraction(uint64_t ns, uint32_t digits) noexcept {
        uint64_t unit = 1;
        for (uint32_t i = 0; i < digits; ++i)
            unit *= 10;
        number(ns / unit).add(".");
        for (uint64_t rest = ns % unit; unit > 1; rest %= unit) {
            unit /= 10;
            number(rest / unit);
        }
        return *this;
    }

  private:
    char *memory_;
    size_t capacity_;
    size_t size_ = 0;
};

} // namespace ferry
