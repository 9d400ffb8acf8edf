/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard's second layer: see guard-xfrm.h. */

#include <config.h>
#include "guard-xfrm.h"

#include <errno.h>
#include <netinet/in.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "agent/nlsock.h"
#include "entropy.h"
#include "guard.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "util.h"
#include "xfrm-msg.h"

/* The priority of the policies for what is encrypted for nobody: just better
 * than that of the blocking ones. */
#define BLIND_PRIORITY (GUARD_XFRM_PRIORITY - 1)

/* SPI and reqid of the states for it. */
#define BLIND_SPI 0x4c617465
#define BLIND_REQID BLIND_SPI

/* A key of AES-GCM-16 with its salt (RFC 4106). */
#define KEY_SIZE 20

static const uint8_t directions[] = {
    XFRM_POLICY_OUT, XFRM_POLICY_IN, XFRM_POLICY_FWD
};
static const uint16_t families[] = { AF_INET, AF_INET6 };

/* ICMP errors that the kernel sends when it has no port, or no protocol, for a
 * packet. */
static const struct refusal {
    uint8_t type, code;
} refusals[][2] = {
    { { 3, 3 }, { 3, 2 } },     /* RFC 792. */
    { { 1, 4 }, { 4, 1 } },     /* RFC 4443. */
};

#define MAX_PER_TUNNEL (ARRAY_SIZE(directions) * ARRAY_SIZE(families) + 1)

/* One comparison with the kernel. */
struct sync {
    unsigned int *missing;
    const char *what;           /* What went wrong first, with 'error'. */
    int error;                  /* 0 or a positive errno value. */
};

static void sync_policies(struct sync *, const struct guard_wanted *);
static void sync_states(struct sync *, const struct guard_wanted *);

bool
guard_xfrm_is_supported(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM);

    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

char *
guard_xfrm_sync(const struct guard_wanted *wanted, unsigned int *missing)
{
    struct sync sync = { .missing = missing };

    if (!guard_xfrm_is_supported()) {
        return (wanted->tunnels.n
                ? xstrdup("the kernel has no XFRM; load module xfrm_user")
                : NULL);
    }
    sync_policies(&sync, wanted);
    sync_states(&sync, wanted);
    if (sync.error == EEXIST) {
        return xstrdup("another XFRM policy for all tunnel packets, or for "
                       "ICMP errors to a peer, stands in the way; remove it "
                       "(ip xfrm policy)");
    }
    return (sync.error
            ? xasprintf("cannot %s: %s", sync.what, ovs_strerror(sync.error))
            : NULL);
}

/* Policies of SAs, which come and go often, name their peer. */
static bool
may_be_ours(const struct xfrm_selector *sel)
{
    return (!sel->prefixlen_d || sel->proto == IPPROTO_ICMP
            || sel->proto == IPPROTO_ICMPV6);
}

bool
guard_xfrm_is_affected(const struct ofpbuf *event)
{
    const struct xfrm_userpolicy_info *p;
    const struct xfrm_userpolicy_id *id;
    const struct xfrm_usersa_id *sa;

    switch (nl_msg_nlmsghdr(event)->nlmsg_type) {
    case XFRM_MSG_NEWPOLICY:
    case XFRM_MSG_UPDPOLICY:
        p = ofpbuf_at(event, NLMSG_HDRLEN, sizeof *p);
        return !p || may_be_ours(&p->sel);

    case XFRM_MSG_DELPOLICY:
        id = ofpbuf_at(event, NLMSG_HDRLEN, sizeof *id);
        return !id || may_be_ours(&id->sel);

    case XFRM_MSG_NEWSA:
    case XFRM_MSG_UPDSA:
        return false;

    case XFRM_MSG_DELSA:
        sa = ofpbuf_at(event, NLMSG_HDRLEN, sizeof *sa);
        return !sa || sa->spi == htonl(BLIND_SPI);

    default:
        return true;
    }
}

static bool
is_gre(const struct guard_tunnel *tunnel)
{
    return tunnel->protocol == IPPROTO_GRE;
}

static void
set_error(struct sync *sync, int error, const char *what)
{
    if (error && !sync->error) {
        sync->error = error;
        sync->what = what;
    }
}

/* Policies. */

