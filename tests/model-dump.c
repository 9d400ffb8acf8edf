/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The model as text: see model-dump.h. */

#include <config.h>
#include "model-dump.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/model.h"
#include "agent/policy.h"
#include "openvswitch/dynamic-string.h"
#include "svec.h"
#include "util.h"

static void
format_labels(const struct smap *labels, struct ds *ds)
{
    const struct smap_node **nodes = smap_sort(labels);

    ds_put_cstr(ds, " {");
    for (size_t i = 0; i < smap_count(labels); i++) {
        ds_put_format(ds, "%s%s=%s", i ? "," : "", nodes[i]->key,
                      nodes[i]->value);
    }
    ds_put_char(ds, '}');
    free(nodes);
}

static void
format_prefixes(const char *name, const struct ip_prefix_list *list,
                struct ds *ds)
{
    if (list->n) {
        ds_put_format(ds, " %s=", name);
    }
    for (size_t i = 0; i < list->n; i++) {
        ds_put_cstr(ds, i ? "," : "");
        if (list->elems[i].plen == 128) {
            ip_format(&list->elems[i].addr, ds);
        } else {
            ip_prefix_format(&list->elems[i], ds);
        }
    }
}

static const char *
protocol_name(uint8_t protocol)
{
    return (protocol == IPPROTO_TCP ? "tcp"
            : protocol == IPPROTO_UDP ? "udp"
            : protocol == IPPROTO_SCTP ? "sctp" : "?");
}

static void
format_selector(const char *name, const struct selector *sel, struct ds *ds)
{
    static const char *const ops[] = {
        [SELECTOR_IN] = "in",
        [SELECTOR_NOT_IN] = "notin",
        [SELECTOR_EXISTS] = "exists",
        [SELECTOR_DOES_NOT_EXIST] = "!exists",
    };

    if (!sel) {
        return;
    }
    ds_put_format(ds, " %s(", name);
    for (size_t i = 0; i < sel->n_reqs; i++) {
        const struct selector_requirement *req = &sel->reqs[i];

        ds_put_format(ds, "%s%s %s", i ? "; " : "", req->key, ops[req->op]);
        for (size_t j = 0; j < req->n_values; j++) {
            ds_put_format(ds, "%c%s", j ? ',' : ' ', req->values[j]);
        }
    }
    ds_put_char(ds, ')');
}

static void
format_direction(const char *name, const struct policy_direction *dir,
                 struct ds *ds)
{
    if (!dir->isolated) {
        return;
    }
    ds_put_format(ds, "\n  %s", name);
    for (size_t i = 0; i < dir->n_rules; i++) {
        const struct policy_rule *rule = &dir->rules[i];

        ds_put_cstr(ds, "\n    rule");
        for (size_t j = 0; j < rule->n_peers; j++) {
            const struct policy_peer *peer = &rule->peers[j];

            ds_put_cstr(ds, "\n      peer");
            format_selector("pods", peer->pods, ds);
            format_selector("namespaces", peer->namespaces, ds);
            if (!peer->pods && !peer->namespaces) {
                ds_put_char(ds, ' ');
                ip_prefix_format(&peer->block, ds);
                format_prefixes("except", &peer->except, ds);
            }
        }
        for (size_t j = 0; j < rule->n_ports; j++) {
            const struct policy_port *port = &rule->ports[j];

            ds_put_format(ds, "\n      port %s",
                          protocol_name(port->protocol));
            if (port->name) {
                ds_put_format(ds, " %s", port->name);
            } else if (port->first) {
                ds_put_format(ds, " %d-%d", port->first, port->last);
            }
        }
    }
}

static void
format_object(const struct model_object *obj, struct ds *ds)
{
    ds_put_format(ds, "%s %s%s%s", model_kind_name(obj->kind),
                  obj->namespace ? obj->namespace : "",
                  obj->namespace ? "/" : "", obj->name);
    if (obj->kind == MODEL_NODE) {
        const struct node *node = node_cast(obj);

        format_labels(&node->labels, ds);
        format_prefixes("cidrs", &node->pod_cidrs, ds);
        format_prefixes("addresses", &node->addresses, ds);
    } else if (obj->kind == MODEL_NAMESPACE) {
        format_labels(&namespace_cast(obj)->labels, ds);
    } else if (obj->kind == MODEL_POD) {
        const struct pod *pod = pod_cast(obj);

        format_labels(&pod->labels, ds);
        if (pod->node) {
            ds_put_format(ds, " node=%s", pod->node);
        }
        if (pod->host_network) {
            ds_put_cstr(ds, " host-network");
        }
        format_prefixes("ips", &pod->ips, ds);
        for (size_t i = 0; i < pod->n_ports; i++) {
            ds_put_format(ds, " %s:%d%s%s",
                          protocol_name(pod->ports[i].protocol),
                          pod->ports[i].port, pod->ports[i].name ? "=" : "",
                          pod->ports[i].name ? pod->ports[i].name : "");
        }
    } else if (obj->kind == MODEL_POLICY) {
        const struct policy_spec *spec = policy_cast(obj)->spec;

        format_selector("for", &spec->pods, ds);
        format_direction("ingress", &spec->ingress, ds);
        format_direction("egress", &spec->egress, ds);
    }
}

void
model_dump(const struct model *model)
{
    for (int kind = MODEL_NODE; kind <= MODEL_POLICY; kind++) {
        struct svec lines = SVEC_EMPTY_INITIALIZER;
        const struct model_object *obj;
        const char *line;
        size_t i;

        MODEL_FOR_EACH (obj, kind, model) {
            struct ds ds = DS_EMPTY_INITIALIZER;

            format_object(obj, &ds);
            svec_add_nocopy(&lines, ds_steal_cstr(&ds));
        }
        svec_sort(&lines);
        SVEC_FOR_EACH (i, line, &lines) {
            puts(line);
        }
        svec_destroy(&lines);
    }
}
