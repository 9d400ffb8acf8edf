/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lateend: the agent, one per node.
 *
 * One thread, one loop: the source and Open vSwitch's database write the
 * model; the edges are told what it wants and bring it about.  No edge calls
 * another. */

#include <config.h>
#include "lateend.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/config.h"
#include "cluster.h"
#include "cni/cni-server.h"
#include "command-line.h"
#include "control.h"
#include "dirs.h"
#include "fatal-signal.h"
#include "flows/flow-table.h"
#include "flows/ofctrl.h"
#include "flows/pipeline.h"
#include "host.h"
#include "ipsec/guard.h"
#include "ipsec/ike.h"
#include "latch.h"
#include "mtu.h"
#include "notify.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb.h"
#include "packets.h"
#include "source-dir.h"
#include "source.h"
#include "sset.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(lateend);

/* How often the configuration file is looked at, in ms. */
#define CONFIG_INTERVAL 1000

/* How long --cleanup may take with each daemon, in ms. */
#define CLEANUP_TIMEOUT 10000

enum mode {
    MODE_RUN,
    MODE_CHECK_CONFIG,
    MODE_GUARD,
    MODE_CLEANUP,
};

struct options {
    enum mode mode;
    char *config_file;
    char *node;                 /* NULL unless given. */
};

static void parse_options(int argc, char *argv[], struct options *);
static void usage(void) OVS_NO_RETURN;

/* Prints a message of one or more lines, and ends the program. */
static void OVS_NO_RETURN
refuse(char *error)
{
    fprintf(stderr, "%s\n", error);
    free(error);
    exit(EXIT_FAILURE);
}

static struct config *
load_config(const struct options *options)
{
    struct config *config;
    char *error = config_load(options->config_file, &config);

    if (error) {
        refuse(error);
    }
    return config;
}

static char *
get_node_name(const struct options *options, const struct config *config)
{
    char host[256];

    if (options->node) {
        return xstrdup(options->node);
    } else if (config->node) {
        return xstrdup(config->node);
    } else if (gethostname(host, sizeof host)) {
        ovs_fatal(errno, "cannot read the host name; use --node");
    }
    host[sizeof host - 1] = '\0';
    return xstrdup(host);
}

/* The path of the file 'name' in the directory that the environment's
 * 'variable' names, 'dir' by default.  Also makes the directory. */
static char *
make_path(const char *variable, const char *dir, const char *name)
{
    const char *value = getenv(variable);
    char *path = xasprintf("%s/%s", value && *value ? value : dir, name);

    for (char *s = strchr(path + 1, '/'); s; s = strchr(s + 1, '/')) {
        *s = '\0';
        if (mkdir(path, 0755) && errno != EEXIST) {
            ovs_fatal(errno, "cannot make the directory %s", path);
        }
        *s = '/';
    }
    return path;
}

/* The run directory is gone after a boot. */
static char *
get_control_path(void)
{
    return make_path("LATEEN_RUNDIR", LATEEN_RUNDIR, "lateend.ctl");
}

/* What guard_tunnels_save() has written, for the next agent and boot. */
static char *
get_tunnels_path(void)
{
    return make_path("LATEEN_STATEDIR", LATEEN_STATEDIR, "guarded-tunnels");
}

static char *
get_ovsdb_remote(void)
{
    return xasprintf("unix:%s/db.sock", ovs_rundir());
}

/* The one-shot modes. */

/* Takes in what has to stay guarded: what the agent before this one has
 * written down, and what is guarded now.  Returns NULL or a message that the
 * caller frees. */
static char *
load_held(struct guard_wanted *held)
{
    char *path = get_tunnels_path();
    char *error = guard_tunnels_load(&held->tunnels, path);

    free(path);
    guard_wanted_add_standing(held);
    return error;
}

