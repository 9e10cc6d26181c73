// Prepare functions: timers.
#include "begin.hpp"

#include <ferry/timer.h>

using ferry::Prepared;

void ferry_prepare_timer(ferry_request *request, uint64_t delay_ns, uint64_t interval_ns) {
    Prepared timer(request, FERRY_OP_TIMER, FERRY_NONE, interval_ns != 0 ? FERRY_MULTISHOT : 0);
    timer->timer = {delay_ns, interval_ns};
}
