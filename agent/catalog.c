/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The catalogue of a set of manifests: see catalog.h. */

#include <config.h>
#include "agent/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "agent/manifest.h"
#include "agent/model.h"
#include "agent/yaml-report.h"
#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

/* An object of the model that a file holds. */
struct catalog_object {
    struct hmap_node hmap_node; /* In catalog's 'objects'. */
    struct ovs_list file_node;  /* In its file's 'objects'. */
    struct catalog_file *file;
    enum model_kind kind;
    char *namespace;            /* NULL for a kind without namespaces. */
    char *name;
    int line;
    bool wants_ips;             /* A pod whose addresses come from claims. */
    bool stale;                 /* Not seen yet in what the file says now. */
};

/* A node's word that a pod of its has some addresses. */
struct catalog_claim {
    struct hmap_node hmap_node; /* In catalog's 'claims'. */
    struct ovs_list file_node;  /* In its file's 'claims'. */
    const struct catalog_file *file; /* Its publisher is the node. */
    struct manifest_pod_ips pod;
};

static bool load_objects(struct catalog *, struct catalog_file *,
                         struct manifest *, struct model *);
static void load_claims(struct catalog *, struct catalog_file *,
                        struct manifest *, struct model *);

static uint32_t
name_hash(enum model_kind kind, const char *namespace, const char *name)
{
    return hash_string(name, namespace ? hash_string(namespace, kind) : kind);
}

void
catalog_init(struct catalog *c)
{
    hmap_init(&c->objects);
    hmap_init(&c->claims);
}

void
catalog_destroy(struct catalog *c)
{
    hmap_destroy(&c->objects);
    hmap_destroy(&c->claims);
}

void
catalog_file_init(struct catalog_file *file, const char *path,
                  const char *publisher)
{
    *file = (struct catalog_file) {
        .path = xstrdup(path),
        .publisher = nullable_xstrdup(publisher),
        .errors = SVEC_EMPTY_INITIALIZER,
    };
    smap_init(&file->object_errors);
    ovs_list_init(&file->objects);
    ovs_list_init(&file->claims);
}

static void
catalog_object_free(struct catalog *c, struct catalog_object *o)
{
    if (o->kind != MODEL_POD) {
        o->file->n_lasting--;
    }
    hmap_remove(&c->objects, &o->hmap_node);
    ovs_list_remove(&o->file_node);
    free(o->namespace);
    free(o->name);
    free(o);
}

/* Frees a claim that is in no hmap. */
static void
claim_free(struct catalog_claim *claim)
{
    ovs_list_remove(&claim->file_node);
    free(claim->pod.namespace);
    free(claim->pod.name);
    ip_prefix_list_destroy(&claim->pod.ips);
    free(claim);
}

void
catalog_file_forget(struct catalog *c, struct catalog_file *file)
{
    struct catalog_object *o;
    struct catalog_claim *claim;

    LIST_FOR_EACH_SAFE (o, file_node, &file->objects) {
        catalog_object_free(c, o);
    }
    LIST_FOR_EACH_SAFE (claim, file_node, &file->claims) {
        hmap_remove(&c->claims, &claim->hmap_node);
        claim_free(claim);
    }
    svec_destroy(&file->errors);
    smap_destroy(&file->object_errors);
    free(file->publisher);
    free(file->path);
}

static struct catalog_object *
find_object(const struct catalog *c, enum model_kind kind,
            const char *namespace, const char *name)
{
    struct catalog_object *o;

    HMAP_FOR_EACH_WITH_HASH (o, hmap_node, name_hash(kind, namespace, name),
                             &c->objects) {
        if (o->kind == kind && !strcmp(o->name, name)
            && nullable_string_is_equal(o->namespace, namespace)) {
            return o;
        }
    }
    return NULL;
}

/* Adds an error about 'file', unless it has too many already. */
static void OVS_PRINTF_FORMAT(3, 4)
file_error(struct catalog_file *file, int line, const char *format, ...)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    va_list args;

    if (file->errors.n >= YAML_MAX_ERRORS) {
        return;
    }
    ds_put_format(&ds, "%s:%d: ", file->path, line);
    va_start(args, format);
    ds_put_format_valist(&ds, format, args);
    va_end(args);
    svec_add_nocopy(&file->errors, ds_steal_cstr(&ds));
}

