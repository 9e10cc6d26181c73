#include "process.h"

#include "check.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void) {
    struct timespec now;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void sleep_ns(uint64_t duration_ns) {
    struct timespec left = {.tv_sec = (time_t)(duration_ns / SECOND),
                            .tv_nsec = (long)(duration_ns % SECOND)};
    while (nanosleep(&left, &left) != 0) {
        REQUIRE(errno == EINTR);
    }
}

static size_t count_entries(const char *folder) {
    size_t count = 0;
    DIR *listing = opendir(folder);
    REQUIRE(listing != NULL);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (entry->d_name[0] != '.') {
            count++;
        }
    }
    closedir(listing);
    return count;
}

size_t count_descriptors(void) {
    /* The listing itself holds one open. */
    return count_entries("/proc/self/fd") - 1;
}

size_t count_threads(void) {
    return count_entries("/proc/self/task");
}

size_t process_threads(char ids[][24], size_t places) {
    size_t count = 0;
    DIR *listing = opendir("/proc/self/task");
    REQUIRE(listing != NULL);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (entry->d_name[0] != '.' && count < places) {
            snprintf(ids[count++], 24, "%.23s", entry->d_name);
        }
    }
    closedir(listing);
    return count;
}

bool threads_fall_to(size_t count) {
    for (int attempt = 0; attempt < 5000; attempt++) {
        if (count_threads() <= count) {
            return true;
        }
        sleep_ns(MS);
    }
    return false;
}

bool sanitized(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

void child_exit(int status) {
    /* Past a sanitizer's _exit, which would miss the threads that only the parent has. */
    syscall(SYS_exit_group, status);
    abort();
}

int child_status(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) != child) {
        REQUIRE(errno == EINTR);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_in_child(int (*body)(void *argument), void *argument) {
    /* What is buffered here would be printed by the child a second time. */
    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        watchdog_restart();
        child_exit(body(argument));
    }
    return child_status(child);
}

/* The first word of /proc/self/task/<id>/syscall is the number of the call the thread sleeps in. */
static long sleeps_in(const char *task) {
    char path[64];
    char line[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.20s/syscall", task);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return -1;
    }
    bool got_line = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    return got_line && strncmp(line, "running", 7) != 0 ? strtol(line, NULL, 10) : -1;
}

/* Some other thread: this one reads just now. */
static bool some_thread_hangs_in(const long *calls, size_t count) {
    bool found = false;
    char own[24];
    snprintf(own, sizeof own, "%ld", syscall(SYS_gettid));
    DIR *listing = opendir("/proc/self/task");
    REQUIRE(listing != NULL);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        bool other = entry->d_name[0] != '.' && strcmp(entry->d_name, own) != 0;
        long call = other ? sleeps_in(entry->d_name) : -1;
        for (size_t i = 0; i < count; i++) {
            found = found || call == calls[i];
        }
    }
    closedir(listing);
    return found;
}

bool some_thread_hangs_in_open(void) {
    static const long calls[] = {
        SYS_openat,
#ifdef SYS_open
        SYS_open,
#endif
    };
    return some_thread_hangs_in(calls, sizeof calls / sizeof calls[0]);
}

bool some_thread_hangs_in_read(void) {
    static const long calls[] = {SYS_read, SYS_readv, SYS_write, SYS_writev};
    return some_thread_hangs_in(calls, sizeof calls / sizeof calls[0]);
}
