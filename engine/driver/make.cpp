// Which driver a shard gets.
#include "driver/make.hpp"

#include "driver/sim/sim_driver.hpp"
#include "driver/uv/uv_driver.hpp"
#ifdef FERRY_URING
#include "driver/uring/uring_driver.hpp"
#endif

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

// A ring belongs to one thread: not for an engine that many may run.
ferry_status make(const Environment &environment, Driver **driver) noexcept {
    if (environment.options.driver == FERRY_DRIVER_SIM)
        return make_one<sim::SimDriver>(environment, driver);
    [[maybe_unused]] bool any_thread = (environment.options.flags & FERRY_ENGINE_ANY_THREAD) != 0;
#ifdef FERRY_URING
    if (environment.options.driver != FERRY_DRIVER_UV && !any_thread)
        return make_one<uring::UringDriver>(environment, driver);
#endif
    if (environment.options.driver == FERRY_DRIVER_URING)
        return FERRY_E_UNSUPPORTED;
    return make_one<uv::UvDriver>(environment, driver);
}

} // namespace ferry::driver
