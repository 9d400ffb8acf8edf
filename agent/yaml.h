/* SPDX-License-Identifier: GPL-3.0-or-later */
/* YAML and JSON text as trees
 * ===========================
 *
 * Reads YAML 1.1, of which JSON as programs write it is a part, into trees
 * whose nodes know their place in the text.  It takes what Kubernetes'
 * own tools take, and refuses what could be read in two ways: keys given
 * twice, merge keys, tags that change a type, numbers that are not plainly
 * decimal.  What a stranger writes costs bounded memory and stack: size,
 * depth, number of nodes and the expansion of aliases have limits. */

#ifndef LATEEN_YAML_H
#define LATEEN_YAML_H 1

#include <stdbool.h>
#include <stddef.h>
#include "openvswitch/compiler.h"

/* The limits. */
#define YAML_MAX_SIZE (64 * 1024 * 1024) /* Bytes of text. */
#define YAML_MAX_DEPTH 100      /* Collections within one another. */
#define YAML_MAX_NODES 4000000  /* Nodes of one document. */
#define YAML_MAX_ALIASED (1024 * 1024) /* Bytes that aliases expand to. */

enum yaml_kind {
    YAML_SCALAR,
    YAML_SEQUENCE,
    YAML_MAPPING
};

/* A node of a tree.  An alias is a copy of what it stands for, with the place
 * of the alias. */
struct yaml_node {
    enum yaml_kind kind;
    bool plain;                 /* A scalar without quotes or tag: it may be
                                 * a number, a truth value or null. */
    int line;                   /* From 1. */
    int column;                 /* From 1. */
    struct yaml_node *parent;   /* NULL for a document's root. */
    size_t index;               /* Place in its parent. */
    char *key;                  /* In a mapping: its key.  Otherwise NULL. */
    char *text;                 /* Of a scalar.  Otherwise NULL. */

    /* Of a sequence or mapping. */
    struct yaml_node **children;
    size_t n;
    size_t allocated;
};

/* Parses the documents in the 'size' bytes at 'text'.  Stores their roots in
 * '*docsp', '*np' of them, that the caller frees with yaml_docs_free(); empty
 * documents are left out.  Returns NULL, or what is wrong, as
 * "FILE:LINE: TEXT", in a string that the caller frees; then there are no
 * documents. */
char *yaml_parse(const char *file, const char *text, size_t size,
                 struct yaml_node ***docsp, size_t *np)
    OVS_WARN_UNUSED_RESULT;

/* Frees 'docs' and the trees in it. */
void yaml_docs_free(struct yaml_node **docs, size_t n);

/* Whether 'node' is a plain null. */
bool yaml_is_null(const struct yaml_node *node);

/* Returns the value of 'key' in 'map'; NULL if it is absent or null, or 'map'
 * is NULL or no mapping. */
const struct yaml_node *yaml_get(const struct yaml_node *map,
                                 const char *key);

#endif /* agent/yaml.h */
