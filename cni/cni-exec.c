/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Delegation to the IPAM plugin: see cni-exec.h. */

#include <config.h>
#include "cni-exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* An answer of an IPAM plugin is far smaller. */
#define MAX_ANSWER (1024 * 1024)

static char *find_plugin(const char *path, const char *name);
static int spawn_plugin(struct cni_delegate *, int in, int out);
static void write_all(int fd, const char *data, size_t size);
static char *read_all(int fd, size_t *sizep);
static int reap(struct cni_delegate *);

struct cni_error *
cni_delegate_start(struct cni_delegate *d, const struct cni_call *call,
                   const char *command)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 };
    struct cni_error *error = NULL;

    d->file = find_plugin(call->path, call->ipam_type);
    if (!d->file) {
        return cni_error(CNI_BAD_CONFIG, "failed to find plugin \"%s\" in "
                         "path [%s] (CNI_PATH)", call->ipam_type, call->path);
    }
    char *args = cni_ipam_args();
    setenv("CNI_ARGS", args, 1);
    setenv("CNI_COMMAND", command, 1);
    free(args);
    int failure = (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ? errno
                   : spawn_plugin(d, in[0], out[1]));
    close(in[0]);
    close(out[1]);
    d->in = in[1];
    d->out = out[0];
    if (failure) {
        error = cni_error(CNI_IO_FAILURE, "cannot run %s: %s", d->file,
                          strerror(failure));
        close(d->in);
        close(d->out);
        free(d->file);
        d->file = NULL;
    }
    return error;
}

void
cni_delegate_feed(struct cni_delegate *d, const json_t *conf)
{
    char *text = json_dumps(conf, JSON_COMPACT);

    write_all(d->in, text, strlen(text));
    free(text);
    close(d->in);
    d->in = -1;
}

struct cni_error *
cni_delegate_finish(struct cni_delegate *d, json_t **result)
{
    struct cni_error *error = NULL;
    json_t *answer;
    size_t size;
    char *buf;

    buf = read_all(d->out, &size);

    int status = reap(d);
    answer = size ? json_loadb(buf, size, 0, NULL) : NULL;
    free(buf);
    if (status) {
        error = cni_error(CNI_IPAM_FAILED, "%s failed (%s %d) without an "
                          "error object", d->file,
                          WIFSIGNALED(status) ? "signal" : "status",
                          WIFSIGNALED(status) ? WTERMSIG(status)
                          : WEXITSTATUS(status));
        if (json_is_integer(json_object_get(answer, "code"))) {
            error->verbatim = json_incref(answer);
        }
    } else if (result && !json_is_object(answer)) {
        error = cni_error(CNI_IPAM_FAILED, "%s: its answer is no JSON object",
                          d->file);
    }
    if (result && !error) {
        *result = answer;
    } else {
        json_decref(answer);
    }
    free(d->file);
    d->file = NULL;
    return error;
}

void
cni_delegate_cancel(struct cni_delegate *d)
{
    if (d->file) {
        kill(d->pid, SIGKILL);
        reap(d);
        free(d->file);
        d->file = NULL;
    }
}

/* Finds 'name' in the folders of 'path'.  Freed by the caller; NULL if it is
 * in none. */
static char *
find_plugin(const char *path, const char *name)
{
    char *copy = strdup(path), *save = NULL, *found = NULL;

    for (char *dir = strtok_r(copy, ":", &save); dir && !found;
         dir = strtok_r(NULL, ":", &save)) {
        if (asprintf(&found, "%s/%s", dir, name) < 0) {
            abort();
        }
        if (access(found, X_OK)) {
            free(found);
            found = NULL;
        }
    }
    free(copy);
    return found;
}

/* Runs 'd->file'.  Returns 0 or a positive errno value. */
static int
spawn_plugin(struct cni_delegate *d, int in, int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t sigpipe;
    int failure;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    /* It is ignored here. */
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &sigpipe);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
    failure = posix_spawn(&d->pid, d->file, &actions, &attr,
                          (char *[]) { d->file, NULL }, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return failure;
}

static void
write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno != EINTR) {
            return;             /* Its exit status will tell. */
        } else if (n > 0) {
            data += n;
            size -= n;
        }
    }
}

static char *
read_all(int fd, size_t *sizep)
{
    char *buf = malloc(MAX_ANSWER);
    size_t size = 0;

    while (buf && size < MAX_ANSWER) {
        ssize_t n = read(fd, buf + size, MAX_ANSWER - size);

        if (n < 0 && errno == EINTR) {
            continue;
        } else if (n <= 0) {
            break;
        }
        size += n;
    }
    *sizep = size;
    return buf;
}

/* Waits for the plugin's end, and returns its status as waitpid() does. */
static int
reap(struct cni_delegate *d)
{
    int status;

    if (d->in >= 0) {
        close(d->in);
    }
    close(d->out);
    while (waitpid(d->pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return status;
}
