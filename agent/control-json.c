/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers of the control socket: see control-json.h. */

#include <config.h>
#include "control-json.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "unixctl.h"
#include "util.h"

void
put(struct json *object, const char *name, struct json *value)
{
    json_object_put(object, name, value);
}

void
put_string(struct json *object, const char *name, const char *s)
{
    put(object, name, s ? json_string_create(s) : json_null_create());
}

void
put_bool(struct json *object, const char *name, bool value)
{
    put(object, name, json_boolean_create(value));
}

void
put_integer(struct json *object, const char *name, long long int value)
{
    put(object, name, json_integer_create(value));
}

void
reply(struct unixctl_conn *conn, struct json *json)
{
    char *s = json_to_string(json, JSSF_SORT);

    unixctl_command_reply(conn, s);
    free(s);
    json_destroy(json);
}

/* The member 'name' of 'row' as a string, "" if it has none. */
static const char *
row_string(const struct json *row, const char *name)
{
    const struct json *value = shash_find_data(json_object(row), name);

    return value && value->type == JSON_STRING ? json_string(value) : "";
}

static int
compare_named_rows(const void *a_, const void *b_)
{
    static const char *const members[] = { "namespace", "name", "interface" };
    const struct json *const *a = a_;
    const struct json *const *b = b_;
    int cmp = 0;

    for (size_t i = 0; i < ARRAY_SIZE(members) && !cmp; i++) {
        cmp = strcmp(row_string(*a, members[i]), row_string(*b, members[i]));
    }
    return cmp;
}

void
reply_by_name(struct unixctl_conn *conn, struct json *rows)
{
    qsort(rows->array.elems, rows->array.n, sizeof *rows->array.elems,
          compare_named_rows);
    reply(conn, rows);
}
