/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tunnels that are to be guarded: see guard-tunnels.h. */

#include <config.h>
#include "guard-tunnels.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/file.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

#define MAX_FILE_SIZE 65536

void
guard_tunnels_add(struct guard_tunnels *tunnels, struct guard_tunnel tunnel)
{
    for (size_t i = 0; i < tunnels->n; i++) {
        if (tunnels->elems[i].protocol == tunnel.protocol
            && tunnels->elems[i].port == tunnel.port) {
            return;
        }
    }
    if (tunnel.protocol) {
        tunnels->elems = xrealloc(tunnels->elems, (tunnels->n + 1)
                                  * sizeof *tunnels->elems);
        tunnels->elems[tunnels->n++] = tunnel;
    }
}

void
guard_tunnels_add_all(struct guard_tunnels *tunnels,
                      const struct guard_tunnels *from)
{
    for (size_t i = 0; i < from->n; i++) {
        guard_tunnels_add(tunnels, from->elems[i]);
    }
}

bool
guard_tunnels_equal(const struct guard_tunnels *a,
                    const struct guard_tunnels *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        if (a->elems[i].protocol != b->elems[i].protocol
            || a->elems[i].port != b->elems[i].port) {
            return false;
        }
    }
    return a->n == b->n;
}

void
guard_tunnels_destroy(struct guard_tunnels *tunnels)
{
    free(tunnels->elems);
    *tunnels = (struct guard_tunnels) { .n = 0 };
}

bool
guard_tunnels_update(struct guard_tunnels *tunnels, struct guard_tunnel wanted,
                     struct guard_tunnel port, bool applied)
{
    struct guard_tunnels new = { .n = 0 };

    guard_tunnels_add(&new, wanted);
    guard_tunnels_add(&new, port);
    if (!applied || new.n > 1) {
        guard_tunnels_add_all(&new, tunnels);
    }
    bool changed = !guard_tunnels_equal(&new, tunnels);
    guard_tunnels_destroy(tunnels);
    *tunnels = new;
    return changed;
}

/* One tunnel a line: "gre", or "udp" and the port. */
char *
guard_tunnels_load(struct guard_tunnels *tunnels, const char *file)
{
    char *text, *save = NULL;
    size_t size;
    char *error = NULL;
    int retval = file_read(file, MAX_FILE_SIZE, &text, &size, NULL);

    if (retval) {
        return (retval == ENOENT ? NULL
                : xasprintf("%s cannot be read: %s", file,
                            ovs_strerror(retval)));
    }
    for (char *line = strtok_r(text, "\n", &save); line && !error;
         line = strtok_r(NULL, "\n", &save)) {
        struct guard_tunnel tunnel = { .protocol = IPPROTO_UDP };

        if (!strcmp(line, "gre")) {
            tunnel.protocol = IPPROTO_GRE;
        } else if (!ovs_scan(line, "udp %"SCNu16, &tunnel.port)) {
            error = xasprintf("%s: \"%s\" is no tunnel; if Open vSwitch has "
                              "no other tunnel than the configuration, "
                              "remove the file", file, line);
            break;
        }
        guard_tunnels_add(tunnels, tunnel);
    }
    free(text);
    return error;
}

char *
guard_tunnels_save(const struct guard_tunnels *tunnels, const char *file)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < tunnels->n; i++) {
        if (tunnels->elems[i].protocol == IPPROTO_GRE) {
            ds_put_cstr(&ds, "gre\n");
        } else {
            ds_put_format(&ds, "udp %"PRIu16"\n", tunnels->elems[i].port);
        }
    }
    int retval = file_replace(file, ds_cstr(&ds), ds.length, true);
    ds_destroy(&ds);
    return (retval
            ? xasprintf("%s cannot be written: %s", file, ovs_strerror(retval))
            : NULL);
}
