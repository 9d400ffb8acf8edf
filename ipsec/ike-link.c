/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The IKE edge's connection to charon, and its events: see ike.h. */

#include <config.h>
#include "ike-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike_link);

/* How long a charon that could not be used is left alone, in ms. */
#define RETRY_INTERVAL 1000

/* How often charon is asked for a sign of life, and how long it may take for
 * it, in ms.  Any of its threads answers without a look at an SA, so that it
 * may be far slower in other things. */
#define PULSE_INTERVAL 1000
#define PULSE_TIMEOUT 4000

void
ike_set_link_error(struct ike *ike, const char *error)
{
    if (error && ike->settings.mode == IPSEC_REQUIRED
        && !nullable_string_is_equal(error, ike->link_error)) {
        VLOG_WARN("%s", error);
    }
    ike_set_string(&ike->link_error,
                   ike->settings.mode == IPSEC_REQUIRED ? error : NULL);
}

void
ike_close_watch(struct ike *ike)
{
    if (ike->watch >= 0) {
        close(ike->watch);
        ike->watch = -1;
    }
}

/* charon is gone: nothing that it held counts any more. */
static void
link_down(struct ike *ike, const char *error)
{
    struct shash_node *node;

    ike_set_link_error(ike, error);
    ike_close_watch(ike);
    ike->link = LINK_DOWN;
    ike->looking = ike->look_again = false;
    ike->idle = ike->settings.mode == IPSEC_OFF;
    ike->next_try = time_msec() + RETRY_INTERVAL;
    xfrm_check_forget(ike->kernel);
    ike_keys_reset(&ike->keys);
    ike_x509_reset(&ike->x509);
    SHASH_FOR_EACH (node, &ike->conns) {
        struct ike_conn *conn = node->data;

        ike_set_string(&conn->loaded, NULL);
        ike_set_string(&conn->sent, NULL);
        ike_set_string(&conn->error, NULL);
        ike_set_string(&conn->trouble, NULL);
        conn->retry = conn->untrapped = 0;
        conn->up = false;
        ike_sas_clear(&conn->sas);
        ike_renewal_reset(&conn->renewal);
    }
}

static bool
has_plugin(const struct json *reply, const char *name)
{
    const struct json *plugins
        = shash_find_data(json_object(reply), "plugins");

    for (size_t i = 0; plugins && plugins->type == JSON_ARRAY
         && i < plugins->array.n; i++) {
        const struct json *plugin = plugins->array.elems[i];

        if (plugin->type == JSON_STRING
            && !strcmp(json_string(plugin), name)) {
            return true;
        }
    }
    return false;
}

static void
stats_cb(const struct json *reply, const struct json *events OVS_UNUSED,
         const char *error, void *ike_)
{
    struct ike *ike = ike_;

    if (ike->link != LINK_HELLO) {
        return;
    } else if (error || !reply || reply->type != JSON_OBJECT) {
        ike_client_reset(ike->client, (error ? error
                                       : "charon does not say what it is"));
        return;
    }
    ike->refused = has_plugin(reply, "kernel-libipsec");
    if (ike->refused && ike->settings.mode == IPSEC_REQUIRED) {
        ike_set_link_error(
            ike, "charon has loaded its plugin kernel-libipsec, which keeps "
            "SAs out of the kernel, so nothing between nodes can be "
            "encrypted; set charon-systemd.plugins.kernel-libipsec.load = no "
            "(or charon.plugins...) in strongswan.conf and restart it");
        ike->link = LINK_REFUSED;
        return;
    }
    if (has_plugin(reply, "forecast")
        && ike->settings.mode == IPSEC_REQUIRED) {
        VLOG_WARN("charon has loaded its plugin forecast, which reads every "
                  "IPv4 packet on this node, and takes a third of the "
                  "processor time that IPsec costs; where nobody needs it, "
                  "set charon-systemd.plugins.forecast.load = no (or "
                  "charon.plugins...) in strongswan.conf");
    }
    ike_look(ike);
}

