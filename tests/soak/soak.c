/*
 * Mixed load on loopback and in a folder of its own, for a time, and a table of how the engine is doing.
 *
 *     soak --driver uv|uring|auto --seconds N --csv FILE [--interval SECONDS] [--gentle]
 *
 * Every sample is a line of the CSV. What is against the laws is told at once and counted; at the end
 * nothing may be left over. Whether the curves grow is plot.py's to judge. Exits with 77 where there is no
 * such driver.
 */
#include "soak.h"

#include <sys/stat.h>

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REAPED = 256 };

typedef struct settings {
    uint32_t driver;
    double seconds, interval;
    const char *csv;
    bool gentle; /* A tenth of the load: for a look at it. */
} settings;

static settings chosen = {.seconds = 60, .interval = 1, .csv = "soak.csv"};
static FILE *table;
static uint64_t begun_ns, sampled_ns, sampled_completions;
static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
    (void)number;
    interrupted = 1;
}

/* ---- samples ------------------------------------------------------------------------------------ */

static long open_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    long count = -3; /* "." and ".." and the folder itself. */
    while (folder != NULL && readdir(folder) != NULL) {
        count++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

static long resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) {
        pages = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void write_head(void) {
    fputs(
        "phase,seconds,driver,rss_kib,descriptors,ops,handles,buffers,buffer_bytes,workers,rounds,"
        "violations,completions_per_s",
        table);
    for (int i = 0; i < KINDS; i++) {
        fprintf(table, ",%s_n,%s_p50,%s_p99,%s_p999", kind_names[i], kind_names[i], kind_names[i],
                kind_names[i]);
    }
    fputc('\n', table);
}

/* phase: "before" the engine, "begin", "load", "end" when all has come to rest, "after" the engine. */
static void sample(const char *phase) {
    ferry_engine_info info = {.struct_size = sizeof info, .driver = ""};
    if (the.engine != NULL) {
        ferry_engine_get_info(the.engine, &info);
    }
    uint64_t now = now_ns();
    double passed = (double)(now - sampled_ns) / 1e9;
    fprintf(table,
            "%s,%.3f,%s,%ld,%ld,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu32
            ",%" PRIu64 ",%" PRIu64 ",%.0f",
            phase, (double)(now - begun_ns) / 1e9, info.driver, resident_kib(), open_descriptors(),
            info.ops_in_flight, info.handles_open, info.buffers_lent, info.buffer_bytes_lent,
            info.workers, the.rounds, the.violations,
            passed > 0 ? (double)(the.completions - sampled_completions) / passed : 0);
    for (int i = 0; i < KINDS; i++) {
        latencies one = take_latencies((kind)i);
        fprintf(table, ",%" PRIu64 ",%.1f,%.1f,%.1f", one.count, one.p50_us, one.p99_us,
                one.p999_us);
    }
    fputc('\n', table);
    fflush(table);
    sampled_ns = now;
    sampled_completions = the.completions;
}

/* ---- the run ------------------------------------------------------------------------------------ */

static void start_all(void) {
    uint32_t part = chosen.gentle ? 1 : 8;
    start_clients(8 * part);
    start_slow_readers(part);
    start_files(part);
    start_timers(16 * part);
    start_trees(2 * part);
    start_channels(part);
}

static void reap_until(uint64_t until_ns) {
    static ferry_completion done[REAPED];
    uint64_t now = now_ns();
    int32_t count = ferry_queue_wait(the.queue, done, REAPED, until_ns > now ? until_ns - now : 0);
    if (count < 0) {
        violation("the queue could not be waited for", NULL);
        exit(1);
    }
    for (int32_t i = 0; i < count; i++) {
        deliver(&done[i]);
    }
}

static void run_load(void) {
    uint64_t interval = (uint64_t)(chosen.interval * 1e9);
    uint64_t end = chosen.seconds > 0 ? now_ns() + (uint64_t)(chosen.seconds * 1e9) : UINT64_MAX;
    uint64_t next = now_ns() + interval;
    start_server(start_all);
    while (now_ns() < end && !interrupted) {
        reap_until(next < end ? next : end);
        if (now_ns() >= next) {
            sample("load");
            next += interval;
        }
    }
}

/* False: something does not end. */
static bool come_to_rest(void) {
    uint64_t until = now_ns() + 60 * SECOND;
    the.stopping = true;
    while (the.actors != 0 && now_ns() < until) {
        reap_until(now_ns() + 100 * MS);
    }
    stop_server();
    while (the.under_way != 0 && now_ns() < until) {
        reap_until(now_ns() + 100 * MS);
    }
    if (the.under_way == 0) {
        return true;
    }
    fprintf(stderr, "%" PRIu64 " requests and %" PRIu32 " actors do not end\n", the.under_way,
            the.actors);
    return false;
}

static bool nothing_left(void) {
    ferry_engine_info info = {.struct_size = sizeof info};
    /* A buffer or a slot is given back by its shard's next turn. */
    for (int tries = 0; tries < 100; tries++) {
        ferry_engine_get_info(the.engine, &info);
        if (info.ops_in_flight + info.handles_open + info.buffers_lent + info.buffer_bytes_lent ==
            0) {
            return true;
        }
        usleep(10000);
    }
    fprintf(stderr, "left over: %" PRIu64 " operations, %" PRIu64 " handles, %" PRIu64 " buffers\n",
            info.ops_in_flight, info.handles_open, info.buffers_lent);
    return false;
}

static int soak_it(void) {
    ferry_engine_options options = {
        .struct_size = sizeof options, .shards = 2, .driver = chosen.driver};
    ferry_queue_options ring = {.struct_size = sizeof ring, .capacity = 256};
    begun_ns = sampled_ns = now_ns();
    sample("before");
    ferry_status status = ferry_engine_create(&options, &the.engine);
    if (status == FERRY_E_UNSUPPORTED) {
        puts("skipped: there is no such driver here");
        return 77;
    }
    if (status != FERRY_OK || ferry_queue_create(the.engine, &ring, &the.queue) != FERRY_OK) {
        return 1;
    }
    sample("begin");
    run_load();
    bool sound = come_to_rest() && nothing_left();
    sample("end");
    sound = ferry_engine_shutdown(the.engine, 10 * SECOND) == FERRY_OK && sound;
    sound = ferry_engine_destroy(the.engine) == FERRY_OK && sound;
    the.engine = NULL;
    sample("after");
    printf("%" PRIu64 " completions, %" PRIu64 " rounds, %" PRIu64 " violations, %s\n",
           the.completions, the.rounds, the.violations,
           sound ? "nothing left over" : "not all came to rest");
    return sound && the.violations == 0 && the.rounds != 0 ? 0 : 1;
}

static bool read_arguments(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        const char *name = arguments[i];
        if (strcmp(name, "--gentle") == 0) {
            chosen.gentle = true;
            continue;
        }
        if (++i == count) {
            return false;
        }
        const char *value = arguments[i];
        if (strcmp(name, "--seconds") == 0) {
            chosen.seconds = atof(value); /* 0: until SIGINT. */
        } else if (strcmp(name, "--interval") == 0) {
            chosen.interval = atof(value);
        } else if (strcmp(name, "--csv") == 0) {
            chosen.csv = value;
        } else if (strcmp(name, "--driver") == 0) {
            chosen.driver = strcmp(value, "uv") == 0      ? FERRY_DRIVER_UV
                            : strcmp(value, "uring") == 0 ? FERRY_DRIVER_URING
                                                          : FERRY_DRIVER_AUTO;
        } else {
            return false;
        }
    }
    return chosen.interval > 0;
}

static void remove_folder(void) {
    char path[512];
    DIR *folder = opendir(the.folder);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", the.folder, entry->d_name);
        unlink(path); /* "." and ".." stay. */
    }
    if (folder != NULL) {
        closedir(folder);
    }
    rmdir(the.folder);
}

int main(int count, char **arguments) {
    if (!read_arguments(count, arguments)) {
        fputs(
            "usage: soak [--driver uv|uring|auto] [--seconds N] [--csv FILE] [--interval SECONDS] "
            "[--gentle]\n",
            stderr);
        return 2;
    }
    static char folder[] = "/tmp/ferry-soak-XXXXXX";
    the.folder = mkdtemp(folder);
    table = fopen(chosen.csv, "w");
    if (the.folder == NULL || table == NULL) {
        perror(chosen.csv);
        return 1;
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    signal(SIGPIPE, SIG_IGN);
    write_head();
    int code = soak_it();
    fclose(table);
    remove_folder();
    return code;
}
