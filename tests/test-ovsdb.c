/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Drives ovsdb.h against a real ovsdb-server, by commands from stdin. */

#include <config.h>
#include "agent/ovsdb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/ip.h"
#include "agent/model.h"
#include "flows/pipeline.h"
#include "lateen-test.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"

/* How long a command waits for what it waits for, in ms. */
#define TIME_LIMIT 15000

static const struct pipeline_table tables[] = {
    { 0, "classifier" },
    { 10, "guard" },
    { 150, "output" },
    { 0, NULL }
};

/* A request that has not been reported yet. */
struct pending {
    char *what;
    struct ovsdb_request *request;
};

static struct ovsdb *ovs;
static struct model model;
static struct pending *pending;
static size_t n_pending, allocated_pending;

static void
turn(void)
{
    ovsdb_run(ovs, &model);
    model_forget(&model, model.seqno);
}

/* Runs until 'done' is true of 'aux'. */
static void
run_until(bool (*done)(const void *aux), const void *aux, const char *what)
{
    long long int deadline = time_msec() + TIME_LIMIT;

    for (;;) {
        turn();
        if (done(aux)) {
            return;
        }
        if (time_msec() >= deadline) {
            ovs_fatal(0, "waited in vain for: %s", what);
        }
        ovsdb_wait(ovs);
        poll_timer_wait_until(deadline);
        poll_block();
    }
}

static char *
next_word(char **rest)
{
    return strsep(rest, " ");
}

/* "wanted BRIDGE DATAPATH MTU [TUNNEL PORT 4|6]" */
static void
command_wanted(char *args)
{
    struct ovsdb_wanted wanted = {
        .bridge = next_word(&args),
        .datapath_type = next_word(&args),
        .tables = tables,
        .gateway_mac = ovsdb_gateway_mac("node"),
        .gateway_mtu = atoi(next_word(&args)),
    };

    if (args) {
        wanted.allow_tunnel = true;
        wanted.tunnel_type = next_word(&args);
        wanted.tunnel_port = atoi(next_word(&args));
        wanted.tunnel_ipv6 = *args == '6';
    }
    ovsdb_set_wanted(ovs, &wanted);
}

static void
request(char *what, struct ovsdb_request *req)
{
    if (n_pending >= allocated_pending) {
        pending = x2nrealloc(pending, &allocated_pending, sizeof *pending);
    }
    pending[n_pending++] = (struct pending) { what, req };
}

/* "attach CONTAINER IFNAME HOSTIF MAC [POD-NAMESPACE POD-NAME IP...]" */
static void
command_attach(char *args)
{
    char *container_id = next_word(&args);
    char *ifname = next_word(&args);
    char *key = attachment_key(container_id, ifname);
    struct model_object *obj = model_object_new(MODEL_ATTACHMENT, NULL, key);
    struct attachment *a = attachment_cast(obj);

    a->container_id = xstrdup(container_id);
    a->ifname = xstrdup(ifname);
    a->netns = xasprintf("/run/netns/%s", container_id);
    a->hostif = xstrdup(next_word(&args));
    ovs_assert(eth_addr_from_string(next_word(&args), &a->mac));
    if (args) {
        a->pod_namespace = xstrdup(next_word(&args));
        a->pod_name = xstrdup(next_word(&args));
    }
    while (args) {
        struct ip_prefix ip;

        ovs_assert(ip_prefix_parse(next_word(&args), &ip));
        ip_prefix_list_add(&a->ips, &ip);
    }
    request(xasprintf("attach %s", key), ovsdb_attach(ovs, a));
    model_object_free(obj);
    free(key);
}

/* "detach CONTAINER IFNAME" */
static void
command_detach(char *args)
{
    char *container_id = next_word(&args);
    char *ifname = next_word(&args);

    request(xasprintf("detach %s/%s", container_id, ifname),
            ovsdb_detach(ovs, container_id, ifname));
}

static bool
requests_ended(const void *aux OVS_UNUSED)
{
    for (size_t i = 0; i < n_pending; i++) {
        if (pending[i].request->status == OVSDB_REQUEST_PENDING) {
            return false;
        }
    }
    return true;
}

/* "end": waits for the requests and prints what has become of them. */
static void
command_end(char *args OVS_UNUSED)
{
    run_until(requests_ended, NULL, "end of requests");
    for (size_t i = 0; i < n_pending; i++) {
        const struct ovsdb_request *req = pending[i].request;

        if (req->status == OVSDB_REQUEST_DONE) {
            printf("%s: done\n", pending[i].what);
        } else {
            printf("%s: %s\n", pending[i].what, req->error);
        }
        ovsdb_request_destroy(pending[i].request);
        free(pending[i].what);
    }
    n_pending = 0;
}