/* The index in 'list' of the peer with the address 'a', or its length. */
static size_t
find_peer(const struct ip_prefix_list *list, uint16_t family,
          const xfrm_address_t *a)
{
    for (size_t i = 0; i < list->n; i++) {
        xfrm_address_t b = xfrm_from_address(&list->elems[i].addr);

        if (family == xfrm_family(&list->elems[i].addr)
            && !memcmp(a, &b, sizeof b)) {
            return i;
        }
    }
    return list->n;
}

/* All that we ever set. */
static bool
policy_equals(const struct xfrm_userpolicy_info *a,
              const struct xfrm_userpolicy_info *b)
{
    return (a->dir == b->dir && a->action == b->action
            && a->priority == b->priority
            && a->sel.family == b->sel.family
            && a->sel.proto == b->sel.proto
            && a->sel.sport == b->sel.sport
            && a->sel.dport == b->sel.dport
            && !memcmp(&a->sel.daddr, &b->sel.daddr, sizeof a->sel.daddr)
            && a->sel.dport_mask == b->sel.dport_mask
            && a->sel.sport_mask == b->sel.sport_mask
            && a->sel.prefixlen_d == b->sel.prefixlen_d
            && a->sel.prefixlen_s == b->sel.prefixlen_s
            && a->sel.ifindex == b->sel.ifindex);
}

/* Reads the policy that 'msg' tells, if it tells one. */
static bool
is_policy(const struct ofpbuf *msg, struct xfrm_userpolicy_info *p)
{
    return (nl_msg_nlmsghdr(msg)->nlmsg_type == XFRM_MSG_NEWPOLICY
            && xfrm_copy_header(msg, p, sizeof *p));
}

/* As is_policy(), if it is one of ours. */
static bool
parse_policy(const struct ofpbuf *msg, struct xfrm_userpolicy_info *p)
{
    return (is_policy(msg, p)
            && (p->priority == GUARD_XFRM_PRIORITY
                || p->priority == BLIND_PRIORITY)
            && p->dir < XFRM_POLICY_MAX);
}

static void
set_tunnel(struct xfrm_selector *sel, const struct guard_tunnel *tunnel)
{
    sel->proto = tunnel->protocol;
    sel->dport = htons(tunnel->port);
    sel->dport_mask = tunnel->port ? OVS_BE16_MAX : 0;
}

/* XFRM has an ICMP packet's type and code where others have ports. */
static void
set_refusal(struct xfrm_selector *sel, const struct refusal *refusal,
            const struct in6_addr *peer)
{
    bool v4 = sel->family == AF_INET;

    sel->proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    sel->sport = htons(refusal->type);
    sel->dport = htons(refusal->code);
    sel->sport_mask = sel->dport_mask = OVS_BE16_MAX;
    sel->daddr = xfrm_from_address(peer);
    sel->prefixlen_d = v4 ? 32 : 128;
}

/* Returns the policies that 'wanted' needs, '*n' of them, in an array that
 * the caller frees. */
static struct xfrm_userpolicy_info *
make_policies(const struct guard_wanted *wanted, size_t *n)
{
    struct xfrm_userpolicy_info *policies
        = xcalloc(1 + wanted->tunnels.n * MAX_PER_TUNNEL
                  + wanted->peers.n * ARRAY_SIZE(refusals[0]),
                  sizeof *policies);

    *n = 0;
    for (size_t i = 0; i < wanted->tunnels.n; i++) {
        const struct guard_tunnel *tunnel = &wanted->tunnels.elems[i];

        if (is_gre(tunnel)) {
            struct xfrm_userpolicy_info *p = &policies[(*n)++];

            xfrm_policy_init(p, AF_INET6, XFRM_POLICY_OUT, XFRM_POLICY_ALLOW,
                             BLIND_PRIORITY);
            set_tunnel(&p->sel, tunnel);
            p->sel.prefixlen_s = 128;
        }
        for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
            for (size_t d = 0; d < ARRAY_SIZE(directions); d++) {
                struct xfrm_userpolicy_info *p = &policies[(*n)++];

                xfrm_policy_init(p, families[f], directions[d],
                                 XFRM_POLICY_BLOCK, GUARD_XFRM_PRIORITY);
                set_tunnel(&p->sel, tunnel);
            }
        }
    }
    for (size_t i = 0; wanted->tunnels.n && i < wanted->peers.n; i++) {
        const struct in6_addr *peer = &wanted->peers.elems[i].addr;
        uint16_t family = xfrm_family(peer);

        for (size_t j = 0; j < ARRAY_SIZE(refusals[0]); j++) {
            struct xfrm_userpolicy_info *p = &policies[(*n)++];

            xfrm_policy_init(p, family, XFRM_POLICY_OUT, XFRM_POLICY_ALLOW,
                             BLIND_PRIORITY);
            set_refusal(&p->sel, &refusals[family == AF_INET6][j], peer);
        }
    }
    return policies;
}

