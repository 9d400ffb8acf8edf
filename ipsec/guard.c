/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard against clear text between nodes: see guard.h. */

#include <config.h>
#include "guard.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <linux/xfrm.h>
#include <stdlib.h>
#include <string.h>
#include "agent/config.h"
#include "agent/host.h"
#include "agent/model.h"
#include "agent/nft.h"
#include "agent/nlsock.h"
#include "agent/sysctl.h"
#include "conns.h"
#include "guard-alarm.h"
#include "guard-xfrm.h"
#include "netlink-socket.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(guard);

#define GUARD_TABLE "lateen_guard"

/* How often counters are read, and a layer that failed is tried again. */
#define POLL_INTERVAL 1000      /* ms */

/* Of these, what comes from pods or goes to them comes in or leaves.  Rules
 * look at devices' names last: that takes longest. */
#define LOCAL_DEVICES "{ \""HOST_GATEWAY"\", \"lo\" }"

struct guard {
    struct guard_wanted wanted;
    bool has_wanted;            /* guard_set() has been called. */
    struct nft_table *nft;      /* The first layer. */

    struct nl_sock *xfrm_events; /* NULL where the kernel has no XFRM. */
    bool xfrm_stale;            /* The second layer has to be looked at. */
    bool xfrm_settled;          /* When looked at last, and nothing else has
                                 * been wanted since, all was in place. */
    char *xfrm_error;

    long long int next_poll;
    unsigned int xfrm_repairs;
    struct guard_alarm alarm;
    unsigned int seen_nft_repairs, seen_xfrm_repairs; /* By 'alarm'. */
    struct guard_status status;
};

static int drop_what_waits(char **errorp);
static void sync_xfrm(struct guard *);
static void read_counters(struct guard *);
static void update_status(struct guard *);

/* What is wanted. */

static void
add_addresses(const struct ip_prefix_list *from, struct ip_prefix_list *to)
{
    for (size_t i = 0; i < from->n; i++) {
        ip_prefix_list_add(to, &from->elems[i]);
    }
}

/* Adds a peer with addresses that tunnels lead to, and others. */
static void
add_peer(struct guard_wanted *wanted, const struct ip_prefix_list *reached,
         const struct ip_prefix_list *others)
{
    add_addresses(reached, &wanted->peers);
    for (size_t i = 0; i < others->n; i++) {
        if (!ip_prefix_list_contains(reached, &others->elems[i].addr)) {
            ip_prefix_list_add(&wanted->peers, &others->elems[i]);
            ip_prefix_list_add(&wanted->unreached, &others->elems[i]);
        }
    }
}

void
guard_wanted_derive(const struct config *config, const struct model *model,
                    const char *node, struct guard_wanted *wanted)
{
    const struct model_object *obj;

    memset(wanted, 0, sizeof *wanted);
    if (config->ipsec_mode != IPSEC_REQUIRED) {
        return;
    }
    guard_tunnels_add(&wanted->tunnels, guard_config_tunnel(config));
    ip_prefix_list_clone(&wanted->pod_networks, &config->cluster_cidrs);
    wanted->masquerade = config->masquerade;
    ip_prefix_list_clone(&wanted->exceptions, &config->masquerade_exclude);
    if (!model) {
        return;
    }
    MODEL_FOR_EACH (obj, MODEL_NODE, model) {
        const struct node *peer = node_cast(obj);

        if (!strcmp(obj->name, node)) {
            continue;
        } else if (config->tunnel_external) {
            add_peer(wanted, &peer->external_addresses, &peer->addresses);
        } else {
            add_peer(wanted, &peer->addresses, &peer->external_addresses);
        }
    }
    ip_prefix_list_sort(&wanted->peers);
}

struct guard_tunnel
guard_config_tunnel(const struct config *config)
{
    return (struct guard_tunnel) {
        .protocol = (config->tunnel_type == TUNNEL_GRE
                     ? IPPROTO_GRE : IPPROTO_UDP),
        .port = config->tunnel_port,
    };
}

void
guard_wanted_hold(struct guard_wanted *wanted, const struct guard_wanted *held)
{
    if (!wanted->tunnels.n) {
        return;
    }
    guard_tunnels_add_all(&wanted->tunnels, &held->tunnels);
    add_addresses(&held->peers, &wanted->peers);
    ip_prefix_list_sort(&wanted->peers);
}

