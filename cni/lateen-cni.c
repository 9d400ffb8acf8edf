/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lateen-cni: the CNI plugin.
 *
 * Makes a container's interface, has its addresses given by an IPAM plugin and
 * its port put on the bridge by lateend, and ends.  What it has made is
 * recorded by lateend in OVSDB; the plugin itself remembers nothing. */

#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/ctl-client.h"
#include "cni-conf.h"
#include "cni-exec.h"
#include "cni-net.h"
#include "cni-result.h"

/* How long lateend may take, in seconds; its own limit is shorter. */
#define AGENT_TIMEOUT 30

/* What a runtime's configuration is bounded by; see cni_call_parse(). */
#define MAX_INPUT (1024 * 1024 + 1)

/* lateend */

static void
ask_agent(const struct cni_call *call, const char *method,
          const json_t *question, struct ctl_call *ctl)
{
    char *path = ctl_socket_path(call->socket);
    char *text = json_dumps(question, JSON_COMPACT);
    const char *args[] = { text ? text : "" };

    ctl_ask(ctl, path, method, args, 1, AGENT_TIMEOUT);
    free(text);
    free(path);
}

/* lateend's errors begin with their code: "11 the switch ...".  After such an
 * error, or if lateend cannot have got the question, '*done' is false: it has
 * done nothing. */
static struct cni_error *
agent_answer(struct ctl_call *ctl, json_t **answerp, bool *done)
{
    struct cni_error *error;
    char *text, *end;
    bool asked = ctl->fd >= 0;
    int reached;
    json_t *answer = ctl_answer(ctl, &text, &reached);

    *done = asked && !(reached && !answer);
    if (answer) {
        *answerp = answer;
        return NULL;
    }
    long int code = strtol(text, &end, 10);
    if (!reached) {
        error = cni_error(CNI_TRY_AGAIN, "%s", text);
    } else if (code > 0 && *end == ' ') {
        error = cni_error(code, "%s", end + 1);
    } else {
        error = cni_error(CNI_AGENT_REFUSED, "%s", text);
    }
    free(text);
    return error;
}

static struct cni_error *
call_agent(const struct cni_call *call, const char *method,
           const json_t *question, json_t **answer)
{
    struct ctl_call ctl;
    bool done;

    ask_agent(call, method, question, &ctl);
    return agent_answer(&ctl, answer, &done);
}

/* What names the attachment in a question to lateend. */
static json_t *
attachment_question(const struct cni_call *call)
{
    return json_pack("{s:s, s:s}", "containerID", call->container_id,
                     "ifname", call->ifname);
}

/* IPAM */

/* The configuration for the IPAM plugin: host-local gets the node's pod
 * networks, unless the configuration has ranges of its own, and addresses are
 * requested in one place only, wherever they were. */
static json_t *
ipam_conf(const struct cni_call *call, const json_t *info)
{
    json_t *conf = json_deep_copy(call->conf);
    json_t *ipam = json_object_get(conf, "ipam");
    json_t *runtime = json_object_get(conf, "runtimeConfig");
    json_t *cidr;
    size_t i;

    cni_remove(runtime, "ips");
    cni_remove(json_object_get(json_object_get(conf, "args"), "cni"), "ips");
    if (call->ips) {
        if (!json_is_object(runtime)) {
            runtime = json_object();
            json_object_set_new(conf, "runtimeConfig", runtime);
        }
        json_object_set(runtime, "ips", call->ips);
    }

    if (!strcmp(call->ipam_type, "host-local")
        && !json_object_get(ipam, "ranges") && !json_object_get(ipam, "subnet")
        && !cni_get(runtime, "ipRanges")) {
        json_t *ranges = json_array();

        json_array_foreach (json_object_get(info, "podCIDRs"), i, cidr) {
            json_t *gateway = json_array_get(json_object_get(info,
                                                             "gateways"), i);

            json_array_append_new(ranges, json_pack("[{s:O, s:O}]",
                                                    "subnet", cidr,
                                                    "gateway", gateway));
        }
        json_object_set_new(ipam, "ranges", ranges);
    }
    return conf;
}

/* Runs the IPAM plugin for 'command', whose answer does not matter. */
static struct cni_error *
run_ipam(const struct cni_call *call, const char *command, const json_t *conf)
{
    struct cni_delegate ipam;
    struct cni_error *error = cni_delegate_start(&ipam, call, command);

    if (!error) {
        cni_delegate_feed(&ipam, conf);
        error = cni_delegate_finish(&ipam, NULL);
    }
    return error;
}

/* ADD */

