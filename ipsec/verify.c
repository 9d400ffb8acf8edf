/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Proof of encryption: see verify.h. */

#include <config.h>
#include "verify.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/cluster.h"
#include "agent/config.h"
#include "agent/control-json.h"
#include "agent/host.h"
#include "agent/model.h"
#include "csum.h"
#include "guard.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "random.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"
#include "wire.h"
#include "xfrm-db.h"

#define N_PROBES 10

/* Times, in ms. */
#define PROBE_INTERVAL 100
#define FIRST_ANSWER 10000      /* There may be no SA yet. */
#define LAST_ANSWER 2000
#define GUARD_TIME 5000         /* It reads its counters each second. */

struct probe {
    struct icmphdr icmp;        /* ICMPv6 has the same fields. */
    uint64_t mark;
};

struct verify_peer {
    char *name;
    struct in6_addr address;    /* Of its tunnel packets. */
    struct in6_addr target;     /* Of the probes; in6addr_any if none. */
    bool reached;               /* One probe has come back. */
    unsigned int n_sent;        /* Since then. */
    uint32_t answered;          /* Which of these, a bit for each. */
    uint64_t sa_out, sa_in;     /* That the SAs have counted. */
    uint64_t esp_out, esp_in, clear; /* That the uplink has seen. */
};

enum verify_phase {
    REACHING,                   /* Until each peer has answered once. */
    COUNTING,                   /* Probes, and everybody watches. */
    CLOSING,                    /* Until the guard has looked. */
    DONE
};

struct verify {
    enum verify_phase phase;
    long long int next, end;    /* A probe, and this phase. */
    struct verify_peer *peers;
    size_t n_peers;

    struct guard_tunnel tunnel;
    int esp, others;            /* See wire_open(). */
    int icmp[2];                /* For IPv6, and IPv4. */
    uint64_t mark;

    struct xfrm_db before;
    uint64_t guard_before;
    unsigned int guard_round;
    char *fault;                /* What is wrong for all peers, or NULL. */
};

static void
set_fault(struct verify *v, char *fault)
{
    if (v->fault) {
        free(fault);
    } else {
        v->fault = fault;
    }
}

/* The first address of 'node''s pod networks that is of the family of one of
 * 'self'.  in6addr_any if there is none. */
static struct in6_addr
choose_target(const struct node *self, const struct node *node)
{
    for (size_t i = 0; i < node->pod_cidrs.n; i++) {
        for (size_t j = 0; j < self->pod_cidrs.n; j++) {
            const struct ip_prefix *p = &node->pod_cidrs.elems[i];

            if (ip_is_v4(&p->addr)
                == ip_is_v4(&self->pod_cidrs.elems[j].addr)) {
                return ip_prefix_nth(p, 1);
            }
        }
    }
    return in6addr_any;
}

/* A socket for echoes that go out by the gateway.  A file descriptor or a
 * negative errno value. */
static int
open_icmp(bool v4)
{
    int fd = socket(v4 ? AF_INET : AF_INET6,
                    SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, HOST_GATEWAY,
                              sizeof HOST_GATEWAY)) {
        int error = errno;

        close(fd);
        return -error;
    }
    return fd < 0 ? -errno : fd;
}

static void
add_peer(struct verify *v, const struct config *config,
         const struct node *self, const struct node *node, int family)
{
    const struct in6_addr *address = peer_tunnel_address(config, node, family);

    if (address) {
        struct verify_peer *p = &v->peers[v->n_peers++];

        *p = (struct verify_peer) {
            .name = xstrdup(node->obj.name),
            .address = *address,
            .target = choose_target(self, node),
        };
    }
}

static int
compare_peers(const void *a_, const void *b_)
{
    const struct verify_peer *a = a_;
    const struct verify_peer *b = b_;

    return strcmp(a->name, b->name);
}

