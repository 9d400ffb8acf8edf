/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lateen-cni: the CNI plugin.
 *
 * Makes a container's interface, has its addresses given by an IPAM plugin and
 * its port put on the bridge by lateend, and ends.  What it has made is
 * recorded by lateend in OVSDB; the plugin itself remembers nothing. */

#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/ctl-client.h"
#include "cni-conf.h"
#include "cni-exec.h"
#include "cni-net.h"

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

/* lateend's errors begin with their code: "11 the switch ...". */
static struct cni_error *
agent_answer(struct ctl_call *ctl, json_t **answerp)
{
    struct cni_error *error;
    char *text, *end;
    int reached;
    json_t *answer = ctl_answer(ctl, &text, &reached);

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

    ask_agent(call, method, question, &ctl);
    return agent_answer(&ctl, answer);
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
 * networks, unless the configuration has ranges of its own. */
static json_t *
ipam_conf(const struct cni_call *call, const json_t *info)
{
    json_t *conf = json_deep_copy(call->conf);
    json_t *ipam = json_object_get(conf, "ipam");
    const json_t *cidr;
    json_t *ranges;
    size_t i;

    if (strcmp(call->ipam_type, "host-local") || json_object_get(ipam, "ranges")
        || json_object_get(ipam, "subnet")) {
        return conf;
    }
    ranges = json_array();
    json_array_foreach (json_object_get(info, "podCIDRs"), i, cidr) {
        json_array_append_new(ranges, json_pack(
                                  "[{s:O, s:O}]", "subnet", cidr, "gateway",
                                  json_array_get(json_object_get(
                                                     info, "gateways"), i)));
    }
    json_object_set_new(ipam, "ranges", ranges);
    return conf;
}

static struct cni_error *
parse_ipam_address(const json_t *ip, struct cni_address *a)
{
    const char *text = json_string_value(json_object_get(ip, "address"));
    const char *gateway = json_string_value(json_object_get(ip, "gateway"));
    char copy[INET6_ADDRSTRLEN + 5];
    char *slash;

    memset(a, 0, sizeof *a);
    if (text && strlen(text) < sizeof copy) {
        strcpy(copy, text);
        slash = strchr(copy, '/');
        if (slash) {
            *slash = '\0';
            a->family = strchr(copy, ':') ? AF_INET6 : AF_INET;
            a->prefix_length = atoi(slash + 1);
            if (inet_pton(a->family, copy, a->address) == 1
                && a->prefix_length > 0
                && a->prefix_length <= (a->family == AF_INET ? 32 : 128)) {
                if (gateway && inet_pton(a->family, gateway,
                                         a->gateway) == 1) {
                    a->has_gateway = true;
                }
                return NULL;
            }
        }
    }
    return cni_error(CNI_IPAM_FAILED, "the IPAM plugin's answer has no "
                     "address/length: \"%s\"", text ? text : "");
}

/* Reads "ips" of 'result' into 'iface'.  Addresses of other interfaces than
 * 'index' (-1 for all) are passed over. */
static struct cni_error *
parse_ips(const json_t *result, int index, struct cni_interface *iface)
{
    const json_t *ip;
    size_t i;

    iface->n_addresses = 0;
    json_array_foreach (json_object_get(result, "ips"), i, ip) {
        const json_t *which = json_object_get(ip, "interface");
        struct cni_error *error;

        if (index >= 0 && which && json_integer_value(which) != index) {
            continue;
        }
        if (iface->n_addresses >= CNI_MAX_ADDRESSES) {
            return cni_error(CNI_IPAM_FAILED, "more than %d addresses",
                             CNI_MAX_ADDRESSES);
        }
        error = parse_ipam_address(ip, &iface->addresses[
                                       iface->n_addresses]);
        if (error) {
            return error;
        }
        iface->n_addresses++;
    }
    return (iface->n_addresses ? NULL
            : cni_error(CNI_IPAM_FAILED, "the IPAM plugin gave no address"));
}

/* ADD */

static struct cni_error *
choose_mac(const struct cni_call *call, struct cni_interface *iface)
{
    unsigned int b[6];
    char end;

    if (!call->mac) {
        if (getrandom(iface->mac, sizeof iface->mac, 0)
            != sizeof iface->mac) {
            return cni_error(CNI_IO_FAILURE, "getrandom: %s",
                             strerror(errno));
        }
        iface->mac[0] = (iface->mac[0] & 0xfe) | 0x02;
        return NULL;
    }
    if (sscanf(call->mac, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2],
               &b[3], &b[4], &b[5], &end) != 6 || b[0] & 1) {
        return cni_error(CNI_BAD_CONFIG, "mac: \"%s\" is no unicast MAC "
                         "address", call->mac);
    }
    for (int i = 0; i < 6; i++) {
        iface->mac[i] = b[i];
    }
    return NULL;
}