void
guard_xfrm_read(struct guard_wanted *wanted)
{
    struct ofpbuf replies, msg;

    ofpbuf_init(&replies, 4096);
    int error = nlsock_dump_all(NETLINK_XFRM, XFRM_MSG_GETPOLICY, &replies);
    struct ofpbuf rest = replies;
    while (!error && nl_msg_next(&rest, &msg)) {
        struct xfrm_userpolicy_info p;

        if (!parse_policy(&msg, &p)) {
            continue;
        } else if (p.priority == GUARD_XFRM_PRIORITY) {
            const struct guard_tunnel tunnel = {
                .protocol = p.sel.proto,
                .port = ntohs(p.sel.dport),
            };

            guard_tunnels_add(&wanted->tunnels, tunnel);
        } else if (p.sel.prefixlen_d) {
            const struct ip_prefix peer = {
                xfrm_to_address(&p.sel.daddr, p.sel.family), 128
            };

            if (!ip_prefix_list_contains(&wanted->peers, &peer.addr)) {
                ip_prefix_list_add(&wanted->peers, &peer);
            }
        }
    }
    ofpbuf_uninit(&replies);
}

/* Missing ones come first: there is no moment without.  Where one of ours
 * that somebody has altered stands in the way, it goes now, and the next call
 * adds what is missing. */
static void
sync_policies(struct sync *sync, const struct guard_wanted *wanted)
{
    size_t n;
    struct xfrm_userpolicy_info *policies = make_policies(wanted, &n);
    bool *present = xcalloc(MAX(n, 1), sizeof *present);
    struct ofpbuf replies, msg;

    ofpbuf_init(&replies, 4096);
    int error = nlsock_dump_all(NETLINK_XFRM, XFRM_MSG_GETPOLICY, &replies);
    set_error(sync, error, "list XFRM policies");

    struct ofpbuf rest = replies;
    while (!error && nl_msg_next(&rest, &msg)) {
        struct xfrm_userpolicy_info p;
        bool ours = parse_policy(&msg, &p);

        for (size_t i = 0; ours && i < n; i++) {
            present[i] |= policy_equals(&p, &policies[i]);
        }
    }
    for (size_t i = 0; !error && i < n; i++) {
        if (!present[i]) {
            const struct xfrm_userpolicy_info *p = &policies[i];
            bool blind = p->priority == BLIND_PRIORITY;

            set_error(sync, xfrm_policy_send(XFRM_MSG_NEWPOLICY, p, 0,
                                             blind ? BLIND_REQID : 0),
                      "add XFRM policies");
            ++*sync->missing;
        }
    }
    rest = replies;
    while (!error && nl_msg_next(&rest, &msg)) {
        struct xfrm_userpolicy_info p;
        bool stale = parse_policy(&msg, &p);

        for (size_t i = 0; stale && i < n; i++) {
            stale = !policy_equals(&p, &policies[i]);
        }
        if (stale) {
            set_error(sync, xfrm_policy_delete(&p.sel, p.dir, 0, p.index),
                      "remove XFRM policies");
        }
    }
    ofpbuf_uninit(&replies);
    free(present);
    free(policies);
}

/* A peer may have addresses of a family in which nodes do not talk: that there
 * is no policy for these says nothing, where there are some of the other. */
void
guard_xfrm_format_unprotected(const struct guard_wanted *wanted, size_t max,
                              struct ds *ds)
{
    const struct ip_prefix_list *peers = &wanted->peers;
    bool *protected = xcalloc(peers->n + 1, sizeof *protected);
    bool v4 = false, v6 = false;
    struct ofpbuf replies, msg;
    size_t n = 0;

    ofpbuf_init(&replies, 4096);
    int error = nlsock_dump_all(NETLINK_XFRM, XFRM_MSG_GETPOLICY, &replies);
    struct ofpbuf rest = replies;
    while (!error && nl_msg_next(&rest, &msg)) {
        struct xfrm_userpolicy_info p;

        if (is_policy(&msg, &p)
            && p.dir == XFRM_POLICY_OUT && p.action == XFRM_POLICY_ALLOW
            && p.priority < BLIND_PRIORITY
            && p.sel.proto == wanted->tunnels.elems[0].protocol) {
            size_t i = find_peer(peers, p.sel.family, &p.sel.daddr);

            protected[i] = true;
            v4 |= i < peers->n && p.sel.family == AF_INET;
            v6 |= i < peers->n && p.sel.family == AF_INET6;
        }
    }
    ofpbuf_uninit(&replies);

