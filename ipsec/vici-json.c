/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages of VICI as JSON, and back: see vici-json.h. */

#include <config.h>
#include "vici-json.h"

#include <stdbool.h>
#include <string.h>

/* How deep sections may lie in one another. */
#define MAX_DEPTH 16

/* charon closes the connection on a message of more than 512 KiB. */
#define MAX_SIZE (512 * 1024 - 1024)

/* A name's length has a byte, a value's has two. */
#define MAX_NAME 255
#define MAX_VALUE 65535

static const char *
check_string(const json_t *s, size_t *size)
{
    *size += 3 + json_string_length(s);
    return (!json_is_string(s) ? "a value is no string"
            : json_string_length(s) > MAX_VALUE ? "a value is too long"
            : NULL);
}

static const char *
check_section(const json_t *section, int depth, size_t *size)
{
    const char *name, *error;
    json_t *value;

    json_object_foreach ((json_t *) section, name, value) {
        const json_t *item;
        size_t i;

        if (!*name || strlen(name) > MAX_NAME) {
            return "a name is empty, or longer than 255 bytes";
        }
        *size += 3 + strlen(name);
        if (json_is_object(value)) {
            error = (depth < MAX_DEPTH
                     ? check_section(value, depth + 1, size)
                     : "the message is too deep");
        } else if (json_is_array(value)) {
            error = NULL;
            json_array_foreach (value, i, item) {
                error = error ? error : check_string(item, size);
            }
        } else {
            error = check_string(value, size);
        }
        if (error) {
            return error;
        }
    }
    return *size > MAX_SIZE ? "the message is too long" : NULL;
}

const char *
vici_json_check(const json_t *message)
{
    size_t size = 0;

    return check_section(message, 0, &size);
}

void
vici_json_add(vici_req_t *req, const json_t *message)
{
    const char *name_;
    json_t *value;

    json_object_foreach ((json_t *) message, name_, value) {
        char *name = (char *) name_;
        const json_t *item;
        size_t i;

        if (json_is_object(value)) {
            vici_begin_section(req, name);
            vici_json_add(req, value);
            vici_end_section(req);
        } else if (json_is_array(value)) {
            vici_begin_list(req, name);
            json_array_foreach (value, i, item) {
                vici_add_list_item(req, (char *) json_string_value(item),
                                   json_string_length(item));
            }
            vici_end_list(req);
        } else {
            vici_add_key_value(req, name, (char *) json_string_value(value),
                               json_string_length(value));
        }
    }
}

/* Reads the value that the parser stands at. */
static json_t *
read_value(vici_res_t *res)
{
    int len = 0;
    const void *value = vici_parse_value(res, &len);
    json_t *s = value && len > 0 ? json_stringn(value, len) : NULL;

    return s ? s : json_string("");
}

/* Sets the member that the parser stands at.  False if it has no proper
 * name; then 'value' is gone. */
static bool
set_member(json_t *section, vici_res_t *res, json_t *value)
{
    const char *name = vici_parse_name(res);

    if (!name) {
        json_decref(value);
        return false;
    }
    return !json_object_set_new(section, name, value);
}

json_t *
vici_json_read(vici_res_t *res)
{
    json_t *sections[MAX_DEPTH + 1] = { json_object() };
    json_t *list = NULL;
    int depth = 0;

    for (;;) {
        json_t *value;

        switch (vici_parse(res)) {
        case VICI_PARSE_BEGIN_SECTION:
            value = json_object();
            if (depth == MAX_DEPTH
                || !set_member(sections[depth], res, json_incref(value))) {
                json_decref(value);
                return sections[0];
            }
            json_decref(value);
            sections[++depth] = value;
            break;
        case VICI_PARSE_END_SECTION:
            if (!depth) {
                return sections[0];
            }
            depth--;
            break;
        case VICI_PARSE_BEGIN_LIST:
            list = json_array();
            if (!set_member(sections[depth], res, list)) {
                return sections[0];
            }
            break;
        case VICI_PARSE_LIST_ITEM:
            if (!list) {
                return sections[0];
            }
            json_array_append_new(list, read_value(res));
            break;
        case VICI_PARSE_END_LIST:
            list = NULL;
            break;
        case VICI_PARSE_KEY_VALUE:
            if (!set_member(sections[depth], res, read_value(res))) {
                return sections[0];
            }
            break;
        case VICI_PARSE_END:
        case VICI_PARSE_ERROR:
        default:
            return sections[0];
        }
    }
}