static void
run_guard(const struct config *config, const char *node)
{
    struct guard_wanted wanted, held = { .masquerade = false };
    struct guard *guard;
    char *error = guard_create(NULL, &guard);

    if (error) {
        refuse(error);
    }
    char *held_error = load_held(&held);
    guard_wanted_derive(config, NULL, node, &wanted);
    guard_wanted_hold(&wanted, &held);
    error = guard_install(guard, &wanted);
    if (error || held_error) {
        refuse(error ? error : held_error);
    }
    guard_wanted_destroy(&wanted);
    guard_wanted_destroy(&held);
    guard_destroy(guard);
}

/* The guard goes last: as long as anything could still send, it stands. */
static void
run_cleanup(const struct config *config)
{
    struct sset hostifs = SSET_INITIALIZER(&hostifs);
    char *remote = get_ovsdb_remote();
    bool ok = true;
    char *errors[] = {
        ovsdb_cleanup(remote, CLEANUP_TIMEOUT, &hostifs),
        ike_cleanup(config, CLEANUP_TIMEOUT),
        host_remove(&hostifs),
        NULL,
    };

    if (!errors[0]) {
        errors[3] = guard_remove();
        if (!errors[3]) {
            char *path = get_tunnels_path();

            unlink(path);
            free(path);
        }
    } else {
        errors[3] = xstrdup("the guard stays, because the tunnel port may");
    }
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        if (errors[i]) {
            fprintf(stderr, "lateend: %s\n", errors[i]);
            free(errors[i]);
            ok = false;
        }
    }
    sset_destroy(&hostifs);
    free(remote);
    if (!ok) {
        exit(EXIT_FAILURE);
    }
}

/* Configuration. */

static struct latch sighup;     /* Set by SIGHUP. */

static void
handle_sighup(int signr OVS_UNUSED)
{
    latch_set(&sighup);
}

struct config_watch {
    struct stat seen;           /* Of the file that was read last. */
    long long int next;         /* When to look again, in ms. */
};

/* Reads the file again after SIGHUP or a change.  Returns true if
 * 'd->config' is now another. */
static bool
reload_config(struct lateend *d, struct config_watch *watch)
{
    bool wanted = latch_poll(&sighup);
    struct config *config;
    struct stat s;

    if (!wanted && time_msec() < watch->next) {
        return false;
    }
    watch->next = time_msec() + CONFIG_INTERVAL;
    if (!stat(d->config_file, &s)
        && (s.st_ino != watch->seen.st_ino
            || s.st_size != watch->seen.st_size
            || s.st_mtim.tv_sec != watch->seen.st_mtim.tv_sec
            || s.st_mtim.tv_nsec != watch->seen.st_mtim.tv_nsec)) {
        watch->seen = s;
        wanted = true;
    }
    if (!wanted) {
        return false;
    }

    char *error = config_load(d->config_file, &config);
    if (error) {
        VLOG_ERR("the configuration stays as it was: %s", error);
        free(error);
        d->config_refusal = "it has errors; see the log";
        return false;
    }
    error = config_restart_needed(d->config, config);
    if (error) {
        VLOG_WARN("the configuration stays as it was: changes of %s need a "
                  "restart of lateend", error);
        free(error);
        config_destroy(config);
        d->config_refusal = "it needs a restart of lateend; see the log";
        return false;
    }
    VLOG_INFO("%s: read", d->config_file);
    d->config_refusal = NULL;
    config_destroy(d->config);
    d->config = config;
    return true;
}

/* What follows from the model and the configuration. */

/* Finds this node's tunnel address and the MTU that its device leaves to
 * pods. */
static void
derive_tunnel(struct lateend *d)
{
    const struct node *self = model_find_node(&d->model, d->node);
    const struct in6_addr *ip;

    d->tunnel_family = self ? cluster_tunnel_family(&d->model, d->config,
                                                    d->node) : 0;
    ip = self ? node_tunnel_address(self, d->tunnel_family) : NULL;
    d->tunnel_ip = ip ? *ip : in6addr_any;

    struct host_uplink uplink;
    if (d->config->mtu) {
        d->mtu = d->config->mtu;
    } else if (ip && host_find_uplink(d->host, ip, &uplink)) {
        d->mtu = mtu_derive(d->config, uplink.mtu,
                            d->tunnel_family == AF_INET6);
    }
}

