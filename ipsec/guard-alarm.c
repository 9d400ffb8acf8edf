/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard's counters and alarms: see guard-alarm.h. */

#include <config.h>
#include "guard-alarm.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "agent/file.h"
#include "agent/nft.h"
#include "guard-xfrm.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(guard_alarm);

/* Of the sets: how many pairs of addresses each takes, and for how long it
 * keeps one.  A flood of forged sources fills a set, and no more. */
#define SET_SIZE 64
#define SET_TIMEOUT 600         /* Seconds. */

/* The kernel tells an element's age in its own ticks. */
#define AGE_ERROR 20            /* Milliseconds. */

/* So many of them an alarm names. */
#define MAX_NAMED 4

static const char *const counter_names[GUARD_N_COUNTERS] = {
#define GUARD_COUNTER(ENUM, NAME) [GUARD_##ENUM] = NAME,
    GUARD_COUNTERS
#undef GUARD_COUNTER
};

/* What an alarm says. */
static const char *const counter_meanings[GUARD_N_COUNTERS] = {
    [GUARD_CLEAR_OUT] = "tunnel packets were about to leave in clear",
    [GUARD_CLEAR_IN] = "tunnel packets came in in clear",
    [GUARD_FORWARDED] = "packets of others' for a tunnel, ESP or IKE port "
        "were on their way through this node",
    [GUARD_STRAY_OUT] = "pods' packets were about to leave by another device "
        "than the gateway",
    [GUARD_STRAY_IN] = "pods' packets came in by another device than the "
        "gateway",
    [GUARD_SMUGGLED] = "something else than tunnel packets came in by a "
        "tunnel's SA",
    [GUARD_BLOCKED_OUT] = "packets were to leave without the SA's policy "
        "being there",
    [GUARD_BLOCKED_IN] = "packets came in without the SA's policy being "
        "there",
};

const char *
guard_counter_name(enum guard_counter counter)
{
    return counter_names[counter];
}

void
guard_alarm_format_nft(enum guard_counter counter, struct ds *ds)
{
    const char *name = counter_names[counter];

    for (int v4 = 1; v4 >= 0; v4--) {
        ds_put_format(ds, "  set %s%d {\n"
                      "    type ipv%d_addr . ipv%d_addr . inet_proto\n"
                      "    size %d\n"
                      "    flags dynamic,timeout\n"
                      "    timeout %ds\n"
                      "  }\n",
                      name, v4 ? 4 : 6, v4 ? 4 : 6, v4 ? 4 : 6, SET_SIZE,
                      SET_TIMEOUT);
    }

    /* Where a set is full, its rule ends, and the next one follows. */
    ds_put_format(ds, "  chain %s {\n"
                  "    counter name %s\n"
                  "    update @%s4 { ip saddr . ip daddr . meta l4proto }\n"
                  "    update @%s6 { ip6 saddr . ip6 daddr . meta l4proto }\n"
                  "    drop\n"
                  "  }\n", name, name, name, name);
}

void
guard_alarm_init(struct guard_alarm *alarm, const char *file)
{
    memset(alarm, 0, sizeof *alarm);
    alarm->file = nullable_xstrdup(file);
    alarm->time = 0;

    char *text = NULL, *save = NULL;
    struct stat st;
    size_t size;
    if (file && !file_read(file, 4096, &text, &size, &st)) {
        for (char *line = strtok_r(text, "\n", &save); line;
             line = strtok_r(NULL, "\n", &save)) {
            char name[64];
            uint64_t value;

            for (int i = 0; i < GUARD_N_COUNTERS; i++) {
                if (ovs_scan(line, "%63s %"SCNu64, name, &value)
                    && !strcmp(name, counter_names[i])) {
                    alarm->packets[i] = value;
                }
            }
            if (ovs_scan(line, "read-at %"SCNu64, &value)) {
                alarm->time = time_msec() - time_wall_msec() + value;
            }
        }
    }
    free(text);
}

void
guard_alarm_destroy(struct guard_alarm *alarm)
{
    free(alarm->text);
    free(alarm->file);
}

static void
save_counters(const struct guard_alarm *alarm)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (int i = 0; i < GUARD_N_COUNTERS; i++) {
        ds_put_format(&ds, "%s %"PRIu64"\n", counter_names[i],
                      alarm->packets[i]);
    }
    ds_put_format(&ds, "read-at %lld\n",
                  time_wall_msec() - time_msec() + alarm->time);
    int error = file_replace(alarm->file, ds_cstr(&ds), ds.length, false);
    if (error) {
        VLOG_WARN_RL(&rl, "%s cannot be written: %s", alarm->file,
                     ovs_strerror(error));
    }
    ds_destroy(&ds);
}

/* Reads what blocking policies have stopped from /proc/net/xfrm_stat, where
 * the kernel has such a file. */
static void
read_xfrm_counters(uint64_t packets[])
{
    FILE *stream = fopen("/proc/net/xfrm_stat", "r");
    char name[64];
    uint64_t value;

    if (!stream) {
        return;
    }
    while (fscanf(stream, "%63s %"SCNu64, name, &value) == 2) {
        if (!strcmp(name, "XfrmOutPolBlock")) {
            packets[GUARD_BLOCKED_OUT] = value;
        } else if (!strcmp(name, "XfrmInPolBlock")) {
            packets[GUARD_BLOCKED_IN] = value;
        }
    }
    fclose(stream);
}