static char *
mac_to_string(const struct cni_interface *iface, char buf[18])
{
    const uint8_t *m = iface->mac;

    snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x",
             m[0], m[1], m[2], m[3], m[4], m[5]);
    return buf;
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
                     "mac", mac_to_string(iface, mac), "ips", ips,
                     "podNamespace", call->pod_namespace,
                     "podName", call->pod_name);
}

static void
print_result(const struct cni_call *call, const struct cni_interface *iface,
             const json_t *ipam)
{
    bool with_version = !strncmp(call->version, "0.", 2);
    json_t *ips = json_array(), *routes = json_array(), *result, *dns;
    char mac[18], text[INET6_ADDRSTRLEN + 4];

    for (size_t i = 0; i < iface->n_addresses; i++) {
        const struct cni_address *a = &iface->addresses[i];
        bool v4 = a->family == AF_INET;
        json_t *ip = json_object();

        if (with_version) {
            json_object_set_new(ip, "version", json_string(v4 ? "4" : "6"));
        }
        json_object_set_new(ip, "interface", json_integer(1));
        inet_ntop(a->family, a->address, text, sizeof text);
        sprintf(text + strlen(text), "/%d", a->prefix_length);
        json_object_set_new(ip, "address", json_string(text));
        if (a->has_gateway) {
            inet_ntop(a->family, a->gateway, text, sizeof text);
            json_object_set_new(ip, "gateway", json_string(text));
            json_array_append_new(routes, json_pack(
                                      "{s:s, s:s}", "dst",
                                      v4 ? "0.0.0.0/0" : "::/0",
                                      "gw", text));
        }
        json_array_append_new(ips, ip);
    }
    dns = json_object_get(call->conf, "dns");
    dns = dns ? dns : json_object_get(ipam, "dns");
    result = json_pack("{s:s, s:[{s:s}, {s:s, s:s, s:s}], s:o, s:o, s:O*}",
                       "cniVersion", call->version, "interfaces",
                       "name", iface->host,
                       "name", call->ifname,
                       "mac", mac_to_string(iface, mac),
                       "sandbox", call->netns,
                       "ips", ips, "routes", routes, "dns", dns);
    if (!json_object_get(result, "dns")) {
        json_object_set_new(result, "dns", json_object());
    }
    json_dumpf(result, stdout, JSON_INDENT(4));
    putchar('\n');
    json_decref(result);
}

/* Undoes what an ADD has done so far, as well as it can. */
static void
roll_back(const struct cni_call *call, const struct cni_interface *iface,
          const json_t *conf, bool pair, bool attached)
{
    if (attached) {
        json_t *question = attachment_question(call), *answer = NULL;

        cni_error_free(call_agent(call, "cni/del", question, &answer));
        json_decref(answer);
        json_decref(question);
    }
    if (pair) {
        cni_error_free(cni_pair_delete(iface->host));
    }
    cni_error_free(cni_delegate(call, "DEL", conf, NULL));
}

