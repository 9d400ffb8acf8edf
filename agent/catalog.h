/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The catalogue of a set of manifests
 * ===================================
 *
 * Knows which file holds which object, so that a file that has changed or
 * gone changes in the model just what it said.  An object belongs to the file
 * that had it first.  What is broken stays in the model as it was last good.
 *
 * It also brings together what is told apart: a pod's manifest, and the
 * addresses that the pod's node publishes for it. */

#ifndef LATEEN_CATALOG_H
#define LATEEN_CATALOG_H 1

#include <stdbool.h>
#include <stddef.h>
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "smap.h"
#include "svec.h"

struct model;

/* A file of the set. */
struct catalog_file {
    char *path;                 /* Names it in errors. */
    char *publisher;            /* The node that publishes its pods' addresses
                                 * here, and nothing else; NULL for a file of
                                 * manifests. */
    struct ovs_list objects;    /* "struct catalog_object"s that are its. */
    struct ovs_list claims;     /* "struct catalog_claim"s that are its. */
    struct svec errors;         /* What is wrong with it. */
    struct smap object_errors;  /* The first of the errors of each object that
                                 * is broken, by manifest_object_title(). */
    bool broken;                /* It is no YAML, as the first error says. */
    size_t n_ignored;           /* Objects of unknown kinds. */
    size_t n_lasting;           /* Objects in 'objects' that are no pods. */
    bool has_duplicates;        /* It holds objects that are another's. */
};

struct catalog {
    struct hmap objects;        /* Contains "struct catalog_object"s. */
    struct hmap claims;         /* Contains "struct catalog_claim"s, by the
                                 * names of their pods. */
};

void catalog_init(struct catalog *);

/* Frees the catalogue.  Its files must have been forgotten before. */
void catalog_destroy(struct catalog *);

/* Initializes 'file', as one that says nothing yet.  'publisher' is NULL for
 * a file of manifests. */
void catalog_file_init(struct catalog_file *file, const char *path,
                       const char *publisher);

/* Frees what 'file' holds, without touching any model. */
void catalog_file_forget(struct catalog *, struct catalog_file *file);

/* Makes the 'size' bytes at 'text' what 'file' says, in 'model' as well, and
 * replaces the errors of 'file'.  Returns true if an object has become free
 * that another file, with 'has_duplicates', may hold: that should be loaded
 * again. */
bool catalog_load(struct catalog *, struct catalog_file *file,
                  const char *text, size_t size, struct model *model);

/* Takes all that 'file' says out of 'model' and frees what 'file' holds.
 * Returns as catalog_load() does. */
bool catalog_unload(struct catalog *, struct catalog_file *file,
                    struct model *model);

/* Puts into 'errors', by manifest_object_title(), what is wrong with each
 * object of 'file' that is not as the file has it now: 'error', if the file
 * could not even be read and that is not NULL. */
void catalog_file_get_errors(const struct catalog_file *file,
                             const char *error, struct smap *errors);

#endif /* agent/catalog.h */
