/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How this node's certificate gets from its files to charon.
 *
 * Connections say which certificate to show, and which authorities peers'
 * certificates must come from; see conns.c.  Here charon gets what they do not
 * say: the private key and the revocation lists.  Files that become bad change
 * nothing: what they said before stays in force.
 *
 * charon forgets no certificates, but one counts only by a connection.  A
 * newer revocation list replaces an older one, except in charon's cache, which
 * it prefers: so that is emptied.  What SAs have been authenticated by is kept
 * in mind by ike-keys.c. */

#include <config.h>
#include "ike-private.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike_x509);

#define LOOK_INTERVAL 3000      /* Between looks at the files, in ms, */
#define SECOND_LOOK 1000        /* and where they are wrong at the first. */

void
ike_x509_destroy(struct ike_x509 *x)
{
    x509_free(x->x509);
    free(x->error);
    free(x->warning);
    free(x->key);
    free(x->old_key);
}

void
ike_x509_reset(struct ike_x509 *x)
{
    ike_set_string(&x->key, NULL);
    ike_set_string(&x->old_key, NULL);
    x->n_sent = 0;
}

bool
ike_x509_is_known(const struct ike *ike)
{
    return !ike->settings.certificate || ike->x509.x509;
}

bool
ike_x509_loaded(const struct ike *ike)
{
    const struct ike_x509 *x = &ike->x509;

    return !ike->settings.certificate || (x->key && *x->key && !x->n_sent);
}

/* From the files. */

/* Sets '*s' to 'value', which it takes, and logs it if it is new. */
static void
take_text(char **s, char *value, enum vlog_level level)
{
    if (value && !nullable_string_is_equal(value, *s)) {
        VLOG(level, "%s", value);
    }
    free(*s);
    *s = value;
}

static void
add_to_stamp(uint64_t *stamp, const struct svec *items)
{
    for (size_t i = 0; i < items->n; i++) {
        for (const char *p = items->names[i]; *p; p++) {
            *stamp = (*stamp ^ (uint8_t) *p) * UINT64_C(1099511628211);
        }
    }
}

/* Takes 'new', which differs from what was in force.  Returns whether the
 * connections differ. */
static bool
take_x509(struct ike_x509 *x, struct x509 *new)
{
    const struct x509 *old = x->x509;
    bool derive = (!old || strcmp(old->certificate, new->certificate)
                   || !svec_equal(&old->cas, &new->cas));

    x509_free(x->x509);
    x->x509 = new;
    x->stamp = UINT64_C(14695981039346656037);
    add_to_stamp(&x->stamp, &new->cas);
    add_to_stamp(&x->stamp, &new->crls);
    if (x->key && *x->key) {
        free(x->old_key);
        x->old_key = x->key;
        x->key = NULL;
    }
    ike_set_string(&x->key, NULL);
    return derive;
}

bool
ike_x509_run(struct ike *ike, const char *self)
{
    const struct ike_settings *s = &ike->settings;
    struct ike_x509 *x = &ike->x509;
    struct x509 *new;
    bool derive = false;

    if (!s->certificate || x->n_sent || time_msec() < x->next_look) {
        return false;
    }
    x->next_look = time_msec() + LOOK_INTERVAL;
    char *error = x509_read(s->certificate, s->key, s->ca, s->crl, self, &new);
    if (error && x->x509 && !x->error && !x->doubtful) {
        /* Files are renewed one after the other: in a moment they may fit. */
        x->doubtful = true;
        x->next_look = time_msec() + SECOND_LOOK;
        free(error);
        return false;
    }
    x->doubtful = false;
    take_text(&x->error, error, VLL_ERR);
    if (new) {
        take_text(&x->warning, nullable_xstrdup(new->warning), VLL_WARN);
    }
    if (new && !x509_equals(new, x->x509)) {
        derive = take_x509(x, new);
    } else {
        x509_free(new);
    }
    return derive;
}

void
ike_x509_wait(const struct ike *ike)
{
    if (ike->settings.certificate && !ike->x509.n_sent) {
        poll_timer_wait_until(ike->x509.next_look);
    }
}

/* To charon. */

static void
unload_key(struct ike *ike, const char *key)
{
    struct json *message = json_object_create();

    json_object_put_string(message, "id", key);
    ike_client_ask(ike->client, "unload-key", message, NULL, NULL, NULL);
}

/* All is there. */
static void
finish(struct ike *ike)
{
    struct ike_x509 *x = &ike->x509;

    if (x->old_key && strcmp(x->old_key, x->key)) {
        unload_key(ike, x->old_key);
    }
    ike_set_string(&x->old_key, NULL);
}

static void
load_cb(const struct json *reply, const struct json *events OVS_UNUSED,
        const char *error, void *ike_)
{
    struct ike *ike = ike_;
    struct ike_x509 *x = &ike->x509;
    const struct json *id = (reply && reply->type == JSON_OBJECT
                             ? shash_find_data(json_object(reply), "id")
                             : NULL);

    if (ike->link != LINK_READY) {
        return;
    }
    if (error) {
        char *text = xasprintf("charon refuses the certificate, its key or "
                               "a revocation list: %s", error);

        ike_client_reset(ike->client, text);
        free(text);
        return;
    }
    if (id && id->type == JSON_STRING) {
        ike_set_string(&x->key, json_string(id));
    }
    if (!--x->n_sent) {
        finish(ike);
    }
}

/* Loads each of 'items'. */
static void
load_items(struct ike *ike, const struct svec *items, const char *type,
           const char *flag)
{
    for (size_t i = 0; i < items->n; i++) {
        struct json *message = json_object_create();

        json_object_put_string(message, "type", type);
        json_object_put_string(message, "flag", flag);
        json_object_put_string(message, "data", items->names[i]);
        ike->x509.n_sent++;
        ike_client_ask(ike->client, "load-cert", message, NULL, load_cb, ike);
    }
}

void
ike_x509_sync(struct ike *ike)
{
    struct ike_x509 *x = &ike->x509;
    struct json *message;

    if (!ike->settings.certificate) {
        if (x->key && *x->key && !x->n_sent) {
            unload_key(ike, x->key);
            ike_set_string(&x->key, NULL);
        }
        return;
    } else if (x->key || !x->x509) {
        return;
    }
    ike_set_string(&x->key, "");
    load_items(ike, &x->x509->cas, "x509", "CA");
    load_items(ike, &x->x509->intermediates, "x509", "none");
    load_items(ike, &x->x509->crls, "x509_crl", "none");
    message = json_object_create();
    json_object_put_string(message, "type", "x509_crl");
    x->n_sent++;
    ike_client_ask(ike->client, "flush-certs", message, NULL, load_cb, ike);
    message = json_object_create();
    json_object_put_string(message, "type", "any");
    x->n_sent++;
    ike_client_ask_secret(ike->client, "load-key", message, x->x509->key,
                          load_cb, ike);
}

void
ike_x509_take(struct ike *ike, const struct json *names)
{
    struct ike_x509 *x = &ike->x509;

    if (!x->key || !*x->key || x->n_sent) {
        return;
    }
    for (size_t i = 0; i < names->array.n; i++) {
        const struct json *name = names->array.elems[i];

        if (name->type == JSON_STRING && !strcmp(json_string(name), x->key)) {
            return;
        }
    }
    /* With it, all that is loaded here: "clear-creds" takes all. */
    VLOG_WARN("charon has lost the certificate's key; loading all again");
    ike->repairs.secrets++;
    ike_set_string(&x->key, NULL);
}
