/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The local Open vSwitch database
 * ===============================
 *
 * Keeps the bridge, its gateway port and its tunnel port as they are wanted,
 * adds and deletes the ports of containers, and tells what Open vSwitch has
 * made of it all: containers' ports become the model's attachments, the rest
 * is in 'struct ovsdb_facts'.
 *
 * An attachment lives in external_ids of its Interface row and nowhere else,
 * so an agent that starts finds the attachments of the one before it.
 *
 * What Lateen makes carries external_ids:lateen-type.  In rows that it did not
 * make it writes only the columns and keys that ovsdb-setup.h lists, and it
 * leaves other people's ports, rows and keys alone.
 *
 * Everything here belongs to the main thread.  Nothing but ovsdb_cleanup()
 * blocks. */

#ifndef LATEEN_OVSDB_H
#define LATEEN_OVSDB_H 1

#include <stdbool.h>
#include <stdint.h>
#include "openvswitch/compiler.h"
#include "openvswitch/types.h"

struct attachment;
struct model;
struct ovsdb;
struct pipeline_table;
struct sset;

/* Names of the ports that Lateen makes for itself. */
#define OVSDB_GATEWAY_PORT "lateen-gw0"
#define OVSDB_TUNNEL_PORT "lateen-tun0"

/* What the bridge is to be. */
struct ovsdb_wanted {
    const char *bridge;         /* Its name, e.g. "br-int". */
    const char *datapath_type;  /* "system" or "netdev". */
    const struct pipeline_table *tables; /* To be named in OVSDB; a null name
                                          * ends them.  Not copied. */

    /* Gateway port. */
    struct eth_addr gateway_mac; /* See ovsdb_gateway_mac(). */
    int gateway_mtu;            /* In bytes; 0 leaves it to Open vSwitch. */

    /* Tunnel port. */
    bool allow_tunnel;          /* There is to be one.  False as long as clear
                                 * packets could leave by it. */
    const char *tunnel_type;    /* "geneve", "vxlan" or "gre". */
    uint16_t tunnel_port;       /* UDP port; unused for "gre". */
    bool tunnel_ipv6;           /* Nodes speak IPv6 with one another. */
};

/* What Open vSwitch says. */
struct ovsdb_facts {
    uint64_t seqno;             /* Changes whenever anything below does. */
    bool connected;             /* There is a connection to ovsdb-server.
                                 * Without one, the rest is as it was. */
    bool ready;                 /* The database holds what is wanted, and
                                 * ovs-vswitchd has made it so. */
    char *error;                /* What keeps the bridge from being as wanted,
                                 * and what to do; or NULL. */
    bool has_bridge;            /* The bridge is in the database. */
    bool adopted;               /* It was there before Lateen. */
    char *datapath_type;        /* Of the bridge that ovs-vswitchd runs; NULL
                                 * while it runs none. */
    ofp_port_t gateway_ofport;  /* OFPP_NONE until Open vSwitch has told it. */
    struct eth_addr gateway_mac; /* In use; all zero until it is told. */
    ofp_port_t tunnel_ofport;   /* OFPP_NONE until Open vSwitch has told it, or
                                 * while there is no tunnel port. */
    uint8_t tunnel_protocol;    /* Of the tunnel port that the database holds,
                                 * whatever ovs-vswitchd has made of it:
                                 * IPPROTO_GRE or IPPROTO_UDP, or 0. */
    uint16_t tunnel_port;       /* Its UDP port. */
    int64_t next_cfg, cur_cfg;  /* Open_vSwitch's columns: ovs-vswitchd copies
                                 * the first to the second when it has dealt
                                 * with the configuration. */
    char *ovs_version;          /* As Open vSwitch's start-up scripts record
                                 * it, or NULL. */
};

/* Creates the connection to the ovsdb-server at 'remote', such as
 * "unix:/var/run/openvswitch/db.sock".  It is made, and made again when it is
 * lost, by ovsdb_run(). */