char *
verify_start(const struct model *model, const struct config *config,
             const char *self_name, const char *peer, const char *uplink,
             int family, struct verify **verifyp)
{
    const struct node *self = model_find_node(model, self_name);
    const struct model_object *obj;
    struct verify *v;
    char *error = NULL;

    *verifyp = NULL;
    if (!self || !node_tunnel_address(self, family)) {
        return xasprintf("the cluster has no node %s with an address",
                         self_name);
    } else if (peer && (!model_find_node(model, peer)
                        || !strcmp(peer, self_name))) {
        return xasprintf("%s is no other node of the cluster", peer);
    }

    v = xzalloc(sizeof *v);
    v->tunnel.protocol
        = config->tunnel_type == TUNNEL_GRE ? IPPROTO_GRE : IPPROTO_UDP;
    v->tunnel.port = config->tunnel_port;
    v->peers = xcalloc(hmap_count(&model->objects[MODEL_NODE]),
                       sizeof *v->peers);
    MODEL_FOR_EACH (obj, MODEL_NODE, model) {
        if (strcmp(obj->name, self_name)
            && (!peer || !strcmp(obj->name, peer))) {
            add_peer(v, config, self, node_cast(obj), family);
        }
    }
    qsort(v->peers, v->n_peers, sizeof *v->peers, compare_peers);
    random_bytes(&v->mark, sizeof v->mark);
    v->esp = wire_open(uplink, &v->tunnel, true);
    v->others = wire_open(uplink, &v->tunnel, false);
    v->icmp[0] = open_icmp(false);
    v->icmp[1] = open_icmp(true);
    if (v->esp < 0 || v->others < 0) {
        error = xasprintf("%s cannot be watched: %s", uplink,
                          ovs_strerror(-MIN(v->esp, v->others)));
    } else if (v->icmp[0] < 0 || v->icmp[1] < 0) {
        error = xasprintf("no probes can be sent from "HOST_GATEWAY": %s",
                          ovs_strerror(-MIN(v->icmp[0], v->icmp[1])));
    }
    if (error) {
        verify_destroy(v);
        return error;
    }
    v->phase = REACHING;
    v->end = time_msec() + FIRST_ANSWER;
    *verifyp = v;
    return NULL;
}

void
verify_destroy(struct verify *v)
{
    if (v) {
        const int fds[] = { v->esp, v->others, v->icmp[0], v->icmp[1] };

        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
            if (fds[i] >= 0) {
                close(fds[i]);
            }
        }
        for (size_t i = 0; i < v->n_peers; i++) {
            free(v->peers[i].name);
        }
        xfrm_db_clear(&v->before);
        free(v->peers);
        free(v->fault);
        free(v);
    }
}

/* Probes. */

static void
send_probe(struct verify *v, const struct verify_peer *p, uint16_t seq)
{
    bool v4 = ip_is_v4(&p->target);
    struct probe probe = {
        .icmp.type = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
        .icmp.un.echo.id = htons(v->mark & 0xffff),
        .icmp.un.echo.sequence = htons(seq),
        .mark = v->mark,
    };
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6,
                                .sin6_addr = p->target };
    struct sockaddr_in to4 = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = in6_addr_get_mapped_ipv4(&p->target),
    };

    if (v4) {
        probe.icmp.checksum = csum(&probe, sizeof probe);
    }
    ignore(sendto(v->icmp[v4], &probe, sizeof probe, 0,
                  v4 ? (struct sockaddr *) &to4 : (struct sockaddr *) &to6,
                  v4 ? sizeof to4 : sizeof to6) < 0);
}

/* Sends what is due, if it is time.  The first probe, 0, does not count, and
 * is repeated until it has come back. */
static void
send_probes(struct verify *v)
{
    if (time_msec() < v->next) {
        return;
    }
    for (size_t i = 0; i < v->n_peers; i++) {
        struct verify_peer *p = &v->peers[i];

        if (ipv6_addr_is_set(&p->target)) {
            if (v->phase == REACHING && !p->reached) {
                send_probe(v, p, 0);
            } else if (v->phase == COUNTING && p->reached
                       && p->n_sent < N_PROBES) {
                send_probe(v, p, ++p->n_sent);
            }
        }
    }
    v->next = time_msec() + PROBE_INTERVAL;
}

/* Takes an answer from 'from'. */
static void
take_answer(struct verify *v, const struct in6_addr *from,
            const struct probe *probe)
{
    uint16_t seq = ntohs(probe->icmp.un.echo.sequence);

    if (probe->mark != v->mark
        || probe->icmp.type != (ip_is_v4(from) ? ICMP_ECHOREPLY
                                : ICMP6_ECHO_REPLY)) {
        return;
    }
    for (size_t i = 0; i < v->n_peers; i++) {
        struct verify_peer *p = &v->peers[i];

        if (ipv6_addr_equals(&p->target, from)) {
            p->reached = true;
            if (seq && seq <= p->n_sent) {
                p->answered |= 1u << (seq - 1);
            }
        }
    }
}