    for (size_t i = 0; i < peers->n; i++) {
        const struct in6_addr *peer = &peers->elems[i].addr;

        if (!protected[i] && (ip_is_v4(peer) ? v4 : v6)
            && !ip_prefix_list_contains(&wanted->unreached, peer)
            && n++ < max) {
            ds_put_cstr(ds, n > 1 ? ", " : "; there is no SA's policy for ");
            ip_format(peer, ds);
        }
    }
    if (n > max) {
        ds_put_format(ds, " and %"PRIuSIZE" more", n - max);
    } else if (!v4 && !v6) {
        ds_put_cstr(ds, "; there is no SA's policy for any peer");
    }
    free(protected);
}

/* States. */

/* Adds the state towards 'peer', with a key that is known to nobody. */
static int
add_state(const struct in6_addr *peer)
{
    struct {
        struct xfrm_algo_aead header;
        uint8_t key[KEY_SIZE];
    } aead;
    struct ofpbuf request;

    memset(&aead, 0, sizeof aead);
    ovs_strlcpy(aead.header.alg_name, "rfc4106(gcm(aes))",
                sizeof aead.header.alg_name);
    aead.header.alg_key_len = KEY_SIZE * 8;
    aead.header.alg_icv_len = 128;
    int error = get_entropy(aead.key, sizeof aead.key);
    if (error) {
        return error;
    }

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, 0, XFRM_MSG_NEWSA,
                        NLM_F_REQUEST | NLM_F_ACK);
    struct xfrm_usersa_info *sa = nl_msg_put_uninit(&request, sizeof *sa);
    memset(sa, 0, sizeof *sa);
    sa->id.daddr = xfrm_from_address(peer);
    sa->id.spi = htonl(BLIND_SPI);
    sa->id.proto = IPPROTO_ESP;
    sa->family = xfrm_family(peer);
    sa->mode = XFRM_MODE_TRANSPORT;
    sa->reqid = BLIND_REQID;
    sa->lft.soft_byte_limit = sa->lft.hard_byte_limit = XFRM_INF;
    sa->lft.soft_packet_limit = sa->lft.hard_packet_limit = XFRM_INF;
    nl_msg_put_unspec(&request, XFRMA_ALG_AEAD, &aead, sizeof aead);
    error = nl_transact(NETLINK_XFRM, &request, NULL);
    ofpbuf_uninit(&request);
    return error;
}

static void
sync_states(struct sync *sync, const struct guard_wanted *wanted)
{
    const struct ip_prefix_list *peers = &wanted->peers;
    bool *present = xcalloc(peers->n + 1, sizeof *present);
    struct ofpbuf replies, msg;

    ofpbuf_init(&replies, 4096);
    int error = nlsock_dump_all(NETLINK_XFRM, XFRM_MSG_GETSA, &replies);
    set_error(sync, error, "list XFRM states");

    struct ofpbuf rest = replies;
    while (!error && nl_msg_next(&rest, &msg)) {
        struct xfrm_usersa_info sa;

        if (nl_msg_nlmsghdr(&msg)->nlmsg_type != XFRM_MSG_NEWSA
            || !xfrm_copy_header(&msg, &sa, sizeof sa)
            || sa.reqid != BLIND_REQID || sa.id.spi != htonl(BLIND_SPI)) {
            continue;
        }
        size_t i = find_peer(peers, sa.family, &sa.id.daddr);
        present[i] = true;
        if (!wanted->tunnels.n || i == peers->n) {
            struct in6_addr dst = xfrm_to_address(&sa.id.daddr, sa.family);

            set_error(sync, xfrm_state_delete(&dst, sa.id.spi, 0),
                      "remove XFRM states");
        }
    }
    for (size_t i = 0; wanted->tunnels.n && !error && i < peers->n; i++) {
        if (!present[i]) {
            int retval = add_state(&peers->elems[i].addr);

            /* Two nodes may claim one address. */
            if (retval != EEXIST) {
                set_error(sync, retval, "add XFRM states");
                ++*sync->missing;
            }
        }
    }
    ofpbuf_uninit(&replies);
    free(present);
}
