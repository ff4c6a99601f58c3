/* SPDX-License-Identifier: MIT
 * An object is deleted twice. */
#include "abuse.h"

struct object {
    char bytes[48];
};

int main()
{
    object *first = new object, *second = new object, *third = new object;

    at(second);
    delete second;
    delete static_cast<object *>(launder(second));
    CHECK(first != third);
    return survived();
}
