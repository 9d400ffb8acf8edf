/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Manifests: Kubernetes objects as text
 * =====================================
 *
 * Turns YAML or JSON, as kubectl reads and writes it, into objects of the
 * model.  A file holds any number of documents, each an object or a List of
 * them.  Node, Namespace, Pod and NetworkPolicy are known; other kinds are
 * counted and skipped.  Of the known kinds, fields without meaning for Lateen
 * are skipped, but within the specification of a NetworkPolicy an unknown
 * field is an error.
 *
 * An object that the API server would refuse is reported and left out; the
 * others of the file are not affected.
 *
 * Lateen's own kind PodStatus is what a node publishes about its pods:
 *
 *     apiVersion: lateen.io/v1
 *     kind: PodStatus
 *     metadata: {name: NODE}
 *     pods:
 *     - {namespace: NAMESPACE, name: NAME, podIPs: [{ip: ADDRESS}, ...]}
 */

#ifndef LATEEN_MANIFEST_H
#define LATEEN_MANIFEST_H 1

#include <stdbool.h>
#include <stddef.h>
#include "agent/ip.h"
#include "agent/model.h"
#include "svec.h"

/* An object of a manifest. */
struct manifest_object {
    int line;                   /* Where it begins. */
    enum model_kind kind;
    char *namespace;            /* NULL for a kind without namespaces. */
    char *name;
    struct model_object *object; /* NULL if it is broken... */
    size_t error;               /* ...and this is the first error that says
                                 * why, in manifest's 'errors'. */
    bool wants_ips;             /* A pod whose addresses its node is to
                                 * publish. */
};

/* The addresses that a node has given to a pod. */
struct manifest_pod_ips {
    char *namespace;
    char *name;
    struct ip_prefix_list ips;  /* Each of full length. */
};

struct manifest {
    struct manifest_object *objects; /* In the order of the file. */
    size_t n_objects;

    bool incomplete;            /* There is a broken object whose name cannot
                                 * be told. */
    size_t n_ignored;           /* Objects of unknown kinds. */

    /* A PodStatus. */
    char *status_node;          /* Its node, or NULL if there is none. */
    struct manifest_pod_ips *pod_ips;
    size_t n_pod_ips;

    struct svec errors;         /* "FILE:LINE: OBJECT: PATH: TEXT". */
};

/* Parses the 'size' bytes at 'text' into '*m', that the caller must destroy.
 * 'file' names the file in errors.  Returns true if the text is YAML, though
 * objects in it may be broken; false if it is not, and then '*m' holds
 * nothing but an error. */
bool manifest_parse(const char *file, const char *text, size_t size,
                    struct manifest *m);

/* Frees what 'm' holds. */
void manifest_destroy(struct manifest *m);

/* "Kind namespace/name", or "Kind name" if 'namespace' is NULL, in a new
 * string that the caller frees. */
char *manifest_object_title(enum model_kind, const char *namespace,
                            const char *name);

#endif /* agent/manifest.h */
