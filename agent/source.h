/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sources of the cluster model
 * ============================
 *
 * A source writes nodes, namespaces, pods and policies into the model, and
 * publishes the addresses of this node's pods for the other nodes.  Each kind
 * of source implements this interface; source_dir_open() in source-dir.h is
 * the first.
 *
 * Everything here belongs to the main thread and never blocks for long. */

#ifndef LATEEN_SOURCE_H
#define LATEEN_SOURCE_H 1

#include <stdbool.h>
#include <stddef.h>
#include "agent/ip.h"

struct model;
struct smap;
struct source;
struct svec;

/* A pod on this node and its addresses, each of full length. */
struct source_pod {
    const char *namespace;
    const char *name;
    const struct ip_prefix_list *ips;
};

/* How a source fares. */
struct source_status {
    bool synced;                /* As source_is_synced(). */
    size_t n_objects;           /* Objects that it holds in the model. */
    size_t n_ignored;           /* Objects of kinds that it does not know. */
    struct svec *errors;        /* What is wrong now, one line each: filled in
                                 * by source_get_status(), owned by its
                                 * caller. */
    struct smap *object_errors; /* What is wrong with each object of which the
                                 * model has not what the source says now, by
                                 * manifest_object_title(): as 'errors', but
                                 * NULL if not wanted. */
};

/* What a kind of source does; see the functions below. */
struct source_class {
    void (*run)(struct source *, struct model *);
    void (*wait)(struct source *);
    void (*publish)(struct source *, const char *node,
                    const struct source_pod *, size_t n);
    void (*get_status)(const struct source *, struct source_status *);
    void (*close)(struct source *);
};

/* The first member of every kind's own struct. */
struct source {
    const struct source_class *class;
    bool synced;                /* See source_is_synced(). */
};

/* Whether everything has been read once: from then on, what the model does
 * not hold does not exist. */
static inline bool
source_is_synced(const struct source *source)
{
    return source->synced;
}

/* Brings 'model' up to date with the source, a bounded piece at a time, and
 * publishes what is to be published. */
static inline void
source_run(struct source *source, struct model *model)
{
    source->class->run(source, model);
}

/* Arranges for the poll loop to wake up when source_run() has work. */
static inline void
source_wait(struct source *source)
{
    source->class->wait(source);
}

/* Makes the 'n' pods in 'pods', in any order, what 'node' (this node's name)
 * publishes.  source_run() does the work, and repeats it if it fails.  There
 * is nothing to do if nothing has changed since the last call, but to find
 * that out costs time for each pod. */
static inline void
source_publish(struct source *source, const char *node,
               const struct source_pod *pods, size_t n)
{
    source->class->publish(source, node, pods, n);
}

/* Fills in '*status', whose 'errors' the caller has initialized: the source
 * adds to it.  For an operator's eyes: its cost grows with the source. */
static inline void
source_get_status(const struct source *source, struct source_status *status)
{
    source->class->get_status(source, status);
}

/* Closes 'source', which may be NULL.  What it has put into the model
 * stays. */
static inline void
source_close(struct source *source)
{
    if (source) {
        source->class->close(source);
    }
}

#endif /* agent/source.h */
