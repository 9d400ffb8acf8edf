/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Brings the flow table into the switch.
 *
 * The bridge's management socket is spoken to in OpenFlow 1.5.  On each new
 * connection all flows that carry Lateen's mark (COOKIE_MARK) are read; others
 * are never looked at.  Then what differs from the flow table goes into the
 * switch as one atomic bundle; nothing is sent where nothing differs.  What
 * changes while a bundle is under way goes into the next.
 *
 * Of a flow that the switch refuses, no version is left in the switch, and
 * everything else goes in: see flow-table.h, under "Refusals".
 *
 * A change is installed when its bundle is in the tables: 0.3 ms or so.  It is
 * realized when, besides, the datapath has no flow left that was derived from
 * the tables before it: Open vSwitch keeps using such flows until its
 * revalidators have gone over them, which takes 6 to 11 ms to be certain of.
 *
 * For a promise that something passes no more, only the latter counts.  For
 * what a port that is new to the tables needs, the former is enough: no
 * derived flow leads to a port or from it before the tables name it.
 *
 * Everything here belongs to the main thread and never blocks. */

#ifndef LATEEN_OFCTRL_H
#define LATEEN_OFCTRL_H 1

#include <stdbool.h>
#include <stdint.h>
#include "openvswitch/list.h"
#include "openvswitch/types.h"

struct flow_delta;
struct flow_table;
struct in6_addr;
struct ofctrl;
struct ofputil_flow_stats;

/* Creates the connection of 'ft', which must outlive it, to the bridge
 * 'bridge'.  'rundir' is Open vSwitch's run directory, where the bridge's
 * "BRIDGE.mgmt" is and ovs-vswitchd's pidfile. */
struct ofctrl *ofctrl_create(struct flow_table *ft, const char *bridge,
                             const char *rundir);

/* Closes the connection.  The switch keeps its flows. */
void ofctrl_destroy(struct ofctrl *);

/* Says whether the flow table holds all that is wanted.  As long as it does
 * not, as at the start, nothing in the switch is changed. */
void ofctrl_set_complete(struct ofctrl *, bool complete);

/* Has the switch's flows read again, as on a new connection, and repaired.
 * Until that is done, no change is installed or realized. */
void ofctrl_reread(struct ofctrl *);

void ofctrl_run(struct ofctrl *);
void ofctrl_wait(struct ofctrl *);

/* The last change (flow_table_seqno()) that is installed, and the last that is
 * realized; 0 if there is none, as after a disconnection.  The changes up to
 * it are too, except for flow_table_refusals(). */
uint64_t ofctrl_installed(const struct ofctrl *);
uint64_t ofctrl_realized(const struct ofctrl *);

/* Whether the switch is connected and its flows have been read. */
bool ofctrl_is_connected(const struct ofctrl *);

/* Why the last connection ended or could not be made, or why changes cannot be
 * seen to be realized; NULL if there is nothing to say.  Belongs to
 * 'ofctrl'. */
const char *ofctrl_last_error(const struct ofctrl *);

/* Has the switch forget the connections from and to 'ip' in a conntrack zone,
 * before it gets any change that is made after this call.  The datapath in
 * 'userspace' keeps those of ICMPv6, a minute at most.  Does nothing while
 * there is no connection. */
void ofctrl_flush_conntrack(struct ofctrl *, uint16_t zone,
                            const struct in6_addr *ip, bool userspace);

/* Has what is logged of a refusal begin with what 'title', called with 'aux',
 * says of the flow, in a string to be freed. */
void ofctrl_set_title(struct ofctrl *,
                      char *(*title)(const struct flow_delta *,
                                     const void *aux),
                      const void *aux);

/* Called with each flow that was asked for, then once with a null 'fs', and
 * with an error message or NULL.  What the arguments point to lasts as long as
 * the call. */
typedef void ofctrl_flows_cb(const struct ofputil_flow_stats *fs,
                             const char *error, void *aux);

/* Asks the switch for its flows, with their counters, of table 'table_id'
 * (OFPTT_ALL for every table) whose cookie is 'cookie' in the bits of
 * 'cookie_mask'.  Calls 'cb' with 'aux', never before ofctrl_request_flows()
 * has returned. */
void ofctrl_request_flows(struct ofctrl *, uint8_t table_id, ovs_be64 cookie,
                          ovs_be64 cookie_mask, ofctrl_flows_cb *cb,
                          void *aux);

#endif /* flows/ofctrl.h */
