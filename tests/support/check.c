#include "check.h"

#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No test takes a second on an idle machine; this only ends one that would never end. */
enum { WATCHDOG_SECONDS = 60 };

static size_t skipped;

void check_status(ferry_status actual, ferry_status expected, const char *text, const char *file,
                  int line) {
    if (actual != expected) {
        print_error("%s is %s (%d), not %s\n", text, ferry_status_name(actual), (int)actual,
                    ferry_status_name(expected));
        _fail(file, line);
    }
}

void check_status_either(ferry_status actual, ferry_status first, ferry_status second,
                         const char *text, const char *file, int line) {
    if (actual != first && actual != second) {
        print_error("%s is %s (%d), neither %s nor %s\n", text, ferry_status_name(actual),
                    (int)actual, ferry_status_name(first), ferry_status_name(second));
        _fail(file, line);
    }
}

void require_failed(const char *text, const char *file, int line) {
    fprintf(stderr, "%s:%d: this machine does not do what the test needs: %s (%s)\n", file, line,
            text, strerror(errno));
    abort();
}

void child_failed(const char *text, const char *file, int line) {
    fprintf(stderr, "%s:%d: in the child: %s\n", file, line, text);
    child_exit(1);
}

void note_skip(const char *reason) {
    skipped++;
    print_message("[  REASON  ] %s\n", reason);
}

int suite_result(int failed, size_t table_size) {
    if (failed == 0 && skipped == table_size / sizeof(struct CMUnitTest)) {
        return EXIT_SKIPPED;
    }
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void watchdog_restart(void) {
    alarm(WATCHDOG_SECONDS);
}

int plain_setup(void **state) {
    (void)state;
    watchdog_restart();
    return 0;
}
