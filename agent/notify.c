/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Notifications to the service manager: one datagram each, to a Unix socket
 * whose name, where it starts with '@', is an abstract one. */

#include <config.h>
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int
notify_send(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (!name || !name[0]) {
        return 0;
    }

    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    size_t len = strlen(name);
    if (len >= sizeof sun.sun_path) {
        return ENAMETOOLONG;
    }
    memcpy(sun.sun_path, name, len);
    if (name[0] == '@') {
        sun.sun_path[0] = '\0';
    }

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    ssize_t n = sendto(fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL,
                       (struct sockaddr *) &sun,
                       offsetof(struct sockaddr_un, sun_path) + len);
    int error = n < 0 ? errno : 0;
    close(fd);
    return error;
}
