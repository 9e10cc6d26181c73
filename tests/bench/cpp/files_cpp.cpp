/** @file Whole-file load on ferry.hpp, host-driven: 64 coroutines, each one file after the other. */
#include "ferry.hpp"
#include "support.h"

#include <vector>

extern "C" {
#include "files.h"
}

using namespace ferry;

static constexpr int in_flight = 64;

static Task<> load(struct files &files) {
    while (const char *path = files_next(&files)) {
        auto loaded = co_await File::load(path);
        if (!loaded)
            bench_die("%s: %s", path, loaded.message());
        files_loaded(&files, loaded->data(), loaded->size());
    }
}

static Task<> load_all(struct files &files) {
    std::vector<Task<>> loaders;
    for (int i = 0; i < in_flight; ++i)
        loaders.push_back(load(files));
    (void)co_await all(std::move(loaders));
}

int main(int argc, char **argv) {
    struct files files = {};
    bench_start(120);
    auto loop = Loop::create();
    if (!loop)
        bench_die("no loop");
    files_open(&files, argc, argv);
    auto done = (*loop)->run_until(load_all(files));
    if (!done)
        bench_die("%s", done.message());
    files_report(&files);
}
