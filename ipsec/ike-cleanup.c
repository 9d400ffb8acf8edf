/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Takes away from charon what is Lateen's: see ike.h. */

#include <config.h>
#include "ike-private.h"

#include <string.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"

struct cleanup {
    struct ike_client *client;
    char *error;
};

/* Calls 'cb' for each name of ours, which begins with 'prefix', in the array
 * 'list' of charon's 'reply'. */
static void
for_each_of_ours(struct cleanup *cleanup, const struct json *reply,
                 const char *error, const char *list, const char *prefix,
                 void (*cb)(struct ike_client *, const char *name))
{
    const struct json *names
        = reply && reply->type == JSON_OBJECT
          ? shash_find_data(json_object(reply), list) : NULL;

    if (!names || names->type != JSON_ARRAY) {
        ike_set_string(&cleanup->error,
                       error ? error : "charon does not say what it holds");
        return;
    }
    for (size_t i = 0; i < names->array.n; i++) {
        const struct json *name = names->array.elems[i];

        if (name->type == JSON_STRING
            && !strncmp(json_string(name), prefix, strlen(prefix))) {
            cb(cleanup->client, json_string(name));
        }
    }
}

static void
unload_conn(struct ike_client *client, const char *name)
{
    ike_unload_conn(client, name, NULL, NULL);
}

static void
unload_secret(struct ike_client *client, const char *name)
{
    struct json *message = json_object_create();

    json_object_put_string(message, "id", name);
    ike_client_ask(client, "unload-shared", message, NULL, NULL, NULL);
}

static void
conns_cb(const struct json *reply, const struct json *events OVS_UNUSED,
         const char *error, void *cleanup_)
{
    for_each_of_ours(cleanup_, reply, error, "conns", CONNS_PREFIX,
                     unload_conn);
}

static void
secrets_cb(const struct json *reply, const struct json *events OVS_UNUSED,
           const char *error, void *cleanup_)
{
    for_each_of_ours(cleanup_, reply, error, "keys", CONNS_PREFIX,
                     unload_secret);
}

char *
ike_cleanup(const struct config *config, int timeout)
{
    long long int deadline = time_msec() + timeout;
    struct cleanup cleanup = { .error = NULL };
    int fd = make_unix_socket(SOCK_STREAM, true, NULL, config->vici_socket);

    if (fd < 0) {
        return NULL;
    }
    close(fd);
    cleanup.client = ike_client_create(config->vici_socket, NULL, NULL);
    ike_client_ask(cleanup.client, "get-conns", NULL, NULL, conns_cb,
                   &cleanup);
    ike_client_ask(cleanup.client, "get-shared", NULL, NULL, secrets_cb,
                   &cleanup);
    for (;;) {
        ike_client_run(cleanup.client);
        if (!ike_client_is_busy(cleanup.client)) {
            break;
        }
        if (time_msec() >= deadline) {
            ike_set_string(&cleanup.error,
                           "charon did not answer in time; it may still hold "
                           "connections of Lateen's");
            break;
        }
        ike_client_wait(cleanup.client);
        poll_timer_wait_until(deadline);
        poll_block();
    }
    ike_client_destroy(cleanup.client);
    return cleanup.error;
}
