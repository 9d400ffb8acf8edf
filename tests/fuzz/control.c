/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What lateenctl, or somebody in its place, asks of the agent: a command's
 * name and its arguments, a line each, or, from the first byte "{" on, what
 * comes over the control socket.  Each command is answered. */

#include <config.h>
#include "agent/control.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/host.h"
#include "agent/lateend.h"
#include "agent/ovsdb.h"
#include "agent/source.h"
#include "cni/cni-request.h"
#include "flows/flow-table.h"
#include "flows/ofctrl.h"
#include "flows/pipeline.h"
#include "ipsec/ike.h"
#include "openvswitch/json.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "unicode.h"
#include "unixctl.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char objects[] =
    "{apiVersion: v1, kind: Node, metadata: {name: n1},\n"
    " spec: {podCIDRs: [10.244.1.0/24]},\n"
    " status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}\n"
    "---\n"
    "{apiVersion: v1, kind: Node, metadata: {name: n2},\n"
    " spec: {podCIDRs: [10.244.2.0/24]},\n"
    " status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}\n"
    "---\n"
    "{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}}\n"
    "---\n"
    "apiVersion: networking.k8s.io/v1\n"
    "kind: NetworkPolicy\n"
    "metadata: {name: none}\n"
    "spec: {podSelector: {}, ingress: []}\n";
static const char web[] =
    "{\"containerID\": \"c1\", \"ifname\": \"eth0\", \"netns\": \"/x\","
    " \"hostInterface\": \"lt0\", \"mac\": \"02:00:00:00:00:01\","
    " \"ips\": [\"10.244.1.2\"], \"podNamespace\": \"default\","
    " \"podName\": \"web\"}";
static const char settings[] =
    "{source: dir:/d, cluster-cidrs: [10.244.0.0/16],"
    " ipsec: {mode: required, psk-file: /k}}";

static char dir[] = "/tmp/fuzz-control-XXXXXX";
static char *path;
static struct unixctl_server *server;
static struct lateend d;

/* The agent's main loop is not here: nobody waits in vain. */
bool
lateend_flows_are_synced(const struct lateend *lateend OVS_UNUSED,
                         uint64_t seqno OVS_UNUSED)
{
    return true;
}

bool
lateend_is_synced(const struct lateend *lateend OVS_UNUSED,
                  uint64_t seqno OVS_UNUSED, const char **missing)
{
    if (missing) {
        *missing = NULL;
    }
    return true;
}

static void
get_source_status(const struct source *source OVS_UNUSED,
                  struct source_status *status OVS_UNUSED)
{
}

static void
clean_up(void)
{
    unlink(path);
    rmdir(dir);
}

static void
check(char *error)
{
    if (error) {
        ovs_fatal(0, "%s", error);
    }
}

static void
start(void)
{
    static const struct source_class class = {
        .get_status = get_source_status
    };
    static struct source source = { .class = &class };
    static struct catalog catalog;
    static struct catalog_file file;
    struct attachment *a;

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    if (!mkdtemp(dir)) {
        ovs_fatal(errno, "%s", dir);
    }
    path = xasprintf("%s/ctl", dir);
    if (unixctl_server_create(path, &server)) {
        ovs_fatal(0, "cannot listen on %s", path);
    }
    atexit(clean_up);

    d.node = xstrdup("n1");
    d.config_file = xstrdup("lateend.yaml");
    check(config_parse("lateend.yaml", settings, strlen(settings),
                       &d.config));
    model_init(&d.model);
    catalog_init(&catalog);
    catalog_file_init(&file, "a.yaml", NULL);
    catalog_load(&catalog, &file, objects, strlen(objects), &d.model);
    check(cni_request_parse(web, true, &a));
    a->ofport = OFP_PORT_C(3);
    model_put(&d.model, &a->obj);
    d.source = &source;
    d.source_synced = true;
    d.tunnel_family = AF_INET;
    ovs_assert(ip_addr_parse("192.0.2.1", &d.tunnel_ip));
    d.ovsdb = ovsdb_create("unix:/nowhere");
    d.flow_table = flow_table_create(pipeline_tables);
    d.ofctrl = ofctrl_create(d.flow_table, "br-int", dir);
    d.ike = ike_create();
    check(host_create(&d.host));
    check(guard_create(NULL, &d.guard));
    sync_init(&d.sync);
    struct compile_ctx ctx = {
        .config = d.config,
        .self = model_find_node(&d.model, d.node),
        .tunnel_ip = d.tunnel_ip,
        .tunnel_family = AF_INET,
        .gateway = OFP_PORT_C(1),
        .gateway_mac = ETH_ADDR_C(0a,00,00,00,00,01),
        .tunnel = OFP_PORT_C(2),
    };
    sync_run(&d.sync, &d.model, &ctx, d.flow_table);
    control_init(&d);
}

/* Makes a request of lines, to be freed. */
static char *
make_request(const char *lines)
{
    struct json *request = json_object_create();
    struct json *params = json_array_create_empty();
    char *copy = xstrdup(lines), *rest = copy;

    json_object_put_string(request, "method", strsep(&rest, "\n"));
    while (rest) {
        json_array_add(params, json_string_create(strsep(&rest, "\n")));
    }
    json_object_put(request, "params", params);
    json_object_put(request, "id", json_integer_create(0));
    char *text = json_to_string(request, 0);
    json_destroy(request);
    free(copy);
    return text;
}

/* Sends 'text', as far as that gets, and takes the answers, of which the last
 * is what it returns if it is whole; NULL otherwise. */
static struct json *
converse(const char *text, size_t size)
{
    int fd = make_unix_socket(SOCK_STREAM, true, NULL, path);
    struct json_parser *parser = json_parser_create(0);
    struct json *answer = NULL;
    size_t sent = 0;
    bool more = true;
    char buf[4096];

    if (fd < 0) {
        ovs_fatal(-fd, "cannot connect to %s", path);
    }
    while (more) {
        ssize_t n = (sent < size
                     ? send(fd, text + sent, size - sent, MSG_NOSIGNAL) : 0);

        more = n > 0;
        sent += MAX(n, 0);
        for (int i = 0; i < 2; i++) {
            unixctl_server_run(server);
            control_run(&d);
        }
        while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
            for (ssize_t used = 0; used < n; ) {
                used += json_parser_feed(parser, buf + used, n - used);
                if (json_parser_is_done(parser)) {
                    json_destroy(answer);
                    answer = json_parser_finish(parser);
                    ovs_assert(answer->type == JSON_OBJECT);
                    parser = json_parser_create(0);
                }
            }
            more = true;
        }
    }
    json_parser_abort(parser);
    close(fd);
    unixctl_server_run(server);
    return answer;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *answer;

    if (!server) {
        start();
    }
    if (size && data[0] == '{') {
        json_destroy(converse((const char *) data, size));
        return 0;
    }

    char *lines = xmemdup0((const char *) data, size);
    char *request = make_request(lines);
    answer = converse(request, strlen(request));
    char *broken = utf8_validate(lines, NULL);
    ovs_assert(answer || broken);
    free(broken);
    json_destroy(answer);
    free(request);
    free(lines);
    return 0;
}
