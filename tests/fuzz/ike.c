/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A message of lateen-ike's, as JSON, becomes a VICI message and the same JSON
 * again.  What is no message at all is taken for what charon sends, byte by
 * byte an element. */

#include <config.h>

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipsec/vici-json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libvici's functions, on a tape of elements. */

#define MAX_ELEMENTS 100000

struct element {
    vici_parse_t type;
    char *name;
    char *value;
    int length;
};

static struct element tape[MAX_ELEMENTS];
static size_t n_elements, position;
static int depth;

static void
record(vici_parse_t type, const char *name, const void *value, int length)
{
    struct element *e = &tape[n_elements++];

    assert(n_elements < MAX_ELEMENTS);
    e->type = type;
    e->name = name ? strdup(name) : NULL;
    e->value = value ? malloc(length + 1) : NULL;
    if (value) {
        memcpy(e->value, value, length);
        e->value[length] = '\0';
    }
    e->length = length;
}

static void
clear_tape(void)
{
    for (size_t i = 0; i < n_elements; i++) {
        free(tape[i].name);
        free(tape[i].value);
    }
    n_elements = position = 0;
}

void
vici_begin_section(vici_req_t *req, char *name)
{
    (void) req;
    assert(strlen(name) >= 1 && strlen(name) <= 255);
    depth++;
    record(VICI_PARSE_BEGIN_SECTION, name, NULL, 0);
}

void
vici_end_section(vici_req_t *req)
{
    (void) req;
    assert(depth-- > 0);
    record(VICI_PARSE_END_SECTION, NULL, NULL, 0);
}

void
vici_add_key_value(vici_req_t *req, char *key, void *buf, int len)
{
    (void) req;
    assert(strlen(key) >= 1 && strlen(key) <= 255 && len <= 65535);
    record(VICI_PARSE_KEY_VALUE, key, buf, len);
}

void
vici_begin_list(vici_req_t *req, char *name)
{
    (void) req;
    assert(strlen(name) >= 1 && strlen(name) <= 255);
    record(VICI_PARSE_BEGIN_LIST, name, NULL, 0);
}

void
vici_add_list_item(vici_req_t *req, void *buf, int len)
{
    (void) req;
    assert(len <= 65535);
    record(VICI_PARSE_LIST_ITEM, NULL, buf, len);
}

void
vici_end_list(vici_req_t *req)
{
    (void) req;
    record(VICI_PARSE_END_LIST, NULL, NULL, 0);
}

vici_parse_t
vici_parse(vici_res_t *res)
{
    (void) res;
    return position < n_elements ? tape[position++].type : VICI_PARSE_END;
}

char *
vici_parse_name(vici_res_t *res)
{
    (void) res;
    return tape[position - 1].name;
}

void *
vici_parse_value(vici_res_t *res, int *len)
{
    (void) res;
    *len = tape[position - 1].length;
    return tape[position - 1].value;
}

/* Whatever order of elements charon may send. */
static void
read_noise(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && i < 1000; i++) {
        char name[] = { 'a' + data[i] / 64, '\0' };

        record(data[i] % 8, data[i] % 13 ? name : NULL,
               data[i] % 11 ? data + i : NULL, data[i] % (size - i));
    }
    json_decref(vici_json_read(NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *message = json_loadb((const char *) data, size, 0, NULL);

    if (!json_is_object(message)) {
        read_noise(data, size);
    } else if (!vici_json_check(message)) {
        json_t *again;

        vici_json_add(NULL, message);
        assert(!depth);
        again = vici_json_read(NULL);
        assert(json_equal(message, again));
        json_decref(again);
    }
    json_decref(message);
    clear_tape();
    return 0;
}
