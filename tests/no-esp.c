/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For LD_PRELOAD with charon: lets it hold CHILD_SAs on a kernel that has XFRM
 * but no ESP.  The kernel's "not implemented" for an SA becomes success, so
 * that everything but the packets can be tested anywhere. */

#include <config.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

static bool
is_xfrm(int fd)
{
    int domain = 0, protocol = 0;
    socklen_t size = sizeof domain;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size)
        || domain != AF_NETLINK) {
        return false;
    }
    size = sizeof protocol;
    return (!getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size)
            && protocol == NETLINK_XFRM);
}

static ssize_t
accept_sas(int fd, void *buf, ssize_t n)
{
    ssize_t left = n;

    if (n <= 0 || !is_xfrm(fd)) {
        return n;
    }
    for (struct nlmsghdr *h = buf; NLMSG_OK(h, left);
         h = NLMSG_NEXT(h, left)) {
        struct nlmsgerr *e = NLMSG_DATA(h);

        if (h->nlmsg_type == NLMSG_ERROR
            && (e->msg.nlmsg_type == XFRM_MSG_NEWSA
                || e->msg.nlmsg_type == XFRM_MSG_UPDSA)
            && (e->error == -ENOSYS || e->error == -EPROTONOSUPPORT)) {
            e->error = 0;
        }
    }
    return n;
}

ssize_t
recv(int fd, void *buf, size_t n, int flags)
{
    ssize_t (*next)(int, void *, size_t, int) = dlsym(RTLD_NEXT, "recv");

    return accept_sas(fd, buf, next(fd, buf, n, flags));
}

ssize_t
recvfrom(int fd, void *restrict buf, size_t n, int flags,
         struct sockaddr *restrict from, socklen_t *restrict size)
{
    ssize_t (*next)(int, void *, size_t, int, struct sockaddr *, socklen_t *)
        = dlsym(RTLD_NEXT, "recvfrom");

    return accept_sas(fd, buf, next(fd, buf, n, flags, from, size));
}