/* Whether there may be a tunnel port.  One that exists stays as long as
 * either layer of the guard stands: each is enough alone, and the guard
 * repairs the other. */
static bool
permit_tunnel(struct lateend *d, const struct ovsdb_facts *facts)
{
    const struct guard_status *guard = guard_get_status(d->guard);
    bool exists = facts->tunnel_ofport != OFPP_NONE;

    d->tunnel_refusal = NULL;
    if (d->config->ipsec_mode != IPSEC_REQUIRED) {
        return true;
    }
    if (!ike_permits_tunnel(d->ike)) {
        d->tunnel_refusal = "strongSwan cannot encrypt; see ipsec";
    } else if (!(exists ? guard->nft_ok || guard->xfrm_ok
                 : guard->nft_ok && guard->xfrm_ok)) {
        d->tunnel_refusal = "the guard does not stand; see guard";
    }
    return !d->tunnel_refusal;
}

/* Finds out which tunnels Open vSwitch may have, and writes them down before
 * it can have another one.  Where ovs-vswitchd does not run, the kernel's
 * datapath goes on with the old one.  Returns whether that is a change. */
static bool
hold_tunnels(struct lateend *d)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);
    const struct ovsdb_facts *facts = ovsdb_get_facts(d->ovsdb);
    const struct guard_tunnel port = {
        .protocol = facts->tunnel_protocol,
        .port = facts->tunnel_port,
    };
    bool changed = guard_tunnels_update(&d->held.tunnels,
                                        guard_config_tunnel(d->config), port,
                                        facts->ready);

    d->held_unsaved |= changed;
    if (d->held_unsaved) {
        char *path = get_tunnels_path();
        char *error = guard_tunnels_save(&d->held.tunnels, path);

        if (error) {
            VLOG_ERR_RL(&rl, "%s; only the configuration's tunnel would be "
                        "guarded after a boot", error);
        }
        d->held_unsaved = error != NULL;
        free(error);
        free(path);
    }
    return changed;
}

/* Says what is to be guarded; with 'now', returns only when it is. */
static void
want_guard(struct lateend *d, bool now)
{
    struct guard_wanted wanted;

    guard_wanted_derive(d->config, hmap_is_empty(&d->model.objects[MODEL_NODE])
                        ? NULL : &d->model, d->node, &wanted);
    guard_wanted_hold(&wanted, &d->held);
    if (now) {
        char *error = guard_install(d->guard, &wanted);

        if (error) {
            VLOG_ERR("%s", error);
            free(error);
        }
    } else {
        guard_set(d->guard, &wanted);
    }
    guard_wanted_destroy(&wanted);
}

static void
want_ovsdb(struct lateend *d)
{
    const struct ovsdb_facts *facts = ovsdb_get_facts(d->ovsdb);
    struct ovsdb_wanted wanted = {
        .bridge = d->config->bridge,
        .datapath_type = d->config->datapath_type,
        .tables = pipeline_tables,
        .gateway_mac = ovsdb_gateway_mac(d->node),
        .gateway_mtu = d->mtu,
        .allow_tunnel = permit_tunnel(d, facts),
        .tunnel_type = tunnel_type_name(d->config->tunnel_type),
        .tunnel_port = d->config->tunnel_port,
        .tunnel_ipv6 = d->tunnel_family == AF_INET6,
    };

    /* Before the family is known, a tunnel port that is there already may be
     * right: do not touch it.  Before the database is known, nobody knows
     * whether there is one. */
    if (facts->connected && (d->tunnel_family || !wanted.allow_tunnel)) {
        ovsdb_set_wanted(d->ovsdb, &wanted);
    }
}