void
guard_wanted_add_standing(struct guard_wanted *wanted)
{
    if (guard_xfrm_is_supported()) {
        guard_xfrm_read(wanted);
    }
}

void
guard_wanted_destroy(struct guard_wanted *wanted)
{
    guard_tunnels_destroy(&wanted->tunnels);
    ip_prefix_list_destroy(&wanted->pod_networks);
    ip_prefix_list_destroy(&wanted->exceptions);
    ip_prefix_list_destroy(&wanted->peers);
    ip_prefix_list_destroy(&wanted->unreached);
}

/* Appends the beginning of a rule for the packets of 'tunnel'.  Protocols have
 * numbers here, because nft knows names from /etc/protocols alone. */
static void
format_tunnel(const struct guard_tunnel *tunnel, struct ds *ds)
{
    if (tunnel->protocol == IPPROTO_UDP) {
        ds_put_format(ds, "    udp dport %"PRIu16, tunnel->port);
    } else {
        ds_put_cstr(ds, "    meta l4proto 47");
    }
}

/* Appends a rule for each tunnel: its packets, if 'condition', are counted
 * and dropped. */
static void
format_tunnel_rules(const struct guard_wanted *wanted, const char *condition,
                    enum guard_counter counter, struct ds *ds)
{
    for (size_t i = 0; i < wanted->tunnels.n; i++) {
        format_tunnel(&wanted->tunnels.elems[i], ds);
        ds_put_format(ds, "%s goto %s\n", condition,
                      guard_counter_name(counter));
    }
}


/* Appends rules that drop the ICMP errors in which the kernel would quote what
 * IPsec has taken out of a tunnel packet, when the tunnel has no port: while
 * Open vSwitch starts, say.  In them, the IP header, without options, comes
 * after 8 bytes of ICMP (RFC 792, RFC 4443 section 3). */
static void
format_quote_rules(const struct guard_wanted *wanted, struct ds *ds)
{
    static const struct {
        const char *types;
        int protocol, port;     /* Where the quoted packet has them, in bits
                                 * after the start of ICMP. */
    } errors[] = {
        { "icmp type { destination-unreachable, time-exceeded, "
          "parameter-problem }", 136, 240 },
        { "icmpv6 type { destination-unreachable, packet-too-big, "
          "time-exceeded, parameter-problem }", 112, 400 },
    };

    for (size_t i = 0; i < wanted->tunnels.n; i++) {
        const struct guard_tunnel *tunnel = &wanted->tunnels.elems[i];

        for (size_t j = 0; j < ARRAY_SIZE(errors); j++) {
            ds_put_format(ds, "    %s @th,%d,8 %"PRIu8, errors[j].types,
                          errors[j].protocol, tunnel->protocol);
            if (tunnel->port) {
                ds_put_format(ds, " @th,%d,16 %"PRIu16, errors[j].port,
                              tunnel->port);
            }
            ds_put_cstr(ds, " drop\n");
        }
    }
}

/* Appends the beginning of a rule that looks at an address: 'which' is
 * "saddr" or "daddr". */
static void
format_match(const char *which, const struct ip_prefix_list *set, bool v4,
             struct ds *ds)
{
    ds_put_format(ds, " %s %s ", v4 ? "ip" : "ip6", which);
    nft_format_set(set, v4, ds);
}

static void
format_drop(enum guard_counter counter, struct ds *ds)
{
    ds_put_format(ds, " goto %s\n", guard_counter_name(counter));
}

/* The kernel looks up the route, and with it the XFRM policy, of a GRE packet
 * over IPv6 with no source address (guard-xfrm.h tells what it finds). */
static void
format_gre_reroute(const struct guard_wanted *wanted, struct ds *ds)
{
    for (size_t i = 0; i < wanted->tunnels.n; i++) {
        if (wanted->tunnels.elems[i].protocol == IPPROTO_GRE) {
            ds_put_cstr(ds, "    meta nfproto ipv6 meta l4proto 47 "
                        HOST_REROUTE"\n");
            return;
        }
    }
}

/* Appends the beginning of a rule for what has come in by an SA of ours. */
static void
format_from_sa(struct ds *ds)
{
    ds_put_format(ds, " ipsec in reqid 0x%x-0x%x",
                  CONNS_REQID, CONNS_REQID + CONNS_N_REQIDS - 1);
}

