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
static bool hangs_in_open(const char *task) {
    char path[64];
    char line[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.20s/syscall", task);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    bool got_line = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    if (!got_line || strncmp(line, "running", 7) == 0) {
        return false;
    }
    long number = strtol(line, NULL, 10);
#ifdef SYS_open
    if (number == SYS_open) {
        return true;
    }
#endif
    return number == SYS_openat;
}

bool some_thread_hangs_in_open(void) {
    bool found = false;
    DIR *listing = opendir("/proc/self/task");
    REQUIRE(listing != NULL);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (entry->d_name[0] != '.' && hangs_in_open(entry->d_name)) {
            found = true;
        }
    }
    closedir(listing);
    return found;
}
