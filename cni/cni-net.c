/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The interface that the plugin makes: see cni-net.h. */

#include <config.h>
#include "cni-net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/magic.h>
#include <linux/sockios.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct cni_error *
cni_netns_open(struct cni_netns *ns, const struct cni_call *call)
{
    const char *override = getenv("CNI_NETNS_OVERRIDE");
    struct stat own, container;
    struct statfs fs;

    ns->own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    ns->container = open(call->netns, O_RDONLY | O_CLOEXEC);
    if (ns->own < 0 || ns->container < 0) {
        struct cni_error *error
            = cni_error(CNI_UNKNOWN_CONTAINER, "cannot open the network "
                        "namespace %s (CNI_NETNS): %s", call->netns,
                        strerror(errno));
        cni_netns_close(ns);
        return error;
    }
    if (fstatfs(ns->container, &fs) || fs.f_type != NSFS_MAGIC) {
        cni_netns_close(ns);
        return cni_error(CNI_UNKNOWN_CONTAINER, "%s (CNI_NETNS) is no "
                         "network namespace", call->netns);
    }
    if (!fstat(ns->own, &own) && !fstat(ns->container, &container)
        && own.st_dev == container.st_dev && own.st_ino == container.st_ino
        && !(override && (!strcmp(override, "1")
                          || !strcmp(override, "true")))) {
        cni_netns_close(ns);
        return cni_error(CNI_OWN_NETNS, "CNI_NETNS %s is the network "
                         "namespace that the plugin itself runs in",
                         call->netns);
    }
    return NULL;
}

void
cni_netns_close(struct cni_netns *ns)
{
    if (ns->own >= 0) {
        close(ns->own);
    }
    if (ns->container >= 0) {
        close(ns->container);
    }
    ns->own = ns->container = -1;
}

void
cni_host_name(const struct cni_call *call, char host[IFNAMSIZ])
{
    /* FNV-1a, 64 bits, of which 48 make the name. */
    const char *const parts[] = { call->container_id, "/", call->ifname };
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < 3; i++) {
        for (const char *s = parts[i]; *s; s++) {
            hash = (hash ^ (unsigned char) *s) * UINT64_C(0x100000001b3);
        }
    }
    snprintf(host, IFNAMSIZ, "ltn%012llx",
             (unsigned long long) (hash >> 48 ^ hash)
             & 0xffffffffffffULL);
}

static struct cni_error *
net_error(const char *what, const char *device, int nl_error)
{
    return cni_error(CNI_NETWORK_FAILED, "%s: cannot %s: %s", device, what,
                     nl_geterror(nl_error));
}

/* A socket for the network namespace that the caller is in. */
static struct cni_error *
open_socket(struct nl_sock **sock)
{
    int retval;

    *sock = nl_socket_alloc();
    retval = *sock ? nl_connect(*sock, NETLINK_ROUTE) : -NLE_NOMEM;
    if (retval) {
        nl_socket_free(*sock);
        *sock = NULL;
        return net_error("speak to the kernel", "netlink", retval);
    }
    return NULL;
}

