/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What charon says about the SAs with one peer: see ike-sas.h. */

#include <config.h>
#include "ike-sas.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "proposal.h"
#include "util.h"

void
ike_sas_clear(struct ike_sas *sas)
{
    for (size_t i = 0; i < sas->n_children; i++) {
        struct ike_child *child = &sas->children[i];

        free(child->id);
        free(child->name);
        free(child->ike);
        free(child->algorithm);
        free(child->spi_in);
        free(child->spi_out);
    }
    for (size_t i = 0; i < sas->n_established; i++) {
        free(sas->established[i].id);
        free(sas->established[i].spi);
    }
    free(sas->established);
    free(sas->children);
    free(sas->connecting);
    free(sas->ending);
    memset(sas, 0, sizeof *sas);
}

static const char *
get(const struct json *object, const char *name)
{
    const struct json *value = shash_find_data(json_object(object), name);

    return value && value->type == JSON_STRING ? json_string(value) : "";
}

static uint64_t
get_number(const struct json *object, const char *name)
{
    return strtoull(get(object, name), NULL, 10);
}

/* An SA that is being replaced carries traffic until the new one is there. */
static bool
is_state(const struct json *sa, const char *state)
{
    return (!strcmp(get(sa, "state"), state)
            || !strcmp(get(sa, "state"), "REKEYING"));
}

/* "AES_GCM_16-256", for the caller to free. */
static char *
get_encryption(const struct json *sa)
{
    const char *size = get(sa, "encr-keysize");

    return xasprintf("%s%s%s", get(sa, "encr-alg"), *size ? "-" : "", size);
}

/* What is wanted. */

/* The list 'name' in 'object'. */
static const struct json *
get_list(const struct json *object, const char *name)
{
    static const struct json none = { .type = JSON_ARRAY };
    const struct json *list = shash_find_data(json_object(object), name);

    return list && list->type == JSON_ARRAY ? list : &none;
}

/* Whether 'sa' uses one of the proposals in 'list'. */
static bool
proposals_fit(const struct json *list, const struct json *sa)
{
    char *encryption = get_encryption(sa);
    const struct proposal_used used = {
        encryption, get(sa, "integ-alg"), get(sa, "prf-alg"),
        get(sa, "dh-group"), get(sa, "esn"),
    };
    bool fits = false;

    for (size_t i = 0; i < list->array.n; i++) {
        fits |= proposal_fits(json_string(list->array.elems[i]), &used);
    }
    free(encryption);
    return fits;
}

/* Whether charon's 'text' says what the traffic selector 'wanted' does.  There
 * are names in it for the numbers of protocols and ports that have one; which
 * port a name means is not asked here. */
static bool
ts_fits(const char *wanted, const char *text)
{
    size_t length = strcspn(wanted, "[") + 1;
    const char *protocol = (!strncmp(wanted + length, "17", 2) ? "udp"
                            : "gre");

    if (strncmp(wanted, text, length)) {
        return false;
    }
    wanted += length;
    text += length;
    if (!strncmp(text, protocol, strlen(protocol))) {
        wanted += 2;
        text += strlen(protocol);
    }
    return (!strcmp(wanted, text)
            || (*wanted == '/' && *text == '/' && isalpha(text[1])));
}

/* Whether the list 'name' of 'wanted', of one traffic selector, is what 'sa'
 * has in 'used'. */
static bool
list_fits(const struct json *wanted, const char *name, const struct json *sa,
          const char *used)
{
    const struct json *a = get_list(wanted, name), *b = get_list(sa, used);

    return (a->array.n == 1 && b->array.n == 1
            && b->array.elems[0]->type == JSON_STRING
            && ts_fits(json_string(a->array.elems[0]),
                       json_string(b->array.elems[0])));
}

/* What of the CHILD SA 'sa' is not as 'wanted', the connection's body, says;
 * NULL if nothing is. */
