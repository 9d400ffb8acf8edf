/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps the flows of a node in a bridge, from a manifest and attachments that
 * commands on stdin tell, one a line:
 *
 *     objects FILE                 the cluster has these objects and no others
 *     attach ID OFPORT MAC POD IP,...
 *                                  a container is attached; POD is its
 *                                  NAMESPACE/NAME, or "-"
 *     detach ID
 *     sync                         brings the switch up to date, and prints
 *                                  how many flows it has
 *     recompute                    has "sync" compute and compare everything
 *     verbose                      logs how many flows each change has
 *
 * Everything from the manifest's text to the bundle is what lateend runs.
 * What makes no difference to policies is fixed: the gateway is port 1, the
 * tunnel port 2.  */

#include <config.h>
#undef NDEBUG
#include "lateen-test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/file.h"
#include "agent/manifest.h"
#include "agent/model.h"
#include "fatal-signal.h"
#include "flows/compile.h"
#include "flows/flow-table.h"
#include "flows/ofctrl.h"
#include "flows/pipeline.h"
#include "flows/sync.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "sset.h"
#include "flow.h"
#include "timeval.h"
#include "util.h"

/* After this time, in ms, waiting has failed; valgrind takes long. */
#define TIMEOUT 120000

struct netpol {
    struct config config;
    struct compile_ctx ctx;
    const char *node;
    struct model model;
    struct sync sync;
    struct flow_table *ft;
    struct ofctrl *ofctrl;
};

static void
add_prefixes(struct ip_prefix_list *list, char *words)
{
    char *save = NULL;
    struct ip_prefix p;

    for (char *s = strtok_r(words, ",", &save); s;
         s = strtok_r(NULL, ",", &save)) {
        ovs_assert(ip_prefix_parse(s, &p));
        ip_prefix_list_add(list, &p);
    }
}

/* What tells an object from all others. */
static char *
object_key(const struct model_object *obj)
{
    return xasprintf("%d/%s/%s", obj->kind, obj->namespace, obj->name);
}

static void
take_objects(struct netpol *np, const char *name)
{
    static const enum model_kind kinds[] = {
        MODEL_NODE, MODEL_NAMESPACE, MODEL_POD, MODEL_POLICY
    };
    struct sset seen = SSET_INITIALIZER(&seen);
    struct manifest m;
    size_t size;
    char *text;
    int error = file_read(name, 64 * 1024 * 1024, &text, &size, NULL);

    if (error) {
        ovs_fatal(error, "%s", name);
    }
    if (!manifest_parse(name, text, size, &m) || m.errors.n) {
        ovs_fatal(0, "%s", m.errors.names[0]);
    }
    for (size_t i = 0; i < m.n_objects; i++) {
        sset_add_and_free(&seen, object_key(m.objects[i].object));
        model_put(&np->model, m.objects[i].object);
        m.objects[i].object = NULL;
    }
    manifest_destroy(&m);
    free(text);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct model_object *obj, *next;

        HMAP_FOR_EACH_SAFE (obj, next, hmap_node,
                            &np->model.objects[kinds[i]]) {
            char *key = object_key(obj);

            if (!sset_contains(&seen, key)) {
                model_remove(&np->model, obj->kind, obj->namespace,
                             obj->name);
            }
            free(key);
        }
    }
    sset_destroy(&seen);
}

static void
attach(struct netpol *np, char *args)
{
    char *save = NULL;
    const char *id = strtok_r(args, " ", &save);
    const char *ofport = strtok_r(NULL, " ", &save);
    const char *mac = strtok_r(NULL, " ", &save);
    char *pod = strtok_r(NULL, " ", &save);
    char *ips = strtok_r(NULL, " ", &save);
    char *key = attachment_key(id, "eth0");
    struct attachment *a
        = attachment_cast(model_object_new(MODEL_ATTACHMENT, NULL, key));

    free(key);
    ovs_assert(ips && eth_addr_from_string(mac, &a->mac));
    a->container_id = xstrdup(id);
    a->ifname = xstrdup("eth0");
    a->hostif = xasprintf("p%s", ofport);
    a->ofport = u16_to_ofp(atoi(ofport));
    add_prefixes(&a->ips, ips);
    if (strcmp(pod, "-")) {
        a->pod_namespace = xstrdup(strtok_r(pod, "/", &save));
        a->pod_name = xstrdup(strtok_r(NULL, "/", &save));
    }
    model_put(&np->model, &a->obj);
}

