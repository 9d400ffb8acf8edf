/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The IKE edge: see ike.h. */

#include <config.h>
#include "ike.h"

#include <stdlib.h>
#include <string.h>

#include "agent/model.h"
#include "ike-private.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike);

struct ike *
ike_create(void)
{
    struct ike *ike = xzalloc(sizeof *ike);

    shash_init(&ike->conns);
    ike->kernel = xfrm_check_create();
    ike_keys_init(&ike->keys);
    svec_init(&ike->settings.psk_files);
    ike->watch = -1;
    return ike;
}

void
ike_set_string(char **s, const char *value)
{
    char *copy = nullable_xstrdup(value);

    free(*s);
    *s = copy;
}

void
ike_conn_free(struct ike_conn *conn)
{
    free(conn->name);
    json_destroy(conn->wanted);
    free(conn->text);
    free(conn->loaded);
    free(conn->sent);
    free(conn->error);
    free(conn->trouble);
    ike_sas_clear(&conn->sas);
    ike_renewal_destroy(&conn->renewal);
    free(conn);
}

void
ike_destroy(struct ike *ike)
{
    if (ike) {
        struct shash_node *node;

        ike_client_destroy(ike->client);
        ike_close_watch(ike);
        SHASH_FOR_EACH (node, &ike->conns) {
            ike_conn_free(node->data);
        }
        shash_destroy(&ike->conns);
        xfrm_check_destroy(ike->kernel);
        ike_keys_destroy(&ike->keys);
        ike_x509_destroy(&ike->x509);
        json_destroy(ike->secret);
        free(ike->link_error);
        free(ike->self);
        svec_destroy(&ike->settings.psk_files);
        free(ike->settings.certificate);
        free(ike->settings.key);
        free(ike->settings.ca);
        free(ike->settings.crl);
        free(ike->settings.vici_socket);
        free(ike);
    }
}

/* What is wanted. */

struct ike_conn *
ike_get_conn(struct ike *ike, const char *name)
{
    struct ike_conn *conn = shash_find_data(&ike->conns, name);

    if (!conn) {
        conn = xzalloc(sizeof *conn);
        conn->ike = ike;
        conn->name = xstrdup(name);
        ike_renewal_init(&conn->renewal);
        shash_add(&ike->conns, name, conn);
    }
    return conn;
}

/* Notes what matters of 'config'.  Returns whether it has changed. */
static bool
take_settings(struct ike *ike, const struct config *config)
{
    struct ike_settings *s = &ike->settings;

    if (ike->client && s->serial == config->serial) {
        return false;
    }
    s->serial = config->serial;
    if (!ike->client || strcmp(s->vici_socket, config->vici_socket)) {
        if (ike->client) {
            ike_client_reset(ike->client, "charon's socket is another one");
            ike_client_destroy(ike->client);
        }
        ike->client = ike_client_create(config->vici_socket, ike_event_cb,
                                        ike);
        ike_set_string(&s->vici_socket, config->vici_socket);
    }
    s->mode = config->ipsec_mode;
    s->renew_within = config->renew_within;
    svec_clear(&s->psk_files);
    ike_set_string(&s->certificate, NULL);
    if (s->mode == IPSEC_REQUIRED) {
        svec_append(&s->psk_files, &config->psk_files);
        ike_set_string(&s->certificate, config->certificate);
        ike_set_string(&s->key, config->key);
        ike_set_string(&s->ca, config->ca);
        ike_set_string(&s->crl, config->crl);
    }
    s->reauth = s->certificate ? config->reauth * 1000LL : 0;
    ike->x509.next_look = time_msec();
    ike->idle = false;
    ike->next_try = time_msec();
    return true;
}

static bool
nodes_have_changed(const struct model *model, uint64_t since)
{
    const struct model_object *obj;

    MODEL_FOR_EACH_CHANGED (obj, model, since) {
        if (obj->kind == MODEL_NODE) {
            return true;
        }
    }
    return false;
}

