/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests for ports of containers: see ovsdb-requests.h. */

#include <config.h>
#include "agent/ovsdb-requests.h"

#include <stdlib.h>
#include "agent/model.h"
#include "agent/ovsdb.h"
#include "agent/ovsdb-rows.h"
#include "lib/vswitch-idl.h"
#include "openvswitch/list.h"
#include "ovsdb-idl.h"
#include "smap.h"
#include "sset.h"
#include "util.h"

struct request {
    struct ovsdb_request up;    /* The owner's part; must be first. */
    struct ovs_list list_node;  /* In the queue, as long as it is pending. */
    bool attach;
    bool sent;                  /* Part of the transaction under way. */
    bool alone;                 /* Not to share a transaction: one that it was
                                 * part of has been refused. */
    bool abandoned;             /* The owner has destroyed it. */
    char *key;                  /* attachment_key() of the two below. */
    char *container_id;
    char *ifname;
    char *hostif;               /* For attaching. */
    struct smap external_ids;   /* For attaching. */
};

static char *write_attach(const struct request *, const struct ovsdb_rows *,
                          const struct ovsrec_bridge *,
                          struct ovsdb_idl_txn *);
static const struct ovsrec_interface *
find_attachment(const struct request *, const struct ovsdb_rows *,
                const struct ovsrec_bridge *);
static void request_end(struct request *, char *error);
static void request_free(struct request *);

static struct request *
request_create(struct ovs_list *queue, const char *container_id,
               const char *ifname)
{
    struct request *req = xzalloc(sizeof *req);

    req->key = attachment_key(container_id, ifname);
    req->container_id = xstrdup(container_id);
    req->ifname = xstrdup(ifname);
    smap_init(&req->external_ids);
    ovs_list_push_back(queue, &req->list_node);
    return req;
}

struct ovsdb_request *
ovsdb_requests_attach(struct ovs_list *queue, const struct attachment *a)
{
    struct request *req = request_create(queue, a->container_id, a->ifname);

    req->attach = true;
    req->hostif = xstrdup(a->hostif);
    ovsdb_attachment_encode(a, &req->external_ids);
    return &req->up;
}

struct ovsdb_request *
ovsdb_requests_detach(struct ovs_list *queue, const char *container_id,
                      const char *ifname)
{
    return &request_create(queue, container_id, ifname)->up;
}

void
ovsdb_request_destroy(struct ovsdb_request *up)
{
    if (!up) {
        return;
    }

    struct request *req = CONTAINER_OF(up, struct request, up);
    if (up->status != OVSDB_REQUEST_PENDING) {
        request_free(req);
    } else if (req->sent || !req->attach) {
        req->abandoned = true;
    } else {
        ovs_list_remove(&req->list_node);
        request_free(req);
    }
}

bool
ovsdb_requests_write(struct ovs_list *queue, const struct ovsdb_rows *rows,
                     const struct ovsrec_bridge *br,
                     struct ovsdb_idl_txn *txn)
{
    /* The attachments and the ports that 'txn' deals with.  A request about
     * one of them builds on what comes of the request before it. */
    struct sset busy = SSET_INITIALIZER(&busy);
    struct request *req;
    bool deletes = false;

    LIST_FOR_EACH_SAFE (req, list_node, queue) {
        if ((req->alone && !sset_is_empty(&busy))
            || sset_contains(&busy, req->key)
            || (req->attach && sset_contains(&busy, req->hostif))) {
            break;
        }

        if (req->attach) {
            char *error = write_attach(req, rows, br, txn);
            if (error) {
                request_end(req, error);
                continue;
            }
            sset_add(&busy, req->hostif);
        } else {
            const struct ovsrec_interface *iface
                = find_attachment(req, rows, br);
            if (!iface) {
                request_end(req, NULL);
                continue;
            }
            ovsrec_bridge_update_ports_delvalue(
                br, ovsdb_rows_port(rows, iface->name));
            sset_add(&busy, iface->name);
            deletes = true;
        }
        sset_add(&busy, req->key);
        req->sent = true;
        if (req->alone) {
            break;
        }
    }
    sset_destroy(&busy);
    return deletes;
}