static struct cni_error *
cmd_add(const struct cni_call *call)
{
    struct cni_interface iface = { .mtu = 0 };
    json_t *info = NULL, *conf = NULL, *ipam = NULL, *answer = NULL;
    bool pair = false, asked = false;
    struct cni_error *error;
    struct cni_netns ns;
    struct ctl_call ctl;

    error = cni_netns_open(&ns, call);
    if (error) {
        return error;
    }
    json_t *question = attachment_question(call);
    error = choose_mac(call, &iface);
    error = error ? error : call_agent(call, "cni/info", question, &info);
    if (error) {
        goto done;
    }
    json_decref(question);
    question = NULL;
    cni_host_name(call, iface.host);
    iface.mtu = json_integer_value(json_object_get(info, "mtu"));
    iface.tx_checksum_off
        = json_is_true(json_object_get(info, "txChecksumOff"));

    conf = ipam_conf(call, info);
    error = cni_delegate(call, "ADD", conf, &ipam);
    if (error) {
        /* The specification wants its DEL after its failed ADD. */
        cni_error_free(cni_delegate(call, "DEL", conf, NULL));
        goto done;
    }
    error = parse_ips(ipam, -1, &iface);
    error = error ? error : cni_pair_create(&ns, call, &iface);
    pair = !error;
    if (!error) {
        /* lateend puts the port on the bridge while the container's end gets
         * its addresses. */
        question = add_question(call, &iface);
        ask_agent(call, "cni/add", question, &ctl);
        asked = true;
        error = cni_pair_configure(&ns, call, &iface);

        struct cni_error *refusal = agent_answer(&ctl, &answer);
        if (error) {
            cni_error_free(refusal);
        } else {
            error = refusal;
        }
    }
    if (error) {
        roll_back(call, &iface, conf, pair, asked);
    } else {
        print_result(call, &iface, ipam);
    }

done:
    json_decref(question);
    json_decref(info);
    json_decref(conf);
    json_decref(ipam);
    json_decref(answer);
    cni_netns_close(&ns);
    return error;
}

/* DEL */

/* Flows and port first, so that nothing is left that could let the next
 * owner of the address or port number pass.  Without lateend nothing is
 * undone, and the runtime comes again. */
static struct cni_error *
cmd_del(const struct cni_call *call)
{
    json_t *question = attachment_question(call), *info = NULL;
    struct cni_error *error = call_agent(call, "cni/del", question, &info);
    char host[IFNAMSIZ];

    json_decref(question);
    if (!error) {
        cni_host_name(call, host);
        error = cni_pair_delete(host);
    }
    if (!error) {
        json_t *conf = ipam_conf(call, info);

        error = cni_delegate(call, "DEL", conf, NULL);
        json_decref(conf);
    }
    json_decref(info);
    return error;
}

/* CHECK */

static struct cni_error *
cmd_check(const struct cni_call *call)
{
    const json_t *previous = json_object_get(call->conf, "prevResult");
    struct cni_interface iface = { .mtu = 0 };
    json_t *info = NULL, *conf, *elem;
    const json_t *interfaces = json_object_get(previous, "interfaces");
    struct cni_error *error;
    struct cni_netns ns;
    int index = -1;
    size_t i;

    json_array_foreach (interfaces, i, elem) {
        const char *name = json_string_value(json_object_get(elem, "name"));

        if (name && !strcmp(name, call->ifname)
            && json_object_get(elem, "sandbox")) {
            index = i;
        }
    }
    if (index < 0) {
        return cni_error(CNI_BAD_CONFIG, "prevResult: no interface %s in a "
                         "container", call->ifname);
    }
    error = parse_ips(previous, index, &iface);
    error = error ? error : cni_netns_open(&ns, call);
    if (error) {
        return error;
    }
    json_t *question = attachment_question(call);
    error = call_agent(call, "cni/check", question, &info);
    json_decref(question);
    if (!error) {
        iface.mtu = json_integer_value(json_object_get(info, "mtu"));
        error = cni_pair_check(&ns, call, &iface);
    }
    if (!error) {
        conf = ipam_conf(call, info);
        error = cni_delegate(call, "CHECK", conf, NULL);
        json_decref(conf);
    }
    json_decref(info);
    cni_netns_close(&ns);
    return error;
}

static void
cmd_version(void)
{
    json_t *versions = json_array();
    json_t *object;

    for (size_t i = 0; cni_versions[i]; i++) {
        json_array_append_new(versions, json_string(cni_versions[i]));
    }
    object = json_pack("{s:s, s:o}", "cniVersion", "1.0.0",
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

int
main(int argc, char *argv[])
{
    struct cni_error *error;
    struct cni_call call;
    char *input;
    size_t size;

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
            cmd_version();
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
