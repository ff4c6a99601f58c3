/* SPDX-License-Identifier: MIT
 * Small programs run for the tool's own purposes; see child.h. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/** In the child: while the tool measures it ignores SIGPIPE, and its children are not to. */
static void mind_pipes(void) { sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL); }

/** In the child. */
static void become(char *const argv[], int in, int out)
{
    int null = open("/dev/null", O_RDWR);
    mind_pipes();
    unsetenv("LD_PRELOAD");
    dup2(in, 0);
    dup2(null, 2);
    dup2(out, 1);
    execv(argv[0], argv);
    _exit(TOOL_NOT_FOUND);
}

static int wait_for(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return TOOL_FAILED;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/** All that comes from `fd`, up to a limit. */
static char *read_all(int fd)
{
    enum { MOST = 4 << 20 };
    char *text = malloc(MOST + 1);
    size_t length = 0;
    ssize_t n;
    if (text == NULL)
        tool_die("out of memory");
    while (length < MOST && (n = read(fd, text + length, MOST - length)) != 0)
        if (n > 0)
            length += (size_t)n;
        else if (errno != EINTR)
            break;
    text[length] = '\0';
    return text;
}

/** Input goes through a file, so that neither side waits for the other. */
static int open_text(const char *text)
{
    FILE *file = tmpfile();
    if (file == NULL || fputs(text, file) < 0 || fflush(file) != 0)
        tool_die("cannot make a temporary file: %m");
    int fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, 3);
    fclose(file);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

char *child_filter(char *const argv[], const char *input)
{
    int end[2], in = open_text(input);
    if (pipe2(end, O_CLOEXEC) != 0)
        tool_die("cannot start %s: %m", argv[0]);
    pid_t child = fork();
    if (child == 0)
        become(argv, in, end[1]);
    close(end[1]);
    close(in);
    char *text = child > 0 ? read_all(end[0]) : NULL;
    close(end[0]);
    if (child > 0 && wait_for(child) != 0) {
        free(text);
        text = NULL;
    }
    return text;
}

char *child_output(char *const argv[]) { return child_filter(argv, ""); }

int child_shell(const char *line, const char *directory)
{
    pid_t child = fork();
    if (child == 0) {
        mind_pipes();
        unsetenv("LD_PRELOAD");
        dup2(2, 1); /* standard output is for the report */
        if (directory != NULL && chdir(directory) != 0)
            _exit(TOOL_FAILED);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(TOOL_NOT_FOUND);
    }
    return child > 0 ? wait_for(child) : TOOL_FAILED;
}
