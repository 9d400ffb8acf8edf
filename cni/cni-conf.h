/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a container runtime asks of the plugin: environment and standard input
 * (CNI specification 1.0.0, section 2), and how it is answered when it cannot
 * be done. */

#ifndef LATEEN_CNI_CONF_H
#define LATEEN_CNI_CONF_H 1

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Error codes: the specification's, then ours from 100 on. */
enum cni_code {
    CNI_INCOMPATIBLE_VERSION = 1,
    CNI_UNSUPPORTED_FIELD = 2,
    CNI_UNKNOWN_CONTAINER = 3,
    CNI_BAD_ENVIRONMENT = 4,
    CNI_IO_FAILURE = 5,
    CNI_BAD_CONTENT = 6,
    CNI_BAD_CONFIG = 7,
    CNI_OWN_NETNS = 8,          /* As the reference library has it. */
    CNI_TRY_AGAIN = 11,
    CNI_NETWORK_FAILED = 100,   /* The interface cannot be made. */
    CNI_AGENT_REFUSED = 101,    /* lateend says no. */
    CNI_IPAM_FAILED = 103,      /* The IPAM plugin gave no proper answer. */
    CNI_CONFLICT = 104,         /* Something of that name is there already. */
};

/* An error, to be freed with cni_error_free(). */
struct cni_error {
    int code;
    char *msg;
    char *details;              /* Or NULL. */
    json_t *verbatim;           /* A delegate's own error object, or NULL. */
};

struct cni_error *cni_error(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));
void cni_error_free(struct cni_error *);

/* Prints the error object for a configuration of 'version' to standard
 * output. */
void cni_error_print(const struct cni_error *, const char *version);

enum cni_command {
    CNI_ADD,
    CNI_DEL,
    CNI_CHECK,
    CNI_VERSION,
};

/* A call of the plugin.  Strings point into the environment or into 'conf'. */
struct cni_call {
    enum cni_command command;
    const char *container_id;
    const char *netns;          /* NULL where DEL comes without. */
    const char *ifname;
    const char *path;           /* CNI_PATH; "" if there is none. */
    char *pod_namespace;        /* From CNI_ARGS; NULL for a plain */
    char *pod_name;             /* container.  Owned. */
    char *mac;                  /* Requested MAC address, or NULL.  Owned. */
    json_t *ips;                /* Requested addresses, an array of strings,
                                 * or NULL.  Owned. */

    json_t *conf;               /* Network configuration.  Owned. */
    const char *version;        /* Its cniVersion. */
    const char *socket;         /* lateend's control socket, or NULL for the
                                 * usual one. */
    const char *ipam_type;      /* The IPAM plugin's name. */
};

/* The versions that this plugin speaks, NULL after the last. */
extern const char *const cni_versions[];

/* Reads the call from the environment and from 'input', the 'size' bytes of
 * standard input.  Returns NULL if it is fit to be carried out.  The caller
 * frees '*call' with cni_call_destroy() in any case; its 'version' is set as
 * soon as it is known, for cni_error_print(). */
struct cni_error *cni_call_parse(struct cni_call *call, const char *input,
                                 size_t size);
void cni_call_destroy(struct cni_call *);

/* CNI_ARGS as the IPAM plugin is to have it, to be freed by the caller: the
 * keys that are not for it may be unknown to it, and a requested address goes
 * to it by its configuration. */
char *cni_ipam_args(void);

/* The member 'name' of 'object' in whatever case it is written: some runtimes
 * write the names of capabilities as Go does.  cni_remove() removes every such
 * member. */
json_t *cni_get(const json_t *object, const char *name);
void cni_remove(json_t *object, const char *name);

#endif /* cni/cni-conf.h */