/* Appends rules for ESP between nodes, with a peer's address in 'peer'
 * ("saddr" or "daddr") and, if 'other' is nonnull, no pod's in that.  They end
 * in 'statements', and save nearly all packets the way through what
 * follows. */
static void
format_esp_rules(const struct guard_wanted *wanted, const char *peer,
                 const char *other, const char *statements, struct ds *ds)
{
    for (int v4 = 1; v4 >= 0; v4--) {
        if (!nft_has_family(&wanted->peers, v4)) {
            continue;
        }
        ds_put_cstr(ds, "    meta l4proto 50");
        format_match(peer, &wanted->peers, v4, ds);
        if (other && nft_has_family(&wanted->pod_networks, v4)) {
            ds_put_format(ds, " %s %s != ", v4 ? "ip" : "ip6", other);
            nft_format_set(&wanted->pod_networks, v4, ds);
        }
        ds_put_format(ds, " %s\n", statements);
    }
}

/* Packets of the pods' networks on their way out.  Those to a pod leave by
 * the gateway or not at all; those from a pod are unmasqueraded()'s. */
static void
format_stray_out(const struct guard_wanted *wanted, struct ds *ds)
{
    const struct ip_prefix_list *pods = &wanted->pod_networks;

    for (int v4 = 1; v4 >= 0; v4--) {
        if (nft_has_family(pods, v4)) {
            ds_put_cstr(ds, "   ");
            format_match("daddr", pods, v4, ds);
            ds_put_cstr(ds, " oifname != "LOCAL_DEVICES);
            format_drop(GUARD_STRAY_OUT, ds);
        }
    }
    for (int v4 = 1; wanted->masquerade && v4 >= 0; v4--) {
        if (nft_has_family(pods, v4)) {
            ds_put_cstr(ds, "   ");
            format_match("saddr", pods, v4, ds);
            ds_put_cstr(ds, " goto unmasqueraded\n");
        }
    }
}

/* Packets from a pod leave with their own source as replies to connections
 * that came in from outside, to destinations that are not masqueraded, or
 * where nothing is.  What conntrack does not know cannot be masqueraded: that
 * is no alarm. */
static void
format_unmasqueraded(const struct guard_wanted *wanted, struct ds *ds)
{
    if (!wanted->masquerade) {
        return;
    }
    ds_put_cstr(ds, "  chain unmasqueraded {\n"
                "    oifname "LOCAL_DEVICES" return\n"
                "    ct direction reply return\n");
    for (int v4 = 1; v4 >= 0; v4--) {
        if (nft_has_family(&wanted->exceptions, v4)) {
            ds_put_cstr(ds, "   ");
            format_match("daddr", &wanted->exceptions, v4, ds);
            ds_put_cstr(ds, " return\n");
        }
    }
    ds_put_cstr(ds, "    ct state { invalid, untracked } drop\n   ");
    format_drop(GUARD_STRAY_OUT, ds);
    ds_put_cstr(ds, "  }\n");
}

/* Packets of the pods' networks that come in from elsewhere.  A client
 * outside may talk to pods, by a router that knows the way; a peer node does
 * so through the tunnel. */
static void
format_stray_in(const struct guard_wanted *wanted, struct ds *ds)
{
    const struct ip_prefix_list *pods = &wanted->pod_networks;

    for (int v4 = 1; v4 >= 0; v4--) {
        if (!nft_has_family(pods, v4)) {
            continue;
        }
        ds_put_cstr(ds, "   ");
        format_match("saddr", pods, v4, ds);
        ds_put_cstr(ds, " iifname != "LOCAL_DEVICES);
        format_drop(GUARD_STRAY_IN, ds);
        if (nft_has_family(&wanted->peers, v4)) {
            ds_put_cstr(ds, "   ");
            format_match("daddr", pods, v4, ds);
            format_match("saddr", &wanted->peers, v4, ds);
            ds_put_cstr(ds, " iifname != "LOCAL_DEVICES);
            format_drop(GUARD_STRAY_IN, ds);
        }
    }
}

/* The SAs' own selectors let in more than the tunnel's packets.  Those of UDP
 * tunnels are for both directions: who may be sent to at the tunnel's port may
 * send from it, to any port.  And the kernel compares what comes in by an SA
 * in transport mode with the policies that there are for it: where there is
 * none, as for TCP, it lets it pass. */