/* "abandon": turns once, then destroys the requests. */
static void
command_abandon(char *args OVS_UNUSED)
{
    turn();
    for (size_t i = 0; i < n_pending; i++) {
        ovsdb_request_destroy(pending[i].request);
        free(pending[i].what);
    }
    n_pending = 0;
}

static bool
is_ready(const void *aux OVS_UNUSED)
{
    return ovsdb_get_facts(ovs)->ready;
}

/* "ready": waits until the setup stands. */
static void
command_ready(char *args OVS_UNUSED)
{
    run_until(is_ready, NULL, "ready");
}

static bool
has_error(const void *aux OVS_UNUSED)
{
    return ovsdb_get_facts(ovs)->error != NULL;
}

/* "setup-error": waits for one and prints it. */
static void
command_setup_error(char *args OVS_UNUSED)
{
    run_until(has_error, NULL, "setup error");
    puts(ovsdb_get_facts(ovs)->error);
}

static bool
connection_is(const void *connected)
{
    return ovsdb_get_facts(ovs)->connected == *(const bool *) connected;
}

/* "connection yes|no": waits for it to be, or not to be, there. */
static void
command_connection(char *args)
{
    bool connected = !strcmp(args, "yes");

    run_until(connection_is, &connected, "connection");
}

static bool
tunnel_is(const void *present)
{
    return ((ovsdb_get_facts(ovs)->tunnel_ofport != OFPP_NONE)
            == *(const bool *) present);
}

/* "tunnel": prints what the tunnel port of the database is. */
static void
command_tunnel(char *args OVS_UNUSED)
{
    const struct ovsdb_facts *f = ovsdb_get_facts(ovs);

    printf("protocol %"PRIu8" port %"PRIu16"%s ready\n", f->tunnel_protocol,
           f->tunnel_port, f->ready ? "" : " not");
}

/* "facts": prints them once the gateway has its port, and the tunnel if args
 * is "tunnel". */
static void
command_facts(char *args)
{
    bool tunnel = args != NULL;

    run_until(tunnel_is, &tunnel, "tunnel port");

    const struct ovsdb_facts *f = ovsdb_get_facts(ovs);
    printf("connected=%d bridge=%d adopted=%d datapath=%s gateway=%d "
           "mac="ETH_ADDR_FMT" tunnel=%d\n",
           f->connected, f->has_bridge, f->adopted,
           f->datapath_type ? f->datapath_type : "none",
           f->gateway_ofport != OFPP_NONE, ETH_ADDR_ARGS(f->gateway_mac),
           f->tunnel_ofport != OFPP_NONE);
}

static size_t
count_ofports(void)
{
    struct model_object *obj;
    size_t n = 0;

    MODEL_FOR_EACH (obj, MODEL_ATTACHMENT, &model) {
        n += attachment_cast(obj)->ofport != OFPP_NONE;
    }
    return n;
}

static bool
ofports_are(const void *n)
{
    return count_ofports() == *(const size_t *) n;
}

/* "ofports N": waits until N attachments have an ofport. */
static void
command_ofports(char *args)
{
    size_t n = atoi(args);

    run_until(ofports_are, &n, "ofports");
}

static int
compare_attachments(const void *a_, const void *b_)
{
    const struct model_object *const *a = a_;
    const struct model_object *const *b = b_;

    return strcmp((*a)->name, (*b)->name);
}

/* "attachments": prints what the model has. */
static void
command_attachments(char *args OVS_UNUSED)
{
    size_t n = hmap_count(&model.objects[MODEL_ATTACHMENT]);
    struct model_object **objs = xmalloc((n + 1) * sizeof *objs);
    struct model_object *obj;
    size_t i = 0;

    MODEL_FOR_EACH (obj, MODEL_ATTACHMENT, &model) {
        objs[i++] = obj;
    }
    qsort(objs, n, sizeof *objs, compare_attachments);
    for (i = 0; i < n; i++) {
        const struct attachment *a = attachment_cast(objs[i]);
        struct ds ips = DS_EMPTY_INITIALIZER;

        for (size_t j = 0; j < a->ips.n; j++) {
            ds_put_char(&ips, ' ');
            ip_prefix_format(&a->ips.elems[j], &ips);
        }
        printf("%s %s "ETH_ADDR_FMT" %s/%s network %u%s%s\n", a->obj.name,
               a->hostif, ETH_ADDR_ARGS(a->mac),
               a->pod_namespace ? a->pod_namespace : "-",
               a->pod_name ? a->pod_name : "-", a->network, ds_cstr_ro(&ips),
               a->ofport == OFPP_NONE ? " no port" : "");
        ds_destroy(&ips);
    }
    free(objs);
}