static void
sync_flows(struct lateend *d)
{
    const struct ovsdb_facts *facts = ovsdb_get_facts(d->ovsdb);
    struct compile_ctx ctx = {
        .config = d->config,
        .self = model_find_node(&d->model, d->node),
        .tunnel_ip = d->tunnel_ip,
        .tunnel_family = d->tunnel_family,
        .gateway = facts->gateway_ofport,
        .gateway_mac = facts->gateway_mac,
        .tunnel = d->tunnel_refusal ? OFPP_NONE : facts->tunnel_ofport,
    };

    /* Until Open vSwitch and the source have told everything, what flows the
     * switch has are better than what would be computed. */
    bool complete = (facts->connected && facts->has_bridge
                     && facts->gateway_ofport != OFPP_NONE
                     && d->source_synced);
    if (complete) {
        sync_run(&d->sync, &d->model, &ctx, d->flow_table);
    }
    ofctrl_set_complete(d->ofctrl, complete);
}

bool
lateend_flows_are_synced(const struct lateend *d, uint64_t seqno)
{
    return (d->sync.compiled && d->sync.seen >= seqno
            && ofctrl_realized(d->ofctrl) >= flow_table_seqno(d->flow_table));
}

bool
lateend_is_synced(const struct lateend *d, uint64_t seqno,
                  const char **missing)
{
    const struct ovsdb_facts *facts = ovsdb_get_facts(d->ovsdb);
    const struct host_status *host = host_get_status(d->host);
    const struct guard_status *guard = guard_get_status(d->guard);
    const char *what = NULL;

    if (!d->source_synced) {
        what = "the source has not been read";
    } else if (!model_find_node(&d->model, d->node)) {
        what = "the cluster has no Node object of this node's name";
    } else if (!facts->ready) {
        what = "Open vSwitch's database is not as wanted";
    } else if (!lateend_flows_are_synced(d, seqno)) {
        what = "flows are not in the switch";
    } else if (!host->in_place || host->seqno < seqno) {
        what = "the host is not as wanted";
    } else if (guard->wanted && (!guard->nft_ok || !guard->xfrm_ok)) {
        what = "the guard does not stand";
    } else if (d->config->ipsec_mode == IPSEC_REQUIRED
               && !ike_realized(d->ike)) {
        what = "strongSwan does not hold all connections";
    }
    if (missing) {
        *missing = what;
    }
    return !what;
}

/* Tells the other nodes the addresses of this one's pods, if they have
 * changed since the model's change 'seen'. */
static void
publish_pods(struct lateend *d, uint64_t seen)
{
    size_t n = hmap_count(&d->model.objects[MODEL_ATTACHMENT]);
    const struct model_object *obj;
    struct source_pod *pods;
    bool changed = !seen;

    MODEL_FOR_EACH_CHANGED (obj, &d->model, seen) {
        changed = changed || obj->kind == MODEL_ATTACHMENT;
    }
    if (!changed) {
        return;
    }
    pods = xmalloc((n + 1) * sizeof *pods);
    n = 0;
    MODEL_FOR_EACH (obj, MODEL_ATTACHMENT, &d->model) {
        const struct attachment *a = attachment_cast(obj);

        if (a->pod_name) {
            pods[n].namespace = a->pod_namespace;
            pods[n].name = a->pod_name;
            pods[n++].ips = &a->ips;
        }
    }
    source_publish(d->source, d->node, pods, n);
    free(pods);
}

static void
serve_cni(struct lateend *d)
{
    struct cni_server_ctx ctx = {
        .model = &d->model,
        .ovsdb = d->ovsdb,
        .flow_table = d->flow_table,
        .ofctrl = d->ofctrl,
        .config = d->config,
        .node = d->node,
        .mtu = d->mtu,
        .compiled = d->sync.seen,
    };

    cni_server_run(d->cni, &ctx);
}