struct ovsdb *ovsdb_create(const char *remote);

/* Closes the connection.  The database keeps what it holds.  Every request
 * must have been destroyed. */
void ovsdb_destroy(struct ovsdb *);

/* Says what the bridge is to be, from the next ovsdb_run() on.  Until the
 * first call nothing is changed.  Copies '*wanted'. */
void ovsdb_set_wanted(struct ovsdb *, const struct ovsdb_wanted *wanted);

/* Takes in what has changed in the database, brings the attachments of 'model'
 * into line with it, and sends what is wanted.  ovsdb_wait() makes the poll
 * loop wake up when there is more to do. */
void ovsdb_run(struct ovsdb *, struct model *model);
void ovsdb_wait(struct ovsdb *);

/* What Open vSwitch says.  Belongs to the 'struct ovsdb'; its strings last
 * until the next ovsdb_run(). */
const struct ovsdb_facts *ovsdb_get_facts(const struct ovsdb *);

/* The error that Open vSwitch reports for the port 'name', as for a device
 * that it cannot open, or NULL.  Lasts until the next ovsdb_run(). */
const char *ovsdb_port_error(const struct ovsdb *, const char *name);

/* Requests
 * --------
 *
 * All requests of one turn of the main loop share one transaction.  If it is
 * refused, each is tried on its own, so that one cannot spoil the others. */

enum ovsdb_request_status {
    OVSDB_REQUEST_PENDING,
    OVSDB_REQUEST_DONE,         /* The database holds it and the model has
                                 * taken it in. */
    OVSDB_REQUEST_FAILED        /* The database has nothing of it. */
};

/* A request; owned by the one that made it. */
struct ovsdb_request {
    enum ovsdb_request_status status;
    char *error;                /* For OVSDB_REQUEST_FAILED, why. */
    int64_t cfg;                /* For OVSDB_REQUEST_DONE, after detaching:
                                 * ovs-vswitchd lets go of the device before
                                 * cur_cfg in the facts gets there. */
};

/* Asks for a port 'a->hostif' on the bridge for '*a', which is copied.  Its
 * members 'ofport' and 'flows_seqno' are not used.  Returns a new request,
 * which ovsdb_run() brings to an end.  It stays pending as long as there is no
 * connection or no bridge.
 *
 * When it is done, the model has the attachment, with an ofport as soon as
 * Open vSwitch gives one; ovsdb_port_error() tells if it will not. */
struct ovsdb_request *ovsdb_attach(struct ovsdb *, const struct attachment *a)
    OVS_WARN_UNUSED_RESULT;

/* As ovsdb_attach(), to delete the port of an attachment.  It is done, too,
 * where there is no such attachment. */
struct ovsdb_request *ovsdb_detach(struct ovsdb *, const char *container_id,
                                   const char *ifname)
    OVS_WARN_UNUSED_RESULT;

/* Frees the request.  One that is pending goes its way unobserved, except that
 * an ovsdb_attach() that has not been sent yet is withdrawn. */
void ovsdb_request_destroy(struct ovsdb_request *);

/* A MAC address for the gateway port of node 'node': locally administered,
 * unicast, and always the same for one name. */
struct eth_addr ovsdb_gateway_mac(const char *node);

/* Removes from the database at 'remote' exactly what Lateen made: ports, names
 * of tables, keys, and the bridge unless it was adopted or other people's
 * ports are on it.  Blocks until that is in the database and ovs-vswitchd has
 * dealt with it, for at most 'timeout' ms: before, the kernel's datapath has
 * the tunnel port still, also where no ovs-vswitchd runs.  Adds to 'hostifs'
 * the names of the attachments' devices, which stay.  Returns NULL, or a
 * message that the caller frees. */
char *ovsdb_cleanup(const char *remote, int timeout, struct sset *hostifs)
    OVS_WARN_UNUSED_RESULT;

#endif /* agent/ovsdb.h */
