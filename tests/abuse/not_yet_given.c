/* SPDX-License-Identifier: MIT
 * A neighbour of a block that was never allocated is freed. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t size = number(argc, argv, 1, 512);
    char *first = malloc(size), *second = malloc(size);

    CHECK(first != NULL && second != NULL);
    free(at(second + malloc_usable_size(second))); /* of a fresh pool: the third place, or the next page */
    return survived();
}
