/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Gives each file that an argument names to a fuzz target, once. */

#include <config.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file || fseek(file, 0, SEEK_END)) {
            perror(argv[i]);
            return 1;
        }
        long int size = ftell(file);
        rewind(file);

        /* In a block of its very size, so that reading beyond is seen. */
        uint8_t *data = malloc(size ? size : 1);
        if (!data || fread(data, 1, size, file) != size) {
            perror(argv[i]);
            return 1;
        }
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    printf("%d inputs\n", argc - 1);
    return 0;
}