static void
detach(struct netpol *np, const char *id)
{
    char *key = attachment_key(id, "eth0");

    model_remove(&np->model, MODEL_ATTACHMENT, NULL, key);
    free(key);
}

static void
bring_up_to_date(struct netpol *np)
{
    long long int deadline = time_msec() + TIMEOUT;

    np->ctx.self = model_find_node(&np->model, np->node);
    sync_run(&np->sync, &np->model, &np->ctx, np->ft);
    model_forget(&np->model, np->sync.seen);
    ofctrl_set_complete(np->ofctrl, true);
    for (;;) {
        ofctrl_run(np->ofctrl);
        if (ofctrl_installed(np->ofctrl) == flow_table_seqno(np->ft)) {
            break;
        }
        if (time_msec() > deadline) {
            ovs_fatal(0, "the switch does not take the flows: %s",
                      ofctrl_last_error(np->ofctrl));
        }
        ofctrl_wait(np->ofctrl);
        poll_timer_wait_until(deadline);
        poll_block();
    }
    if (!hmap_is_empty(flow_table_refusals(np->ft))) {
        ovs_fatal(0, "the switch refuses a flow");
    }
    printf("%"PRIuSIZE"\n", flow_table_n_present(np->ft));
}

static void
do_command(struct netpol *np, char *line)
{
    char *save = NULL;
    const char *command = strtok_r(line, " ", &save);

    if (!strcmp(command, "objects")) {
        take_objects(np, save);
    } else if (!strcmp(command, "attach")) {
        attach(np, save);
    } else if (!strcmp(command, "detach")) {
        detach(np, save);
    } else if (!strcmp(command, "sync")) {
        bring_up_to_date(np);
    } else if (!strcmp(command, "recompute")) {
        sync_recompute(&np->sync);
        ofctrl_reread(np->ofctrl);
    } else if (!strcmp(command, "verbose")) {
        vlog_set_levels(vlog_module_from_name("ofctrl"), VLF_CONSOLE,
                        VLL_DBG);
    } else {
        ovs_fatal(0, "no command \"%s\"", command);
    }
}

static int
test_netpol(int argc, char *argv[])
{
    struct ds line = DS_EMPTY_INITIALIZER;
    struct netpol np;

    if (argc != 8) {
        ovs_fatal(0, "usage: %s BRIDGE RUNDIR NODE ADDRESS GATEWAY-MAC "
                  "CLUSTER-CIDR,... DATAPATH-TYPE", argv[0]);
    }
    fatal_ignore_sigpipe();
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_WARN);
    memset(&np, 0, sizeof np);
    np.config.tunnel_type = TUNNEL_GENEVE;
    np.config.tunnel_port = 6081;
    np.config.datapath_type = argv[7];
    add_prefixes(&np.config.cluster_cidrs, argv[6]);
    np.node = argv[3];
    np.ctx.config = &np.config;
    np.ctx.tunnel_family = AF_INET;
    ovs_assert(ip_addr_parse(argv[4], &np.ctx.tunnel_ip));
    np.ctx.gateway = 1;
    ovs_assert(eth_addr_from_string(argv[5], &np.ctx.gateway_mac));
    np.ctx.tunnel = 2;
    model_init(&np.model);
    sync_init(&np.sync);
    np.ft = flow_table_create(pipeline_tables);
    np.ofctrl = ofctrl_create(np.ft, argv[1], argv[2]);
    while (!ds_get_preprocessed_line(&line, stdin, NULL)) {
        do_command(&np, ds_cstr(&line));
        fflush(stdout);
    }
    ds_destroy(&line);
    ofctrl_destroy(np.ofctrl);
    flow_table_destroy(np.ft);
    sync_destroy(&np.sync);
    model_destroy(&np.model);
    ip_prefix_list_destroy(&np.config.cluster_cidrs);
    return 0;
}
LATEEN_TEST_REGISTER("netpol",
                     "BRIDGE RUNDIR NODE ADDRESS GATEWAY-MAC CLUSTER-CIDR,... "
                     "DATAPATH-TYPE",
                     test_netpol);
