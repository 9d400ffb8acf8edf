/* SPDX-License-Identifier: GPL-3.0-or-later */
/* YAML and JSON text as trees: see yaml.h.
 *
 * libyaml turns the text into events; a tree grows at its innermost open
 * collection, so that depth costs no stack. */

#include <config.h>
#include "agent/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/shash.h"
#include "util.h"

/* A document under construction. */
struct builder {
    const char *file;
    const char *text;           /* All documents. */
    size_t size;                /* Of 'text', in bytes. */
    yaml_parser_t parser;
    struct yaml_node *root;     /* NULL before the document's first node. */
    struct yaml_node *current;  /* Innermost open collection, or NULL. */
    unsigned int depth;         /* Number of open collections. */
    char *key;                  /* In an open mapping: the key whose value
                                 * comes next, or NULL. */
    int key_line;
    int key_column;
    struct shash anchors;       /* "struct yaml_node", not owned. */
    size_t n_nodes;             /* In this document. */
    size_t aliased;             /* Bytes that aliases have expanded to. */
};

static char *parse_document(struct builder *, struct yaml_node **rootp,
                            bool *end);

static void
node_free(struct yaml_node *root)
{
    /* Without recursion: each collection gives up its last child until it is
     * empty. */
    for (struct yaml_node *node = root; node; ) {
        if (node->n) {
            node = node->children[--node->n];
        } else {
            struct yaml_node *parent = node == root ? NULL : node->parent;

            free(node->children);
            free(node->key);
            free(node->text);
            free(node);
            node = parent;
        }
    }
}

void
yaml_docs_free(struct yaml_node **docs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        node_free(docs[i]);
    }
    free(docs);
}

/* What the file says stays on one line. */
static char *
steal_line(struct ds *ds)
{
    for (char *p = ds_cstr(ds); *p; p++) {
        if ((unsigned char) *p < ' ' || *p == 0x7f) {
            *p = ' ';
        }
    }
    return ds_steal_cstr(ds);
}

static char * OVS_PRINTF_FORMAT(3, 4)
place_error(const struct builder *b, int line, const char *format, ...)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    va_list args;

    ds_put_format(&ds, "%s:%d: ", b->file, line);
    va_start(args, format);
    ds_put_format_valist(&ds, format, args);
    va_end(args);
    return steal_line(&ds);
}

/* What libyaml found wrong. */
static char *
syntax_error(const struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    int line = p->problem_mark.line + 1;

    if (p->error == YAML_READER_ERROR) {
        /* The reader runs ahead of its own mark. */
        line = 1;
        for (size_t i = 0; i < MIN(b->size, p->problem_offset); i++) {
            line += b->text[i] == '\n';
        }
        return place_error(b, line, "%s (byte %"PRIuSIZE" of the file)",
                           p->problem, p->problem_offset);
    } else if (p->context) {
        return place_error(b, line, "%s, %s that begins in line %"PRIuSIZE,
                           p->problem, p->context, p->context_mark.line + 1);
    } else {
        return place_error(b, line, "%s", p->problem);
    }
}

char *
yaml_parse(const char *file, const char *text, size_t size,
           struct yaml_node ***docsp, size_t *np)
{
    struct builder b = { .file = file, .text = text, .size = size };
    struct yaml_node **docs = NULL;
    size_t n = 0, allocated = 0;
    char *error = NULL;
    bool end = false;

    *docsp = NULL;
    *np = 0;
    if (size > YAML_MAX_SIZE) {
        return xasprintf("%s:1: is larger than %d MiB; split it", file,
                         YAML_MAX_SIZE / (1024 * 1024));
    }
    if (!yaml_parser_initialize(&b.parser)) {
        out_of_memory();
    }
    yaml_parser_set_input_string(&b.parser, (const unsigned char *) text,
                                 size);
    while (!end && !error) {
        struct yaml_node *root;

        error = parse_document(&b, &root, &end);
        if (root) {
            if (n >= allocated) {
                docs = x2nrealloc(docs, &allocated, sizeof *docs);
            }
            docs[n++] = root;
        }
    }
    yaml_parser_delete(&b.parser);
    if (error) {
        yaml_docs_free(docs, n);
        return error;
    }
    *docsp = docs;
    *np = n;
    return NULL;
}

/* Counts another node. */
static char *
builder_count(struct builder *b, int line)
{
    return (++b->n_nodes <= YAML_MAX_NODES ? NULL
            : place_error(b, line, "holds more than %d values; split it",
                          YAML_MAX_NODES));
}

