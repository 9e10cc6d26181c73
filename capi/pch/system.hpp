// What most files of the engine include of the standard library, compiled once: with -Db_pch=true, for
// builds that are made anew again and again. Nothing includes it.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