static void
derive(struct ike *ike, const struct model *model,
       const struct config *config, const char *self)
{
    struct shash wanted = SHASH_INITIALIZER(&wanted);
    struct json *secret = conns_secret(model);
    struct shash_node *node;

    ike_set_string(&ike->self, self);
    conns_derive(model, config, self,
                 config->certificate ? ike->x509.x509 : NULL, &wanted);
    SHASH_FOR_EACH (node, &ike->conns) {
        struct ike_conn *conn = node->data;

        json_destroy(conn->wanted);
        conn->wanted = NULL;
    }
    SHASH_FOR_EACH (node, &wanted) {
        struct ike_conn *conn = ike_get_conn(ike, node->name);

        char *before = nullable_xstrdup(conn->text);

        conn->wanted = node->data;
        ike_conn_write(conn);
        if (before && strcmp(before, conn->text)) {
            ike_conn_renew(conn, time_msec() / 1000);
        }
        free(before);
        conn->retry = 0;
        node->data = NULL;
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        struct ike_conn *conn = node->data;

        if (!conn->wanted) {
            ike_set_string(&conn->text, NULL);
        }
    }
    conns_destroy(&wanted);

    if (!ike->secret || !json_equal(secret, ike->secret)) {
        json_destroy(ike->secret);
        ike->secret = secret;
        ike->keys.reload = true;
    } else {
        json_destroy(secret);
    }
    ike->keys.next_look = time_msec();
}

void
ike_run(struct ike *ike, const struct model *model,
        const struct config *config, const char *self)
{
    if (!model) {
        return;
    }
    ike->underived |= take_settings(ike, config);
    ike->underived |= ike_x509_run(ike, self);
    ike->underived |= nodes_have_changed(model, ike->seqno);
    ike->seqno = model->seqno;
    if (ike->underived && ike_x509_is_known(ike)) {
        derive(ike, model, config, self);
        ike->underived = false;
        ike->derived = true;
    }
    if (ike->idle) {
        return;
    }
    /* What is there stays until something is known that can replace it. */
    if (ike_x509_is_known(ike)) {
        ike_keys_run(ike);
    }

    if (ike->watch >= 0) {
        ike_look_at_watch(ike);
    }
    if (ike->link == LINK_DOWN && !ike->idle
        && time_msec() >= ike->next_try) {
        ike_connect(ike);
    }
    ike_client_run(ike->client);
    if (xfrm_check_run(ike->kernel)) {
        ike_look_soon(ike, time_msec() + IKE_EVENT_DELAY);
    }
    if (ike->link == LINK_READY) {
        if (ike->keys.known && ike->derived) {
            /* First the keys: connections begin at once. */
            ike_x509_sync(ike);
            ike_keys_sync(ike);
            ike_sync_conns(ike);
        }
        ike_renew_run(ike);
        if (!ike->looking && time_msec() >= ike->next_round) {
            ike_look(ike);
        }
        if (ike->settings.mode == IPSEC_OFF && !ike->looking
            && shash_is_empty(&ike->conns) && ike_keys_loaded(ike)
            && !ike_client_is_busy(ike->client)) {
            ike_client_reset(ike->client, "IPsec is off");
        }
    }
    ike_client_flush(ike->client);
}

void
ike_wait(struct ike *ike)
{
    if (!ike->client || ike->idle) {
        return;
    }
    ike_client_wait(ike->client);
    xfrm_check_wait(ike->kernel);
    if (ike->watch >= 0) {
        poll_fd_wait(ike->watch, POLLIN);
        poll_timer_wait_until(ike->pulse);
    }
    ike_x509_wait(ike);
    if (ike_x509_is_known(ike)) {
        ike_keys_wait(&ike->keys);
    }
    if (ike->link == LINK_DOWN) {
        poll_timer_wait_until(ike->next_try);
    } else if (ike->link == LINK_READY) {
        if (!ike->looking) {
            poll_timer_wait_until(ike->next_round);
        }
        ike_renew_wait(ike);
    }
}
