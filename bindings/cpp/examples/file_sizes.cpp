// Load all files named on the command line at the same time and print their sizes.
#include <ferry.hpp>

#include <cstdio>
#include <vector>

ferry::Task<std::size_t> print_size(const char *path) {
    auto file = co_await ferry::File::load(path).within(std::chrono::seconds(10));
    if (!file) {
        std::printf("%s: %s\n", path, file.message());
        co_return 0;
    }
    std::printf("%s: %zu bytes\n", path, file->size()); // lent; given back by its destructor
    co_return file->size();
}

ferry::Task<std::size_t> print_all(std::vector<const char *> paths) {
    std::vector<ferry::Task<std::size_t>> tasks; // lazy: nothing has begun yet
    for (const char *path : paths)
        tasks.push_back(print_size(path));
    std::size_t total = 0;
    for (std::size_t size : co_await ferry::all(std::move(tasks)))
        total += size;
    co_return total;
}

int main(int argc, char **argv) {
    auto loop = ferry::Loop::create(); // {.shards = 1}: the engine has a thread of its own
    if (!loop)
        return 1;
    auto total = (*loop)->run_until(print_all({argv + 1, argv + argc}));
    if (!total)
        return 1;
    std::printf("%zu bytes in all\n", *total);
}
