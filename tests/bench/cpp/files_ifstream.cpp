/**
 * @file
 * Whole-file load with std::ifstream: a loop, or threads that take one file after the other.
 *
 *     files_ifstream DIRECTORY COUNT PASSES [threads]
 */
#include "support.h"

#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include "files.h"
}

static std::string load(const char *path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file)
        bench_die("cannot open %s", path);
    std::string data(static_cast<std::size_t>(file.tellg()), '\0');
    file.seekg(0);
    if (!file.read(data.data(), static_cast<std::streamsize>(data.size())))
        bench_die("cannot read %s", path);
    return data;
}

static void work(struct files &files, std::mutex &lock) {
    std::unique_lock guard(lock);
    while (const char *path = files_next(&files)) {
        guard.unlock();
        std::string data = load(path);
        guard.lock();
        files_loaded(&files, data.data(), data.size());
    }
}

int main(int argc, char **argv) {
    struct files files = {};
    bench_start(120);
    files_open(&files, 4, argv);
    std::mutex lock;
    std::vector<std::thread> threads(bench_number(argc, argv, 4, 1) - 1);
    for (std::thread &thread : threads)
        thread = std::thread([&] { work(files, lock); });
    work(files, lock);
    for (std::thread &thread : threads)
        thread.join();
    files_report(&files);
}
