/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Results: those of the IPAM plugin and of an earlier ADD, which are read, and
 * the plugin's own (CNI specification 1.0.0, section 5). */

#ifndef LATEEN_CNI_RESULT_H
#define LATEEN_CNI_RESULT_H 1

#include "cni-conf.h"
#include "cni-net.h"

/* Reads what the IPAM plugin has answered into the addresses and routes of
 * 'iface'.  Each family's gateway becomes its default route where the IPAM
 * plugin names none. */
struct cni_error *cni_result_parse_ipam(const json_t *ipam,
                                        struct cni_interface *iface)
    __attribute__((warn_unused_result));

/* Reads what the ADD of 'call' has once answered, the prevResult of its
 * configuration, into 'iface'. */
struct cni_error *cni_result_parse_previous(const struct cni_call *call,
                                            struct cni_interface *iface)
    __attribute__((warn_unused_result));

/* Parses a unicast MAC address. */
bool cni_mac_parse(const char *, uint8_t mac[6]);

/* Formats 'mac' in 'buf', and returns that. */
char *cni_mac_format(const uint8_t mac[6], char buf[18]);

/* Prints the result of an ADD to standard output.  Returns false if nobody
 * takes it. */
bool cni_result_print(const struct cni_call *, const struct cni_interface *,
                      const json_t *ipam);

#endif /* cni/cni-result.h */
