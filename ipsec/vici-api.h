/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions of strongSwan's libvici that lateen-ike calls: Debian packages
 * the library (strongswan-swanctl) without its header.  For what they do, see
 * strongSwan's src/libcharon/plugins/vici/libvici.h and README.md. */

#ifndef LATEEN_VICI_API_H
#define LATEEN_VICI_API_H 1

typedef struct vici_conn_t vici_conn_t;
typedef struct vici_req_t vici_req_t;
typedef struct vici_res_t vici_res_t;

typedef enum {
    VICI_PARSE_BEGIN_SECTION,
    VICI_PARSE_END_SECTION,
    VICI_PARSE_BEGIN_LIST,
    VICI_PARSE_LIST_ITEM,
    VICI_PARSE_END_LIST,
    VICI_PARSE_KEY_VALUE,
    VICI_PARSE_END,
    VICI_PARSE_ERROR,
} vici_parse_t;

typedef void (*vici_event_cb_t)(void *user, char *name, vici_res_t *msg);

void vici_init(void);
void vici_deinit(void);
vici_conn_t *vici_connect(char *uri);
void vici_disconnect(vici_conn_t *);
vici_req_t *vici_begin(char *name);
void vici_begin_section(vici_req_t *, char *name);
void vici_end_section(vici_req_t *);
void vici_add_key_value(vici_req_t *, char *key, void *buf, int len);
void vici_begin_list(vici_req_t *, char *name);
void vici_add_list_item(vici_req_t *, void *buf, int len);
void vici_end_list(vici_req_t *);
void vici_free_req(vici_req_t *);
vici_res_t *vici_submit(vici_req_t *, vici_conn_t *);
vici_parse_t vici_parse(vici_res_t *);
char *vici_parse_name(vici_res_t *);
void *vici_parse_value(vici_res_t *, int *len);
void vici_free_res(vici_res_t *);
int vici_register(vici_conn_t *, char *name, vici_event_cb_t, void *user);

#endif /* ipsec/vici-api.h */