static void
format_smuggled(struct ds *ds)
{
    ds_put_cstr(ds, "   ");
    format_from_sa(ds);
    ds_put_cstr(ds, " iifname != "LOCAL_DEVICES);
    format_drop(GUARD_SMUGGLED, ds);
}

/* ESP and IKE, if 'condition', which is "" or ends in a space. */
static void
format_ipsec_rules(const char *condition, struct ds *ds)
{
    static const char *const protocols[] = {
        "meta l4proto { 50, 51 }", "udp dport { 500, 4500 }"
    };

    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        ds_put_format(ds, "    %s%s", condition, protocols[i]);
        format_drop(GUARD_FORWARDED, ds);
    }
}

/* What comes from a pod goes to a peer node through the tunnel. */
static void
format_to_peers(const struct guard_wanted *wanted, const char *condition,
                struct ds *ds)
{
    for (int v4 = 1; v4 >= 0; v4--) {
        if (nft_has_family(&wanted->peers, v4)) {
            ds_put_cstr(ds, "   ");
            format_match("daddr", &wanted->peers, v4, ds);
            ds_put_cstr(ds, condition);
            format_drop(GUARD_STRAY_OUT, ds);
        }
    }
}

/* A node does not forward tunnel packets, nor ESP and IKE on a pod's behalf
 * where the host has translated their destination: the pipeline keeps pods
 * away from the nodes' ports, but does not see behind a translation. */
static void
format_forward(const struct guard_wanted *wanted, struct ds *ds)
{
    format_tunnel_rules(wanted, "", GUARD_FORWARDED, ds);
    ds_put_cstr(ds, "    iifname != \""HOST_GATEWAY"\" return\n"
                "    oifname \""HOST_GATEWAY"\" return\n");
    format_ipsec_rules("ct status dnat ", ds);
    format_to_peers(wanted, "", ds);
}

void
guard_wanted_format_nft(const struct guard_wanted *wanted, struct ds *ds)
{
    for (int i = 0; i < GUARD_N_NFT_COUNTERS; i++) {
        guard_alarm_format_nft(i, ds);
    }
    format_unmasqueraded(wanted, ds);

    /* A tunnel's source port changes with what is inside, so each connection
     * of a pod would take an entry of conntrack's; and there is nothing to be
     * learned from the ESP that it is in.
     *
     * In postrouting, unlike in output, a packet that a trap policy holds is
     * not seen. */
    ds_put_cstr(ds, "  chain leaving {\n"
                "    type filter hook postrouting priority 300;\n");
    format_esp_rules(wanted, "daddr", "saddr", "accept", ds);
    format_tunnel_rules(wanted, " rt ipsec missing", GUARD_CLEAR_OUT, ds);
    host_format_leaving(ds);
    format_to_peers(wanted, " iifname \""HOST_GATEWAY"\" "
                    "oifname != \""HOST_GATEWAY"\"", ds);
    format_stray_out(wanted, ds);

    /* In input, IPVS has translated a packet by then; it does so at 99. */
    ds_put_cstr(ds, "  }\n"
                "  chain arriving {\n"
                "    type filter hook input priority 300;\n"
                "    meta ipsec exists accept\n");
    format_tunnel_rules(wanted, "", GUARD_CLEAR_IN, ds);
    ds_put_cstr(ds, "    iifname != \""HOST_GATEWAY"\" return\n");
    format_ipsec_rules("", ds);
    ds_put_cstr(ds, "  }\n"
                "  chain sending {\n"
                "    type route hook output priority -300;\n");
    format_esp_rules(wanted, "daddr", NULL, "notrack accept", ds);
    format_quote_rules(wanted, ds);
    for (size_t i = 0; i < wanted->tunnels.n; i++) {
        format_tunnel(&wanted->tunnels.elems[i], ds);
        ds_put_cstr(ds, " notrack\n");
    }
    format_gre_reroute(wanted, ds);
    host_format_sending(&wanted->pod_networks, ds);
    ds_put_cstr(ds, "  }\n"
                "  chain straying {\n"
                "    type filter hook prerouting priority -300;\n");
    for (size_t i = 0; i < wanted->tunnels.n; i++) {
        format_tunnel(&wanted->tunnels.elems[i], ds);
        format_from_sa(ds);
        ds_put_cstr(ds, " notrack accept\n");
    }
    format_esp_rules(wanted, "saddr", "daddr", "notrack accept", ds);
    format_stray_in(wanted, ds);
    format_smuggled(ds);
    host_format_arriving(ds);
    ds_put_cstr(ds, "  }\n"
                "  chain forwarding {\n"
                "    type filter hook forward priority -300;\n");
    format_forward(wanted, ds);
    ds_put_cstr(ds, "  }\n");
}

