/*
 * Every operation in the simulated world, under many seeds.
 *
 *   sim_seeds [--scene NAME] [--from SEED] [--count N] [--seconds S] [--fair] [--trace] [--twice]
 *             [--tally] [--memory]
 *
 * --seconds: until so much time has passed, from the seed on. --fair: without any trouble. --trace: print
 * what happened in the world. --twice: each play twice, which must come out the same. --tally: say in
 * the end how often operations ended how. --memory: instead of other trouble, each scene again and again
 * with its first, second, third ... allocation refused.
 */
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct wish {
    play_options play;
    uint64_t from;
    uint64_t count;
    uint64_t seconds;
    bool twice;
    bool tally;
    bool memory;
} wish;

static _Noreturn void explain(void) {
    fprintf(stderr,
            "usage: sim_seeds [--scene NAME] [--from SEED] [--count N] [--seconds S] [--fair] "
            "[--trace] [--twice] [--tally] [--memory]\n");
    exit(2);
}

static const scene *find_scene(const char *name) {
    for (size_t i = 0; i < scene_count; i++) {
        if (strcmp(scenes[i].name, name) == 0) {
            return &scenes[i];
        }
    }
    fprintf(stderr, "there is no scene %s\n", name);
    exit(2);
}

static wish read_arguments(int count, char **arguments) {
    wish w = {.from = 1, .count = 1};
    for (int i = 1; i < count; i++) {
        const char *option = arguments[i];
        if (strcmp(option, "--fair") == 0) {
            w.play.fair = true;
        } else if (strcmp(option, "--trace") == 0) {
            w.play.print = true;
        } else if (strcmp(option, "--twice") == 0) {
            w.twice = true;
        } else if (strcmp(option, "--tally") == 0) {
            w.tally = true;
        } else if (strcmp(option, "--memory") == 0) {
            w.memory = true;
        } else if (i + 1 == count) {
            explain();
        } else if (strcmp(option, "--scene") == 0) {
            w.play.scene = find_scene(arguments[++i]);
        } else if (strcmp(option, "--from") == 0) {
            w.from = strtoull(arguments[++i], NULL, 10);
        } else if (strcmp(option, "--count") == 0) {
            w.count = strtoull(arguments[++i], NULL, 10);
        } else if (strcmp(option, "--seconds") == 0) {
            w.seconds = strtoull(arguments[++i], NULL, 10);
            w.count = UINT64_MAX;
        } else {
            explain();
        }
    }
    return w;
}

/* How many allocations there are to be refused. */
static uint64_t refuse_each(play_options *options) {
    bool refused = true;
    options->refused = &refused;
    while (refused) {
        options->refuse++;
        play_scene(options);
    }
    return options->refuse - 1;
}

static void play_one(const wish *w, const scene *which, uint64_t seed) {
    play_options options = w->play;
    options.scene = which;
    options.seed = seed;
    if (w->memory) {
        printf("%s: %llu allocations, each refused\n", which->name,
               (unsigned long long)refuse_each(&options));
        return;
    }
    uint64_t mark = play_scene(&options);
    if (w->twice && play_scene(&options) != mark) {
        printf("scene %s, seed %llu: a second time it came out differently\n", which->name,
               (unsigned long long)seed);
        exit(1);
    }
}

/* An opcode without a scene is a hole. */
static bool all_have_scenes(void) {
    bool all = true;
    for (uint16_t opcode = 1; opcode < 128; opcode++) {
        bool found = strcmp(ferry_opcode_name(opcode), "FERRY_OP_?") == 0;
        for (size_t i = 0; i < scene_count; i++) {
            found = found || scenes[i].opcode == opcode;
        }
        if (!found) {
            printf("no scene for %s\n", ferry_opcode_name(opcode));
            all = false;
        }
    }
    return all;
}

int main(int count, char **arguments) {
    wish w = read_arguments(count, arguments);
    if (!all_have_scenes()) {
        return 1;
    }
    time_t end = time(NULL) + (time_t)w.seconds;
    uint64_t plays = 0;
    uint64_t seed = w.from;
    for (; seed - w.from < w.count && (w.seconds == 0 || time(NULL) < end); seed++) {
        for (size_t i = 0; i < scene_count; i++) {
            if (w.play.scene == NULL || w.play.scene == &scenes[i]) {
                play_one(&w, &scenes[i], seed);
                plays++;
            }
        }
    }
    if (w.tally) {
        play_print_tally();
    }
    printf("%llu plays, seeds %llu to %llu: all fine\n", (unsigned long long)plays,
           (unsigned long long)w.from, (unsigned long long)(seed - 1));
    return 0;
}
