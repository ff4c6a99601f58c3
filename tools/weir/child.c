/* SPDX-License-Identifier: MIT
 * Small programs run for the tool's own purposes; see child.h. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/** In the child. */
static void become(char *const argv[], int out)
{
    int null = open("/dev/null", O_RDWR);
    unsetenv("LD_PRELOAD");
    dup2(null, 0);
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

char *child_output(char *const argv[])
{
    enum { MOST = 1 << 20 };
    int end[2];
    if (pipe2(end, O_CLOEXEC) != 0)
        return NULL;
    pid_t child = fork();
    if (child == 0)
        become(argv, end[1]);
    close(end[1]);
    char *text = child > 0 ? malloc(MOST + 1) : NULL;
    size_t length = 0;
    ssize_t n;
    while (text != NULL && length < MOST && (n = read(end[0], text + length, MOST - length)) != 0)
        if (n > 0)
            length += (size_t)n;
        else if (errno != EINTR)
            break;
    close(end[0]);
    if (child > 0 && wait_for(child) != 0) {
        free(text);
        text = NULL;
    }
    if (text != NULL)
        text[length] = '\0';
    return text;
}

int child_shell(const char *line, const char *directory)
{
    pid_t child = fork();
    if (child == 0) {
        unsetenv("LD_PRELOAD");
        dup2(2, 1); /* standard output is for the report */
        if (directory != NULL && chdir(directory) != 0)
            _exit(TOOL_FAILED);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(TOOL_NOT_FOUND);
    }
    return child > 0 ? wait_for(child) : TOOL_FAILED;
}
