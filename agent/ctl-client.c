/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asking lateend over its control socket: see ctl-client.h. */

#include <config.h>
#include "ctl-client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* No answer is larger than that: a dump of a million flows. */
#define MAX_ANSWER ((size_t) 1 << 30)

char *
ctl_socket_path(const char *target)
{
    const char *rundir = getenv("LATEEN_RUNDIR");
    char *path;

    if (target) {
        return strdup(target);
    }
    if (asprintf(&path, "%s/lateend.ctl",
                 rundir && *rundir ? rundir : LATEEN_RUNDIR) < 0) {
        abort();
    }
    return path;
}

static int
connect_socket(const char *path, int timeout)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    struct timeval tv = { .tv_sec = timeout };
    int fd;

    if (strlen(path) >= sizeof sun.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(sun.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    if (connect(fd, (struct sockaddr *) &sun, sizeof sun)) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static bool
send_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR) {
            return false;
        } else if (n > 0) {
            data += n;
            size -= n;
        }
    }
    return true;
}

void
ctl_ask(struct ctl_call *call, const char *path, const char *method,
        const char *const *args, size_t n, int timeout)
{
    json_t *params = json_array();
    json_t *request;
    char *text;

    for (size_t i = 0; i < n; i++) {
        json_array_append_new(params, json_string(args[i]));
    }
    request = json_pack("{s:s, s:o, s:i}", "method", method,
                        "params", params, "id", 0);
    text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);

    call->error = 0;
    if (!text) {
        call->fd = -1;
        call->error = EILSEQ;
        return;
    }
    call->fd = connect_socket(path, timeout);
    if (call->fd < 0) {
        call->error = errno;
    } else if (!send_all(call->fd, text, strlen(text))) {
        call->error = errno;
        close(call->fd);
        call->fd = -1;
    }
    free(text);
}

/* Reads one JSON object.  The agent keeps the connection open after it, so
 * its end has to be found in the text itself.  NULL with errno on failure; 0
 * stands for an end too early. */
static json_t *
read_object(int fd)
{
    bool in_string = false, escaped = false;
    size_t n = 0, allocated = 0, depth = 0;
    char *buf = NULL;
    int error;

    for (;;) {
        if (n == allocated) {
            char *larger;

            allocated = allocated ? 2 * allocated : 16384;
            larger = allocated <= MAX_ANSWER ? realloc(buf, allocated) : NULL;
            if (!larger) {
                error = ENOMEM;
                break;
            }
            buf = larger;
        }
        ssize_t got = read(fd, buf + n, allocated - n);
        if (got <= 0) {
            if (got && errno == EINTR) {
                continue;
            }
            error = got ? errno : 0;
            break;
        }
        for (size_t end = n + got; n < end; n++) {
            char c = buf[n];

            if (escaped) {
                escaped = false;
            } else if (in_string) {
                escaped = c == '\\';
                in_string = c != '"';
            } else if (c == '"') {
                in_string = true;
            } else if (c == '{' || c == '[') {
                depth++;
            } else if ((c == '}' || c == ']') && depth && !--depth) {
                json_t *object = json_loadb(buf, n + 1, 0, NULL);

                free(buf);
                errno = EPROTO;
                return object;
            }
        }
    }
    free(buf);
    errno = error;
    return NULL;
}

static json_t *
fail(char **error, const char *what, const char *why)
{
    if (asprintf(error, "%s%s%s", what, why ? ": " : "",
                 why ? why : "") < 0) {
        abort();
    }
    return NULL;
}

json_t *
ctl_answer(struct ctl_call *call, char **error, int *reached)
{
    json_t *answer, *value;

    *error = NULL;
    *reached = 0;
    if (call->fd < 0) {
        return fail(error, "cannot reach lateend", strerror(call->error));
    }
    answer = read_object(call->fd);
    if (!answer) {
        int why = errno;

        close(call->fd);
        return fail(error, "lateend gave no answer",
                    (why == EAGAIN ? "the time was up"
                     : why ? strerror(why)
                     : "it closed the connection"));
    }
    close(call->fd);

    *reached = 1;
    value = json_object_get(answer, "error");
    if (json_is_string(value)) {
        char *text = strdup(json_string_value(value));

        text[strcspn(text, "\n")] = '\0';
        *error = text;
        json_decref(answer);
        return NULL;
    }
    value = json_object_get(answer, "result");
    value = (json_is_string(value)
             ? json_loads(json_string_value(value), JSON_DECODE_ANY, NULL)
             : NULL);
    json_decref(answer);
    return value ? value : fail(error, "lateend's answer is no JSON", NULL);
}