/* Who has sent to whom. */
struct pairs {
    const struct guard_wanted *wanted;
    bool out;                   /* The other node is the destination. */
    long long int since;        /* Those before are of no interest. */
    size_t n;
    struct ds *ds;
};

static void
format_protocol(uint8_t protocol, struct ds *ds)
{
    switch (protocol) {
    case IPPROTO_GRE:
        ds_put_cstr(ds, "gre");
        break;
    case IPPROTO_UDP:
        ds_put_cstr(ds, "udp");
        break;
    case IPPROTO_ESP:
        ds_put_cstr(ds, "esp");
        break;
    default:
        ds_put_format(ds, "protocol %"PRIu8, protocol);
    }
}

/* Appends an element of a set, whose key is two addresses and a protocol. */
static void
format_pair(const uint8_t *key, size_t size, uint64_t expires, void *pairs_)
{
    struct pairs *pairs = pairs_;
    size_t length = size == 12 ? 4 : 16;
    long long int age = SET_TIMEOUT * 1000LL - (long long int) expires;

    if (size != 2 * length + 4
        || time_msec() - age < pairs->since - AGE_ERROR
        || pairs->n++ >= MAX_NAMED) {
        return;
    }
    ds_put_cstr(pairs->ds, pairs->n > 1 ? ", " : ": ");
    format_protocol(key[2 * length], pairs->ds);
    for (int i = 0; i < 2; i++) {
        struct in6_addr addr;

        memcpy(&addr, key + i * length, length);
        if (length == 4) {
            addr = in6_addr_mapped_ipv4(*(ovs_be32 *) &addr);
        }
        ds_put_cstr(pairs->ds, i ? " -> " : " ");
        ip_format(&addr, pairs->ds);
        if (i == pairs->out) {
            ds_put_cstr(pairs->ds,
                        ip_prefix_list_contains(&pairs->wanted->peers, &addr)
                        ? " (a peer)" : " (no peer)");
        }
    }
}

/* Appends what is known about the packets that 'counter' has counted. */
static void
format_cause(const struct guard_alarm *alarm, enum guard_counter counter,
             const struct nft_table *nft, const struct guard_wanted *wanted,
             bool nft_gone, bool xfrm_gone, struct ds *ds)
{
    if (counter < GUARD_N_NFT_COUNTERS) {
        struct pairs pairs = {
            .wanted = wanted,
            .out = counter == GUARD_CLEAR_OUT || counter == GUARD_STRAY_OUT,
            .since = alarm->time,
            .ds = ds,
        };

        for (int v4 = 1; v4 >= 0; v4--) {
            char *set = xasprintf("%s%d", counter_names[counter], v4 ? 4 : 6);

            nft_table_read_set(nft, set, format_pair, &pairs);
            free(set);
        }
        if (pairs.n > MAX_NAMED) {
            ds_put_format(ds, " and %"PRIuSIZE" more", pairs.n - MAX_NAMED);
        }
    }
    if (counter == GUARD_CLEAR_OUT) {
        ds_put_cstr(ds, xfrm_gone
                    ? "; the second layer had been taken away"
                    : "; another XFRM policy lets them pass");
    } else if (counter == GUARD_BLOCKED_OUT) {
        guard_xfrm_format_unprotected(wanted, MAX_NAMED, ds);
    } else if (counter == GUARD_BLOCKED_IN && nft_gone) {
        ds_put_cstr(ds, "; the first layer had been taken away");
    }
}

void
guard_alarm_run(struct guard_alarm *alarm, struct nft_table *nft,
                const struct guard_wanted *wanted, bool nft_gone,
                bool xfrm_gone)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(6, 12);
    bool first = !alarm->rounds++;
    bool changed = false;
    uint64_t packets[GUARD_N_COUNTERS];

    /* Whoever sends from here on belongs to the next round, too. */
    long long int now = time_msec();

    memcpy(packets, alarm->packets, sizeof packets);
    nft_table_read_counters(nft, packets);
    read_xfrm_counters(packets);
    for (int i = 0; i < GUARD_N_COUNTERS; i++) {
        uint64_t before = alarm->packets[i];

        if (packets[i] == before) {
            continue;
        }
        changed = true;
        alarm->packets[i] = packets[i];
        before = before < packets[i] ? before : 0;
        if (packets[i] && (alarm->file || !first)) {
            struct ds ds = DS_EMPTY_INITIALIZER;

            ds_put_format(&ds, "%s: %"PRIu64" packets stopped%s (%s, "
                          "%"PRIu64" in all)", counter_meanings[i],
                          packets[i] - before,
                          first ? " before lateend started" : "",
                          counter_names[i], packets[i]);
            format_cause(alarm, i, nft, wanted, nft_gone, xfrm_gone, &ds);
            free(alarm->text);
            alarm->text = ds_steal_cstr(&ds);
            alarm->wall_time = time_wall_msec();
            VLOG_WARN_RL(&rl, "ALARM: %s", alarm->text);
        }
    }
    alarm->time = now;
    if (changed && alarm->file) {
        save_counters(alarm);
    }
}