static void OVS_NO_RETURN
run_agent(const struct options *options)
{
    struct lateend d = {
        .config_file = options->config_file,
        .config = load_config(options),
        .tunnel_ip = in6addr_any,
        .held_unsaved = true,
    };
    struct config_watch watch = { .next = 0 };
    struct unixctl_server *unixctl;
    uint64_t guard_seqno = 0, published_seqno = 0;
    bool ready = false, guard_due = false;
    char *error;

    d.node = get_node_name(options, d.config);
    ignore(stat(d.config_file, &watch.seen));
    fatal_ignore_sigpipe();
    latch_init(&sighup);
    signal(SIGHUP, handle_sighup);

    char *path = get_control_path();
    int retval = unixctl_server_create(path, &unixctl);
    if (retval) {
        ovs_fatal(retval, "cannot listen on %s", path);
    }
    free(path);

    /* The guard stands before anything that could send. */
    path = make_path("LATEEN_RUNDIR", LATEEN_RUNDIR, "guard-counters");
    error = guard_create(path, &d.guard);
    free(path);
    if (error) {
        refuse(error);
    }
    model_init(&d.model);
    char *remote = get_ovsdb_remote();
    d.ovsdb = ovsdb_create(remote);
    free(remote);
    error = load_held(&d.held);
    if (error) {
        VLOG_ERR("%s", error);
        free(error);
    }
    ignore(hold_tunnels(&d));
    want_guard(&d, true);
    sync_init(&d.sync);
    error = host_create(&d.host);
    if (error) {
        refuse(error);
    }
    d.source = source_dir_open(d.config->source_dir);
    d.flow_table = flow_table_create(pipeline_tables);
    d.ofctrl = ofctrl_create(d.flow_table, d.config->bridge, ovs_rundir());
    d.ike = ike_create();
    d.cni = cni_server_create();
    control_init(&d);
    VLOG_INFO("Lateen %s, node %s", PACKAGE_VERSION, d.node);

    for (;;) {
        bool config_changed = reload_config(&d, &watch);

        source_run(d.source, &d.model);
        if (!d.source_synced && source_is_synced(d.source)) {
            d.source_synced = guard_due = true;
            ip_prefix_list_destroy(&d.held.peers);
        }
        ovsdb_run(d.ovsdb, &d.model);
        derive_tunnel(&d);
        guard_due |= hold_tunnels(&d);
        if (guard_due || config_changed || d.model.seqno != guard_seqno) {
            want_guard(&d, config_changed);
            guard_seqno = d.model.seqno;
            guard_due = false;
        }
        ike_run(d.ike, d.source_synced ? &d.model : NULL, d.config, d.node);
        guard_run(d.guard);
        want_ovsdb(&d);
        host_run(d.host, d.source_synced ? &d.model : NULL, d.config,
                 config_changed, d.node, &d.tunnel_ip, d.mtu);
        sync_flows(&d);
        ofctrl_run(d.ofctrl);
        serve_cni(&d);
        if (published_seqno != d.model.seqno
            && ovsdb_get_facts(d.ovsdb)->connected) {
            publish_pods(&d, published_seqno);
            published_seqno = d.model.seqno;
        }
        model_forget(&d.model, MIN(d.sync.seen, published_seqno));

        if (!ready && ofctrl_is_connected(d.ofctrl) && d.sync.compiled) {
            ready = true;
            notify_send("READY=1");
        }
        control_run(&d);
        unixctl_server_run(unixctl);

        latch_wait(&sighup);
        poll_timer_wait_until(watch.next);
        source_wait(d.source);
        ovsdb_wait(d.ovsdb);
        guard_wait(d.guard);
        ike_wait(d.ike);
        host_wait(d.host);
        ofctrl_wait(d.ofctrl);
        cni_server_wait(d.cni);
        control_wait();
        unixctl_server_wait(unixctl);
        poll_block();
    }
}

/* Before Linux 5.7, nftables do not know in postrouting by which device a
 * packet has come in, and would take what is forwarded for the node's own. */
static void
check_kernel(void)
{
    struct utsname name;
    int major, minor;

    if (!uname(&name)
        && sscanf(name.release, "%d.%d", &major, &minor) == 2
        && (major < 5 || (major == 5 && minor < 10))) {
        ovs_fatal(0, "Linux %s is too old: lateend needs 5.10 or later",
                  name.release);
    }
}

