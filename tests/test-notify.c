/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sends a state by notify_send(), and prints what arrives. */

#include <config.h>
#include "agent/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "lateen-test.h"
#include "util.h"

static int
test_notify(int argc, char *argv[])
{
    if (argc != 3) {
        ovs_fatal(0, "usage: notify SOCKET STATE");
    }

    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    size_t len = strlen(argv[1]);
    ovs_assert(len < sizeof sun.sun_path);
    memcpy(sun.sun_path, argv[1], len);
    if (argv[1][0] == '@') {
        sun.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &sun,
                       offsetof(struct sockaddr_un, sun_path) + len) < 0) {
        ovs_fatal(errno, "%s", argv[1]);
    }

    setenv("NOTIFY_SOCKET", argv[1], 1);
    int error = notify_send(argv[2]);
    if (error) {
        ovs_fatal(error, "notify_send");
    }
    char buf[128];
    ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
    if (n < 0) {
        ovs_fatal(errno, "recv");
    }
    printf("%.*s\n", (int) n, buf);
    close(fd);

    /* Nobody listens, or nobody asks. */
    setenv("NOTIFY_SOCKET", "/nonexistent", 1);
    ovs_assert(notify_send("READY=1") == ENOENT);
    unsetenv("NOTIFY_SOCKET");
    ovs_assert(!notify_send("READY=1"));
    return 0;
}
LATEEN_TEST_REGISTER("notify", "SOCKET STATE", test_notify)