/* Notes which objects are broken of 'm', whose errors are those of 'file'. */
static void
note_object_errors(struct catalog_file *file, const struct manifest *m)
{
    smap_clear(&file->object_errors);
    for (size_t i = 0; i < m->n_objects; i++) {
        const struct manifest_object *mo = &m->objects[i];

        if (!mo->object) {
            smap_add_nocopy(&file->object_errors,
                            manifest_object_title(mo->kind, mo->namespace,
                                                  mo->name),
                            xstrdup(file->errors.names[mo->error]));
        }
    }
}

void
catalog_file_get_errors(const struct catalog_file *file, const char *error,
                        struct smap *errors)
{
    const struct catalog_object *o;
    const struct smap_node *node;

    SMAP_FOR_EACH (node, &file->object_errors) {
        smap_replace(errors, node->key, node->value);
    }
    if (!error && file->broken) {
        error = file->errors.names[0];
    }
    LIST_FOR_EACH (o, file_node, &file->objects) {
        if (error) {
            char *title = manifest_object_title(o->kind, o->namespace,
                                                o->name);

            smap_replace(errors, title, error);
            free(title);
        }
    }
}

bool
catalog_load(struct catalog *c, struct catalog_file *file, const char *text,
             size_t size, struct model *model)
{
    struct manifest m;
    bool released = false;

    bool ok = manifest_parse(file->path, text, size, &m);
    svec_swap(&file->errors, &m.errors);
    note_object_errors(file, &m);
    file->broken = !ok;
    if (ok) {
        file->n_ignored = m.n_ignored;
        if (file->publisher) {
            load_claims(c, file, &m, model);
        } else {
            released = load_objects(c, file, &m, model);
        }
    }
    manifest_destroy(&m);
    return released;
}

/* Appends to 'ips' the addresses that claims give to the pod. */
static void
claimed_ips(const struct catalog *c, const struct pod *pod,
            struct ip_prefix_list *ips)
{
    const struct catalog_claim *claim;

    HMAP_FOR_EACH_WITH_HASH (claim, hmap_node,
                             name_hash(MODEL_POD, pod->obj.namespace,
                                       pod->obj.name), &c->claims) {
        /* Only the pod's own node knows.  Without a node's name in the
         * manifest, every node's word counts. */
        if (!strcmp(claim->pod.name, pod->obj.name)
            && !strcmp(claim->pod.namespace, pod->obj.namespace)
            && (!pod->node || !strcmp(pod->node, claim->file->publisher))) {
            for (size_t i = 0; i < claim->pod.ips.n; i++) {
                ip_prefix_list_add(ips, &claim->pod.ips.elems[i]);
            }
        }
    }
}

/* A copy of 'src' without its addresses. */
static struct pod *
pod_clone_without_ips(const struct pod *src)
{
    struct pod *pod = pod_cast(model_object_new(MODEL_POD, src->obj.namespace,
                                                src->obj.name));

    smap_destroy(&pod->labels);
    smap_clone(&pod->labels, &src->labels);
    pod->node = nullable_xstrdup(src->node);
    pod->host_network = src->host_network;
    pod->ports = xcalloc(src->n_ports, sizeof *pod->ports);
    pod->n_ports = src->n_ports;
    for (size_t i = 0; i < src->n_ports; i++) {
        pod->ports[i] = src->ports[i];
        pod->ports[i].name = nullable_xstrdup(src->ports[i].name);
    }
    return pod;
}

/* Brings the pod's addresses in 'model' up to date with the claims. */
static void
refresh_pod(const struct catalog *c, const char *namespace, const char *name,
            struct model *model)
{
    const struct catalog_object *o = find_object(c, MODEL_POD, namespace,
                                                 name);

    if (o && o->wants_ips) {
        const struct pod *old = model_find_pod(model, namespace, name);

        if (old) {
            struct pod *pod = pod_clone_without_ips(old);

            claimed_ips(c, pod, &pod->ips);
            model_put(model, &pod->obj);
        }
    }
}

/* Makes '*mo' the file's object of that name, and moves it into 'model'. */
static void
load_object(struct catalog *c, struct catalog_file *file,
            struct manifest_object *mo, struct model *model)
{
    struct catalog_object *o = find_object(c, mo->kind, mo->namespace,
                                           mo->name);