static bool
port_has_error(const void *name)
{
    return ovsdb_port_error(ovs, name) != NULL;
}

/* "port-error NAME": waits for one and prints it. */
static void
command_port_error(char *args)
{
    run_until(port_has_error, args, "port error");
    puts(ovsdb_port_error(ovs, args));
}

/* "shell COMMAND": has the shell run it. */
static void
command_shell(char *args)
{
    fflush(stdout);
    if (system(args)) {
        ovs_fatal(0, "%s: failed", args);
    }
}

static int
compare_times(const void *a_, const void *b_)
{
    const long long int *a = a_;
    const long long int *b = b_;

    return *a < *b ? -1 : *a > *b;
}

/* "bench N PREFIX": attaches the devices PREFIX1 to PREFIXN, one after the
 * other, and prints how long it took until the database had each, and until
 * the model had its ofport. */
static void
command_bench(char *args)
{
    int n = atoi(next_word(&args));
    long long int *commits = xmalloc(n * sizeof *commits);
    long long int *ofports = xmalloc(n * sizeof *ofports);

    for (int i = 0; i < n; i++) {
        char *line = xasprintf("c%d eth0 %s%d 02:00:00:00:%02x:%02x", i, args,
                               i + 1, i >> 8, i & 0xff);
        size_t n_ofports = count_ofports() + 1;
        long long int start = time_usec();

        command_attach(line);
        run_until(requests_ended, NULL, "end of request");
        commits[i] = time_usec() - start;
        run_until(ofports_are, &n_ofports, "ofport");
        ofports[i] = time_usec() - start;
        command_abandon(NULL);
        free(line);
    }
    qsort(commits, n, sizeof *commits, compare_times);
    qsort(ofports, n, sizeof *ofports, compare_times);
    printf("%d attachments: median %.2f ms to commit, %.2f ms to ofport; "
           "longest %.2f and %.2f ms\n", n,
           commits[n / 2] / 1000.0, ofports[n / 2] / 1000.0,
           commits[n - 1] / 1000.0, ofports[n - 1] / 1000.0);
    free(commits);
    free(ofports);
}

/* Logs where the test's check of logs looks. */
static void
start_log(void)
{
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_OFF);
    vlog_set_log_file("lateen-test.log");
}

static int
test_ovsdb(int argc, char *argv[])
{
    static const struct {
        const char *name;
        void (*function)(char *args);
    } commands[] = {
        { "abandon", command_abandon },
        { "attach", command_attach },
        { "attachments", command_attachments },
        { "bench", command_bench },
        { "connection", command_connection },
        { "detach", command_detach },
        { "end", command_end },
        { "facts", command_facts },
        { "ofports", command_ofports },
        { "port-error", command_port_error },
        { "ready", command_ready },
        { "setup-error", command_setup_error },
        { "shell", command_shell },
        { "tunnel", command_tunnel },
        { "wanted", command_wanted },
    };
    char line[512];

    if (argc != 2) {
        ovs_fatal(0, "usage: ovsdb REMOTE <COMMANDS");
    }
    start_log();
    model_init(&model);
    ovs = ovsdb_create(argv[1]);
    while (fgets(line, sizeof line, stdin)) {
        char *args = line;
        size_t i;

        line[strcspn(line, "\n")] = '\0';
        char *name = next_word(&args);
        for (i = 0; strcmp(commands[i].name, name); i++) {
            if (i + 1 >= ARRAY_SIZE(commands)) {
                ovs_fatal(0, "%s: no such command", name);
            }
        }
        commands[i].function(args);
    }
    fflush(stdout);
    command_abandon(NULL);
    free(pending);
    ovsdb_destroy(ovs);
    model_destroy(&model);
    return 0;
}
LATEEN_TEST_REGISTER("ovsdb", "REMOTE <COMMANDS", test_ovsdb)

static int
test_ovsdb_cleanup(int argc, char *argv[])
{
    if (argc != 3) {
        ovs_fatal(0, "usage: ovsdb-cleanup REMOTE MS");
    }
    start_log();

    struct sset hostifs = SSET_INITIALIZER(&hostifs);
    char *error = ovsdb_cleanup(argv[1], atoi(argv[2]), &hostifs);

    sset_destroy(&hostifs);
    if (error) {
        puts(error);
        free(error);
        return 1;
    }
    return 0;
}
LATEEN_TEST_REGISTER("ovsdb-cleanup", "REMOTE MS", test_ovsdb_cleanup)