void
ovsdb_requests_finish(struct ovs_list *queue, bool again, const char *error,
                      int64_t cfg)
{
    struct request *req;
    size_t n = 0;

    LIST_FOR_EACH (req, list_node, queue) {
        n += req->sent;
    }

    /* One of several is to blame. */
    bool alone = error && n > 1;

    LIST_FOR_EACH_SAFE (req, list_node, queue) {
        if (req->sent) {
            req->sent = false;
            req->alone = req->alone || alone;
            if (!(again || alone) || (req->abandoned && req->attach)) {
                req->up.cfg = req->attach ? 0 : cfg;
                request_end(req, nullable_xstrdup(error));
            }
        }
    }
}

void
ovsdb_requests_destroy(struct ovs_list *queue)
{
    struct request *req;

    LIST_FOR_EACH_SAFE (req, list_node, queue) {
        ovs_assert(req->abandoned);
        request_end(req, NULL);
    }
}

/* Makes the port that 'req' asks for.  Returns NULL, or why that cannot be. */
static char *
write_attach(const struct request *req, const struct ovsdb_rows *rows,
             const struct ovsrec_bridge *br, struct ovsdb_idl_txn *txn)
{
    const struct ovsrec_interface *iface
        = ovsdb_rows_interface(rows, req->hostif);

    if (iface || ovsdb_rows_port(rows, req->hostif)) {
        if (!iface || iface != find_attachment(req, rows, br)) {
            return xasprintf("port %s already exists in Open vSwitch, and not "
                             "for this container", req->hostif);
        }
        /* The row is Lateen's, so the column is too. */
        ovsrec_interface_set_external_ids(iface, &req->external_ids);
        return NULL;
    }

    const struct smap mark = SMAP_CONST1(&mark, OVSDB_TYPE_KEY,
                                         OVSDB_TYPE_POD);
    struct ovsrec_interface *new_iface = ovsrec_interface_insert(txn);
    ovsrec_interface_set_name(new_iface, req->hostif);
    ovsrec_interface_set_external_ids(new_iface, &req->external_ids);

    struct ovsrec_port *new_port = ovsrec_port_insert(txn);
    ovsrec_port_set_name(new_port, req->hostif);
    ovsrec_port_set_interfaces(new_port, &new_iface, 1);
    ovsrec_port_set_external_ids(new_port, &mark);
    ovsrec_bridge_update_ports_addvalue(br, new_port);
    return NULL;
}

/* The Interface on 'br' of the attachment that 'req' is about, or NULL. */
static const struct ovsrec_interface *
find_attachment(const struct request *req, const struct ovsdb_rows *rows,
                const struct ovsrec_bridge *br)
{
    const struct ovsrec_interface *iface;

    OVSREC_INTERFACE_FOR_EACH (iface, rows->idl) {
        if (ovsdb_attachment_matches(&iface->external_ids, req->container_id,
                                     req->ifname)
            && ovsdb_rows_is_attachment(rows, br, iface)) {
            return iface;
        }
    }
    return NULL;
}

/* Brings 'req' to its end: done if 'error' is null, otherwise failed.  Takes
 * ownership of 'error'. */
static void
request_end(struct request *req, char *error)
{
    ovs_list_remove(&req->list_node);
    req->up.status = error ? OVSDB_REQUEST_FAILED : OVSDB_REQUEST_DONE;
    req->up.error = error;
    if (req->abandoned) {
        request_free(req);
    }
}

static void
request_free(struct request *req)
{
    free(req->up.error);
    free(req->key);
    free(req->container_id);
    free(req->ifname);
    free(req->hostif);
    smap_destroy(&req->external_ids);
    free(req);
}