void
ike_connect(struct ike *ike)
{
    static const char *const names[] = {
        "ike-updown", "child-updown", "ike-rekey", "child-rekey", "log",
    };
    struct json *events = json_array_create_empty();
    int fd = make_unix_socket(SOCK_STREAM, true, NULL,
                              ike->settings.vici_socket);

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        json_array_add(events, json_string_create(names[i]));
    }
    if (fd < 0) {
        char *error = xasprintf("cannot reach charon at %s: %s; is strongSwan "
                                "running?", ike->settings.vici_socket,
                                ovs_strerror(-fd));

        ike_set_link_error(ike, error);
        free(error);
        json_destroy(events);
        ike->next_try = time_msec() + IKE_CONNECT_INTERVAL;
        ike->idle = ike->settings.mode == IPSEC_OFF;
        return;
    }
    ike->watch = fd;
    ike->pulse_asked = false;
    ike->pulse = time_msec();
    ike->link = LINK_HELLO;
    ike_client_register(ike->client, events, true);
    ike_client_ask(ike->client, "stats", NULL, NULL, stats_cb, ike);
}

void
ike_look_at_watch(struct ike *ike)
{
    /* VICI: the length, a command's request, its name's length and name. */
    static const char request[] = "\0\0\0\x09" "\0" "\x07" "version";
    char buf[1024];
    ssize_t n;

    while ((n = recv(ike->watch, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
        ike->pulse_asked = false;
        ike->pulse = time_msec() + PULSE_INTERVAL;
    }
    if (!n || (errno != EAGAIN && errno != EINTR)) {
        ike_client_reset(ike->client, "charon has ended");
        ike->next_try = time_msec();
    } else if (time_msec() < ike->pulse) {
        return;
    } else if (ike->pulse_asked) {
        ike_client_reset(ike->client, "charon did not answer in time");
    } else {
        ignore(send(ike->watch, request, sizeof request - 1,
                    MSG_DONTWAIT | MSG_NOSIGNAL));
        ike->pulse_asked = true;
        ike->pulse = time_msec() + PULSE_TIMEOUT;
    }
}

/* Events. */

/* Notes 'message', of charon's log, if it is about trouble with a peer. */
static void
take_log(struct ike *ike, const struct json *message)
{
    static const char *const signs[] = {
        "notify error", "failed", "mismatch", "no shared key", "no acceptable",
        "unable to", "no matching", "no IKE config", "was revoked",
        "certificate invalid", "no issuer certificate",
        "not confirmed by certificate",
    };
    /* What follows from a reason that has been told just before, or means
     * nothing: a state that is asked for when it is gone. */
    static const char *const others[] = {
        "looking for another key", "querying SAD entry",
    };
    const struct shash *members = json_object(message);
    const struct json *name = shash_find_data(members, "ikesa-name");
    const struct json *msg = shash_find_data(members, "msg");
    struct ike_conn *conn = (name && name->type == JSON_STRING
                             ? shash_find_data(&ike->conns, json_string(name))
                             : NULL);
    const char *trouble = NULL;

    if (!conn || !msg || msg->type != JSON_STRING) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        if (strstr(json_string(msg), others[i])) {
            return;
        }
    }
    if (!strncmp(json_string(msg), "retransmit ", 11)
        || !strncmp(json_string(msg), "giving up after ", 16)) {
        trouble = "the peer does not answer";
    }
    for (size_t i = 0; i < ARRAY_SIZE(signs) && !trouble; i++) {
        if (strstr(json_string(msg), signs[i])) {
            trouble = json_string(msg);
        }
    }
    if (trouble) {
        if (!nullable_string_is_equal(trouble, conn->trouble)) {
            VLOG_INFO("%s: %s", conn->name, trouble);
            ike_set_string(&conn->trouble, trouble);
        }
        conn->trouble_time = time_msec();
    }
}

void
ike_event_cb(const char *name, const struct json *message, const char *error,
             void *ike_)
{
    struct ike *ike = ike_;

    if (!name) {
        link_down(ike, error);
    } else if (!strcmp(name, "log")) {
        take_log(ike, message);
    } else {
        if (!strcmp(name, "ike-rekey")) {
            ike_take_rekey(ike, message);
        }
        xfrm_check_take_event(ike->kernel, name, message);
        ike_look_soon(ike, time_msec() + IKE_EVENT_DELAY);
    }
}
