/* SPDX-License-Identifier: MIT
 * The C library's name and version, and stand-ins for what others than glibc lack; see libc.h. */
#include "libc.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#ifdef __GLIBC__

#include <gnu/libc-version.h>

const char libc_name[] = "glibc";

char *libc_version(void) { return text_format("glibc %s", gnu_get_libc_version()); }

const char *libc_signal_name(int number) { return sigabbrev_np(number); }

const char *libc_errno_text(int number) { return strerrordesc_np(number); }

void libc_at_exit(void (*function)(int status, void *unused)) { on_exit(function, NULL); }

#else

const char libc_name[] = "musl";

char *libc_version(void) { return text_format("musl"); /* it does not tell which */ }

const char *libc_signal_name(int number)
{
    static const char *const name[] = {
        [SIGHUP] = "HUP",   [SIGINT] = "INT",   [SIGQUIT] = "QUIT",   [SIGILL] = "ILL",   [SIGTRAP] = "TRAP",
        [SIGABRT] = "ABRT", [SIGBUS] = "BUS",   [SIGFPE] = "FPE",     [SIGKILL] = "KILL", [SIGUSR1] = "USR1",
        [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2", [SIGPIPE] = "PIPE",   [SIGALRM] = "ALRM", [SIGTERM] = "TERM",
        [SIGCHLD] = "CHLD", [SIGCONT] = "CONT", [SIGSTOP] = "STOP",   [SIGTSTP] = "TSTP", [SIGTTIN] = "TTIN",
        [SIGTTOU] = "TTOU", [SIGURG] = "URG",   [SIGXCPU] = "XCPU",   [SIGXFSZ] = "XFSZ", [SIGVTALRM] = "VTALRM",
        [SIGPROF] = "PROF", [SIGIO] = "IO",     [SIGWINCH] = "WINCH", [SIGPWR] = "PWR",   [SIGSYS] = "SYS",
    };
    return number > 0 && (size_t)number < TOOL_COUNT(name) ? name[number] : NULL;
}

const char *libc_errno_text(int number)
{
    const char *text = strerror(number); /* one and the same for all that are none, 1 << 20 among them */
    return strcmp(text, strerror(1 << 20)) != 0 ? text : NULL;
}

static void (*at_exit)(int status, void *unused);

static void call_at_exit(void) { at_exit(0, NULL); }

void libc_at_exit(void (*function)(int status, void *unused))
{
    at_exit = function;
    atexit(call_at_exit);
}

#endif

const char *libc_path(void)
{
    Dl_info info;
    return dladdr((void *)(uintptr_t)getppid, &info) != 0 ? info.dli_fname : NULL;
}

bool libc_is_for(const char *loader)
{
    bool musl = strncmp(text_basename(loader), "ld-musl", 7) == 0;
    return *loader == '\0' || musl == (strcmp(libc_name, "musl") == 0);
}
