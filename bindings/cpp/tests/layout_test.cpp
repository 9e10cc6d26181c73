/** @file The records as this compiler has them, field by field, against the library's own table. */
#include <ferry.h>

#include <cstddef>
#include <cstdio>

// offsetof of a union's member is what every compiler here knows, standard layout or not.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace {

struct Place {
    const char *record, *field;
    std::size_t offset, size;
};

#define RECORD(record) {#record, nullptr, 0, sizeof(record)},
template <class T> T &sample();
#define FIELD(record, field)                                                                       \
    {#record, #field, offsetof(record, field), sizeof(sample<record>().field)},
const Place places[] = {
#include "layout_fields.inc"
};

} // namespace

int main() {
    int wrong = 0, checked = 0;
    for (const Place &place : places) {
        auto size = ferry_layout_size(place.record, place.field);
        auto offset = ferry_layout_offset(place.record, place.field);
        ++checked;
        if (size == static_cast<int>(place.size) && offset == static_cast<int>(place.offset))
            continue;
        ++wrong;
        std::printf("%s.%s: %zu bytes at %zu here, %d at %d in the library\n", place.record,
                    place.field ? place.field : "", place.size, place.offset, size, offset);
    }
    std::printf("%d places compared\n", checked);
    return wrong != 0 || checked < 200 ? 1 : 0;
}
