/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses and prefixes: see ip.h. */

#include <config.h>
#include "ip.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "util.h"

bool
ip_is_v4(const struct in6_addr *a)
{
    return IN6_IS_ADDR_V4MAPPED(a);
}

bool
ip_addr_parse(const char *s, struct in6_addr *addr)
{
    struct in_addr v4;

    if (inet_pton(AF_INET, s, &v4) == 1) {
        in6_addr_set_mapped_ipv4(addr, v4.s_addr);
        return true;
    }
    /* An IPv4-mapped address would pass for an IPv4 one inside. */
    return inet_pton(AF_INET6, s, addr) == 1 && !ip_is_v4(addr);
}

void
ip_format(const struct in6_addr *a, struct ds *ds)
{
    ipv6_format_mapped(a, ds);
}

char *
ip_to_string(const struct in6_addr *a)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ip_format(a, &ds);
    return ds_steal_cstr(&ds);
}

bool
ip_prefix_parse(const char *s, struct ip_prefix *p)
{
    const char *slash = strchr(s, '/');
    char host[INET6_ADDRSTRLEN];
    unsigned int max;

    if (!slash) {
        p->plen = 128;
        return ip_addr_parse(s, &p->addr);
    }
    if ((size_t) (slash - s) >= sizeof host) {
        return false;
    }
    memcpy(host, s, slash - s);
    host[slash - s] = '\0';
    if (!ip_addr_parse(host, &p->addr)) {
        return false;
    }
    max = ip_is_v4(&p->addr) ? 32 : 128;

    /* str_to_uint() would take a sign and white space. */
    size_t digits = strspn(slash + 1, "0123456789");
    if (!digits || digits > 3 || slash[1 + digits]
        || (slash[1] == '0' && digits > 1)) {
        return false;
    }
    unsigned int plen = atoi(slash + 1);
    if (plen > max) {
        return false;
    }
    p->plen = 128 - max + plen;
    return true;
}

void
ip_prefix_format(const struct ip_prefix *p, struct ds *ds)
{
    ip_format(&p->addr, ds);
    ds_put_format(ds, "/%u", ip_prefix_length(p));
}

char *
ip_prefix_to_string(const struct ip_prefix *p)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ip_prefix_format(p, &ds);
    return ds_steal_cstr(&ds);
}

unsigned int
ip_prefix_length(const struct ip_prefix *p)
{
    return ip_is_v4(&p->addr) ? p->plen - 96 : p->plen;
}

void
ip_prefix_mask(struct ip_prefix *p)
{
    struct in6_addr mask = ipv6_create_mask(p->plen);

    p->addr = ipv6_addr_bitand(&p->addr, &mask);
}

bool
ip_prefix_contains(const struct ip_prefix *p, const struct in6_addr *a)
{
    if (ip_is_v4(&p->addr) != ip_is_v4(a)) {
        return false;
    }
    struct in6_addr mask = ipv6_create_mask(p->plen);
    struct in6_addr x = ipv6_addr_bitand(&p->addr, &mask);
    struct in6_addr y = ipv6_addr_bitand(a, &mask);
    return ipv6_addr_equals(&x, &y);
}

bool
ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return (a->plen <= b->plen
            ? ip_prefix_contains(a, &b->addr)
            : ip_prefix_contains(b, &a->addr));
}

int
ip_prefix_compare(const void *a_, const void *b_)
{
    const struct ip_prefix *a = a_;
    const struct ip_prefix *b = b_;
    int cmp = memcmp(&a->addr, &b->addr, sizeof a->addr);

    return cmp ? cmp : a->plen < b->plen ? -1 : a->plen > b->plen;
}

bool
ip_prefix_equals(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return a->plen == b->plen && ipv6_addr_equals(&a->addr, &b->addr);
}

struct in6_addr
ip_prefix_nth(const struct ip_prefix *p, unsigned int n)
{
    struct ip_prefix q = *p;

    ip_prefix_mask(&q);
    for (int i = 15; n && i >= 0; i--) {
        n += q.addr.s6_addr[i];
        q.addr.s6_addr[i] = n & 0xff;
        n >>= 8;
    }
    return q.addr;
}

void
ip_prefix_list_add(struct ip_prefix_list *list, const struct ip_prefix *p)
{
    list->elems = xrealloc(list->elems, (list->n + 1) * sizeof *list->elems);
    list->elems[list->n++] = *p;
}

void
ip_prefix_list_clone(struct ip_prefix_list *dst,
                     const struct ip_prefix_list *src)
{
    dst->n = src->n;
    dst->elems = (src->n
                  ? xmemdup(src->elems, src->n * sizeof *src->elems)
                  : NULL);
}

bool
ip_prefix_list_equals(const struct ip_prefix_list *a,
                      const struct ip_prefix_list *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (!ip_prefix_equals(&a->elems[i], &b->elems[i])) {
            return false;
        }
    }
    return true;
}

bool
ip_prefix_list_contains(const struct ip_prefix_list *list,
                        const struct in6_addr *a)
{
    for (size_t i = 0; i < list->n; i++) {
        if (ip_prefix_contains(&list->elems[i], a)) {
            return true;
        }
    }
    return false;
}

void
ip_prefix_list_sort(struct ip_prefix_list *list)
{
    size_t n = 0;

    if (!list->n) {
        return;
    }
    qsort(list->elems, list->n, sizeof *list->elems, ip_prefix_compare);
    for (size_t i = 0; i < list->n; i++) {
        if (!n || ip_prefix_compare(&list->elems[n - 1], &list->elems[i])) {
            list->elems[n++] = list->elems[i];
        }
    }
    list->n = n;
}

void
ip_prefix_list_destroy(struct ip_prefix_list *list)
{
    free(list->elems);
    list->elems = NULL;
    list->n = 0;
}