static struct cni_error *
choose_mac(const struct cni_call *call, struct cni_interface *iface)
{
    if (call->mac) {
        return (cni_mac_parse(call->mac, iface->mac) ? NULL
                : cni_error(CNI_BAD_CONFIG, "mac: \"%s\" is no unicast MAC "
                            "address", call->mac));
    }
    if (getrandom(iface->mac, sizeof iface->mac, 0) != sizeof iface->mac) {
        return cni_error(CNI_IO_FAILURE, "getrandom: %s", strerror(errno));
    }
    iface->mac[0] = (iface->mac[0] & 0xfe) | 0x02;
    return NULL;
}

static json_t *
add_question(const struct cni_call *call, const struct cni_interface *iface)
{
    json_t *ips = json_array();
    char mac[18];

    for (size_t i = 0; i < iface->n_addresses; i++) {
        char text[INET6_ADDRSTRLEN];

        inet_ntop(iface->addresses[i].family, iface->addresses[i].address,
                  text, sizeof text);
        json_array_append_new(ips, json_string(text));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s*, s:s*}",
                     "containerID", call->container_id,
                     "ifname", call->ifname, "netns", call->netns,
                     "hostInterface", iface->host,
                     "mac", cni_mac_format(iface->mac, mac), "ips", ips,
                     "podNamespace", call->pod_namespace,
                     "podName", call->pod_name);
}

/* What an ADD has brought about, to be undone should it fail. */
struct add {
    struct cni_interface iface;
    struct cni_delegate ipam;
    json_t *conf;               /* The IPAM plugin's configuration. */
    json_t *result;             /* Its answer. */
    bool has_ipam;              /* It may have given addresses. */
    bool has_pair;              /* The devices exist. */
    bool may_be_attached;       /* lateend may have the attachment. */
};

/* As well as it can. */
static void
roll_back(const struct cni_call *call, const struct add *add)
{
    if (add->may_be_attached) {
        json_t *question = attachment_question(call), *answer = NULL;

        cni_error_free(call_agent(call, "cni/del", question, &answer));
        json_decref(answer);
        json_decref(question);
    }
    if (add->has_pair) {
        cni_error_free(cni_pair_delete(add->iface.host));
    }
    if (add->has_ipam) {
        cni_error_free(run_ipam(call, "DEL", add->conf));
    }
}

/* Has lateend put the port on the bridge while the container's end gets its
 * addresses. */
static struct cni_error *
attach(const struct cni_call *call, const struct cni_netns *ns,
       struct add *add)
{
    json_t *question = add_question(call, &add->iface), *answer = NULL;
    struct cni_error *error, *refusal;
    struct ctl_call ctl;

    ask_agent(call, "cni/add", question, &ctl);
    error = cni_pair_configure(ns, call, &add->iface);
    refusal = agent_answer(&ctl, &answer, &add->may_be_attached);
    json_decref(question);
    json_decref(answer);
    if (error) {
        cni_error_free(refusal);
        return error;
    }
    return refusal;
}

static struct cni_error *
run_add(const struct cni_call *call, const struct cni_netns *ns,
        struct add *add)
{
    json_t *question = attachment_question(call), *info = NULL;
    struct cni_error *error, *ipam_error;

    error = call_agent(call, "cni/info", question, &info);
    json_decref(question);
    if (error) {
        return error;
    }
    add->iface.mtu = json_integer_value(json_object_get(info, "mtu"));
    add->iface.tx_checksum_off
        = json_is_true(json_object_get(info, "txChecksumOff"));
    add->conf = ipam_conf(call, info);
    json_decref(info);

    cni_delegate_feed(&add->ipam, add->conf);
    add->has_ipam = true;
    error = cni_pair_create(ns, call, &add->iface);
    add->has_pair = !error;
    ipam_error = cni_delegate_finish(&add->ipam, &add->result);
    if (error) {
        cni_error_free(ipam_error);
        return error;
    }
    error = ipam_error;
    error = error ? error : cni_result_parse_ipam(add->result, &add->iface);
    error = error ? error : attach(call, ns, add);
    if (!error && !cni_result_print(call, &add->iface, add->result)) {
        error = cni_error(CNI_IO_FAILURE, "nobody takes the result");
    }
    return error;
}

static struct cni_error *
cmd_add(const struct cni_call *call)
{
    struct add add = { .has_ipam = false };
    struct cni_error *error;
    struct cni_netns ns;

    error = cni_netns_open(&ns, call);
    if (error) {
        return error;
    }
    cni_host_name(call, add.iface.host);
    error = choose_mac(call, &add.iface);
    error = error ? error : cni_delegate_start(&add.ipam, call, "ADD");
    error = error ? error : run_add(call, &ns, &add);
    if (error) {
        cni_delegate_cancel(&add.ipam);
        roll_back(call, &add);
    }
    json_decref(add.conf);
    json_decref(add.result);
    cni_netns_close(&ns);
    return error;
}

