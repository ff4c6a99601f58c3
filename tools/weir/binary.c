/* SPDX-License-Identifier: MIT
 * A bounded reader of ELF files; see binary.h. Every offset, size and index of the file is checked against the file and
 * against a limit before it is used, and tables are copied, so that a file changed meanwhile does no harm. */
#include "binary.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef EM_LOONGARCH /* younger than some C libraries' headers */
#define EM_LOONGARCH 258
#endif

enum { HEADERS_MOST = 65535, DYNAMIC_MOST = 1 << 20, TABLE_MOST = 128 << 20 };

struct elf {
    int fd;
    uint64_t size;
    Elf64_Ehdr header;
    Elf64_Phdr *segment;
    Elf64_Shdr *section;
    size_t segments, sections;
};

/** A copy of `length` bytes at `offset`, with a NUL behind; NULL if they are not all in the file or are too many. */
static void *slice(const struct elf *e, uint64_t offset, uint64_t length, uint64_t most)
{
    if (length == 0 || length > most || offset > e->size || length > e->size - offset)
        return NULL;
    char *copy = malloc(length + 1);
    if (copy == NULL)
        return NULL;
    uint64_t done = 0;
    while (done < length) {
        ssize_t n = pread(e->fd, copy + done, length - done, (off_t)(offset + done));
        if (n <= 0) {
            free(copy);
            return NULL;
        }
        done += (uint64_t)n;
    }
    copy[length] = '\0';
    return copy;
}

static const char *machine_name(const unsigned char *ident, unsigned machine)
{
    static const struct {
        unsigned machine;
        const char *name;
    } name[] = {
        {EM_386, "i386"},    {EM_X86_64, "x86-64"}, {EM_ARM, "arm"},   {EM_AARCH64, "aarch64"},     {EM_RISCV, "riscv"},
        {EM_PPC64, "ppc64"}, {EM_S390, "s390"},     {EM_MIPS, "mips"}, {EM_LOONGARCH, "loongarch"},
    };
    if (ident[EI_CLASS] == ELFCLASS32)
        return "32-bit code";
    for (size_t i = 0; i < TOOL_COUNT(name); i++)
        if (name[i].machine == machine)
            return name[i].name;
    return "code for another machine";
}

static bool read_header(struct elf *e, Elf64_Ehdr *header)
{
    Elf64_Ehdr *copy = slice(e, 0, sizeof *copy, sizeof *copy);
    if (copy == NULL)
        return false;
    *header = *copy;
    free(copy);
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0;
}

/** The machine that this tool, and so the library beside it, is built for. */
static unsigned own_machine(void)
{
    struct elf self = {.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), .size = sizeof(Elf64_Ehdr)};
    Elf64_Ehdr header = {0};
    if (self.fd < 0)
        return EM_NONE;
    read_header(&self, &header);
    close(self.fd);
    return header.e_machine;
}

static bool is_native(const Elf64_Ehdr *h)
{
    const union {
        uint16_t word;
        unsigned char low;
    } order = {1};
    unsigned machine = own_machine();
    return h->e_ident[EI_CLASS] == ELFCLASS64 && h->e_ident[EI_DATA] == (order.low ? ELFDATA2LSB : ELFDATA2MSB) &&
           (machine == EM_NONE || h->e_machine == machine);
}

static void read_tables(struct elf *e)
{
    const Elf64_Ehdr *h = &e->header;
    if (h->e_phentsize == sizeof *e->segment)
        e->segment = slice(e, h->e_phoff, (uint64_t)h->e_phnum * sizeof *e->segment, HEADERS_MOST * sizeof *e->segment);
    if (h->e_shentsize == sizeof *e->section)
        e->section = slice(e, h->e_shoff, (uint64_t)h->e_shnum * sizeof *e->section, HEADERS_MOST * sizeof *e->section);
    e->segments = e->segment != NULL ? h->e_phnum : 0;
    e->sections = e->section != NULL ? h->e_shnum : 0;
}

