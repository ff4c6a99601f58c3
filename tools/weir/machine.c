/* SPDX-License-Identifier: MIT
 * The machine's description, from /proc and /sys; see machine.h. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "json.h"
#include "libc.h"

/** What follows `key` and a colon or an equals sign, in the first line of the file that begins with it. With an empty
 *  key: the first line. NULL if there is none. The caller frees. */
static char *find_line(const char *path, const char *key)
{
    FILE *file = fopen(path, "re");
    char *line = NULL, *found = NULL;
    size_t size = 0, length = strlen(key);
    while (file != NULL && found == NULL && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, key, length) != 0)
            continue;
        const char *rest = line + length + (length > 0 ? strspn(line + length, " \t:=\"") : 0);
        found = text_format("%s", rest);
        if (length > 0 && found[0] != '\0' && found[strlen(found) - 1] == '"')
            found[strlen(found) - 1] = '\0';
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return found;
}

static json_t *take_text(char *text)
{
    json_t *value = text != NULL ? json_text(text) : json_null();
    free(text);
    return value;
}

/** The word in brackets: "always [madvise] never". */
static char *chosen(char *text)
{
    char *open = text != NULL ? strchr(text, '[') : NULL;
    char *word = open != NULL ? text_format("%.*s", (int)strcspn(open + 1, "]"), open + 1) : NULL;
    free(text);
    return word;
}

static json_t *is_virtual(void)
{
    char *flags = find_line("/proc/cpuinfo", "flags");
    json_t *value = flags == NULL ? json_null() : json_boolean(strstr(flags, "hypervisor") != NULL);
    free(flags);
    return value;
}

/** To 64 MiB: what the kernel keeps for itself differs a little from one start to the next. */
static json_int_t round_memory(const char *kibibytes)
{
    const json_int_t step = 64 << 20;
    return (atoll(kibibytes) * 1024 + step / 2) / step * step;
}

json_t *machine_describe(void)
{
    json_t *o = json_object();
    struct utsname name;
    uname(&name);
    char *memory = find_line("/proc/meminfo", "MemTotal");
    json_object_set_new(o, "cpu", take_text(find_line("/proc/cpuinfo", "model name")));
    json_object_set_new(o, "cpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(o, "virtual", is_virtual());
    json_object_set_new(o, "governor",
                        take_text(find_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "")));
    json_object_set_new(o, "memory_bytes", memory != NULL ? json_integer(round_memory(memory)) : json_null());
    json_object_set_new(o, "page_bytes", json_integer(sysconf(_SC_PAGESIZE)));
    json_object_set_new(o, "transparent_huge_pages",
                        take_text(chosen(find_line("/sys/kernel/mm/transparent_hugepage/enabled", ""))));
    json_object_set_new(o, "architecture", json_text(name.machine));
    json_object_set_new(o, "kernel", take_text(text_format("%s %s", name.sysname, name.release)));
    json_object_set_new(o, "system", take_text(find_line("/etc/os-release", "PRETTY_NAME")));
    json_object_set_new(o, "libc", take_text(libc_version()));
    free(memory);
    return o;
}

struct strings machine_lines(const json_t *machine)
{
    struct strings list = {0};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)machine, key, value)
    {
        char *title = text_format("%s", key);
        for (char *c = title; *c != '\0'; c++)
            *c = *c == '_' ? ' ' : *c;
        char *bytes = strstr(title, " bytes");
        if (bytes != NULL)
            *bytes = '\0';
        if (json_is_string(value))
            strings_add(&list, "%s: %s", title, json_string_value(value));
        else if (json_is_integer(value) && bytes != NULL)
            strings_add(&list, "%s: %s", title, text_bytes((uint64_t)json_integer_value(value)));
        else if (json_is_integer(value))
            strings_add(&list, "%s: %lld", title, (long long)json_integer_value(value));
        else if (json_is_boolean(value))
            strings_add(&list, "%s: %s", title, json_is_true(value) ? "yes" : "no");
        free(title);
    }
    return list;
}
