/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sysctls of the network: see sysctl.h. */

#include <config.h>
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(sysctl);

/* Reads the first line of 'path' to 'value'.  Returns 0 or a positive errno
 * value. */
static int
read_value(const char *path, char value[], size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, value, size - 1);
    int error = n < 0 ? errno : 0;

    if (fd >= 0) {
        close(fd);
    }
    value[MAX(n, 0)] = '\0';
    value[strcspn(value, "\n")] = '\0';
    return error;
}

static int
write_value(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, value, strlen(value));
    int error = n < 0 ? errno : 0;

    if (fd >= 0) {
        close(fd);
    }
    return error;
}

int
sysctl_set(const char *name, const char *only_from, const char *value,
           const char *why, char **errorp)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(20, 40);
    char *path = xasprintf("/proc/sys/net/%s", name);
    char old[64];
    int error = read_value(path, old, sizeof old);
    bool differs = (!error && strcmp(old, value)
                    && (!only_from || !strcmp(old, only_from)));

    if (differs) {
        error = write_value(path, value);
        if (!error) {
            VLOG_INFO_RL(&rl, "net/%s: from %s to %s, because %s",
                         name, old, value, why);
        }
    }
    free(path);
    if (error && error != ENOENT) {
        *errorp = xasprintf("cannot %s sysctl net/%s: %s",
                            differs ? "set" : "read", name,
                            ovs_strerror(error));
        return -1;
    }
    return !error && differs;
}
