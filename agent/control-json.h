/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers of the control socket as JSON. */

#ifndef LATEEN_CONTROL_JSON_H
#define LATEEN_CONTROL_JSON_H 1

#include <stdbool.h>

struct json;
struct unixctl_conn;

/* Each puts a member called 'name' into 'object'.  put() takes 'value'; a null
 * string is null. */
void put(struct json *object, const char *name, struct json *value);
void put_string(struct json *object, const char *name, const char *s);
void put_bool(struct json *object, const char *name, bool value);
void put_integer(struct json *object, const char *name, long long int value);

/* Replies with 'json', which it takes. */
void reply(struct unixctl_conn *, struct json *json);

/* Replies with the array 'rows', which it takes, in the order of names. */
void reply_by_name(struct unixctl_conn *, struct json *rows);

#endif /* agent/control-json.h */
