/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for libFuzzer where the compiler has none: runs every file of the given files and directories through the
 * target once. Without an argument: the target's own corpus, srcdir/tests/fuzz/corpus/NAME for fuzz_NAME.
 * Options of libFuzzer (-runs=0 …) are passed over. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *stream = fopen(path, "re");
    uint8_t *whole = malloc(INPUT_MAX), *exact;
    size_t size;
    if (!stream || !whole) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    size = fread(whole, 1, INPUT_MAX, stream);
    fclose(stream);
    /* Of its exact size, so that a sanitizer sees the first byte that is read too far. */
    exact = malloc(size > 0 ? size : 1);
    if (!exact)
        exit(EXIT_FAILURE);
    memcpy(exact, whole, size);
    free(whole);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

static int run(const char *path)
{
    struct dirent **entries;
    struct stat st;
    int count, runs = 0;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return run_file(path);
    count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    for (int i = 0; i < count; i++) {
        char *file;

        if (entries[i]->d_name[0] != '.' && asprintf(&file, "%s/%s", path, entries[i]->d_name) >= 0) {
            runs += run_file(file);
            free(file);
        }
        free(entries[i]);
    }
    free(entries);
    return runs;
}

static int run_own_corpus(const char *program)
{
    const char *srcdir = getenv("srcdir"), *name = strstr(program, "fuzz_");
    char *path;
    int runs;
    /* The last "fuzz_": a directory may have one too. */
    for (const char *next = name; next; next = strstr(name + 1, "fuzz_"))
        name = next;
    if (!name || asprintf(&path, "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", name + 5) < 0)
        return 0;
    runs = run(path);
    free(path);
    return runs;
}

int main(int argc, char **argv)
{
    int runs = 0;
    if (argc == 1)
        runs = run_own_corpus(argv[0]);
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-')
            runs += run(argv[i]);
    }
    printf("%s: %d inputs\n", argv[0], runs);
    /* None at all proves nothing. */
    return runs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