/* Adds 'node' to the innermost open collection, or as the root. */
static void
builder_add(struct builder *b, struct yaml_node *node)
{
    struct yaml_node *parent = b->current;

    if (!parent) {
        b->root = node;
        return;
    }
    if (parent->n >= parent->allocated) {
        parent->children = x2nrealloc(parent->children, &parent->allocated,
                                      sizeof *parent->children);
    }
    node->parent = parent;
    node->index = parent->n;
    parent->children[parent->n++] = node;
    node->key = b->key;
    b->key = NULL;
}

static struct yaml_node *
node_create(enum yaml_kind kind, int line, int column)
{
    struct yaml_node *node = xzalloc(sizeof *node);

    node->kind = kind;
    node->line = line;
    node->column = column;
    return node;
}

/* A mapping waits for a key, that may only be a plain word or a string. */
static bool
builder_wants_key(const struct builder *b)
{
    return b->current && b->current->kind == YAML_MAPPING && !b->key;
}

/* Whether the explicit 'tag' makes no difference to a 'kind'. */
static bool
tag_is_harmless(const char *tag, enum yaml_kind kind)
{
    return (!tag || !strcmp(tag, "!")
            || !strcmp(tag, kind == YAML_SCALAR ? YAML_STR_TAG
                       : kind == YAML_SEQUENCE ? YAML_SEQ_TAG
                       : YAML_MAP_TAG));
}

static char *
add_scalar(struct builder *b, const yaml_event_t *event, int line, int column)
{
    const char *text = (const char *) event->data.scalar.value;
    const char *tag = (const char *) event->data.scalar.tag;
    const char *anchor = (const char *) event->data.scalar.anchor;

    if (strlen(text) != event->data.scalar.length) {
        return place_error(b, line, "a string holds a NUL character");
    }
    if (!tag_is_harmless(tag, YAML_SCALAR)) {
        return place_error(b, line, "the tag %s is not supported", tag);
    }
    bool plain = (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
                  && !tag);

    if (builder_wants_key(b)) {
        if (anchor) {
            return place_error(b, line, "a key may not have an anchor");
        } else if (plain && !strcmp(text, "<<")) {
            return place_error(b, line, "the merge key << is not supported; "
                               "write the keys out");
        }
        b->key = xstrdup(text);
        b->key_line = line;
        b->key_column = column;
        return NULL;
    }
    struct yaml_node *node = node_create(YAML_SCALAR, line, column);
    node->plain = plain;
    node->text = xstrdup(text);
    builder_add(b, node);
    if (anchor) {
        shash_replace(&b->anchors, anchor, node);
    }
    return NULL;
}

/* Begins a sequence or mapping. */
static char *
open_collection(struct builder *b, enum yaml_kind kind, const char *tag,
                const char *anchor, int line, int column)
{
    if (!tag_is_harmless(tag, kind)) {
        return place_error(b, line, "the tag %s is not supported", tag);
    } else if (builder_wants_key(b)) {
        return place_error(b, line, "a key must be a word or a string");
    } else if (b->depth >= YAML_MAX_DEPTH) {
        return place_error(b, line, "is nested more than %d deep",
                           YAML_MAX_DEPTH);
    }
    struct yaml_node *node = node_create(kind, line, column);
    builder_add(b, node);
    b->current = node;
    b->depth++;
    if (anchor) {
        shash_replace(&b->anchors, anchor, node);
    }
    return NULL;
}

static int
compare_keys(const void *a_, const void *b_)
{
    const struct yaml_node *const *a = a_;
    const struct yaml_node *const *b = b_;
    int cmp = strcmp((*a)->key, (*b)->key);

    return cmp ? cmp : (*a)->index < (*b)->index ? -1 : 1;
}

/* Ends the innermost collection. */
static char *
close_collection(struct builder *b)
{
    struct yaml_node *node = b->current;
    char *error = NULL;

    b->current = node->parent;
    b->depth--;
    if (node->kind == YAML_MAPPING && node->n > 1) {
        struct yaml_node **sorted = xmemdup(node->children,
                                            node->n * sizeof *sorted);

        qsort(sorted, node->n, sizeof *sorted, compare_keys);
        for (size_t i = 1; i < node->n && !error; i++) {
            if (!strcmp(sorted[i - 1]->key, sorted[i]->key)) {
                error = place_error(b, sorted[i]->line, "%s is there twice: "
                                    "in line %d and in line %d",
                                    sorted[i]->key, sorted[i - 1]->line,
                                    sorted[i]->line);
            }
        }
        free(sorted);
    }
    return error;
}

/* Adds a copy of 'src' and what is below, at the place of the alias.  The
 * depth of recursion is bounded by that of the tree. */