static const Elf64_Phdr *find_segment(const struct elf *e, uint32_t type)
{
    for (size_t i = 0; i < e->segments; i++)
        if (e->segment[i].p_type == type)
            return &e->segment[i];
    return NULL;
}

static void read_loader(const struct elf *e, struct binary *b)
{
    const Elf64_Phdr *p = find_segment(e, PT_INTERP);
    if (p == NULL)
        return;
    b->dynamic = true;
    char *path = slice(e, p->p_offset, p->p_filesz, 4096);
    if (path != NULL)
        snprintf(b->loader, sizeof b->loader, "%s", path);
    free(path);
}

/** Where in the file the loader's address `address` comes from; e->size if nowhere. */
static uint64_t offset_of(const struct elf *e, uint64_t address)
{
    for (size_t i = 0; i < e->segments; i++) {
        const Elf64_Phdr *p = &e->segment[i];
        if (p->p_type == PT_LOAD && address >= p->p_vaddr && address - p->p_vaddr < p->p_filesz)
            return p->p_offset + (address - p->p_vaddr);
    }
    return e->size;
}

static uint64_t dynamic_value(const Elf64_Dyn *entry, size_t entries, int64_t tag)
{
    for (size_t i = 0; i < entries && entry[i].d_tag != DT_NULL; i++)
        if (entry[i].d_tag == tag)
            return entry[i].d_un.d_val;
    return 0;
}

static void read_dynamic(const struct elf *e, struct binary *b)
{
    const Elf64_Phdr *p = find_segment(e, PT_DYNAMIC);
    Elf64_Dyn *entry = p != NULL ? slice(e, p->p_offset, p->p_filesz, DYNAMIC_MOST) : NULL;
    if (entry == NULL)
        return;
    size_t entries = p->p_filesz / sizeof *entry;
    uint64_t length = dynamic_value(entry, entries, DT_STRSZ);
    char *name = slice(e, offset_of(e, dynamic_value(entry, entries, DT_STRTAB)), length, TABLE_MOST);
    for (size_t i = 0; name != NULL && i < entries && entry[i].d_tag != DT_NULL; i++) {
        uint64_t at = entry[i].d_un.d_val;
        if (at >= length)
            continue;
        if (entry[i].d_tag == DT_NEEDED)
            strings_add(&b->needed, "%s", name + at);
        else if (entry[i].d_tag == DT_SONAME && b->soname == NULL)
            b->soname = text_format("%s", name + at);
    }
    free(name);
    free(entry);
}

/* Functions that tell what is linked into a program. */
static const struct sign {
    const char *symbol;
    const char *allocator;
    const char *sanitizer;
} sign[] = {
    {"je_malloc", "jemalloc", NULL},
    {"mallocx", "jemalloc", NULL},
    {"_rjem_malloc", "jemalloc", NULL},
    {"_rjem_mallocx", "jemalloc", NULL},
    {"tc_malloc", "tcmalloc", NULL},
    {"MallocExtension_ReleaseFreeMemory", "tcmalloc", NULL},
    {"TCMallocInternalMalloc", "tcmalloc", NULL},
    {"mi_malloc", "mimalloc", NULL},
    {"scalable_malloc", "tbbmalloc", NULL},
    {"rpmalloc", "rpmalloc", NULL},
    {"__asan_init", NULL, "AddressSanitizer"},
    {"__hwasan_init", NULL, "HWAddressSanitizer"},
    {"__tsan_init", NULL, "ThreadSanitizer"},
    {"__msan_init", NULL, "MemorySanitizer"},
    {"__lsan_init", NULL, "LeakSanitizer"},
};