static void
receive_answers(struct verify *v)
{
    for (int v4 = 0; v4 < 2; v4++) {
        /* IPv4's sockets give the IP header too. */
        uint8_t data[60 + sizeof(struct probe)];
        struct sockaddr_storage ss;
        socklen_t size = sizeof ss;
        ssize_t n;

        while ((n = recvfrom(v->icmp[v4], data, sizeof data, 0,
                             (struct sockaddr *) &ss, &size)) >= 0) {
            size_t header = v4 && n ? (data[0] & 0xf) * 4 : 0;

            if ((size_t) n == header + sizeof(struct probe)) {
                struct in6_addr from = ss_get_address(&ss);
                struct probe probe;

                memcpy(&probe, data + header, sizeof probe);
                take_answer(v, &from, &probe);
            }
            size = sizeof ss;
        }
    }
}

/* Witnesses. */

static bool
is_ours(const struct xfrm_db *db, const struct wire_packet *packet)
{
    for (size_t i = 0; i < db->n_sas; i++) {
        const struct xfrm_sa *sa = &db->sas[i];

        if (sa->spi == packet->spi && ipv6_addr_equals(&sa->src, &packet->src)
            && ipv6_addr_equals(&sa->dst, &packet->dst)) {
            return true;
        }
    }
    return false;
}

/* Takes the ESP that the uplink has seen. */
static void
take_esp(struct verify *v)
{
    struct wire_packet packet;

    while (wire_next(v->esp, &v->tunnel, &packet)) {
        for (size_t i = 0; i < v->n_peers; i++) {
            struct verify_peer *p = &v->peers[i];
            bool out = ipv6_addr_equals(&packet.dst, &p->address);

            if ((out || ipv6_addr_equals(&packet.src, &p->address))
                && is_ours(&v->before, &packet)) {
                ++*(out ? &p->esp_out : &p->esp_in);
            }
        }
    }
}

static void
take_clear(struct verify *v)
{
    struct wire_packet packet;

    while (wire_next(v->others, &v->tunnel, &packet)) {
        bool known = false;

        for (size_t i = 0; i < v->n_peers; i++) {
            struct verify_peer *p = &v->peers[i];
            const struct in6_addr *end
                = (packet.kind == WIRE_CLEAR ? &p->address
                   : packet.kind == WIRE_ECHO ? &p->target : NULL);

            if (end && (ipv6_addr_equals(&packet.src, end)
                        || ipv6_addr_equals(&packet.dst, end))) {
                p->clear++;
                known = true;
            }
        }
        if (packet.kind == WIRE_CLEAR && !known) {
            char *src = ip_to_string(&packet.src);
            char *dst = ip_to_string(&packet.dst);

            set_fault(v, xasprintf("the uplink has seen a clear packet of "
                                   "the tunnel from %s to %s", src, dst));
            free(src);
            free(dst);
        }
    }
}

/* What 'sa' has carried since the beginning. */
static uint64_t
count_sa(const struct verify *v, const struct xfrm_sa *sa)
{
    for (size_t i = 0; i < v->before.n_sas; i++) {
        const struct xfrm_sa *b = &v->before.sas[i];

        if (b->spi == sa->spi && ipv6_addr_equals(&b->dst, &sa->dst)) {
            return sa->packets - b->packets;
        }
    }
    return sa->packets;
}

static void
count_sas(struct verify *v, const struct xfrm_db *now)
{
    for (size_t i = 0; i < v->n_peers; i++) {
        struct verify_peer *p = &v->peers[i];

        for (size_t j = 0; j < now->n_sas; j++) {
            const struct xfrm_sa *sa = &now->sas[j];

            if (ipv6_addr_equals(&sa->dst, &p->address)) {
                p->sa_out += count_sa(v, sa);
            } else if (ipv6_addr_equals(&sa->src, &p->address)) {
                p->sa_in += count_sa(v, sa);
            }
        }
    }
}

static uint64_t
guard_stopped(const struct guard_status *guard)
{
    return (guard->packets[GUARD_CLEAR_OUT] + guard->packets[GUARD_CLEAR_IN]
            + guard->packets[GUARD_STRAY_OUT] + guard->packets[GUARD_STRAY_IN]
            + guard->packets[GUARD_BLOCKED_OUT]
            + guard->packets[GUARD_BLOCKED_IN]);
}

/* Phases. */

static void
read_db(struct verify *v, struct xfrm_db *db)
{
    int error = xfrm_db_read(db);

    if (error) {
        set_fault(v, xasprintf("the kernel's SAs cannot be read: %s",
                               ovs_strerror(error)));
    }
}

static void
begin_counting(struct verify *v, const struct guard_status *guard)
{
    read_db(v, &v->before);
    /* What it has seen until now does not count; what was in clear does. */
    take_esp(v);
    for (size_t i = 0; i < v->n_peers; i++) {
        v->peers[i].esp_out = v->peers[i].esp_in = 0;
    }
    v->guard_before = guard_stopped(guard);
    v->phase = COUNTING;
    v->next = time_msec();
    v->end = v->next + N_PROBES * PROBE_INTERVAL + LAST_ANSWER;
}

