/*
 * The same programs without a fuzzer.
 *
 *   abi_replay FILE|FOLDER...     play inputs
 *   abi_replay --seeds N...       play the program of each seed
 *   abi_replay --from N COUNT     play the programs of COUNT seeds from N on
 *   abi_replay --opcodes HEADER   name the opcodes of a header that opcodes.c does not know
 *
 * A program that breaks something ends the process; how to repeat it stands before.
 */
#include "check.h"
#include "opcodes.h"
#include "process.h"
#include "source.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUT_MAX = 1024 * 1024, SEED_PROGRAM_SIZE = 3000, EXIT_USAGE = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *program_name;
static char how_to_repeat[512];

static void say_how_to_repeat(void) {
    (void)!write(STDERR_FILENO, how_to_repeat, strlen(how_to_repeat));
}

static void on_signal(int number) {
    say_how_to_repeat();
    signal(number, SIG_DFL);
    raise(number);
}

/* A sanitizer ends the process in its own way. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch_for_the_end(void) {
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(say_how_to_repeat);
    } else {
        signal(SIGSEGV, on_signal);
        signal(SIGBUS, on_signal);
    }
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);
}

static void play(const unsigned char *input, size_t size) {
    watchdog_restart();
    LLVMFuzzerTestOneInput(input, size);
}

static int play_file(const char *path) {
    static unsigned char input[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    size_t size = fread(input, 1, sizeof input, file);
    fclose(file);
    snprintf(how_to_repeat, sizeof how_to_repeat, "\nbroken by an input; repeat: %.200s %.240s\n",
             program_name, path);
    play(input, size);
    return 0;
}

static size_t played;

/* A file, or all that lie in a folder. */
static int play_path(const char *path) {
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, alphasort);
    if (count < 0) {
        played++;
        return play_file(path);
    }
    int failed = 0;
    for (int i = 0; i < count; i++) {
        char inner[1024];
        snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.') {
            played++;
            failed += play_file(inner);
        }
        free(names[i]);
    }
    free(names);
    return failed;
}

/* Not a failure: such an opcode is tried, too, but with nothing in its parameters. */
static int name_unknown_opcodes(const char *header) {
    char line[512];
    char name[128];
    unsigned number;
    int unknown = 0;
    FILE *file = fopen(header, "r");
    REQUIRE(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, " %127[A-Z0-9_] = %u", name, &number) == 2 && number != FERRY_OP_POST &&
            !hostile_knows((uint16_t)number)) {
            printf("no row in tests/fuzz/opcodes.c: %s\n", name);
            unknown++;
        }
    }
    fclose(file);
    return unknown == 0 ? 0 : EXIT_SKIPPED;
}

static void play_seed(unsigned long long seed) {
    unsigned char input[SEED_PROGRAM_SIZE];
    source s = source_of_seed(seed);
    size_t size = 100 + source_take(&s, 2) % (sizeof input - 100);
    for (size_t i = 0; i < size; i++) {
        input[i] = (unsigned char)source_take(&s, 1);
    }
    snprintf(how_to_repeat, sizeof how_to_repeat,
             "\nbroken by seed %llu; repeat: %s --seeds %llu\n", seed, program_name, seed);
    play(input, size);
}

int main(int count, char **arguments) {
    program_name = arguments[0];
    watch_for_the_end();
    if (driver_is_missing()) {
        return EXIT_SKIPPED;
    }
    if (count == 4 && strcmp(arguments[1], "--from") == 0) {
        unsigned long long first = strtoull(arguments[2], NULL, 10);
        unsigned long long seeds = strtoull(arguments[3], NULL, 10);
        for (unsigned long long i = 0; i < seeds; i++) {
            play_seed(first + i);
        }
        printf("%llu programs, seeds %llu to %llu\n", seeds, first, first + seeds - 1);
        return 0;
    }
    if (count == 3 && strcmp(arguments[1], "--opcodes") == 0) {
        return name_unknown_opcodes(arguments[2]);
    }
    if (count < 2) {
        fprintf(stderr, "usage: %s FILE|FOLDER... | --seeds N... | --from N COUNT\n", arguments[0]);
        return EXIT_USAGE;
    }
    bool seeds = strcmp(arguments[1], "--seeds") == 0;
    int failed = 0;
    for (int i = seeds ? 2 : 1; i < count; i++) {
        if (seeds) {
            play_seed(strtoull(arguments[i], NULL, 10));
            played++;
        } else {
            failed += play_path(arguments[i]);
        }
    }
    printf("%zu programs\n", played);
    return failed == 0 ? 0 : 1;
}