static struct cni_error *
write_sysctl(const char *format, const char *device, const char *value)
{
    char path[128];
    int fd;

    snprintf(path, sizeof path, format, device);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0) {
        struct cni_error *error = cni_error(CNI_NETWORK_FAILED,
                                            "cannot set %s to %s: %s", path,
                                            value, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    close(fd);
    return NULL;
}

static int
set_up(struct nl_sock *sock, int ifindex)
{
    struct rtnl_link *link = rtnl_link_alloc();
    struct rtnl_link *change = rtnl_link_alloc();
    int retval;

    rtnl_link_set_ifindex(link, ifindex);
    rtnl_link_set_flags(change, IFF_UP);
    retval = rtnl_link_change(sock, link, change, 0);
    rtnl_link_put(link);
    rtnl_link_put(change);
    return retval;
}

static struct cni_error *
disable_tx_checksum(const char *device)
{
    struct ethtool_value value = { .cmd = ETHTOOL_STXCSUM, .data = 0 };
    struct ifreq ifr = { .ifr_data = (void *) &value };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int retval;

    snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", device);
    retval = fd < 0 ? -1 : ioctl(fd, SIOCETHTOOL, &ifr);
    if (fd >= 0) {
        close(fd);
    }
    return (retval
            ? cni_error(CNI_NETWORK_FAILED, "%s: cannot switch checksum "
                        "offload off: %s", device, strerror(errno))
            : NULL);
}

/* Runs 'function' inside the container's namespace, with a socket of it. */
static struct cni_error *
inside(const struct cni_netns *ns, const struct cni_call *call,
       const struct cni_interface *iface,
       struct cni_error *(*function)(struct nl_sock *,
                                     const struct cni_call *,
                                     const struct cni_interface *))
{
    struct cni_error *error;
    struct nl_sock *sock;

    if (setns(ns->container, CLONE_NEWNET)) {
        return cni_error(CNI_NETWORK_FAILED, "cannot enter the network "
                         "namespace %s: %s", call->netns, strerror(errno));
    }
    error = open_socket(&sock);
    if (!error) {
        error = function(sock, call, iface);
        nl_socket_free(sock);
    }
    if (setns(ns->own, CLONE_NEWNET)) {
        abort();
    }
    return error;
}

static struct cni_error *
create_pair(struct nl_sock *sock, const struct cni_netns *ns,
            const struct cni_call *call, const struct cni_interface *iface)
{
    struct rtnl_link *link = rtnl_link_veth_alloc();
    struct rtnl_link *peer = rtnl_link_veth_get_peer(link);
    struct nl_addr *mac = nl_addr_build(AF_LLC, iface->mac,
                                        sizeof iface->mac);
    int retval;

    rtnl_link_set_name(link, iface->host);
    rtnl_link_set_mtu(link, iface->mtu);
    rtnl_link_set_name(peer, call->ifname);
    rtnl_link_set_mtu(peer, iface->mtu);
    rtnl_link_set_addr(peer, mac);
    rtnl_link_set_ns_fd(peer, ns->container);
    retval = rtnl_link_add(sock, link, NLM_F_CREATE | NLM_F_EXCL);
    rtnl_link_put(peer);
    rtnl_link_put(link);
    nl_addr_put(mac);

    if (retval == -NLE_EXIST) {
        return cni_error(CNI_CONFLICT, "there is an interface %s in the "
                         "container, or %s on the node, already",
                         call->ifname, iface->host);
    }
    return (retval
            ? net_error("make the pair of devices", call->ifname, retval)
            : NULL);
}

/* The host's end is a port of the bridge and nothing else: no IPv6 address,
 * each of which also costs ovs-vswitchd, and no answer to ARP, which the host
 * would give itself where the bridge's datapath is not the kernel's. */
static struct cni_error *
set_up_host_end(struct nl_sock *sock, const char *host)
{
    /* A kernel without IPv6 has not the first of them. */
    cni_error_free(write_sysctl("/proc/sys/net/ipv6/conf/%s/addr_gen_mode",
                                host, "1"));
    cni_error_free(write_sysctl("/proc/sys/net/ipv4/conf/%s/arp_ignore",
                                host, "8"));

    int retval = set_up(sock, if_nametoindex(host));
    return retval ? net_error("set it up", host, retval) : NULL;
}

/* Sets the container's end up.  To be called inside its namespace. */
static struct cni_error *
set_up_container_end(struct nl_sock *sock, const struct cni_call *call,
                     const struct cni_interface *iface)
{
    const char *const devices[] = { "lo", call->ifname };

    /* A kernel without IPv6 has none of these. */
    cni_error_free(write_sysctl("/proc/sys/net/ipv6/conf/%s/accept_dad",
                                call->ifname, "0"));
    cni_error_free(write_sysctl("/proc/sys/net/ipv6/conf/%s/accept_ra",
                                call->ifname, "0"));
    if (iface->tx_checksum_off) {
        struct cni_error *error = disable_tx_checksum(call->ifname);

        if (error) {
            return error;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        int retval = set_up(sock, if_nametoindex(devices[i]));

        if (retval) {
            return net_error("set it up", devices[i], retval);
        }
    }
    return NULL;
}

struct cni_error *
cni_pair_create(const struct cni_netns *ns, const struct cni_call *call,
                const struct cni_interface *iface)
{
    struct nl_sock *sock;
    struct cni_error *error = open_socket(&sock);

    if (error) {
        return error;
    }
    error = create_pair(sock, ns, call, iface);
    if (!error) {
        error = set_up_host_end(sock, iface->host);
        error = error ? error : inside(ns, call, iface, set_up_container_end);
        if (error) {
            cni_error_free(cni_pair_delete(iface->host));
        }
    }
    nl_socket_free(sock);
    return error;
}

static struct nl_addr *
build_addr(int family, const uint8_t *bytes, int length)
{
    struct nl_addr *addr = nl_addr_build(family, bytes,
                                         family == AF_INET ? 4 : 16);

    nl_addr_set_prefixlen(addr, length);
    return addr;
}

static int
add_address(struct nl_sock *sock, int ifindex, const struct cni_address *a)
{
    struct rtnl_addr *ra = rtnl_addr_alloc();
    struct nl_addr *local = build_addr(a->family, a->address,
                                       a->prefix_length);
    int retval;

    rtnl_addr_set_ifindex(ra, ifindex);
    rtnl_addr_set_local(ra, local);
    if (a->family == AF_INET6) {
        /* The address is the container's alone: nobody needs to wait. */
        rtnl_addr_set_flags(ra, IFA_F_NODAD);
    }
    retval = rtnl_addr_add(sock, ra, 0);
    nl_addr_put(local);
    rtnl_addr_put(ra);
    return retval;
}

static int
add_route(struct nl_sock *sock, int ifindex, const struct cni_route *r)
{
    struct rtnl_route *route = rtnl_route_alloc();
    struct rtnl_nexthop *nh = rtnl_route_nh_alloc();
    struct nl_addr *dst = build_addr(r->family, r->destination,
                                     r->prefix_length);
    struct nl_addr *gw = build_addr(r->family, r->gateway,
                                    r->family == AF_INET ? 32 : 128);
    int retval;

    rtnl_route_set_family(route, r->family);
    rtnl_route_set_dst(route, dst);
    rtnl_route_nh_set_ifindex(nh, ifindex);
    rtnl_route_nh_set_gateway(nh, gw);
    rtnl_route_add_nexthop(route, nh);
    retval = rtnl_route_add(sock, route, NLM_F_CREATE);
    nl_addr_put(dst);
    nl_addr_put(gw);
    rtnl_route_put(route);
    return retval == -NLE_EXIST ? 0 : retval;
}

/* To be called inside the container's namespace. */
static struct cni_error *
configure(struct nl_sock *sock, const struct cni_call *call,
          const struct cni_interface *iface)
{
    int ifindex = if_nametoindex(call->ifname);
    struct cni_error *error = NULL;
    bool v6 = false;
    int retval;

    for (size_t i = 0; i < iface->n_addresses; i++) {
        v6 = v6 || iface->addresses[i].family == AF_INET6;
    }
    if (v6) {
        /* Some runtimes switch IPv6 off in every new namespace. */
        error = write_sysctl("/proc/sys/net/ipv6/conf/%s/disable_ipv6",
                             "lo", "0");
        error = error ? error
                : write_sysctl("/proc/sys/net/ipv6/conf/%s/disable_ipv6",
                               call->ifname, "0");
        if (error) {
            return error;
        }
    }
    for (size_t i = 0; i < iface->n_addresses; i++) {
        retval = add_address(sock, ifindex, &iface->addresses[i]);
        if (retval) {
            return net_error("add an address", call->ifname, retval);
        }
    }
    for (size_t i = 0; i < iface->n_routes; i++) {
        retval = add_route(sock, ifindex, &iface->routes[i]);
        if (retval) {
            const struct cni_route *r = &iface->routes[i];
            char dst[INET6_ADDRSTRLEN], gw[INET6_ADDRSTRLEN];

            inet_ntop(r->family, r->destination, dst, sizeof dst);
            inet_ntop(r->family, r->gateway, gw, sizeof gw);
            return cni_error(CNI_NETWORK_FAILED, "%s: the kernel refuses the "
                             "route to %s/%d by %s: %s", call->ifname, dst,
                             r->prefix_length, gw, nl_geterror(retval));
        }
    }
    return NULL;
}

static bool
has_address(struct nl_cache *cache, int ifindex, const struct cni_address *a)
{
    struct nl_addr *local = build_addr(a->family, a->address,
                                       a->prefix_length);
    struct rtnl_addr *found = rtnl_addr_get(cache, ifindex, local);

    nl_addr_put(local);
    if (found) {
        rtnl_addr_put(found);
    }
    return found != NULL;
}

struct find_route {
    int ifindex;
    const struct cni_route *route;
    bool found;
};

static void
find_route_cb(struct nl_object *obj, void *find_)
{
    struct rtnl_route *route = (struct rtnl_route *) obj;
    struct find_route *find = find_;
    const struct cni_route *r = find->route;
    struct rtnl_nexthop *nh = rtnl_route_nexthop_n(route, 0);
    struct nl_addr *gw = nh ? rtnl_route_nh_get_gateway(nh) : NULL;
    struct nl_addr *dst = rtnl_route_get_dst(route);

    if (gw && dst && rtnl_route_get_family(route) == r->family
        && nl_addr_get_prefixlen(dst) == (unsigned int) r->prefix_length
        && !memcmp(nl_addr_get_binary_addr(dst), r->destination,
                   nl_addr_get_len(dst))
        && rtnl_route_nh_get_ifindex(nh) == find->ifindex
        && !memcmp(nl_addr_get_binary_addr(gw), r->gateway,
                   nl_addr_get_len(gw))) {
        find->found = true;
    }
}

static struct cni_error *
check_link(struct nl_sock *sock, const struct cni_call *call,
           const struct cni_interface *iface, int *ifindex)
{
    struct cni_error *error = NULL;
    struct rtnl_link *link;
    struct nl_addr *mac;

    if (rtnl_link_get_kernel(sock, 0, call->ifname, &link)) {
        return cni_error(CNI_NETWORK_FAILED, "the container has no interface "
                         "%s any more", call->ifname);
    }
    *ifindex = rtnl_link_get_ifindex(link);
    mac = rtnl_link_get_addr(link);
    if (!(rtnl_link_get_flags(link) & IFF_UP)) {
        error = cni_error(CNI_NETWORK_FAILED, "%s is down", call->ifname);
    } else if (rtnl_link_get_mtu(link) != (unsigned int) iface->mtu) {
        error = cni_error(CNI_NETWORK_FAILED, "%s has MTU %u instead of %d",
                          call->ifname, rtnl_link_get_mtu(link), iface->mtu);
    } else if (rtnl_link_get_link(link) != iface->host_ifindex) {
        error = cni_error(CNI_NETWORK_FAILED, "%s is not the other end of %s",
                          call->ifname, iface->host);
    } else if (!mac || memcmp(nl_addr_get_binary_addr(mac), iface->mac, 6)) {
        error = cni_error(CNI_NETWORK_FAILED, "%s has another MAC address "
                          "than it was given", call->ifname);
    }
    rtnl_link_put(link);
    return error;
}

/* To be called inside the container's namespace. */
static struct cni_error *
check(struct nl_sock *sock, const struct cni_call *call,
      const struct cni_interface *iface)
{
    struct nl_cache *addresses, *routes;
    struct cni_error *error;
    char text[INET6_ADDRSTRLEN];
    int ifindex = 0, retval;

    error = check_link(sock, call, iface, &ifindex);
    if (error) {
        return error;
    }
    retval = rtnl_addr_alloc_cache(sock, &addresses);
    if (!retval) {
        retval = rtnl_route_alloc_cache(sock, AF_UNSPEC, 0, &routes);
        if (retval) {
            nl_cache_free(addresses);
        }
    }
    if (retval) {
        return net_error("look at it", call->ifname, retval);
    }
    for (size_t i = 0; i < iface->n_addresses && !error; i++) {
        const struct cni_address *a = &iface->addresses[i];

        if (!has_address(addresses, ifindex, a)) {
            inet_ntop(a->family, a->address, text, sizeof text);
            error = cni_error(CNI_NETWORK_FAILED, "%s has lost its address "
                              "%s/%d", call->ifname, text, a->prefix_length);
        }
    }
    for (size_t i = 0; i < iface->n_routes && !error; i++) {
        const struct cni_route *r = &iface->routes[i];
        struct find_route find = { .ifindex = ifindex, .route = r };

        nl_cache_foreach(routes, find_route_cb, &find);
        if (!find.found) {
            inet_ntop(r->family, r->destination, text, sizeof text);
            error = cni_error(CNI_NETWORK_FAILED, "the route to %s/%d by %s "
                              "has gone", text, r->prefix_length,
                              call->ifname);
        }
    }
    nl_cache_free(addresses);
    nl_cache_free(routes);
    return error;
}

struct cni_error *
cni_pair_configure(const struct cni_netns *ns, const struct cni_call *call,
                   const struct cni_interface *iface)
{
    return inside(ns, call, iface, configure);
}

struct cni_error *
cni_pair_check(const struct cni_netns *ns, const struct cni_call *call,
               struct cni_interface *iface)
{
    iface->host_ifindex = if_nametoindex(iface->host);
    if (!iface->host_ifindex) {
        return cni_error(CNI_NETWORK_FAILED, "the node has no device %s any "
                         "more, the other end of %s", iface->host,
                         call->ifname);
    }
    return inside(ns, call, iface, check);
}

static int
delete_link(int ifindex)
{
    struct nl_sock *sock = nl_socket_alloc();
    struct rtnl_link *link = rtnl_link_alloc();
    int retval = nl_connect(sock, NETLINK_ROUTE);

    if (!retval) {
        rtnl_link_set_ifindex(link, ifindex);
        retval = rtnl_link_delete(sock, link);
    }
    rtnl_link_put(link);
    nl_socket_free(sock);
    return (retval == -NLE_NODEV || retval == -NLE_OBJ_NOTFOUND ? 0
            : -retval);
}

/* The kernel takes the names of both ends away within a millisecond, but
 * answers only after some 15 ms, when no processor can be using them any more
 * (RCU).  Nobody but a process without any other duty has to wait for that. */
struct cni_error *
cni_pair_delete(const char *host)
{
    int ifindex = if_nametoindex(host);
    int status;
    pid_t pid;

    if (!ifindex) {
        return NULL;
    }
    pid = fork();
    if (pid < 0) {
        return cni_error(CNI_IO_FAILURE, "fork: %s", strerror(errno));
    } else if (!pid) {
        /* Whoever waits for the end of the plugin's output must not wait for
         * this. */
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        close(STDERR_FILENO);
        _exit(delete_link(ifindex));
    }
    while (if_nametoindex(host)) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            if (status && if_nametoindex(host)) {
                return net_error("delete it", host, -WEXITSTATUS(status));
            }
            break;
        }
        nanosleep(&(struct timespec) { .tv_nsec = 100 * 1000 }, NULL);
    }
    return NULL;
}
