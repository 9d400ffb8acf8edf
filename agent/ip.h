/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses and prefixes.
 *
 * As in Open vSwitch, an address of either family is a struct in6_addr, with
 * IPv4 as an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2). */

#ifndef LATEEN_IP_H
#define LATEEN_IP_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include "openvswitch/compiler.h"

struct ds;

/* A prefix.  The bits of 'addr' beyond 'plen' are kept as they were given:
 * "10.244.1.5/24" is an interface's address; ip_prefix_mask() clears them. */
struct ip_prefix {
    struct in6_addr addr;
    unsigned int plen;          /* Of 128, so an IPv4 /24 has 120. */
};

/* An array of prefixes, owned by whoever holds the struct. */
struct ip_prefix_list {
    struct ip_prefix *elems;
    size_t n;
};

/* Whether 'a' is an IPv4 address. */
bool ip_is_v4(const struct in6_addr *a);

/* Parses 's', an address without a prefix length.  False on anything else. */
bool ip_addr_parse(const char *s, struct in6_addr *) OVS_WARN_UNUSED_RESULT;

/* Appends the usual text of an address: dotted quad, or RFC 5952. */
void ip_format(const struct in6_addr *, struct ds *);

/* As ip_format(), in a new string that the caller frees. */
char *ip_to_string(const struct in6_addr *);

/* Parses "ADDRESS/LENGTH", or an address alone as a prefix of full length. */
bool ip_prefix_parse(const char *s, struct ip_prefix *)
    OVS_WARN_UNUSED_RESULT;

/* Appends "ADDRESS/LENGTH", with the length of the address's own family. */
void ip_prefix_format(const struct ip_prefix *, struct ds *);

/* As ip_prefix_format(), in a new string that the caller frees. */
char *ip_prefix_to_string(const struct ip_prefix *);

/* Prefix length within the address's own family (24 for 10.0.0.0/24). */
unsigned int ip_prefix_length(const struct ip_prefix *);

/* Clears the host bits of '*p'. */
void ip_prefix_mask(struct ip_prefix *p);

/* Whether 'a' lies in 'p'. Families never contain one another. */
bool ip_prefix_contains(const struct ip_prefix *p, const struct in6_addr *a);

/* Whether 'a' and 'b' have an address in common. */
bool ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b);

bool ip_prefix_equals(const struct ip_prefix *, const struct ip_prefix *);

/* Compares two "struct ip_prefix"es, for qsort(): by address, then length. */
int ip_prefix_compare(const void *, const void *);

/* The address 'n' places after the first of 'p' (its gateway, for n = 1). */
struct in6_addr ip_prefix_nth(const struct ip_prefix *p, unsigned int n);

/* The list's operations.  add() appends a copy; sort() orders the list by
 * ip_prefix_compare() and drops what is there twice; an empty list is all
 * zero. */
void ip_prefix_list_add(struct ip_prefix_list *, const struct ip_prefix *);
void ip_prefix_list_clone(struct ip_prefix_list *dst,
                          const struct ip_prefix_list *src);
bool ip_prefix_list_equals(const struct ip_prefix_list *,
                           const struct ip_prefix_list *);
bool ip_prefix_list_contains(const struct ip_prefix_list *,
                             const struct in6_addr *);
void ip_prefix_list_sort(struct ip_prefix_list *);
void ip_prefix_list_destroy(struct ip_prefix_list *);

#endif /* agent/ip.h */