/* The guard. */

char *
guard_create(const char *counters_file, struct guard **guardp)
{
    const char *counters[GUARD_N_NFT_COUNTERS];
    struct nft_table *nft;

    for (int i = 0; i < GUARD_N_NFT_COUNTERS; i++) {
        counters[i] = guard_counter_name(i);
    }
    char *error = nft_table_create(GUARD_TABLE, counters,
                                   GUARD_N_NFT_COUNTERS, &nft);

    *guardp = NULL;
    if (!error) {
        struct guard *guard = xzalloc(sizeof *guard);

        guard->nft = nft;
        guard_alarm_init(&guard->alarm, counters_file);
        guard->next_poll = LLONG_MIN;
        *guardp = guard;
    }
    return error;
}

void
guard_destroy(struct guard *guard)
{
    if (guard) {
        nft_table_destroy(guard->nft);
        nl_sock_destroy(guard->xfrm_events);
        guard_wanted_destroy(&guard->wanted);
        free(guard->xfrm_error);
        guard_alarm_destroy(&guard->alarm);
        free(guard);
    }
}

char *
guard_install(struct guard *guard, const struct guard_wanted *wanted)
{
    guard_set(guard, wanted);

    char *error = nft_table_install(guard->nft);
    sync_xfrm(guard);
    update_status(guard);
    if (guard->xfrm_error) {
        char *both = (error
                      ? xasprintf("%s; %s", error, guard->xfrm_error)
                      : xstrdup(guard->xfrm_error));
        free(error);
        error = both;
    }
    return error;
}

void
guard_set(struct guard *guard, const struct guard_wanted *wanted)
{
    struct ds text = DS_EMPTY_INITIALIZER;

    if (!guard->has_wanted && wanted->tunnels.n) {
        /* What the table that stands has stopped goes with it. */
        guard_alarm_run(&guard->alarm, guard->nft, wanted, false, false);
    }
    if (!guard->has_wanted
        || !guard_tunnels_equal(&wanted->tunnels, &guard->wanted.tunnels)
        || !ip_prefix_list_equals(&wanted->peers, &guard->wanted.peers)) {
        guard->xfrm_stale = true;
        guard->xfrm_settled = false;
    }
    if (wanted->tunnels.n) {
        guard_wanted_format_nft(wanted, &text);
    }
    nft_table_set(guard->nft, wanted->tunnels.n ? ds_cstr(&text) : NULL);
    ds_destroy(&text);

    guard_wanted_destroy(&guard->wanted);
    guard->wanted = *wanted;
    guard->wanted.tunnels = (struct guard_tunnels) { .n = 0 };
    guard_tunnels_add_all(&guard->wanted.tunnels, &wanted->tunnels);
    ip_prefix_list_clone(&guard->wanted.pod_networks, &wanted->pod_networks);
    ip_prefix_list_clone(&guard->wanted.exceptions, &wanted->exceptions);
    ip_prefix_list_clone(&guard->wanted.peers, &wanted->peers);
    ip_prefix_list_clone(&guard->wanted.unreached, &wanted->unreached);
    guard->has_wanted = true;
}

static void
take_xfrm_event(const struct ofpbuf *msg, void *guard_)
{
    struct guard *guard = guard_;

    guard->xfrm_stale |= guard_xfrm_is_affected(msg);
}

void
guard_run(struct guard *guard)
{
    if (guard->xfrm_events
        && nlsock_events(guard->xfrm_events, take_xfrm_event, guard)) {
        guard->xfrm_stale = true;
    }
    nft_table_run(guard->nft);
    if (!guard->has_wanted) {
        return;
    }

    bool poll = time_msec() >= guard->next_poll;
    if (guard->xfrm_stale && (poll || !guard->xfrm_error)) {
        sync_xfrm(guard);
    }
    if (poll) {
        guard->next_poll = time_msec() + POLL_INTERVAL;
        if (guard->wanted.tunnels.n) {
            char *error = NULL;

            guard->xfrm_repairs += drop_what_waits(&error) > 0;
            free(error);        /* sync_xfrm() has told. */
            read_counters(guard);
        }
    }
    update_status(guard);
}