/* DEL */

/* Flows and port first: as long as there are any, nobody else may have the
 * address, and Open vSwitch would miss the device.  Without lateend nothing is
 * undone, and the runtime comes again. */
static struct cni_error *
cmd_del(const struct cni_call *call)
{
    json_t *question = attachment_question(call), *info = NULL;
    struct cni_error *error, *ipam_error, *pair_error;
    struct cni_delegate ipam;
    char host[IFNAMSIZ];

    ipam_error = cni_delegate_start(&ipam, call, "DEL");
    error = call_agent(call, "cni/del", question, &info);
    json_decref(question);
    if (error) {
        cni_delegate_cancel(&ipam);
        cni_error_free(ipam_error);
        return error;
    }
    json_t *conf = ipam_conf(call, info);
    if (!ipam_error) {
        cni_delegate_feed(&ipam, conf);
    }
    cni_host_name(call, host);
    pair_error = cni_pair_delete(host);
    if (!ipam_error) {
        ipam_error = cni_delegate_finish(&ipam, NULL);
    }
    json_decref(conf);
    json_decref(info);
    if (ipam_error) {
        cni_error_free(pair_error);
        return ipam_error;
    }
    return pair_error;
}

/* CHECK */

static struct cni_error *
cmd_check(const struct cni_call *call)
{
    struct cni_interface iface = { .mtu = 0 };
    json_t *question, *info = NULL, *conf;
    struct cni_error *error;
    struct cni_netns ns;

    error = cni_result_parse_previous(call, &iface);
    error = error ? error : cni_netns_open(&ns, call);
    if (error) {
        return error;
    }
    cni_host_name(call, iface.host);
    question = attachment_question(call);
    error = call_agent(call, "cni/check", question, &info);
    json_decref(question);
    if (!error) {
        iface.mtu = json_integer_value(json_object_get(info, "mtu"));
        error = cni_pair_check(&ns, call, &iface);
    }
    if (!error) {
        conf = ipam_conf(call, info);
        error = run_ipam(call, "CHECK", conf);
        json_decref(conf);
    }
    json_decref(info);
    cni_netns_close(&ns);
    return error;
}

static void
cmd_version(const struct cni_call *call)
{
    json_t *versions = json_array();
    json_t *object;

    for (size_t i = 0; cni_versions[i]; i++) {
        json_array_append_new(versions, json_string(cni_versions[i]));
    }
    object = json_pack("{s:s, s:o}", "cniVersion", call->version,
                       "supportedVersions", versions);
    json_dumpf(object, stdout, 0);
    putchar('\n');
    json_decref(object);
}

static char *
read_input(size_t *sizep)
{
    char *buf = malloc(MAX_INPUT);
    size_t size = 0;

    while (buf && size < MAX_INPUT) {
        ssize_t n = read(STDIN_FILENO, buf + size, MAX_INPUT - size);

        if (n < 0 && errno == EINTR) {
            continue;
        } else if (n <= 0) {
            break;
        }
        size += n;
    }
    *sizep = size;
    return buf;
}

static void
about(FILE *out)
{
    fprintf(out, "CNI plugin lateen-cni (Lateen) %s\n"
            "CNI protocol versions supported:", PACKAGE_VERSION);
    for (size_t i = 0; cni_versions[i]; i++) {
        fprintf(out, "%s %s", i ? "," : "", cni_versions[i]);
    }
    fprintf(out, "\nA container runtime runs this program, with CNI_COMMAND "
            "set; see lateen-cni(8).\n");
}

/* Sees to it that no other file gets the number of a standard one that whoever
 * started this has closed.  Writing to it fails as before. */
static void
occupy_standard_files(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDONLY);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

int
main(int argc, char *argv[])
{
    struct cni_error *error;
    struct cni_call call;
    char *input;
    size_t size;

    occupy_standard_files();

    if (argc > 1 && (!strcmp(argv[1], "--help")
                     || !strcmp(argv[1], "--version"))) {
        about(stdout);
        return 0;
    }
    if (!getenv("CNI_COMMAND")) {
        about(stderr);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    input = read_input(&size);
    error = cni_call_parse(&call, input, size);
    if (!error) {
        switch (call.command) {
        case CNI_ADD:
            error = cmd_add(&call);
            break;
        case CNI_DEL:
            error = cmd_del(&call);
            break;
        case CNI_CHECK:
            error = cmd_check(&call);
            break;
        case CNI_VERSION:
            cmd_version(&call);
            break;
        }
    }
    if (error) {
        cni_error_print(error, call.version);
    }
    int status = error ? EXIT_FAILURE : EXIT_SUCCESS;
    cni_error_free(error);
    cni_call_destroy(&call);
    free(input);
    return status;
}
