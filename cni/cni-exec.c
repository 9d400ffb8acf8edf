/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Delegation to the IPAM plugin: see cni-exec.h. */

#include <config.h>
#include "cni-exec.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* An answer of an IPAM plugin is far smaller. */
#define MAX_ANSWER (1024 * 1024)

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
    ssize_t n = 1;

    while (buf && n && size < MAX_ANSWER) {
        n = read(fd, buf + size, MAX_ANSWER - size);
        if (n < 0) {
            if (errno != EINTR) {
                break;
            }
            n = 1;
            continue;
        }
        size += n;
    }
    *sizep = size;
    return buf;
}

struct cni_error *
cni_delegate(const struct cni_call *call, const char *command,
             const json_t *conf, json_t **result)
{
    char *file = find_plugin(call->path, call->ipam_type);
    struct cni_error *error = NULL;
    int in[2], out[2], status, failure;
    json_t *answer = NULL;
    char *text, *buf;
    size_t size;
    pid_t pid;

    if (!file) {
        return cni_error(CNI_BAD_CONFIG, "failed to find plugin \"%s\" in "
                         "path [%s] (CNI_PATH)", call->ipam_type, call->path);
    }
    if (pipe2(in, O_CLOEXEC)) {
        free(file);
        return cni_error(CNI_IO_FAILURE, "pipe: %s", strerror(errno));
    }
    if (pipe2(out, O_CLOEXEC)) {
        error = cni_error(CNI_IO_FAILURE, "pipe: %s", strerror(errno));
        close(in[0]);
        close(in[1]);
        free(file);
        return error;
    }
    text = json_dumps(conf, JSON_COMPACT);
    setenv("CNI_COMMAND", command, 1);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    failure = posix_spawn(&pid, file, &actions, NULL,
                          (char *[]) { file, NULL }, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    if (!failure) {
        write_all(in[1], text, strlen(text));
    }
    close(in[1]);
    buf = read_all(out[0], &size);
    close(out[0]);
    free(text);

    if (failure || waitpid(pid, &status, 0) < 0) {
        error = cni_error(CNI_IO_FAILURE, "cannot run %s: %s", file,
                          strerror(failure ? failure : errno));
    } else {
        answer = size ? json_loadb(buf, size, 0, NULL) : NULL;
        if (status) {
            error = cni_error(CNI_IPAM_FAILED, "%s failed (%s %d) without an "
                              "error object", file,
                              WIFSIGNALED(status) ? "signal" : "status",
                              WIFSIGNALED(status) ? WTERMSIG(status)
                              : WEXITSTATUS(status));
            if (json_is_integer(json_object_get(answer, "code"))) {
                error->verbatim = json_incref(answer);
            }
        } else if (result && !json_is_object(answer)) {
            error = cni_error(CNI_IPAM_FAILED, "%s: its answer is no JSON "
                              "object", file);
        }
    }
    if (result && !error) {
        *result = answer;
    } else {
        json_decref(answer);
    }
    free(buf);
    free(file);
    return error;
}
