/* SPDX-License-Identifier: MIT
 * Pointers that Weir never gave: a static, the stack, a mapping of the program's own. */
#include "case.h"

#include <malloc.h>
#include <sys/mman.h>

static char object[64] __attribute__((aligned(16)));

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    char local[64] __attribute__((aligned(16))) = "stays";
    char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *volatile pointers[] = {object, local, mapped, mapped + 16, (char *)16, (char *)-16,
                                 (char *)0x123456789abcdef0};

    strcpy(object, "stays");
    say("%p\n", pointers[0]);
    for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
        errno = 77;
        if (strcmp(what, "free") == 0)
            free(pointers[i]);
        if (strcmp(what, "usable") == 0)
            CHECK(malloc_usable_size(pointers[i]) == 0);
        CHECK(errno == 77);
        if (strcmp(what, "realloc") == 0) {
            CHECK(realloc(pointers[i], 200) == NULL);
            CHECK(errno != 0);
        }
    }
    CHECK(strcmp(object, "stays") == 0 && strcmp(local, "stays") == 0);
    char *block = malloc(64);
    CHECK(block != NULL && block != object && block != local);
    free(block);
    return 0;
}