static const char *
child_misfit(const struct json *wanted, const struct json *sa)
{
    const struct json *child
        = shash_find_data(json_object(shash_find_data(json_object(wanted),
                                                      "children")),
                          get(sa, "name"));

    if (!child) {
        return "the selectors";
    } else if (strcasecmp(get(sa, "mode"), get(child, "mode"))) {
        return "the modes";
    } else if (!proposals_fit(get_list(child, "esp_proposals"), sa)) {
        return "the algorithms of ESP";
    } else if (*get(wanted, "encap") && !*get(sa, "encap")) {
        return "the encapsulations";
    } else if (!list_fits(child, "local_ts", sa, "local-ts")
               || !list_fits(child, "remote_ts", sa, "remote-ts")) {
        return "the selectors";
    }
    return NULL;
}

/* The same for the IKE SA 'sa' itself. */
static const char *
ike_misfit(const struct json *wanted, const struct json *sa)
{
    const struct json *local = get_list(wanted, "local_addrs");
    const struct json *remote = get_list(wanted, "remote_addrs");

    if (!proposals_fit(get_list(wanted, "proposals"), sa)) {
        return "the algorithms of IKE";
    } else if (strcmp(get(sa, "local-host"),
                      json_string(local->array.elems[0]))
               || strcmp(get(sa, "remote-host"),
                         json_string(remote->array.elems[0]))) {
        return "the addresses";
    } else if (!*get(wanted, "encap") && *get(sa, "nat-fake")) {
        return "the encapsulations";
    }
    return NULL;
}

static void
add_child(struct ike_sas *sas, const char *ike, const struct json *sa,
          const struct json *wanted)
{
    struct ike_child *child;

    if (!is_state(sa, "INSTALLED")) {
        return;
    }
    sas->children = xrealloc(sas->children, ((sas->n_children + 1)
                                             * sizeof *sas->children));
    child = &sas->children[sas->n_children++];
    child->id = xstrdup(get(sa, "uniqueid"));
    child->name = xstrdup(get(sa, "name"));
    child->ike = xstrdup(ike);
    child->algorithm = get_encryption(sa);
    child->spi_in = xstrdup(get(sa, "spi-in"));
    child->spi_out = xstrdup(get(sa, "spi-out"));
    child->bytes_in = get_number(sa, "bytes-in");
    child->bytes_out = get_number(sa, "bytes-out");
    child->packets_in = get_number(sa, "packets-in");
    child->packets_out = get_number(sa, "packets-out");
    child->age = get_number(sa, "install-time");
    child->rekey = get_number(sa, "rekey-time");
    child->rekeying = !strcmp(get(sa, "state"), "REKEYING");
    if (wanted && !sas->misfit) {
        sas->misfit = child_misfit(wanted, sa);
    }
}

void
ike_sas_add(struct ike_sas *sas, const struct json *sa,
            const struct json *wanted)
{
    const struct json *children;
    struct shash_node *node;

    if (is_state(sa, "ESTABLISHED")) {
        struct ike_sa *ike;

        sas->established = xrealloc(sas->established,
                                    ((sas->n_established + 1)
                                     * sizeof *sas->established));
        ike = &sas->established[sas->n_established++];
        ike->id = xstrdup(get(sa, "uniqueid"));
        ike->spi = xstrdup(get(sa, "initiator-spi"));
        ike->age = sas->age = get_number(sa, "established");
        sas->rekey = get_number(sa, "rekey-time");
        if (wanted && !sas->misfit) {
            sas->misfit = ike_misfit(wanted, sa);
        }
    } else if (!strcmp(get(sa, "state"), "CONNECTING")) {
        sas->n_connecting++;
        free(sas->connecting);
        sas->connecting = xstrdup(get(sa, "uniqueid"));
    } else if (!strcmp(get(sa, "state"), "DELETING")) {
        free(sas->ending);
        sas->ending = xstrdup(get(sa, "uniqueid"));
    }
    children = shash_find_data(json_object(sa), "child-sas");
    if (children && children->type == JSON_OBJECT) {
        SHASH_FOR_EACH (node, json_object(children)) {
            const struct json *child = node->data;

            if (child->type == JSON_OBJECT) {
                add_child(sas, get(sa, "uniqueid"), child, wanted);
            }
        }
    }
}

