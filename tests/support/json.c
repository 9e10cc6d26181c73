#include "json.h"

#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const head =
    "import json, sys\n"
    "def once(pairs):\n"
    "    if len({name for name, _ in pairs}) != len(pairs):\n"
    "        sys.exit(f'a name twice: {pairs}')\n"
    "    return dict(pairs)\n"
    "def want(condition, what=''):\n"
    "    if not condition:\n"
    "        sys.exit(f'{what} is wrong in {json.dumps(d, indent=1)}')\n"
    "d = json.load(open(sys.argv[1]), object_pairs_hook=once)\n";

static void write_file(char *path, const void *bytes, size_t size) {
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    FILE *file = fdopen(fd, "w");
    REQUIRE(file != NULL);
    REQUIRE(fwrite(bytes, 1, size, file) == size);
    REQUIRE(fclose(file) == 0);
}

void json_check(const char *text, size_t size, const char *format, ...) {
    char script[16384];
    size_t used = (size_t)snprintf(script, sizeof script, "%s", head);
    va_list arguments;
    va_start(arguments, format);
    used += (size_t)vsnprintf(script + used, sizeof script - used, format, arguments);
    va_end(arguments);
    REQUIRE(used < sizeof script);
    char script_path[] = "/tmp/ferry-json-XXXXXX";
    char text_path[] = "/tmp/ferry-json-XXXXXX";
    write_file(script_path, script, used);
    write_file(text_path, text, size);
    char command[128];
    snprintf(command, sizeof command, "python3 %s %s", script_path, text_path);
    int status = system(command);
    unlink(script_path);
    unlink(text_path);
    if (status != 0) {
        fail_msg("the JSON is not what it should be");
    }
}