static void
end_counting(struct verify *v, const struct guard_status *guard)
{
    struct xfrm_db now = { .n_sas = 0 };

    read_db(v, &now);
    count_sas(v, &now);
    take_esp(v);
    xfrm_db_clear(&now);
    v->guard_round = guard->rounds;
    v->phase = CLOSING;
    v->end = time_msec() + GUARD_TIME;
}

static void
close_up(struct verify *v, const struct guard_status *guard)
{
    uint64_t stopped = guard_stopped(guard) - v->guard_before;

    take_clear(v);
    if (!guard->wanted || !guard->nft_ok || !guard->xfrm_ok) {
        set_fault(v, xasprintf("the guard does not stand whole: %s",
                               guard->nft_error ? guard->nft_error
                               : guard->xfrm_error ? guard->xfrm_error
                               : "see lateenctl status"));
    } else if (guard->rounds == v->guard_round) {
        set_fault(v, xstrdup("the guard does not read its counters"));
    } else if (stopped) {
        set_fault(v, xasprintf("the guard has stopped %"PRIu64" clear packets "
                               "meanwhile", stopped));
    } else if (wire_lost(v->others)) {
        set_fault(v, xstrdup("the uplink had more packets than could be "
                             "watched"));
    }
    v->phase = DONE;
}

/* Whether each peer that can answer has done so: all probes, or the first. */
static bool
all_answered(const struct verify *v)
{
    for (size_t i = 0; i < v->n_peers; i++) {
        const struct verify_peer *p = &v->peers[i];

        if (v->phase == REACHING
            ? !p->reached && ipv6_addr_is_set(&p->target)
            : p->reached && p->answered != (1u << N_PROBES) - 1) {
            return false;
        }
    }
    return true;
}

bool
verify_run(struct verify *v, const struct guard_status *guard)
{
    bool late = time_msec() >= v->end;

    receive_answers(v);
    take_clear(v);
    if (v->phase == COUNTING) {
        take_esp(v);
    }
    if (v->phase == REACHING && (late || all_answered(v))) {
        begin_counting(v, guard);
    } else if (v->phase == COUNTING && (late || all_answered(v))) {
        end_counting(v, guard);
    } else if (v->phase == CLOSING
               && (late || guard->rounds != v->guard_round)) {
        close_up(v, guard);
    }
    send_probes(v);
    return v->phase == DONE;
}

void
verify_wait(const struct verify *v)
{
    poll_fd_wait(v->icmp[0], POLLIN);
    poll_fd_wait(v->icmp[1], POLLIN);
    poll_timer_wait_until(v->end);
    poll_timer_wait_until(v->next);
}

/* Result. */

/* Why encryption with 'p' is not proven, in a new string, or NULL. */
static char *
find_reason(const struct verify *v, const struct verify_peer *p)
{
    int n = __builtin_popcount(p->answered);

    if (!ipv6_addr_is_set(&p->target)) {
        return xstrdup("it has no pod network that could be probed");
    } else if (p->clear) {
        return xasprintf("the uplink has seen %"PRIu64" clear packets",
                         p->clear);
    } else if (v->fault) {
        return xstrdup(v->fault);
    } else if (n < N_PROBES) {
        return xasprintf("it has answered %d of %d probes", n, N_PROBES);
    } else if (p->esp_out < N_PROBES || p->esp_in < N_PROBES) {
        return xstrdup("probes have passed, but not as ESP on the uplink");
    } else if (p->sa_out < N_PROBES || p->sa_in < N_PROBES) {
        return xstrdup("probes have passed, but the SAs have not counted "
                       "them");
    }
    return NULL;
}

struct json *
verify_to_json(const struct verify *v)
{
    struct json *rows = json_array_create_empty();

    for (size_t i = 0; i < v->n_peers; i++) {
        const struct verify_peer *p = &v->peers[i];
        struct json *row = json_object_create();
        char *reason = find_reason(v, p);

        put_string(row, "peer", p->name);
        put_bool(row, "proven", !reason);
        put_string(row, "reason", reason);
        put_integer(row, "probes", p->n_sent);
        put_integer(row, "answered", __builtin_popcount(p->answered));
        put_integer(row, "espOut", p->esp_out);
        put_integer(row, "espIn", p->esp_in);
        put_integer(row, "clear", p->clear);
        put_integer(row, "saOut", p->sa_out);
        put_integer(row, "saIn", p->sa_in);
        json_array_add(rows, row);
        free(reason);
    }
    return rows;
}