void
guard_wait(const struct guard *guard)
{
    nft_table_wait(guard->nft);
    if (guard->xfrm_events) {
        nl_sock_wait(guard->xfrm_events, POLLIN);
    }
    if (guard->wanted.tunnels.n || guard->xfrm_error) {
        poll_timer_wait_until(guard->next_poll);
    }
}

const struct guard_status *
guard_get_status(const struct guard *guard)
{
    return &guard->status;
}

char *
guard_remove(void)
{
    const struct guard_wanted nothing = { .masquerade = false };
    unsigned int missing = 0;
    char *nft_error = nft_table_remove(GUARD_TABLE);
    char *xfrm_error = guard_xfrm_sync(&nothing, &missing);

    if (nft_error) {
        free(xfrm_error);
        return nft_error;
    }
    return xfrm_error;
}

/* Has the kernel drop what finds no SA.  What waits for one (for minutes, in
 * the queue of a policy) leaves as the policies of a later time say, past all
 * that was decided since: in clear, if they are gone with the tunnel.  Returns
 * 1 if that was not so, 0 if it was, or -1 with an error that the caller
 * frees. */
static int
drop_what_waits(char **errorp)
{
    return sysctl_set("core/xfrm_larval_drop", NULL, "1",
                      "what waits for an SA may leave in clear later",
                      errorp);
}

/* Puts the second layer in place, and starts to watch it. */
static void
sync_xfrm(struct guard *guard)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 10);
    unsigned int missing = 0;
    char *error = NULL;

    if (!guard->xfrm_events && guard_xfrm_is_supported()) {
        static const unsigned int groups[] = {
            XFRMNLGRP_POLICY, XFRMNLGRP_SA
        };

        ignore(nlsock_open(NETLINK_XFRM, groups, ARRAY_SIZE(groups),
                           &guard->xfrm_events));
    }
    if (guard->wanted.tunnels.n) {
        drop_what_waits(&error);
    }
    char *sync_error = guard_xfrm_sync(&guard->wanted, &missing);
    if (sync_error) {
        free(error);
        error = sync_error;
    }
    if (missing && guard->xfrm_settled) {
        VLOG_WARN_RL(&rl, "%u XFRM policies and states of the guard had been "
                     "removed by somebody else, they are put back", missing);
        guard->xfrm_repairs++;
    }
    if (error && !nullable_string_is_equal(error, guard->xfrm_error)) {
        VLOG_WARN_RL(&rl, "the guard's XFRM policies are not in place: %s",
                     error);
    }
    free(guard->xfrm_error);
    guard->xfrm_error = error;
    guard->xfrm_stale = error != NULL;
    guard->xfrm_settled = !error;
}

static void
read_counters(struct guard *guard)
{
    unsigned int nft_repairs = nft_table_repairs(guard->nft);

    guard_alarm_run(&guard->alarm, guard->nft, &guard->wanted,
                    nft_repairs != guard->seen_nft_repairs
                    || !nft_table_is_ok(guard->nft),
                    guard->xfrm_repairs != guard->seen_xfrm_repairs
                    || !guard->xfrm_settled);
    guard->seen_nft_repairs = nft_repairs;
    guard->seen_xfrm_repairs = guard->xfrm_repairs;
}

static void
update_status(struct guard *guard)
{
    struct guard_status *status = &guard->status;

    status->wanted = guard->wanted.tunnels.n != 0;
    status->nft_ok = nft_table_is_ok(guard->nft);
    status->nft_error = nft_table_error(guard->nft);
    status->xfrm_ok = guard->xfrm_settled;
    status->xfrm_error = guard->xfrm_error;
    status->repairs = nft_table_repairs(guard->nft) + guard->xfrm_repairs;
    memcpy(status->packets, guard->alarm.packets, sizeof status->packets);
    status->rounds = guard->alarm.rounds;
    status->alarm = guard->alarm.text;
    status->alarm_time = guard->alarm.wall_time;
}
