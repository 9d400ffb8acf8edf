/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Publishing the addresses of this node's pods: see pod-status.h. */

#include <config.h>
#include "agent/pod-status.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/file.h"
#include "agent/ip.h"
#include "agent/names.h"
#include "agent/source.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(pod_status);

/* How long to wait before the file is written again, in ms. */
#define RETRY_MS 5000

/* A size that no such file has: 10,000 pods need a tenth of it. */
#define MAX_SIZE (16 * 1024 * 1024)

void
pod_status_init(struct pod_status *ps, const char *dir)
{
    *ps = (struct pod_status) { .dir = xstrdup(dir), .write_at = LLONG_MAX };
}

void
pod_status_destroy(struct pod_status *ps)
{
    free(ps->dir);
    free(ps->name);
    free(ps->text);
    free(ps->error);
}

static int
compare_pods(const void *a_, const void *b_)
{
    const struct source_pod *a = a_;
    const struct source_pod *b = b_;
    int cmp = strcmp(a->namespace, b->namespace);

    return cmp ? cmp : strcmp(a->name, b->name);
}

static struct json *
pod_to_json(const struct source_pod *pod)
{
    struct json *ips = json_array_create_empty();
    struct json *json = json_object_create();

    for (size_t i = 0; i < pod->ips->n; i++) {
        struct json *ip = json_object_create();

        json_object_put(ip, "ip",
                               json_string_create_nocopy(ip_to_string(
                                   &pod->ips->elems[i].addr)));
        json_array_add(ips, ip);
    }
    json_object_put_string(json, "namespace", pod->namespace);
    json_object_put_string(json, "name", pod->name);
    json_object_put(json, "podIPs", ips);
    return json;
}

/* Returns the JSON text of a PodStatus, the same for any order of 'pods'. */
static char *
format_text(const char *node, const struct source_pod *pods, size_t n)
{
    struct source_pod *sorted = xmemdup(pods, n * sizeof *pods);
    struct json *metadata = json_object_create();
    struct json *list = json_array_create_empty();
    struct json *root = json_object_create();
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (n) {
        qsort(sorted, n, sizeof *sorted, compare_pods);
    }
    for (size_t i = 0; i < n; i++) {
        json_array_add(list, pod_to_json(&sorted[i]));
    }
    json_object_put_string(metadata, "name", node);
    json_object_put_string(root, "apiVersion", "lateen.io/v1");
    json_object_put_string(root, "kind", "PodStatus");
    json_object_put(root, "metadata", metadata);
    json_object_put(root, "pods", list);
    json_to_ds(root, JSSF_PRETTY | JSSF_SORT, &ds);
    ds_put_char(&ds, '\n');
    json_destroy(root);
    free(sorted);
    return ds_steal_cstr(&ds);
}

void
pod_status_set(struct pod_status *ps, const char *node,
               const struct source_pod *pods, size_t n)
{
    char *text = format_text(node, pods, n);

    ovs_assert(name_is_dns_subdomain(node));
    if (nullable_string_is_equal(text, ps->text)) {
        free(text);
        return;
    }
    free(ps->name);
    ps->name = xasprintf("%s.json", node);
    free(ps->text);
    ps->text = text;
    ps->write_at = LLONG_MIN;
}

void
pod_status_seen(struct pod_status *ps, const char *name, const char *text)
{
    if (ps->name && !strcmp(name, ps->name) && ps->write_at == LLONG_MAX
        && !nullable_string_is_equal(text, ps->text)) {
        ps->write_at = time_msec() + RETRY_MS;
    }
}

/* Writes the file 'path', if it does not hold the text yet. */
static int
write_text(const struct pod_status *ps, const char *path)
{
    size_t length = strlen(ps->text);
    char *text;
    size_t size;

    int error = file_read(path, MAX_SIZE, &text, &size, NULL);
    bool same = !error && size == length && !memcmp(text, ps->text, size);
    free(text);
    if (same) {
        return 0;
    } else if (mkdir(ps->dir, 0755) && errno != EEXIST) {
        return errno;
    }
    return file_replace(path, ps->text, length, false);
}

void
pod_status_run(struct pod_status *ps)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(6, 6);

    if (time_msec() < ps->write_at) {
        return;
    }
    char *path = xasprintf("%s/%s", ps->dir, ps->name);
    int error = write_text(ps, path);

    ps->write_at = error ? time_msec() + RETRY_MS : LLONG_MAX;
    free(ps->error);
    ps->error = NULL;
    if (error) {
        ps->error = xasprintf("%s: cannot be written: %s; other nodes do not "
                              "learn the addresses of this node's pods",
                              path, ovs_strerror(error));
        VLOG_WARN_RL(&rl, "%s", ps->error);
    }
    free(path);
}

void
pod_status_wait(const struct pod_status *ps)
{
    if (ps->write_at != LLONG_MAX) {
        poll_timer_wait_until(ps->write_at);
    }
}