void
ike_sas_date(struct ike_sas *sas, const struct ike_sas *before,
             long long int now)
{
    for (size_t i = 0; i < sas->n_children; i++) {
        struct ike_child *child = &sas->children[i];

        child->seen = now;
        for (size_t j = 0; j < before->n_children; j++) {
            if (!strcmp(before->children[j].id, child->id)) {
                child->seen = before->children[j].seen;
            }
        }
    }
}

/* charon counts age and number from when a child was begun, which in an
 * exchange with lost packets is long before it is installed. */
bool
ike_child_is_younger(const struct ike_child *a, const struct ike_child *b)
{
    return (a->seen != b->seen ? a->seen > b->seen
            : a->age != b->age ? a->age < b->age
            : strtoul(a->id, NULL, 10) > strtoul(b->id, NULL, 10));
}

bool
ike_sas_has_child(const struct ike_sas *sas, const char *name,
                  const char *id)
{
    for (size_t i = 0; i < sas->n_children; i++) {
        if (!strcmp(sas->children[i].name, name)
            && (!id || !strcmp(sas->children[i].ike, id))) {
            return true;
        }
    }
    return false;
}

static void
put_integer(struct json *object, const char *name, int64_t value)
{
    json_object_put(object, name, json_integer_create(value));
}

static struct json *
child_to_json(const struct ike_child *child)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "name", child->name);
    json_object_put_string(json, "algorithm", child->algorithm);
    json_object_put_string(json, "spiIn", child->spi_in);
    json_object_put_string(json, "spiOut", child->spi_out);
    put_integer(json, "bytesIn", child->bytes_in);
    put_integer(json, "bytesOut", child->bytes_out);
    put_integer(json, "packetsIn", child->packets_in);
    put_integer(json, "packetsOut", child->packets_out);
    put_integer(json, "age", child->age);
    put_integer(json, "rekeyIn", child->rekey);
    return json;
}

static int
compare_children(const void *a_, const void *b_)
{
    const struct ike_child *const *a = a_;
    const struct ike_child *const *b = b_;
    int cmp = strcmp((*a)->name, (*b)->name);

    return cmp ? cmp : strcmp((*a)->spi_in, (*b)->spi_in);
}

void
ike_sas_put_json(const struct ike_sas *sas, struct json *row)
{
    struct json *children = json_array_create_empty();
    uint64_t bytes_in = 0, bytes_out = 0, packets_in = 0, packets_out = 0;
    const struct ike_child **sorted;

    sorted = xmalloc((sas->n_children + 1) * sizeof *sorted);
    for (size_t i = 0; i < sas->n_children; i++) {
        sorted[i] = &sas->children[i];
    }
    qsort(sorted, sas->n_children, sizeof *sorted, compare_children);
    for (size_t i = 0; i < sas->n_children; i++) {
        bytes_in += sorted[i]->bytes_in;
        bytes_out += sorted[i]->bytes_out;
        packets_in += sorted[i]->packets_in;
        packets_out += sorted[i]->packets_out;
        json_array_add(children, child_to_json(sorted[i]));
    }
    if (sas->n_children) {
        json_object_put_string(row, "algorithm", sorted[0]->algorithm);
    }
    free(sorted);
    put_integer(row, "age", sas->age);
    put_integer(row, "rekeyIn", sas->rekey);
    put_integer(row, "ikeSAs", sas->n_established);
    put_integer(row, "childSAs", sas->n_children);
    put_integer(row, "bytesIn", bytes_in);
    put_integer(row, "bytesOut", bytes_out);
    put_integer(row, "packetsIn", packets_in);
    put_integer(row, "packetsOut", packets_out);
    json_object_put(row, "children", children);
}
