/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whole files: see file.h. */

#include <config.h>
#include "agent/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "socket-util.h"
#include "util.h"

/* Reads all of 'fd', which has 'size' bytes, into 'text', of one more. */
static int
read_all(int fd, char *text, size_t size)
{
    size_t n = 0;

    /* One byte more shows a file that has grown. */
    while (n <= size) {
        ssize_t retval = read(fd, text + n, size + 1 - n);

        if (!retval) {
            break;
        } else if (retval > 0) {
            n += retval;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return n == size ? 0 : EAGAIN;
}

static bool
same_state(const struct stat *a, const struct stat *b)
{
    return (a->st_size == b->st_size
            && a->st_mtim.tv_sec == b->st_mtim.tv_sec
            && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec);
}

int
file_read(const char *name, size_t max_size, char **textp, size_t *sizep,
          struct stat *st)
{
    struct stat before, after;
    int error = 0;

    *textp = NULL;
    *sizep = 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno;
    }
    if (fstat(fd, &before)) {
        error = errno;
    } else if (!S_ISREG(before.st_mode)) {
        error = S_ISDIR(before.st_mode) ? EISDIR : EINVAL;
    } else if (before.st_size > max_size) {
        error = EFBIG;
    } else {
        char *text = xmalloc(before.st_size + 1);

        error = read_all(fd, text, before.st_size);
        if (!error && (fstat(fd, &after) || !same_state(&before, &after))) {
            error = EAGAIN;
        }
        if (!error) {
            text[before.st_size] = '\0';
            *textp = text;
            *sizep = before.st_size;
            if (st) {
                *st = before;
            }
        } else {
            free(text);
        }
    }
    close(fd);
    return error;
}

/* Writes 'text' into a new file 'name'. */
static int
write_new(const char *name, const char *text, size_t size, bool durable)
{
    size_t written;
    int error;

    if (unlink(name) && errno != ENOENT) {
        return errno;
    }
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  0644);
    if (fd < 0) {
        return errno;
    }
    error = write_fully(fd, text, size, &written);
    if (!error && durable && fsync(fd)) {
        error = errno;
    }
    if (close(fd) && !error) {
        error = errno;
    }
    return error;
}

static int
sync_dir(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    int error = fd < 0 || fsync(fd) ? errno : 0;

    if (fd >= 0) {
        close(fd);
    }
    return error;
}

int
file_replace(const char *name, const char *text, size_t size, bool durable)
{
    char *dir = dir_name(name);
    char *base = base_name(name);
    char *tmp = xasprintf("%s/.%s.tmp", dir, base);

    int error = write_new(tmp, text, size, durable);
    if (!error && rename(tmp, name)) {
        error = errno;
    }
    if (error) {
        unlink(tmp);
    } else if (durable) {
        error = sync_dir(dir);
    }
    free(tmp);
    free(base);
    free(dir);
    return error;
}
