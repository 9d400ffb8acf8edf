/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages of VICI as JSON, and back.
 *
 * A section is an object, a list an array of strings, a value a string.
 * jansson's JSON: this belongs to lateen-ike. */

#ifndef LATEEN_VICI_JSON_H
#define LATEEN_VICI_JSON_H 1

#include <jansson.h>

#include "vici-api.h"

/* Returns NULL if 'message', an object, can be said in VICI; if not, why. */
const char *vici_json_check(const json_t *message);

/* Appends to 'req' what 'message', which vici_json_check() has passed,
 * says. */
void vici_json_add(vici_req_t *req, const json_t *message);

/* Reads 'res' to its end into a new object.  A value that is not text becomes
 * an empty string; what follows an error is left out. */
json_t *vici_json_read(vici_res_t *res);

#endif /* ipsec/vici-json.h */
