/* Replay: the files of a folder, then so many inputs made from seeds. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1000 };

static uint8_t input[MOST];

int main(int count, char **arguments) {
    size_t files = 0;
    if (count != 3) {
        return 2;
    }
    DIR *folder = opendir(arguments[1]);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", arguments[1], entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "rb") : NULL;
        if (file != NULL) {
            LLVMFuzzerTestOneInput(input, fread(input, 1, MOST, file));
            fclose(file);
            files++;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    int seeds = atoi(arguments[2]);
    for (int seed = 1; seed <= seeds; seed++) {
        uint32_t state = (uint32_t)seed * UINT32_C(2654435761);
        size_t size = state >> 8 & 255;
        for (size_t i = 0; i < size; i++) {
            state = state * UINT32_C(1664525) + UINT32_C(1013904223);
            input[i] = (uint8_t)(state >> 24);
        }
        fprintf(stderr, "\rseed %d", seed);
        LLVMFuzzerTestOneInput(input, size);
    }
    printf("\n%zu files, %d seeds\n", files, seeds);
    return files == 0;
}