static char *
add_copy(struct builder *b, const struct yaml_node *src, int line, int column)
{
    struct yaml_node *node;
    char *error;

    b->aliased += sizeof *src + (src->text ? strlen(src->text) : 0)
                  + (b->key ? strlen(b->key) : 0);
    if (b->aliased > YAML_MAX_ALIASED) {
        return place_error(b, line, "the aliases expand to more than %d kB",
                           YAML_MAX_ALIASED / 1024);
    }
    error = builder_count(b, line);
    if (error) {
        return error;
    }
    if (src->kind == YAML_SCALAR) {
        node = node_create(YAML_SCALAR, line, column);
        node->plain = src->plain;
        node->text = xstrdup(src->text);
        builder_add(b, node);
        return NULL;
    }
    error = open_collection(b, src->kind, NULL, NULL, line, column);
    if (error) {
        return error;
    }
    node = b->current;
    for (size_t i = 0; i < src->n; i++) {
        b->key = nullable_xstrdup(src->children[i]->key);
        error = add_copy(b, src->children[i], line, column);
        if (error) {
            return error;
        }
    }
    b->current = node->parent;
    b->depth--;
    return NULL;
}

static char *
add_alias(struct builder *b, const char *anchor, int line, int column)
{
    const struct yaml_node *src = shash_find_data(&b->anchors, anchor);

    if (builder_wants_key(b)) {
        return place_error(b, line, "a key may not be an alias");
    } else if (!src) {
        return place_error(b, line, "there is no anchor &%s before the alias "
                           "*%s", anchor, anchor);
    }
    for (const struct yaml_node *n = b->current; n; n = n->parent) {
        if (n == src) {
            return place_error(b, line, "the alias *%s stands inside of what "
                               "it stands for", anchor);
        }
    }
    return add_copy(b, src, line, column);
}

static char *
builder_event(struct builder *b, const yaml_event_t *event)
{
    int line = event->start_mark.line + 1;
    int column = event->start_mark.column + 1;
    bool key = builder_wants_key(b);

    switch ((int) event->type) {
    case YAML_SCALAR_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: {
        char *error = key ? NULL : builder_count(b, line);

        if (error) {
            return error;
        }
        break;
    }
    }
    switch ((int) event->type) {
    case YAML_ALIAS_EVENT:
        return add_alias(b, (const char *) event->data.alias.anchor, line,
                         column);
    case YAML_SCALAR_EVENT:
        /* An absent value has the place of what follows it: its key says
         * better where it is. */
        if (!key && b->key && !event->data.scalar.length
            && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
            line = b->key_line;
            column = b->key_column;
        }
        return add_scalar(b, event, line, column);
    case YAML_SEQUENCE_START_EVENT:
        return open_collection(
            b, YAML_SEQUENCE,
            (const char *) event->data.sequence_start.tag,
            (const char *) event->data.sequence_start.anchor, line, column);
    case YAML_MAPPING_START_EVENT:
        return open_collection(
            b, YAML_MAPPING,
            (const char *) event->data.mapping_start.tag,
            (const char *) event->data.mapping_start.anchor, line, column);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_collection(b);
    default:
        return NULL;
    }
}

/* Reads up to the end of the next document.  Stores its root in '*rootp', or
 * NULL if it is empty or there is an error.  Sets '*end' at the end of the
 * text. */
static char *
parse_document(struct builder *b, struct yaml_node **rootp, bool *end)
{
    char *error = NULL;
    bool done = false;

    b->root = b->current = NULL;
    b->depth = 0;
    b->n_nodes = b->aliased = 0;
    shash_init(&b->anchors);
    while (!done && !error) {
        yaml_event_t event;

        if (!yaml_parser_parse(&b->parser, &event)) {
            error = syntax_error(b);
            break;
        }
        *end = event.type == YAML_STREAM_END_EVENT;
        done = *end || event.type == YAML_DOCUMENT_END_EVENT;
        error = builder_event(b, &event);
        yaml_event_delete(&event);
    }
    shash_destroy(&b->anchors);
    free(b->key);
    b->key = NULL;
    if (b->root && (error || yaml_is_null(b->root))) {
        node_free(b->root);
        b->root = NULL;
    }
    *rootp = b->root;
    return error;
}

bool
yaml_is_null(const struct yaml_node *node)
{
    return (node->kind == YAML_SCALAR && node->plain
            && (!node->text[0] || !strcmp(node->text, "~")
                || !strcmp(node->text, "null") || !strcmp(node->text, "Null")
                || !strcmp(node->text, "NULL")));
}

const struct yaml_node *
yaml_get(const struct yaml_node *map, const char *key)
{
    if (map && map->kind == YAML_MAPPING) {
        for (size_t i = 0; i < map->n; i++) {
            if (!strcmp(map->children[i]->key, key)) {
                return yaml_is_null(map->children[i]) ? NULL
                       : map->children[i];
            }
        }
    }
    return NULL;
}