int
main(int argc, char *argv[])
{
    struct options options;

    set_program_name(argv[0]);
    parse_options(argc, argv, &options);
    if (options.mode == MODE_RUN || options.mode == MODE_GUARD) {
        check_kernel();
    }

    switch (options.mode) {
    case MODE_RUN:
        run_agent(&options);
    case MODE_CHECK_CONFIG: {
        struct config *config = load_config(&options);

        printf("%s: fine\n", options.config_file);
        config_destroy(config);
        break;
    }
    case MODE_GUARD:
    case MODE_CLEANUP: {
        struct config *config = load_config(&options);
        char *node = get_node_name(&options, config);

        if (options.mode == MODE_GUARD) {
            run_guard(config, node);
        } else {
            run_cleanup(config);
        }
        free(node);
        config_destroy(config);
        break;
    }
    default:
        OVS_NOT_REACHED();
    }
    free(options.config_file);
    free(options.node);
    return 0;
}

static void
parse_options(int argc, char *argv[], struct options *options)
{
    enum {
        OPT_CONFIG = UCHAR_MAX + 1,
        OPT_NODE,
        OPT_CHECK_CONFIG,
        OPT_GUARD,
        OPT_CLEANUP,
        VLOG_OPTION_ENUMS
    };
    static const struct option long_options[] = {
        {"config", required_argument, NULL, OPT_CONFIG},
        {"node", required_argument, NULL, OPT_NODE},
        {"check-config", no_argument, NULL, OPT_CHECK_CONFIG},
        {"guard", no_argument, NULL, OPT_GUARD},
        {"cleanup", no_argument, NULL, OPT_CLEANUP},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        VLOG_LONG_OPTIONS,
        {NULL, 0, NULL, 0},
    };
    char *short_options
        = ovs_cmdl_long_options_to_short_options(long_options);

    *options = (struct options) { .mode = MODE_RUN };
    for (;;) {
        int c = getopt_long(argc, argv, short_options, long_options, NULL);

        if (c == -1) {
            break;
        }
        switch (c) {
        case OPT_CONFIG:
            free(options->config_file);
            options->config_file = xstrdup(optarg);
            break;
        case OPT_NODE:
            free(options->node);
            options->node = xstrdup(optarg);
            break;
        case OPT_CHECK_CONFIG:
            options->mode = MODE_CHECK_CONFIG;
            break;
        case OPT_GUARD:
            options->mode = MODE_GUARD;
            break;
        case OPT_CLEANUP:
            options->mode = MODE_CLEANUP;
            break;
        case 'h':
            usage();
        case 'V':
            printf("lateend (Lateen) %s\n", PACKAGE_VERSION);
            exit(EXIT_SUCCESS);
        VLOG_OPTION_HANDLERS
        case '?':
            exit(EXIT_FAILURE);
        default:
            abort();
        }
    }
    free(short_options);
    if (optind < argc) {
        ovs_fatal(0, "there is no argument \"%s\" (see --help)",
                  argv[optind]);
    }
    if (!options->config_file) {
        options->config_file = xstrdup(LATEEN_SYSCONFDIR "/lateend.yaml");
    }
}

static void
usage(void)
{
    printf("lateend: the Lateen agent, one per node\n"
           "usage: lateend [OPTION]...\n\n"
           "  --config=FILE    the configuration (default: %s/lateend.yaml)\n"
           "  --node=NAME      this node's name (default: the host name)\n"
           "  --check-config   say whether the configuration is right, and"
           " exit\n"
           "  --guard          stop clear tunnel packets, and exit (at boot)\n"
           "  --cleanup        take away what Lateen made on this node, and"
           " exit\n"
           "  -h, --help       this text\n"
           "  -V, --version    the version\n",
           LATEEN_SYSCONFDIR);
    vlog_usage();
    exit(EXIT_SUCCESS);
}