static void judge_symbol(const char *symbol, bool exported, struct binary *b)
{
    if (exported && strcmp(symbol, "malloc") == 0)
        b->own_malloc = true;
    for (size_t i = 0; i < TOOL_COUNT(sign); i++) {
        if (strcmp(symbol, sign[i].symbol) != 0)
            continue;
        if (sign[i].allocator != NULL)
            b->allocator = sign[i].allocator;
        else
            b->sanitizer = sign[i].sanitizer;
    }
}

/** Looks through the functions that the symbol table in section s defines. */
static void read_symbols(const struct elf *e, const Elf64_Shdr *s, struct binary *b)
{
    if (s->sh_link >= e->sections)
        return;
    uint64_t names = e->section[s->sh_link].sh_size;
    char *name = slice(e, e->section[s->sh_link].sh_offset, names, TABLE_MOST);
    Elf64_Sym *symbol = slice(e, s->sh_offset, s->sh_size, TABLE_MOST);
    size_t symbols = name != NULL && symbol != NULL ? s->sh_size / sizeof *symbol : 0;
    for (size_t i = 0; i < symbols; i++) {
        unsigned type = ELF64_ST_TYPE(symbol[i].st_info);
        if (symbol[i].st_shndx != SHN_UNDEF && symbol[i].st_name < names && (type == STT_FUNC || type == STT_GNU_IFUNC))
            judge_symbol(name + symbol[i].st_name, s->sh_type == SHT_DYNSYM, b);
    }
    free(symbol);
    free(name);
}

static void read_sections(const struct elf *e, struct binary *b)
{
    size_t index = e->header.e_shstrndx;
    uint64_t names = index < e->sections ? e->section[index].sh_size : 0;
    char *name = names > 0 ? slice(e, e->section[index].sh_offset, names, DYNAMIC_MOST) : NULL;
    for (size_t i = 0; i < e->sections; i++) {
        const Elf64_Shdr *s = &e->section[i];
        if (s->sh_type == SHT_DYNSYM || s->sh_type == SHT_SYMTAB)
            read_symbols(e, s, b);
        if (name != NULL && s->sh_name < names &&
            (strcmp(name + s->sh_name, ".go.buildinfo") == 0 || strcmp(name + s->sh_name, ".note.go.buildid") == 0))
            b->go = true;
    }
    free(name);
}

bool binary_read(int fd, struct binary *b)
{
    *b = (struct binary){0};
    struct stat status;
    struct elf e = {.fd = fd};
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    e.size = (uint64_t)status.st_size;
    if (!read_header(&e, &e.header))
        return false;
    b->native = is_native(&e.header);
    if (!b->native) {
        b->architecture = machine_name(e.header.e_ident, e.header.e_machine);
        return true;
    }
    read_tables(&e);
    read_loader(&e, b);
    read_dynamic(&e, b);
    read_sections(&e, b);
    free(e.segment);
    free(e.section);
    return true;
}

void binary_free(struct binary *b)
{
    strings_free(&b->needed);
    free(b->soname);
    *b = (struct binary){0};
}

const char *binary_allocator_of(const char *soname)
{
    static const char *const name[] = {"jemalloc", "tcmalloc", "mimalloc", "tbbmalloc", "snmalloc", "rpmalloc"};
    for (size_t i = 0; strncmp(soname, "lib", 3) == 0 && i < TOOL_COUNT(name); i++)
        if (strncmp(soname + 3, name[i], strlen(name[i])) == 0)
            return name[i];
    return NULL;
}

const char *binary_sanitizer_of(const char *soname)
{
    static const struct {
        const char *library, *name;
    } known[] = {
        {"libasan.so", "AddressSanitizer"},
        {"libhwasan.so", "HWAddressSanitizer"},
        {"libtsan.so", "ThreadSanitizer"},
        {"liblsan.so", "LeakSanitizer"},
    };
    for (size_t i = 0; i < TOOL_COUNT(known); i++)
        if (strncmp(soname, known[i].library, strlen(known[i].library)) == 0)
            return known[i].name;
    return NULL;
}