    if (o && (o->file != file || !o->stale)) {
        char *title = manifest_object_title(mo->kind, mo->namespace,
                                            mo->name);

        file_error(file, mo->line, "%s: is also in %s:%d, which came first "
                   "and stays in force; remove one of them", title,
                   o->file->path, o->line);
        free(title);
        file->has_duplicates |= o->file != file;
        return;
    }
    if (!o) {
        if (!mo->object) {
            return;
        }
        o = xzalloc(sizeof *o);
        o->file = file;
        o->kind = mo->kind;
        o->namespace = nullable_xstrdup(mo->namespace);
        o->name = xstrdup(mo->name);
        hmap_insert(&c->objects, &o->hmap_node,
                    name_hash(o->kind, o->namespace, o->name));
        ovs_list_push_back(&file->objects, &o->file_node);
        if (o->kind != MODEL_POD) {
            file->n_lasting++;
        }
    }
    o->stale = false;
    o->line = mo->line;
    if (mo->object) {
        o->wants_ips = mo->wants_ips;
        if (mo->wants_ips) {
            struct pod *pod = pod_cast(mo->object);

            claimed_ips(c, pod, &pod->ips);
        }
        model_put(model, mo->object);
        mo->object = NULL;
    }
}

/* Removes the file's stale objects from 'model'.  Returns whether there were
 * any. */
static bool
remove_stale(struct catalog *c, struct catalog_file *file,
             struct model *model)
{
    struct catalog_object *o;
    bool any = false;

    LIST_FOR_EACH_SAFE (o, file_node, &file->objects) {
        if (o->stale) {
            model_remove(model, o->kind, o->namespace, o->name);
            catalog_object_free(c, o);
            any = true;
        }
    }
    return any;
}

static bool
load_objects(struct catalog *c, struct catalog_file *file,
             struct manifest *m, struct model *model)
{
    struct catalog_object *o;

    LIST_FOR_EACH (o, file_node, &file->objects) {
        o->stale = true;
    }
    file->has_duplicates = false;
    for (size_t i = 0; i < m->n_objects; i++) {
        load_object(c, file, &m->objects[i], model);
    }
    if (m->status_node) {
        file_error(file, 1, "PodStatus %s: belongs to the folder status, "
                   "that the nodes write", m->status_node);
    }
    /* One of those that are missing may be the one without a name. */
    return !m->incomplete && remove_stale(c, file, model);
}

/* Makes what 'm' says the claims of 'file'. */
static void
load_claims(struct catalog *c, struct catalog_file *file, struct manifest *m,
            struct model *model)
{
    struct ovs_list old = OVS_LIST_INITIALIZER(&old);
    struct catalog_claim *claim;

    if (m->n_objects) {
        file_error(file, m->objects[0].line, "only a PodStatus may be here");
    }
    if (m->status_node && strcmp(m->status_node, file->publisher)) {
        file_error(file, 1, "PodStatus %s: is in the file of the node %s",
                   m->status_node, file->publisher);
    }
    if (!svec_is_empty(&file->errors)) {
        return;
    }

    ovs_list_push_back_all(&old, &file->claims);
    LIST_FOR_EACH (claim, file_node, &old) {
        hmap_remove(&c->claims, &claim->hmap_node);
    }
    for (size_t i = 0; i < m->n_pod_ips; i++) {
        claim = xmalloc(sizeof *claim);
        claim->file = file;
        claim->pod = m->pod_ips[i];
        memset(&m->pod_ips[i], 0, sizeof m->pod_ips[i]);
        hmap_insert(&c->claims, &claim->hmap_node,
                    name_hash(MODEL_POD, claim->pod.namespace,
                              claim->pod.name));
        ovs_list_push_back(&file->claims, &claim->file_node);
    }

    LIST_FOR_EACH (claim, file_node, &file->claims) {
        refresh_pod(c, claim->pod.namespace, claim->pod.name, model);
    }
    LIST_FOR_EACH_SAFE (claim, file_node, &old) {
        refresh_pod(c, claim->pod.namespace, claim->pod.name, model);
        claim_free(claim);
    }
}

bool
catalog_unload(struct catalog *c, struct catalog_file *file,
               struct model *model)
{
    bool released = catalog_load(c, file, "", 0, model);

    catalog_file_forget(c, file);
    return released;
}
