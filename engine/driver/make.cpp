// Which driver a shard gets.
#include "driver/make.hpp"

#include "driver/uv/uv_driver.hpp"

#include <ferry/engine.h>
#include <ferry/status.h>

namespace ferry::driver {

template <class Made>
static ferry_status make_one(const Environment &environment, Driver **driver) {
    auto *made = environment.allocator.create<Made>(environment);
    if (made == nullptr)
        return FERRY_E_NO_MEMORY;
    ferry_status status = made->open();
    if (status != FERRY_OK) {
        made->dispose();
        return status;
    }
    *driver = made;
    return FERRY_OK;
}

ferry_status make(const Environment &environment, Driver **driver) noexcept {
    if (environment.options.driver == FERRY_DRIVER_URING)
        return FERRY_E_UNSUPPORTED;
    return make_one<uv::UvDriver>(environment, driver);
}

} // namespace ferry::driver
